//! From marshal to Rust: what is read, and how much of it. [`serde_de`](super::serde_de) makes types of it.

use serde::de::{Deserialize, Unexpected};

use super::{DecodeError, Limits, Reference};

/// Reads values one after the other. Nothing that it reads is trusted.
#[derive(Debug)]
pub struct Decoder<'a> {
    /// What is left.
    rest: &'a [u8],
    /// How long it was in the beginning.
    total: usize,
    /// Where the value began that was read last.
    pub(super) at: usize,
    limits: Limits,
    /// Levels and values that are left.
    depth: usize,
    nodes: usize,
    refs: &'a [Reference],
    raws: &'a mut [Option<Vec<u8>>],
    /// Types around types, at `idle_at`, since anything was read.
    idle: usize,
    idle_at: usize,
}

/// How many types may be around each other without a container in between: a type may be around itself, and would ask
/// for ever.
const MOST_IDLE: usize = 64;

/// A value, or the beginning of a container.
#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// What does not fit there.
    Big {
        negative: bool,
        magnitude: u128,
    },
    Float(f64),
    Complex(f64, f64),
    Bytes(&'a [u8]),
    Str(&'a str),
    /// A str that has surrogates.
    Surrogates(&'a [u8]),
    /// By its code, and the count of items.
    Sequence(u8, usize),
    Dict,
    Reference(Reference),
}

impl<'a> Token<'a> {
    /// For a message about a type that is another one.
    pub(super) fn unexpected(self) -> Unexpected<'a> {
        match self {
            Token::None => Unexpected::Unit,
            Token::Bool(yes) => Unexpected::Bool(yes),
            Token::Int(n) => Unexpected::Signed(n),
            Token::Big { .. } => Unexpected::Other("int of more than 64 bits"),
            Token::Float(x) => Unexpected::Float(x),
            Token::Complex(..) => Unexpected::Other("complex number"),
            Token::Bytes(bytes) => Unexpected::Bytes(bytes),
            Token::Str(text) => Unexpected::Str(text),
            Token::Surrogates(_) => Unexpected::Other("str with surrogates"),
            Token::Sequence(..) => Unexpected::Seq,
            Token::Dict => Unexpected::Map,
            Token::Reference(_) => Unexpected::Other("object that cannot be copied"),
        }
    }
}

type Result<T, E = DecodeError> = std::result::Result<T, E>;

impl<'a> Decoder<'a> {
    /// Reads values without references; [`skip`](Decoder::skip) passes over those as well.
    #[must_use]
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Decoder<'a> {
        Decoder::with(bytes, limits, &[], &mut [])
    }

    /// Reads values; `refs` stand for their references, in order of appearance, and `raws` for the raw ones of them,
    /// from which they are taken.
    #[must_use]
    pub fn with(
        bytes: &'a [u8],
        limits: &Limits,
        refs: &'a [Reference],
        raws: &'a mut [Option<Vec<u8>>],
    ) -> Decoder<'a> {
        Decoder {
            rest: bytes,
            total: bytes.len(),
            at: 0,
            limits: *limits,
            depth: limits.depth,
            nodes: limits.nodes,
            refs,
            raws,
            idle: 0,
            idle_at: 0,
        }
    }

    /// Reads one value.
    ///
    /// # Errors
    /// When it is cut off, malformed or too large, or not of that type: see [`DecodeError`].
    pub fn value<T: Deserialize<'a>>(&mut self) -> Result<T> {
        T::deserialize(&mut *self).map_err(|error| error.or_at(self.at))
    }

    /// Reads the beginning of a tuple: as many values follow.
    ///
    /// # Errors
    /// When something else is there.
    pub fn tuple(&mut self) -> Result<u32> {
        match self.token()? {
            Token::Sequence(b'(', len) => Ok(len as u32),
            other => Err(self.unexpected(other, &"a tuple")),
        }
    }

    /// Reads an int of 64 bits.
    ///
    /// # Errors
    /// When something else is there.
    pub fn int(&mut self) -> Result<i64> {
        match self.token()? {
            Token::Int(n) => Ok(n),
            other => Err(self.unexpected(other, &"an int of 64 bits")),
        }
    }

    /// Reads a str.
    ///
    /// # Errors
    /// When something else is there, or it has surrogates.
    pub fn str(&mut self) -> Result<&'a str> {
        match self.token()? {
            Token::Str(text) => Ok(text),
            Token::Surrogates(_) => Err(DecodeError::Surrogates { at: self.at }),
            other => Err(self.unexpected(other, &"a str")),
        }
    }

    /// Reads what [`Encoded::refs`](super::Encoded::refs) writes.
    ///
    /// # Errors
    /// When something else is there.
    pub fn refs(&mut self) -> Result<Vec<Reference>> {
        let len = self.tuple()?;
        // Each takes more bytes than in memory, so what is promised is there.
        let mut refs = Vec::with_capacity((len as usize).min(self.rest.len() / 15));
        for _ in 0..len {
            if self.tuple()? != 2 {
                return Err(self.malformed("a reference that is no pair"));
            }
            let (kind, n) = (self.int()?, self.int()?);
            let number = || u32::try_from(n).ok();
            let reference = match kind {
                0 => number().map(Reference::Object),
                1 => number().map(Reference::Callback),
                2 => u64::try_from(n).ok().map(Reference::Raw),
                _ => None,
            };
            refs.push(reference.ok_or_else(|| self.malformed("an unknown reference"))?);
        }
        Ok(refs)
    }

    /// Passes over one value, and what stands for its references.
    ///
    /// # Errors
    /// When it is cut off, malformed or too large. Text is not looked at.
    pub fn skip(&mut self) -> Result<()> {
        match self.code()? {
            b'N' | b'T' | b'F' | b'.' => {}
            b'S' => {
                if let Some(Reference::Raw(len)) = self.next_reference() {
                    self.raw(len)?;
                }
            }
            b'i' => drop(self.array::<4>()?),
            b'g' => drop(self.array::<8>()?),
            b'y' => drop(self.array::<16>()?),
            b'l' => drop(self.digits()?),
            b's' | b'u' | b't' => drop(self.counted()?),
            b'(' | b'[' | b'<' | b'>' => {
                let len = self.items()?;
                self.enter()?;
                for _ in 0..len {
                    self.skip()?;
                }
                self.leave();
            }
            b'{' => {
                self.enter()?;
                while !self.dict_ends()? {
                    self.skip()?;
                    self.skip()?;
                }
                self.leave();
            }
            code => return Err(DecodeError::UnknownCode { code, at: self.at }),
        }
        Ok(())
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Looks whether all was read.
    ///
    /// # Errors
    /// When something is left, or a reference stands for nothing.
    pub fn end(self) -> Result<()> {
        if !self.rest.is_empty() {
            return Err(DecodeError::Trailing { at: self.position() });
        }
        match self.refs {
            [] => Ok(()),
            _ => Err(DecodeError::Malformed {
                what: "more references than the value has",
                at: self.position(),
            }),
        }
    }

    /// Reads a value, or how a container begins.
    pub(super) fn token(&mut self) -> Result<Token<'a>> {
        Ok(match self.code()? {
            b'i' => Token::Int(i32::from_le_bytes(self.array()?).into()),
            b'N' | b'.' => Token::None,
            b'T' => Token::Bool(true),
            b'F' => Token::Bool(false),
            b'g' => Token::Float(f64::from_le_bytes(self.array()?)),
            b'y' => {
                let re = f64::from_le_bytes(self.array()?);
                Token::Complex(re, f64::from_le_bytes(self.array()?))
            }
            b'l' => self.long()?,
            b's' => Token::Bytes(self.counted()?),
            b'u' | b't' => {
                let bytes = self.counted()?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => Token::Str(text),
                    Err(_) if super::text::is_text(bytes) => Token::Surrogates(bytes),
                    Err(_) => return Err(self.malformed("a str that is no text")),
                }
            }
            code @ (b'(' | b'[' | b'<' | b'>') => Token::Sequence(code, self.items()?),
            b'{' => Token::Dict,
            b'S' => match self.next_reference() {
                Some(reference) => Token::Reference(reference),
                None => return Err(self.malformed("a reference to nothing")),
            },
            code => return Err(DecodeError::UnknownCode { code, at: self.at }),
        })
    }

    fn next_reference(&mut self) -> Option<Reference> {
        let (&first, rest) = self.refs.split_first()?;
        self.refs = rest;
        Some(first)
    }

    /// The next value, if it is an int of 32 bits: most are, and this takes half the time of [`token`](Decoder::token).
    #[inline]
    pub(super) fn small_int(&mut self) -> Option<i64> {
        let ([b'i', bits @ ..], rest) = self.rest.split_first_chunk::<5>()? else { return None };
        self.nodes = self.nodes.checked_sub(1)?;
        self.at = self.position();
        self.rest = rest;
        Some(i32::from_le_bytes(*bits).into())
    }

    /// The type code of the next value.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The block of a [`Reference::Raw`] that was just read.
    pub(super) fn raw(&mut self, len: u64) -> Result<Vec<u8>> {
        let raw = std::mem::take(&mut self.raws).split_first_mut().and_then(|(raw, rest)| {
            self.raws = rest;
            raw.take()
        });
        match raw {
            Some(raw) if raw.len() as u64 == len => Ok(raw),
            _ => Err(self.malformed("a raw block that is missing or of another length")),
        }
    }

    /// Whether the dict ends here; then its end is read.
    #[inline]
    pub(super) fn dict_ends(&mut self) -> Result<bool> {
        let &first = self.rest.first().ok_or_else(|| self.truncated())?;
        if first == b'0' {
            self.rest = &self.rest[1..];
        }
        Ok(first == b'0')
    }

    /// One level down.
    pub(super) fn enter(&mut self) -> Result<()> {
        let too_deep = DecodeError::TooDeep { limit: self.limits.depth, at: self.at };
        self.depth = self.depth.checked_sub(1).ok_or(too_deep)?;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }

    /// One type is around another, and nothing is read.
    pub(super) fn idle(&mut self) -> Result<()> {
        if self.idle_at != self.rest.len() {
            (self.idle_at, self.idle) = (self.rest.len(), 0);
        }
        self.idle += 1;
        match self.idle > MOST_IDLE {
            true => Err(DecodeError::TooDeep { limit: MOST_IDLE, at: self.position() }),
            false => Ok(()),
        }
    }

    /// For how many of `len` items space may be made: all containers around each other together ask for not much more
    /// than there are bytes.
    pub(super) fn hint(&self, len: usize) -> usize {
        len.min(self.rest.len() / (self.limits.depth - self.depth).max(1))
    }

    pub(super) fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { what, at: self.at }
    }

    pub(super) fn unexpected(
        &self,
        token: Token<'_>,
        expected: &dyn serde::de::Expected,
    ) -> DecodeError {
        let error: DecodeError = serde::de::Error::invalid_type(token.unexpected(), expected);
        error.or_at(self.at)
    }

    fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { at: self.at }
    }

    #[inline]
    fn code(&mut self) -> Result<u8> {
        self.at = self.position();
        let (&code, rest) = self.rest.split_first().ok_or_else(|| self.truncated())?;
        self.nodes = self
            .nodes
            .checked_sub(1)
            .ok_or(DecodeError::TooMany { limit: self.limits.nodes, at: self.at })?;
        self.rest = rest;
        Ok(code)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length, of which that many bytes or more have to follow.
    fn items(&mut self) -> Result<usize> {
        let len = i32::from_le_bytes(self.array()?);
        let len = usize::try_from(len).map_err(|_| self.malformed("a length below zero"))?;
        if len > self.rest.len() {
            return Err(self.truncated());
        }
        Ok(len)
    }

    fn counted(&mut self) -> Result<&'a [u8]> {
        let len = self.items()?;
        self.take(len)
    }

    /// The sign and the digits of a long int.
    fn digits(&mut self) -> Result<(bool, &'a [u8])> {
        let count = i32::from_le_bytes(self.array()?);
        let digits = count.unsigned_abs() as usize;
        if digits > self.rest.len() {
            return Err(self.truncated());
        }
        // Of two bytes each.
        Ok((count < 0, self.take(2 * digits)?))
    }

    fn long(&mut self) -> Result<Token<'a>> {
        let (negative, digits) = self.digits()?;
        let mut magnitude = 0_u128;
        for digit in digits.rchunks_exact(2) {
            let digit = u16::from_le_bytes([digit[0], digit[1]]);
            if digit > 0x7fff {
                return Err(self.malformed("a digit of more than 15 bits"));
            }
            if magnitude.leading_zeros() < 15 {
                return Err(DecodeError::BigInt { at: self.at });
            }
            magnitude = magnitude << 15 | u128::from(digit);
        }
        Ok(match i64::try_from(magnitude) {
            Ok(n) => Token::Int(if negative { -n } else { n }),
            Err(_) if negative && magnitude == 1 << 63 => Token::Int(i64::MIN),
            Err(_) if negative && magnitude > 1 << 127 => {
                return Err(DecodeError::BigInt { at: self.at });
            }
            Err(_) => Token::Big { negative, magnitude },
        })
    }
}

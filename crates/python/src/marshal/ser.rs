//! From Rust to marshal.

use serde::Serialize;
use serde::ser::{self, Error};

use super::container::{Container, count};
use super::{DEPTH, Decoder, EncodeError, Limits, RAW, Reference, names, text};

/// Values of a payload, one after the other, and what stands beside them.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The values.
    pub bytes: Vec<u8>,
    /// Their references, in order of appearance.
    pub refs: Vec<Reference>,
    /// The bytes of each [`Reference::Raw`], in order.
    pub raws: Vec<Vec<u8>>,
}

impl Encoded {
    /// Appends a value, whose objects belong to the connection `owner`. After an error nothing of it is left.
    ///
    /// # Errors
    /// What cannot be sent: see [`EncodeError`].
    pub fn value<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        owner: u64,
    ) -> Result<(), EncodeError> {
        let before = (self.bytes.len(), self.refs.len(), self.raws.len());
        let encoder =
            &mut Encoder { out: self, owner, depth: DEPTH, hashed: false, form: Form::Plain };
        value.serialize(encoder).inspect_err(|_| {
            self.bytes.truncate(before.0);
            self.refs.truncate(before.1);
            self.raws.truncate(before.2);
        })
    }

    /// Appends the beginning of a tuple: as many values have to follow.
    pub fn tuple(&mut self, len: u32) {
        self.counted(b'(', len);
    }

    /// Appends an int.
    pub fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(small) => self.code(b'i', small.to_le_bytes()),
            Err(_) => self.long(n < 0, n.unsigned_abs().into()),
        }
    }

    /// Appends a str. One of 2 GiB or more is refused over there.
    pub fn str(&mut self, text: &str) {
        // What is longer than even this number fits into no frame.
        self.counted(b'u', text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Appends the beginning of a dict; keys and values in turn follow, and [`end_dict`](Encoded::end_dict).
    pub fn dict(&mut self) {
        self.bytes.push(b'{');
    }

    /// Appends the end of a dict.
    pub fn end_dict(&mut self) {
        self.bytes.push(b'0');
    }

    /// Appends None.
    pub fn none(&mut self) {
        self.bytes.push(b'N');
    }

    /// Appends the references so far: a tuple of pairs of kind and number.
    pub fn refs(&mut self) {
        let refs = std::mem::take(&mut self.refs);
        self.tuple(refs.len() as u32);
        for &reference in &refs {
            let (kind, n) = match reference {
                Reference::Object(n) => (0, n.into()),
                Reference::Callback(n) => (1, n.into()),
                Reference::Raw(len) => (2, i64::try_from(len).unwrap_or(i64::MAX)),
            };
            self.tuple(2);
            self.int(kind);
            self.int(n);
        }
        self.refs = refs;
    }

    /// A type code and what has a fixed size, in one piece.
    #[inline]
    fn code<const N: usize>(&mut self, code: u8, content: [u8; N]) {
        self.bytes.reserve(1 + N);
        self.bytes.push(code);
        self.bytes.extend_from_slice(&content);
    }

    fn counted(&mut self, code: u8, len: u32) {
        self.code(code, len.to_le_bytes());
    }

    /// An int by its digits of 15 bits, the lowest first; their count has the sign.
    fn long(&mut self, negative: bool, mut magnitude: u128) {
        let digits = (128 - magnitude.leading_zeros() as i32 + 14) / 15;
        self.code(b'l', if negative { -digits } else { digits }.to_le_bytes());
        while magnitude != 0 {
            let digit = (magnitude & 0x7fff) as u16;
            self.bytes.extend_from_slice(&digit.to_le_bytes());
            magnitude >>= 15;
        }
    }
}

/// What the next list or bytes are, by the name around them.
#[derive(Clone, Copy, Default)]
enum Form {
    #[default]
    Plain,
    Set,
    FrozenSet,
    /// Bytes: a name of a file.
    Name,
    /// Bytes: the text of a str.
    Surrogates,
}

pub(super) struct Encoder<'o> {
    pub(super) out: &'o mut Encoded,
    owner: u64,
    /// Levels that are left.
    pub(super) depth: usize,
    /// Within the key of a dict or a set.
    pub(super) hashed: bool,
    form: Form,
}

impl<'o> Encoder<'o> {
    fn text(&mut self, code: u8, what: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.counted(code, count(what, bytes.len())?);
        self.out.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn big(&mut self, negative: bool, magnitude: u128) {
        match i64::try_from(magnitude) {
            Ok(n) => self.out.int(if negative { -n } else { n }),
            Err(_) => self.out.long(negative, magnitude),
        }
    }

    fn formed<T: Serialize + ?Sized>(&mut self, form: Form, value: &T) -> Result<(), EncodeError> {
        self.form = form;
        let result = value.serialize(&mut *self);
        self.form = Form::Plain;
        result
    }

    /// The two parts of a value that has a form of its own here.
    fn pair<T, A, B>(&mut self, value: &T) -> Result<(A, B), EncodeError>
    where
        T: Serialize + ?Sized,
        (A, B): serde::de::DeserializeOwned,
    {
        let start = self.out.bytes.len();
        // It is no container over there.
        self.depth += 1;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        let pair = Decoder::new(&self.out.bytes[start..], &Limits::default()).value();
        self.out.bytes.truncate(start);
        pair.map_err(EncodeError::custom)
    }

    fn reference<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        kind: fn(u32) -> Reference,
    ) -> Result<(), EncodeError> {
        let (owner, n): (u64, u32) = self.pair(value)?;
        if owner != self.owner {
            return Err(EncodeError::OtherConnection);
        }
        if self.hashed {
            return Err(EncodeError::ObjectAsKey);
        }
        self.out.bytes.push(b'S');
        self.out.refs.push(kind(n));
        Ok(())
    }

    /// Begins a container; its count is written at its end.
    fn open(&mut self, code: u8) -> Result<Container<'_, 'o>, EncodeError> {
        self.depth = self.depth.checked_sub(1).ok_or(EncodeError::TooDeep { limit: DEPTH })?;
        let what = match code {
            b'(' => "tuple",
            b'>' => "frozenset",
            b'[' => "list",
            b'<' => "set",
            _ => "dict",
        };
        if self.hashed && !matches!(code, b'(' | b'>') {
            return Err(EncodeError::Unhashable { what });
        }
        let hashed = self.hashed;
        self.hashed |= matches!(code, b'<' | b'>');
        let length_at = (code != b'{').then_some(self.out.bytes.len() + 1);
        match length_at {
            Some(_) => self.out.counted(code, 0),
            None => self.out.bytes.push(code),
        }
        Ok(Container { encoder: self, what, len: 0, length_at, hashed, variant: false })
    }

    /// Begins the dict of one pair that an enum's variant with content is.
    fn open_variant(&mut self, name: &str, code: u8) -> Result<Container<'_, 'o>, EncodeError> {
        if self.hashed {
            return Err(EncodeError::Unhashable { what: "dict" });
        }
        self.out.bytes.push(b'{');
        self.text(b'u', "str", name.as_bytes())?;
        // The level of the dict is left again in `Container::close`.
        self.depth = self.depth.checked_sub(1).ok_or(EncodeError::TooDeep { limit: DEPTH })?;
        Ok(Container { variant: true, ..self.open(code)? })
    }
}

/// The ints that fit into 64 bits.
macro_rules! ints {
    ($($method:ident $type:ty,)*) => {$(
        #[inline]
        fn $method(self, n: $type) -> Result<(), EncodeError> {
            self.out.int(n.into());
            Ok(())
        }
    )*};
}

impl<'e, 'o> ser::Serializer for &'e mut Encoder<'o> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'e, 'o>;
    type SerializeTuple = Container<'e, 'o>;
    type SerializeTupleStruct = Container<'e, 'o>;
    type SerializeTupleVariant = Container<'e, 'o>;
    type SerializeMap = Container<'e, 'o>;
    type SerializeStruct = Container<'e, 'o>;
    type SerializeStructVariant = Container<'e, 'o>;

    ints! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32,
    }

    fn serialize_u64(self, n: u64) -> Result<(), EncodeError> {
        self.big(false, n.into());
        Ok(())
    }

    fn serialize_i128(self, n: i128) -> Result<(), EncodeError> {
        self.big(n < 0, n.unsigned_abs());
        Ok(())
    }

    fn serialize_u128(self, n: u128) -> Result<(), EncodeError> {
        self.big(false, n);
        Ok(())
    }

    fn serialize_bool(self, yes: bool) -> Result<(), EncodeError> {
        self.out.bytes.push(if yes { b'T' } else { b'F' });
        Ok(())
    }

    fn serialize_f32(self, x: f32) -> Result<(), EncodeError> {
        self.serialize_f64(x.into())
    }

    fn serialize_f64(self, x: f64) -> Result<(), EncodeError> {
        self.out.code(b'g', x.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, c: char) -> Result<(), EncodeError> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), EncodeError> {
        self.text(b'u', "str", text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        match std::mem::take(&mut self.form) {
            Form::Name => {
                let mut name = Vec::with_capacity(bytes.len());
                text::escape(bytes, &mut name);
                self.text(b'u', "str", &name)
            }
            Form::Surrogates if text::is_text(bytes) => self.text(b'u', "str", bytes),
            Form::Surrogates => Err(EncodeError::NotText),
            // References would be the same key.
            _ if bytes.len() >= RAW && !self.hashed => {
                self.out.bytes.push(b'S');
                self.out.refs.push(Reference::Raw(bytes.len() as u64));
                self.out.raws.push(bytes.to_vec());
                Ok(())
            }
            _ => self.text(b's', "bytes", bytes),
        }
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.out.none();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        match name {
            names::OBJECT => self.reference(value, Reference::Object),
            names::CALLBACK => self.reference(value, Reference::Callback),
            names::STR => self.formed(Form::Name, value),
            names::SURROGATES => self.formed(Form::Surrogates, value),
            names::SET => self.formed(Form::Set, value),
            names::FROZEN_SET => self.formed(Form::FrozenSet, value),
            names::COMPLEX => {
                let (re, im): (f64, f64) = self.pair(value)?;
                self.out.code(b'y', re.to_le_bytes());
                self.out.bytes.extend_from_slice(&im.to_le_bytes());
                Ok(())
            }
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let mut dict = self.open(b'{')?;
        dict.key(variant)?;
        dict.item(value)?;
        dict.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Container<'e, 'o>, EncodeError> {
        let code = match std::mem::take(&mut self.form) {
            Form::Set => b'<',
            Form::FrozenSet => b'>',
            _ => b'[',
        };
        self.open(code)
    }

    fn serialize_tuple(self, _: usize) -> Result<Container<'e, 'o>, EncodeError> {
        self.open(b'(')
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Container<'e, 'o>, EncodeError> {
        self.open(b'(')
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Container<'e, 'o>, EncodeError> {
        self.open_variant(variant, b'(')
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Container<'e, 'o>, EncodeError> {
        self.open(b'{')
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Container<'e, 'o>, EncodeError> {
        self.open(b'{')
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Container<'e, 'o>, EncodeError> {
        self.open_variant(variant, b'{')
    }
}

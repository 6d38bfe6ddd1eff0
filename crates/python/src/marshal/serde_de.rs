//! Types of Rust made of what is read, by serde.

use serde::de::value::{BytesDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::de::Token;
use super::{DecodeError, Decoder, Reference, names, text};

type Result<T, E = DecodeError> = std::result::Result<T, E>;

impl<'a> Decoder<'a> {
    /// Hands over what was read.
    #[inline]
    fn visit<V: Visitor<'a>>(&mut self, token: Token<'a>, visitor: V) -> Result<V::Value> {
        match token {
            Token::Int(n) => visitor.visit_i64(n),
            Token::None => visitor.visit_unit(),
            Token::Bool(yes) => visitor.visit_bool(yes),
            Token::Float(x) => visitor.visit_f64(x),
            Token::Complex(re, im) => visit_items([re, im], visitor),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Str(text) => visitor.visit_borrowed_str(text),
            Token::Surrogates(_) => Err(DecodeError::Surrogates { at: self.at }),
            Token::Sequence(_, len) => self.sequence(len, visitor),
            Token::Dict => self.dict(visitor),
            Token::Reference(Reference::Raw(len)) => visitor.visit_byte_buf(self.raw(len)?),
            Token::Reference(_) => Err(DecodeError::IsReference { at: self.at }),
            Token::Big { negative, magnitude } => match (u64::try_from(magnitude), negative) {
                (Ok(n), false) => visitor.visit_u64(n),
                (_, true) => visitor.visit_i128((magnitude as i128).wrapping_neg()),
                (_, false) => match i128::try_from(magnitude) {
                    Ok(n) => visitor.visit_i128(n),
                    Err(_) => visitor.visit_u128(magnitude),
                },
            },
        }
    }

    #[inline]
    fn sequence<V: Visitor<'a>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        let at = self.at;
        self.enter()?;
        let mut items = Items { decoder: self, left: len };
        let value = visitor.visit_seq(&mut items)?;
        if items.left > 0 {
            self.at = at;
            return Err(DecodeError::custom(format_args!("a sequence of {len} items is too long")));
        }
        self.leave();
        Ok(value)
    }

    fn dict<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value> {
        let at = self.at;
        self.enter()?;
        let mut pairs = Pairs { decoder: self, done: false };
        let value = visitor.visit_map(&mut pairs)?;
        if !pairs.done && !self.dict_ends()? {
            self.at = at;
            return Err(DecodeError::custom("a dict has too many items"));
        }
        self.leave();
        Ok(value)
    }

    /// An object or callback, for a type that is a proxy.
    fn reference<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value> {
        let pair = match self.token()? {
            Token::Reference(Reference::Object(n)) => [0, n],
            Token::Reference(Reference::Callback(n)) => [1, n],
            _ => return visitor.visit_newtype_struct(NoReference { at: self.at }),
        };
        visitor.visit_newtype_struct(SeqDeserializer::new(pair.into_iter()))
    }

    /// A name of a file, as its bytes.
    fn name<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value> {
        let unescaped;
        let name = match self.token()? {
            Token::Str(name) => name.as_bytes(),
            Token::Bytes(name) => name,
            Token::Surrogates(name) => {
                unescaped = text::unescape(name);
                unescaped.as_deref().ok_or(DecodeError::NotAName { at: self.at })?
            }
            Token::Reference(Reference::Raw(len)) => {
                unescaped = Some(self.raw(len)?);
                unescaped.as_deref().unwrap_or_default()
            }
            Token::Reference(_) => return Err(DecodeError::IsReference { at: self.at }),
            other => return Err(self.unexpected(other, &visitor)),
        };
        visitor.visit_newtype_struct(BytesDeserializer::new(name))
    }
}

/// Items that are not read one by one.
fn visit_items<'de, V, I>(items: I, visitor: V) -> Result<V::Value>
where
    V: Visitor<'de>,
    I: IntoIterator<Item: IntoDeserializer<'de, DecodeError>>,
{
    let mut items = SeqDeserializer::new(items.into_iter());
    let value = visitor.visit_seq(&mut items)?;
    items.end()?;
    Ok(value)
}

impl<'a> Deserializer<'a> for &mut Decoder<'a> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if let Some(n) = self.small_int() {
            return visitor.visit_i64(n);
        }
        let token = self.token()?;
        self.visit(token, visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            // Types that take floats take shorter ints, but none that are longer.
            Token::Big { negative, magnitude } => {
                let x = magnitude as f64;
                visitor.visit_f64(if negative { -x } else { x })
            }
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            // Most types would take them where they are UTF-8 by chance.
            token @ (Token::Bytes(_) | Token::Reference(Reference::Raw(_))) => {
                Err(self.unexpected(token, &visitor))
            }
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            token @ Token::Str(_) => Err(self.unexpected(token, &visitor)),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if let Some(b'N' | b'.') = self.peek() {
            self.token()?;
            return visitor.visit_none();
        }
        self.idle()?;
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match name {
            names::VALUE => visitor.visit_newtype_struct(Tagged(self)),
            names::OBJECT | names::CALLBACK => self.reference(visitor),
            names::STR => self.name(visitor),
            _ => {
                self.idle()?;
                visitor.visit_newtype_struct(self)
            }
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Bytes(bytes) => visit_items(bytes.iter().copied(), visitor),
            Token::Reference(Reference::Raw(len)) => visit_items(self.raw(len)?, visitor),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.token()? {
            Token::Str(name) => visitor.visit_enum(StrDeserializer::new(name)),
            Token::Dict => {
                self.enter()?;
                let value = visitor.visit_enum(Variant(self))?;
                if !self.dict_ends()? {
                    return Err(DecodeError::custom("a variant is a dict of one item"));
                }
                self.leave();
                Ok(value)
            }
            Token::Reference(Reference::Object(_) | Reference::Callback(_)) => {
                Err(DecodeError::IsReference { at: self.at })
            }
            Token::Surrogates(_) => Err(DecodeError::Surrogates { at: self.at }),
            other => Err(self.unexpected(other, &"a str or a dict of one item")),
        }
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            // It may be a key that nobody asks for.
            Token::Surrogates(name) => visitor.visit_borrowed_bytes(name),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <W: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 unit unit_struct map struct
    }
}

struct Items<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    left: usize,
}

impl<'a> SeqAccess<'a> for Items<'_, 'a> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.decoder.hint(self.left))
    }
}

struct Pairs<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    done: bool,
}

impl<'a> MapAccess<'a> for Pairs<'_, 'a> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.done = self.done || self.decoder.dict_ends()?;
        if self.done {
            return Ok(None);
        }
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value> {
        seed.deserialize(&mut *self.decoder)
    }
}

/// A variant with content: `name: content`.
struct Variant<'d, 'a>(&'d mut Decoder<'a>);

impl<'a> EnumAccess<'a> for Variant<'_, 'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self)> {
        Ok((seed.deserialize(&mut *self.0)?, self))
    }
}

impl<'a> VariantAccess<'a> for Variant<'_, 'a> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_any(visitor)
    }
}

/// For [`Value`](super::Value): what other types do not tell apart is an enum, whose variant is the type code, and whose
/// content is a "tuple".
struct Tagged<'d, 'a>(&'d mut Decoder<'a>);

impl<'a> Deserializer<'a> for Tagged<'_, 'a> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if let Some(n) = self.0.small_int() {
            return visitor.visit_i64(n);
        }
        let token = self.0.token()?;
        let code = match token {
            Token::Sequence(code @ (b'(' | b'<' | b'>'), _) => code,
            Token::Complex(..) => b'y',
            Token::Surrogates(_) => b'u',
            _ => return self.0.visit(token, visitor),
        };
        visitor.visit_enum(TaggedToken { code, token, decoder: self.0 })
    }

    forward_to_deserialize_any! {
        <W: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct TaggedToken<'d, 'a> {
    code: u8,
    token: Token<'a>,
    decoder: &'d mut Decoder<'a>,
}

impl<'a> EnumAccess<'a> for TaggedToken<'_, 'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self)> {
        Ok((seed.deserialize(self.code.into_deserializer())?, self))
    }
}

impl<'a> VariantAccess<'a> for TaggedToken<'_, 'a> {
    type Error = DecodeError;

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        match self.token {
            Token::Surrogates(text) => visitor.visit_borrowed_bytes(text),
            token => self.decoder.visit(token, visitor),
        }
    }

    fn unit_variant(self) -> Result<()> {
        Err(DecodeError::custom("a variant with content"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value> {
        Err(DecodeError::custom("a variant with content"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.tuple_variant(0, visitor)
    }
}

/// Where an object was asked for, and something else is there.
struct NoReference {
    at: usize,
}

impl<'de> Deserializer<'de> for NoReference {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(DecodeError::NotAReference { at: self.at })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

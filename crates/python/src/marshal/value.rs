//! A value of any type that is copied.

use std::fmt;

use serde::de::{
    Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Serialize, Serializer};
use serde_bytes::Bytes;

use super::names;

/// A value of Python's, for whoever does not know its type.
///
/// In other formats of serde tuples, sets and complex numbers are lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `None`
    #[default]
    None,
    /// `True`, `False`
    Bool(bool),
    /// An int that fits.
    Int(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(Complex),
    /// A str without surrogates.
    Str(String),
    /// A str with surrogates: UTF-8 in which they are written as if they were characters ("surrogatepass").
    SurrogateStr(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// The pairs of a dict, in its order.
    Dict(Vec<(Value, Value)>),
    /// A set, in any order.
    Set(Vec<Value>),
    /// A frozenset, in any order.
    FrozenSet(Vec<Value>),
}

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl Serialize for Complex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(names::COMPLEX, &(self.re, self.im))
    }
}

impl<'de> Deserialize<'de> for Complex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Complex, D::Error> {
        deserializer.deserialize_newtype_struct(names::COMPLEX, ComplexVisitor)
    }
}

struct ComplexVisitor;

impl<'de> Visitor<'de> for ComplexVisitor {
    type Value = Complex;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a complex number")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Complex, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_i64<E: Error>(self, re: i64) -> Result<Complex, E> {
        self.visit_f64(re as f64)
    }

    fn visit_u64<E: Error>(self, re: u64) -> Result<Complex, E> {
        self.visit_f64(re as f64)
    }

    fn visit_f64<E: Error>(self, re: f64) -> Result<Complex, E> {
        Ok(Complex { re, im: 0.0 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Complex, A::Error> {
        let mut part = |i| parts.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self));
        Ok(Complex { re: part(0)?, im: part(1)? })
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => serializer.serialize_unit(),
            Value::Bool(yes) => serializer.serialize_bool(*yes),
            Value::Int(n) => match i64::try_from(*n) {
                // Some formats have no longer ones.
                Ok(n) => serializer.serialize_i64(n),
                Err(_) => serializer.serialize_i128(*n),
            },
            Value::Float(x) => serializer.serialize_f64(*x),
            Value::Complex(complex) => complex.serialize(serializer),
            Value::Str(text) => serializer.serialize_str(text),
            Value::SurrogateStr(text) => {
                serializer.serialize_newtype_struct(names::SURROGATES, Bytes::new(text))
            }
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::List(items) => serializer.collect_seq(items),
            Value::Tuple(items) => Items(items).serialize(serializer),
            Value::Dict(pairs) => {
                serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
            }
            Value::Set(items) => serializer.serialize_newtype_struct(names::SET, items),
            Value::FrozenSet(items) => {
                serializer.serialize_newtype_struct(names::FROZEN_SET, items)
            }
        }
    }
}

/// A tuple.
struct Items<'v>(&'v [Value]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|item| tuple.serialize_element(item))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_newtype_struct(names::VALUE, ValueVisitor)
    }
}

struct ValueVisitor;

impl ValueVisitor {
    /// The content of a variant, whose type code says what it is.
    fn tagged<E: Error>(code: u8, content: Value) -> Result<Value, E> {
        match (code, content) {
            (b'(', Value::List(items)) => Ok(Value::Tuple(items)),
            (b'<', Value::List(items)) => Ok(Value::Set(items)),
            (b'>', Value::List(items)) => Ok(Value::FrozenSet(items)),
            (b'u', Value::Bytes(text)) => Ok(Value::SurrogateStr(text)),
            (b'y', Value::List(parts)) => match parts[..] {
                [Value::Float(re), Value::Float(im)] => Ok(Value::Complex(Complex { re, im })),
                _ => Err(E::custom("a complex number of other than two floats")),
            },
            (code, _) => Err(E::custom(format_args!("an unknown type code {code:#04x}"))),
        }
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that can be copied and fits")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (code, content) = tagged.variant::<u8>()?;
        ValueVisitor::tagged(code, content.tuple_variant(0, self)?)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n.into()))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Value, E> {
        Ok(Value::Int(n.into()))
    }

    fn visit_i128<E: Error>(self, n: i128) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Value, E> {
        Ok(Value::Float(x))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.into()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Str(text))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(reserve::<Value>(from.size_hint()));
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::with_capacity(reserve::<(Value, Value)>(from.size_hint()));
        while let Some(pair) = from.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Dict(pairs))
    }
}

/// What is promised takes at most 1 MiB before it comes, as in serde itself.
fn reserve<T>(promised: Option<usize>) -> usize {
    promised.unwrap_or(0).min((1 << 20) / size_of::<T>())
}

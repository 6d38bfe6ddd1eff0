//! What a type asks for first.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::names;

/// What a type wants of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A copy.
    Value,
    /// A reference: the type is an `Object`, or one around it.
    Object,
    /// A reference, or `None`: an `Option` of that.
    Option,
    /// Nothing: the type is `()`.
    Nothing,
}

/// What the type asks for. Costs a few instructions and allocates nothing.
#[must_use]
pub fn want<T: serde::de::DeserializeOwned>() -> Want {
    let seen = Cell::new(Want::Value);
    let _ = T::deserialize(Probe { seen: &seen, levels: 16, optional: false });
    seen.get()
}

struct Probe<'p> {
    seen: &'p Cell<Want>,
    /// A type may be around itself.
    levels: u32,
    /// Within an `Option`.
    optional: bool,
}

impl Probe<'_> {
    fn inner(self) -> Result<Self, Stop> {
        let levels = self.levels.checked_sub(1).ok_or(Stop)?;
        Ok(Probe { levels, ..self })
    }
}

/// Nothing is read, so nothing is ever found.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Stop {
        Stop
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(Probe { optional: true, ..self.inner()? })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        if !self.optional {
            self.seen.set(Want::Nothing);
        }
        Err(Stop)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if name == names::OBJECT {
            self.seen.set(if self.optional { Want::Option } else { Want::Object });
            return Err(Stop);
        }
        visitor.visit_newtype_struct(self.inner()?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

//! Lists, tuples, sets and dicts on their way from Rust to marshal.

use serde::Serialize;
use serde::ser;

use super::EncodeError;
use super::ser::Encoder;

/// The longest that anything can be: marshal's lengths are signed.
const LONGEST: usize = i32::MAX as usize;

pub(super) fn count(what: &'static str, len: usize) -> Result<u32, EncodeError> {
    if len > LONGEST {
        return Err(EncodeError::TooLong { what, len });
    }
    Ok(len as u32)
}

/// A container that is not complete.
pub(super) struct Container<'e, 'o> {
    pub(super) encoder: &'e mut Encoder<'o>,
    pub(super) what: &'static str,
    pub(super) len: usize,
    pub(super) length_at: Option<usize>,
    /// Whether what is around it is hashed.
    pub(super) hashed: bool,
    pub(super) variant: bool,
}

impl Container<'_, '_> {
    #[inline]
    pub(super) fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.len += 1;
        value.serialize(&mut *self.encoder)
    }

    pub(super) fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.encoder.hashed = true;
        key.serialize(&mut *self.encoder)?;
        self.encoder.hashed = self.hashed;
        Ok(())
    }

    pub(super) fn close(self) -> Result<(), EncodeError> {
        let encoder = self.encoder;
        match self.length_at {
            Some(at) => {
                let len = count(self.what, self.len)?.to_le_bytes();
                encoder.out.bytes[at..at + len.len()].copy_from_slice(&len);
            }
            None => encoder.out.bytes.push(b'0'),
        }
        encoder.depth += 1;
        encoder.hashed = self.hashed;
        if self.variant {
            encoder.out.bytes.push(b'0');
            encoder.depth += 1;
        }
        Ok(())
    }
}

/// Containers whose items have no names.
macro_rules! sequences {
    ($($trait:ident $method:ident,)*) => {$(
        impl ser::$trait for Container<'_, '_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.item(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )*};
}

sequences! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

impl ser::SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.item(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

/// Structs.
macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Container<'_, '_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.key(name)?;
                self.item(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )*};
}

structs! { SerializeStruct SerializeStructVariant }

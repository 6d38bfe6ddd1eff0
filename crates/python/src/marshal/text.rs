//! Python's str: Unicode in which surrogates may stand alone, as `marshal` writes it ("surrogatepass").

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

use super::names;

/// A name of a file, an argument or a variable of the environment: a str over there, any bytes here.
///
/// What is not UTF-8 becomes surrogates, and they become what they stand for, as with
/// [`os.fsdecode`](https://docs.python.org/3/library/os.html#os.fsdecode) and "surrogateescape" (PEP 383). Bytes are taken
/// for a name too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FsString(pub OsString);

impl<T: Into<OsString>> From<T> for FsString {
    fn from(name: T) -> FsString {
        FsString(name.into())
    }
}

impl AsRef<OsStr> for FsString {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<Path> for FsString {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl Serialize for FsString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(names::STR, Bytes::new(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for FsString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FsString, D::Error> {
        deserializer.deserialize_newtype_struct(names::STR, NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = FsString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name of a file, as str or bytes")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<FsString, D::Error> {
        inner.deserialize_byte_buf(self)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<FsString, E> {
        Ok(name.into())
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<FsString, E> {
        Ok(OsStr::from_bytes(name).into())
    }

    fn visit_byte_buf<E: Error>(self, name: Vec<u8>) -> Result<FsString, E> {
        Ok(OsString::from_vec(name).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<FsString, A::Error> {
        let name = ByteBuf::deserialize(serde::de::value::SeqAccessDeserializer::new(items))?;
        Ok(OsString::from_vec(name.into_vec()).into())
    }
}

/// Whether it is the text of a str.
pub(super) fn is_text(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some((_, _, rest)) = split(bytes) else { return false };
        bytes = rest;
    }
    true
}

/// The name that such a text stands for, if it stands for one.
pub(super) fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    while !text.is_empty() {
        let (good, surrogate, rest) = split(text)?;
        name.extend_from_slice(good);
        match surrogate {
            None => {}
            // The bytes below 0x80 are always good.
            Some(code @ 0xdc80..=0xdcff) => name.push(code.to_le_bytes()[0]),
            Some(_) => return None,
        }
        text = rest;
    }
    Some(name)
}

/// Appends the text of a name of any bytes.
pub(super) fn escape(name: &[u8], text: &mut Vec<u8>) {
    for chunk in name.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            // U+DC00 + byte, in three bytes; the two upper bits of the byte are in the second.
            text.extend_from_slice(&[0xed, 0xb0 | byte >> 6, 0x80 | byte & 0x3f]);
        }
    }
}

/// The good beginning, the surrogate behind it, and what follows. `None`: neither good nor a surrogate.
fn split(bytes: &[u8]) -> Option<(&[u8], Option<u16>, &[u8])> {
    let Err(error) = std::str::from_utf8(bytes) else { return Some((bytes, None, &[])) };
    let (good, rest) = bytes.split_at(error.valid_up_to());
    let &[0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ref rest @ ..] = rest else {
        return None;
    };
    let code = 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f);
    Some((good, Some(code), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name` is what `os.fsencode` makes of `text`.
    #[track_caller]
    fn check(name: &[u8], text: &[u8]) {
        let mut escaped = Vec::new();
        escape(name, &mut escaped);
        assert_eq!(escaped, text);
        assert_eq!(unescape(text).as_deref(), Some(name));
        assert!(is_text(text));
    }

    #[test]
    fn names() {
        check(b"", b"");
        check("aé€😀".as_bytes(), "aé€😀".as_bytes());
        check(b"a\x80b\xff", b"a\xed\xb2\x80b\xed\xb3\xbf");
        check(b"\xc3", b"\xed\xb3\x83");
        // A surrogate written in UTF-8 is no UTF-8: '\udced\udcb2\udc80'.
        check(b"\xed\xb2\x80", b"\xed\xb3\xad\xed\xb2\xb2\xed\xb2\x80");
    }

    #[test]
    fn no_names() {
        for text in [&b"\xed\xa0\x80"[..], b"\xed\xb1\xbf", b"a\xed\xb4\x80", b"\xed\xbf\xbf"] {
            assert_eq!(unescape(text), None, "{text:x?}");
            assert!(is_text(text), "{text:x?}");
        }
    }

    #[test]
    fn no_text() {
        for bytes in [&b"\x80"[..], b"\xed", b"\xed\xb2", b"\xed\xb2\x7f", b"a\xc3", b"\xf5aaa"] {
            assert!(!is_text(bytes), "{bytes:x?}");
            assert_eq!(unescape(bytes), None, "{bytes:x?}");
        }
    }
}

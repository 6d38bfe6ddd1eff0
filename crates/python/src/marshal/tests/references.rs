//! What stands beside a value.

use std::collections::BTreeMap;

use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use super::super::{
    DecodeError, Decoder, Encoded, Limits, RAW, Reference, Value, Want, names, want,
};
use super::decode;

/// As the crate's own proxies do it: what it comes from, and its kind and number.
#[derive(Debug, PartialEq, PartialOrd, Eq, Ord)]
struct Proxy(&'static str, u64, u32);

fn object(owner: u64, n: u32) -> Proxy {
    Proxy(names::OBJECT, owner, n)
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(self.0, &(self.1, self.2))
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Proxy, D::Error> {
        struct ProxyVisitor;
        impl<'de> Visitor<'de> for ProxyVisitor {
            type Value = Proxy;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                pair: D,
            ) -> Result<Proxy, D::Error> {
                let (kind, n) = <(u8, u32)>::deserialize(pair)?;
                Ok(Proxy([names::OBJECT, names::CALLBACK][usize::from(kind)], 0, n))
            }
        }
        deserializer.deserialize_newtype_struct(names::OBJECT, ProxyVisitor)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Around(Proxy);

#[test]
fn there_and_back() {
    let mut encoded = Encoded::default();
    let big = ByteBuf::from(vec![7; RAW]);
    let small = ByteBuf::from(vec![8; RAW - 1]);
    let callback = Proxy(names::CALLBACK, 1, u32::MAX);
    encoded.value(&(object(1, 5), &big, Some(callback), small), 1).unwrap();
    let expected =
        [Reference::Object(5), Reference::Raw(RAW as u64), Reference::Callback(u32::MAX)];
    assert_eq!(encoded.refs, expected);
    assert_eq!(encoded.raws, [big.to_vec()]);
    let value_ends = encoded.bytes.len();
    encoded.refs();

    // Who reads it passes over the value first, as the references stand behind it.
    let mut decoder = Decoder::new(&encoded.bytes, &Limits::default());
    decoder.skip().unwrap();
    let refs = decoder.refs().unwrap();
    decoder.end().unwrap();
    assert_eq!(refs, expected);

    let mut raws: Vec<_> = encoded.raws.into_iter().map(Some).collect();
    let block = raws[0].as_ref().unwrap().as_ptr();
    let value = &encoded.bytes[..value_ends];
    let mut decoder = Decoder::with(value, &Limits::default(), &refs, &mut raws);
    let (first, bytes, third, _): (Proxy, ByteBuf, Option<Around>, IgnoredAny) =
        decoder.value().unwrap();
    decoder.end().unwrap();
    assert_eq!(first, object(0, 5));
    assert_eq!(third.unwrap().0, Proxy(names::CALLBACK, 0, u32::MAX));
    assert_eq!(bytes, big);
    assert_eq!(bytes.as_ptr(), block, "a raw block is moved, not copied");
}

/// Encodes it for connection 1.
#[track_caller]
fn check_refused(value: &impl Serialize, expected: &str) {
    let mut encoded = Encoded::default();
    encoded.str("before");
    let before = encoded.bytes.clone();
    // What comes before the fault is taken back.
    let error = encoded.value(&(vec![8; 3], object(1, 1), value), 1).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!((encoded.bytes, encoded.refs, encoded.raws), (before, vec![], vec![]));
}

#[test]
fn refused() {
    check_refused(&[object(2, 5)], "the object belongs to another connection");
    let as_key = "an object cannot be the key of a dict or be in a set that is copied";
    check_refused(&BTreeMap::from([((object(1, 5), 1), 1)]), as_key);
    let list = || Value::List(vec![]);
    let unhashable = "a list cannot be the key of a dict or be in a set: Python cannot hash it";
    check_refused(&Value::Set(vec![Value::Tuple(vec![list()])]), unhashable);
    check_refused(&Value::Dict(vec![(list(), Value::None)]), unhashable);
    let not_text = "the bytes are no str: neither UTF-8 nor surrogates";
    check_refused(&Value::SurrogateStr(vec![0xff]), not_text);
}

/// Reads `bytes` with these references and no raw blocks.
#[track_caller]
fn check<'a, T: Deserialize<'a> + std::fmt::Debug>(
    bytes: &'a [u8],
    refs: &'a [Reference],
    expected: &str,
) {
    let mut decoder = Decoder::with(bytes, &Limits::default(), refs, &mut []);
    let error = decoder.value::<T>().unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_copy_or_an_object() {
    let refs = &[Reference::Object(5)];
    let is_reference = "the value at byte 5 cannot be copied: ask for an `Object`";
    let list = b"[\x01\0\0\0S";
    check::<Vec<i64>>(list, refs, is_reference);
    check::<Vec<Option<String>>>(list, refs, is_reference);
    check::<Vec<ByteBuf>>(list, refs, is_reference);
    check::<Vec<super::super::FsString>>(list, refs, is_reference);
    check::<Vec<Option<()>>>(list, refs, is_reference);
    check::<Vec<f64>>(list, refs, is_reference);
    check::<Vec<BTreeMap<i32, i32>>>(list, refs, is_reference);
    check::<Value>(list, refs, is_reference);
    let was_copied = "the value at byte 0 was copied: ask for a type of Rust's";
    check::<Proxy>(b"T", &[], was_copied);
    check::<Option<Proxy>>(b"[\x01\0\0\0S", refs, was_copied);
    check::<Proxy>(b"S", &[Reference::Raw(5)], was_copied);
    assert!(matches!(decode::<Proxy>(b"."), Err(DecodeError::NotAReference { at: 0 })));
}

#[test]
fn hostile() {
    let lost = "a raw block that is missing or of another length at byte 0";
    check::<ByteBuf>(b"S", &[Reference::Raw(5)], lost);
    check::<IgnoredAny>(b"S", &[Reference::Raw(u64::MAX)], lost);
    check::<Proxy>(b"S", &[], "a reference to nothing at byte 0");
    let mut raws = [Some(vec![1, 2])];
    let refs = [Reference::Raw(3)];
    let mut decoder = Decoder::with(b"S", &Limits::default(), &refs, &mut raws);
    assert_eq!(decoder.value::<ByteBuf>().unwrap_err().to_string(), lost);
    let mut decoder = Decoder::with(b"N", &Limits::default(), &refs, &mut []);
    decoder.skip().unwrap();
    let error = decoder.end().unwrap_err().to_string();
    assert_eq!(error, "more references than the value has at byte 1");
}

#[test]
fn tables_of_references() {
    let refs = [Reference::Raw(1 << 40), Reference::Object(u32::MAX), Reference::Callback(0)];
    let mut encoded = Encoded { refs: refs.to_vec(), ..Encoded::default() };
    encoded.refs();
    assert_eq!(Decoder::new(&encoded.bytes, &Limits::default()).refs().unwrap(), refs);
    assert_eq!(encoded.refs, refs);

    #[track_caller]
    fn check(refs: &[(i64, i64)], expected: &str) {
        let mut encoded = Encoded::default();
        encoded.tuple(refs.len() as u32);
        for &(kind, n) in refs {
            encoded.tuple(2);
            encoded.int(kind);
            encoded.int(n);
        }
        let refs = Decoder::new(&encoded.bytes, &Limits::default()).refs();
        let said = refs.map_or_else(|error| error.to_string(), |refs| format!("{refs:?}"));
        assert_eq!(said, expected);
    }
    check(&[(0, 0), (2, 1 << 40)], "[Object(0), Raw(1099511627776)]");
    check(&[(0, -1)], "an unknown reference at byte 15");
    check(&[(1, 1 << 32)], "an unknown reference at byte 15");
    check(&[(2, -1)], "an unknown reference at byte 15");
    check(&[(3, 0)], "an unknown reference at byte 15");
}

#[test]
fn who_wants_an_object() {
    #[derive(Deserialize)]
    struct Loop(#[expect(dead_code, reason = "never made")] Option<Box<Loop>>);
    assert_eq!(want::<Proxy>(), Want::Object);
    assert_eq!(want::<Option<Proxy>>(), Want::Option);
    assert_eq!(want::<Option<Around>>(), Want::Option);
    assert_eq!(want::<Vec<Proxy>>(), Want::Value);
    assert_eq!(want::<(Proxy, i32)>(), Want::Value);
    assert_eq!(want::<()>(), Want::Nothing);
    assert_eq!(want::<Value>(), Want::Value);
    assert_eq!(want::<Loop>(), Want::Value);
}

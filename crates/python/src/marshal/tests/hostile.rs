//! Bytes that Python would not send.

use serde::de::IgnoredAny;

use super::super::{DecodeError, Decoder, EncodeError, Limits, Value};
use super::{decode, encode};

fn sample() -> Value {
    let text = |text: &str| Value::Str(text.into());
    Value::Dict(vec![
        (text("é"), Value::List(vec![Value::Int(1), Value::Int(1 << 100), Value::Float(0.5)])),
        (Value::None, Value::Set(vec![Value::Bool(true), Value::Bytes(vec![1, 2])])),
        (Value::Int(3), Value::Tuple(vec![Value::Complex(Default::default()), text("")])),
    ])
}

#[test]
fn cut_off_anywhere() {
    let bytes = encode(&sample()).unwrap();
    for len in 0..bytes.len() {
        let error = decode::<Value>(&bytes[..len]).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "{len}: {error}");
        let mut decoder = Decoder::new(&bytes[..len], &Limits::default());
        assert!(decoder.skip().is_err(), "{len}");
    }
    let mut decoder = Decoder::new(&bytes, &Limits::default());
    decoder.skip().unwrap();
    assert_eq!(decoder.rest(), b"");
    assert_eq!(decode::<Value>(&bytes).unwrap(), sample());
}

/// As a `Value`, as a list of text, and passed over.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let error = decode::<Value>(bytes).unwrap_err();
    assert_eq!(error.to_string(), expected);
    decode::<Vec<String>>(bytes).unwrap_err();
    // It looks at no text, and ints may be long.
    if !matches!(error, DecodeError::Malformed { .. } | DecodeError::BigInt { .. }) {
        assert_eq!(decode::<IgnoredAny>(bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn lengths() {
    for code in b"sut([<>" {
        check(&[&[*code][..], &[0xff; 4]].concat(), "a length below zero at byte 0");
        let most = [&[*code][..], &i32::MAX.to_le_bytes(), b"NNNN"].concat();
        check(&most, "the value is cut off: byte 0 begins what does not end");
        check(&[*code, 1, 0], "the value is cut off: byte 0 begins what does not end");
    }
    for count in [i32::MAX, i32::MIN, 1, -1] {
        let long = [&b"(\x01\0\0\0l"[..], &count.to_le_bytes()].concat();
        check(&long, "the value is cut off: byte 5 begins what does not end");
    }
}

#[test]
fn codes() {
    check(b"", "the value is cut off: byte 0 begins what does not end");
    check(b"c\0\0\0\0", "unknown type code 0x63 at byte 0");
    check(b"[\x01\0\0\0r\0\0\0\0", "unknown type code 0x72 at byte 5");
    check(b"\xe9\x01\0\0\0", "unknown type code 0xe9 at byte 0");
    check(b"{N0", "unknown type code 0x30 at byte 2");
    check(b"{NN", "the value is cut off: byte 2 begins what does not end");
    check(b"S", "a reference to nothing at byte 0");
    for code in 0..=255 {
        let known = b"NTF.SilgysutN([<>{".contains(&code);
        let unknown = decode::<Value>(&[code; 20]).unwrap_err();
        assert_eq!(matches!(unknown, DecodeError::UnknownCode { .. }), !known, "{code}: {unknown}");
    }
}

#[test]
fn content() {
    check(b"u\x01\0\0\0\x80", "a str that is no text at byte 0");
    check(b"u\x03\0\0\0\xed\xa0a", "a str that is no text at byte 0");
    check(b"l\x01\0\0\0\0\x80", "a digit of more than 15 bits at byte 0");
    let big = "the int at byte 0 does not fit into 128 bits: ask for its `str`, or for an `Object`";
    check(&[&b"l\x0a\0\0\0"[..], &[1; 20]].concat(), big);
    check(&[&b"l\x09\0\0\0"[..], &[0xff, 0x7f].repeat(9)].concat(), big);
    check(&[&b"l\xf7\xff\xff\xff"[..], &[0xff, 0x7f].repeat(8), &[0xff, 0]].concat(), big);
    // Zeros in front change nothing.
    let zeros = [&b"l\x0f\0\0\0\x05\0"[..], &[0; 28]].concat();
    assert_eq!(decode::<Value>(&zeros).unwrap(), Value::Int(5));
    assert_eq!(decode::<i8>(b"l\0\0\0\0").unwrap(), 0);
    let trailing = decode::<Value>(b"NN").unwrap_err().to_string();
    assert_eq!(trailing, "something follows the end of the value, from byte 1 on");
}

#[test]
fn a_million_levels() {
    let deep = b"[\x01\0\0\0".repeat(1_000_000);
    check(&deep, "the value is nested deeper than 200 levels, at byte 1000");
    check(&b"{".repeat(1_000_000), "the value is nested deeper than 200 levels, at byte 200");
    let lists = |levels| [b"[\x01\0\0\0".repeat(levels), b"N".to_vec()].concat();
    assert!(decode::<Value>(&lists(200)).is_ok());
    assert!(decode::<Value>(&lists(201)).is_err());
    let nest = |levels, value| (0..levels).fold(value, |inner, _| Value::List(vec![inner]));
    assert_eq!(encode(&nest(200, Value::None)).unwrap(), lists(200));
    assert!(matches!(encode(&nest(201, Value::None)), Err(EncodeError::TooDeep { limit: 200 })));
    let complex = nest(200, Value::Complex(Default::default()));
    assert_eq!(decode::<Value>(&encode(&complex).unwrap()).unwrap(), complex);
}

#[test]
fn a_type_around_itself() {
    #[derive(Debug, serde::Deserialize)]
    struct Around(#[expect(dead_code, reason = "only made")] Option<Box<Around>>);
    let error = decode::<Around>(b"T").unwrap_err();
    assert!(matches!(error, DecodeError::TooDeep { limit: 64, at: 0 }), "{error}");
    assert!(decode::<Around>(b"N").is_ok());
    // What is read in between makes it right again.
    let bytes = encode(&vec![Some(Some(1)); 100]).unwrap();
    assert_eq!(decode::<Vec<Option<Option<i32>>>>(&bytes).unwrap().len(), 100);
}

#[test]
fn too_many() {
    let bytes = encode(&[None::<()>; 9]).unwrap();
    for (nodes, enough) in [(10, true), (9, false), (0, false)] {
        let limits = Limits { nodes, ..Limits::default() };
        assert_eq!(Decoder::new(&bytes, &limits).value::<Value>().is_ok(), enough);
        assert_eq!(Decoder::new(&bytes, &limits).skip().is_ok(), enough);
    }
}

#[test]
fn promises_make_no_space() {
    // Lists in each other, each of which promises as many items as there are bytes.
    let mut bytes = Vec::new();
    for level in 0..200 {
        bytes.push(b'[');
        bytes.extend_from_slice(&(4_000_000_u32 - 5 * level).to_le_bytes());
    }
    bytes.resize(4_001_000, b'N');
    let decoder = Decoder::new(&bytes, &Limits::default());
    assert_eq!(decoder.hint(5), 5);
    let mut decoder = decoder;
    let mut together = 0;
    for _ in 0..200 {
        decoder.token().unwrap();
        decoder.enter().unwrap();
        together += decoder.hint(4_000_000);
    }
    assert!(together < 6 * bytes.len(), "{together}");
}

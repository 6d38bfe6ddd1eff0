//! Types of Rust, as the table in the module's documentation has them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::super::{Complex, Decoder, Encoded, FsString, Limits, Value};
use super::{decode, encode};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: Option<f32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i32, i32),
    Rect { w: i32, h: i32 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(i64),
    Text(String),
    Numbers(Vec<i64>),
}

/// It is that value for Python, and comes back as it was.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T, python: Value) {
    let bytes = encode(&value).unwrap();
    assert_eq!(decode::<Value>(&bytes).unwrap(), python);
    assert_eq!(decode::<T>(&bytes).unwrap(), value);
}

/// Python's value can be had as this.
#[track_caller]
fn check_from<T: DeserializeOwned + Debug + PartialEq>(python: &Value, expected: T) {
    assert_eq!(decode::<T>(&encode(python).unwrap()).unwrap(), expected);
}

#[track_caller]
fn check_not<T: DeserializeOwned + Debug>(python: &Value, expected: &str) {
    let error = decode::<T>(&encode(python).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

fn ints(ints: &[i128]) -> Vec<Value> {
    ints.iter().map(|&n| Value::Int(n)).collect()
}

fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Dict(pairs.into_iter().map(|(key, value)| (text(key), value)).collect())
}

#[test]
fn scalars() {
    check((), Value::None);
    check(None::<u8>, Value::None);
    check(Some(true), Value::Bool(true));
    check(-5_i8, Value::Int(-5));
    check(u64::MAX, Value::Int(u64::MAX.into()));
    check(i128::MIN, Value::Int(i128::MIN));
    check(1.5_f32, Value::Float(1.5));
    check(0.1_f64, Value::Float(0.1));
    check('é', text("é"));
    check(String::from("é"), text("é"));
    check(ByteBuf::from(*b"a\xff"), Value::Bytes(b"a\xff".to_vec()));
    check(Complex { re: 1.0, im: -2.0 }, Value::Complex(Complex { re: 1.0, im: -2.0 }));
    check("1.2.3.4".parse::<IpAddr>().unwrap(), text("1.2.3.4"));
    assert_eq!(decode::<u128>(&encode(&u128::MAX).unwrap()).unwrap(), u128::MAX);
    assert_eq!(decode::<()>(b".").unwrap(), ());
    assert_eq!(decode::<Option<u8>>(b".").unwrap(), None);
}

#[test]
fn containers() {
    check(vec![1, 2], Value::List(ints(&[1, 2])));
    check(BTreeSet::from([1, 2]), Value::List(ints(&[1, 2])));
    check((1, 2), Value::Tuple(ints(&[1, 2])));
    check([1, 2], Value::Tuple(ints(&[1, 2])));
    check(HashMap::from([(7, "x".to_owned())]), Value::Dict(vec![(Value::Int(7), text("x"))]));
    check(vec![1_u8], Value::List(ints(&[1])));
    check(vec![(); 300], Value::List(vec![Value::None; 300]));
    check(vec![vec![0; 1]; 300], Value::List(vec![Value::List(ints(&[0])); 300]));
    check(vec![BTreeMap::<u8, u8>::new(); 300], Value::List(vec![dict([]); 300]));
    check(Meters(2.0), Value::Float(2.0));
    check(Pair(1, "a".into()), Value::Tuple(vec![Value::Int(1), text("a")]));
    let point = dict([("x", Value::Int(1)), ("y", Value::None)]);
    check(Point { x: 1, y: None }, point);
}

#[test]
fn enums() {
    check(Shape::Empty, text("Empty"));
    check(Shape::Circle(0.5), dict([("Circle", Value::Float(0.5))]));
    check(Shape::Line(1, 2), dict([("Line", Value::Tuple(ints(&[1, 2])))]));
    let sides = dict([("w", Value::Int(1)), ("h", Value::Int(2))]);
    check(Shape::Rect { w: 1, h: 2 }, dict([("Rect", sides)]));
    check(vec![Shape::Empty, Shape::Line(1, 2), Shape::Empty], {
        let line = dict([("Line", Value::Tuple(ints(&[1, 2])))]);
        Value::List(vec![text("Empty"), line, text("Empty")])
    });
    // As many beside each other as there may not be in each other.
    let lines: Vec<Shape> = (0..300).map(|n| Shape::Line(n, n)).collect();
    assert_eq!(decode::<Vec<Shape>>(&encode(&lines).unwrap()).unwrap(), lines);
    check_from(&dict([("Empty", Value::None)]), Shape::Empty);
    check_from(&text("a"), Either::Text("a".into()));
    check_from(&Value::Int(3), Either::Number(3));
    check_from(&Value::Set(ints(&[3])), Either::Numbers(vec![3]));
    let two = dict([("Empty", Value::None), ("Circle", Value::None)]);
    check_not::<Shape>(&two, "a variant is a dict of one item, at byte 11");
    check_not::<Shape>(&Value::Int(1), {
        "invalid type: integer `1`, expected a str or a dict of one item, at byte 0"
    });
}

#[test]
fn what_else_is_taken() {
    for sequence in [Value::List, Value::Tuple, Value::Set, Value::FrozenSet] {
        check_from(&sequence(ints(&[1, 2])), vec![1, 2]);
        check_from(&sequence(ints(&[1, 2])), (1, 2));
        check_from(&sequence(ints(&[1])), [1]);
    }
    check_from(&Value::Bytes(vec![1, 255]), vec![1_u8, 255]);
    check_from(&Value::Bytes(vec![1, 255]), [1_u8, 255]);
    check_from(&Value::List(ints(&[1, 255])), ByteBuf::from(vec![1, 255]));
    check_from(&Value::Int(-3), -3.0_f64);
    check_from(&Value::Int((1 << 53) + 1), 9007199254740992.0_f64);
    check_from(&Value::Int(1 << 100), 1.2676506002282294e30_f64);
    check_from(&Value::Int(-3), -3.0_f32);
    check_from(&Value::Float(2.0), Complex { re: 2.0, im: 0.0 });
    check_from(&Value::Int(2), Complex { re: 2.0, im: 0.0 });
    check_from(&Value::Complex(Complex { re: 1.0, im: 2.0 }), (1.0, 2.0));
    check_from(&Value::Tuple(ints(&[1, 2])), Point { x: 1, y: Some(2.0) });
    // Keys that nobody asks for, whatever they and their values are.
    let more = Value::Dict(vec![
        (Value::SurrogateStr(b"\xed\xb2\x80".to_vec()), Value::Set(ints(&[1 << 100]))),
        (text("x"), Value::Int(1)),
        (text("y"), Value::None),
    ]);
    check_from(&more, Point { x: 1, y: None });
}

#[test]
fn what_is_not() {
    let number = Value::Tuple(vec![Value::None, Value::Int(300)]);
    check_not::<((), u8)>(&number, "invalid value: integer `300`, expected u8, at byte 6");
    check_not::<((), String)>(&number, "invalid type: integer `300`, expected a string, at byte 6");
    check_not::<((),)>(&number, "a sequence of 2 items is too long, at byte 0");
    check_not::<((), u16, ())>(&number, {
        "invalid length 2, expected a tuple of size 3, at byte 6"
    });
    check_not::<i32>(&Value::Bool(true), {
        "invalid type: boolean `true`, expected i32, at byte 0"
    });
    check_not::<String>(&Value::Bytes(vec![65]), {
        "invalid type: byte array, expected a string, at byte 0"
    });
    check_not::<ByteBuf>(&text("a"), {
        "invalid type: string \"a\", expected byte array, at byte 0"
    });
    check_not::<[u8; 1]>(&Value::Bytes(vec![1, 2]), {
        "invalid length 2, expected 1 element in sequence, at byte 0"
    });
    check_not::<Vec<Point>>(&Value::List(vec![dict([])]), "missing field `x`, at byte 5");
    check_not::<BTreeMap<i32, i32>>(&Value::None, {
        "invalid type: unit value, expected a map, at byte 0"
    });
}

#[test]
fn names_of_files() {
    let name = || FsString(OsString::from_vec(b"a\xff".to_vec()));
    check(name(), Value::SurrogateStr(b"a\xed\xb3\xbf".to_vec()));
    check(FsString::from("é"), text("é"));
    check_from(&Value::Bytes(b"a\xff".to_vec()), name());
    let surrogates = Value::SurrogateStr(b"\xed\xb3\xbf".to_vec());
    check_not::<String>(&surrogates, {
        "the str at byte 0 has surrogates, which no Rust string holds: ask for an `FsString`"
    });
    check_not::<FsString>(&Value::SurrogateStr(b"\xed\xa0\x80".to_vec()), {
        "the str at byte 0 is no name of a file: it has surrogates that stand for no byte"
    });
    check_not::<FsString>(&Value::Int(1), {
        "invalid type: integer `1`, expected a name of a file, as str or bytes, at byte 0"
    });
}

#[test]
fn borrowed() {
    let bytes = encode(&("text", ByteBuf::from(*b"bytes"))).unwrap();
    let mut decoder = Decoder::new(&bytes, &Limits::default());
    let (text, blob): (&str, &[u8]) = decoder.value().unwrap();
    assert!(bytes.as_ptr_range().contains(&text.as_ptr()));
    assert_eq!((text, blob), ("text", &b"bytes"[..]));
}

#[test]
fn by_hand() {
    let mut encoded = Encoded::default();
    encoded.tuple(4);
    encoded.int(i64::MIN);
    encoded.str("é");
    encoded.none();
    encoded.value(&[1.5], 0).unwrap();
    let mut decoder = Decoder::new(&encoded.bytes, &Limits::default());
    assert_eq!(decoder.tuple().unwrap(), 4);
    assert_eq!(decoder.int().unwrap(), i64::MIN);
    assert_eq!(decoder.str().unwrap(), "é");
    assert_eq!(decoder.rest().len(), 1 + 5 + 9);
    decoder.skip().unwrap();
    let error = decoder.int().unwrap_err().to_string();
    assert_eq!(error, "invalid type: sequence, expected an int of 64 bits, at byte 28");
}

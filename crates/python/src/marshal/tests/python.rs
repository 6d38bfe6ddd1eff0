//! Python's own marshal is the judge.

use std::io::Write;
use std::process::{Command, Stdio};

use super::super::{Complex, Value};
use super::{decode, encode};

/// Reads lines of `what we have encoded, in hex` tab `source`; prints what Python makes of the source, in hex, and whether
/// what we have encoded is the same in Python. Sets have no order, so they are compared as such.
const JUDGE: &str = r"
import marshal, sys
from binascii import hexlify, unhexlify
for line in sys.stdin.buffer:
    ours, source = line.rstrip(b'\n').split(b'\t')
    theirs = eval(source.decode('utf-8'))
    ours = marshal.loads(unhexlify(ours))
    same = repr(ours) == repr(theirs) or isinstance(ours, (set, frozenset)) and ours == theirs
    print(hexlify(marshal.dumps(theirs, 2)).decode(), same and type(ours) is type(theirs), ascii(ours))
";

/// Each source in Python, and the value that it is.
fn table() -> Vec<(String, Value)> {
    let mut table: Vec<(String, Value)> = scalars();
    table.extend(ints());
    table.extend(containers());
    table
}

fn int(n: i128) -> Value {
    Value::Int(n)
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

fn rows<const N: usize>(rows: [(&str, Value); N]) -> Vec<(String, Value)> {
    rows.into_iter().map(|(source, value)| (source.into(), value)).collect()
}

fn scalars() -> Vec<(String, Value)> {
    let complex = |re, im| Value::Complex(Complex { re, im });
    rows([
        ("None", Value::None),
        ("True", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("0.0", Value::Float(0.0)),
        ("-0.0", Value::Float(-0.0)),
        ("0.1", Value::Float(0.1)),
        ("5e-324", Value::Float(5e-324)),
        ("-1.7976931348623157e308", Value::Float(f64::MIN)),
        ("float('inf')", Value::Float(f64::INFINITY)),
        ("float('nan')", Value::Float(f64::NAN)),
        ("complex(1.5, -0.0)", complex(1.5, -0.0)),
        ("complex('nan-infj')", complex(f64::NAN, f64::NEG_INFINITY)),
        ("''", text("")),
        ("'a'", text("a")),
        (r"'a\0b\nc'", text("a\0b\nc")),
        ("'é€😀\u{fffd}\u{ffff}'", text("é€😀\u{fffd}\u{ffff}")),
        ("'x' * 70000", text(&"x".repeat(70000))),
        (r"'a\udc80b'", Value::SurrogateStr(b"a\xed\xb2\x80b".to_vec())),
        (r"'\ud83d\ude00'", Value::SurrogateStr(b"\xed\xa0\xbd\xed\xb8\x80".to_vec())),
        ("b''", Value::Bytes(Vec::new())),
        (r"b'a\0\xff'", Value::Bytes(b"a\0\xff".to_vec())),
        ("b'x' * 65535", Value::Bytes(vec![b'x'; 65535])),
    ])
}

/// Around all borders of digits, words and signs.
fn ints() -> Vec<(String, Value)> {
    let mut rows = vec![(format!("-2**{}", 127), int(i128::MIN))];
    for bit in 0..127 {
        for near in [-1, 0, 1] {
            let n = (1_i128 << bit) + near;
            rows.push((format!("2**{bit} + {near}"), int(n)));
            rows.push((format!("-2**{bit} + {near}"), int(-(1_i128 << bit) + near)));
        }
    }
    rows
}

fn containers() -> Vec<(String, Value)> {
    let nested = (0..100).fold(Value::Tuple(Vec::new()), |inner, _| Value::List(vec![inner]));
    let pair = |n| Value::Tuple(vec![int(n), Value::None]);
    let mut rows = rows([
        ("[]", Value::List(vec![])),
        ("()", Value::Tuple(vec![])),
        ("{}", Value::Dict(vec![])),
        ("set()", Value::Set(vec![])),
        ("frozenset()", Value::FrozenSet(vec![])),
        ("[1, 'a', [None]]", Value::List(vec![int(1), text("a"), Value::List(vec![Value::None])])),
        ("(1,)", Value::Tuple(vec![int(1)])),
        ("(7, None)", pair(7)),
        ("{1: 'b', None: [], 'a': {}}", {
            Value::Dict(vec![
                (int(1), text("b")),
                (Value::None, Value::List(vec![])),
                (text("a"), Value::Dict(vec![])),
            ])
        }),
        ("{(7, None): {(7, None)}}", Value::Dict(vec![(pair(7), Value::Set(vec![pair(7)]))])),
        ("{1, 2, 3}", Value::Set(vec![int(1), int(2), int(3)])),
        ("{frozenset([(1,)])}", {
            Value::Set(vec![Value::FrozenSet(vec![Value::Tuple(vec![int(1)])])])
        }),
        // One object in several places: no back references in version 2.
        ("(lambda x: [x, x])('ab')", Value::List(vec![text("ab"), text("ab")])),
        ("[300] * 1000", Value::List(vec![int(300); 1000])),
        ("{b'x' * 70000: 1}", Value::Dict(vec![(Value::Bytes(vec![b'x'; 70000]), int(1))])),
    ]);
    rows.push((format!("{}(){}", "[".repeat(80), "]".repeat(80)), {
        (0..80).fold(Value::Tuple(Vec::new()), |inner, _| Value::List(vec![inner]))
    }));
    rows.push(("__import__('functools').reduce(lambda x, _: [x], range(100), ())".into(), nested));
    rows
}

#[test]
fn both_ways() {
    let python = match testkit::find_program("python3") {
        Ok(python) => python,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let mut input = String::new();
    for (source, value) in table() {
        input.extend(encode(&value).unwrap().iter().map(|byte| format!("{byte:02x}")));
        input.push_str(&format!("\t{source}\n"));
    }
    let output = testkit::within_deadline("python3", move || {
        let mut child = Command::new(python)
            .args(["-c", JUDGE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    });
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), table().len());
    for ((source, value), line) in table().iter().zip(lines) {
        check(source, value, line);
    }
}

/// `said` is the judge's line.
#[track_caller]
fn check(source: &str, value: &Value, said: &str) {
    let (theirs, said) = said.split_once(' ').unwrap();
    assert!(said.starts_with("True "), "{source} is for Python: {said:.200}");
    let theirs: Vec<u8> = (0..theirs.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&theirs[at..at + 2], 16).unwrap())
        .collect();
    let decoded: Value = decode(&theirs).unwrap_or_else(|error| panic!("{source}: {error}"));
    // So NaN is what it is, and the sign of zero counts.
    assert_eq!(format!("{decoded:?}"), format!("{value:?}"), "{source}");
}

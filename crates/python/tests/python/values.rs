//! Values both ways: all types, large ones, deep ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use serde_bytes::ByteBuf;
use testkit::within_deadline;
use thither_python::{Complex, Error, FsString, Object, Python, Value, locals};

use crate::{assert_alive, program, python, quiet, raised};

#[track_caller]
fn check(py: &Python, source: &str, value: Value) {
    let got: Value = py.eval(source, ()).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(got, value, "{source}");
    let names = locals! { ours: &value, source: source };
    let same = "(type(ours) is type(eval(source)) and ours == eval(source))";
    assert!(py.eval::<bool>(same, names).unwrap(), "{source}");
}

#[test]
fn both_ways() {
    within_deadline("values", || {
        let py = python();
        let text = |text: &str| Value::Str(text.into());
        let int = Value::Int;
        check(&py, "None", Value::None);
        check(&py, "True", Value::Bool(true));
        for n in [
            0,
            -1,
            i128::from(i32::MAX) + 1,
            i128::from(i64::MIN),
            i128::from(u64::MAX),
            i128::MAX,
            i128::MIN,
        ] {
            check(&py, &n.to_string(), int(n));
        }
        check(&py, "1.5", Value::Float(1.5));
        check(&py, "1-2j", Value::Complex(Complex { re: 1.0, im: -2.0 }));
        check(&py, "'aé€😀\\0'", text("aé€😀\0"));
        check(&py, "b'\\0\\xff'", Value::Bytes(vec![0, 255]));
        check(&py, "'\\udcff'", Value::SurrogateStr(b"\xed\xb3\xbf".into()));
        check(
            &py,
            "(1, (), [[]], {})",
            Value::Tuple(vec![
                int(1),
                Value::Tuple(vec![]),
                Value::List(vec![Value::List(vec![])]),
                Value::Dict(vec![]),
            ]),
        );
        check(
            &py,
            "{'a': 1, (2,): None}",
            Value::Dict(vec![(text("a"), int(1)), (Value::Tuple(vec![int(2)]), Value::None)]),
        );
        check(&py, "{1}", Value::Set(vec![int(1)]));
        check(&py, "frozenset([1])", Value::FrozenSet(vec![int(1)]));
    });
}

#[test]
fn types_of_rust() {
    within_deadline("values", || {
        let py = python();
        assert_eq!(py.eval::<HashMap<String, u8>>("{'a': 1}", ()).unwrap()["a"], 1);
        assert!(py.eval::<BTreeMap<i8, bool>>("{-1: True}", ()).unwrap()[&-1]);
        assert!(py.eval::<HashSet<char>>("{'x', 'y'}", ()).unwrap().contains(&'y'));
        assert_eq!(
            py.eval::<(Option<i64>, Option<i64>)>("(None, 1)", ()).unwrap(),
            (None, Some(1))
        );
        assert_eq!(py.eval::<[f32; 2]>("[1, .5]", ()).unwrap(), [1.0, 0.5]);
        assert_eq!(py.eval::<Vec<u8>>("b'ab'", ()).unwrap(), b"ab");
        py.eval::<()>("object()", ()).unwrap();
        py.eval::<()>("None", ()).unwrap();
        assert!(py.eval::<Option<Object>>("None", ()).unwrap().is_none());
        let some = py.eval::<Option<Object>>("[1]", ()).unwrap().unwrap();
        assert_eq!(some.len().unwrap(), 1);
        let zero = py.eval::<Option<Object>>("0", ()).unwrap().expect("0 is not None");
        assert_eq!(zero.extract::<i64>().unwrap(), 0);
        let (n, o, none): (i64, Object, Option<i64>) = py.eval("(1, object(), None)", ()).unwrap();
        assert!(n == 1 && none.is_none() && o.repr().unwrap().starts_with("<object"));
        // Not what was asked for: said, with nothing lost.
        assert!(matches!(py.eval::<u8>("256", ()), Err(Error::Decode(_))));
        assert!(matches!(py.eval::<i64>("'x'", ()), Err(Error::Decode(_))));
        assert!(matches!(py.eval::<i64>("1 << 200", ()), Err(Error::Decode(_))));
        assert!(matches!(py.eval::<i64>("object()", ()), Err(Error::Decode(_))));
        assert!(matches!(py.eval::<Value>("object()", ()), Err(Error::Decode(_))));
        assert_alive(&py);
    });
}

#[test]
fn subclasses_and_views_are_copied_as_what_they_are_based_on() {
    within_deadline("values", || {
        let py = python();
        py.exec("import enum, collections\nclass E(enum.IntEnum): A = 5\nclass S(str): pass\nP = collections.namedtuple('P', 'x y')", ()).unwrap();
        assert_eq!(py.eval::<i64>("E.A", ()).unwrap(), 5);
        assert_eq!(py.eval::<String>("S('x')", ()).unwrap(), "x");
        assert_eq!(py.eval::<(i64, i64)>("P(1, 2)", ()).unwrap(), (1, 2));
        assert_eq!(
            py.eval::<HashMap<String, Vec<i64>>>("collections.OrderedDict(a=range(3))", ())
                .unwrap()["a"],
            [0, 1, 2]
        );
        assert_eq!(py.eval::<Vec<String>>("{'a': 1}.keys()", ()).unwrap(), ["a"]);
        assert_eq!(py.eval::<ByteBuf>("bytearray(b'x')", ()).unwrap(), b"x");
        assert_eq!(py.eval::<Vec<i64>>("collections.deque([1])", ()).unwrap(), [1]);
        for not in [
            "compile('1', 'x', 'eval')",
            "[compile('1', 'x', 'eval')]",
            "StopIteration",
            "[StopIteration, object()]",
            "iter([])",
        ] {
            assert!(py.eval::<Value>(not, ()).is_err(), "{not}");
            assert_alive(&py);
        }
    });
}

#[test]
fn large_messages() {
    within_deadline("large values", || {
        let py = python();
        let len = py.get("len").unwrap();
        for size in [65535, 65536, 65537, 1 << 20, 40_000_003] {
            let bytes = ByteBuf::from(vec![b'x'; size]);
            assert_eq!(len.call1::<usize>((&bytes,)).unwrap(), size);
            let back: ByteBuf = py.eval("b'y' * n", locals! { n: size }).unwrap();
            assert!(back.len() == size && back.iter().all(|&byte| byte == b'y'));
        }
        let text: String = py.eval("s * 2", locals! { s: "é".repeat(1 << 20) }).unwrap();
        assert_eq!(text.len(), 4 << 20);
        let both = (ByteBuf::from(vec![1; 70_000]), 5, vec![ByteBuf::from(vec![2; 80_000])]);
        let (n, back): (usize, ByteBuf) =
            py.eval("(b[1] + len(b[0]), b[2][0] * 2)", locals! { b: both }).unwrap();
        assert_eq!((n, back.len()), (70_005, 160_000));
        let numbers: Vec<i64> = (0..300_000).collect();
        let back: Vec<i64> = py.eval("[x + 1 for x in l]", locals! { l: &numbers }).unwrap();
        assert_eq!(back.iter().sum::<i64>(), numbers.iter().sum::<i64>() + 300_000);
    });
}

/// What is as large as that travels as it lies in memory.
#[test]
fn large_views() {
    within_deadline("large views", || {
        let py = python();
        let check = |source: &str, len: usize| {
            let got: ByteBuf =
                py.eval(source, ()).unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(got.len(), len, "{source}");
            assert_alive(&py);
        };
        check("bytearray(100000)", 100_000);
        check("memoryview(bytes(100000))", 100_000);
        check("memoryview(bytes(200000))[::2]", 100_000);
        check("memoryview(bytes(200000))[::-1]", 200_000);
        check("memoryview(__import__('array').array('i', range(100000)))", 400_000);
        check("memoryview(__import__('array').array('i', range(65536)))", 262_144);
        check("memoryview(bytes(1 << 18)).cast('B', (1 << 17, 2))", 1 << 18);
    });
}

#[test]
fn values_too_deep() {
    within_deadline("deep values", || {
        let py = python();
        py.exec("def deep(n, l=()):\n  for _ in range(n): l = [l]\n  return l", ()).unwrap();
        let deep = py.get("deep").unwrap();
        assert!(deep.call1::<Value>((150,)).is_ok());
        for depth in [250, 1000, 1990, 2001, 100_000] {
            assert!(deep.call1::<Value>((depth,)).is_err(), "{depth}");
            assert_alive(&py);
            // As an object it is none.
            assert_eq!(deep.call1::<Object>((depth,)).unwrap().len().unwrap(), 1);
        }
        let mut value = Value::None;
        for _ in 0..1000 {
            value = Value::List(vec![value]);
        }
        assert!(matches!(py.get("len").unwrap().call1::<i64>((&value,)), Err(Error::Encode(_))));
        assert!(py.eval::<Value>("(lambda l: (l.append(l), l)[1])([])", ()).is_err());
        assert_alive(&py);
    });
}

#[test]
fn values_too_large() {
    within_deadline("giant values", || {
        let mut start = quiet();
        start.max_frame = 1 << 20;
        start.limits.nodes = 1000;
        let py = start.local(program()).unwrap();
        assert!(matches!(py.eval::<Value>("[0] * 2000", ()), Err(Error::Decode(_))));
        assert_alive(&py);
        for source in ["b'x' * (2 << 20)", "'x' * (2 << 20)", "(1, b'x' * (2 << 20))"] {
            let error = py.eval::<Value>(source, ()).unwrap_err();
            assert!(matches!(error, Error::TooLarge { most: 0x10_0000 }), "{error}");
            assert_alive(&py);
        }
        // What is refused over there, for want of memory, is an exception.
        assert!(raised(py.eval::<Value>("'x' * (1 << 62)", ())).is_instance_of("Exception"));
        assert_alive(&py);
    });
}

#[test]
fn file_names_that_are_not_utf_8() {
    within_deadline("names", || {
        let folder = tempfile::tempdir().unwrap();
        let name = OsString::from_vec(b"a\xff\xe9b".to_vec());
        let path = folder.path().join(&name);
        std::fs::write(&path, "x").unwrap();
        let py = python();
        let list = py.get("os.listdir").unwrap();
        let found: Vec<FsString> = list.call1((folder.path(),)).unwrap();
        assert_eq!(found, [FsString(name)]);
        let size: u64 = py.get("os.path.getsize").unwrap().call1((FsString::from(&path),)).unwrap();
        assert_eq!(size, 1);
        // As a String it is an error that says what to ask for.
        let error = list.call1::<Vec<String>>((folder.path(),)).unwrap_err();
        let Error::Decode(error) = error else { panic!("{error}") };
        assert!(error.to_string().contains("FsString"), "{error}");
        let error =
            raised(py.get("os.stat").unwrap().call1::<()>((FsString::from("/no/\u{fffd}"),)));
        assert_eq!(error.kind, "FileNotFoundError");
        assert_alive(&py);
    });
}

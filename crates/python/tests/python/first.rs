//! The first calls, which the first part of the agent answers as long as they are plain; and those that are not.

use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_bytes::Bytes;
use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Error, Object, Python, Value, locals};

use crate::output::{listened, taken};
use crate::{assert_alive, python, raised};

/// Calls a function by its dotted name.
fn call(py: &Python, name: &str, args: impl Serialize) -> Result<Value, Error> {
    py.get(name)?.call1(args)
}

fn has_second_part(py: &Python) -> bool {
    py.get("thither_agent.Agent.is_ripe.__bool__").unwrap().call0().unwrap()
}

#[test]
fn plain_ones_need_nothing_else() {
    #[track_caller]
    fn check(py: &Python, name: &str, args: impl Serialize, expected: Value) {
        assert_eq!(call(py, name, args).unwrap(), expected, "{name}");
        assert!(!has_second_part(py), "{name}");
    }
    within_deadline("calls", || {
        let py = python();
        check(&py, "os.getpid", (), Value::Int(py.info().pid.into()));
        check(&py, "os.path.join", ("a", "b"), Value::Str("a/b".into()));
        check(&py, "colorsys.__name__.upper", (), Value::Str("COLORSYS".into()));
        py.get("os.getcwd").unwrap().call0::<()>().unwrap();
        // Eight are enough.
        assert!(!has_second_part(&py) && has_second_part(&py));
        assert_alive(&py);
    });
}

#[test]
fn others_are_answered_as_ever() {
    #[track_caller]
    fn check<T: std::fmt::Debug>(what: impl Fn(&Python) -> Result<T, Error>, expected: &str) {
        // The very first, and the one behind a plain one.
        for plain in [0, 1] {
            let py = python();
            (0..plain).for_each(|_| drop(call(&py, "os.getpid", ()).unwrap()));
            let got = match what(&py) {
                Ok(value) => format!("{value:?}"),
                Err(error) => {
                    let error = raised(Err::<(), _>(error));
                    let ours = ["thither", "<string>"].map(|name| error.traceback.contains(name));
                    assert_eq!(ours, [false; 2], "{}", error.traceback);
                    error.kind
                }
            };
            assert_eq!(got, expected);
            assert!(has_second_part(&py));
            assert_alive(&py);
        }
    }
    within_deadline("calls", || {
        check(|py| call(py, "os.nothing", ()), "AttributeError");
        check(|py| call(py, "no_such_module.f", ()), "ModuleNotFoundError");
        check(|py| call(py, "os.stat", ("/no/such",)), "FileNotFoundError");
        check(|py| call(py, "sys.exit", ()), "SystemExit");
        check(|py| call(py, "xml.dom.minidom.Document.__name__.upper", ()), r#"Str("DOCUMENT")"#);
        check(|py| call(py, "sorted", ([2, 1],)), "List([Int(1), Int(2)])");
        check(|py| call(py, "collections.OrderedDict", ()), "Dict([])");
        check(|py| call(py, "len", ("x".repeat(100_000),)), "Int(100000)");
        let missing = |got: Option<Object>| got.is_none();
        check(|py| py.get("os.getenv")?.call1(("no such",)).map(missing), "true");
        check(|py| py.get("object")?.call0::<Object>().map(drop), "()");
        check(|py| py.get("os.sep")?.extract::<String>(), r#""/""#);
        check(|py| py.eval::<i64>("f(2)", locals! { f: py.callback(|(n,): (i64,)| Ok(n)) }), "2");
    });
}

/// What is printed comes before the reply, or while nothing is asked.
#[test]
fn what_is_printed() {
    #[track_caller]
    fn check(name: &str, args: impl Serialize, expected: &str) {
        let (py, seen) = listened();
        call(&py, name, args).unwrap();
        assert_eq!(taken(&seen), expected, "{name}");
        assert_alive(&py);
    }
    within_deadline("output", || {
        check("print", ("a", "b"), ">a b\n");
        check("sys.stderr.write", ("c",), "!c");
        check("os.system", ("echo d; echo e >&2",), ">d\n!e\n");
        check("os.write", (2, Bytes::new(b"f\n")), "!f\n");
        // Of a child that goes on.
        let (py, seen) = listened();
        call(&py, "os.system", ("(sleep .1; echo later) &",)).unwrap();
        let mut text = String::new();
        wait_until(DEADLINE, "what a child prints", || {
            text += &taken(&seen);
            text == ">later\n"
        });
        assert_alive(&py);
    });
}

#[test]
fn one_that_takes_long() {
    within_deadline("a call", || {
        // It is given up.
        let py = python();
        let sleep = py.get("time.sleep").unwrap();
        let short = sleep.with_timeout(Duration::from_millis(100));
        assert!(matches!(short.call1::<()>((1000,)), Err(Error::TimedOut { .. })));
        assert_alive(&py);
        // Others are answered meanwhile.
        let py = python();
        let sleeps = py.get("time.sleep").unwrap().start1::<()>((1000,)).unwrap();
        let other = py.clone();
        thread::spawn(move || assert_alive(&other)).join().unwrap();
        sleeps.cancel();
        assert_alive(&py);
        // The end of the client is its end.
        let py = python();
        let _sleeps = py.get("time.sleep").unwrap().start1::<()>((1000,)).unwrap();
        py.close().unwrap();
    });
}

#[test]
fn forks() {
    within_deadline("a fork", || {
        let (py, seen) = listened();
        let child: i64 = py.get("os.fork").unwrap().call0().unwrap();
        let waited: (i64, i64) = py.get("os.waitpid").unwrap().call1((child, 0)).unwrap();
        assert_eq!(waited, (child, 0));
        assert_eq!(taken(&seen), "");
        assert_alive(&py);
    });
}

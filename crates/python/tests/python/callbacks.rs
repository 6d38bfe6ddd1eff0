//! Functions of this program that Python calls.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_bytes::ByteBuf;
use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Object, PyErr, Python, Raise, Value, locals};

use crate::{assert_alive, python, raised};

#[test]
fn copies_of_arguments() {
    within_deadline("callbacks", || {
        let py = python();
        let add = py.callback(|(a, b): (i64, f64)| Ok(a as f64 + b));
        assert_eq!(py.eval::<f64>("f(1, .5)", locals! { f: &add }).unwrap(), 1.5);
        let all = py.callback(|args: Vec<Value>| Ok(args.len()));
        assert_eq!(py.eval::<i64>("f() + f(1, 'a', None, [2])", locals! { f: &all }).unwrap(), 4);
        let bytes = py.callback(|(b,): (ByteBuf,)| Ok(ByteBuf::from([&b[..], &b[..]].concat())));
        let len: i64 = py.eval("len(f(b'x' * 100000))", locals! { f: &bytes }).unwrap();
        assert_eq!(len, 200_000);
        let nothing = py.callback(|(): ()| Ok(()));
        assert!(py.eval::<bool>("f() is None", locals! { f: &nothing }).unwrap());
        let sorted: Vec<i64> = py
            .eval("sorted([3, 1, 2], key=f)", locals! { f: py.callback(|(n,): (i64,)| Ok(-n)) })
            .unwrap();
        assert_eq!(sorted, [3, 2, 1]);
        for wrong in ["f()", "f(1)", "f(1, 'x')", "f(1, 2, 3)", "f(object(), 1)", "f(1, b=2)"] {
            let error = raised(py.eval::<f64>(wrong, locals! { f: &add }));
            assert!(error.is_instance_of("TypeError"), "{wrong}: {error}");
        }
        assert_alive(&py);
    });
}

#[test]
fn arguments_by_reference() {
    within_deadline("callbacks", || {
        let py = python();
        let append = py.callback_with_objects(|(list, item): (Object, Object)| {
            list.call_method1::<()>("append", (&item,))?;
            Ok(list)
        });
        let names = locals! { f: &append };
        assert!(py.eval::<bool>("(lambda l: f(l, l) is l and l[0] is l)([])", names).unwrap());
        let many = py.callback_with_objects(|args: Vec<Object>| Ok(args.len()));
        assert_eq!(py.eval::<i64>("f(1, None, [])", locals! { f: &many }).unwrap(), 3);
        let kept = Arc::new(Mutex::new(None));
        let place = Arc::clone(&kept);
        let keep = py.callback_with_objects(move |(o,): (Object,)| {
            *place.lock().unwrap() = Some(o);
            Ok(())
        });
        py.exec("f({'a': 1})", locals! { f: &keep }).unwrap();
        let o = kept.lock().unwrap().take().unwrap();
        assert_eq!(o.get_item::<i64>("a").unwrap(), 1);
    });
}

#[test]
fn errors_go_both_ways_with_their_type() {
    within_deadline("errors", || {
        let py = python();
        let raise = py.callback(|(kind,): (String,)| Err::<(), _>(Raise::new(kind, "text")));
        let seen: String = py
            .eval("(lambda: [f('ValueError')])", locals! { f: &raise })
            .map(|o: Object| raised(o.call0::<()>()).kind)
            .unwrap();
        assert_eq!(seen, "ValueError");
        py.exec("def caught(f, *a):\n  try: f(*a)\n  except BaseException as e: return type(e).__name__, str(e)", ()).unwrap();
        let caught = py.get("caught").unwrap();
        let check = |kind: &str, name: &str| {
            let got: (String, String) = caught.call1((&raise, kind)).unwrap();
            assert_eq!(got.0, name);
            assert!(got.1.contains("text"), "{got:?}");
        };
        check("OSError", "OSError");
        check("KeyboardInterrupt", "KeyboardInterrupt");
        check("SystemExit", "SystemExit");
        check("no.such.Error", "Error");
        check("print", "Error");
        // What takes other arguments is raised as something.
        let got: (String, String) = caught.call1((&raise, "UnicodeDecodeError")).unwrap();
        assert!(!got.0.is_empty(), "{got:?}");
        // An exception of Python's goes back through this program as what it is.
        let back = py.clone();
        let divide =
            py.callback(move |(n,): (i64,)| Ok(back.eval::<i64>("1 // n", locals! { n: n })?));
        let got: (String, String) = caught.call1((&divide, 0)).unwrap();
        assert_eq!(got.0, "ZeroDivisionError");
        let error = raised(py.eval::<i64>("f(0)", locals! { f: &divide }));
        assert!(error.is_instance_of("ArithmeticError"), "{error}");
        let io = py.callback(|(): ()| Ok(std::fs::read("/no/such").map(|_| ())?));
        let got: (String, String) = caught.call1((&io,)).unwrap();
        assert!(got.1.contains("No such file"), "{got:?}");
        assert_alive(&py);
    });
}

#[test]
fn a_panic_is_an_exception_over_there() {
    within_deadline("a panic", || {
        let py = python();
        let panics = py.callback(|(n,): (i64,)| match n {
            0 => panic!("a test's own panic"),
            n => Ok(n),
        });
        let error = raised(py.eval::<i64>("f(0)", locals! { f: &panics }));
        assert_eq!(error.kind, "RuntimeError");
        assert_eq!(py.eval::<i64>("f(5)", locals! { f: &panics }).unwrap(), 5);
    });
}

/// Each calls the other, `depth` times.
fn nest(py: &Python, depth: i64) -> Result<i64, thither_python::Error> {
    let back = py.clone();
    py.exec("def there(n, here): return 0 if n <= 0 else 1 + here(n - 1)", ()).unwrap();
    let cell: Arc<Mutex<Option<Object>>> = Arc::default();
    let wrapped = Arc::clone(&cell);
    let here = py.callback(move |(n,): (i64,)| {
        let me = wrapped.lock().unwrap().clone().unwrap();
        Ok(back.get("there")?.call1::<i64>((n, me))?)
    });
    // As an object, so that it can be sent from within itself.
    let here: Object = py.eval("lambda n: f(n)", locals! { f: here }).unwrap();
    *cell.lock().unwrap() = Some(here.clone());
    let result = py.get("there").unwrap().call1((depth, here));
    cell.lock().unwrap().take();
    result
}

#[test]
fn nested_fifty_deep() {
    within_deadline("nesting", || {
        let py = python();
        assert_eq!(nest(&py, 50).unwrap(), 50);
        assert_eq!(nest(&py, 3).unwrap(), 3);
    });
}

#[test]
fn endless_nesting_is_an_exception() {
    within_deadline("endless nesting", || {
        let py = python();
        py.exec("import sys\nsys.setrecursionlimit(400)", ()).unwrap();
        for _ in 0..3 {
            let error = raised(nest(&py, 100_000));
            assert!(error.is_instance_of("RecursionError"), "{error}");
        }
        // At each depth a callback may be the straw.
        py.exec("def deep(n, f): return f(n) if n == 0 else deep(n - 1, f)", ()).unwrap();
        let f = py.callback(|(n,): (i64,)| Ok(n));
        for depth in 300..400 {
            match py.get("deep").unwrap().call1::<i64>((depth, &f)) {
                Ok(n) => assert_eq!(n, 0),
                Err(error) => assert!(error.is_instance_of("RecursionError"), "{depth}: {error}"),
            }
        }
        assert_alive(&py);
    });
}

#[test]
fn from_a_thread_over_there() {
    const CODE: &str = "
import threading
def threads(f):
    got = []
    all = [threading.Thread(target=lambda n=n: got.extend(f(n) for _ in range(20))) for n in range(8)]
    [t.start() for t in all]
    [t.join() for t in all]
    return sorted(got)
";
    within_deadline("threads", || {
        let py = python();
        py.exec(CODE, ()).unwrap();
        let back = py.clone();
        let f = py.callback(move |(n,): (i64,)| Ok(back.eval::<i64>("n * 2", locals! { n: n })?));
        let got: Vec<i64> = py.get("threads").unwrap().call1((&f,)).unwrap();
        let expected: Vec<i64> = (0..8).flat_map(|n| [n * 2; 20]).collect();
        assert_eq!(got, expected);
        // Also when no call runs.
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let late =
            py.callback(move |(n,): (i64,)| sender.lock().unwrap().send(n).map_err(Raise::from));
        py.exec("t = threading.Timer(0.05, f, (8,))\nt.start()", &locals! { f: &late }).unwrap();
        assert_eq!(receiver.recv(), Ok(8));
    });
}

#[test]
fn from_a_call_that_nobody_waits_for() {
    within_deadline("callbacks", || {
        let py = python();
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let back = py.clone();
        let f = py.callback(move |(n,): (i64,)| {
            let n = back.eval::<i64>("n + 1", locals! { n: n })?;
            sender.lock().unwrap().send(n).map_err(Raise::from)
        });
        let pending = py.start_eval::<()>("f(1)", locals! { f: &f }).unwrap();
        assert_eq!(receiver.recv(), Ok(2));
        pending.wait().unwrap();
        drop(py.start_eval::<()>("f(2)", locals! { f: &f }).unwrap());
        assert_eq!(receiver.recv(), Ok(3));
        assert_alive(&py);
    });
}

#[test]
fn a_function_is_let_go_when_python_has_let_go() {
    within_deadline("a drop", || {
        let py = python();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let f = py.callback(move |(): ()| {
            let _ = &held;
            Ok(())
        });
        py.globals().unwrap().set_item("f", &f).unwrap();
        drop(f);
        py.exec("f()", ()).unwrap();
        assert_eq!(Arc::strong_count(&alive), 2);
        py.exec("del f", ()).unwrap();
        wait_until(DEADLINE, "a drop", || Arc::strong_count(&alive) == 1);
        // Of a connection that ends, too; though the function holds it.
        let (held, back) = (Arc::clone(&alive), py.clone());
        let f = py.callback(move |(): ()| {
            let _ = (&held, &back);
            Ok(())
        });
        py.globals().unwrap().set_item("f", &f).unwrap();
        drop(f);
        py.close().unwrap();
        wait_until(DEADLINE, "a drop", || Arc::strong_count(&alive) == 1);
    });
}

/// What was raised over there and goes back is what it was.
#[test]
fn an_exception_that_goes_home() {
    within_deadline("an exception", || {
        let py = python();
        let other = python();
        let raise = py.callback(move |(code,): (String,)| Ok(other.exec(&code, ())?));
        py.exec(
            "def told(f, c):\n  try: f(c)\n  except Exception as e: return repr(e), str(e)",
            (),
        )
        .unwrap();
        let told = py.get("told").unwrap();
        let check = |code: &str, expected: (&str, &str)| {
            let got: (String, String) = told.call1((&raise, code)).unwrap();
            assert_eq!((got.0.as_str(), got.1.as_str()), expected, "{code}");
        };
        check("raise KeyError('k')", ("KeyError('k')", "'k'"));
        check("raise LookupError(1, 'two')", ("LookupError(1, 'two')", "(1, 'two')"));
        let missing = "[Errno 2] No such file or directory: '/no/such'";
        let error = "FileNotFoundError(2, 'No such file or directory')";
        check("open('/no/such')", (error, missing));
    });
}

/// A function that was not sent is let go with its handle.
#[test]
fn what_is_not_sent_is_not_held_there() {
    within_deadline("drops", || {
        let (py, other) = (python(), python());
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let f = py.callback(move |(): ()| Ok(Arc::strong_count(&held)));
        // Another connection's object cannot be sent.
        let object: Object = other.eval("object()", ()).unwrap();
        assert!(py.eval::<()>("1", locals! { f: &f, o: &object }).is_err());
        drop(f);
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn a_function_need_not_keep_its_interpreter() {
    within_deadline("an end", || {
        let py = python();
        let weak = py.downgrade();
        let alive = Arc::new(());
        let (caller, held) = (weak.clone(), Arc::clone(&alive));
        let f = py.callback(move |(n,): (i64,)| {
            let _ = &held;
            let py = caller.upgrade().expect("who calls is there");
            Ok(py.eval::<i64>("n + 1", locals! { n: n })?)
        });
        py.globals().unwrap().set_item("f", &f).unwrap();
        assert_eq!(py.eval::<i64>("f(41)", ()).unwrap(), 42);
        drop((py, f));
        assert!(weak.upgrade().is_none());
        wait_until(DEADLINE, "a drop", || Arc::strong_count(&alive) == 1);
    });
}

#[test]
fn exceptions_are_values_here() {
    let error: Raise = Raise::new("ValueError", "x");
    assert_eq!(
        (error.kind.as_str(), &error.args[..]),
        ("ValueError", &[Value::Str("x".into())][..])
    );
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<PyErr>();
}

//! Evaluations, imports, calls, exceptions.

use testkit::within_deadline;
use thither_python::{Error, Object, Python, Value, locals};

use crate::{assert_alive, python, raised};

#[test]
fn the_first_example() {
    within_deadline("it", || {
        let py = python();
        let os = py.import("os").unwrap();
        let pid: u32 = os.call_method0("getpid").unwrap();
        assert_eq!(pid, py.info().pid);
        let n: i64 = py.eval("a + b", locals! { a: 1, b: 2 }).unwrap();
        assert_eq!(n, 3);
        let joined: String = py.get("os.path.join").unwrap().call1(("a", "b")).unwrap();
        assert_eq!(joined, "a/b");
        let list: Object = py.eval("[1, 2]", ()).unwrap();
        list.call_method1::<()>("append", (3,)).unwrap();
        assert_eq!(list.extract::<Vec<i64>>().unwrap(), [1, 2, 3]);
        py.close().unwrap();
    });
}

#[test]
fn imports() {
    within_deadline("imports", || {
        let py = python();
        // A submodule by its name, and one that an attribute leads to.
        let path = py.import("os.path").unwrap();
        assert_eq!(path.call_method1::<String>("basename", ("a/b",)).unwrap(), "b");
        let xml = py.import("xml").unwrap();
        let parse = xml.getattr("dom.minidom.parseString").unwrap();
        let document: Object = parse.call1(("<a/>",)).unwrap();
        assert_eq!(document.getattr("documentElement.tagName").unwrap().str().unwrap(), "a");
        let found: i64 = py.get("collections.abc.Sized.__name__.__len__").unwrap().call0().unwrap();
        assert_eq!(found, 5);
        let error = raised(py.import("no_such_module"));
        assert_eq!(error.kind, "ModuleNotFoundError");
        assert!(error.is_instance_of("ImportError"));
        let error = raised(py.get("os.no_such_name").unwrap().resolve());
        assert_eq!(error.kind, "AttributeError");
        assert!(error.message.contains("no_such_name"), "{error}");
        let error = raised(py.get("no_such_name").unwrap().call0::<()>());
        assert!(
            error.is_instance_of("ImportError") || error.is_instance_of("NameError"),
            "{error}"
        );
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert!(raised(py.get(path)).is_instance_of("AttributeError"), "{path}");
        }
        assert_alive(&py);
    });
}

#[test]
fn what_fails_while_it_is_imported_says_so() {
    within_deadline("a bad module", || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a_bad_one.py"), "import no_such_thing_within\n")
            .unwrap();
        let py = python();
        let path = folder.path().to_str().unwrap();
        py.get("sys.path").unwrap().call_method1::<()>("append", (path,)).unwrap();
        let error = raised(py.import("a_bad_one"));
        assert!(error.message.contains("no_such_thing_within"), "{error}");
        assert!(error.traceback.contains("a_bad_one.py\", line 1"), "{}", error.traceback);
        // Not "no module a_bad_one", nor "no attribute".
        let error = raised(py.get("a_bad_one.x").unwrap().resolve());
        assert!(error.message.contains("no_such_thing_within"), "{error}");
    });
}

#[test]
fn keyword_arguments() {
    within_deadline("calls", || {
        let py = python();
        py.exec("def f(*a, **k): return a, sorted(k.items())", ()).unwrap();
        let f = py.get("f").unwrap();
        type Both = (Vec<i64>, Vec<(String, i64)>);
        let got: Both = f.call((1, 2), &locals! { x: 3, self: 4 }).unwrap();
        assert_eq!(got, (vec![1, 2], vec![("self".into(), 4), ("x".into(), 3)]));
        let got: Both = f.call((), &locals! {}).unwrap();
        assert_eq!(got, (vec![], vec![]));
        let text = py.eval::<Object>("'{a}-{0}'", ()).unwrap();
        let text: String = text.call_method("format", (1,), &locals! { a: 2 }).unwrap();
        assert_eq!(text, "2-1");
        // Lists and arrays are positional arguments as tuples are.
        assert_eq!(f.call1::<Both>([1, 2]).unwrap().0, [1, 2]);
        assert_eq!(f.call1::<Both>(()).unwrap().0, [0; 0]);
        let error = raised(py.get("len").unwrap().call::<i64>(("a",), &locals! { b: 1 }));
        assert_eq!(error.kind, "TypeError");
    });
}

#[test]
fn lazy_objects_as_arguments() {
    within_deadline("calls", || {
        let py = python();
        py.exec("class A: pass\na = A(); a.x = [1]; a.y = [2]; a.z = [3]", ()).unwrap();
        let a = py.get("a").unwrap();
        let [x, y, z] = ["x", "y", "z"].map(|name| a.getattr(name).unwrap());
        // Each is looked up while the call is put together.
        let add = py.eval::<Object>("lambda *a: sum(a, [])", ()).unwrap();
        for _ in 0..3 {
            assert_eq!(add.call1::<Vec<i64>>((&x, &y, &z)).unwrap(), [1, 2, 3]);
        }
        let names = locals! { x: &x, y: &y, l: vec![&z, &x] };
        assert_eq!(py.eval::<Vec<i64>>("x + y + l[0] + l[1]", names).unwrap(), [1, 2, 3, 1]);
        let error = add.call1::<()>((&x, a.getattr("none").unwrap())).unwrap_err();
        let cause = std::error::Error::source(&error).expect("why").to_string();
        assert!(cause.contains("no attribute 'none'"), "{cause}");
        assert_eq!(add.call1::<Vec<i64>>((&y, &x)).unwrap(), [2, 1]);
    });
}

#[test]
fn exceptions_say_all() {
    within_deadline("exceptions", || {
        let py = python();
        py.exec("class Bad(LookupError): pass\ndef f(): raise Bad('a', 2, object())", ()).unwrap();
        let error = raised(py.get("f").unwrap().call0::<()>());
        assert_eq!(error.kind, "__main__.Bad");
        let mro = ["__main__.Bad", "LookupError", "Exception", "BaseException", "object"];
        assert_eq!(error.mro, mro);
        assert_eq!(error.args[..2], [Value::Str("a".into()), Value::Int(2)]);
        let Value::Str(third) = &error.args[2] else { panic!("{:?}", error.args) };
        assert!(third.starts_with("<object object"), "{third}");
        assert!(error.is_instance_of("Bad") && error.is_instance_of("LookupError"));
        assert!(error.traceback.starts_with("Traceback (most recent call last):\n"), "{error:?}");
        assert!(
            error.traceback.contains("in f\n") && !error.traceback.contains("thither"),
            "{error:?}"
        );
        let error = raised(py.eval::<()>("open('/no/such')", ()));
        assert_eq!(error.kind, "FileNotFoundError");
        assert_eq!(error.args[0], Value::Int(2));
        assert_eq!(error.args[2], Value::Str("/no/such".into()));
        assert!(error.is_instance_of("OSError"));
        let error = raised(py.eval::<()>("1 +", ()));
        assert_eq!(error.kind, "SyntaxError");
    });
}

#[test]
fn exceptions_that_cannot_be_shown() {
    #[track_caller]
    fn check(py: &Python, body: &str, kind: &str) {
        let source = format!("class Odd(Exception):\n  {body}\nraise Odd(1)");
        let error = raised(py.exec(source.as_str(), ()));
        assert!(error.is_instance_of(kind), "{body}: {error:?}");
        assert_alive(py);
    }
    within_deadline("exceptions", || {
        let py = python();
        check(&py, "def __str__(self): raise ValueError('no')", "Odd");
        check(&py, "def __str__(self): return 5", "Odd");
        check(&py, "def __repr__(self): raise SystemExit(1)", "Odd");
        check(&py, "args = property(lambda self: 1 // 0)", "Odd");
        check(&py, "__module__ = 5", "Exception");
        check(&py, "def __init__(self, x): raise KeyboardInterrupt('in it')", "KeyboardInterrupt");
        let error = raised(py.exec("raise ValueError('a\\udc80b')", ()));
        assert!(error.message.starts_with('a'), "{error}");
        let error = raised(py.exec("def f(): f()\nf()", ()));
        assert!(error.is_instance_of("RecursionError"), "{error}");
        for raised_by in ["raise SystemExit(3)", "raise GeneratorExit", "raise StopIteration"] {
            assert!(raised(py.exec(raised_by, ())).is_instance_of("BaseException"));
        }
        assert_alive(&py);
    });
}

#[test]
fn what_lasts_and_what_ends_with_the_connection() {
    within_deadline("a close", || {
        let py = python();
        py.exec("x = 1", ()).unwrap();
        let other = py.clone();
        let list: Object = py.eval("[1]", ()).unwrap();
        drop(py);
        assert_eq!(other.eval::<i64>("x", ()).unwrap(), 1);
        drop(other);
        // The object keeps the interpreter.
        assert_eq!(list.len().unwrap(), 1);
        let py = list.py();
        py.close().unwrap();
        let error = list.len().unwrap_err();
        assert!(matches!(error, Error::Closed { .. }), "{error}");
        assert!(list.py().close().is_ok(), "it is closed already");
    });
}

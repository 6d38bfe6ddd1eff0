//! Variables of evaluations and statements.

use testkit::within_deadline;
use thither_python::{Object, Value, locals};

use crate::{assert_alive, python, raised};

#[test]
fn session_variables_last() {
    within_deadline("it", || {
        let py = python();
        py.exec("x = 1\ndef f(): return x", ()).unwrap();
        py.exec("x += 1", ()).unwrap();
        assert_eq!(py.eval::<i64>("f()", ()).unwrap(), 2);
        // As __main__: for pickle, and for who asks what module he is in.
        assert_eq!(py.eval::<String>("__name__", ()).unwrap(), "__main__");
        assert!(py.eval::<bool>("__import__('__main__').f is f", ()).unwrap());
        let globals = py.globals().unwrap();
        globals.set_item("x", 5).unwrap();
        assert_eq!(py.eval::<i64>("f()", ()).unwrap(), 5);
        py.exec("del x", ()).unwrap();
        assert_eq!(raised(py.eval::<i64>("f()", ())).kind, "NameError");
    });
}

#[test]
fn given_variables_are_written_back() {
    within_deadline("it", || {
        let py = python();
        let mut names = locals! { a: 1, list: vec![1], gone: "x" };
        let code = "\
b = a + 1
a = 'other'
list.append(2)
del gone
import os
def f(n): return n + b
o = object()
squares = [n * b for n in range(3)]
none = None
";
        py.exec(code, &mut names).unwrap();
        assert_eq!(names.get::<i64>("b").unwrap(), 2);
        assert_eq!(names.get::<String>("a").unwrap(), "other");
        assert_eq!(names.get::<Vec<i64>>("list").unwrap(), [1, 2]);
        assert_eq!(names.get::<Vec<i64>>("squares").unwrap(), [0, 2, 4]);
        assert_eq!(names.get::<Option<i64>>("none").unwrap(), None);
        assert_eq!(raised(names.get::<String>("gone")).kind, "NameError");
        let pid: u32 = names.get::<Object>("os").unwrap().call_method0("getpid").unwrap();
        assert_eq!(pid, py.info().pid);
        let f: Object = names.get("f").unwrap();
        assert_eq!(f.call1::<i64>((40,)).unwrap(), 42);
        assert_eq!(names.names().filter(|name| *name == "a").count(), 1);
        // They go back as they are.
        py.exec("a = f(1); same = os is __import__('os')", &mut names).unwrap();
        assert_eq!(names.get::<i64>("a").unwrap(), 3);
        assert!(names.get::<bool>("same").unwrap());
        // Nothing of it is the session's.
        assert_eq!(raised(py.eval::<i64>("b", ())).kind, "NameError");
    });
}

#[test]
fn what_marshal_would_take_for_something_else_is_written_back() {
    within_deadline("it", || {
        let py = python();
        let mut names = locals! {};
        let code =
            "c = compile('6 * 7', 'x', 'eval')\ns = StopIteration\nn = 1\nl = [StopIteration]";
        py.exec(code, &mut names).unwrap();
        assert_eq!(names.get::<i64>("n").unwrap(), 1);
        let c: Object = names.get("c").unwrap();
        assert_eq!(py.eval::<i64>(&c, ()).unwrap(), 42);
        let s: Object = names.get("s").unwrap();
        assert_eq!(s.getattr("__name__").unwrap().extract::<String>().unwrap(), "StopIteration");
    });
}

#[test]
fn given_variables_do_not_leak() {
    within_deadline("it", || {
        let py = python();
        assert_eq!(py.eval::<i64>("[a for _ in '1'][0]", locals! { a: 1 }).unwrap(), 1);
        assert_eq!(py.eval::<i64>("(lambda: a)()", locals! { a: 1 }).unwrap(), 1);
        assert_eq!(raised(py.eval::<i64>("a", ())).kind, "NameError");
        let names = locals! { a: 2 };
        assert_eq!(py.eval::<i64>("a", &names).unwrap() + py.eval::<i64>("a", &names).unwrap(), 4);
        py.exec("a = 3", &names).unwrap();
        assert_eq!(names.get::<i64>("a").unwrap(), 2);
        assert_eq!(py.eval::<Value>("None", ()).unwrap(), Value::None);
        assert_alive(&py);
    });
}

#[test]
fn given_objects_can_be_had_again() {
    within_deadline("it", || {
        let py = python();
        let list: Object = py.eval("[1]", ()).unwrap();
        let names = locals! { list: &list };
        assert!(names.get::<Object>("list").unwrap().is(&list).unwrap());
    });
}

#[test]
fn a_dict_over_there_as_variables() {
    within_deadline("it", || {
        let py = python();
        let dict: Object = py.eval("{'a': 1}", ()).unwrap();
        py.exec("b = a + 1", &dict).unwrap();
        assert_eq!(dict.get_item::<i64>("b").unwrap(), 2);
        assert_eq!(py.eval::<i64>("a + b", &dict).unwrap(), 3);
    });
}

#[test]
fn compiled_code() {
    within_deadline("it", || {
        let py = python();
        let code = py.compile("a + 1", "<mine>", "eval").unwrap();
        for a in 0..3 {
            assert_eq!(py.eval::<i64>(&code, locals! { a: a }).unwrap(), a + 1);
        }
        let code = py.compile("x = 1\nraise ValueError(x)", "mine.py", "exec").unwrap();
        let error = raised(py.exec(&code, ()));
        let shown = "  File \"mine.py\", line 2, in <module>\n    raise ValueError(x)\n";
        assert!(error.traceback.contains(shown), "{}", error.traceback);
        assert_eq!(py.eval::<i64>("x", ()).unwrap(), 1);
        assert_eq!(raised(py.compile("x =", "a", "exec")).kind, "SyntaxError");
        // An encoding or a flag of the agent's does not matter.
        assert_eq!(py.eval::<f64>("  1 / 2\n", ()).unwrap(), 0.5);
        assert_eq!(py.eval::<String>("'é€'", ()).unwrap(), "é€");
    });
}

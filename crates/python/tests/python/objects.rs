//! Proxies: operators, items, `with`, identity, and how they are let go.

use std::collections::HashMap;

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Callback, Error, Object, Python, Raise, Result, Value, locals};

use crate::{assert_alive, program, python, quiet, raised};

fn object(py: &Python, source: &str) -> Object {
    py.eval(source, ()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
fn operators() {
    within_deadline("operators", || {
        let py = python();
        let a = object(&py, "13");
        let check = |got: Result<i64>, expected: i64| assert_eq!(got.unwrap(), expected);
        check(a.add(5), 18);
        check(a.sub(5), 8);
        check(a.mul(5), 65);
        check(a.floordiv(5), 2);
        check(a.rem(5), 3);
        check(a.pow(2), 169);
        check(a.lshift(2), 52);
        check(a.rshift(2), 3);
        check(a.and_(6), 4);
        check(a.or_(6), 15);
        check(a.xor(6), 11);
        check(a.neg(), -13);
        check(a.pos(), 13);
        check(a.invert(), -14);
        check(object(&py, "-13").abs(), 13);
        assert_eq!(a.truediv::<f64>(2).unwrap(), 6.5);
        let compared = [a.lt(14), a.le(13), a.eq(13), a.ne(14), a.gt(12), a.ge(13)];
        assert!(compared.into_iter().all(|is| is.unwrap()));
        let compared = [a.lt(13), a.le(12), a.eq(14), a.ne(13), a.gt(13), a.ge(14)];
        assert!(compared.into_iter().all(|is: Result<bool>| !is.unwrap()));
        py.exec("class M:\n  def __matmul__(self, o): return ('matmul', o)", ()).unwrap();
        assert_eq!(object(&py, "M()").matmul::<(String, i64)>(3).unwrap(), ("matmul".into(), 3));
        assert_eq!(raised(a.add::<i64>("x")).kind, "TypeError");
        // Between two objects, and with the answer as one.
        let sum: Object = a.add(&a).unwrap();
        assert_eq!(sum.extract::<i64>().unwrap(), 26);
    });
}

#[test]
fn operators_by_name() {
    #[track_caller]
    fn check(o: &Object, op: &str, args: &[i64], expected: Value) {
        let got: Value = match args {
            [] => o.op(op, ()),
            [one] => o.op(op, (one,)),
            _ => o.op(op, args),
        }
        .unwrap_or_else(|error| panic!("{op}: {error}"));
        assert_eq!(got, expected, "{op}");
    }
    within_deadline("operators", || {
        let py = python();
        let a = object(&py, "13");
        let int = |n| Value::Int(n);
        for (op, result) in [
            ("radd", 18),
            ("rsub", -8),
            ("rmul", 65),
            ("rfloordiv", 0),
            ("rmod", 5),
            ("rpow", 5_i128.pow(13)),
            ("rlshift", 5 << 13),
            ("rrshift", 0),
            ("rand_", 5),
            ("ror_", 13),
            ("rxor", 8),
            ("iadd", 18),
        ] {
            check(&a, op, &[5], int(result));
        }
        check(&a, "divmod", &[5], Value::Tuple(vec![int(2), int(3)]));
        check(&a, "index", &[], int(13));
        check(&a, "float", &[], Value::Float(13.0));
        check(&a, "not_", &[], Value::Bool(false));
        check(&a, "truth", &[], Value::Bool(true));
        check(&a, "id", &[], int(py.eval::<i128>("id(13)", ()).unwrap()));
        check(&a, "callable", &[], Value::Bool(false));
        check(&object(&py, "[3, 1, 2]"), "sorted", &[], Value::List(vec![int(1), int(2), int(3)]));
        let list = object(&py, "[1]");
        let same: Object = list.op("iadd", (vec![2],)).unwrap();
        assert!(same.is(&list).unwrap());
        assert_eq!(list.extract::<Vec<i64>>().unwrap(), [1, 2]);
        assert_eq!(raised(a.op::<()>("no_such_operator", ())).kind, "KeyError");
        assert_alive(&py);
    });
}

#[test]
fn items_and_slices() {
    within_deadline("items", || {
        let py = python();
        let list = object(&py, "list(range(10))");
        assert_eq!(list.len().unwrap(), 10);
        assert_eq!(list.get_item::<i64>(-1).unwrap(), 9);
        assert_eq!(list.get_slice::<Vec<i64>>(Some(2), Some(8), Some(3)).unwrap(), [2, 5]);
        assert_eq!(list.get_slice::<Vec<i64>>(None, None, Some(-4)).unwrap(), [9, 5, 1]);
        list.set_slice(Some(1), Some(9), None, vec![7, 7]).unwrap();
        list.set_item(0, "x").unwrap();
        list.del_slice(Some(2), None, None).unwrap();
        assert_eq!(list.extract::<(String, i64)>().unwrap(), ("x".into(), 7));
        list.del_item(0).unwrap();
        assert!(list.contains(7).unwrap() && !list.contains("x").unwrap());
        assert!(!list.is_empty().unwrap() && list.is_truthy().unwrap());
        assert_eq!(raised(list.get_item::<i64>(5)).kind, "IndexError");
        let dict = object(&py, "{'a': 1, (1, 2): 'pair', None: 0}");
        assert_eq!(dict.get_item::<String>((1, 2)).unwrap(), "pair");
        dict.set_item("b", &list).unwrap();
        assert!(dict.get_item::<Object>("b").unwrap().is(&list).unwrap());
        assert_eq!(raised(dict.get_item::<i64>("c")).args, [Value::Str("c".into())]);
        assert!(object(&py, "''").is_empty().unwrap());
    });
}

#[test]
fn attributes_and_texts() {
    within_deadline("attributes", || {
        let py = python();
        py.exec("class A:\n  'About.'\n  def __repr__(self): return 'repr é'\n  def __str__(self): return 'str'", ()).unwrap();
        let a = object(&py, "A()");
        a.setattr("x", HashMap::from([("k", 1)])).unwrap();
        assert_eq!(a.getattr("x").unwrap().get_item::<i64>("k").unwrap(), 1);
        assert!(a.hasattr("x").unwrap() && a.dir().unwrap().contains(&"x".into()));
        a.delattr("x").unwrap();
        assert!(!a.hasattr("x").unwrap());
        assert_eq!((a.str().unwrap(), a.repr().unwrap()), ("str".into(), "repr é".into()));
        assert_eq!(a.getattr("__doc__").unwrap().extract::<String>().unwrap(), "About.");
        let kind = a.get_type().unwrap();
        assert!(kind.is(&py.get("A").unwrap()).unwrap() && a.is_instance(&kind).unwrap());
        assert_eq!(
            object(&py, "'abc'").hash().unwrap(),
            py.eval::<i64>("hash('abc')", ()).unwrap()
        );
        assert_eq!(raised(object(&py, "[]").hash()).kind, "TypeError");
        assert!(object(&py, "[1]").eq::<bool>(object(&py, "[1]")).unwrap());
    });
}

#[test]
fn with_and_what_it_swallows() {
    const CODE: &str = "
class C:
    def __init__(self, swallows): self.swallows, self.seen = swallows, []
    def __enter__(self): self.seen.append('enter'); return self.seen
    def __exit__(self, kind, error, trace):
        self.seen.append(kind and kind.__name__)
        self.text = str(error)
        self.traced = trace is not None
        return self.swallows
";
    within_deadline("with", || {
        let py = python();
        py.exec(CODE, ()).unwrap();
        let seen =
            |c: &Object| c.getattr("seen").unwrap().extract::<Vec<Option<String>>>().unwrap();
        let some =
            |names: &[&str]| names.iter().map(|name| Some((*name).to_string())).collect::<Vec<_>>();
        let c = object(&py, "C(False)");
        let got = c
            .with(|list: Object| {
                list.call_method1::<()>("append", ("in",))?;
                Ok(5)
            })
            .unwrap();
        assert_eq!(got, Some(5));
        assert_eq!(seen(&c), [some(&["enter", "in"]), vec![None]].concat());
        for (swallows, c) in [(false, object(&py, "C(False)")), (true, object(&py, "C(True)"))] {
            let got = c.with(|_: Object| py.eval::<i64>("{}['k']", ()));
            assert_eq!(got.is_err(), !swallows);
            assert_eq!(seen(&c), some(&["enter", "KeyError"]));
            assert_eq!(c.getattr("text").unwrap().extract::<String>().unwrap(), "'k'");
            assert!(c.getattr("traced").unwrap().extract::<bool>().unwrap());
        }
        let c = object(&py, "C(True)");
        assert!(c.with(|_: ()| Err::<(), _>(Error::Cancelled)).unwrap().is_none());
        assert_eq!(seen(&c), some(&["enter", "RuntimeError"]));
        // Special methods are those of the type.
        assert!(raised(object(&py, "object()").with(|_: ()| Ok(()))).is_instance_of("Exception"));
    });
}

#[test]
fn an_object_that_goes_home_is_itself() {
    within_deadline("identity", || {
        let py = python();
        let o = object(&py, "object()");
        py.exec("kept = o", locals! { o: &o }).unwrap();
        py.globals().unwrap().set_item("kept", &o).unwrap();
        assert!(py.eval::<bool>("kept is o", locals! { o: &o }).unwrap());
        assert!(
            py.eval::<bool>(
                "kept is l[1][0]['k']",
                locals! { l: (1, vec![HashMap::from([("k", &o)])]) }
            )
            .unwrap()
        );
        // It comes under the same number, however often.
        let again: Vec<Object> = py.eval("[kept, kept, (kept)]", ()).unwrap();
        assert!(again.iter().all(|other| other.is(&o).unwrap()));
        drop(o);
        drop(again);
        assert!(object(&py, "kept").is(&py.get("kept").unwrap()).unwrap());
        // A callback comes home as what it is.
        let f = py.callback(|(n,): (i64,)| Ok(n));
        py.globals().unwrap().set_item("f", &f).unwrap();
        let home: Callback = py.eval("f", ()).unwrap();
        drop(home);
        assert!(py.eval::<bool>("f is g and f(1) == 1", locals! { g: &f }).unwrap());
        py.exec("del f", ()).unwrap();
        assert_eq!(py.eval::<i64>("f(2)", locals! { f: &f }).unwrap(), 2);
        assert!(raised(py.eval::<i64>("f(2, 3)", locals! { f: &f })).is_instance_of("TypeError"));
    });
}

#[test]
fn an_object_of_another_connection_is_refused() {
    within_deadline("two", || {
        let (one, other) = (python(), python());
        let o = object(&one, "[1]");
        let error = other.eval::<i64>("len(o)", locals! { o: &o }).unwrap_err();
        assert!(matches!(error, Error::Encode(_)), "{error}");
        let f = one.callback(|(): ()| Ok(()));
        assert!(matches!(other.eval::<()>("f()", locals! { f: f }), Err(Error::Encode(_))));
        assert_alive(&one);
        assert_alive(&other);
    });
}

/// How many objects the agent keeps for us.
pub(crate) fn table(py: &Python) -> i64 {
    let agents = "[o for o in __import__('gc').get_objects() if type(o).__name__ == 'Agent']";
    py.eval(format!("len({agents}[0].objects)"), ()).unwrap()
}

#[test]
fn mass_deletion_of_proxies_closes_the_connection() {
    let mut objects: Vec<Object> = Vec::new();
    let (py, before) = within_deadline("a start", || {
        let py = python();
        let before = table(&py);
        (py, before)
    });
    // Each part within its own deadline: a million.
    for _ in 0..4 {
        let py = py.clone();
        objects.extend(within_deadline("many proxies", move || {
            let list = object(&py, "[object() for _ in range(250000)]");
            list.iter::<Object>().unwrap().map(Result::unwrap).collect::<Vec<Object>>()
        }));
    }
    assert_eq!(objects.len(), 1_000_000);
    within_deadline("all of them dropped", move || {
        assert!(table(&py) > 1_000_000);
        drop(objects);
        wait_until(DEADLINE, "an empty table", || table(&py) == before);
        assert_alive(&py);
    });
}

#[test]
fn proxies_are_let_go_while_nobody_calls() {
    within_deadline("a weak reference", || {
        let py = python();
        py.exec("class A:\n  def __del__(self): told(1)", ()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let told =
            py.callback(move |(n,): (i64,)| sender.lock().unwrap().send(n).map_err(Raise::from));
        py.globals().unwrap().set_item("told", told).unwrap();
        drop(object(&py, "A()"));
        assert_eq!(receiver.recv(), Ok(1));
        // Also while something runs: its destructor calls back.
        let a = object(&py, "A()");
        let sleeps = py.get("time.sleep").unwrap().start1::<()>((0.2,)).unwrap();
        drop(a);
        assert_eq!(receiver.recv(), Ok(1));
        sleeps.wait().unwrap();
        drop(object(&py, "A()"));
        assert_eq!(receiver.recv(), Ok(1));
        assert_alive(&py);
    });
}

#[test]
fn with_gc_off_objects_stay() {
    within_deadline("gc", || {
        let mut start = quiet();
        start.gc = false;
        let py = start.local(program()).unwrap();
        let before = table(&py);
        for _ in 0..100 {
            drop(object(&py, "object()"));
        }
        assert!(table(&py) >= before + 100);
    });
}

#[test]
fn an_unread_reply_keeps_nothing() {
    within_deadline("an empty table", || {
        let py = python();
        let before = table(&py);
        for _ in 0..50 {
            drop(py.start_eval::<Object>("object()", ()).unwrap());
            assert!(py.eval::<i64>("[object()]", ()).is_err());
            assert!(py.eval::<Value>("(1, object())", ()).is_err());
        }
        wait_until(DEADLINE, "an empty table", || table(&py) == before);
    });
}

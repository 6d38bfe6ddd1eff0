//! Iteration, in batches and one by one.

use testkit::within_deadline;
use thither_python::{Object, Python, Result, Value};

use crate::{assert_alive, python, raised};

#[track_caller]
fn items(py: &Python, source: &str) -> Vec<i64> {
    let object: Object = py.eval(source, ()).unwrap();
    object.iter().unwrap().collect::<Result<_>>().unwrap()
}

#[test]
fn all_items_of_everything() {
    within_deadline("iteration", || {
        let py = python();
        let up_to = |n: i64| (0..n).collect::<Vec<i64>>();
        for n in [0, 1, 63, 64, 65, 192, 193, 20_000] {
            assert_eq!(items(&py, &format!("list(range({n}))")), up_to(n));
        }
        for source in [
            "range(100)",
            "tuple(range(100))",
            "dict.fromkeys(range(100))",
            "iter(range(100))",
            "{n: n for n in range(100)}.values()",
            "(n for n in range(100))",
            "map(int, range(100))",
            "bytes(range(100))",
            "bytearray(range(100))",
            "reversed(range(99, -1, -1))",
            "sorted({*range(100)})",
        ] {
            assert_eq!(items(&py, source), up_to(100), "{source}");
        }
        let text: Object = py.eval("'aé€'", ()).unwrap();
        let letters: Vec<String> = text.iter().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(letters, ["a", "é", "€"]);
        // A lazy one, and what has no __iter__ but items.
        py.exec("class A:\n  def __getitem__(self, n): return [5, 6][n]\na = [A()]", ()).unwrap();
        let items: Vec<i64> = py
            .get("a")
            .unwrap()
            .get_item::<Object>(0)
            .unwrap()
            .iter()
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(items, [5, 6]);
        let mut none = py.eval::<Object>("object()", ()).unwrap().iter::<i64>().unwrap();
        assert_eq!(raised(none.next().unwrap()).kind, "TypeError");
        assert!(none.next().is_none());
    });
}

#[test]
fn generators_give_one_at_a_time_unless_asked() {
    within_deadline("iteration", || {
        let py = python();
        py.exec("made = []\ndef g():\n  for n in range(10):\n    made.append(n)\n    yield n", ())
            .unwrap();
        let made = py.get("made").unwrap();
        let mut one = py.eval::<Object>("g()", ()).unwrap().iter::<i64>().unwrap();
        assert_eq!(one.next().unwrap().unwrap(), 0);
        assert_eq!(made.len().unwrap(), 1);
        assert_eq!(one.next().unwrap().unwrap(), 1);
        assert_eq!(made.len().unwrap(), 2);
        let mut many = py.eval::<Object>("g()", ()).unwrap().iter::<i64>().unwrap().batch(5);
        assert_eq!(many.next().unwrap().unwrap(), 0);
        assert_eq!(made.len().unwrap(), 7);
        assert_eq!(many.map(Result::unwrap).collect::<Vec<_>>(), (1..10).collect::<Vec<_>>());
        // The two do not disturb each other, and one that is dropped is closed.
        py.exec("closed = []\ndef h():\n  try:\n    yield 1\n  finally:\n    closed.append(1)", ())
            .unwrap();
        let mut h = py.eval::<Object>("h()", ()).unwrap().iter::<i64>().unwrap();
        assert_eq!(h.next().unwrap().unwrap(), 1);
        drop(h);
        assert_eq!(py.get("closed").unwrap().len().unwrap(), 1);
    });
}

#[test]
fn an_exception_in_the_middle_comes_behind_what_was_before_it() {
    within_deadline("iteration", || {
        let py = python();
        py.exec("def g():\n  yield from range(3)\n  raise KeyError('k')", ()).unwrap();
        for batch in [None, Some(1), Some(2), Some(3), Some(4), Some(100)] {
            let mut iter = py.eval::<Object>("g()", ()).unwrap().iter::<i64>().unwrap();
            if let Some(batch) = batch {
                iter = iter.batch(batch);
            }
            let mut seen = Vec::new();
            let error = loop {
                match iter.next().expect("an error") {
                    Ok(item) => seen.push(item),
                    Err(error) => break error,
                }
            };
            assert_eq!(seen, [0, 1, 2], "{batch:?}");
            assert!(error.is_instance_of("KeyError"), "{error}");
            assert!(iter.next().is_none(), "{batch:?}");
        }
        let list: Object = py.eval("[1, 2, 'x', 4]", ()).unwrap();
        assert!(list.iter::<i64>().unwrap().any(|item| item.is_err()));
        assert_alive(&py);
    });
}

#[test]
fn items_as_objects() {
    within_deadline("iteration", || {
        let py = python();
        let list: Object =
            py.eval("[[n] for n in range(200)] + [None, 5, StopIteration]", ()).unwrap();
        let objects: Vec<Object> = list.iter().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(objects.len(), 203);
        objects[7].call_method1::<()>("append", (1,)).unwrap();
        assert_eq!(list.get_item::<Vec<i64>>(7).unwrap(), [7, 1]);
        assert!(objects[3].is(&list.get_item::<Object>(3).unwrap()).unwrap());
        assert_eq!(objects[201].extract::<i64>().unwrap(), 5);
        let nothing: Vec<()> = list.iter().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(nothing.len(), 203);
        let mixed: Object = py.eval("[(1, [1]), (2, {2: b'x'})]", ()).unwrap();
        let values: Vec<(i64, Value)> = mixed.iter().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(values[1].1, Value::Dict(vec![(Value::Int(2), Value::Bytes(b"x".into()))]));
        // Subclasses are copied as what they are based on.
        let odd: Object = py.eval("[type('I', (int,), {})(n) for n in range(3)]", ()).unwrap();
        assert_eq!(odd.iter::<i64>().unwrap().map(Result::unwrap).sum::<i64>(), 3);
    });
}

#[test]
fn an_endless_one_can_be_left() {
    within_deadline("iteration", || {
        let py = python();
        let count: Object = py.get("itertools.count").unwrap().call0().unwrap();
        let first: Vec<i64> =
            count.iter().unwrap().batch(100).take(250).collect::<Result<_>>().unwrap();
        assert_eq!(first.last(), Some(&249));
        assert_alive(&py);
    });
}

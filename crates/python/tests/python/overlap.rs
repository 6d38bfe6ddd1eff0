//! Many threads, many connections.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Object, Python, locals};

use crate::output::{listened, taken};
use crate::{assert_alive, python};

#[test]
fn one_sleeps_and_others_are_answered() {
    within_deadline("overlap", || {
        let py = python();
        py.exec("import threading, time\nbegun, go = threading.Event(), threading.Event()", ())
            .unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| py.eval::<bool>("begun.set() or go.wait()", ()));
            assert!(py.get("begun.wait").unwrap().call0::<bool>().unwrap());
            // From several, while the first waits.
            let others: Vec<_> = (0..10)
                .map(|n| {
                    let py = &py;
                    scope.spawn(move || {
                        (0..20)
                            .map(|m| py.eval::<i64>("n * m", locals! { n: n, m: m }).unwrap())
                            .sum::<i64>()
                    })
                })
                .collect();
            let sums: Vec<i64> = others.into_iter().map(|other| other.join().unwrap()).collect();
            assert_eq!(sums, (0..10).map(|n| n * 190).collect::<Vec<_>>());
            py.get("go.set").unwrap().call0::<()>().unwrap();
            assert!(waits.join().unwrap().unwrap());
        });
    });
}

#[test]
fn calls_of_one_thread_keep_their_order() {
    within_deadline("order", || {
        let py = python();
        // Threads over there are switched as often as can be.
        py.exec("import sys, collections\nsys.setswitchinterval(1e-6)\nseen = collections.defaultdict(list)\n\
            def note(who, n):\n  sum(range(n % 7 * 50))\n  seen[who].append(n)", ()).unwrap();
        let note = py.get("note").unwrap().resolve().unwrap();
        thread::scope(|scope| {
            for who in 0..6 {
                let note = &note;
                scope.spawn(move || {
                    for round in 0..10 {
                        let sent: Vec<_> = (0..20)
                            .map(|n| note.start1::<()>((who, round * 20 + n)).unwrap())
                            .collect();
                        for pending in sent {
                            pending.wait().unwrap();
                        }
                    }
                });
            }
        });
        for who in 0..6 {
            let seen: Vec<i64> = py.eval("seen[who]", locals! { who: who }).unwrap();
            assert_eq!(seen, (0..200).collect::<Vec<_>>(), "{who}");
        }
    });
}

/// Parts of the agent are compiled when they are first needed, by whichever thread that is.
#[test]
fn first_uses_at_once() {
    within_deadline("first uses", || {
        for _ in 0..10 {
            let py = python();
            py.exec("import sys\nsys.setswitchinterval(1e-6)", ()).unwrap();
            let f = py.callback(|(n,): (i64,)| Ok(n));
            let start = Barrier::new(5);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    py.eval::<i64>("1 // 0", ()).unwrap_err()
                });
                scope.spawn(|| {
                    start.wait();
                    py.start_eval::<i64>("2", ()).unwrap().cancel()
                });
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(py.eval::<i64>("f(3)", locals! { f: &f }).unwrap(), 3)
                });
                scope.spawn(|| {
                    start.wait();
                    py.eval::<Object>("iter([1])", ()).unwrap().iter::<i64>().unwrap().count()
                });
                scope.spawn(|| {
                    start.wait();
                    py.eval::<(i64, Object)>("(1, object())", ()).unwrap()
                });
            });
            assert_alive(&py);
        }
    });
}

/// Its thread over there may be ended by code of the user's: the calls behind are another one's.
#[test]
fn a_thread_that_is_ended_leaves_its_calls_to_another() {
    within_deadline("a worker", || {
        let (py, seen) = listened();
        py.exec(
            "import ctypes, threading\ngo = threading.Event()\n\
            def end(ident):\n  f = ctypes.pythonapi.PyThreadState_SetAsyncExc\n\
            \x20 assert f(ctypes.c_ulong(ident), ctypes.py_object(SystemExit)) == 1",
            (),
        )
        .unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| py.eval::<bool>("print() or go.wait()", ()));
            // Nothing else is asked before, so that it is the main thread that waits.
            wait_until(DEADLINE, "it waits", || !taken(&seen).is_empty());
            let ident: u64 = py.get("threading.get_ident").unwrap().call0().unwrap();
            let end = py.get("end").unwrap();
            scope.spawn(move || end.call1::<()>((ident,)).unwrap()).join().unwrap();
            assert_alive(&py);
            py.get("go.set").unwrap().call0::<()>().unwrap();
            assert!(waits.join().unwrap().unwrap());
        });
    });
}

#[test]
fn objects_of_many_threads() {
    within_deadline("objects", || {
        let py = python();
        py.exec(
            "import sys\nsys.setswitchinterval(1e-6)\nshared = [[n] for n in range(5)]\n\
            def get(n): return shared[n % 5]",
            (),
        )
        .unwrap();
        let before = crate::objects::table(&py);
        let get = py.get("get").unwrap().resolve().unwrap();
        let start = Barrier::new(6);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    for n in 0..300 {
                        let o: Object = get.call1((n,)).unwrap();
                        assert_eq!(o.get_item::<i64>(0).unwrap(), n % 5);
                        let other: Object = get.call1((n,)).unwrap();
                        assert!(o.is(&other).unwrap(), "one object, one number");
                    }
                });
            }
        });
        drop(get);
        testkit::wait_until(testkit::DEADLINE, "an empty table", || {
            crate::objects::table(&py) == before
        });
        assert_alive(&py);
    });
}

#[test]
fn callbacks_of_many_threads() {
    within_deadline("callbacks", || {
        let py = python();
        let back = py.clone();
        let f = py.callback(move |(n,): (i64,)| Ok(back.eval::<i64>("n + 1", locals! { n: n })?));
        py.exec("def many(f, n): return [f(n + m) for m in range(30)]", ()).unwrap();
        let many = py.get("many").unwrap();
        thread::scope(|scope| {
            for who in 0..6 {
                let (many, f) = (&many, &f);
                scope.spawn(move || {
                    let got: Vec<i64> = many.call1((f, who * 100)).unwrap();
                    assert_eq!(got, (who * 100 + 1..who * 100 + 31).collect::<Vec<_>>());
                });
            }
        });
        assert_alive(&py);
    });
}

/// Each call of one makes a call of the other, which calls back.
#[test]
fn two_connections_calling_each_other() {
    fn ping(from: &Python, to: &Python, depth: i64) -> i64 {
        if depth == 0 {
            return 0;
        }
        let (from, to) = (from.clone(), to.clone());
        let f = {
            let (from, to) = (from.clone(), to.clone());
            from.clone().callback(move |(n,): (i64,)| Ok(ping(&to, &from, n) + 1))
        };
        drop(to);
        from.eval("f(n)", locals! { f: f, n: depth - 1 }).unwrap()
    }
    within_deadline("two", || {
        let (one, other) = (python(), python());
        thread::scope(|scope| {
            let threads = [
                scope.spawn(|| (0..20).map(|_| ping(&one, &other, 8)).sum::<i64>()),
                scope.spawn(|| (0..20).map(|_| ping(&other, &one, 8)).sum::<i64>()),
            ];
            assert_eq!(threads.map(|thread| thread.join().unwrap()), [160, 160]);
        });
        assert_alive(&one);
        assert_alive(&other);
    });
}

#[test]
fn large_values_of_many_threads() {
    within_deadline("large values", || {
        let py = python();
        thread::scope(|scope| {
            for who in 0_u8..4 {
                let py = &py;
                scope.spawn(move || {
                    let bytes = serde_bytes::ByteBuf::from(vec![who; 3_000_000]);
                    for _ in 0..3 {
                        let back: serde_bytes::ByteBuf =
                            py.eval("b[::-1]", locals! { b: &bytes }).unwrap();
                        assert_eq!(back, bytes);
                    }
                });
            }
        });
        assert_alive(&py);
    });
}

#[test]
fn many_connections() {
    within_deadline("connections", || {
        let all = Arc::new(Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let py = python();
                        assert_alive(&py);
                        all.lock().unwrap().push(py);
                    }
                });
            }
        });
        let all = std::mem::take(&mut *all.lock().unwrap());
        let mut pids: Vec<u32> = all.iter().map(|py| py.info().pid).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 16);
        for py in all {
            py.close().unwrap();
        }
    });
}

//! A timeout and a cancel for every kind of wait.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Cancel, Error, Object, Output, Python, Start, locals};

use crate::{assert_alive, program, python, raised};

const SHORT: Duration = Duration::from_millis(50);

/// Code that notes how it ends.
const CODE: &str = "
import time, threading
ends = []
begun, go = threading.Event(), threading.Event()
def noted(f, *a):
    try:
        begun.set()
        print('begun')
        f(*a)
        ends.append('done')
    except BaseException as e:
        ends.append(type(e).__name__)
        raise
def loop():
    while True: pass
def generator():
    yield 1
    time.sleep(1000)
";

fn prepared() -> Python {
    heard().0
}

/// The same, and where it is heard that code begins. Nothing else has to be asked, so that runs on the main thread.
fn heard() -> (Python, Receiver<()>) {
    let (sender, receiver) = channel();
    let mut start = Start::default();
    start.output = Output::Function(Box::new(move |_, _| {
        let _ = sender.send(());
    }));
    let py = start.local(program()).unwrap();
    py.exec(CODE, ()).unwrap();
    (py, receiver)
}

fn ends(py: &Python) -> Vec<String> {
    py.eval("ends", ()).unwrap()
}

/// Runs `call` with a timeout, then with a cancel; both are noted, and the interpreter is free again.
fn check(name: &str, call: impl Fn(&Python) -> Result<(), Error>) {
    let (py, begun) = heard();
    let error = call(&py.clone().with_timeout(SHORT)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { limit: SHORT }), "{name}: {error}");
    assert_alive(&py);
    let cancel = Cancel::new();
    let interrupted = begun.try_iter().count();
    let stop = cancel.clone();
    let error = thread::scope(|scope| {
        scope.spawn(move || {
            begun.recv().unwrap();
            stop.cancel();
        });
        // By this thread: another's call may run on a thread over there, where only Python code is interrupted.
        call(&py.clone().with_cancel(&cancel)).unwrap_err()
    });
    assert!(matches!(error, Error::Cancelled), "{name}: {error}");
    // If the first was too late to begin, it never did.
    wait_until(DEADLINE, name, || ends(&py) == vec!["KeyboardInterrupt"; interrupted + 1]);
    assert_alive(&py);
    // A handle that was cancelled stays so.
    let error = py.clone().with_cancel(&cancel).eval::<i64>("1", ()).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{name}: {error}");
    assert_alive(&py);
}

#[test]
fn a_sleep() {
    within_deadline("a sleep", || check("sleep", |py| py.eval("noted(time.sleep, 1000)", ())));
}

#[test]
fn a_busy_loop() {
    within_deadline("a loop", || check("loop", |py| py.exec("noted(loop)", ())));
}

#[test]
fn a_lock() {
    within_deadline("a lock", || {
        check("lock", |py| {
            py.exec("lock = threading.Lock(); lock.acquire(); noted(lock.acquire)", ())
        });
    });
}

/// Waits of the interpreter's own calls, with no code of the user's in between.
#[test]
fn what_waits_within_an_operator() {
    within_deadline("operators", || {
        let py = prepared();
        py.exec("lock = threading.Lock(); lock.acquire()\nsleeps = map(time.sleep, [1000])", ())
            .unwrap();
        let late = py.clone().with_timeout(SHORT);
        let check = |name: &str, result: Result<(), Error>| {
            assert!(matches!(result, Err(Error::TimedOut { .. })), "{name}: {result:?}");
            assert_alive(&py);
        };
        check("call", late.get("time.sleep").unwrap().call1((1000,)));
        let lock = late.eval::<Object>("lock", ()).unwrap();
        check("with", lock.with(|_: ()| Ok(())).map(|_| ()));
        let sleeps = late.eval::<Object>("sleeps", ()).unwrap();
        check("take", sleeps.iter::<()>().unwrap().next().unwrap());
        let generator = late.eval::<Object>("generator()", ()).unwrap();
        check("generator", generator.iter::<()>().unwrap().try_for_each(|item| item));
        py.exec("class A:\n  def __len__(self): time.sleep(1000)", ()).unwrap();
        check("len", late.eval::<Object>("A()", ()).unwrap().len().map(|_| ()));
    });
}

#[test]
fn a_call_in_the_queue() {
    within_deadline("a queue", || {
        let py = prepared();
        let first = py.start_eval::<()>("noted(time.sleep, 1000)", ()).unwrap();
        let second = py.start_eval::<()>("ends.append('second')", ()).unwrap();
        let third = py.start_eval::<i64>("3", ()).unwrap();
        second.cancel();
        let error =
            py.clone().with_timeout(SHORT).eval::<()>("ends.append('fourth')", ()).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        first.cancel();
        assert_eq!(third.wait().unwrap(), 3);
        assert_eq!(ends(&py), ["KeyboardInterrupt"]);
    });
}

#[test]
fn in_a_thread_over_there() {
    within_deadline("a worker", || {
        let (py, begun) = heard();
        thread::scope(|scope| {
            let other = scope.spawn(|| py.eval::<()>("noted(go.wait)", ()));
            begun.recv().unwrap();
            let cancel = Cancel::new();
            let looping = py.clone().with_cancel(&cancel);
            scope.spawn({
                let cancel = cancel.clone();
                move || begun.recv().map(|()| cancel.cancel())
            });
            let error = looping.exec("noted(loop)", ()).unwrap_err();
            assert!(matches!(error, Error::Cancelled), "{error}");
            assert_alive(&py);
            assert_eq!(ends(&py), ["KeyboardInterrupt"]);
            py.get("go.set").unwrap().call0::<()>().unwrap();
            other.join().unwrap().unwrap();
        });
        assert_eq!(ends(&py), ["KeyboardInterrupt", "done"]);
    });
}

#[test]
fn while_it_waits_for_a_callback() {
    within_deadline("a callback", || {
        let py = prepared();
        let (go, gone) = channel::<()>();
        let gone = Mutex::new(gone);
        let waits = py.callback(move |(): ()| {
            let _ = gone.lock().unwrap().recv();
            Ok(())
        });
        let pending = py.start_eval::<()>("noted(f)", locals! { f: &waits }).unwrap();
        thread::scope(|scope| {
            // Its callback runs apart, as nobody waits yet.
            scope.spawn(|| py.get("begun.wait").unwrap().call0::<()>()).join().unwrap().unwrap();
            pending.cancel();
            wait_until(DEADLINE, "an interrupt", || ends(&py) == ["KeyboardInterrupt"]);
        });
        drop(go);
        assert_alive(&py);
        // Endless callbacks: the time is over between two of them.
        let quick = py.callback(|(): ()| Ok(()));
        let error = py
            .clone()
            .with_timeout(SHORT)
            .exec("def forever():\n  while True: f()\nnoted(forever)", locals! { f: &quick })
            .unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert!(ends(&py).iter().all(|end| end == "KeyboardInterrupt"));
    });
}

#[test]
fn a_call_within_a_callback() {
    within_deadline("a nested call", || {
        let py = prepared();
        let late = py.clone().with_timeout(SHORT);
        let sleeps = py.callback(move |(): ()| Ok(late.eval::<()>("noted(time.sleep, 1000)", ())?));
        let error = raised(py.eval::<()>("f()", locals! { f: &sleeps }));
        assert!(error.message.contains("no answer from Python within 50 ms"), "{error}");
        assert!(ends(&py).iter().all(|end| end == "KeyboardInterrupt"));
        assert_alive(&py);
    });
}

/// An interrupt is for one call: none that comes later is hit.
#[test]
fn a_cancel_that_comes_too_late_hits_nothing_else() {
    within_deadline("races", || {
        let py = python();
        for n in 0..500 {
            py.start_eval::<i64>("sum(range(100))", ()).unwrap().cancel();
            py.exec("print(1)", ()).unwrap_or_else(|error| panic!("{n}: {error}"));
            let f = py.callback(|(): ()| Ok(1));
            py.start_eval::<i64>("f()", locals! { f: &f }).unwrap().cancel();
            assert_eq!(py.eval::<i64>("f()", locals! { f: &f }).unwrap(), 1, "{n}");
        }
        assert_alive(&py);
    });
}

/// Nor in threads over there, whose interrupts are another mechanism.
#[test]
fn late_cancels_of_threads_hit_nothing_else() {
    within_deadline("races", || {
        let (py, begun) = heard();
        thread::scope(|scope| {
            let stop = Cancel::new();
            let main = py.clone().with_cancel(&stop);
            let main = scope.spawn(move || main.eval::<()>("noted(time.sleep, 1000)", ()));
            begun.recv().unwrap();
            for n in 0..500 {
                py.start_eval::<i64>("sum(range(1000))", ()).unwrap().cancel();
                let got = py.eval::<i64>("sum(range(1000))", ());
                assert_eq!(got.unwrap_or_else(|error| panic!("{n}: {error}")), 499_500);
            }
            stop.cancel();
            assert!(main.join().unwrap().is_err());
        });
    });
}

#[test]
fn many_at_once() {
    within_deadline("many", || {
        let py = Arc::new(prepared());
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let py = Arc::clone(&py);
                thread::spawn(move || {
                    let late = (*py).clone().with_timeout(Duration::from_millis(10 + n));
                    late.eval::<()>("time.sleep(.6)", ()).unwrap_err()
                })
            })
            .collect();
        for thread in threads {
            assert!(matches!(thread.join().unwrap(), Error::TimedOut { .. }));
        }
        assert_alive(&py);
    });
}

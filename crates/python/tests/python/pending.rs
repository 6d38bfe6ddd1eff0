//! Calls in advance, and as futures.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use testkit::within_deadline;
use thither_python::{Error, Object, Pending, Python, locals};

use crate::{assert_alive, program, python, quiet, raised};

/// The smallest executor.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn start(py: &Python, n: usize) -> Pending<usize> {
    py.start_eval("n", locals! { n: n }).unwrap()
}

#[test]
fn thousands() {
    within_deadline("pending calls", || {
        let py = python();
        let all: Vec<_> = (0..5000).map(|n| start(&py, n)).collect();
        for (n, pending) in all.into_iter().enumerate() {
            assert_eq!(pending.wait().unwrap(), n);
        }
        // In any order, and half of them dropped.
        let mut all: Vec<_> = (0..1000).map(|n| (n, start(&py, n))).collect();
        all.reverse();
        for (n, pending) in all {
            match n % 4 {
                0 => drop(pending),
                1 => pending.cancel(),
                _ => assert_eq!(pending.wait().unwrap(), n),
            }
        }
        assert_alive(&py);
    });
}

#[test]
fn unbounded_pipelining_stalls_both_sides() {
    within_deadline("the window", || {
        let mut start = quiet();
        start.window = 3;
        let py = start.local(program()).unwrap();
        let all: Vec<Pending<usize>> =
            (0..100).map(|n| py.start_eval("n", locals! { n: n }).unwrap()).collect();
        assert_eq!(all.into_iter().map(|one| one.wait().unwrap()).sum::<usize>(), 4950);
        // As large as pipes are, both ways, with nobody to read the replies.
        let text = "x".repeat(300_000);
        let all: Vec<Pending<String>> =
            (0..20).map(|_| py.start_eval("t + 'y'", locals! { t: &text }).unwrap()).collect();
        for one in all {
            assert_eq!(one.wait().unwrap().len(), 300_001);
        }
        // Callbacks are not kept by a full window.
        let back = py.clone();
        let f = py.callback(move |(n,): (i64,)| Ok(back.eval::<i64>("n", locals! { n: n })?));
        let all: Vec<Pending<i64>> =
            (0..30).map(|n| py.start_eval("f(n)", locals! { f: &f, n: n }).unwrap()).collect();
        assert_eq!(all.into_iter().map(|one| one.wait().unwrap()).sum::<i64>(), 435);
        // One that waits for its turn can be given up.
        let sleeps: Vec<Pending<()>> =
            (0..3).map(|_| py.start_eval("__import__('time').sleep(1000)", ()).unwrap()).collect();
        let late = py.clone().with_timeout(std::time::Duration::from_millis(50));
        assert!(matches!(late.start_eval::<()>("1", ()), Err(Error::TimedOut { .. })));
        sleeps.into_iter().for_each(Pending::cancel);
        assert_alive(&py);
    });
}

#[test]
fn large_calls_that_nobody_waits_for_yet() {
    within_deadline("large calls", || {
        let py = python();
        let text = "x".repeat(200_000);
        let all: Vec<Pending<String>> =
            (0..100).map(|_| py.start_eval("t", locals! { t: &text }).unwrap()).collect();
        for one in all {
            assert_eq!(one.wait().unwrap().len(), 200_000);
        }
    });
}

#[test]
fn as_futures() {
    within_deadline("futures", || {
        let py = python();
        assert_eq!(block_on(start(&py, 5)).unwrap(), 5);
        let sum = block_on(async {
            let mut sum = 0;
            for n in 0..200 {
                sum += start(&py, n).await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 19900);
        let all: Vec<_> = (0..500).map(|n| start(&py, n)).collect();
        let sum = block_on(async {
            let mut sum = 0;
            for one in all {
                sum += one.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 124_750);
        let error = raised(block_on(py.start_eval::<()>("1 // 0", ()).unwrap()));
        assert_eq!(error.kind, "ZeroDivisionError");
        let o = block_on(py.start_eval::<Object>("[1]", ()).unwrap()).unwrap();
        assert_eq!(o.len().unwrap(), 1);
        // With a callback, which nobody's thread waits for.
        let f = py.callback(|(n,): (i64,)| Ok(n + 1));
        assert_eq!(block_on(py.start_eval::<i64>("f(1)", locals! { f: &f }).unwrap()).unwrap(), 2);
    });
}

#[test]
fn futures_among_threads() {
    within_deadline("futures", || {
        let py = python();
        thread::scope(|scope| {
            for who in 0..4 {
                let py = &py;
                scope.spawn(move || {
                    for n in 0..100 {
                        match who % 2 {
                            0 => assert_eq!(block_on(start(py, n)).unwrap(), n),
                            _ => assert_eq!(start(py, n).wait().unwrap(), n),
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn a_future_that_is_dropped_or_whose_connection_ends() {
    within_deadline("futures", || {
        let py = python();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut slow = Box::pin(py.start_eval::<()>("__import__('time').sleep(.05)", ()).unwrap());
        assert!(slow.as_mut().poll(&mut context).is_pending());
        drop(slow);
        assert_alive(&py);
        let dies = py.start_eval::<()>("__import__('os')._exit(1)", ()).unwrap();
        let queued = start(&py, 1);
        assert!(matches!(block_on(dies), Err(Error::Closed { .. })));
        assert!(matches!(block_on(queued), Err(Error::Closed { .. })));
        assert!(matches!(py.start_eval::<()>("1", ()), Err(Error::Closed { .. })));
    });
}

/// Executors may drop a task, and what it waits for, when it is woken.
#[test]
fn a_waker_that_drops_another_call() {
    struct Dropping(Mutex<Option<Pending<usize>>>, Thread);
    impl Wake for Dropping {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.unpark();
        }
    }
    within_deadline("a wake", || {
        let py = python();
        let mut slow = Box::pin(py.start_eval::<()>("__import__('time').sleep(.05)", ()).unwrap());
        let waker =
            Waker::from(Arc::new(Dropping(Mutex::new(Some(start(&py, 1))), thread::current())));
        while slow.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            thread::park();
        }
        assert_alive(&py);
    });
}

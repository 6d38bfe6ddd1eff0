//! All at once, from many threads, in an order that a seed decides; every other interpreter is closed in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_bytes::{ByteBuf, Bytes};
use testkit::within_deadline;
use thither_python::{Callback, Cancel, Error, Object, Output, Pending, Python};

use crate::pending::block_on;
use crate::{program, quiet};

const ROUNDS: u64 = 12;
const THREADS: u64 = 5;
const OPERATIONS: u64 = 120;

/// Longer than any call takes whose reply is not lost.
const LONG: Duration = Duration::from_secs(15);

/// Numbers that look random (Knuth's MMIX constants).
struct Numbers(u64);

impl Numbers {
    /// One below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One thread's calls.
struct Caller {
    py: Python,
    short: Python,
    callback: Callback,
    numbers: Numbers,
    pending: Vec<Pending<i64>>,
}

impl Caller {
    fn new(py: &Python, seed: u64) -> Caller {
        let py = py.clone().with_timeout(LONG);
        let inner = py.clone();
        let callback = py.callback(move |(n,): (i64,)| match n {
            0 => Ok(0),
            n => Ok(inner.eval::<i64>(format!("{n} + 1"), ())?),
        });
        let short = py.clone().with_timeout(Duration::from_millis(3));
        Caller { py, short, callback, numbers: Numbers(seed), pending: Vec::new() }
    }

    fn act(&mut self) -> Result<(), Error> {
        let py = &self.py;
        let n = self.numbers.below(3) as i64;
        match self.numbers.below(13) {
            0 => assert_eq!(py.eval::<i64>("1 + 1", ())?, 2),
            1 => drop(py.eval::<Object>("object()", ())?),
            2 | 3 => self.pending.push(py.start_eval("sum(range(100))", ())?),
            4 => self.settle()?,
            5 => {
                let found: i64 = py.get("back")?.call1((&self.callback, n))?;
                assert_eq!(found, if n == 0 { 0 } else { n + 1 });
            }
            6 => {
                let pause = format!("time.sleep(0.00{})", self.numbers.below(9));
                match self.short.eval::<()>(pause, ()) {
                    Ok(()) | Err(Error::TimedOut { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            7 => py.exec("print('x' * 100)", ())?,
            8 => {
                let bytes = vec![7; n as usize * 90_000 + 10];
                let len: usize = py.get("len")?.call1((Bytes::new(&bytes),))?;
                assert_eq!(len, bytes.len());
            }
            9 => {
                let size = self.numbers.below(300_000);
                assert_eq!(py.eval::<ByteBuf>(format!("bytes({size})"), ())?.len() as u64, size);
            }
            10 => {
                let call = py.get("back")?.start1::<i64>((&self.callback, n))?;
                match n {
                    0 => drop(call),
                    1 => drop(block_on(call)?),
                    _ => drop(call.wait()?),
                }
            }
            11 => {
                let cancel = Cancel::new();
                let other = cancel.clone();
                let canceller = thread::spawn(move || other.cancel());
                let result = py.clone().with_cancel(&cancel).eval::<()>("time.sleep(0.002)", ());
                canceller.join().expect("it only cancels");
                match result {
                    Ok(()) | Err(Error::Cancelled) => {}
                    Err(error) => return Err(error),
                }
            }
            _ => {
                let error = py.eval::<i64>("1 // 0", ()).expect_err("an exception");
                if !error.is_instance_of("ZeroDivisionError") {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Ends what was started, in every way.
    fn settle(&mut self) -> Result<(), Error> {
        while let Some(pending) = self.pending.pop() {
            match self.numbers.below(4) {
                0 => drop(pending),
                1 => pending.cancel(),
                2 => assert_eq!(block_on(pending)?, 4950),
                _ => assert_eq!(pending.wait()?, 4950),
            }
        }
        Ok(())
    }
}

#[track_caller]
fn check_round(round: u64) {
    within_deadline(&format!("round {round}"), move || {
        let mut start = quiet();
        let printed = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&printed);
        start.output = Output::Function(Box::new(move |_, bytes| {
            counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }));
        start.window = if round.is_multiple_of(3) { 4 } else { 1024 };
        let py = start.local(program()).unwrap();
        py.exec("import time\ndef back(f, n): return f(n)", ()).unwrap();
        let closing = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (py, closing) = (&py, &closing);
                scope.spawn(move || {
                    let mut caller = Caller::new(py, round * 100 + number);
                    for operation in 0..OPERATIONS {
                        if round.is_multiple_of(2) && number == 0 && operation == OPERATIONS / 2 {
                            closing.store(true, Ordering::SeqCst);
                            py.clone().close().expect("it ends");
                        }
                        let done = caller.act();
                        if let Err(error) = done {
                            let closed = closing.load(Ordering::SeqCst)
                                && matches!(error, Error::Closed { .. });
                            assert!(closed, "thread {number}, operation {operation}: {error:?}");
                            return;
                        }
                    }
                    caller
                        .settle()
                        .or_else(|error| match closing.load(Ordering::SeqCst) {
                            true => Ok(()),
                            false => Err(error),
                        })
                        .expect("the last replies");
                });
            }
        });
        py.close().expect("it ends");
    });
}

#[test]
fn all_at_once() {
    for round in 1..=ROUNDS {
        check_round(round);
    }
}

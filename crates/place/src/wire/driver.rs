//! Who drives a relay, and how the process at its other end is held: whoever holds the process, in their own loop, or a thread
//! where they have pipes or a terminal instead, and need not poll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use thither_term::{Interest, WindowSize, poll};

use super::relay::{Broken, Relay, Step};
use crate::error::quoted;
use crate::{Control, Error, Event, Exit, Result};

/// How long a stream may take to end over there when nobody here has it any more: as long as an answer.
const LINGER: Duration = super::client::ANSWER;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Driver {
    /// Whoever polls this.
    Caller(Box<Relay>),
    /// A thread.
    Thread(Thread),
}

#[derive(Debug)]
pub(super) struct Thread {
    /// A byte for each signal that has stopped the program; its end is that of the thread.
    news: OwnedFd,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Exit, Broken>>>,
}

/// What the thread is to do.
#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    /// Readable when there are some.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Orders {
    size: Option<WindowSize>,
    signals: Vec<u8>,
    ends: usize,
    stop: bool,
}

impl Shared {
    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        // It counts to more than anybody ever orders.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Hands the orders on, and says whether to stop.
    fn obey(&self, relay: &mut Relay) -> bool {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        let orders =
            std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(size) = orders.size {
            relay.resize(size);
        }
        orders.signals.into_iter().for_each(|signal| relay.signal(signal));
        (0..orders.ends).for_each(|_| relay.end_input());
        orders.stop
    }
}

impl Driver {
    /// Moves on in a thread of its own.
    pub(super) fn in_thread(mut relay: Relay) -> io::Result<Driver> {
        let (news, tell) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { orders: Mutex::default(), wake });
        let orders = shared.clone();
        let thread = thread::Builder::new().name("wire streams".into()).spawn(move || {
            let result = drive(&mut relay, &orders, &tell);
            // The pipes end before the news does.
            drop(relay);
            result
        })?;
        Ok(Driver::Thread(Thread { news, shared, thread: Some(thread) }))
    }

    fn step(&mut self) -> Result<Step, Broken> {
        let thread = match self {
            Driver::Caller(relay) => return relay.step(),
            Driver::Thread(thread) => thread,
        };
        let mut signal = [0];
        match rustix::io::read(&thread.news, &mut signal) {
            Ok(0) => {}
            Ok(_) => return Ok(Step::Stopped(signal[0])),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Step::Going),
            Err(error) => return Err(Broken::Lost(Some(error.into()))),
        }
        let Some(handle) = thread.thread.take() else { return Err(Broken::Lost(None)) };
        let panicked = |_| Broken::Lost(Some(io::Error::other("the thread panicked")));
        handle.join().map_err(panicked)?.map(Step::Exited)
    }

    fn resize(&mut self, size: WindowSize) {
        match self {
            Driver::Caller(relay) => relay.resize(size),
            Driver::Thread(thread) => thread.shared.order(|orders| orders.size = Some(size)),
        }
    }

    fn signal(&mut self, signal: u8) {
        match self {
            Driver::Caller(relay) => relay.signal(signal),
            Driver::Thread(thread) => thread.shared.order(|orders| {
                if !orders.signals.contains(&signal) {
                    orders.signals.push(signal);
                }
            }),
        }
    }

    fn end_input(&mut self) {
        match self {
            Driver::Caller(relay) => relay.end_input(),
            Driver::Thread(thread) => thread.shared.order(|orders| orders.ends += 1),
        }
    }
}

fn drive(relay: &mut Relay, shared: &Shared, news: &OwnedFd) -> Result<Exit, Broken> {
    loop {
        let ready =
            poll(&[Interest::Read(relay.as_fd()), Interest::Read(shared.wake.as_fd())], None)
                .map_err(|error| Broken::Lost(Some(error)))?;
        if ready[1].now && shared.obey(relay) {
            return Err(Broken::Lost(None));
        }
        match relay.step()? {
            Step::Going => {}
            // One that nobody has read of is as good as the next.
            Step::Stopped(signal) => drop(rustix::io::write(news, &[signal])),
            Step::Exited(exit) => return Ok(exit),
        }
    }
}

/// Moves a stream, in a thread of its own, until it ends or nobody has `ours` any more, which is the relay's end of it.
pub(super) fn stream(mut relay: Relay, ours: OwnedFd) -> io::Result<()> {
    let thread = thread::Builder::new().name("wire stream".into());
    thread.spawn(move || {
        if let Err(broken) = drive_stream(&mut relay, &ours) {
            tracing::debug!(?broken, "a stream is lost");
        }
    })?;
    Ok(())
}

fn drive_stream(relay: &mut Relay, ours: &OwnedFd) -> Result<(), Broken> {
    let lost = |error| Broken::Lost(Some(error));
    // Once nobody has it: how much was sent then, and until when more is waited for.
    let mut over: Option<(u64, Instant)> = None;
    loop {
        let hang_up = match over {
            None => Interest::HangUp(ours.as_fd()),
            Some(_) => Interest::Nothing,
        };
        let left = over.map(|(_, end)| end.saturating_duration_since(Instant::now()));
        let ready = poll(&[Interest::Read(relay.as_fd()), hang_up], left).map_err(lost)?;
        if ready[1].now {
            relay.unread(0);
        }
        if let Step::Exited(_) = relay.step()? {
            return Ok(());
        }
        let sent = relay.sent();
        if ready[1].now || over.is_some_and(|(before, _)| before != sent) {
            // What was written before arrives.
            over = Some((sent, Instant::now() + LINGER));
        } else if left.is_some_and(|left| left.is_zero()) {
            return Err(lost(io::ErrorKind::TimedOut.into()));
        }
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Driver::Caller(relay) => relay.as_fd(),
            Driver::Thread(thread) => thread.news.as_fd(),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // It wakes up, and ends without us.
        self.shared.order(|orders| orders.stop = true);
    }
}

/// How a process over there is held.
pub(super) struct Held {
    /// The place's address, for errors.
    pub(super) place: String,
    pub(super) has_terminal: bool,
    pub(super) driver: Driver,
    /// How it ended, when that was told.
    pub(super) exit: Option<Exit>,
}

impl Held {
    fn unsupported(&self, action: impl Into<String>) -> Error {
        Error::Unsupported { action: action.into(), place: self.place.clone(), hint: None }
    }

    fn broken(&self, broken: Broken) -> Error {
        match broken {
            Broken::Malformed(malformed) => Error::Place {
                action: "read what comes from the command".into(),
                place: self.place.clone(),
                source: Box::new(malformed),
                hint: None,
            },
            Broken::Lost(source) => {
                tracing::debug!(?source, place = %quoted(&self.place), "the connection is lost");
                Error::Disconnected { place: self.place.clone() }
            }
            Broken::Output(of, source) => {
                let action = ["write to standard output", "write to standard error"][of];
                Error::Terminal { action, source }
            }
            Broken::Input(source) => Error::Terminal { action: "read standard input", source },
        }
    }
}

impl Control for Held {
    fn resize(&mut self, size: WindowSize) -> Result<()> {
        if !self.has_terminal {
            return Err(self.unsupported("resize a command without a terminal"));
        }
        self.driver.resize(size);
        Ok(())
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        match u8::try_from(signal) {
            Ok(signal @ 1..=64) => self.driver.signal(signal),
            _ => return Err(self.unsupported(format!("send signal {signal}"))),
        }
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.driver.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        if let Some(exit) = self.exit {
            return Ok(Some(Event::Exited(exit)));
        }
        match self.driver.step().map_err(|broken| self.broken(broken))? {
            Step::Going => Ok(None),
            Step::Stopped(signal) => Ok(Some(Event::Stopped(signal.into()))),
            Step::Exited(exit) => {
                self.exit = Some(exit);
                Ok(Some(Event::Exited(exit)))
            }
        }
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        self.driver.end_input();
        Ok(())
    }
}

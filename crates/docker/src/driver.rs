//! Who drives a relay: whoever holds the process, in their own loop, or a thread where they have pipes instead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use thither_term::{Interest, poll};

use crate::relay::{Broken, Relay, Step};
use crate::target::Target;

/// See the [module](self).
pub(crate) enum Driver {
    /// Whoever polls this.
    Caller(Box<Relay>),
    /// A thread, since the caller reads and writes pipes and need not poll.
    Thread(Box<Thread>),
}

pub(crate) struct Thread {
    /// Its other end is closed when the thread ends.
    done: OwnedFd,
    /// Readable when the thread is to end.
    stop: OwnedFd,
    thread: Option<JoinHandle<Driven>>,
    relay: Option<Box<Relay>>,
}

/// What a thread gives back: the relay, and how it ended.
type Driven = (Box<Relay>, Result<(), Broken>);

impl Driver {
    /// Moves on in a thread of its own.
    pub(crate) fn in_thread(relay: Relay, target: Target) -> io::Result<Driver> {
        let (done, done_there) = io::pipe()?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stop_there = stop.try_clone()?;
        let mut relay = Box::new(relay);
        let thread =
            std::thread::Builder::new().name("docker streams".into()).spawn(move || {
                let result = drive(&mut relay, &target, &stop_there);
                // The pipes end here, and not when somebody looks at the result.
                relay.let_go();
                drop(done_there);
                (relay, result)
            })?;
        let thread = Thread { done: done.into(), stop, thread: Some(thread), relay: None };
        Ok(Driver::Thread(Box::new(thread)))
    }

    pub(crate) fn step(&mut self) -> Result<Step, Broken> {
        match self {
            Driver::Caller(relay) => relay.step(),
            Driver::Thread(thread) => {
                let Some(handle) = thread.thread.take() else { return Ok(Step::Ended) };
                let (relay, result) = handle
                    .join()
                    .map_err(|_| Broken::Lost(Some(io::Error::other("the thread panicked"))))?;
                thread.relay = Some(relay);
                result.map(|()| Step::Ended)
            }
        }
    }

    pub(crate) fn end_input(&mut self) {
        if let Driver::Caller(relay) = self {
            relay.end_input();
        }
    }

    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Driver::Caller(relay) => relay.refusal(),
            Driver::Thread(thread) => thread.relay.as_ref()?.refusal(),
        }
    }

    pub(crate) fn no_excuse(&mut self) {
        if let Driver::Caller(relay) = self {
            relay.no_excuse();
        }
    }

    pub(crate) fn deliver_refusal(&mut self) -> Result<(), Broken> {
        match self {
            Driver::Caller(relay) => relay.deliver_refusal(),
            // Its pipes have ended; see `Relay::let_go`.
            Driver::Thread(_) => Ok(()),
        }
    }
}

fn drive(relay: &mut Relay, target: &Target, stop: &OwnedFd) -> Result<(), Broken> {
    loop {
        let ready = poll(&[Interest::Read(relay.as_fd()), Interest::Read(stop.as_fd())], None);
        if ready.map_err(|error| Broken::Lost(Some(error)))?[1].now {
            return Ok(());
        }
        match relay.step()? {
            Step::Going => {}
            Step::Ended => {
                // It may be what the program itself has printed.
                if relay.refusal().is_some() && target.was_started().unwrap_or(true) {
                    relay.deliver_refusal()?;
                }
                return Ok(());
            }
            Step::Excuse => {
                if target.was_started().unwrap_or(true) {
                    relay.no_excuse();
                }
            }
            // As in `Held`; an engine that cannot be reached says so by the stream's end.
            Step::Closed(_) => drop(target.signal(rustix::process::Signal::PIPE.as_raw())),
        }
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Driver::Caller(relay) => relay.as_fd(),
            Driver::Thread(thread) => thread.done.as_fd(),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // It wakes up, and ends without us.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

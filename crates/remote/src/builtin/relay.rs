//! Streams that we inherited, moved in the loop of whoever waits for the process: they must not be made non-blocking,
//! so the bridge cannot have them. It has the other end of a socket for each.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::net::{Shutdown, shutdown};
use thither_place::{Error, Result};
use thither_term::{Interest, Pump, poll};

use super::watch::Watch;
use crate::bridge::Bell;

/// How often everything is moved before the caller may look at other things.
const ROUNDS: usize = 64;
/// The slot that makes the caller come back at once; two for each of the three ways come before.
const AGAIN: usize = 6;

/// The pumps. It polls readable when [`step`](Relay::step) has something to do.
pub(super) struct Relay {
    ways: Vec<Way>,
    watch: Watch<7>,
    again: Arc<Bell>,
}

struct Way {
    /// The number of the stream.
    number: usize,
    pump: Pump<'static>,
    // The watch knows them by their numbers, also once the pump has let go of them: see epoll(7), question 6.
    from: Arc<OwnedFd>,
    to: Arc<OwnedFd>,
    over: bool,
}

impl Relay {
    pub(super) fn new() -> io::Result<Relay> {
        let again = Bell::new()?;
        again.ring();
        Ok(Relay { ways: Vec::new(), watch: Watch::new()?, again })
    }

    /// Joins stream 0 to a socket, or a socket to stream 1 or 2.
    pub(super) fn join(
        &mut self,
        number: usize,
        stream: OwnedFd,
        socket: OwnedFd,
    ) -> io::Result<()> {
        let (stream, socket) = (Arc::new(stream), Arc::new(socket));
        let (from, to) = if number == 0 { (stream, socket) } else { (socket, stream) };
        let pump = Pump::new(Arc::clone(&from), Arc::clone(&to))?;
        // The outputs are others' too; the socket is to learn of the end of the input.
        let pump = if number == 0 { pump } else { pump.keep_open() };
        self.ways.push(Way { number, pump, from, to, over: false });
        // A file cannot be waited for: the first step is due at once.
        self.rearm(true)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// Whether all that was printed has arrived.
    pub(super) fn has_delivered(&self) -> bool {
        self.ways.iter().all(|way| way.over || way.number == 0)
    }

    /// Ends the input.
    pub(super) fn end_input(&mut self) {
        for way in self.ways.iter_mut().filter(|way| way.number == 0) {
            way.pump.finish();
        }
    }

    /// Leaves the input alone: nobody reads it any more.
    pub(super) fn leave_input(&mut self) {
        for way in self.ways.iter_mut().filter(|way| way.number == 0) {
            way.pump.close();
            way.over = true;
        }
    }

    /// Moves what can be moved without waiting.
    pub(super) fn step(&mut self) -> Result<()> {
        let mut going = true;
        for _ in 0..ROUNDS {
            if !going {
                break;
            }
            going = self.round()?;
        }
        self.rearm(going).map_err(|source| failed("wait for the streams", source))
    }

    /// Says whether anything moved.
    fn round(&mut self) -> Result<bool> {
        let waiting = |source| failed("wait for the streams", source);
        let interests: Vec<Interest<'_>> =
            self.ways.iter().flat_map(|way| way.pump.interests()).collect();
        let ready = poll(&interests, Some(Duration::ZERO)).map_err(waiting)?;
        let ready: Vec<bool> = ready.iter().map(|ready| ready.now).collect();
        for (way, ready) in self.ways.iter_mut().zip(ready.chunks(2)) {
            way.go_on(ready[0], ready[1])?;
        }
        Ok(ready.contains(&true))
    }

    fn rearm(&mut self, going: bool) -> io::Result<()> {
        for way in &self.ways {
            let wants = way.pump.interests().map(|interest| match interest {
                Interest::Read(_) if !way.over => EventFlags::IN,
                Interest::Write(_) if !way.over => EventFlags::OUT,
                _ => EventFlags::empty(),
            });
            self.watch.want(2 * way.number, &way.from, wants[0])?;
            self.watch.want(2 * way.number + 1, &way.to, wants[1])?;
        }
        let again = if going { EventFlags::IN } else { EventFlags::empty() };
        self.watch.want(AGAIN, &self.again, again)
    }
}

impl Way {
    fn go_on(&mut self, readable: bool, writable: bool) -> Result<()> {
        const READING: [&str; 3] = ["read standard input", "read the output", "read the output"];
        const WRITING: [&str; 3] =
            ["send the input", "write to standard output", "write to standard error"];
        if readable {
            self.pump.fill().map_err(|source| failed(READING[self.number], source))?;
        }
        if writable {
            self.pump.drain().map_err(|source| failed(WRITING[self.number], source))?;
        }
        if !self.over && (self.pump.is_done() || self.pump.is_closed()) {
            self.over = true;
            if self.pump.is_closed() && self.number != 0 {
                // So the bridge learns that nobody reads.
                let _ = shutdown(&self.from, Shutdown::Both);
            }
        }
        Ok(())
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

fn failed(action: &'static str, source: io::Error) -> Error {
    Error::Terminal { action, source }
}

/// Who drives a relay: whoever holds the process, in their own loop, or a thread where they have pipes instead, since
/// who reads a pipe does not poll.
pub(super) enum Driver {
    Caller(Relay),
    Thread { stop: Arc<Stop>, done: Arc<Bell>, thread: Option<thread::JoinHandle<Result<()>>> },
}

/// What ends the input, and whether all the rest too.
pub(super) struct Stop {
    bell: Arc<Bell>,
    all: AtomicBool,
}

impl Driver {
    pub(super) fn new(relay: Relay, piped: bool) -> io::Result<Driver> {
        if !piped || relay.is_empty() {
            return Ok(Driver::Caller(relay));
        }
        let stop = Arc::new(Stop { bell: Bell::new()?, all: AtomicBool::new(false) });
        let done = Bell::new()?;
        let (stop_there, done_there) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::Builder::new()
            .name("ssh streams".into())
            .spawn(move || drive(relay, &stop_there, &done_there))?;
        Ok(Driver::Thread { stop, done, thread: Some(thread) })
    }

    /// Says whether all that was printed has arrived. `ended`: nothing more is printed, and nothing is read.
    pub(super) fn step(&mut self, ended: bool) -> Result<bool> {
        match self {
            Driver::Caller(relay) => {
                if ended {
                    relay.leave_input();
                }
                relay.step()?;
                Ok(relay.has_delivered())
            }
            Driver::Thread { stop, done, thread } => {
                if ended {
                    stop.bell.ring();
                }
                let is_done = poll(&[Interest::Read(done.as_fd())], Some(Duration::ZERO))
                    .map_err(|source| failed("wait for the streams", source))?[0]
                    .now;
                match thread.take_if(|_| is_done).map(thread::JoinHandle::join) {
                    Some(Ok(result)) => result.map(|()| true),
                    Some(Err(_)) => {
                        Err(failed("move the streams", io::Error::other("the thread panicked")))
                    }
                    None => Ok(is_done),
                }
            }
        }
    }

    pub(super) fn end_input(&mut self) {
        match self {
            Driver::Caller(relay) => relay.end_input(),
            // Only who has no pipe for it needs this; see `Process::end_input`.
            Driver::Thread { stop, .. } => stop.bell.ring(),
        }
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Driver::Caller(relay) => relay.as_fd(),
            Driver::Thread { done, .. } => done.as_fd(),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Driver::Thread { stop, .. } = self {
            stop.all.store(true, Ordering::Release);
            stop.bell.ring();
        }
    }
}

/// Goes on until all has arrived that is printed; `stop` ends the input.
fn drive(mut relay: Relay, stop: &Stop, done: &Bell) -> Result<()> {
    struct Ring<'a>(&'a Bell);
    impl Drop for Ring<'_> {
        fn drop(&mut self) {
            self.0.ring();
        }
    }
    let _ring = Ring(done);
    let mut stopped = false;
    loop {
        let look = if stopped { Interest::Nothing } else { Interest::Read(stop.bell.as_fd()) };
        let ready = poll(&[Interest::Read(relay.as_fd()), look], None)
            .map_err(|source| failed("wait for the streams", source))?;
        relay.step()?;
        if ready[1].now {
            stopped = true;
            relay.end_input();
        }
        if stop.all.load(Ordering::Acquire) || (stopped && relay.has_delivered()) {
            return Ok(());
        }
    }
}

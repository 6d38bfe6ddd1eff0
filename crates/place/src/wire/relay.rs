//! A connection's streams joined to where they come from and go to, in the caller's own loop.
//!
//! Nothing here blocks, and there is no thread: what is waited for is readable from one descriptor, and [`Relay::step`] moves
//! what can be moved. Output for a pipe goes there by splice(2). While the destination of a piece takes nothing, nothing more is
//! read; input, sizes and signals go on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use thither_term::watch::SLOTS;
use thither_term::{Watch, WindowSize};

use super::frame::{Arrived, Incoming, Kind, Malformed, Side};
use crate::Exit;

mod clock;
mod delivery;
mod outgoing;

use self::clock::{Clock, Tick};
use self::delivery::{Delivery, Taken};
use self::outgoing::Outgoing;

/// What one step moves at most, so that its caller gets to signals and keys, in bytes.
const STEP: usize = 4 * 1024 * 1024;
/// What each turn of a step counts for at least, in bytes: a flood of empty frames is no endless step.
const TURN: usize = 1024;
const SOCKET: usize = 0;
const OUT: [usize; 2] = [1, 2];
const INPUT: usize = 3;
const TIMER: usize = 4;

/// What is ready, by slots.
type Ready = [EventFlags; SLOTS];

/// What is joined to a connection.
#[derive(Debug)]
pub(super) enum Local {
    /// Descriptors 0, 1 and 2; `None` was not asked for.
    Separate([Option<OwnedFd>; 3]),
    /// One end of a socket pair of ours, for both directions. The input of a terminal can end several times.
    Socket { end: OwnedFd, is_terminal: bool },
}

/// Why a relay cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// What comes is not as it should be.
    Malformed(Malformed),
    /// The connection failed, or ended before all was said.
    Lost(Option<io::Error>),
    /// A destination failed: 0 is standard output, 1 standard error.
    Output(usize, io::Error),
    /// The input cannot be read.
    Input(io::Error),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Broken {
        Broken::Malformed(malformed)
    }
}

fn lost(error: impl Into<io::Error>) -> Broken {
    Broken::Lost(Some(error.into()))
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to come.
    Going,
    /// The same, and a signal has stopped the program.
    Stopped(u8),
    /// It ended, and all of its output is delivered.
    Exited(Exit),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Relay {
    socket: OwnedFd,
    incoming: Incoming,
    /// The piece of a stream that is coming: whose, and how many of its bytes are still to be read.
    piece: Option<(usize, usize)>,
    delivery: Delivery,
    outgoing: Outgoing,
    clock: Option<Clock>,
    /// The socket of [`Local::Socket`].
    local: Option<OwnedFd>,
    watch: Watch,
    /// How it ended; `Some(None)` when nobody knows.
    end: Option<Option<Exit>>,
}

impl Relay {
    pub(super) fn new(
        socket: OwnedFd,
        local: Local,
        keep_alive: Option<Duration>,
    ) -> io::Result<Relay> {
        // It is ours: splice(2) from TCP heeds nothing else.
        fcntl_setfl(&socket, fcntl_getfl(&socket)? | OFlags::NONBLOCK)?;
        let (streams, local, is_terminal) = match local {
            Local::Separate(streams) => (streams, None, false),
            Local::Socket { end, is_terminal } => {
                let streams = [Some(end.try_clone()?), Some(end.try_clone()?), None];
                (streams, Some(end), is_terminal)
            }
        };
        let [input, stdout, stderr] = streams;
        let mut relay = Relay {
            socket,
            incoming: Incoming::from(Side::Server),
            piece: None,
            delivery: Delivery::new([stdout, stderr])?,
            outgoing: Outgoing::new(input, is_terminal)?,
            clock: keep_alive.map(Clock::new).transpose()?,
            local,
            watch: Watch::new()?,
            end: None,
        };
        if let Some(clock) = &relay.clock {
            relay.watch.want(TIMER, clock, EventFlags::IN)?;
        }
        relay.want()?;
        Ok(relay)
    }

    /// Moves what can be moved now. After the end it says the end again.
    pub(super) fn step(&mut self) -> Result<Step, Broken> {
        match self.end {
            Some(Some(exit)) => return Ok(Step::Exited(exit)),
            Some(None) => return Err(Broken::Lost(None)),
            None => {}
        }
        let step = self.turn();
        match step {
            Ok(Step::Exited(exit)) => self.close(Some(exit)),
            Ok(_) => {}
            Err(_) => self.close(None),
        }
        step
    }

    /// Passes on a new size; only the latest one counts.
    pub(super) fn resize(&mut self, size: WindowSize) {
        self.outgoing.resize(size);
        self.nudge();
    }

    /// Passes on a signal.
    pub(super) fn signal(&mut self, signal: u8) {
        self.outgoing.signal(signal);
        self.nudge();
    }

    /// There is no more input than what has been written so far.
    pub(super) fn end_input(&mut self) {
        self.outgoing.end_input();
        self.nudge();
    }

    /// How much was sent in all, in bytes.
    pub(super) fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// Nobody reads destination `of` any more.
    pub(super) fn unread(&mut self, of: usize) {
        self.delivery.lost_reader(of);
        self.nudge();
    }

    /// Lets go of everything; its descriptor is readable from now on.
    pub(super) fn close(&mut self, exit: Option<Exit>) {
        self.end = Some(exit);
        self.outgoing.close(&mut self.watch);
        self.delivery.close(&mut self.watch);
        if let Some(local) = self.local.take() {
            hang_up(&local);
        }
        if let Some(clock) = self.clock.take() {
            let _ = self.watch.want(TIMER, &clock, EventFlags::empty());
        }
        // One that is gone already (ENOTCONN) is readable, too.
        let _ = shutdown(&self.socket, Shutdown::Both);
        let _ = self.watch.want(SOCKET, &self.socket, EventFlags::IN);
    }

    /// Sends what goes at once. What fails now fails in the next step again.
    fn nudge(&mut self) {
        if self.end.is_some() {
            return;
        }
        let _ = self.send(&[EventFlags::empty(); SLOTS]);
        let _ = self.want();
    }

    fn turn(&mut self) -> Result<Step, Broken> {
        let ready = self.watch.ready().map_err(lost)?;
        let step = self.receive(&ready)?;
        if let Step::Exited(_) = step {
            return Ok(step);
        }
        self.keep_alive(&ready)?;
        self.send(&ready)?;
        self.want().map_err(lost)?;
        Ok(step)
    }

    fn receive(&mut self, ready: &Ready) -> Result<Step, Broken> {
        if !self.delivery.go_on(ready) {
            return Ok(Step::Going);
        }
        let mut moved = 0;
        // What was read is written: there may be nothing more to wait for.
        while (moved < STEP || self.delivery.holds()) && !self.delivery.is_full() {
            let n = if self.delivery.holds() {
                self.delivery.write()?
            } else if let Some((of, left)) = self.piece {
                match self.delivery.take(&self.socket, of, left)? {
                    Taken::Nothing => break,
                    Taken::Bytes(n) => {
                        self.piece = Some((of, left - n)).filter(|(_, left)| *left > 0);
                        self.heard();
                        n
                    }
                }
            } else {
                match self.frame()? {
                    Some(Step::Going) => 0,
                    Some(step) => return Ok(step),
                    None => break,
                }
            };
            moved += n.max(TURN);
        }
        Ok(Step::Going)
    }

    fn heard(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.heard();
        }
    }

    /// Reads of a frame what has come; `None` when that is nothing.
    fn frame(&mut self) -> Result<Option<Step>, Broken> {
        let n = match recv(&self.socket, self.incoming.room(), RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(lost(error)),
            Ok((0, _)) => return Err(Broken::Lost(None)),
            Ok((n, _)) => n,
        };
        self.heard();
        match self.incoming.advance(n)? {
            None => Ok(Some(Step::Going)),
            Some(Arrived::Data(kind, length)) => {
                let of = usize::from(kind == Kind::Errors);
                if !self.delivery.was_asked_for(of) {
                    return Err(Malformed("nobody has asked for this output").into());
                }
                self.piece = Some((of, length)).filter(|(_, left)| *left > 0);
                Ok(Some(Step::Going))
            }
            Some(Arrived::Frame(kind, body)) => self.said(kind, &body).map(Some),
        }
    }

    fn said(&mut self, kind: Kind, body: &[u8]) -> Result<Step, Broken> {
        Ok(match (kind, body) {
            (Kind::Credit, body) => {
                let more = body.try_into().map_err(|_| Malformed("no such credit"))?;
                self.outgoing.credit(u32::from_be_bytes(more) as usize);
                Step::Going
            }
            (Kind::Stopped, &[signal @ 1..=64]) => Step::Stopped(signal),
            (Kind::Exited, &[0, a, b, c, d]) => {
                Step::Exited(Exit::Code(i32::from_be_bytes([a, b, c, d])))
            }
            (Kind::Exited, &[1, 0, 0, 0, signal @ 1..=64]) => {
                Step::Exited(Exit::Signal(signal.into()))
            }
            (Kind::Pong, _) => Step::Going,
            (Kind::Stopped | Kind::Exited, _) => return Err(Malformed("no such end").into()),
            _ => return Err(Malformed("it comes at the wrong time").into()),
        })
    }

    fn keep_alive(&mut self, ready: &Ready) -> Result<(), Broken> {
        let Some(clock) = self.clock.as_mut().filter(|_| !ready[TIMER].is_empty()) else {
            return Ok(());
        };
        // Nothing is heard where nothing is read.
        if self.delivery.is_full() {
            clock.heard();
        }
        match clock.tick().map_err(lost)? {
            Tick::Nothing => {}
            Tick::Ask => self.outgoing.ping(),
            Tick::Dead => return Err(lost(io::ErrorKind::TimedOut)),
        }
        Ok(())
    }

    fn send(&mut self, ready: &Ready) -> Result<(), Broken> {
        for of in [0, 1] {
            if self.delivery.has_lost_reader(of) {
                self.outgoing.unread(of);
            }
        }
        let readable = !ready[INPUT].is_empty();
        let writable = ready[SOCKET].intersects(EventFlags::OUT | EventFlags::ERR);
        self.outgoing.send(&self.socket, readable, writable)
    }

    /// Waits for what can go on.
    fn want(&mut self) -> io::Result<()> {
        self.delivery.want(&mut self.watch)?;
        let mut socket = EventFlags::empty();
        if !self.delivery.is_full() {
            socket |= EventFlags::IN;
        }
        if self.outgoing.want(&mut self.watch)? {
            socket |= EventFlags::OUT;
        }
        self.watch.want(SOCKET, &self.socket, socket)?;
        Ok(())
    }
}

/// Ends a socket pair so that the other end reads what is there and then the end: if what it has sent were left unread, it would
/// be told of a reset connection.
fn hang_up(end: &OwnedFd) {
    let _ = shutdown(end, Shutdown::Both);
    let mut rest = [0; 4096];
    // Nothing more comes: there is an end.
    while recv(end, &mut rest, RecvFlags::DONTWAIT).is_ok_and(|(n, _)| n > 0) {}
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

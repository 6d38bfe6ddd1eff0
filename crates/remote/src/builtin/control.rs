//! How a process over the built-in ssh is held.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use thither_place::{Control, Error, Event, Result, WindowSize};
use thither_term::{Interest, poll};
use tokio::sync::mpsc::UnboundedSender;

use super::relay::Driver;
use super::session::{End, Shared, Tell};
use super::signals;
use super::watch::Watch;

/// What ^D is: VEOF of the default modes, termios(3).
const END_OF_INPUT: u8 = 4;

const STREAMS: usize = 0;
const ENDED: usize = 1;

/// See the [module](self).
pub(super) struct Held {
    place: String,
    shared: Arc<Shared>,
    tell: UnboundedSender<Tell>,
    driver: Driver,
    watch: Watch<2>,
    kind: Kind,
    delivered: bool,
    detached: bool,
}

/// What is known of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) has_terminal: bool,
    /// Whether signals reach it that servers do not pass on.
    pub(super) guarded: bool,
}

impl Held {
    pub(super) fn new(
        place: &str,
        shared: Arc<Shared>,
        tell: UnboundedSender<Tell>,
        driver: Driver,
        kind: Kind,
    ) -> io::Result<Held> {
        let mut watch = Watch::new()?;
        watch.want(STREAMS, &driver, EventFlags::IN)?;
        watch.want(ENDED, &shared.bell, EventFlags::IN)?;
        Ok(Held {
            place: place.into(),
            shared,
            tell,
            driver,
            watch,
            kind,
            delivered: false,
            detached: false,
        })
    }

    fn here(&self, source: io::Error) -> Error {
        Error::Place {
            action: "wait for the command".into(),
            place: self.place.clone(),
            source: Box::new(source),
            hint: None,
        }
    }

    fn unsupported(&self, action: &str) -> Error {
        Error::Unsupported { action: action.into(), place: self.place.clone(), hint: None }
    }

    fn tell(&self, what: Tell) {
        // Nobody listens after the end, which is no error.
        let _ = self.tell.send(what);
    }

    /// What is waited for after the end: the streams, and when they have delivered all, nothing.
    fn rearm(&mut self, ended: bool) -> io::Result<()> {
        let wanted = |wanted| if wanted { EventFlags::IN } else { EventFlags::empty() };
        self.watch.want(STREAMS, &self.driver, wanted(!self.delivered))?;
        self.watch.want(ENDED, &self.shared.bell, wanted(!ended || self.delivered))
    }
}

impl Control for Held {
    fn resize(&mut self, size: WindowSize) -> Result<()> {
        if !self.kind.has_terminal {
            return Err(self.unsupported("resize a command without a terminal"));
        }
        self.tell(Tell::Resize(size));
        Ok(())
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        let known = match self.kind.guarded {
            true => signals::name(signal).is_some(),
            // CONT goes with HUP to what may be stopped; what cannot be stopped by us need not hear of it.
            false => signals::passed_on(signal).is_some() || signal == libc::SIGCONT,
        };
        if !known {
            return Err(self.unsupported(&format!("pass signal {signal} on")));
        }
        self.tell(Tell::Signal(signal));
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        let end = self.shared.end();
        if !self.delivered {
            self.delivered = self.driver.step(end.is_some())?;
            // Streams that are all over before the process has ended.
            self.delivered &= end.is_some();
            self.rearm(end.is_some()).map_err(|source| self.here(source))?;
        }
        match end.filter(|_| self.delivered) {
            None => Ok(None),
            Some(End::Exit(exit)) => Ok(Some(Event::Exited(exit))),
            Some(End::Unread(which)) => Err(Error::Terminal {
                action: ["write to standard output", "write to standard error"][which.min(1)],
                source: io::ErrorKind::BrokenPipe.into(),
            }),
            Some(End::Lost) => Err(Error::Disconnected { place: self.place.clone() }),
            Some(End::Signal(name)) => {
                let name = thither_place::error::quoted(name);
                Err(self.here(io::Error::other(format!("it was ended by the signal {name}"))))
            }
        }
    }

    fn detach(&mut self) {
        self.detached = true;
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        match terminal {
            // Its modes cannot be asked for: they are the default ones, in which this ends a line's input.
            Some(terminal) => poll(&[Interest::Write(terminal)], None)
                .and_then(|_| Ok(rustix::io::write(terminal, &[END_OF_INPUT])?))
                .map(drop)
                .map_err(|source| self.here(source)),
            None => {
                self.driver.end_input();
                Ok(())
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell(Tell::LetGo(!self.detached));
    }
}

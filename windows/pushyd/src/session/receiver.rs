//! What comes from the client.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use thither_place::wire::Request;
use thither_place::wire::frame::{
    Arrived, Incoming, Kind, LONGEST_SMALL, Malformed, Side, version,
};

use super::{Outcome, Shared};
use crate::sys::pipe::Pipe;

/// What is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

pub(super) struct Receiver {
    pipe: Arc<Pipe>,
    buffer: Vec<u8>,
    /// What of the buffer was not looked at yet.
    start: usize,
    end: usize,
    incoming: Incoming,
    /// How much of a piece of a stream is to come.
    left: usize,
}

/// What an error of the pipe means.
pub(super) fn outcome(error: io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::TimedOut => Outcome::TimedOut,
        io::ErrorKind::ConnectionAborted => Outcome::Stopped,
        _ if crate::sys::pipe::is_end(&error) => Outcome::Left,
        _ => Outcome::Lost(error),
    }
}

pub(super) fn malformed(error: &Malformed) -> Outcome {
    Outcome::Malformed(error.to_string())
}

impl Receiver {
    pub(super) fn new(pipe: Arc<Pipe>) -> Receiver {
        let incoming = Incoming::from(Side::Client);
        Receiver { pipe, buffer: vec![0; CHUNK], start: 0, end: 0, incoming, left: 0 }
    }

    fn fill(&mut self, deadline: Option<Instant>) -> Result<(), Outcome> {
        // A byte at a time is never waited for.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Outcome::TimedOut);
        }
        match self.pipe.read(&mut self.buffer, deadline) {
            Ok(0) => Err(Outcome::Left),
            Ok(n) => {
                (self.start, self.end) = (0, n);
                Ok(())
            }
            Err(error) => Err(outcome(error)),
        }
    }

    fn arrived(&mut self) -> Result<Option<Arrived>, Outcome> {
        let mut bytes = &self.buffer[self.start..self.end];
        let arrived = self.incoming.take(&mut bytes).map_err(|error| malformed(&error));
        self.start = self.end - bytes.len();
        arrived
    }

    /// The greeting and the request.
    pub(super) fn request(&mut self, deadline: Instant) -> Result<Request, Outcome> {
        let mut greeted = false;
        loop {
            match self.arrived()? {
                None => self.fill(Some(deadline))?,
                Some(Arrived::Frame(Kind::Hello, body)) if !greeted => {
                    version(&body).map_err(|error| malformed(&error))?;
                    greeted = true;
                }
                Some(Arrived::Frame(Kind::Request, body)) if greeted => {
                    self.incoming = Incoming::from(Side::Client).at_most(LONGEST_SMALL);
                    return Request::decode(&body).map_err(|error| malformed(&error));
                }
                Some(_) => {
                    return Err(Outcome::Malformed("it is no greeting, or no request".into()));
                }
            }
        }
    }

    /// Hands on what comes next.
    pub(super) fn next(&mut self, shared: &Shared) -> Result<(), Outcome> {
        if self.start == self.end {
            self.fill(None)?;
        }
        if self.left > 0 {
            let n = self.left.min(self.end - self.start);
            shared.input.receive(&self.buffer[self.start..self.start + n], &shared.sender)?;
            (self.start, self.left) = (self.start + n, self.left - n);
            return Ok(());
        }
        match self.arrived()? {
            None => Ok(()),
            Some(Arrived::Data(_, length)) => {
                self.left = length;
                shared.input.begin(length)
            }
            Some(Arrived::Frame(kind, body)) => shared.obey(kind, &body),
        }
    }

    /// Reads and throws away until the client has closed.
    pub(super) fn drain(&mut self, deadline: Option<Instant>) {
        while self.fill(deadline).is_ok() {}
    }
}

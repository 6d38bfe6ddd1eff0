//! From the client to the program.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use thither_term::Interest;

use crate::wire::frame::{Malformed, WINDOW};
use crate::{Control, Error};

/// What is read at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// So much is gathered before it is granted anew, in bytes: a client whose input is taken never waits for it.
const GATHERED: usize = WINDOW / 4;
/// How many ends of input may wait for a terminal that takes nothing.
const MOST_ENDS: usize = 16;

/// Where it goes.
pub(super) enum Sink {
    Pipe(OwnedFd),
    Socket(OwnedFd),
    Terminal(OwnedFd),
}

/// What came of a client's input. The client may send [`WINDOW`] bytes more than were granted anew, so that they always fit.
pub(super) struct Input {
    /// `None` once nobody takes it, and where it was never joined.
    sink: Option<Sink>,
    joined: bool,
    /// What the program has not taken yet.
    buffer: VecDeque<u8>,
    scratch: Vec<u8>,
    /// How much of the frame is to come.
    left: usize,
    /// How much more the client may send.
    granted: usize,
    /// How much was taken, and not granted anew yet.
    taken: usize,
    /// After how many bytes of the buffer the input ends; a terminal's can do so several times.
    ends: VecDeque<usize>,
    is_terminal: bool,
    ended: bool,
}

impl Sink {
    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self {
            Sink::Socket(fd) => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Sink::Pipe(fd) | Sink::Terminal(fd) => rustix::io::write(fd, bytes),
        }
    }

    fn fd(&self) -> &OwnedFd {
        match self {
            Sink::Pipe(fd) | Sink::Socket(fd) | Sink::Terminal(fd) => fd,
        }
    }
}

impl Input {
    /// Nobody else may write there.
    pub(super) fn new(sink: Option<Sink>) -> io::Result<Input> {
        if let Some(sink) = &sink {
            ioctl_fionbio(sink.fd(), true)?;
        }
        Ok(Input {
            joined: sink.is_some(),
            is_terminal: matches!(sink, Some(Sink::Terminal(_))),
            sink,
            buffer: VecDeque::new(),
            scratch: Vec::new(),
            left: 0,
            granted: WINDOW,
            taken: 0,
            ends: VecDeque::new(),
            ended: false,
        })
    }

    /// A piece of so many bytes comes.
    pub(super) fn begin(&mut self, length: usize) -> Result<(), Malformed> {
        if !self.joined {
            return Err(Malformed("it is input for what has none"));
        }
        if self.ended {
            return Err(Malformed("it is input after its end"));
        }
        self.granted = self
            .granted
            .checked_sub(length)
            .ok_or(Malformed("it is more input than was granted"))?;
        self.left = length;
        Ok(())
    }

    /// Whether a piece has begun and not ended.
    pub(super) fn is_coming(&self) -> bool {
        self.left > 0
    }

    /// Takes what has come of a piece; no bytes are the end of the connection.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let room = self.left.min(CHUNK);
        if self.scratch.len() < room {
            // No more than is needed: there may be many connections that say little.
            self.scratch.resize(room, 0);
        }
        let (n, _) = recv(socket, &mut self.scratch[..room], RecvFlags::DONTWAIT)?;
        self.left -= n;
        let mut bytes = &self.scratch[..n];
        // Mostly it need not be kept.
        if self.buffer.is_empty()
            && self.ends.is_empty()
            && let Some(sink) = &self.sink
        {
            match sink.write(bytes) {
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.taken += n;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.sink = None,
            }
        }
        match self.sink {
            Some(_) => self.buffer.extend(bytes),
            None => self.taken += bytes.len(),
        }
        Ok(n)
    }

    /// There is no more of it; a terminal's goes on after that.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if self.ended || self.ends.len() == MOST_ENDS {
            return Err(Malformed("it is one end of input too many"));
        }
        self.ended = !self.is_terminal;
        if self.sink.is_some() {
            self.ends.push_back(self.buffer.len());
        }
        Ok(())
    }

    /// That the program takes some.
    pub(super) fn interest(&self) -> Interest<'_> {
        match &self.sink {
            Some(sink) if !self.buffer.is_empty() || !self.ends.is_empty() => {
                Interest::Write(sink.fd().as_fd())
            }
            _ => Interest::Nothing,
        }
    }

    /// Hands on what there is, as far as the program takes it.
    pub(super) fn deliver(&mut self, control: &mut dyn Control) {
        while let Some(sink) = &self.sink {
            let end = self.ends.front().copied();
            let most = end.unwrap_or(self.buffer.len());
            if most == 0 {
                if end.is_none() || !self.end_now(control) {
                    return;
                }
                self.ends.pop_front();
                continue;
            }
            let (bytes, _) = self.buffer.as_slices();
            match sink.write(&bytes[..bytes.len().min(most)]) {
                Ok(n) => {
                    self.buffer.drain(..n);
                    self.ends.iter_mut().for_each(|end| *end -= n);
                    self.taken += n;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It reads no more: no error, as for a writer that ignores SIGPIPE.
                Err(_) => self.close(),
            }
        }
    }

    /// Says whether the input has ended, or never will.
    fn end_now(&mut self, control: &mut dyn Control) -> bool {
        match &self.sink {
            Some(Sink::Terminal(fd)) => match control.end_input(Some(fd.as_fd())) {
                Err(Error::Terminal { source, .. }) => source.kind() != io::ErrorKind::WouldBlock,
                // A program that reads keys one by one has no end of input.
                _ => true,
            },
            Some(Sink::Socket(fd)) => {
                let _ = shutdown(fd, Shutdown::Write);
                self.sink = None;
                true
            }
            _ => {
                self.sink = None;
                true
            }
        }
    }

    fn close(&mut self) {
        self.sink = None;
        self.taken += self.buffer.len();
        self.buffer = VecDeque::new();
        self.ends.clear();
    }

    /// How much the client may send more, if it is to be told.
    pub(super) fn credit(&mut self) -> Option<u32> {
        if self.taken < GATHERED {
            return None;
        }
        let credit = std::mem::take(&mut self.taken);
        self.granted += credit;
        u32::try_from(credit).ok()
    }
}

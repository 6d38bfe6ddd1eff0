//! The input of a program, on its way to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::pipe::{SpliceFlags, splice};
use thither_term::{Interest, poll};

/// What is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// Where the input comes from, and what was read of it and not sent yet. The source may block: it is read only when it
/// was found ready.
#[derive(Debug)]
pub(crate) struct Input {
    source: OwnedFd,
    is_pipe: bool,
    always_ready: bool,
    buffer: Vec<u8>,
    start: usize,
    /// Whether the program's side takes nothing for now.
    stuck: bool,
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// What could be sent was.
    Some,
    /// The source has ended and all of it is sent.
    Ended,
    /// Nobody takes it any more.
    Refused,
}

impl Input {
    pub(crate) fn new(source: OwnedFd) -> io::Result<Input> {
        let is_pipe = FileType::from_raw_mode(fstat(&source)?.st_mode) == FileType::Fifo;
        let (buffer, start) = (Vec::new(), 0);
        Ok(Input { source, is_pipe, always_ready: false, buffer, start, stuck: false })
    }

    /// The source cannot be waited for: it is a file.
    pub(crate) fn is_always_ready(&mut self) {
        self.always_ready = true;
    }

    /// Whether the source is what the next step needs, and not the program's side.
    pub(crate) fn waits_for_source(&self) -> bool {
        !self.stuck && !self.always_ready && self.start == self.buffer.len()
    }

    /// Sends to a non-blocking socket what there is, about `most` bytes at once. `readable` says that the source was
    /// found ready, `writable` that the socket was.
    pub(crate) fn send(
        &mut self,
        socket: impl AsFd,
        readable: bool,
        writable: bool,
        most: usize,
    ) -> io::Result<Sent> {
        self.stuck &= !writable;
        let mut may_read = readable || self.always_ready;
        let mut sent = 0;
        while sent < most && !self.stuck {
            if self.start < self.buffer.len() {
                match send(
                    &socket,
                    &self.buffer[self.start..],
                    SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                ) {
                    Ok(n) => {
                        self.start += n;
                        sent += n;
                    }
                    Err(Errno::AGAIN) => self.stuck = true,
                    Err(Errno::INTR) => {}
                    Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                        return Ok(Sent::Refused);
                    }
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            if !may_read {
                break;
            }
            if self.is_pipe {
                match self.splice(&socket)? {
                    Ok(n) => sent += n,
                    Err(Sent::Some) => break,
                    Err(end) => return Ok(end),
                }
                continue;
            }
            // Only files may be read more than once after they were found ready.
            may_read = self.always_ready;
            self.buffer.clear();
            self.buffer.reserve(CHUNK);
            self.start = 0;
            match rustix::io::read(&self.source, spare_capacity(&mut self.buffer)) {
                Ok(0) => return Ok(Sent::Ended),
                Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
                // A terminal that hung up, or whose foreground is somebody else's for good.
                Err(Errno::IO) => return Ok(Sent::Ended),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Sent::Some)
    }

    /// Moves pages of the pipe, or says why not.
    fn splice(&mut self, socket: impl AsFd) -> io::Result<Result<usize, Sent>> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(match splice(&self.source, None, &socket, None, CHUNK, flags) {
            Ok(0) => Err(Sent::Ended),
            Ok(n) => Ok(n),
            Err(Errno::INTR) => Ok(0),
            // The same error for a pipe without bytes and a socket without room.
            Err(Errno::AGAIN) => {
                let full = [Interest::Write(socket.as_fd())];
                self.stuck = !poll(&full, Some(Duration::ZERO))?[0].now;
                Err(Sent::Some)
            }
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(Sent::Refused),
            Err(error) => return Err(error.into()),
        })
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

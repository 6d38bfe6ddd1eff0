//! Writing without blocking to descriptors that block.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};
use rustix::termios::isatty;

use crate::{Drained, Interest, poll};

/// `PIPE_BUF` of Linux, pipe(7): what a blocking pipe that polls writable takes without blocking.
pub(crate) const PIPE_BUF: usize = 4096;

/// A descriptor to write to, owned, shared (`Arc<OwnedFd>`) or borrowed, that never blocks the caller as long as each
/// write follows a poll that found it ready; how is said at [`Pump`](crate::Pump). Its kind and flags are looked at
/// once.
pub struct Destination<'fd> {
    fd: Box<dyn AsFd + Send + 'fd>,
    kind: Kind,
}

/// How to write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Socket,
    Terminal { blocking: bool },
    Pipe { blocking: bool },
    Other,
}

/// What [`Destination::splice_from`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    /// It moved this many bytes, at least one.
    Bytes(usize),
    /// There was nothing to read yet.
    Nothing,
    /// The destination takes nothing yet.
    Full,
    /// The source has ended.
    End,
    /// The destination is gone.
    Closed,
}

impl<'fd> Destination<'fd> {
    /// Looks at a descriptor.
    ///
    /// # Errors
    /// Those of fstat(2) and fcntl(2).
    pub fn new(fd: impl AsFd + Send + 'fd) -> io::Result<Destination<'fd>> {
        Ok(Destination { kind: kind(fd.as_fd())?, fd: Box::new(fd) })
    }

    /// Writes once, what it takes without blocking.
    ///
    /// One that nobody reads any more (`EPIPE`, `ECONNRESET`, `EIO` from a terminal) is no error but
    /// [`Drained::Closed`]. `SIGPIPE` has to be ignored, as it is in Rust programs; sockets don't raise it.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&self, bytes: &[u8]) -> io::Result<Drained> {
        let wrote = retry_on_intr(|| match self.kind {
            Kind::Socket => send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Kind::Pipe { blocking: true } | Kind::Terminal { blocking: true } => {
                rustix::io::write(&self.fd, &bytes[..bytes.len().min(PIPE_BUF)])
            }
            _ => rustix::io::write(&self.fd, bytes),
        });
        match wrote {
            Ok(0) | Err(Errno::AGAIN) => Ok(Drained::Nothing),
            Ok(n) => Ok(Drained::Bytes(n)),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Drained::Closed),
            Err(Errno::IO) if matches!(self.kind, Kind::Terminal { .. }) => Ok(Drained::Closed),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether bytes can get there without passing through this program: [`splice_from`](Destination::splice_from).
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        matches!(self.kind, Kind::Pipe { .. })
    }

    /// Moves at most so many bytes from a non-blocking source to this pipe by splice(2), without blocking on either,
    /// whatever its flags.
    ///
    /// # Errors
    /// Those of splice(2); `EINVAL` when it is no pipe.
    pub fn splice_from(&self, source: impl AsFd, most: usize) -> io::Result<Spliced> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match retry_on_intr(|| splice(&source, None, &self.fd, None, most, flags)) {
            Ok(0) => Ok(Spliced::End),
            Ok(n) => Ok(Spliced::Bytes(n)),
            // The same error for a source without bytes and a pipe without room.
            Err(Errno::AGAIN) => {
                let ready = poll(&[Interest::Write(self.as_fd())], Some(std::time::Duration::ZERO));
                Ok(if ready?[0].now { Spliced::Nothing } else { Spliced::Full })
            }
            Err(Errno::PIPE) => Ok(Spliced::Closed),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a [`write`](Destination::write) may block unless a poll has just found it ready. Others say themselves that they
    /// take nothing.
    #[must_use]
    pub fn may_block(&self) -> bool {
        matches!(self.kind, Kind::Pipe { blocking: true } | Kind::Terminal { blocking: true })
    }

    /// Whether it is always ready, as files are; epoll(7) refuses such.
    #[must_use]
    pub fn is_always_ready(&self) -> bool {
        self.kind == Kind::Other
    }

    /// Says to a socket's peer that nothing more comes, whoever else holds the socket; to others nothing.
    pub(crate) fn end(&self) {
        if self.kind == Kind::Socket {
            // A peer that is gone already (ENOTCONN) needs no telling.
            let _ = shutdown(&self.fd, Shutdown::Write);
        }
    }
}

impl AsFd for Destination<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (*self.fd).as_fd()
    }
}

impl fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.as_fd()).field(&self.kind).finish()
    }
}

fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let blocking = !fcntl_getfl(fd)?.contains(OFlags::NONBLOCK);
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket => Kind::Socket,
        FileType::Fifo => Kind::Pipe { blocking },
        FileType::CharacterDevice if isatty(fd) => Kind::Terminal { blocking },
        _ => Kind::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_time;
    use std::io::{Read, Write, pipe};
    use std::os::unix::net::UnixStream;

    #[test]
    fn spliced_without_blocking_on_either_end() {
        in_time(|| {
            let (source, mut peer) = UnixStream::pair().unwrap();
            source.set_nonblocking(true).unwrap();
            let (mut reader, writer) = pipe().unwrap();
            let pipe = Destination::new(&writer).unwrap();
            assert!(pipe.is_pipe());
            assert_eq!(pipe.splice_from(&source, 10).unwrap(), Spliced::Nothing);
            peer.write_all(b"0123456789abcdef").unwrap();
            assert_eq!(pipe.splice_from(&source, 10).unwrap(), Spliced::Bytes(10));
            let mut text = [0; 10];
            reader.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"0123456789");

            while pipe.write(&[0; PIPE_BUF]).unwrap() != Drained::Nothing
                && poll(&[Interest::Write(writer.as_fd())], Some(std::time::Duration::ZERO))
                    .unwrap()[0]
                    .now
            {}
            assert_eq!(pipe.splice_from(&source, 10).unwrap(), Spliced::Full);
            drop(reader);
            assert_eq!(pipe.splice_from(&source, 10).unwrap(), Spliced::Closed);
        });
    }

    #[test]
    fn the_end_of_the_source() {
        in_time(|| {
            let (source, peer) = UnixStream::pair().unwrap();
            let (_reader, writer) = pipe().unwrap();
            drop(peer);
            let pipe = Destination::new(writer).unwrap();
            assert_eq!(pipe.splice_from(&source, 10).unwrap(), Spliced::End);
        });
    }
}

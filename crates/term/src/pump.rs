//! One direction of copying.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};

use crate::descriptor::is_leader;
use crate::{Destination, Interest};

/// What a buffer is made to hold, in bytes: the capacity of a pipe, pipe(7).
const CAPACITY: usize = 64 * 1024;
/// Reading goes on when at most this much is left to write: moving the rest to the front of the buffer is then
/// never more work than the reading that it makes room for.
const LOW: usize = CAPACITY / 2;
/// What a transform is given at once, in bytes.
const CHUNK: usize = 16 * 1024;

type Descriptor<'fd> = Box<dyn AsFd + Send + 'fd>;

/// One direction of copying, with a bounded buffer: while it is full, nothing more is read.
///
/// It owns no loop. Ask for its [`interests`](Pump::interests), [`poll`](crate::poll()) them together with your
/// own, [`fill`](Pump::fill) when the first is ready and [`drain`](Pump::drain) when the second is; or let
/// [`Pumps`](crate::Pumps) do it.
///
/// Its descriptors may be owned, shared (`Arc<OwnedFd>`) or borrowed. When the source has ended and all is
/// written, the destination is let go: closed, if it was owned. For a socket the sending direction is shut down
/// (half-close) so that its peer learns of the end whoever else holds it; [`keep_open`](Pump::keep_open) forgoes
/// both.
///
/// # Blocking
/// It works with descriptors that block, as those do that we inherited and that must not be changed (see
/// [`descriptor`](crate::descriptor)), as long as each call follows a poll that found it ready:
///
/// | destination | one write after it polls writable |
/// |---|---|
/// | non-blocking | all that is held |
/// | socket | all that is held, with `MSG_DONTWAIT` |
/// | file | all that is held; disks don't block |
/// | blocking pipe or terminal | at most 4096 bytes (`PIPE_BUF`) |
///
/// That never blocks on a pipe, as long as nobody else fills it in between. On a terminal it may, until its
/// other end reads: [`reopen`](crate::reopen) it where that matters. Kind and flags are looked at once, by
/// [`new`](Pump::new).
pub struct Pump<'fd> {
    /// `None` once the source has ended.
    from: Option<Descriptor<'fd>>,
    /// `None` once the destination was let go.
    to: Option<Destination<'fd>>,
    from_leader: bool,
    keep_open: bool,
    pub(crate) awaited: bool,
    closed: bool,
    /// What is held is `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
}

/// What [`Pump::fill`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It read this many bytes, at least one.
    Bytes(usize),
    /// There was nothing to read yet, or the buffer is full.
    Nothing,
    /// The source has ended.
    End,
}

/// What [`Pump::drain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// It wrote this many bytes, at least one.
    Bytes(usize),
    /// The destination takes nothing yet, or nothing was held.
    Nothing,
    /// The destination is gone, and what was held with it.
    Closed,
}

impl<'fd> Pump<'fd> {
    /// A pump between these descriptors.
    ///
    /// # Errors
    /// Those of fstat(2) and fcntl(2), for the destination.
    pub fn new(from: impl AsFd + Send + 'fd, to: impl AsFd + Send + 'fd) -> io::Result<Pump<'fd>> {
        Ok(Pump {
            from_leader: is_leader(from.as_fd()),
            to: Some(Destination::new(to)?),
            from: Some(Box::new(from)),
            keep_open: false,
            awaited: true,
            closed: false,
            buffer: Vec::new(),
            start: 0,
        })
    }

    /// Leaves the destination as it is when the source has ended: it is somebody else's too, as standard output
    /// is.
    #[must_use]
    pub fn keep_open(self) -> Pump<'fd> {
        Pump { keep_open: true, ..self }
    }

    /// Lets [`Pumps::run`](crate::Pumps::run) return before the source has ended, once nothing is held: for a
    /// keyboard, which nobody wants to wait for when the program is gone.
    #[must_use]
    pub fn unawaited(self) -> Pump<'fd> {
        Pump { awaited: false, ..self }
    }

    /// What it waits for now: to read its source, and to write its destination.
    #[must_use]
    pub fn interests(&self) -> [Interest<'_>; 2] {
        let (read, write) = (self.buffered().len() <= LOW, !self.buffered().is_empty());
        let from = self.from.as_ref().filter(|_| read).map(|fd| Interest::Read(fd.as_fd()));
        let to = self.to.as_ref().filter(|_| write).map(|fd| Interest::Write(fd.as_fd()));
        [from.unwrap_or_default(), to.unwrap_or_default()]
    }

    /// Reads once. What was read are the last bytes of [`buffered`](Pump::buffered).
    ///
    /// `EIO` from the leader of a pty is the end: it is how a pty says that its follower was closed, pty(7).
    ///
    /// # Errors
    /// Those of read(2).
    pub fn fill(&mut self) -> io::Result<Filled> {
        if self.buffered().len() > LOW {
            return Ok(Filled::Nothing);
        }
        self.make_room();
        let Some(from) = &self.from else { return Ok(Filled::End) };
        let read = retry_on_intr(|| rustix::io::read(from, spare_capacity(&mut self.buffer)));
        let filled = filled(read, self.from_leader)?;
        if filled == Filled::End {
            self.finish();
        }
        Ok(filled)
    }

    /// Reads once, and hands what was read to `transform`, which appends to the buffer what is to be written
    /// in its place. At the end of the source it is called once more, with no bytes, for what it held back.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn fill_with(
        &mut self,
        mut transform: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> io::Result<Filled> {
        if self.buffered().len() > LOW {
            return Ok(Filled::Nothing);
        }
        self.make_room();
        let Some(from) = &self.from else { return Ok(Filled::End) };
        let mut chunk = [0; CHUNK];
        let read = retry_on_intr(|| rustix::io::read(from, &mut chunk));
        let filled = filled(read, self.from_leader)?;
        match filled {
            Filled::Bytes(n) => transform(&chunk[..n], &mut self.buffer),
            Filled::Nothing => {}
            Filled::End => {
                transform(&[], &mut self.buffer);
                self.finish();
            }
        }
        Ok(filled)
    }

    /// Writes once, what the destination takes without blocking.
    ///
    /// A destination that nobody reads any more is no error but [`Drained::Closed`]: see [`Destination::write`].
    ///
    /// # Errors
    /// Those of write(2).
    pub fn drain(&mut self) -> io::Result<Drained> {
        if self.closed {
            return Ok(Drained::Closed);
        }
        let held = &self.buffer[self.start..];
        let Some(to) = self.to.as_ref().filter(|_| !held.is_empty()) else {
            return Ok(Drained::Nothing);
        };
        match to.write(held)? {
            Drained::Bytes(n) => {
                self.start += n;
                self.let_go_when_done();
                Ok(Drained::Bytes(n))
            }
            Drained::Nothing => Ok(Drained::Nothing),
            Drained::Closed => Ok(self.close()),
        }
    }

    /// Appends bytes of the caller's own to what is held, however much that is. They are dropped when the
    /// destination is gone.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.to.is_some() {
            self.make_room();
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What was read and not written yet.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Ends the source: nothing more is read. What is held is still to be written.
    pub fn finish(&mut self) {
        self.from = None;
        self.let_go_when_done();
    }

    /// Gives the destination up, and drops what is held: when it hung up without taking what is left, say.
    pub fn close(&mut self) -> Drained {
        (self.from, self.to) = (None, None);
        self.buffer = Vec::new();
        self.start = 0;
        self.closed = true;
        Drained::Closed
    }

    /// Whether there is nothing left to do: the source has ended and all is written, or the destination is gone.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.from.is_none() && self.buffered().is_empty()
    }

    /// Whether the destination went away before all was written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(CAPACITY.saturating_sub(self.buffer.len()));
    }

    fn let_go_when_done(&mut self) {
        if !self.is_done() || self.keep_open {
            return;
        }
        if let Some(to) = self.to.take() {
            to.end();
        }
    }
}

impl fmt::Debug for Pump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("from", &self.from.as_ref().map(|fd| fd.as_fd()))
            .field("to", &self.to.as_ref().map(|fd| fd.as_fd()))
            .field("buffered", &self.buffered().len())
            .finish_non_exhaustive()
    }
}

fn filled(read: rustix::io::Result<usize>, from_leader: bool) -> io::Result<Filled> {
    match read {
        Ok(0) => Ok(Filled::End),
        Ok(n) => Ok(Filled::Bytes(n)),
        Err(Errno::AGAIN) => Ok(Filled::Nothing),
        Err(Errno::IO) if from_leader => Ok(Filled::End),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::PIPE_BUF;
    use crate::testing::in_time;
    use crate::{Nonblocking, Pty, WindowSize};
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::unix::net::UnixStream;

    fn pty() -> Pty {
        Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap()
    }

    /// A pump with a pipe at each end, and the outer ends of those.
    fn piped() -> (PipeWriter, Pump<'static>, PipeReader) {
        let (from, writer) = pipe().unwrap();
        let (reader, to) = pipe().unwrap();
        (writer, Pump::new(from, to).unwrap(), reader)
    }

    fn reads(pump: &Pump<'_>) -> bool {
        matches!(pump.interests()[0], Interest::Read(_))
    }

    fn writes(pump: &Pump<'_>) -> bool {
        matches!(pump.interests()[1], Interest::Write(_))
    }

    #[test]
    fn copies_and_closes() {
        in_time(|| {
            let (mut writer, mut pump, mut reader) = piped();
            assert!(reads(&pump) && !writes(&pump));
            writer.write_all(b"hello").unwrap();
            assert_eq!(pump.fill().unwrap(), Filled::Bytes(5));
            assert!(reads(&pump) && writes(&pump));
            drop(writer);
            assert_eq!(pump.fill().unwrap(), Filled::End);
            assert!(!reads(&pump) && writes(&pump) && !pump.is_done());
            assert_eq!(pump.drain().unwrap(), Drained::Bytes(5));
            assert!(pump.is_done() && !pump.is_closed());
            assert_eq!(pump.drain().unwrap(), Drained::Nothing);

            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        });
    }

    #[test]
    fn a_full_buffer_reads_no_more() {
        in_time(|| {
            let (from, to) = (std::fs::File::open("/dev/zero").unwrap(), pipe().unwrap());
            let mut pump = Pump::new(from, to.1).unwrap();
            while reads(&pump) {
                assert!(matches!(pump.fill().unwrap(), Filled::Bytes(_)));
            }
            assert_eq!(pump.fill().unwrap(), Filled::Nothing);
            assert_eq!(pump.buffer.capacity(), CAPACITY);
            assert!(pump.buffered().len() <= CAPACITY);
            // One write of PIPE_BUF after another, until there is room to read.
            while !reads(&pump) {
                assert_eq!(pump.drain().unwrap(), Drained::Bytes(PIPE_BUF));
            }
            assert!(matches!(pump.fill().unwrap(), Filled::Bytes(_)));
            assert_eq!(pump.buffer.capacity(), CAPACITY);
        });
    }

    #[test]
    fn a_closed_reader_ends_it() {
        in_time(|| {
            let (mut writer, mut pump, reader) = piped();
            writer.write_all(b"x").unwrap();
            pump.fill().unwrap();
            drop(reader);
            assert_eq!(pump.drain().unwrap(), Drained::Closed);
            assert!(pump.is_done() && pump.is_closed());
            assert!(!reads(&pump) && !writes(&pump));
            // Its source is let go as well, so whoever writes there learns of it.
            assert_eq!(writer.write(b"y").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_socket_is_shut_down_unless_it_is_kept() {
        in_time(|| {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            let (from, writer) = pipe().unwrap();
            let mut kept = Pump::new(&from, &ours).unwrap().keep_open();
            kept.finish();
            let mut pump = Pump::new(&from, &ours).unwrap();
            (&ours).write_all(b"still open").unwrap();
            drop(writer);
            assert_eq!(pump.fill().unwrap(), Filled::End);
            let mut text = String::new();
            peer.read_to_string(&mut text).unwrap();
            assert_eq!(text, "still open");
            // The other direction is open.
            peer.write_all(b"x").unwrap();
            (&ours).read_exact(&mut [0]).unwrap();
        });
    }

    #[test]
    fn a_socket_that_blocks_is_never_waited_for() {
        in_time(|| {
            let (ours, _peer) = UnixStream::pair().unwrap();
            let zero = std::fs::File::open("/dev/zero").unwrap();
            let mut pump = Pump::new(zero, ours).unwrap();
            for _ in 0..1000 {
                pump.fill().unwrap();
                if pump.drain().unwrap() == Drained::Nothing {
                    return;
                }
            }
            panic!("a socket that nobody reads takes for ever");
        });
    }

    #[test]
    fn the_end_of_a_pty() {
        in_time(|| {
            let Pty { leader, follower } = pty();
            let (_reader, to) = pipe().unwrap();
            let mut pump = Pump::new(Nonblocking::set(leader).unwrap(), to).unwrap();
            assert_eq!(pump.fill().unwrap(), Filled::Nothing);
            rustix::io::write(&follower, b"last words").unwrap();
            drop(follower);
            assert_eq!(pump.fill().unwrap(), Filled::Bytes(10));
            assert_eq!(pump.fill().unwrap(), Filled::End);
        });
    }

    #[test]
    fn a_terminal_that_hung_up_is_closed() {
        in_time(|| {
            let Pty { leader, follower } = pty();
            let (from, _writer) = pipe().unwrap();
            let mut pump = Pump::new(from, follower).unwrap();
            drop(leader);
            pump.push(b"x");
            assert_eq!(pump.drain().unwrap(), Drained::Closed);
        });
    }

    #[test]
    fn transforms_and_flushes_at_the_end() {
        in_time(|| {
            let (mut writer, mut pump, mut reader) = piped();
            let mut double = |bytes: &[u8], sink: &mut Vec<u8>| match bytes {
                [] => sink.extend(b"."),
                bytes => sink.extend(bytes.iter().flat_map(|&byte| [byte, byte])),
            };
            writer.write_all(b"ab").unwrap();
            assert_eq!(pump.fill_with(&mut double).unwrap(), Filled::Bytes(2));
            drop(writer);
            assert_eq!(pump.fill_with(&mut double).unwrap(), Filled::End);
            pump.push(b"!");
            assert_eq!(pump.drain().unwrap(), Drained::Bytes(6));
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "aabb.!");
        });
    }
}

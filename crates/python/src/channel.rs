//! The two directions of the channel. Both descriptors are non-blocking.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use crate::connection::references;
use crate::frame::{HEADER, Header, kind};
use crate::marshal::{Limits, Reference};
use crate::{Error, Result};

/// A frame that has arrived.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    /// Blocks behind the payload, in the order of its references.
    pub(crate) raws: Vec<Vec<u8>>,
}

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of a frame, raw blocks included, in bytes.
    pub(crate) frame: u64,
    pub(crate) values: Limits,
}

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// Up to this a part of a frame is allocated before it has come.
const BELIEVED: usize = 1 << 20;

/// What has come and is not yet a frame.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    bounds: Bounds,
    part: Part,
}

/// What comes next.
#[derive(Debug)]
enum Part {
    Header,
    Payload(Header, Filling),
    /// A reply that is too large: so many bytes of it are passed over.
    Skip {
        header: Header,
        left: u64,
    },
    Raws {
        header: Header,
        payload: Vec<u8>,
        sizes: Vec<usize>,
        raws: Vec<Vec<u8>>,
        filling: Filling,
    },
}

/// Bytes of a known length that come.
#[derive(Debug)]
struct Filling {
    bytes: Vec<u8>,
    length: usize,
}

impl Filling {
    fn new(length: usize) -> Filling {
        Filling { bytes: Vec::with_capacity(length.min(BELIEVED)), length }
    }

    fn missing(&self) -> usize {
        self.length - self.bytes.len()
    }
}

impl Incoming {
    pub(crate) fn new(bounds: Bounds, rest: &[u8]) -> Incoming {
        let mut buffer = vec![0; CHUNK.max(rest.len())].into_boxed_slice();
        buffer[..rest.len()].copy_from_slice(rest);
        Incoming { buffer, start: 0, end: rest.len(), bounds, part: Part::Header }
    }

    /// Reads what there is, without waiting; `false` at the end.
    pub(crate) fn fill(&mut self, source: impl AsFd) -> io::Result<bool> {
        // A large part goes where it stays.
        if self.start == self.end
            && let Some(filling) = self.filling()
            && filling.missing() >= CHUNK
        {
            let chunk = filling.missing().min(1 << 20);
            filling.bytes.reserve_exact(chunk.max(filling.bytes.len()).min(filling.missing()));
            return match rustix::io::read(
                &source,
                rustix::buffer::spare_capacity(&mut filling.bytes),
            ) {
                Ok(read) => {
                    // Spare capacity may be more than was asked for: what is too much is the next part's.
                    let too_much = filling.bytes.len().saturating_sub(filling.length);
                    let cut = filling.bytes.len() - too_much;
                    let surplus = filling.bytes.split_off(cut);
                    self.put_back(&surplus);
                    Ok(read > 0)
                }
                Err(Errno::CONNRESET) => Ok(false),
                Err(Errno::AGAIN | Errno::INTR) => Ok(true),
                Err(error) => Err(error.into()),
            };
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match rustix::io::read(source, &mut self.buffer[self.end..]) {
            // Of a socket whose other end went without having read all.
            Ok(0) | Err(Errno::CONNRESET) => Ok(false),
            Ok(read) => {
                self.end += read;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn put_back(&mut self, bytes: &[u8]) {
        if self.buffer.len() < bytes.len() {
            self.buffer = vec![0; bytes.len()].into_boxed_slice();
        }
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    fn filling(&mut self) -> Option<&mut Filling> {
        match &mut self.part {
            Part::Header | Part::Skip { .. } => None,
            Part::Payload(_, filling) | Part::Raws { filling, .. } => Some(filling),
        }
    }

    /// The next frame, if all of it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            let available = &self.buffer[self.start..self.end];
            match std::mem::replace(&mut self.part, Part::Header) {
                Part::Header => {
                    let Some((header, _)) = available.split_first_chunk::<HEADER>() else {
                        return Ok(None);
                    };
                    let header = Header::from_bytes(header);
                    if !kind::FROM_THERE.contains(&header.kind) {
                        return Err(Error::protocol(format!(
                            "a frame of the kind {}",
                            header.kind
                        )));
                    }
                    let length = u64::from(header.length);
                    self.start += HEADER;
                    if header.kind == kind::REPLY && length > self.bounds.frame {
                        self.part = Part::Skip { header, left: length };
                        continue;
                    }
                    self.check(length)?;
                    self.part = Part::Payload(header, Filling::new(header.length as usize));
                }
                Part::Payload(header, mut filling) => {
                    self.take(&mut filling);
                    if filling.missing() > 0 {
                        self.part = Part::Payload(header, filling);
                        return Ok(None);
                    }
                    let payload = filling.bytes;
                    let sizes = self.raw_sizes(header, &payload)?;
                    let sum =
                        sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size as u64));
                    if header.kind == kind::REPLY && sum > self.bounds.frame {
                        self.part = Part::Skip { header, left: sum };
                        continue;
                    }
                    self.check(sum)?;
                    let Some(&first) = sizes.first() else {
                        return Ok(Some(Frame { header, payload, raws: Vec::new() }));
                    };
                    let filling = Filling::new(first);
                    self.part = Part::Raws { header, payload, sizes, raws: Vec::new(), filling };
                }
                Part::Skip { header, left } => {
                    let available = self.end - self.start;
                    let skipped = available.min(usize::try_from(left).unwrap_or(available));
                    self.start += skipped;
                    let left = left - skipped as u64;
                    if left > 0 {
                        self.part = Part::Skip { header, left };
                        return Ok(None);
                    }
                    let header = Header { kind: kind::TOO_LARGE, ..header };
                    let payload = self.bounds.frame.to_le_bytes().to_vec();
                    return Ok(Some(Frame { header, payload, raws: Vec::new() }));
                }
                Part::Raws { header, payload, sizes, mut raws, mut filling } => {
                    self.take(&mut filling);
                    if filling.missing() > 0 {
                        self.part = Part::Raws { header, payload, sizes, raws, filling };
                        return Ok(None);
                    }
                    raws.push(filling.bytes);
                    match sizes.get(raws.len()) {
                        None => return Ok(Some(Frame { header, payload, raws })),
                        Some(&next) => {
                            let filling = Filling::new(next);
                            self.part = Part::Raws { header, payload, sizes, raws, filling };
                        }
                    }
                }
            }
        }
    }

    fn take(&mut self, filling: &mut Filling) {
        let count = filling.missing().min(self.end - self.start);
        filling.bytes.extend_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
    }

    /// The lengths of the raw blocks behind a payload; its last part says them.
    fn raw_sizes(&self, header: Header, payload: &[u8]) -> Result<Vec<usize>> {
        if !matches!(header.kind, kind::REPLY | kind::CALLBACK) {
            return Ok(Vec::new());
        }
        let found = references(payload, &self.bounds.values);
        let found = found.map_err(|error| Error::protocol(format!("bad references: {error}")))?;
        let mut sizes = Vec::new();
        for reference in found {
            if let Reference::Raw(length) = reference {
                sizes.push(
                    usize::try_from(length).map_err(|_| Error::protocol("a block too long"))?,
                );
            }
        }
        Ok(sizes)
    }

    fn check(&self, length: u64) -> Result<()> {
        match length <= self.bounds.frame {
            true => Ok(()),
            false => Err(Error::protocol(format!("a frame of {length} bytes, more than is read"))),
        }
    }
}

/// Waits until one of the descriptors is ready, or the time is over. A signal ends the wait, too.
pub(crate) fn wait(fds: &mut [PollFd<'_>], timeout: Option<std::time::Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes what goes; to a socket without `SIGPIPE`.
fn send(sink: &OwnedFd, is_socket: bool, parts: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    match (parts, is_socket) {
        ([part], false) => rustix::io::write(sink, part),
        (parts, false) => rustix::io::writev(sink, parts),
        (parts, true) => {
            sendmsg(sink, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
        }
    }
}

/// Where to wait for input.
pub(crate) fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `None` once closed.
    pub(crate) sink: Option<Arc<OwnedFd>>,
    /// Frames that are still to be sent, the first perhaps not from its beginning.
    pub(crate) queue: Vec<u8>,
    /// Where the flags of the last of them are, if it says that more follow.
    pub(crate) last: Option<usize>,
    /// Somebody sends a frame from where it is; the queue follows it.
    pub(crate) is_taken: bool,
    is_socket: bool,
}

impl Outgoing {
    pub(crate) fn new(sink: OwnedFd) -> Outgoing {
        let is_socket = rustix::net::sockopt::socket_type(&sink).is_ok();
        let sink = Some(Arc::new(sink));
        Outgoing { sink, queue: Vec::new(), last: None, is_taken: false, is_socket }
    }

    /// The other side sees the end of its input. What was still to be sent is lost.
    pub(crate) fn close(&mut self) {
        if let Some(sink) = self.sink.take() {
            // Of a socket: what is received from may be the same one, and closing this descriptor alone would not end it.
            let _ = rustix::net::shutdown(&sink, rustix::net::Shutdown::Write);
        }
        self.queue = Vec::new();
        self.last = None;
    }

    /// Sends of the queue what goes without waiting.
    pub(crate) fn push(&mut self) -> Result<()> {
        let queue = std::mem::take(&mut self.queue);
        let mut parts = vec![&queue[..]];
        let written = self.write(&mut parts);
        let left = parts.first().map_or(0, |part| part.len());
        let sent = queue.len() - left;
        self.queue = queue;
        self.queue.drain(..sent);
        self.last = self.last.and_then(|last| last.checked_sub(sent));
        written.map(drop)
    }

    /// Sends of the parts what goes without waiting, and leaves the rest in them; whether nothing is left.
    pub(crate) fn write(&self, parts: &mut Vec<&[u8]>) -> Result<bool> {
        let closed = |how: &str| Error::Closed { how: how.into() };
        let sink = self.sink.as_ref().ok_or_else(|| closed("it was closed"))?;
        loop {
            parts.retain(|part| !part.is_empty());
            if parts.is_empty() {
                return Ok(true);
            }
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let wrote = send(sink, self.is_socket, &slices);
            let mut wrote = match wrote {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(closed("it takes no more")),
                Err(error) => return Err(Error::io("write to Python", error)),
            };
            for part in parts.iter_mut() {
                let count = wrote.min(part.len());
                *part = &part[count..];
                wrote -= count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// As of a served program that is killed before it has read all.
    #[test]
    fn a_socket_that_is_reset_has_ended() {
        let reset = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(b"unread").unwrap();
            drop(theirs);
            ours
        };
        assert_eq!(rustix::io::read(reset(), &mut [0; 1]).unwrap_err(), Errno::CONNRESET);
        let bounds = Bounds { frame: 1000, values: Limits::default() };
        assert!(!Incoming::new(bounds, &[]).fill(reset()).unwrap());
    }
}

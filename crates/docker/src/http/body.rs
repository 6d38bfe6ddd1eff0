//! The body of an answer: with a length, in chunks, or until the end of the connection.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Connection, Head, MAX_HEADERS, Patience, Trouble, garbage};

/// What of a body comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// The line with the length of a chunk.
    ChunkSize,
    /// So many bytes of a chunk, at least one.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// The lines after the last chunk, of which so many have come.
    Trailers(usize),
    /// Bytes until the connection ends.
    UntilEnd,
    /// Nothing.
    Ended,
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub(crate) struct Body {
    connection: Connection,
    framing: Framing,
    closes: bool,
}

impl Body {
    pub(crate) fn new(
        connection: Connection,
        head: &Head,
        request_was_head: bool,
    ) -> Result<Body, Trouble> {
        let framing = head.framing(request_was_head)?;
        Ok(Body { connection, framing, closes: head.closes })
    }

    /// No bytes mean its end. After [`Trouble::Silent`] it can be read on.
    pub(crate) fn read(
        &mut self,
        bytes: &mut [u8],
        patience: Patience<'_>,
    ) -> Result<usize, Trouble> {
        let left = loop {
            match self.framing {
                Framing::Length(left) | Framing::Chunk(left) => break left,
                Framing::UntilEnd => break u64::MAX,
                Framing::Ended => break 0,
                Framing::ChunkSize | Framing::ChunkEnd | Framing::Trailers(_) => {
                    let line = self.connection.line(patience)?;
                    self.framing = self.after_line(&line)?;
                }
            }
        };
        let part = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if part == 0 {
            return Ok(0);
        }
        let n = self.connection.read_some(&mut bytes[..part], patience)?;
        let taken = n as u64;
        self.framing = match self.framing {
            Framing::UntilEnd if n == 0 => {
                self.closes = true;
                Framing::Ended
            }
            _ if n == 0 => return Err(Trouble::Lost(None)),
            Framing::Length(left) => Framing::Length(left - taken),
            Framing::Chunk(left) if left == taken => Framing::ChunkEnd,
            Framing::Chunk(left) => Framing::Chunk(left - taken),
            other => other,
        };
        Ok(n)
    }

    /// What comes after a line between chunks, RFC 9112 section 7.1.
    fn after_line(&self, line: &str) -> Result<Framing, Trouble> {
        match self.framing {
            Framing::ChunkEnd if line.is_empty() => Ok(Framing::ChunkSize),
            Framing::ChunkEnd => garbage("a chunk longer than announced"),
            Framing::Trailers(_) if line.is_empty() => Ok(Framing::Ended),
            Framing::Trailers(count) if count < MAX_HEADERS => Ok(Framing::Trailers(count + 1)),
            Framing::Trailers(_) => garbage("trailers without end"),
            _ => {
                let digits = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(digits, 16) {
                    Ok(0) => Ok(Framing::Trailers(0)),
                    Ok(length) => Ok(Framing::Chunk(length)),
                    Err(_) => garbage(format!("a chunk of length {digits:?}")),
                }
            }
        }
    }

    /// Whether all of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.framing, Framing::Ended | Framing::Length(0))
    }

    /// Whether a read would not wait, though the descriptor has nothing.
    pub(crate) fn has_more_at_hand(&self) -> bool {
        // The end of a chunk is no reason to read on.
        self.connection.held.len() > 2
    }

    /// All of it, if it is not longer than `most` bytes.
    pub(crate) fn read_all(
        &mut self,
        most: usize,
        patience: Patience<'_>,
    ) -> Result<Vec<u8>, Trouble> {
        let mut all = Vec::new();
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.read(&mut bytes, patience)? {
                0 => return Ok(all),
                n if all.len() + n > most => {
                    return garbage(format!("an answer of more than {most} bytes"));
                }
                n => all.extend_from_slice(&bytes[..n]),
            }
        }
    }

    /// The connection, if the body was read to its end and another request can follow.
    pub(crate) fn into_connection(self) -> Option<Connection> {
        (self.has_ended() && !self.closes).then_some(self.connection)
    }
}

impl AsFd for Body {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

//! The body of an answer: with a length, in chunks, or until the end of the connection.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Connection, Head, MAX_HEADERS, Patience, Trouble, garbage};

/// How much of a body is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// So many of this chunk, and then more chunks.
    Chunk(u64),
    /// Until the connection ends.
    UntilEnd,
    /// Nothing.
    Ended,
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub(crate) struct Body {
    connection: Connection,
    framing: Framing,
    begun: bool,
    closes: bool,
}

impl Body {
    pub(crate) fn new(
        connection: Connection,
        head: &Head,
        request_was_head: bool,
    ) -> Result<Body, Trouble> {
        let framing = head.framing(request_was_head)?;
        Ok(Body { connection, framing, begun: false, closes: head.closes })
    }

    /// No bytes mean its end.
    pub(crate) fn read(
        &mut self,
        bytes: &mut [u8],
        patience: Patience<'_>,
    ) -> Result<usize, Trouble> {
        if let Framing::Chunk(0) = self.framing {
            self.next_chunk(patience)?;
        }
        let left = match self.framing {
            Framing::Length(left) | Framing::Chunk(left) => left,
            Framing::UntilEnd => u64::MAX,
            Framing::Ended => 0,
        };
        let part = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if part == 0 {
            return Ok(0);
        }
        let n = self.connection.read_some(&mut bytes[..part], patience)?;
        let taken = n as u64;
        self.framing = match self.framing {
            Framing::UntilEnd if n == 0 => Framing::Ended,
            _ if n == 0 => return Err(Trouble::Lost(None)),
            Framing::Length(left) => Framing::Length(left - taken),
            Framing::Chunk(left) => Framing::Chunk(left - taken),
            other => other,
        };
        Ok(n)
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
        let ended = matches!(self.framing, Framing::Length(0))
            || self.framing == Framing::Ended && self.begun;
        (ended && !self.closes).then_some(self.connection)
    }

    fn next_chunk(&mut self, patience: Patience<'_>) -> Result<(), Trouble> {
        if self.begun && !self.connection.line(patience)?.is_empty() {
            return garbage("a chunk longer than announced");
        }
        self.begun = true;
        let line = self.connection.line(patience)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let Ok(length) = u64::from_str_radix(digits, 16) else {
            return garbage(format!("a chunk of length {digits:?}"));
        };
        self.framing = Framing::Chunk(length);
        if length == 0 {
            // Trailers, and the empty line that ends them.
            for _ in 0..MAX_HEADERS {
                if self.connection.line(patience)?.is_empty() {
                    self.framing = Framing::Ended;
                    return Ok(());
                }
            }
            return garbage("trailers without end");
        }
        Ok(())
    }
}

impl AsFd for Body {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

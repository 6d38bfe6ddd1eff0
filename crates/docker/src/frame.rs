//! The frames of a stream without a terminal: `[stream u8][0 0 0][length u32 big-endian]`, then so many bytes.
//!
//! Source: the Engine API's "Attach to a container", *Stream format*.

use std::io::{self, Read};

/// How long the head of a frame is, in bytes.
pub const HEAD: usize = 8;

/// Which of the program's streams a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Standard output; so are frames of stream 0, which engines use when they mean none.
    Stdout,
    /// Standard error; so are the engine's own complaints, stream 3.
    Stderr,
}

/// Reads a frame's head: its stream and the length of what follows, in bytes.
///
/// # Errors
/// What is wrong with it: then this is no such stream.
pub fn parse(head: [u8; HEAD]) -> Result<(Of, u32), String> {
    let [stream, zeroes @ .., l0, l1, l2, l3] = head;
    let of = match (stream, zeroes) {
        (0 | 1, [0, 0, 0]) => Of::Stdout,
        (2 | 3, [0, 0, 0]) => Of::Stderr,
        _ => return Err(format!("a frame that begins with {:02x?}", &head[..4])),
    };
    Ok((of, u32::from_be_bytes([l0, l1, l2, l3])))
}

/// What is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// A stream in frames, taken apart by whoever reads it: for sockets of one's own, and for logs. (A process that is
/// attached to moves its streams itself.)
#[derive(Debug)]
pub struct Demuxer<R> {
    from: R,
    of: Of,
    /// How much of the frame is left, in bytes.
    left: u32,
}

impl<R: Read> Demuxer<R> {
    /// Reads from a stream that blocks, from the beginning of a frame.
    pub fn new(from: R) -> Demuxer<R> {
        Demuxer { from, of: Of::Stdout, left: 0 }
    }

    /// The next bytes, at most 64 KiB, and whose they are; `None` at the end.
    ///
    /// # Errors
    /// `InvalidData` for what is no frame, `UnexpectedEof` for an end in the middle of one, those of the stream.
    pub fn read(&mut self) -> io::Result<Option<(Of, Vec<u8>)>> {
        while self.left == 0 {
            let mut head = [0; HEAD];
            // An end is one only where a frame would begin.
            if self.from.read(&mut head[..1])? == 0 {
                return Ok(None);
            }
            self.from.read_exact(&mut head[1..])?;
            let parsed =
                parse(head).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what));
            (self.of, self.left) = parsed?;
        }
        let mut bytes = vec![0; CHUNK.min(self.left as usize)];
        let read = self.from.read(&mut bytes)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read);
        self.left -= read as u32;
        Ok(Some((self.of, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_stream(bytes: &[u8], expected: &[(Of, &[u8])], end: Option<io::ErrorKind>) {
        let mut demuxer = Demuxer::new(bytes);
        for (of, text) in expected {
            assert_eq!(demuxer.read().unwrap().unwrap(), (*of, text.to_vec()));
        }
        assert_eq!(demuxer.read().map_err(|error| error.kind()), end.map_or(Ok(None), Err));
    }

    #[test]
    fn streams() {
        let both = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01c";
        check_stream(both, &[(Of::Stdout, b"ab"), (Of::Stderr, b"c")], None);
        check_stream(b"", &[], None);
        let short = [(Of::Stdout, &b"a"[..])];
        check_stream(b"\x01\0\0\0\0\0\0\x02a", &short, Some(io::ErrorKind::UnexpectedEof));
        check_stream(b"\x01\0\0", &[], Some(io::ErrorKind::UnexpectedEof));
        check_stream(b"plain text", &[], Some(io::ErrorKind::InvalidData));
    }

    #[track_caller]
    fn check(head: [u8; HEAD], expected: Result<(Of, u32), &str>) {
        assert_eq!(parse(head), expected.map_err(str::to_owned));
    }

    #[test]
    fn heads() {
        check([1, 0, 0, 0, 0, 0, 0, 5], Ok((Of::Stdout, 5)));
        check([2, 0, 0, 0, 0, 1, 0, 0], Ok((Of::Stderr, 65536)));
        check([0, 0, 0, 0, 0, 0, 0, 0], Ok((Of::Stdout, 0)));
        check([3, 0, 0, 0, 255, 255, 255, 255], Ok((Of::Stderr, u32::MAX)));
        check([4, 0, 0, 0, 0, 0, 0, 1], Err("a frame that begins with [04, 00, 00, 00]"));
        check(*b"bash-5.2", Err("a frame that begins with [62, 61, 73, 68]"));
        check([1, 0, 1, 0, 0, 0, 0, 1], Err("a frame that begins with [01, 00, 01, 00]"));
    }
}

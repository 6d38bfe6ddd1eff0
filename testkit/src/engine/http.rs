//! As much of HTTP as the Engine API needs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What an engine answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, as 200.
    pub status: u16,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null for an empty one.
    ///
    /// # Panics
    /// When it is something else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        match self.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&self.body)
                .unwrap_or_else(|error| panic!("{error}: {}", self.text())),
        }
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A request to a Unix socket.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// More lines of the head, each with its end.
    pub(super) head: &'a str,
    pub(super) body: &'a [u8],
    /// How long a single read or write may take.
    pub(super) patience: Duration,
}

impl Request<'_> {
    /// Sends it on a connection of its own. HTTP/1.0 is enough: the answer's body is never chunked and ends with the
    /// connection (RFC 9112, section 9.3), for streams too.
    pub(super) fn send(&self, socket: &Path) -> io::Result<Answer> {
        let Request { method, path, head, body, patience } = self;
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(*patience))?;
        stream.set_write_timeout(Some(*patience))?;
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\n{head}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.take(LONGEST).read_to_end(&mut bytes)?;
        answer(&bytes).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            io::Error::other(format!("no answer of HTTP: {shown:?}"))
        })
    }
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: bytes[end + 4..].to_vec() })
}

/// The payload of frames `[stream u8][0 0 0][length u32be]`, as an attached container without a terminal sends them
/// (Engine API, "Attach to a container"); what is no frame is left out.
pub(super) fn unframed(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let Some(([_, _, _, _, length @ ..], rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes(*length) as usize;
        payload.extend(&rest[..length.min(rest.len())]);
        bytes = rest.get(length..).unwrap_or_default();
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let text = b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n{\"message\":\"no\"}";
        let found = answer(text).unwrap();
        assert_eq!((found.status, found.is_good()), (404, false));
        assert_eq!(found.text(), "{\"message\":\"no\"}");
        assert_eq!(found.json()["message"], "no");
        for garbage in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert!(answer(garbage.as_bytes()).is_none(), "{garbage:?}");
        }
    }

    #[test]
    fn frames() {
        let whole = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01c";
        assert_eq!(unframed(whole), b"abc");
        assert_eq!(unframed(&whole[..9]), b"a");
        assert_eq!(unframed(b""), b"");
    }
}

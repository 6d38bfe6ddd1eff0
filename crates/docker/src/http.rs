//! HTTP/1.1 (RFC 9112) as far as the Engine API uses it: one request at a time on a connection, answers with a length,
//! in chunks, or until the end of the connection. Every length is bounded.

mod body;

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use thither_term::{Interest, poll};

pub(crate) use self::body::Body;
use self::body::Framing;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most headers of an answer.
const MAX_HEADERS: usize = 64;
/// The longest line that announces a chunk, with its extensions, in bytes.
const MAX_CHUNK_LINE: usize = 4096;

/// What ends a wait before what is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    /// For how long nothing may happen.
    pub(crate) limit: Duration,
    /// When all has to have happened, where that is not a question of how much there is.
    pub(crate) until: Option<Instant>,
    /// Readable when the caller gives up.
    pub(crate) cancel: Option<BorrowedFd<'a>>,
}

impl<'a> Patience<'a> {
    /// For an answer that has to come within this time, and be whole.
    pub(crate) fn for_answer(limit: Duration, cancel: Option<BorrowedFd<'a>>) -> Patience<'a> {
        Patience { limit, until: Instant::now().checked_add(limit), cancel }
    }

    /// For as much as may come, as long as something does.
    pub(crate) fn for_stream(limit: Duration, cancel: Option<BorrowedFd<'a>>) -> Patience<'a> {
        Patience { limit, until: None, cancel }
    }

    /// How long the next wait may be.
    fn left(&self) -> Result<Duration, Trouble> {
        match self.until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => Err(Trouble::Silent),
            Some(left) => Ok(left.min(self.limit)),
            None => Ok(self.limit),
        }
    }
}

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection ended, or failed.
    Lost(Option<io::Error>),
    /// It breaks the protocol.
    Garbage(String),
    /// Nothing happened for as long as was waited.
    Silent,
    /// The caller gave up.
    Cancelled,
}

fn garbage<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Garbage(what.into()))
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Whether the connection ends with this answer, RFC 9112 section 9.3.
    closes: bool,
    /// With names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How its body ends, RFC 9112 section 6.3.
    fn framing(&self, request_was_head: bool) -> Result<Framing, Trouble> {
        if request_was_head || matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if let Some(coding) = self.header("transfer-encoding") {
            return match coding.eq_ignore_ascii_case("chunked") {
                true => Ok(Framing::ChunkSize),
                false => garbage(format!("an answer in the transfer coding {coding:?}")),
            };
        }
        match self.header("content-length") {
            None => Ok(Framing::UntilEnd),
            Some(length) => match length.parse() {
                Ok(length) => Ok(Framing::Length(length)),
                Err(_) => garbage(format!("a content length of {length:?}")),
            },
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Path and query, encoded.
    pub(crate) target: &'a str,
    /// JSON, or what [`headers`](Request::headers) say.
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) headers: &'a [(String, String)],
    /// Ask for the connection itself, as raw bytes in both directions.
    pub(crate) upgrade: bool,
    /// The body follows in chunks.
    pub(crate) chunked: bool,
}

impl Request<'_> {
    /// Its head and body. Names and values hold no line ends: see [`is_field_value`].
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        // Writing to a vector cannot fail.
        let _ = write!(bytes, "{} {} HTTP/1.1\r\nHost: docker\r\n", self.method, self.target);
        let _ = write!(bytes, "User-Agent: thither/{}\r\n", env!("CARGO_PKG_VERSION"));
        for (name, value) in self.headers {
            let _ = write!(bytes, "{name}: {value}\r\n");
        }
        if self.upgrade {
            bytes.extend(b"Connection: Upgrade\r\nUpgrade: tcp\r\n");
        }
        if self.chunked {
            bytes.extend(b"Transfer-Encoding: chunked\r\n");
        } else if self.body.is_some() || self.method == "POST" {
            let body = self.body.unwrap_or_default();
            if self.body.is_some() {
                bytes.extend(b"Content-Type: application/json\r\n");
            }
            let _ = write!(bytes, "Content-Length: {}\r\n", body.len());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body.unwrap_or_default());
        bytes
    }
}

/// Whether a header may have this value, RFC 9110 section 5.5: nothing that ends a line.
pub(crate) fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

/// A connection to an engine: a non-blocking descriptor, and what was read from it and not used yet.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: OwnedFd,
    held: Vec<u8>,
    /// A line that has come in part.
    line: Vec<u8>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Connection {
    /// `fd` is a stream socket with `O_NONBLOCK`.
    pub(crate) fn new(fd: OwnedFd) -> Connection {
        Connection { fd, held: Vec::new(), line: Vec::new() }
    }

    /// Whether it can carry another request: nothing came unasked, nor its end.
    pub(crate) fn is_idle(&self) -> bool {
        let mut byte = [0];
        let peeked = recv(&self.fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.held.is_empty() && matches!(peeked, Err(Errno::AGAIN))
    }

    pub(crate) fn send(
        &mut self,
        request: &Request<'_>,
        patience: Patience<'_>,
    ) -> Result<(), Trouble> {
        self.write(&request.bytes(), patience)
    }

    fn write(&mut self, mut bytes: &[u8], patience: Patience<'_>) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let sent = self.write_some(bytes, patience)?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends some of these bytes, at least one.
    pub(crate) fn write_some(
        &mut self,
        bytes: &[u8],
        patience: Patience<'_>,
    ) -> Result<usize, Trouble> {
        loop {
            match send(&self.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(Interest::Write(self.fd.as_fd()), patience)?,
                Err(error) => return Err(Trouble::Lost(Some(error.into()))),
            }
        }
    }

    /// Waits until the engine has something to say.
    pub(crate) fn await_answer(&self, patience: Patience<'_>) -> Result<(), Trouble> {
        wait(Interest::Read(self.fd.as_fd()), patience)
    }

    /// Reads the head of an answer, and nothing beyond it from the socket: after an upgrade the rest is not HTTP.
    pub(crate) fn head(&mut self, patience: Patience<'_>) -> Result<Head, Trouble> {
        let mut seen = 0;
        let mut bytes = vec![0; 4096];
        loop {
            // What is held comes of an earlier answer on this connection, which was read to its end.
            if !self.held.is_empty() {
                return garbage("more bytes than were announced");
            }
            match recv(&self.fd, &mut *bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Trouble::Lost(None)),
                Ok((n, _)) if n == seen => {
                    // Nothing new: peeking does not wait for more than there is. Take it off, to wait for the rest.
                    return self.long_head(patience);
                }
                Ok((n, _)) => {
                    if let Some((length, head)) = parse_head(&bytes[..n])? {
                        self.skip(length)?;
                        return Ok(head);
                    }
                    seen = n;
                    if n == bytes.len() {
                        return self.long_head(patience);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(Interest::Read(self.fd.as_fd()), patience)?,
                Err(error) => return Err(Trouble::Lost(Some(error.into()))),
            }
        }
    }

    /// A head that comes in several pieces: byte by byte, so that nothing beyond it is read.
    fn long_head(&mut self, patience: Patience<'_>) -> Result<Head, Trouble> {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            if self.read_some(&mut byte, patience)? == 0 {
                return Err(Trouble::Lost(None));
            }
            bytes.push(byte[0]);
            let is_whole = bytes.ends_with(b"\n\r\n") || bytes.ends_with(b"\n\n");
            if (is_whole || bytes.len() == 1)
                && let Some((_, head)) = parse_head(&bytes)?
            {
                return Ok(head);
            }
            if bytes.len() > MAX_HEAD {
                return garbage("a head without end");
            }
        }
    }

    fn skip(&mut self, mut length: usize) -> Result<(), Trouble> {
        let mut bytes = [0; 4096];
        while length > 0 {
            let part = length.min(bytes.len());
            match recv(&self.fd, &mut bytes[..part], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Trouble::Lost(None)),
                Ok((n, _)) => length -= n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Trouble::Lost(Some(error.into()))),
            }
        }
        Ok(())
    }

    /// Reads from what is held, else from the socket. No bytes mean its end.
    fn read_some(&mut self, bytes: &mut [u8], patience: Patience<'_>) -> Result<usize, Trouble> {
        // Also where there is always something.
        patience.left()?;
        if !self.held.is_empty() {
            let n = bytes.len().min(self.held.len());
            bytes[..n].copy_from_slice(&self.held[..n]);
            self.held.drain(..n);
            return Ok(n);
        }
        loop {
            match recv(&self.fd, &mut *bytes, RecvFlags::DONTWAIT) {
                Ok((n, _)) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(Interest::Read(self.fd.as_fd()), patience)?,
                Err(error) => return Err(Trouble::Lost(Some(error.into()))),
            }
        }
    }

    /// A line without its end, for chunks. After [`Trouble::Silent`] it can be asked for again.
    fn line(&mut self, patience: Patience<'_>) -> Result<String, Trouble> {
        loop {
            if self.held.is_empty() {
                let mut bytes = [0; 4096];
                let n = self.read_some(&mut bytes, patience)?;
                if n == 0 {
                    return Err(Trouble::Lost(None));
                }
                self.held.extend_from_slice(&bytes[..n]);
            }
            let end = self.held.iter().position(|&byte| byte == b'\n');
            self.line.extend(self.held.drain(..end.map_or(self.held.len(), |end| end + 1)));
            if self.line.len() > MAX_CHUNK_LINE {
                return garbage("a chunk's line without end");
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(&line);
                return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
            }
        }
    }

    /// The descriptor itself, after an upgrade.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Trouble> {
    // A parser passes over empty lines, and would begin anew at each.
    if bytes.first().is_some_and(|byte| b"\r\n".contains(byte)) {
        return garbage("it begins with an empty line");
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            let headers = response.headers.iter();
            let headers: Vec<(String, String)> =
                headers.map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
            let mut closes = response.version != Some(1);
            for (_, value) in headers.iter().filter(|(name, _)| name == "connection") {
                let mut words = value.split(',').map(str::trim);
                closes |= words.any(|word| word.eq_ignore_ascii_case("close"));
            }
            let status = response.code.unwrap_or_default();
            Ok(Some((length, Head { status, closes, headers })))
        }
        Err(error) => garbage(format!("it does not speak HTTP ({error})")),
    }
}

fn wait(interest: Interest<'_>, patience: Patience<'_>) -> Result<(), Trouble> {
    let cancel = patience.cancel.map_or(Interest::Nothing, Interest::Read);
    let left = patience.left()?;
    let ready =
        poll(&[interest, cancel], Some(left)).map_err(|error| Trouble::Lost(Some(error)))?;
    match ready[..] {
        [ready, _] if ready.now => Ok(()),
        [_, cancel] if cancel.now => Err(Trouble::Cancelled),
        _ => Err(Trouble::Silent),
    }
}

#[cfg(test)]
mod tests;

//! Streams over there: sockets to be read and written here.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteBuf, Bytes};

use crate::frame::APART;
use crate::marshal::FsString;
use crate::{Error, Object, Pending, Python, Result, request};

/// The least that is asked for in one call, in bytes: what nobody wants yet is kept.
const LEAST: usize = 256 * 1024;
/// The most that is read or written in one call, in bytes.
const MOST: usize = 1 << 20;

impl Python {
    /// A connection from over there to a host and port, as [`TcpStream`](std::net::TcpStream) is one from here.
    ///
    /// A [timeout](Python::with_timeout) of this handle is that of the connecting and of each read and write.
    ///
    /// # Errors
    /// `OSError` over there, `ConnectionRefusedError` for one; as every call.
    pub fn connect_tcp(&self, host: &str, port: u16) -> Result<RemoteStream> {
        self.connect((host, port))
    }

    /// A connection from over there to a Unix socket.
    ///
    /// # Errors
    /// As [`connect_tcp`](Python::connect_tcp).
    pub fn connect_unix(&self, path: impl AsRef<std::ffi::OsStr>) -> Result<RemoteStream> {
        self.connect(FsString::from(path.as_ref()))
    }

    fn connect(&self, address: impl Serialize) -> Result<RemoteStream> {
        Ok(RemoteStream { flow: Arc::new(Flow::connected(self, address)?) })
    }
}

/// A socket over there. Reading and writing wait for this thread alone: calls of others, and of the other direction, go on.
///
/// A clone is the same socket; it is closed over there once the last one is dropped.
#[derive(Clone, Debug)]
pub struct RemoteStream {
    flow: Arc<Flow>,
}

impl RemoteStream {
    /// The same socket, for another thread. It does not fail.
    ///
    /// # Errors
    /// None; the signature is that of [`TcpStream`](std::net::TcpStream).
    pub fn try_clone(&self) -> io::Result<RemoteStream> {
        Ok(self.clone())
    }

    /// Ends one direction or both. A read that waits then sees the end.
    ///
    /// # Errors
    /// As every call.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Read => 0,
            Shutdown::Write => 1,
            Shutdown::Both => 2,
        };
        self.flow.ask("shutdown", (how,))
    }
}

impl Read for RemoteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.flow.read(buffer)
    }
}

impl Read for &RemoteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.flow.read(buffer)
    }
}

impl Write for RemoteStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flow.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &RemoteStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flow.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object of the agent's class `Flow`, which is closed over there when this is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    object: Object,
    /// How long a read or write may take. It is kept over there: so none is lost that ends just then.
    limit: Option<Duration>,
    unread: Mutex<Unread>,
}

/// What was read and nobody has asked for yet.
#[derive(Debug, Default)]
struct Unread {
    bytes: Vec<u8>,
    at: usize,
}

impl Unread {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        count
    }
}

impl Flow {
    /// A socket over there.
    fn connected(py: &Python, address: impl Serialize) -> Result<Flow> {
        let limit = py.options.timeout;
        let mut agent = py.agent();
        agent.options.timeout = None;
        let object = start(&agent, "connect", (address, seconds(limit)))?;
        Ok(Flow { object: object.wait()?, limit, unread: Mutex::default() })
    }

    /// A process over there. It is started as other calls are made, on the main thread if that is free: what Python
    /// imports for it takes the thread that it is imported on for the main thread, before Python 3.13.
    pub(crate) fn started(py: &Python, argv: &[FsString]) -> Result<Flow> {
        let mut object: Object = py.agent().call_method1("tunnel", (argv,))?;
        let limit = object.options.timeout.take();
        Ok(Flow { object, limit, unread: Mutex::default() })
    }

    /// Calls a method, on a thread of its own over there.
    pub(crate) fn ask<T: DeserializeOwned>(&self, method: &str, args: impl Serialize) -> Result<T> {
        start(&self.object, method, args)?.wait()
    }

    /// The same, but it may take that long only.
    pub(crate) fn ask_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: &str,
        args: impl Serialize,
    ) -> Result<T> {
        start(&self.object.clone().with_timeout(limit), method, args)?.wait()
    }

    /// Calls a method whose result nobody waits for.
    pub(crate) fn tell(&self, method: &str) {
        match start::<()>(&self.object, method, ()) {
            Ok(pending) => drop(pending),
            // Then it is closed, too.
            Err(error) => tracing::debug!(%error, method, "a stream over there"),
        }
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let count = unread.take(buffer);
        if count > 0 {
            return Ok(count);
        }
        let count = buffer.len().clamp(LEAST, MOST);
        let bytes: ByteBuf = self.ask("read", (count, seconds(self.limit))).map_err(io_error)?;
        *unread = Unread { bytes: bytes.into_vec(), at: 0 };
        Ok(unread.take(buffer))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let bytes = &bytes[..bytes.len().min(MOST)];
        let args = (Bytes::new(bytes), seconds(self.limit));
        match self.ask("write", args).map_err(io_error)? {
            written if written <= bytes.len() => Ok(written),
            written => {
                let wrong = format!("{written} bytes written, of {}", bytes.len());
                Err(io_error(Error::protocol(wrong)))
            }
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.tell("close");
    }
}

/// Of what takes longer than thirty years Python would say that it overflows.
fn seconds(limit: Option<Duration>) -> Option<f64> {
    limit.map(|limit| limit.as_secs_f64()).filter(|&seconds| seconds < 1e9)
}

fn start<T: DeserializeOwned>(
    object: &Object,
    method: &str,
    args: impl Serialize,
) -> Result<Pending<T>> {
    let owner = object.handle.session.connection.id;
    let mut call = request::head(object.handle.number, &[method.into()], "call");
    request::args(&mut call, &args, owner)?;
    call.none();
    object.send_wanting(call, request::want::<T>() | APART)
}

/// As users of streams know it. `Interrupted` is not among the kinds: it would be tried again.
pub(crate) fn io_error(error: Error) -> io::Error {
    let kinds = [
        ("BrokenPipeError", io::ErrorKind::BrokenPipe),
        ("ConnectionResetError", io::ErrorKind::ConnectionReset),
        ("ConnectionAbortedError", io::ErrorKind::ConnectionAborted),
        ("ConnectionRefusedError", io::ErrorKind::ConnectionRefused),
        ("TimeoutError", io::ErrorKind::TimedOut),
    ];
    let kind = match &error {
        Error::Closed { .. } => io::ErrorKind::ConnectionAborted,
        Error::TimedOut { .. } => io::ErrorKind::TimedOut,
        error => kinds
            .iter()
            .find(|(name, _)| error.is_instance_of(name))
            .map_or(io::ErrorKind::Other, |(_, kind)| *kind),
    };
    io::Error::new(kind, error)
}

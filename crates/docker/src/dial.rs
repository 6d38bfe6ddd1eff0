//! Ways to an engine.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, sockopt};

use thither_term::{Interest, poll};

use crate::error::Error;

/// How long a connection over there may say nothing before the kernel asks whether it is still there, and again, so
/// that whatever translates addresses in between does not forget it (moby's own client: 30 s).
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How often a wait that no poll shows looks up.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Makes a byte stream to an engine.
pub type Open = dyn Fn() -> io::Result<OwnedFd> + Send + Sync;

/// A way to an engine.
#[derive(Clone)]
pub enum Dial {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP without TLS: whoever is on the network rules the engine's machine.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// TLS on TCP.
    #[cfg(feature = "tls")]
    Tls {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// Whom to trust, and who we are.
        config: Arc<thither_place::tls::ClientConfig>,
    },
    /// Anything that makes a stream socket to the engine, such as a tunnel.
    Stream(Arc<Open>),
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dial::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Dial::Tcp { host, port } => write!(f, "Tcp({host}:{port})"),
            #[cfg(feature = "tls")]
            Dial::Tls { host, port, .. } => write!(f, "Tls({host}:{port})"),
            Dial::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Dial {
    /// A connected stream socket with `O_NONBLOCK`. [`given_up`] says whether an error is that `cancel` was readable.
    pub(crate) fn open(
        &self,
        limit: Duration,
        cancel: Option<BorrowedFd<'_>>,
    ) -> io::Result<OwnedFd> {
        match self {
            Dial::Unix(path) => unix(path, limit, cancel),
            Dial::Tcp { host, port } => nonblocking(tcp(host, *port, limit, cancel)?.into()),
            #[cfg(feature = "tls")]
            Dial::Tls { host, port, config } => {
                let tcp = tcp(host, *port, limit, cancel)?;
                tcp.set_nonblocking(false)?;
                nonblocking(thither_place::tls::connect(tcp, config.clone(), host, limit)?)
            }
            Dial::Stream(open) => nonblocking(open()?),
        }
    }
}

pub(crate) fn nonblocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(fd)
}

/// Whether the caller has given up.
#[derive(Debug, thiserror::Error)]
#[error("given up")]
struct GivenUp;

pub(crate) fn given_up(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<GivenUp>())
}

/// Waits for the descriptor, or for the caller to give up; `false` when neither came in time.
fn wait(
    interest: Interest<'_>,
    limit: Duration,
    cancel: Option<BorrowedFd<'_>>,
) -> io::Result<bool> {
    let cancel = cancel.map_or(Interest::Nothing, Interest::Read);
    let ready = poll(&[interest, cancel], Some(limit))?;
    match ready[1].now && !ready[0].now {
        true => Err(io::Error::other(GivenUp)),
        false => Ok(ready[0].now),
    }
}

/// A connection waits only while the engine's queue is full, which no poll shows: so it waits in the kernel, and looks
/// up every now and then.
fn unix(path: &Path, limit: Duration, cancel: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + limit;
    let (family, kind, flags) = (AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(LOOK_UP))?;
    loop {
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => return nonblocking(socket),
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < deadline => {
                wait(Interest::Nothing, Duration::ZERO, cancel)?;
            }
            Err(Errno::AGAIN | Errno::INTR) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tries each address of the name in turn, within the limit in all. The stream does not block.
fn tcp(
    host: &str,
    port: u16,
    limit: Duration,
    cancel: Option<BorrowedFd<'_>>,
) -> io::Result<TcpStream> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        match tcp_to(address, left, cancel) {
            Ok(stream) => return Ok(stream),
            Err(error) if given_up(&error) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tcp_to(
    address: SocketAddr,
    limit: Duration,
    cancel: Option<BorrowedFd<'_>>,
) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            if !wait(Interest::Write(socket.as_fd()), limit, cancel)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE)?;
    Ok(stream)
}

/// What became of an attempt.
pub(crate) fn failed(engine: &str, source: io::Error) -> Error {
    if given_up(&source) {
        return Error::Cancelled;
    }
    let engine = engine.to_owned();
    #[cfg(feature = "tls")]
    if let Some(tls) = source.get_ref().and_then(|e| e.downcast_ref::<thither_place::tls::Error>())
    {
        let hint = tls.hint().map(str::to_owned);
        return Error::Tls { engine, hint, source: Box::new(source) };
    }
    Error::Connect { engine, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_over_there_is_kept_alive() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = Dial::Tcp { host: "127.0.0.1".into(), port };
        let stream = dial.open(Duration::from_secs(10), None).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE);
        assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), KEEP_ALIVE);
    }
}

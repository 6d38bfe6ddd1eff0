//! Ways to an engine.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, sockopt};

use crate::error::Error;

/// How long a connection over there may say nothing before the kernel asks whether it is still there, and again, so
/// that whatever translates addresses in between does not forget it (moby's own client: 30 s).
const KEEP_ALIVE: Duration = Duration::from_secs(30);

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
    /// A connected stream socket with `O_NONBLOCK`.
    pub(crate) fn open(&self, limit: Duration) -> io::Result<OwnedFd> {
        match self {
            Dial::Unix(path) => {
                let flags = SocketFlags::CLOEXEC;
                let socket =
                    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                // Blocks only while the engine's queue of connections is full; then for as long as the limit says.
                sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(limit))?;
                match connect(&socket, &SocketAddrUnix::new(path)?) {
                    Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                    other => other?,
                }
                nonblocking(socket)
            }
            Dial::Tcp { host, port } => nonblocking(tcp(host, *port, limit)?.into()),
            #[cfg(feature = "tls")]
            Dial::Tls { host, port, config } => {
                let tcp = tcp(host, *port, limit)?;
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

/// Tries each address of the name in turn, within the limit in all.
fn tcp(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
                sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What became of an attempt.
pub(crate) fn failed(engine: &str, source: io::Error) -> Error {
    let engine = engine.to_owned();
    #[cfg(feature = "tls")]
    if let Some(tls) = source.get_ref().and_then(|e| e.downcast_ref::<thither_place::tls::Error>())
    {
        let hint = tls.hint().map(str::to_owned);
        return Error::Tls { engine, hint, source: Box::new(source) };
    }
    Error::Connect { engine, source }
}

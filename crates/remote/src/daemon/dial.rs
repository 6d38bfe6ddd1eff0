//! Connections to a daemon, before anything is said.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use thither_place::peer::peer_of;
use thither_term::{Interest, poll};

/// How often we look whether a daemon that has too many callers waiting takes one more.
const LOOK: Duration = Duration::from_millis(5);

/// When an idle connection is asked whether its other end is still there, and how often, and how often it may say nothing: tcp(7).
const IDLE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Undialled {
    Cancelled,
    Failed(io::Error),
}

impl From<io::Error> for Undialled {
    fn from(error: io::Error) -> Undialled {
        Undialled::Failed(error)
    }
}

impl From<Errno> for Undialled {
    fn from(error: Errno) -> Undialled {
        Undialled::Failed(error.into())
    }
}

/// The Unix socket at this path, whosever it is.
pub(super) fn anyone(
    path: &Path,
    limit: Duration,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<OwnedFd, Undialled> {
    let deadline = Instant::now() + limit;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let address = SocketAddrUnix::new(path)?;
    let socket = loop {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => break socket,
            // Its backlog is full, and nothing tells when it is not: unix(7).
            Err(Errno::AGAIN) if Instant::now() < deadline => wait(&[], Some(LOOK), cancel)?,
            Err(Errno::AGAIN) => return Err(Undialled::Failed(io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(error.into()),
        };
    };
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream.into())
}

/// The same, if its other end is our user's or root's.
pub(super) fn unix(
    path: &Path,
    limit: Duration,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<OwnedFd, Undialled> {
    let socket = anyone(path, limit, cancel)?;
    let peer = peer_of(&socket)?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        let text = format!("who listens there is user {}, neither we nor root", peer.uid.as_raw());
        return Err(Undialled::Failed(io::Error::new(io::ErrorKind::PermissionDenied, text)));
    }
    Ok(socket)
}

/// A TCP connection to the first address of a host that takes it.
pub(super) fn tcp(
    host: &str,
    port: u16,
    limit: Duration,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<TcpStream, Undialled> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match one(address, deadline, cancel) {
            Err(Undialled::Failed(error)) => last = error,
            other => return other,
        }
    }
    Err(last.into())
}

fn one(
    address: SocketAddr,
    deadline: Instant,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<TcpStream, Undialled> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let left = deadline.saturating_duration_since(Instant::now());
    if !wait(&[Interest::Write(socket.as_fd())], Some(left), cancel)? {
        return Err(Undialled::Failed(io::ErrorKind::TimedOut.into()));
    }
    sockopt::socket_error(&socket)??;
    prepare(&socket)?;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// No waiting for more to send, and a connection whose other end is gone is found.
pub(super) fn prepare(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, IDLE)?;
    sockopt::set_tcp_keepintvl(&socket, IDLE)?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)?;
    Ok(())
}

/// Whether any is ready in time.
fn wait(
    interests: &[Interest<'_>],
    limit: Option<Duration>,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<bool, Undialled> {
    let cancel = cancel.map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd()));
    let all: Vec<Interest<'_>> = interests.iter().copied().chain([cancel]).collect();
    let mut ready = poll(&all, limit)?;
    match ready.pop() {
        Some(cancel) if cancel.now || cancel.hang_up => Err(Undialled::Cancelled),
        _ => Ok(ready.iter().any(|ready| ready.now || ready.hang_up || ready.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{bind, listen};

    #[test]
    fn a_listener_that_takes_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&socket, 0).unwrap();
        // It has room for one more than it was told.
        let _first = anyone(&path, Duration::ZERO, None).unwrap();
        let timed_out = anyone(&path, Duration::ZERO, None);
        assert!(
            matches!(timed_out, Err(Undialled::Failed(error)) if error.kind() == io::ErrorKind::TimedOut)
        );
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let cancelled = anyone(&path, Duration::from_secs(3600), Some(&Arc::new(ours.into())));
        assert!(matches!(cancelled, Err(Undialled::Cancelled)));
    }
}

//! The sockets of a daemon.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{env, io};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use thither_place::error::quoted;
use thither_place::state::lock::{self, Kind};

use super::{Attendant, connection};
use crate::daemon::Samba;

/// How many connections may wait to be accepted; `net.core.somaxconn` of Linux limits it as well.
const BACKLOG: i32 = 1024;
/// `SD_LISTEN_FDS_START`, sd_listen_fds(3).
const FIRST_HANDED_OVER: i32 = 3;
/// More than anybody configures.
const MOST_HANDED_OVER: u32 = 64;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On a Unix socket, made with mode 0600: for our own user, and root.
    Unix(PathBuf),
    /// On TCP, with TLS, for keys that are authorised.
    Tcp(Vec<SocketAddr>),
}

impl Listen {
    /// The addresses of `HOST:PORT`, or of `HOST` with [`PORT`](crate::daemon::PORT).
    ///
    /// # Errors
    /// Those of the resolver.
    pub fn tcp(text: &str) -> io::Result<Listen> {
        let has_port = match text.strip_prefix('[') {
            Some(rest) => rest.contains("]:"),
            None => text.contains(':'),
        };
        let addresses = match has_port {
            true => text.to_socket_addrs()?.collect::<Vec<_>>(),
            false => {
                let bare = text.trim_start_matches('[').trim_end_matches(']');
                (bare, crate::daemon::PORT).to_socket_addrs()?.collect()
            }
        };
        Ok(Listen::Tcp(addresses))
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Unix {
        listener: UnixListener,
        /// `None` for one that was handed to us.
        _made: Option<Made>,
    },
    Tcp(TcpListener),
    /// A pipe of Samba's.
    Samba {
        listener: UnixListener,
        _made: Made,
    },
}

/// The file of a socket that we have made. It goes with us.
#[derive(Debug)]
pub(super) struct Made {
    path: PathBuf,
    inode: u64,
    /// Nobody else listens there while we hold it.
    _lock: File,
}

impl Drop for Made {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    pub(super) fn open(listen: &Listen) -> io::Result<Vec<Listener>> {
        match listen {
            Listen::Unix(path) => {
                let (listener, made) = unix(path)?;
                Ok(vec![Listener::Unix { listener, _made: Some(made) }])
            }
            Listen::Tcp(addresses) => addresses
                .iter()
                .map(|address| {
                    let listener = TcpListener::bind(address).map_err(|error| {
                        io::Error::new(error.kind(), format!("{address}: {error}"))
                    })?;
                    listener.set_nonblocking(true)?;
                    Ok(Listener::Tcp(listener))
                })
                .collect(),
        }
    }

    pub(super) fn samba(samba: &Samba) -> io::Result<Listener> {
        samba.prepare()?;
        let (listener, _made) = unix(samba.socket())?;
        Ok(Listener::Samba { listener, _made })
    }

    /// The sockets that systemd(1) has handed to us: sd_listen_fds(3).
    pub(super) fn handed_over() -> io::Result<Vec<Listener>> {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Ok(Vec::new());
        }
        let count = number("LISTEN_FDS").unwrap_or_default().min(MOST_HANDED_OVER);
        let ourselves = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        (FIRST_HANDED_OVER..FIRST_HANDED_OVER + count as i32)
            .map(|fd| {
                // A copy, which is ours.
                let copy = pidfd_getfd(&ourselves, fd, PidfdGetfdFlags::empty())?;
                Listener::inherited(copy).map_err(|error| {
                    io::Error::new(error.kind(), format!("descriptor {fd}: {error}"))
                })
            })
            .collect()
    }

    fn inherited(fd: OwnedFd) -> io::Result<Listener> {
        let no_listener =
            || io::Error::new(io::ErrorKind::InvalidInput, "it is no socket that listens");
        if !rustix::net::sockopt::socket_acceptconn(&fd).map_err(|_| no_listener())? {
            return Err(no_listener());
        }
        if rustix::net::sockopt::socket_type(&fd)? != SocketType::STREAM {
            return Err(no_listener());
        }
        match rustix::net::sockopt::socket_domain(&fd)? {
            AddressFamily::UNIX => {
                let listener = UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix { listener, _made: None })
            }
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(listener))
            }
            _ => Err(no_listener()),
        }
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self, Listener::Tcp(_))
    }

    /// Who attends to its connections.
    pub(super) fn attendant(&self) -> Attendant {
        match self {
            Listener::Unix { .. } => connection::near,
            Listener::Tcp(_) => connection::far,
            Listener::Samba { .. } => connection::behind_samba,
        }
    }

    /// Its address, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Listener::Unix { listener, .. } => format!("daemon:{}", path_of(listener)),
            Listener::Samba { listener, .. } => format!("samba:{}", path_of(listener)),
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |at| format!("daemon:{at}"))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix { listener, .. } | Listener::Samba { listener, .. } => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

fn path_of(listener: &UnixListener) -> String {
    let address = listener.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    path.unwrap_or(Path::new("?")).display().to_string()
}

fn unix(path: &Path) -> io::Result<(UnixListener, Made)> {
    let lock_path = path.with_added_extension("lock");
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = File::from(rustix::fs::open(&lock_path, flags, Mode::RUSR | Mode::WUSR)?);
    if !lock::try_lock(&lock, Kind::Exclusive)? {
        let text = format!("another daemon listens at {}", quoted(path));
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    // Whoever had the lock is gone, and has left it; but nothing is removed that is no socket, or that somebody listens at who needs
    // no lock, such as systemd(1).
    if let Ok(file) = fs::symlink_metadata(path) {
        if !std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()) {
            let text = format!("{} is there already, and is no socket", quoted(path));
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if !is_stale(path)? {
            let text = format!("somebody else listens at {}", quoted(path));
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        fs::remove_file(path)?;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file has the mode that the socket has then.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let made =
        Made { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino(), _lock: lock };
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), made))
}

/// Whether nobody listens at a socket.
fn is_stale(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(connect(&socket, &SocketAddrUnix::new(path)?) == Err(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_listens_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(other);
        let ours = unix(&path).unwrap();
        assert_eq!(unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(ours);
        fs::write(&path, "a file").unwrap();
        assert_eq!(unix(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}

//! A proxy that breaks connections.

mod record;
mod traffic;

use std::io::{self, PipeWriter};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

use self::traffic::{Fault, Traffic};

/// Where a proxy listens, or where it forwards to.
#[derive(Clone, Debug)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// A proxy in front of a Unix or TCP socket, on a Unix socket or on loopback, that breaks connections on demand and
/// records what clients have sent.
///
/// It ends, with all of its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    _folder: Option<TempDir>,
    traffic: Arc<Traffic>,
    /// Its end ends the thread that accepts.
    stop: Option<PipeWriter>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// The constructors panic when no socket can be made.
impl Proxy {
    /// From a Unix socket to a Unix socket.
    #[must_use]
    pub fn unix(to: &Path) -> Proxy {
        Proxy::on_unix(Address::Unix(to.into()))
    }

    /// From a port of 127.0.0.1 to a Unix socket.
    #[must_use]
    pub fn tcp(to: &Path) -> Proxy {
        Proxy::on_tcp(Address::Unix(to.into()))
    }

    /// From a Unix socket to TCP.
    #[must_use]
    pub fn unix_to_tcp(to: SocketAddr) -> Proxy {
        Proxy::on_unix(Address::Tcp(to))
    }

    /// From a port of 127.0.0.1 to TCP.
    #[must_use]
    pub fn tcp_to_tcp(to: SocketAddr) -> Proxy {
        Proxy::on_tcp(Address::Tcp(to))
    }

    fn on_unix(to: Address) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        Proxy::start(Listener::Unix(listener), Address::Unix(path), Some(folder), to)
    }

    fn on_tcp(to: Address) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("a bound socket");
        Proxy::start(Listener::Tcp(listener), Address::Tcp(address), None, to)
    }

    fn start(listener: Listener, address: Address, folder: Option<TempDir>, to: Address) -> Proxy {
        let traffic = Arc::new(Traffic::default());
        let (stopped, stop) = io::pipe().expect("a pipe");
        let accepting = Arc::clone(&traffic);
        let acceptor = thread::spawn(move || {
            while let Some(client) = listener.accept(stopped.as_fd()) {
                Traffic::open(&accepting, client, || to.connect());
            }
        });
        Proxy { address, _folder: folder, traffic, stop: Some(stop), acceptor: Some(acceptor) }
    }

    /// As for `DOCKER_HOST`: `unix:///path` or `tcp://127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.address {
            Address::Unix(path) => format!("unix://{}", path.display()),
            Address::Tcp(address) => format!("tcp://{address}"),
        }
    }

    /// Its Unix socket.
    ///
    /// # Panics
    /// When it is on TCP.
    #[must_use]
    #[track_caller]
    pub fn socket(&self) -> &Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("this proxy is at {address}"),
        }
    }

    /// Its port.
    ///
    /// # Panics
    /// When it is on a Unix socket.
    #[must_use]
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match &self.address {
            Address::Unix(path) => panic!("this proxy is at {path:?}"),
            Address::Tcp(address) => *address,
        }
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.traffic.connections()
    }

    /// How many of them are open, in at least one direction.
    #[must_use]
    pub fn open(&self) -> usize {
        self.traffic.open_now()
    }

    /// The requests that were sent, by connection and in order: each a head and its body; after a request to upgrade
    /// all that follows belongs to it. Of each connection the first MiB is kept.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.traffic.sent().iter().flat_map(|sent| record::requests(sent)).collect()
    }

    /// Closes all connections that are open now, both directions of both sides.
    pub fn cut(&self) {
        self.traffic.cut();
    }

    /// Forwards nothing from now on, on connections old and new, but keeps and accepts them: a black hole.
    pub fn stall(&self) {
        self.traffic.change(|rules| rules.stalled = true);
    }

    /// Forwards what was held back by [`stall`](Proxy::stall), and all that follows.
    pub fn resume(&self) {
        self.traffic.change(|rules| rules.stalled = false);
    }

    /// Closes each connection after so many bytes from the server.
    pub fn after(&self, bytes: u64) {
        self.traffic.change(|rules| rules.fault = Fault::Cut(bytes));
    }

    /// Ends each server's stream after so many bytes, as if it had no more; what the client sends is still forwarded.
    pub fn truncate(&self, bytes: u64) {
        self.traffic.change(|rules| rules.fault = Fault::Truncate(bytes));
    }

    /// Answers with these bytes when a client has sent something, and closes the connection.
    pub fn garbage(&self, bytes: &[u8]) {
        self.traffic.change(|rules| rules.fault = Fault::Garbage(bytes.into()));
    }

    /// Ends [`after`](Proxy::after), [`truncate`](Proxy::truncate) and [`garbage`](Proxy::garbage).
    pub fn forward(&self) {
        self.traffic.change(|rules| rules.fault = Fault::None);
    }

    /// Only connections on which the client has sent this are stalled, cut, truncated or answered with garbage: as
    /// `/attach`. Empty for all. Bytes are counted from then on.
    pub fn on(&self, needle: &str) {
        self.traffic.change(|rules| rules.needle = needle.into());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.traffic.cut();
    }
}

impl Address {
    fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Address::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
            Address::Tcp(address) => TcpStream::connect(address).map(OwnedFd::from),
        }
    }
}

impl Listener {
    /// The next connection; none when `stopped` has ended.
    fn accept(&self, stopped: BorrowedFd<'_>) -> Option<OwnedFd> {
        let listener = match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        };
        let mut ready = [
            PollFd::from_borrowed_fd(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(stopped, PollFlags::IN),
        ];
        poll(&mut ready, None).ok()?;
        if !ready[1].revents().is_empty() {
            return None;
        }
        match self {
            Listener::Unix(listener) => listener.accept().ok().map(|(stream, _)| stream.into()),
            Listener::Tcp(listener) => listener.accept().ok().map(|(stream, _)| stream.into()),
        }
    }
}

#[cfg(test)]
mod tests;

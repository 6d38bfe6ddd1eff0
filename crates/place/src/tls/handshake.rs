//! The handshake, with a time limit.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ProtocolVersion};
use thither_term::{Interest, poll};

use super::link::Link;
use super::socket::{Socket, unless_blocked};
use super::{ClientConfig, Error, bridge};

/// How long to wait, after the handshake, for what the server says of our certificate. Those that accept it mostly
/// send tickets at once; for one that says nothing this is a delay and no more.
const VERDICT: Duration = Duration::from_millis(250);

/// How many bytes the kernel may hold in each direction between us and the bridge, as far as `net.core.wmem_max` lets it
/// (socket(7)): so that both sides can work at once.
const HELD: usize = 512 * 1024;

/// Makes a TLS connection of a TCP connection to the server `name` (a host name or an IP address, in brackets or not).
/// Returns a stream socket, blocking and closed on exec; see the [module](super) for what its ends mean.
///
/// `limit` is how long the handshake may take as a whole.
///
/// # Errors
/// [`Error::Name`], [`Error::Handshake`] (certificates too), [`Error::Lost`], [`Error::TimedOut`], [`Error::Start`].
pub fn connect(
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: &str,
    limit: Duration,
) -> Result<OwnedFd, Error> {
    let deadline = Instant::now().checked_add(limit);
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let server =
        ServerName::try_from(bare.to_owned()).map_err(|_| Error::Name { name: name.to_owned() })?;
    let handshake_error = |source| Error::Handshake { name: name.to_owned(), source };
    let start_error = |source| Error::Start { name: name.to_owned(), source };

    tcp.set_nonblocking(true).map_err(start_error)?;
    let tls = ClientConnection::new(config.client.clone(), server).map_err(handshake_error)?;
    let mut handshake = Handshake::new(tcp, tls.into(), name, limit);
    handshake.complete(deadline)?;
    // A session that is resumed has no certificates. Its ticket comes all the same.
    let judged = handshake.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if judged && config.asked.load(Ordering::Relaxed) {
        handshake.hear_verdict(deadline)?;
    }
    tracing::debug!(name, version = ?handshake.tls.protocol_version(), "TLS connection");
    handshake.into_descriptor()
}

/// One side's part of the handshake. The socket never blocks.
pub(super) struct Handshake<'a> {
    tcp: TcpStream,
    pub(super) tls: Connection,
    name: &'a str,
    limit: Duration,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(
        tcp: TcpStream,
        mut tls: Connection,
        name: &'a str,
        limit: Duration,
    ) -> Handshake<'a> {
        // The bridge gives it bounded pieces, each when the one before has left.
        tls.set_buffer_limit(None);
        Handshake { tcp, tls, name, limit }
    }

    /// Gives the connection to the bridge, and returns the descriptor that stands for it.
    pub(super) fn into_descriptor(self) -> Result<OwnedFd, Error> {
        let start_error = |source| Error::Start { name: self.name.to_owned(), source };
        let (ours, theirs) = UnixStream::pair().map_err(start_error)?;
        ours.set_nonblocking(true).map_err(start_error)?;
        for end in [&ours, &theirs] {
            set_socket_send_buffer_size(end, HELD).map_err(|errno| start_error(errno.into()))?;
        }
        bridge::serve(Link::new(ours, self.tcp, self.tls)).map_err(start_error)?;
        Ok(theirs.into())
    }

    pub(super) fn complete(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        while self.tls.is_handshaking() || self.tls.wants_write() {
            if !self.step(deadline)? {
                return Err(Error::TimedOut { name: self.name.to_owned(), limit: self.limit });
            }
        }
        Ok(())
    }

    /// In TLS 1.3 the server judges our certificate when we are done already (RFC 8446, 4.4.2.4).
    fn hear_verdict(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let soon = Instant::now() + VERDICT;
        let until = deadline.map_or(soon, |deadline| deadline.min(soon));
        while self.tickets() == 0 && self.tls.wants_read() {
            if !self.step(Some(until))? {
                break;
            }
        }
        Ok(())
    }

    fn tickets(&self) -> u32 {
        match &self.tls {
            Connection::Client(client) => client.tls13_tickets_received(),
            Connection::Server(_) => 0,
        }
    }

    /// Waits for the peer and goes on as far as it lets us. Says whether it was there in time.
    fn step(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let tcp = self.tcp.as_fd();
        let interest = match self.tls.wants_write() {
            true => Interest::Write(tcp),
            false => Interest::Read(tcp),
        };
        // A peer that lets its bytes trickle must not outlast the deadline.
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        if !poll(&[interest], left).map_err(|error| self.lost(error))?[0].now {
            return Ok(false);
        }
        if self.tls.wants_write() {
            let wrote = unless_blocked(|| self.tls.write_tls(&mut Socket(self.tcp.as_fd())));
            wrote.map_err(|error| self.lost(error))?;
            return Ok(true);
        }
        match unless_blocked(|| self.tls.read_tls(&mut Socket(self.tcp.as_fd()))) {
            Ok(Some(0)) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(self.lost(error)),
        }
        if let Err(source) = self.tls.process_new_packets() {
            // The alert that tells the peer why. There is nobody to tell if it cannot be sent.
            let _ = self.tls.write_tls(&mut Socket(self.tcp.as_fd()));
            return Err(Error::Handshake { name: self.name.to_owned(), source });
        }
        Ok(true)
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::Lost { name: self.name.to_owned(), source }
    }
}

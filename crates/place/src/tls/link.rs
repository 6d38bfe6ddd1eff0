//! One TLS connection and the descriptor that stands for it.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use thither_term::{Interest, Ready};

use super::bridge::CHUNK;
use super::socket::{Socket, unless_blocked};

/// How long the peer may make no progress when the descriptor has been closed: it has to take what was written, and
/// then to close its side, lest the kernel discards what is still on its way (RFC 2525, 2.17).
pub const LINGER: Duration = Duration::from_secs(5);

/// How many interests a link has.
pub(super) const INTERESTS: usize = 5;

/// What is to be done about one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    /// It has ended, and what was taken from its source has yet to be delivered.
    Ending,
    Closed,
}

/// A connection in the bridge. Neither socket ever blocks.
pub(super) struct Link {
    /// Our end of the socket pair.
    user: UnixStream,
    tcp: TcpStream,
    tls: ClientConnection,
    /// From the user to the peer.
    out: Direction,
    /// From the peer to the user.
    back: Direction,
    /// What came from the peer and rustls has yet to decrypt: `sealed[start..end]`.
    sealed: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether decrypted bytes wait for the user to read.
    waiting: bool,
    /// Whether nobody reads them any more.
    deaf: bool,
    /// When to give up, once the user has closed.
    gone: Option<Instant>,
}

impl Link {
    pub(super) fn new(user: UnixStream, tcp: TcpStream, tls: ClientConnection) -> Link {
        let (out, back) = (Direction::Open, Direction::Open);
        let sealed = vec![0; CHUNK].into_boxed_slice();
        // The end of the handshake may have come with the first data: the first turn looks.
        let (start, end, waiting) = (0, 0, true);
        Link { user, tcp, tls, out, back, sealed, start, end, waiting, deaf: false, gone: None }
    }

    /// What to wait for. No direction waits for the other, so neither can block the other.
    pub(super) fn interests(&self) -> [Interest<'_>; INTERESTS] {
        let (user, tcp) = (self.user.as_fd(), self.tcp.as_fd());
        let when = |wanted, interest| if wanted { interest } else { Interest::Nothing };
        let unsent = self.tls.wants_write() && self.out != Direction::Closed;
        [
            when(self.out == Direction::Open && !unsent, Interest::Read(user)),
            when(self.waiting, Interest::Write(user)),
            when(self.back == Direction::Open && !self.waiting, Interest::Read(tcp)),
            when(unsent, Interest::Write(tcp)),
            when(self.gone.is_none(), Interest::HangUp(user)),
        ]
    }

    /// When the next turn is due even if nothing is ready.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.gone
    }

    /// Goes on as far as it can without blocking; `ready` is for [`interests`](Link::interests). Says whether there
    /// is more to come.
    pub(super) fn turn(&mut self, ready: &[Ready], now: Instant, chunk: &mut [u8]) -> bool {
        let [from_user, to_user, from_peer, to_peer, hang_up] = *ready else {
            return self.turn(&[Ready::default(); INTERESTS], now, chunk);
        };
        if hang_up.now && self.gone.is_none() {
            self.gone = Some(now + LINGER);
            self.deaf = true;
            if self.out == Direction::Closed {
                let _ = self.tcp.shutdown(Shutdown::Write);
            }
        }
        if to_user.now || from_peer.now || self.waiting && self.deaf {
            self.inward(from_peer.now);
        }
        if from_user.now || to_peer.now || self.tls.wants_write() {
            let before = self.out;
            if self.outward(chunk) || self.out != before {
                self.gone = self.gone.map(|_| now + LINGER);
            }
        }
        let done = self.out == Direction::Closed && self.back == Direction::Closed;
        !done && self.gone.is_none_or(|deadline| now < deadline)
    }

    /// Decrypts and delivers; reads from the peer at most once, so that other connections get their turn.
    fn inward(&mut self, mut may_read: bool) {
        while self.back != Direction::Closed && self.deliver() {
            if self.start == self.end {
                if !may_read || self.back == Direction::Ending {
                    return;
                }
                may_read = false;
                match unless_blocked(|| Socket(self.tcp.as_fd()).read(&mut self.sealed)) {
                    Ok(None) => return,
                    // An error is an end without close_notify too.
                    Ok(Some(0)) | Err(_) => self.peer_ended(),
                    Ok(Some(read)) => (self.start, self.end) = (0, read),
                }
            }
            if self.back == Direction::Open {
                self.decrypt();
            }
        }
    }

    /// Gives the next part of what is sealed to rustls.
    fn decrypt(&mut self) {
        let mut sealed = &self.sealed[self.start..self.end];
        let took = self.tls.read_tls(&mut sealed);
        self.start = self.end - sealed.len();
        if took.is_err() || self.tls.process_new_packets().is_err() {
            // What it has said until now was authentic. An alert for it is sent by `cut`.
            (self.start, self.end) = (0, 0);
            self.back = Direction::Ending;
        }
    }

    fn peer_ended(&mut self) {
        // So rustls learns of it. It cannot fail, as its buffer is empty.
        let _ = self.tls.read_tls(&mut io::empty());
        self.back = Direction::Ending;
    }

    /// Writes decrypted bytes to the user. Says whether all of them are.
    fn deliver(&mut self) -> bool {
        self.waiting = false;
        loop {
            let mut reader = self.tls.reader();
            let bytes = match reader.fill_buf() {
                // close_notify
                Ok([]) => {
                    self.back = Direction::Closed;
                    let _ = self.user.shutdown(Shutdown::Write);
                    return true;
                }
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.back == Direction::Ending {
                        self.cut();
                    }
                    return true;
                }
                Err(_) => {
                    self.cut();
                    return true;
                }
            };
            let wrote = match self.deaf {
                true => Ok(Some(bytes.len())),
                false => unless_blocked(|| Socket(self.user.as_fd()).write(bytes)),
            };
            match wrote {
                Ok(Some(wrote)) => reader.consume(wrote),
                Ok(None) => {
                    self.waiting = true;
                    return false;
                }
                Err(_) => self.deaf = true,
            }
        }
    }

    /// The connection ended without close_notify, and all that came has been delivered.
    fn cut(&mut self) {
        // An alert, if there is one to send.
        let _ = self.tls.write_tls(&mut Socket(self.tcp.as_fd()));
        self.out = Direction::Closed;
        self.back = Direction::Closed;
        let _ = self.user.shutdown(Shutdown::Both);
    }

    /// Encrypts and sends; reads from the user at most once. Says whether the peer took anything.
    fn outward(&mut self, chunk: &mut [u8]) -> bool {
        let mut progress = self.send();
        if self.out == Direction::Open && !self.tls.wants_write() {
            match unless_blocked(|| Socket(self.user.as_fd()).read(chunk)) {
                Ok(None) => return progress,
                // An error: closed with bytes of ours unread, unix(7). There are none of theirs left.
                Ok(Some(0)) | Err(_) => {
                    self.tls.send_close_notify();
                    self.out = Direction::Ending;
                }
                Ok(Some(read)) => {
                    let taken = self.tls.writer().write_all(&chunk[..read]);
                    debug_assert!(taken.is_ok(), "its buffer has no limit: {taken:?}");
                }
            }
            progress |= self.send();
        }
        progress
    }

    fn send(&mut self) -> bool {
        let mut progress = false;
        while self.out != Direction::Closed && self.tls.wants_write() {
            match unless_blocked(|| self.tls.write_tls(&mut Socket(self.tcp.as_fd()))) {
                Ok(Some(_)) => progress = true,
                Ok(None) => return progress,
                // It takes no more, but may have said something before.
                Err(_) => {
                    self.out = Direction::Closed;
                    let _ = self.user.shutdown(Shutdown::Read);
                }
            }
        }
        if self.out == Direction::Ending {
            self.out = Direction::Closed;
            if self.gone.is_some() {
                let _ = self.tcp.shutdown(Shutdown::Write);
            }
        }
        progress
    }
}

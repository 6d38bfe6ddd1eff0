//! One TLS connection and the descriptor that stands for it.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustls::Connection;
use thither_term::{Interest, Ready};

use super::socket::{Socket, unless_blocked};

/// How long the peer may make no progress when the descriptor has been closed: it has to take what was written, and
/// then to close its side, lest the kernel discards what is still on its way (RFC 2525, 2.17).
pub const LINGER: Duration = Duration::from_secs(5);

/// How many bytes are read at once. Each read wakes who waits on the other side of a socket pair, and that costs more than moving
/// bytes: 64 KiB at a time, and each record for itself, was half as fast.
const CHUNK: usize = 256 * 1024;

/// Memory that the links of a thread use in turn: those that rest hold none.
pub(super) struct Scratch {
    /// What was read, encrypted or not.
    chunk: Vec<u8>,
    /// What was decrypted; empty between turns.
    plain: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch { chunk: vec![0; CHUNK], plain: Vec::new() }
    }

    /// Takes the memory of bytes that have been delivered.
    fn take_back(&mut self, delivered: &mut Vec<u8>) {
        delivered.clear();
        let memory = std::mem::take(delivered);
        if self.plain.capacity() < memory.capacity() {
            self.plain = memory;
        }
    }
}

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
    tls: Connection,
    /// From the user to the peer.
    out: Direction,
    /// From the peer to the user.
    back: Direction,
    /// What came from the peer, decrypted; the user has yet to take `plain[start..]`. It has no memory while that is nothing.
    plain: Vec<u8>,
    start: usize,
    /// Whether these bytes wait for the user to read.
    waiting: bool,
    /// Whether the peer has sent its close_notify.
    notified: bool,
    /// Whether nobody reads them any more.
    deaf: bool,
    /// When to give up, once the user has closed.
    gone: Option<Instant>,
}

impl Link {
    pub(super) fn new(user: UnixStream, tcp: TcpStream, tls: Connection) -> Link {
        let (out, back) = (Direction::Open, Direction::Open);
        // The end of the handshake may have come with the first data: the first turn looks.
        let (plain, start, waiting) = (Vec::new(), 0, true);
        let (notified, deaf, gone) = (false, false, None);
        Link { user, tcp, tls, out, back, plain, start, waiting, notified, deaf, gone }
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
    pub(super) fn turn(&mut self, ready: &[Ready], now: Instant, scratch: &mut Scratch) -> bool {
        let [from_user, to_user, from_peer, to_peer, hang_up] = *ready else {
            return self.turn(&[Ready::default(); INTERESTS], now, scratch);
        };
        if hang_up.now && self.gone.is_none() {
            self.gone = Some(now + LINGER);
            self.deaf = true;
            if self.out == Direction::Closed {
                let _ = self.tcp.shutdown(Shutdown::Write);
            }
        }
        if to_user.now || from_peer.now || self.waiting && self.deaf {
            self.inward(from_peer.now, scratch);
        }
        if from_user.now || to_peer.now || self.tls.wants_write() {
            let before = self.out;
            if self.outward(&mut scratch.chunk) || self.out != before {
                self.gone = self.gone.map(|_| now + LINGER);
            }
        }
        let done = self.out == Direction::Closed && self.back == Direction::Closed;
        !done && self.gone.is_none_or(|deadline| now < deadline)
    }

    /// Delivers what is left, then decrypts and delivers more of it; reads from the peer at most once, so that other
    /// connections get their turn.
    fn inward(&mut self, may_read: bool, scratch: &mut Scratch) {
        if self.back == Direction::Closed || !self.deliver() {
            return;
        }
        scratch.take_back(&mut self.plain);
        self.start = 0;
        let mut plain = std::mem::take(&mut scratch.plain);
        self.drain(&mut plain);
        if may_read && self.back == Direction::Open {
            match unless_blocked(|| Socket(self.tcp.as_fd()).read(&mut scratch.chunk)) {
                Ok(None) => {}
                // An error is an end without close_notify too.
                Ok(Some(0)) | Err(_) => self.peer_ended(&mut plain),
                Ok(Some(read)) => self.decrypt(&scratch.chunk[..read], &mut plain),
            }
        }
        self.plain = plain;
        if self.deliver() {
            scratch.take_back(&mut self.plain);
            self.start = 0;
        }
    }

    /// Decrypts into `plain`.
    fn decrypt(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) {
        while !sealed.is_empty() && self.back == Direction::Open {
            let took = self.tls.read_tls(&mut sealed);
            let good = took.is_ok_and(|took| took > 0) && self.tls.process_new_packets().is_ok();
            self.drain(plain);
            if !good {
                // What it has said until now was authentic. An alert for it is sent by `cut`.
                self.back = Direction::Ending;
            }
        }
    }

    fn peer_ended(&mut self, plain: &mut Vec<u8>) {
        // So rustls learns of it. It cannot fail, as its buffer is empty.
        let _ = self.tls.read_tls(&mut io::empty());
        self.drain(plain);
        self.back = Direction::Ending;
    }

    /// Takes what rustls has decrypted, and notices an end.
    fn drain(&mut self, plain: &mut Vec<u8>) {
        let mut reader = self.tls.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => {
                    self.notified = true;
                    self.back = Direction::Ending;
                    return;
                }
                Ok(bytes) => {
                    let taken = bytes.len();
                    plain.extend_from_slice(bytes);
                    reader.consume(taken);
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.back = Direction::Ending;
                    }
                    return;
                }
            }
        }
    }

    /// Writes decrypted bytes to the user, and ends this direction after the last of them. Says whether all of them are
    /// written.
    fn deliver(&mut self) -> bool {
        while self.start < self.plain.len() && !self.deaf {
            let bytes = &self.plain[self.start..];
            match unless_blocked(|| Socket(self.user.as_fd()).write(bytes)) {
                Ok(Some(wrote)) => self.start += wrote,
                Ok(None) => {
                    self.waiting = true;
                    return false;
                }
                Err(_) => self.deaf = true,
            }
        }
        self.waiting = false;
        if self.back == Direction::Ending {
            match self.notified {
                true => {
                    self.back = Direction::Closed;
                    let _ = self.user.shutdown(Shutdown::Write);
                }
                false => self.cut(),
            }
        }
        true
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

//! Frames: heads, kinds, and the bytes of small ones. Nothing here knows of sockets or of an operating system.

use std::fmt;

/// The length of a head: the kind, one byte, and how many bytes follow, 32 bits big-endian.
pub const HEAD: usize = 5;
/// The longest piece of a stream in one frame, in bytes: as much as a pipe of Linux may hold for anybody, pipe(7).
pub const LONGEST_DATA: usize = 1024 * 1024;
/// The longest request, in bytes. Linux takes no more arguments and environment than 6 MiB (execve(2)), and 2 MiB by default.
pub const LONGEST_REQUEST: usize = 4 * 1024 * 1024;
/// The longest of all other frames, in bytes.
pub const LONGEST_SMALL: usize = 16 * 1024;
/// The version of this protocol. Both sides say theirs first, and the lower one counts.
pub const VERSION: u16 = 1;
/// How much input a client may have on its way that was not yet granted anew by [`Kind::Credit`], in bytes.
pub const WINDOW: usize = 1024 * 1024;

const MAGIC: &[u8; 7] = b"thither";

/// What a frame is. The high bit says that it comes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `thither` and a version, 16 bits: the first frame of a client.
    Hello = 0x01,
    /// What is wanted, once: a [`Request`](super::Request).
    Request = 0x02,
    /// A piece of the program's input.
    Input = 0x03,
    /// There is no more of it.
    EndInput = 0x04,
    /// Columns and rows, 16 bits each.
    Resize = 0x05,
    /// The number of a signal, as Linux has them, 8 bits.
    Signal = 0x06,
    /// Answered by a pong.
    Ping = 0x07,
    /// Nobody reads this output any more: 1 or 2, 8 bits.
    Unread = 0x08,
    /// As the client's: the first frame of a server.
    Welcome = 0x81,
    /// It runs: its process id over there, 32 bits, or 0.
    Started = 0x82,
    /// It does not, and nothing follows: a [`Refusal`](super::Refusal).
    Refused = 0x83,
    /// A piece of standard output, or of what a terminal shows.
    Output = 0x84,
    /// A piece of standard error.
    Errors = 0x85,
    /// So many bytes more of input may be on their way, 32 bits.
    Credit = 0x86,
    /// A signal has stopped it, 8 bits.
    Stopped = 0x87,
    /// How it ended, after all of its output: 0 and a code of 32 bits, or 1 and a signal of 32 bits. Nothing follows.
    Exited = 0x88,
    /// The answer to a ping.
    Pong = 0x89,
}

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who asks.
    Client,
    /// Who runs things.
    Server,
}

/// What comes is not this protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed frame: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        [
            Hello, Request, Input, EndInput, Resize, Signal, Ping, Unread, Welcome, Started,
            Refused, Output, Errors, Credit, Stopped, Exited, Pong,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }

    /// Who sends it.
    #[must_use]
    pub fn side(self) -> Side {
        if self as u8 & 0x80 == 0 { Side::Client } else { Side::Server }
    }

    /// Whether it is a piece of a stream, which need not be collected.
    #[must_use]
    pub fn is_data(self) -> bool {
        matches!(self, Kind::Input | Kind::Output | Kind::Errors)
    }

    /// The most bytes that may follow its head.
    #[must_use]
    pub fn longest(self) -> usize {
        match self {
            Kind::Request => LONGEST_REQUEST,
            kind if kind.is_data() => LONGEST_DATA,
            _ => LONGEST_SMALL,
        }
    }

    /// Its head, before a body of this length.
    #[must_use]
    pub fn head(self, length: usize) -> [u8; HEAD] {
        debug_assert!(length <= self.longest(), "{self:?} of {length} bytes");
        let [a, b, c, d] = (length as u32).to_be_bytes();
        [self as u8, a, b, c, d]
    }

    /// A whole frame.
    #[must_use]
    pub fn frame(self, body: &[u8]) -> Vec<u8> {
        [&self.head(body.len()), body].concat()
    }
}

/// The first frame of this side.
#[must_use]
pub fn hello(side: Side) -> Vec<u8> {
    let kind = if side == Side::Client { Kind::Hello } else { Kind::Welcome };
    kind.frame(&[&MAGIC[..], &VERSION.to_be_bytes()].concat())
}

/// The version in the body of the other side's first frame. What follows the version is for later ones.
///
/// # Errors
/// When it is not this protocol.
pub fn version(body: &[u8]) -> Result<u16, Malformed> {
    let rest = body.strip_prefix(&MAGIC[..]).ok_or(Malformed("it does not begin as it should"))?;
    let (version, _) = rest.split_first_chunk().ok_or(Malformed("it has no version"))?;
    match u16::from_be_bytes(*version) {
        0 => Err(Malformed("there is no version 0")),
        version => Ok(version),
    }
}

/// What has come of the next frame.
#[derive(Debug)]
pub struct Incoming {
    from: Side,
    head: [u8; HEAD],
    have: usize,
    /// A body that is collected, with room for all of it: `body[..filled]` has come.
    body: Vec<u8>,
    filled: usize,
    kind: Option<Kind>,
    /// The longest frame of those that are collected.
    most: usize,
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A piece of a stream begins: its bytes come next, past this.
    Data(Kind, usize),
    /// A whole frame.
    Frame(Kind, Vec<u8>),
}

/// How much room is made at once for a body, in bytes: its length is believed as far as its bytes come.
const ROOM: usize = 64 * 1024;

impl Incoming {
    /// Frames of this side.
    #[must_use]
    pub fn from(side: Side) -> Incoming {
        let (head, body) = ([0; HEAD], Vec::new());
        Incoming { from: side, head, have: 0, body, filled: 0, kind: None, most: LONGEST_REQUEST }
    }

    /// The same, and no frame but a piece of a stream may be longer than this, in bytes.
    #[must_use]
    pub fn at_most(self, most: usize) -> Incoming {
        Incoming { most, ..self }
    }

    /// Whether a frame has come in part.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.have > 0
    }

    /// Where the next bytes belong; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.kind.is_none() {
            return &mut self.head[self.have..];
        }
        let wanted = self.length().min(self.filled + ROOM);
        self.body.resize(wanted, 0);
        &mut self.body[self.filled..]
    }

    /// So many bytes have come there.
    ///
    /// # Errors
    /// For a kind that this side does not send, and a length that it may not have.
    pub fn advance(&mut self, n: usize) -> Result<Option<Arrived>, Malformed> {
        let kind = match self.kind {
            Some(kind) => {
                self.filled += n;
                kind
            }
            None => {
                self.have += n;
                if self.have < HEAD {
                    return Ok(None);
                }
                let kind = self.checked_kind()?;
                if kind.is_data() {
                    let length = self.length();
                    self.have = 0;
                    return Ok(Some(Arrived::Data(kind, length)));
                }
                self.kind = Some(kind);
                kind
            }
        };
        if self.filled < self.length() {
            return Ok(None);
        }
        let body = std::mem::take(&mut self.body);
        (self.have, self.filled, self.kind) = (0, 0, None);
        Ok(Some(Arrived::Frame(kind, body)))
    }

    /// Takes bytes that have come already, as many as belong to the next frame, off their front.
    ///
    /// # Errors
    /// As [`advance`](Incoming::advance).
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Arrived>, Malformed> {
        while !bytes.is_empty() {
            let room = self.room();
            let n = room.len().min(bytes.len());
            let (now, rest) = bytes.split_at(n);
            room[..n].copy_from_slice(now);
            *bytes = rest;
            if let Some(arrived) = self.advance(n)? {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    fn length(&self) -> usize {
        let [_, length @ ..] = self.head;
        u32::from_be_bytes(length) as usize
    }

    fn checked_kind(&self) -> Result<Kind, Malformed> {
        let kind = Kind::of(self.head[0]).ok_or(Malformed("nobody knows its kind"))?;
        if kind.side() != self.from {
            return Err(Malformed("the other side sends its kind"));
        }
        let collected = if kind.is_data() { LONGEST_DATA } else { self.most };
        if self.length() > kind.longest().min(collected) {
            return Err(Malformed("it is too long"));
        }
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(side: Side, mut bytes: &[u8]) -> Result<Vec<Arrived>, Malformed> {
        let mut incoming = Incoming::from(side);
        let mut all = Vec::new();
        while let Some(arrived) = incoming.take(&mut bytes)? {
            if let Arrived::Data(_, length) = arrived {
                bytes = &bytes[length..];
            }
            all.push(arrived);
        }
        Ok(all)
    }

    #[test]
    fn frames_one_after_the_other() {
        let bytes = [
            hello(Side::Client),
            Kind::Input.frame(b"abc"),
            Kind::EndInput.frame(b""),
            Kind::Signal.frame(&[15]),
            Kind::Input.frame(b"")[..4].to_vec(),
        ];
        let expected = [
            Arrived::Frame(Kind::Hello, b"thither\0\x01".to_vec()),
            Arrived::Data(Kind::Input, 3),
            Arrived::Frame(Kind::EndInput, Vec::new()),
            Arrived::Frame(Kind::Signal, vec![15]),
        ];
        assert_eq!(all(Side::Client, &bytes.concat()).unwrap(), expected);
    }

    #[test]
    fn one_byte_after_the_other() {
        let bytes = [Kind::Request.frame(&[7; 100_000]), Kind::Ping.frame(b"")].concat();
        let mut incoming = Incoming::from(Side::Client);
        let mut kinds = Vec::new();
        for (i, byte) in bytes.iter().enumerate() {
            assert_eq!(incoming.is_partial(), i != 0 && i != bytes.len() - HEAD, "{i}");
            let mut one = std::slice::from_ref(byte);
            if let Some(Arrived::Frame(kind, body)) = incoming.take(&mut one).unwrap() {
                kinds.push((kind, body.len()));
            }
        }
        assert_eq!(kinds, [(Kind::Request, 100_000), (Kind::Ping, 0)]);
    }

    #[track_caller]
    fn check_malformed(side: Side, head: [u8; HEAD]) {
        assert!(all(side, &head).is_err(), "{head:?}");
    }

    #[test]
    fn heads_are_not_believed() {
        check_malformed(Side::Client, [0, 0, 0, 0, 0]);
        check_malformed(Side::Client, [0x7f, 0, 0, 0, 0]);
        check_malformed(Side::Client, Kind::Output.head(1));
        check_malformed(Side::Server, Kind::Input.head(1));
        check_malformed(Side::Client, [Kind::Ping as u8, 0, 0, 0x40, 1]);
        check_malformed(Side::Client, [Kind::Input as u8, 0, 0x10, 0, 1]);
        check_malformed(Side::Client, [Kind::Request as u8, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_length_costs_no_memory_before_its_bytes_come() {
        let mut incoming = Incoming::from(Side::Client);
        incoming.take(&mut &Kind::Request.head(LONGEST_REQUEST)[..]).unwrap();
        assert_eq!(incoming.room().len(), ROOM);
    }

    #[test]
    fn a_stranger_may_not_say_much() {
        let check = |kind: Kind, length, good| {
            let mut incoming = Incoming::from(Side::Client).at_most(1000);
            assert_eq!(
                incoming.take(&mut &kind.head(length)[..]).is_ok(),
                good,
                "{kind:?} {length}"
            );
        };
        check(Kind::Request, 1000, true);
        check(Kind::Request, 1001, false);
        check(Kind::Ping, 1001, false);
        check(Kind::Input, LONGEST_DATA, true);
    }

    #[test]
    fn versions() {
        assert_eq!(version(b"thither\0\x01"), Ok(1));
        assert_eq!(version(b"thither\x01\x02 and more"), Ok(258));
        for body in [&b"thither"[..], b"thither\0\0", b"SSH-2.0-x", b""] {
            assert!(version(body).is_err(), "{body:?}");
        }
    }
}

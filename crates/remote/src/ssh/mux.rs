//! A control master, spoken to as OpenSSH's PROTOCOL.mux has it: without another `ssh` process.
//!
//! Each session has a connection of its own. The master is given the descriptors of the session and moves its streams by
//! itself; over the connection come the news: that it is open, its exit code, or the end without one.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::process::Pid;
use thither_place::Endpoint;
use thither_place::peer::peer_of;

/// The version of the protocol: it has been this one since OpenSSH 5.4.
const VERSION: u32 = 4;
/// No news is longer than this, in bytes: texts of a server may be in it.
const LONGEST: usize = 64 * 1024;
/// A master that is there greets at once.
const GREETING: Duration = Duration::from_secs(5);
/// The port that stands for a Unix socket (`PORT_STREAMLOCAL`).
const UNIX: u32 = -2_i32 as u32;

// Types of messages, PROTOCOL.mux, 9.
const HELLO: u32 = 0x0000_0001;
const NEW_SESSION: u32 = 0x1000_0002;
const ALIVE_CHECK: u32 = 0x1000_0004;
const OPEN_FORWARD: u32 = 0x1000_0006;
const CLOSE_FORWARD: u32 = 0x1000_0007;
const OK: u32 = 0x8000_0001;
const DENIED: u32 = 0x8000_0002;
const FAILURE: u32 = 0x8000_0003;
const EXIT: u32 = 0x8000_0004;
const ALIVE: u32 = 0x8000_0005;
const OPENED: u32 = 0x8000_0006;
const NO_TERMINAL: u32 = 0x8000_0008;

/// The one request of a connection has this number.
const REQUEST: u32 = 1;
/// A local forwarding.
const LOCAL: u32 = 1;

/// A connection to a master.
#[derive(Debug)]
pub(crate) struct Mux {
    socket: UnixStream,
    /// What has come of the next message.
    arrived: Vec<u8>,
}

/// What a session is to be.
pub(crate) struct Session<'a> {
    /// The value of `TERM`, if it is to have a terminal: that of the descriptors.
    pub(crate) term: Option<&'a [u8]>,
    /// The line for the login shell; empty for the shell itself.
    pub(crate) line: &'a [u8],
    /// Whether `line` names a subsystem instead.
    pub(crate) subsystem: bool,
    /// Whether the user's agent can be asked from over there.
    pub(crate) agent: bool,
    /// Variables of ours. The master passes on those that the user's `SendEnv` names.
    pub(crate) variables: &'a [Vec<u8>],
}

/// What a master says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The session, or the stream, is there.
    Opened,
    /// A request was done.
    Done,
    /// It is not to be, and why.
    Refused(String),
    /// It ended with this code.
    Exit(u32),
    /// It has no terminal, although one was asked for.
    NoTerminal,
    /// It lives, as this process.
    Alive(u32),
    /// Nothing more will come.
    End,
}

impl Mux {
    /// Greets the master that listens there.
    ///
    /// # Errors
    /// Those of connect(2); `Unsupported` for another version or another user's process; `InvalidData` for what is no master.
    pub(crate) fn connect(path: &Path) -> io::Result<Mux> {
        let socket = dial(path)?;
        let peer = peer_of(&socket)?;
        if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is another user's"));
        }
        socket.set_read_timeout(Some(GREETING))?;
        let mut mux = Mux { socket, arrived: Vec::new() };
        match mux.send(&Message::new(HELLO).number(VERSION)) {
            // Whoever is there has gone already: what it has said tells more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
        let hello = mux.receive().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "the control master does not answer")
            }
            _ => error,
        });
        let hello = hello?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut fields = Fields(&hello);
        if fields.number()? != HELLO {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no control master"));
        }
        match fields.number()? {
            VERSION => Ok(mux),
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the control master speaks version {other} of its protocol, not {VERSION}"),
            )),
        }
    }

    /// The process of the master. That of the socket's peer is the one that has made it, which is gone.
    pub(crate) fn pid(&mut self) -> io::Result<Option<Pid>> {
        self.send(&Message::new(ALIVE_CHECK).number(REQUEST))?;
        match self.wait(Some(GREETING))? {
            News::Alive(pid) => Ok(i32::try_from(pid).ok().and_then(Pid::from_raw)),
            _ => Err(malformed()),
        }
    }

    /// Asks for a session on these descriptors. [`News::Opened`] or [`News::Refused`] follows.
    pub(crate) fn open(
        &mut self,
        session: &Session<'_>,
        fds: [BorrowedFd<'_>; 3],
    ) -> io::Result<()> {
        let message = Message::new(NEW_SESSION)
            .number(REQUEST)
            .text(b"")
            .number(u32::from(session.term.is_some()))
            .number(0) // No X11.
            .number(u32::from(session.agent))
            .number(u32::from(session.subsystem))
            .number(u32::MAX) // No escape character: keys are ours.
            .text(session.term.unwrap_or_default())
            .text(session.line);
        let message =
            session.variables.iter().fold(message, |message, variable| message.text(variable));
        self.send(&message)?;
        fds.into_iter().try_for_each(|fd| self.pass(fd))
    }

    /// Makes the master listen on the Unix socket `here` for what is over there, or no more. [`News::Done`] or
    /// [`News::Refused`] follows.
    pub(crate) fn forward(&mut self, here: &Path, to: &Endpoint, on: bool) -> io::Result<()> {
        let message = Message::new(if on { OPEN_FORWARD } else { CLOSE_FORWARD })
            .number(REQUEST)
            .number(LOCAL)
            .text(here.as_os_str().as_bytes())
            .number(UNIX);
        let message = match to {
            Endpoint::Tcp { host, port } => message.text(host.as_bytes()).number(u32::from(*port)),
            Endpoint::Unix(path) => message.text(path.as_os_str().as_bytes()).number(UNIX),
        };
        self.send(&message)
    }

    /// Waits for the next news, at most so long (`None`: without limit).
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<News> {
        self.socket.set_read_timeout(limit)?;
        self.next()
    }

    /// The next news; `WouldBlock` when there is none yet and the socket does not block.
    pub(crate) fn next(&mut self) -> io::Result<News> {
        match self.receive()? {
            None => Ok(News::End),
            Some(message) => news(&message),
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    fn send(&mut self, message: &Message) -> io::Result<()> {
        let length = (message.0.len() as u32).to_be_bytes();
        self.socket.write_all(&[&length, &message.0[..]].concat())
    }

    /// A descriptor goes with one byte of its own (`mm_send_fd`).
    fn pass(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let byte = [IoSlice::new(&[0])];
        rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &byte, &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// A whole message without its length; `None` at the end. What has come of one is kept if the rest is not there yet.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let wanted = match self.arrived.first_chunk::<4>() {
                None => 4,
                Some(length) => match u32::from_be_bytes(*length) as usize {
                    0..=3 => return Err(malformed()),
                    length if length > LONGEST => return Err(malformed()),
                    length => 4 + length,
                },
            };
            let have = self.arrived.len();
            if have == wanted && wanted > 4 {
                let message = self.arrived.split_off(4);
                self.arrived.clear();
                return Ok(Some(message));
            }
            self.arrived.resize(wanted, 0);
            let read = self.socket.read(&mut self.arrived[have..]);
            self.arrived.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A master that is killed resets what it has not read.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                other => drop(other?),
            }
        }
    }
}

impl AsFd for Mux {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Mux> for OwnedFd {
    fn from(mux: Mux) -> OwnedFd {
        mux.socket.into()
    }
}

/// A connection, without waiting: a master that is stopped accepts none for ever.
pub(super) fn dial(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

fn news(message: &[u8]) -> io::Result<News> {
    let mut fields = Fields(message);
    match fields.number()? {
        OPENED => Ok(News::Opened),
        OK => Ok(News::Done),
        DENIED | FAILURE => {
            fields.number()?;
            Ok(News::Refused(String::from_utf8_lossy(fields.text()?).into_owned()))
        }
        EXIT => {
            fields.number()?;
            Ok(News::Exit(fields.number()?))
        }
        ALIVE => {
            fields.number()?;
            Ok(News::Alive(fields.number()?))
        }
        NO_TERMINAL => Ok(News::NoTerminal),
        _ => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the control master says what nobody understands")
}

/// A message that is written.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u32) -> Message {
        Message(kind.to_be_bytes().into())
    }

    fn number(mut self, number: u32) -> Message {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn text(self, text: &[u8]) -> Message {
        let mut message = self.number(text.len() as u32);
        message.0.extend_from_slice(text);
        message
    }
}

/// What is left to read of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> io::Result<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn text(&mut self) -> io::Result<&'a [u8]> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &[u8], expected: Option<News>) {
        assert_eq!(news(message).ok(), expected);
    }

    #[test]
    fn what_a_master_says() {
        check(&Message::new(OPENED).number(1).number(7).0, Some(News::Opened));
        check(&Message::new(EXIT).number(7).number(255).0, Some(News::Exit(255)));
        let refused = Message::new(FAILURE).number(1).text(b"no");
        check(&refused.0, Some(News::Refused("no".into())));
        check(&Message::new(FAILURE).number(1).number(9).0, None);
        check(&Message::new(EXIT).0, None);
        check(&Message::new(77).0, None);
        check(b"", None);
    }

    #[track_caller]
    fn check_stream(bytes: &[u8], ends: bool) {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(bytes).unwrap();
        drop(there);
        let mut mux = Mux { socket: here, arrived: Vec::new() };
        assert_eq!(matches!(mux.next(), Ok(News::End)), ends);
    }

    #[test]
    fn lengths_are_not_believed() {
        check_stream(b"", true);
        check_stream(b"\0", false);
        check_stream(b"\0\0\0\0", false);
        check_stream(b"\xff\xff\xff\xff", false);
        check_stream(b"\0\0\0\x08\0\0", false);
    }

    #[test]
    fn half_a_message_waits_for_the_rest() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut mux = Mux { socket: here, arrived: Vec::new() };
        mux.set_nonblocking().unwrap();
        let message = Message::new(EXIT).number(7).number(3).0;
        let bytes = [&(message.len() as u32).to_be_bytes(), &message[..]].concat();
        for byte in &bytes[..bytes.len() - 1] {
            there.write_all(&[*byte]).unwrap();
            assert_eq!(mux.next().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        there.write_all(&bytes[bytes.len() - 1..]).unwrap();
        assert_eq!(mux.next().unwrap(), News::Exit(3));
    }
}

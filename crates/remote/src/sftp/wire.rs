//! Packets over two descriptors, neither of which ever makes the other wait.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use thither_place::error::quoted;
use thither_term::{Interest, poll};

use super::failed::broken;
use super::packet::{LENGTH, MAX_PACKET};

/// After how long without anything whoever waits is told.
const TICK: Duration = Duration::from_millis(200);
/// What is read at once, in bytes.
const CHUNK: usize = 128 * 1024;
/// How much is shown of what is no packet, in bytes.
const SHOWN: usize = 60;

/// Says why a connection was lost.
pub(super) type OnLoss = Box<dyn FnOnce() -> io::Error + Send>;

/// A connection to a server.
pub(super) struct Wire {
    to: File,
    from: File,
    out: Vec<u8>,
    sent: usize,
    chunk: Vec<u8>,
    got: Vec<u8>,
    used: usize,
    /// For how long nothing has come, while it was waited for.
    silence: Duration,
    pub(super) limit: Option<Duration>,
    pub(super) on_loss: Option<OnLoss>,
    /// Whether nothing more can be expected of it.
    pub(super) lost: bool,
}

impl Wire {
    /// Over two descriptors that nobody else uses, which become non-blocking.
    pub(super) fn new(to: OwnedFd, from: OwnedFd) -> io::Result<Wire> {
        for fd in [&to, &from] {
            fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
        }
        Ok(Wire {
            to: to.into(),
            from: from.into(),
            out: Vec::new(),
            sent: 0,
            chunk: vec![0; CHUNK],
            got: Vec::new(),
            used: 0,
            silence: Duration::ZERO,
            limit: None,
            on_loss: None,
            lost: false,
        })
    }

    /// Where packets are appended that are to be sent.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        // There may always be something left: what was sent goes once it is the larger part.
        if self.sent >= self.out.len() / 2 {
            self.out.drain(..std::mem::take(&mut self.sent));
        }
        &mut self.out
    }

    /// The next packet, without its length; what is to be sent is sent meanwhile.
    ///
    /// # Errors
    /// `WouldBlock` after a while without anything; `TimedOut` after `limit`; `UnexpectedEof`, or what `on_loss` gives, at
    /// the end; `InvalidData` for what is no packet.
    pub(super) fn next(&mut self) -> io::Result<Vec<u8>> {
        if self.lost {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let next = self.try_next();
        self.lost = next.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        next
    }

    fn try_next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(packet) = self.whole()? {
                return Ok(packet);
            }
            let left = self.sent < self.out.len();
            let write = if left { Interest::Write(self.to.as_fd()) } else { Interest::Nothing };
            let start = Instant::now();
            let ready = poll(&[write, Interest::Read(self.from.as_fd())], Some(TICK))?;
            let mut moved = false;
            if ready[0].now {
                moved |= self.send()?;
            }
            if ready[1].now {
                moved |= self.receive()?;
            }
            if moved {
                self.silence = Duration::ZERO;
                continue;
            }
            self.silence += start.elapsed();
            if self.limit.is_some_and(|limit| self.silence >= limit) {
                let text = "the sftp server does not answer";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            if !ready[0].now && !ready[1].now {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    /// Counts silence from now on: nothing was asked before.
    pub(super) fn asked(&mut self) {
        self.silence = Duration::ZERO;
    }

    fn whole(&mut self) -> io::Result<Option<Vec<u8>>> {
        let got = &self.got[self.used..];
        let Some((length, rest)) = got.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > MAX_PACKET {
            return Err(no_packet(got));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let packet = rest[..length].to_vec();
        self.used += LENGTH + length;
        Ok(Some(packet))
    }

    fn send(&mut self) -> io::Result<bool> {
        match self.to.write(&self.out[self.sent..]) {
            Ok(sent) => {
                self.sent += sent;
                Ok(sent > 0)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            // It may have said something before: that is read until its end comes.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.sent = self.out.len();
                Ok(true)
            }
            Err(_) => Err(self.loss()),
        }
    }

    fn receive(&mut self) -> io::Result<bool> {
        self.got.drain(..std::mem::take(&mut self.used));
        match self.from.read(&mut self.chunk) {
            Ok(0) => Err(self.loss()),
            Ok(read) => {
                self.got.extend_from_slice(&self.chunk[..read]);
                Ok(true)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            Err(_) => Err(self.loss()),
        }
    }

    fn loss(&mut self) -> io::Error {
        let ended = || {
            let text = "the sftp server ended the connection";
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        };
        self.on_loss.take().map_or_else(ended, |on_loss| on_loss())
    }
}

/// Most often what comes there is text: a shell's start-up file that prints something.
fn no_packet(got: &[u8]) -> io::Error {
    let got = &got[..got.len().min(SHOWN)];
    let end = got.iter().position(|&byte| byte == b'\n').unwrap_or(got.len());
    let text = std::os::unix::ffi::OsStrExt::from_bytes(&got[..end]);
    let text: &std::ffi::OsStr = text;
    broken(format_args!("sent what is no packet: {}", quoted(text)))
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

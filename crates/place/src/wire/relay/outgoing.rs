//! What goes over there: input, as far as it is granted, and small frames ahead of it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use thither_term::{Watch, WindowSize};

use super::{Broken, INPUT, STEP, lost};
use crate::wire::frame::{HEAD, Kind, WINDOW};

/// The longest piece of input, in bytes: what a pipe holds by default, pipe(7).
const CHUNK: usize = 64 * 1024;

/// The frame on its way, and what is to follow it. All of it is bounded: a size replaces the one before, and a signal that waits
/// to be sent is not noted twice, as in a process, signal(7).
#[derive(Debug)]
pub(super) struct Outgoing {
    /// `frame[start..end]` is on its way.
    frame: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the connection takes nothing for now.
    stuck: bool,
    /// Nobody over there takes anything any more.
    refused: bool,
    size: Option<WindowSize>,
    signals: VecDeque<u8>,
    unread: [bool; 2],
    ping: bool,
    /// How much input may go, in bytes.
    credit: usize,
    source: Option<Source>,
    /// What has come of the input's end.
    ending: Ending,
    is_terminal: bool,
    /// How much was sent in all, in bytes.
    sent: u64,
}

#[derive(Debug)]
struct Source {
    fd: OwnedFd,
    is_socket: bool,
    /// It cannot be waited for: it is a file.
    always_ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// There may be more input.
    No,
    /// A terminal's, so many times, once all that has been typed is read: there may be more later.
    Drain(usize),
    /// It has ended, and is to be said so.
    Due,
    /// That was said, or there has never been any.
    Said,
}

/// What came of reading.
enum Next {
    Frame,
    Nothing,
}

impl Outgoing {
    pub(super) fn new(input: Option<OwnedFd>, is_terminal: bool) -> io::Result<Outgoing> {
        let ending = if input.is_some() { Ending::No } else { Ending::Said };
        let source = match input {
            Some(fd) => {
                let is_socket = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Socket;
                Some(Source { fd, is_socket, always_ready: false })
            }
            None => None,
        };
        Ok(Outgoing {
            frame: Vec::new(),
            start: 0,
            end: 0,
            stuck: false,
            refused: false,
            size: None,
            signals: VecDeque::new(),
            unread: [false; 2],
            ping: false,
            credit: WINDOW,
            source,
            ending,
            is_terminal,
            sent: 0,
        })
    }

    /// How much was sent in all, in bytes.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn resize(&mut self, size: WindowSize) {
        self.size = Some(size);
    }

    pub(super) fn signal(&mut self, signal: u8) {
        if !self.signals.contains(&signal) {
            self.signals.push_back(signal);
        }
    }

    pub(super) fn unread(&mut self, of: usize) {
        self.unread[of] = true;
    }

    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// So much more may go; never more than the window.
    pub(super) fn credit(&mut self, more: usize) {
        self.credit = self.credit.saturating_add(more).min(WINDOW);
    }

    pub(super) fn end_input(&mut self) {
        self.ending = match self.ending {
            Ending::No if !self.is_terminal => Ending::Due,
            Ending::No => Ending::Drain(1),
            Ending::Drain(times) => Ending::Drain(times.saturating_add(1)),
            ended => ended,
        };
    }

    /// Sends what there is, to a connection that may have been found `writable`, from a source that may have been found
    /// `readable`.
    pub(super) fn send(
        &mut self,
        socket: &OwnedFd,
        readable: bool,
        writable: bool,
    ) -> Result<(), Broken> {
        self.stuck &= !writable;
        let mut may_read = readable;
        let mut sent = 0;
        while sent < STEP && !self.stuck && !self.refused {
            if self.start == self.end {
                if self.next_small() {
                    continue;
                }
                match self.next_input(&mut may_read)? {
                    Next::Frame => continue,
                    Next::Nothing => break,
                }
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(socket, &self.frame[self.start..self.end], flags) {
                Ok(n) => {
                    self.start += n;
                    sent += n;
                    self.sent += n as u64;
                }
                Err(Errno::AGAIN) => self.stuck = true,
                Err(Errno::INTR) => {}
                // What it has said before that is read to its end.
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => self.refused = true,
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    /// Waits for the source where that is what the next step needs. Says whether it needs the connection.
    pub(super) fn want(&mut self, watch: &mut Watch) -> io::Result<bool> {
        let is_sending = !self.refused && (self.start < self.end || self.has_small());
        let may_read = !self.refused && !is_sending && self.credit > 0;
        if let Some(source) = &mut self.source {
            let over = self.refused || matches!(self.ending, Ending::Due | Ending::Said);
            let waits = may_read && !over && !source.always_ready && self.ending == Ending::No;
            let wanted = if waits { EventFlags::IN } else { EventFlags::empty() };
            source.always_ready |= !watch.want(INPUT, &source.fd, wanted)?;
            if over {
                self.source = None;
            } else if source.always_ready {
                return Ok(is_sending || may_read);
            }
        }
        let is_ending = self.ending == Ending::Due
            || (matches!(self.ending, Ending::Drain(_)) && self.credit > 0);
        Ok(!self.refused && (is_sending || is_ending))
    }

    /// Lets go of the source; nothing more is sent.
    pub(super) fn close(&mut self, watch: &mut Watch) {
        if let Some(source) = self.source.take() {
            let _ = watch.want(INPUT, &source.fd, EventFlags::empty());
        }
        self.refused = true;
    }

    fn has_small(&self) -> bool {
        self.size.is_some() || self.ping || !self.signals.is_empty() || self.unread.contains(&true)
    }

    /// The next small frame goes on its way.
    fn next_small(&mut self) -> bool {
        if let Some(WindowSize { cols, rows }) = self.size.take() {
            self.put(Kind::Resize, &[cols.to_be_bytes(), rows.to_be_bytes()].concat());
        } else if let Some(signal) = self.signals.pop_front() {
            self.put(Kind::Signal, &[signal]);
        } else if let Some(of) = self.unread.iter().position(|unread| *unread) {
            self.unread[of] = false;
            self.put(Kind::Unread, &[of as u8 + 1]);
        } else if std::mem::take(&mut self.ping) {
            self.put(Kind::Ping, &[]);
        } else {
            return false;
        }
        true
    }

    fn put(&mut self, kind: Kind, body: &[u8]) {
        let length = HEAD + body.len();
        if self.frame.len() < length {
            self.frame.resize(length, 0);
        }
        self.frame[..HEAD].copy_from_slice(&kind.head(body.len()));
        self.frame[HEAD..length].copy_from_slice(body);
        (self.start, self.end) = (0, length);
    }

    /// The next piece of input goes on its way, or the news of its end.
    fn next_input(&mut self, may_read: &mut bool) -> Result<Next, Broken> {
        if self.ending == Ending::Due {
            self.put(Kind::EndInput, &[]);
            self.ending = Ending::Said;
            return Ok(Next::Frame);
        }
        let Some(source) = &self.source else { return Ok(Next::Nothing) };
        // A socket never blocks us, so it need not be asked whether it has anything.
        let draining = matches!(self.ending, Ending::Drain(_));
        if self.ending == Ending::Said
            || self.credit == 0
            || !(*may_read || draining || source.always_ready)
        {
            return Ok(Next::Nothing);
        }
        self.frame.resize(HEAD + CHUNK, 0);
        let room = &mut self.frame[HEAD..][..CHUNK.min(self.credit)];
        let read = match source.is_socket {
            true => recv(&source.fd, room, RecvFlags::DONTWAIT).map(|(n, _)| n),
            false => {
                // Others than files may be read once each time that they were found ready.
                *may_read = source.always_ready;
                rustix::io::read(&source.fd, room)
            }
        };
        match read {
            Ok(n @ 1..) => {
                self.frame[..HEAD].copy_from_slice(&Kind::Input.head(n));
                (self.start, self.end) = (0, HEAD + n);
                self.credit -= n;
                return Ok(Next::Frame);
            }
            Err(Errno::AGAIN) if draining => {
                self.ending = match self.ending {
                    Ending::Drain(times) if times > 1 => Ending::Drain(times - 1),
                    _ => Ending::No,
                };
                self.put(Kind::EndInput, &[]);
                return Ok(Next::Frame);
            }
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Next::Nothing),
            // The end; of a terminal that hung up, or of a socket whose other end was closed, too.
            Ok(0) | Err(Errno::IO | Errno::CONNRESET) => self.ending = Ending::Due,
            Err(error) => return Err(Broken::Input(error.into())),
        }
        Ok(Next::Frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn small_frames_go_ahead_of_input_and_its_ends_after() {
        let (socket, mut server) = UnixStream::pair().unwrap();
        let (source, mut typing) = UnixStream::pair().unwrap();
        typing.write_all(b"typed").unwrap();
        let mut outgoing = Outgoing::new(Some(source.into()), true).unwrap();
        outgoing.end_input();
        outgoing.end_input();
        for signal in [15, 2, 15] {
            outgoing.signal(signal);
        }
        outgoing.resize(WindowSize { cols: 1, rows: 1 });
        outgoing.resize(WindowSize { cols: 80, rows: 24 });
        outgoing.send(&socket.into(), false, true).unwrap();
        let mut said = Vec::new();
        server.read_to_end(&mut said).unwrap();
        let expected = [
            Kind::Resize.frame(&[0, 80, 0, 24]),
            Kind::Signal.frame(&[15]),
            Kind::Signal.frame(&[2]),
            Kind::Input.frame(b"typed"),
            Kind::EndInput.frame(b""),
            Kind::EndInput.frame(b""),
        ];
        assert_eq!(said, expected.concat());
    }
}

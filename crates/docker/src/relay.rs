//! The connection of a program's streams joined to where they come from and go to, in the caller's own loop.
//!
//! Nothing here blocks, and there is no thread: what is waited for is readable from one descriptor, and
//! [`Relay::step`] moves what can be moved. Payload for a pipe goes there by splice(2). While the destination of a
//! frame takes nothing, nothing more is read, so a blocked standard output delays standard error; the input goes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use thither_term::{Destination, Drained, Spliced, Watch};

use crate::frame::{self, Of};
use crate::input::{Input, Sent};

mod excuse;

use self::excuse::{MAX_REFUSAL, Refusal};

/// What is read at once for a destination that is no pipe, in bytes.
const CHUNK: usize = 64 * 1024;
/// Payload from this length on goes to a pipe by splice(2); below it costs a page of the pipe for little, in bytes.
const WORTH_SPLICING: usize = 4096;
/// What one step moves at most, so that its caller gets to signals and keys, in bytes.
const STEP: usize = 4 * 1024 * 1024;
const SOCKET: usize = 0;
const OUT: [usize; 2] = [1, 2];
const INPUT: usize = 3;

/// Whether a stream is in frames: known from what was asked for, never from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Raw bytes: the program has a terminal.
    Raw,
    /// Frames: it has none.
    Frames,
}

/// What becomes of the other side when our input has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// Our half of the connection is closed, and with it the program's input.
    HalfClose,
    /// VEOF is typed, which ends the input of a terminal in its default modes.
    Type,
    /// Nothing: the program's input stays open for others. An engine that sees our half close would end the output, too
    /// (moby's `AttachStreams`).
    Nothing,
}

/// VEOF of a terminal's default modes.
pub(crate) const END_OF_INPUT: u8 = 4;

/// Why a relay cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What comes is not in frames.
    Garbage(String),
    /// The connection failed, or ended in the middle of a frame.
    Lost(Option<io::Error>),
    /// A destination failed: 1 or 2.
    Output(usize, io::Error),
    /// The input cannot be read.
    Input(io::Error),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to come.
    Going,
    /// The same, and what has come so far reads like an engine's excuse: it is held back until it is known that there is
    /// a process, by [`Relay::no_excuse`].
    Excuse,
    /// Destination 1 or 2 was found to be gone, just now; what is for it is dropped from here on.
    Closed(usize),
    /// The program's output has ended, and all of it is delivered.
    Ended,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Relay {
    socket: OwnedFd,
    frame: Frame,
    /// `None` for what nobody wants.
    out: [Option<Destination<'static>>; 2],
    /// What was read for `out[of]` and is not written yet: `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    /// Whether the destination of the moment takes nothing.
    full: bool,
    input: Option<Input>,
    at_end: AtEnd,
    watch: Watch,
    ended: bool,
    refusal: Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Raw,
    Head { bytes: [u8; frame::HEAD], have: usize },
    Payload { of: usize, left: usize },
}

const NEXT: Frame = Frame::Head { bytes: [0; frame::HEAD], have: 0 };

impl Relay {
    /// `socket` has `O_NONBLOCK`.
    pub(crate) fn new(
        socket: OwnedFd,
        format: Format,
        out: [Option<Destination<'static>>; 2],
        input: Option<Input>,
    ) -> io::Result<Relay> {
        let mut relay = Relay {
            socket,
            frame: if format == Format::Raw { Frame::Raw } else { NEXT },
            out,
            buffer: Vec::new(),
            start: 0,
            full: false,
            input,
            at_end: AtEnd::HalfClose,
            watch: Watch::new()?,
            ended: false,
            refusal: Refusal::No,
        };
        relay.want()?;
        Ok(relay)
    }

    /// The same with another end of the input.
    pub(crate) fn at_end(self, at_end: AtEnd) -> Relay {
        Relay { at_end, ..self }
    }

    /// Moves what can be moved now.
    pub(crate) fn step(&mut self) -> Result<Step, Broken> {
        let ready = self.watch.ready().map_err(|error| Broken::Lost(Some(error)))?;
        let mut step = self.output(ready)?;
        self.send_input(ready)?;
        if self.ended && step == Step::Going {
            step = Step::Ended;
        } else if step == Step::Going && matches!(self.refusal, Refusal::Coming(..)) {
            step = Step::Excuse;
        }
        self.want().map_err(|error| Broken::Lost(Some(error)))?;
        Ok(step)
    }

    /// Nothing more is sent.
    pub(crate) fn end_input(&mut self) {
        let Some(input) = self.input.take() else { return };
        // It was never waited for, or is not any more.
        let _ = self.watch.want(INPUT, input.as_fd(), EventFlags::empty());
        match self.at_end {
            // One that is gone already (ENOTCONN) needs no telling.
            AtEnd::HalfClose => {
                let _ = shutdown(&self.socket, Shutdown::Write);
            }
            // One byte always fits where all before it did, or the program reads no more.
            AtEnd::Type => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let _ = send(&self.socket, &[END_OF_INPUT], flags);
            }
            AtEnd::Nothing => {}
        }
    }

    /// Closes both ends of what it joins.
    pub(crate) fn let_go(&mut self) {
        self.out = [None, None];
        self.input = None;
    }

    fn output(&mut self, ready: [EventFlags; 8]) -> Result<Step, Broken> {
        if self.full && OUT.iter().all(|&slot| ready[slot].is_empty()) {
            return Ok(Step::Going);
        }
        self.full = false;
        let mut moved = 0;
        while moved < STEP && !self.ended && !self.full {
            let n = match self.frame {
                Frame::Raw => match self.payload(0, CHUNK)? {
                    Moved::Bytes(n) => n,
                    Moved::Closed(of) => return Ok(Step::Closed(of)),
                    Moved::Nothing => break,
                },
                Frame::Payload { of, left } if left > 0 || self.start < self.buffer.len() => {
                    match self.payload(of, left)? {
                        Moved::Bytes(n) => n,
                        Moved::Closed(of) => return Ok(Step::Closed(of)),
                        Moved::Nothing => break,
                    }
                }
                Frame::Payload { .. } => {
                    self.frame = NEXT;
                    0
                }
                Frame::Head { bytes, have } => match self.head(bytes, have)? {
                    Some(n) => n,
                    None => break,
                },
            };
            moved += n;
        }
        Ok(Step::Going)
    }

    /// Reads a frame's head, or a part of it; `None` when there is nothing to read.
    fn head(&mut self, mut bytes: [u8; frame::HEAD], have: usize) -> Result<Option<usize>, Broken> {
        let n = match recv(&self.socket, &mut bytes[have..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(Broken::Lost(Some(error.into()))),
            Ok((0, _)) if have > 0 => return Err(Broken::Lost(None)),
            Ok((0, _)) => {
                self.ended = true;
                return Ok(None);
            }
            Ok((n, _)) => n,
        };
        self.frame = match have + n {
            frame::HEAD => {
                let (of, length) = frame::parse(bytes).map_err(Broken::Garbage)?;
                let of = match of {
                    Of::Stdout => 0,
                    Of::Stderr => 1,
                };
                Frame::Payload { of, left: length as usize }
            }
            have => Frame::Head { bytes, have },
        };
        Ok(Some(n))
    }

    /// Moves payload, `most` bytes of it.
    fn payload(&mut self, of: usize, most: usize) -> Result<Moved, Broken> {
        if self.start < self.buffer.len() {
            return self.write_held(of);
        }
        if self.refusal != Refusal::No && !self.is_refusal(of, most)? {
            return Ok(Moved::Nothing);
        }
        if let (Refusal::No, Some(out)) = (&self.refusal, &self.out[of])
            && out.is_pipe()
            && most >= WORTH_SPLICING
        {
            let spliced = out.splice_from(&self.socket, most);
            return match spliced.map_err(|error| Broken::Output(of, error))? {
                Spliced::Bytes(n) => {
                    self.take(n);
                    Ok(Moved::Bytes(n))
                }
                Spliced::Nothing => Ok(Moved::Nothing),
                Spliced::Full => {
                    self.full = true;
                    Ok(Moved::Nothing)
                }
                Spliced::End => self.end_of_payload(),
                Spliced::Closed => self.closed(of),
            };
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.resize(most.min(CHUNK), 0);
        let received = recv(&self.socket, &mut *bytes, RecvFlags::DONTWAIT);
        bytes.truncate(received.map_or(0, |(n, _)| n));
        self.buffer = bytes;
        self.start = 0;
        match received {
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(error) => Err(Broken::Lost(Some(error.into()))),
            Ok((0, _)) => self.end_of_payload(),
            Ok((n, _)) => {
                self.take(n);
                self.deliver(of, n)
            }
        }
    }

    /// What was just read into the buffer goes on its way.
    fn deliver(&mut self, of: usize, n: usize) -> Result<Moved, Broken> {
        if let Refusal::Coming(whose, text) = &mut self.refusal {
            if *whose == of && text.len() + n <= MAX_REFUSAL {
                text.extend_from_slice(&self.buffer[..n]);
                self.start = self.buffer.len();
                return Ok(Moved::Bytes(n));
            }
            // No engine says so much, nor anything else.
            let (whose, text) = (*whose, std::mem::take(text));
            self.refusal = Refusal::No;
            let now = std::mem::replace(&mut self.buffer, text);
            if whose == of {
                self.buffer.extend_from_slice(&now);
            } else {
                self.write_all(whose)?;
                (self.buffer, self.start) = (now, 0);
            }
        }
        // A blocking pipe may be full: it is asked before each write. Others say so themselves.
        if self.out[of].as_ref().is_some_and(|out| out.is_always_ready() || !out.is_pipe()) {
            return self.write_held(of);
        }
        match &self.out[of] {
            None => self.start = self.buffer.len(),
            Some(out) => {
                let ready = [thither_term::Interest::Write(out.as_fd())];
                let ready = thither_term::poll(&ready, Some(std::time::Duration::ZERO));
                if ready.map_err(|error| Broken::Output(of, error))?[0].now {
                    return self.write_held(of);
                }
                self.full = true;
            }
        }
        Ok(Moved::Bytes(n))
    }

    fn write_held(&mut self, of: usize) -> Result<Moved, Broken> {
        match self.write(of)? {
            0 if self.out[of].is_none() => self.closed(of),
            0 => {
                self.full = true;
                Ok(Moved::Nothing)
            }
            n => {
                // The rest waits for its own readiness: what blocks may be written once after each poll.
                self.full = self.start < self.buffer.len();
                Ok(Moved::Bytes(n))
            }
        }
    }

    /// Writes what is held, once. No bytes mean that nothing was taken, or that the destination is gone.
    fn write(&mut self, of: usize) -> Result<usize, Broken> {
        let Some(out) = &self.out[of] else { return Ok(0) };
        match out.write(&self.buffer[self.start..]).map_err(|error| Broken::Output(of, error))? {
            Drained::Bytes(n) => {
                self.start += n;
                Ok(n)
            }
            Drained::Nothing => Ok(0),
            Drained::Closed => {
                let slot = OUT[of];
                if let Some(out) = self.out[of].take() {
                    let _ = self.watch.want(slot, out, EventFlags::empty());
                }
                Ok(0)
            }
        }
    }

    /// Writes what is held, however long that takes.
    fn write_all(&mut self, of: usize) -> Result<(), Broken> {
        while self.start < self.buffer.len() && self.out[of].is_some() {
            if self.write(of)? == 0
                && let Some(out) = &self.out[of]
            {
                let out = thither_term::Interest::Write(out.as_fd());
                thither_term::poll(&[out], None).map_err(|error| Broken::Output(of, error))?;
            }
        }
        Ok(())
    }

    fn closed(&mut self, of: usize) -> Result<Moved, Broken> {
        if let Some(out) = self.out[of].take() {
            let _ = self.watch.want(OUT[of], out, EventFlags::empty());
        }
        self.start = self.buffer.len();
        Ok(Moved::Closed(of))
    }

    fn take(&mut self, n: usize) {
        if let Frame::Payload { left, .. } = &mut self.frame {
            *left -= n;
        }
    }

    fn end_of_payload(&mut self) -> Result<Moved, Broken> {
        match self.frame {
            Frame::Raw => {
                self.ended = true;
                Ok(Moved::Nothing)
            }
            _ => Err(Broken::Lost(None)),
        }
    }

    fn send_input(&mut self, ready: [EventFlags; 8]) -> Result<(), Broken> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let readable = !ready[INPUT].is_empty();
        let writable = ready[SOCKET].intersects(EventFlags::OUT | EventFlags::ERR);
        match input.send(&self.socket, readable, writable, STEP).map_err(Broken::Input)? {
            Sent::Some => Ok(()),
            // The program has closed its input, or is gone: no error, as for a pipe's writer that ignores SIGPIPE.
            Sent::Ended | Sent::Refused => {
                self.end_input();
                Ok(())
            }
        }
    }

    /// Waits for what can go on.
    fn want(&mut self) -> io::Result<()> {
        let mut socket = EventFlags::empty();
        if !self.full && !self.ended {
            socket |= EventFlags::IN;
        }
        if let Some(input) = &mut self.input {
            let mut wants_in = input.waits_for_source();
            if wants_in && !self.watch.want(INPUT, &*input, EventFlags::IN)? {
                input.is_always_ready();
                wants_in = false;
            }
            if !wants_in {
                self.watch.want(INPUT, &*input, EventFlags::empty())?;
                socket |= EventFlags::OUT;
            }
        }
        self.watch.want(SOCKET, &self.socket, socket)?;
        let current = match self.frame {
            Frame::Payload { of, .. } => Some(of),
            Frame::Raw => Some(0),
            Frame::Head { .. } => None,
        };
        for (of, (out, slot)) in self.out.iter().zip(OUT).enumerate() {
            let wanted = match self.full && current == Some(of) {
                true => EventFlags::OUT,
                false => EventFlags::empty(),
            };
            if let Some(out) = out {
                self.watch.want(slot, out, wanted)?;
            }
        }
        Ok(())
    }
}

/// What came of moving payload.
enum Moved {
    Bytes(usize),
    Nothing,
    Closed(usize),
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(test)]
mod tests;

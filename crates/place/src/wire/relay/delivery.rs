//! Output, on its way from the connection to who reads it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use thither_term::{Destination, Drained, Interest, Spliced, Watch, poll};

use super::{Broken, OUT, Ready, lost};

/// What is read at once for a destination that is no pipe, in bytes.
const CHUNK: usize = 64 * 1024;
/// Payload from this length on goes to a pipe by splice(2); below it costs a page of the pipe for little, in bytes.
const WORTH_SPLICING: usize = 4096;

/// Two destinations, and what was read for one of them and is not written yet.
#[derive(Debug)]
pub(super) struct Delivery {
    out: [Out; 2],
    /// `buffer[start..end]` is for `out[of]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    of: usize,
    /// Whether the destination of the moment takes nothing.
    full: bool,
}

#[derive(Debug)]
enum Out {
    Wanted(Destination<'static>),
    /// Nobody reads it any more, which was not said yet.
    Lost(Destination<'static>),
    /// Dropped from here on.
    Gone,
    Never,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Bytes(usize),
    /// There is nothing, or nobody takes it now.
    Nothing,
}

impl Delivery {
    pub(super) fn new(out: [Option<OwnedFd>; 2]) -> io::Result<Delivery> {
        let of = |fd: Option<OwnedFd>| {
            Ok::<_, io::Error>(match fd {
                Some(fd) => Out::Wanted(Destination::new(fd)?),
                None => Out::Never,
            })
        };
        let [stdout, stderr] = out;
        let out = [of(stdout)?, of(stderr)?];
        Ok(Delivery { out, buffer: Vec::new(), start: 0, end: 0, of: 0, full: false })
    }

    pub(super) fn was_asked_for(&self, of: usize) -> bool {
        !matches!(self.out[of], Out::Never)
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether something is to be written before more is taken.
    pub(super) fn holds(&self) -> bool {
        self.start < self.end
    }

    /// Whether anything can be delivered by now.
    pub(super) fn go_on(&mut self, ready: &Ready) -> bool {
        if OUT.iter().any(|&slot| !ready[slot].is_empty()) {
            self.full = false;
        }
        !self.full
    }

    /// Nobody reads it any more.
    pub(super) fn lost_reader(&mut self, of: usize) {
        self.out[of] = match std::mem::replace(&mut self.out[of], Out::Gone) {
            Out::Wanted(out) => Out::Lost(out),
            other => other,
        };
        if self.of == of {
            (self.start, self.end, self.full) = (0, 0, false);
        }
    }

    /// Whether nobody reads it any more, which is not known over there.
    pub(super) fn has_lost_reader(&self, of: usize) -> bool {
        matches!(self.out[of], Out::Lost(_))
    }

    /// Takes at most so many bytes from a non-blocking socket for a destination.
    pub(super) fn take(
        &mut self,
        socket: &OwnedFd,
        of: usize,
        most: usize,
    ) -> Result<Taken, Broken> {
        self.of = of;
        if let Out::Wanted(out) = &self.out[of]
            && out.is_pipe()
            && most >= WORTH_SPLICING
        {
            return match out.splice_from(socket, most).map_err(lost)? {
                Spliced::Bytes(n) => Ok(Taken::Bytes(n)),
                Spliced::Nothing => Ok(Taken::Nothing),
                Spliced::Full => {
                    self.full = true;
                    Ok(Taken::Nothing)
                }
                Spliced::End => Err(Broken::Lost(None)),
                Spliced::Closed => {
                    self.lost_reader(of);
                    Ok(Taken::Bytes(0))
                }
            };
        }
        self.buffer.resize(CHUNK, 0);
        match recv(socket, &mut self.buffer[..most.min(CHUNK)], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(Taken::Nothing),
            Err(error) => Err(lost(error)),
            Ok((0, _)) => Err(Broken::Lost(None)),
            Ok((n, _)) => {
                let held = if let Out::Wanted(_) = self.out[of] { n } else { 0 };
                (self.start, self.end) = (0, held);
                Ok(Taken::Bytes(n))
            }
        }
    }

    /// Writes what is held, once, and says how much.
    pub(super) fn write(&mut self) -> Result<usize, Broken> {
        let of = self.of;
        let failed = |error| Broken::Output(of, error);
        let Out::Wanted(out) = &self.out[of] else {
            (self.start, self.end) = (0, 0);
            return Ok(0);
        };
        if out.may_block() {
            let ready = poll(&[Interest::Write(out.as_fd())], Some(Duration::ZERO));
            if !ready.map_err(failed)?[0].now {
                self.full = true;
                return Ok(0);
            }
        }
        match out.write(&self.buffer[self.start..self.end]).map_err(failed)? {
            Drained::Bytes(n) => {
                self.start += n;
                return Ok(n);
            }
            Drained::Nothing => self.full = true,
            Drained::Closed => self.lost_reader(of),
        }
        Ok(0)
    }

    /// Waits for the destination of the moment where that takes nothing.
    pub(super) fn want(&mut self, watch: &mut Watch) -> io::Result<()> {
        for (of, (out, slot)) in self.out.iter_mut().zip(OUT).enumerate() {
            match out {
                Out::Wanted(out) => {
                    let full = self.full && self.of == of;
                    let wanted = if full { EventFlags::OUT } else { EventFlags::empty() };
                    // What cannot be waited for is tried again.
                    self.full &= watch.want(slot, &*out, wanted)? || !full;
                }
                Out::Lost(lost) => {
                    watch.want(slot, &*lost, EventFlags::empty())?;
                    *out = Out::Gone;
                }
                Out::Gone | Out::Never => {}
            }
        }
        Ok(())
    }

    /// Closes both.
    pub(super) fn close(&mut self, watch: &mut Watch) {
        for (out, slot) in self.out.iter_mut().zip(OUT) {
            if let Out::Wanted(out) | Out::Lost(out) = &*out {
                let _ = watch.want(slot, out, EventFlags::empty());
            }
            *out = Out::Gone;
        }
        (self.start, self.end, self.full) = (0, 0, false);
    }
}

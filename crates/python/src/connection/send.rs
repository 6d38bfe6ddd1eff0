//! Frames on their way.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::{Connection, Leader, lock, references};
use crate::channel::{Frame, Outgoing, readable, wait};
use crate::frame::{Header, kind};
use crate::marshal::{Encoded, Reference};
use crate::{Error, Result};

/// Payloads up to this are sent together with what is before them, in bytes.
const SMALL: usize = 4096;
/// So much is gathered at most, in bytes.
const GATHERED: usize = 32 * 1024;
/// Where the flags are in a header.
const FLAGS: usize = 5;
/// The flag that says that more calls follow at once, so that replies can be gathered, too.
const MORE: u8 = 0x80;

impl Connection {
    /// Sends a frame whole, and what is to be let go before it. While the other side does not read, this reads: it may
    /// wait for us to.
    pub(crate) fn send(
        self: &Arc<Self>,
        header: Header,
        payload: &[u8],
        raws: &[Vec<u8>],
    ) -> Result<()> {
        self.send_soon(header, payload, raws, false)
    }

    /// The same; with `later` it may be gathered with others that follow, until a caller waits or a moment is over.
    pub(super) fn send_soon(
        self: &Arc<Self>,
        header: Header,
        payload: &[u8],
        raws: &[Vec<u8>],
        later: bool,
    ) -> Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::protocol("a value of more than 4 GiB"))?;
        let header = Header { length, ..header };
        let dropped = self.take_dropped();
        let mut outgoing = lock(&self.outgoing);
        outgoing.gathered.extend_from_slice(&dropped);
        let at = outgoing.gathered.len();
        outgoing.gathered.extend_from_slice(&header.to_bytes());
        let is_small = payload.len() <= SMALL && raws.is_empty();
        if is_small {
            outgoing.gathered.extend_from_slice(payload);
            if later && outgoing.gathered.len() < GATHERED {
                outgoing.gathered[at + FLAGS] |= MORE;
                outgoing.last = Some(at + FLAGS);
                if !self.unsent.swap(true, Ordering::SeqCst) {
                    drop(outgoing);
                    self.wake_idle();
                }
                return Ok(());
            }
        }
        self.unsent.store(false, Ordering::SeqCst);
        // It is followed by this one.
        outgoing.last = None;
        let head = std::mem::take(&mut outgoing.gathered);
        match is_small {
            true => self.write(&outgoing, &[&head])?,
            false => self.write(&outgoing, &[&head, payload])?,
        }
        for raw in raws {
            self.write(&outgoing, &[raw])?;
        }
        // Its room is used again.
        outgoing.gathered = head;
        outgoing.gathered.clear();
        Ok(())
    }

    /// Sends what was gathered.
    pub(super) fn flush(self: &Arc<Self>) -> Result<()> {
        if !self.unsent.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let mut outgoing = lock(&self.outgoing);
        let mut gathered = std::mem::take(&mut outgoing.gathered);
        if let Some(last) = outgoing.last.take() {
            gathered[last] &= !MORE;
        }
        self.write(&outgoing, &[&gathered])?;
        gathered.clear();
        outgoing.gathered = gathered;
        Ok(())
    }

    pub(super) fn write(self: &Arc<Self>, outgoing: &Outgoing, parts: &[&[u8]]) -> Result<()> {
        let mut parts: Vec<&[u8]> = parts.to_vec();
        loop {
            let mut written = outgoing.write(&parts)?;
            let stuck = written == 0;
            while let Some(first) = parts.first_mut() {
                if written < first.len() {
                    *first = &first[written..];
                    break;
                }
                written -= first.len();
                parts.remove(0);
            }
            if parts.is_empty() {
                return Ok(());
            }
            if stuck {
                self.wait_to_write(outgoing)?;
            }
        }
    }

    /// Waits until more can be sent, and leads meanwhile if nobody else does.
    pub(super) fn wait_to_write(self: &Arc<Self>, outgoing: &Outgoing) -> Result<()> {
        let Some(sink) = &outgoing.sink else { return Ok(()) };
        let mut state = lock(&self.state);
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        let me = thread::current().id();
        let leads = state.leader == Leader::None
            || state.leader == Leader::Idle
                && state.idle.as_ref().is_some_and(|idle| idle.id() == me);
        let before = state.leader;
        if leads {
            state.leader = Leader::Caller;
            state.terms += 1;
        } else {
            state.writer_waits = true;
        }
        drop(state);
        let writable = PollFd::new(sink, PollFlags::OUT);
        let mut fds = [writable, readable(self.kick.as_fd()), readable(self.source.as_fd())];
        let watched = if leads { 3 } else { 2 };
        let waited = wait(&mut fds[..watched], None);
        if leads {
            if waited.is_ok() && !fds[2].revents().is_empty() {
                self.lead(Some(Duration::ZERO), |_| true);
            } else if waited.is_ok() && !fds[1].revents().is_empty() {
                self.unkick();
            }
            if before == Leader::None {
                self.step_down();
            } else {
                lock(&self.state).leader = before;
            }
        } else {
            lock(&self.state).writer_waits = false;
        }
        waited.map_err(|error| Error::io("wait for Python", error))
    }

    /// The frame that lets go of what was dropped, if anything was.
    pub(super) fn take_dropped(&self) -> Vec<u8> {
        let mut state = lock(&self.state);
        if state.dropped.is_empty() {
            return Vec::new();
        }
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        let mut numbers = Encoded::default();
        numbers.tuple(2);
        numbers.tuple(u32::try_from(dropped.len()).unwrap_or(u32::MAX));
        for number in dropped {
            numbers.int(number.into());
        }
        numbers.tuple(0);
        let length = u32::try_from(numbers.bytes.len()).unwrap_or(u32::MAX);
        let header = Header { length, kind: kind::DROP, ..Header::default() };
        let mut frame = header.to_bytes().to_vec();
        frame.extend_from_slice(&numbers.bytes);
        frame
    }

    /// Lets go of what an unwanted reply refers to.
    pub(super) fn release(&self, frame: &Frame) {
        for reference in references(&frame.payload, &self.limits).unwrap_or_default() {
            if let Reference::Object(number) = reference {
                self.forget(number);
            }
        }
    }

    /// An object is let go over there with the next call, or soon. Never blocks.
    pub(crate) fn forget(&self, number: u32) {
        if self.gc.is_none() {
            return;
        }
        let mut state = lock(&self.state);
        if state.ended.is_some() {
            return;
        }
        state.dropped.push(number);
        if state.dropped.len() == 1 && state.leader == Leader::Idle {
            drop(state);
            self.kick();
        }
    }
}

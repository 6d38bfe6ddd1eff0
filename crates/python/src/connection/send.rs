//! Frames on their way.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::{Connection, Leader, lock, references};
use crate::channel::{Frame, Outgoing, readable, wait};
use crate::frame::{HEADER, Header, kind};
use crate::marshal::{Encoded, Reference};
use crate::{Error, Result};

impl Connection {
    /// Sends a frame whole, and what is to be let go before it. While the other side does not read, this reads: it may
    /// wait for us to.
    pub(crate) fn send(
        self: &Arc<Self>,
        header: Header,
        payload: &[u8],
        raws: &[Vec<u8>],
    ) -> Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::protocol("a value of more than 4 GiB"))?;
        let header = Header { length, ..header };
        let dropped = self.take_dropped();
        let mut head = Vec::with_capacity(HEADER * 2 + dropped.len() + payload.len().min(4096));
        head.extend_from_slice(&dropped);
        head.extend_from_slice(&header.to_bytes());
        let outgoing = lock(&self.outgoing);
        if payload.len() <= 4096 {
            head.extend_from_slice(payload);
            self.write(&outgoing, &[&head])?;
        } else {
            self.write(&outgoing, &[&head, payload])?;
        }
        for raw in raws {
            self.write(&outgoing, &[raw])?;
        }
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

//! Frames on their way. What does not go at once is queued, and sent by who reads; only a large frame, or a long queue, makes
//! its sender wait, never with a lock held.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Connection, Leader, lock, references};
use crate::call_options::CallOptions;
use crate::channel::{Frame, Outgoing, readable, wait};
use crate::frame::{Header, kind};
use crate::marshal::{Encoded, Reference};
use crate::{Error, Result};

/// Payloads up to this are queued, in bytes; larger ones are sent from where they are.
const SMALL: usize = 64 * 1024;
/// So much is gathered at most, in bytes.
const GATHERED: usize = 32 * 1024;
/// With so much in the queue senders wait, in bytes.
const LONG: usize = 1 << 20;
/// With so much in the queue the other side is a flood, in bytes.
const TOO_LONG: usize = 64 << 20;
/// Where the flags are in a header.
const FLAGS: usize = 5;
/// The flag that says that more calls follow at once, so that replies can be gathered, too.
const MORE: u8 = 0x80;
/// How long whoever waits for its turn to send does not look whether it was given up.
const GLANCE: Duration = Duration::from_millis(50);

/// What a sender does when the other side does not read.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'a> {
    /// Leaves it in the queue.
    None,
    /// Waits, as long as the call may.
    For(&'a CallOptions),
}

/// Until when a sender waits.
struct Limit<'a> {
    options: &'a CallOptions,
    deadline: Option<Instant>,
}

impl Limit<'_> {
    fn new(options: &CallOptions) -> Limit<'_> {
        Limit {
            options,
            deadline: options.timeout.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// What is left; an error when nothing is.
    fn left(&self) -> Result<Option<Duration>> {
        if self.options.cancel.as_ref().is_some_and(|cancel| cancel.is_cancelled()) {
            return Err(Error::Cancelled);
        }
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match (left, self.options.timeout) {
            (Some(Duration::ZERO), Some(limit)) => Err(Error::TimedOut { limit }),
            _ => Ok(left),
        }
    }
}

impl Connection {
    /// Sends a frame, and what is to be let go before it.
    pub(crate) fn send(
        self: &Arc<Self>,
        header: Header,
        payload: &[u8],
        raws: &[Vec<u8>],
        patience: Patience<'_>,
    ) -> Result<()> {
        self.send_soon(header, payload, raws, patience, false)
    }

    /// The same; with `later` it may be gathered with others that follow, until a caller waits or a moment is over.
    pub(super) fn send_soon(
        self: &Arc<Self>,
        header: Header,
        payload: &[u8],
        raws: &[Vec<u8>],
        patience: Patience<'_>,
        later: bool,
    ) -> Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::protocol("a value of more than 4 GiB"))?;
        let header = Header { length, ..header };
        let dropped = self.take_dropped();
        if payload.len() > SMALL || !raws.is_empty() {
            let mut parts: Vec<&[u8]> = vec![&dropped];
            let head = header.to_bytes();
            parts.extend([&head[..], payload]);
            parts.extend(raws.iter().map(|raw| &raw[..]));
            return self.send_large(&parts, patience);
        }
        let mut outgoing = self.outgoing();
        outgoing.queue.extend_from_slice(&dropped);
        let at = outgoing.queue.len();
        outgoing.queue.extend_from_slice(&header.to_bytes());
        outgoing.queue.extend_from_slice(payload);
        if later && outgoing.queue.len() < GATHERED {
            outgoing.queue[at + FLAGS] |= MORE;
            outgoing.last = Some(at + FLAGS);
            if !self.unsent.swap(true, Ordering::SeqCst) {
                drop(outgoing);
                self.wake_idle();
            }
            return Ok(());
        }
        // It is followed by this one.
        outgoing.last = None;
        self.push(&mut outgoing)?;
        let left = outgoing.queue.len();
        drop(outgoing);
        if left > TOO_LONG {
            let error = Error::protocol("it asks, and does not read the answers");
            self.end(error.clone());
            return Err(error);
        }
        match patience {
            Patience::For(options) if left > LONG => self.wait_for_queue(&Limit::new(options)),
            _ => Ok(()),
        }
    }

    /// Sends what was gathered or is left, as far as it goes.
    pub(super) fn flush(self: &Arc<Self>) -> Result<()> {
        if !self.unsent.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut outgoing = self.outgoing();
        if let Some(last) = outgoing.last.take() {
            outgoing.queue[last] &= !MORE;
        }
        self.push(&mut outgoing)
    }

    /// Sends of the queue what goes without waiting. What is left is for who reads.
    fn push(&self, outgoing: &mut Outgoing) -> Result<()> {
        let pushed = match outgoing.is_taken {
            true => Ok(()),
            false => {
                // Nothing that is known follows it.
                if let Some(last) = outgoing.last.take() {
                    outgoing.queue[last] &= !MORE;
                }
                outgoing.push()
            }
        };
        let is_left = !outgoing.queue.is_empty() && pushed.is_ok();
        if self.unsent.swap(is_left, Ordering::SeqCst) != is_left && is_left {
            // Whoever reads is to wait for both.
            self.wake_idle();
            self.kick();
        }
        pushed
    }

    /// Sends whole frames, or leaves them to who reads.
    pub(super) fn queue(&self, frames: &[u8]) -> Result<()> {
        let mut outgoing = self.outgoing();
        outgoing.queue.extend_from_slice(frames);
        outgoing.last = None;
        self.push(&mut outgoing)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }

    /// Where to wait until more can be sent, if something is to be.
    pub(super) fn sink_to_watch(&self) -> Option<Arc<OwnedFd>> {
        let unsent = self.unsent.load(Ordering::SeqCst);
        let outgoing = unsent.then(|| self.outgoing())?;
        // What was gathered has its time, and who sends waits by itself.
        match outgoing.last.is_some() || outgoing.is_taken {
            true => None,
            false => outgoing.sink.clone(),
        }
    }

    /// Sends parts from where they are. Only one does so at a time; others' frames are queued behind it.
    fn send_large(self: &Arc<Self>, parts: &[&[u8]], patience: Patience<'_>) -> Result<()> {
        let forever = CallOptions::default();
        let limit = Limit::new(match patience {
            Patience::For(options) => options,
            Patience::None => &forever,
        });
        let mut outgoing = match self.take_turn(&limit) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                // Whoever asked for it is given up, and not it.
                self.queue(&parts.concat())?;
                return Err(error);
            }
        };
        let mut parts: Vec<&[u8]> = parts.to_vec();
        let sent = loop {
            match outgoing.write(&mut parts) {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
            let sink = outgoing.sink.clone();
            drop(outgoing);
            let waited = limit.left().and_then(|left| self.wait_to_write(sink.as_deref(), left));
            outgoing = self.outgoing();
            if let Err(error) = waited {
                break Err(error);
            }
        };
        outgoing.is_taken = false;
        self.turn.notify_one();
        if matches!(sent, Err(Error::TimedOut { .. } | Error::Cancelled)) {
            // Half a frame would be taken for another one.
            let rest = parts.concat();
            outgoing.queue.splice(..0, rest);
            outgoing.last = None;
        }
        let pushed = self.push(&mut outgoing);
        sent.and(pushed)
    }

    /// Waits until nothing is before us.
    fn take_turn(self: &Arc<Self>, limit: &Limit<'_>) -> Result<MutexGuard<'_, Outgoing>> {
        let mut outgoing = self.outgoing();
        loop {
            if !outgoing.is_taken {
                outgoing.last = None;
                self.push(&mut outgoing)?;
                if outgoing.queue.is_empty() {
                    outgoing.is_taken = true;
                    return Ok(outgoing);
                }
                let sink = outgoing.sink.clone();
                drop(outgoing);
                self.wait_to_write(sink.as_deref(), limit.left()?)?;
                outgoing = self.outgoing();
            } else {
                let glance = limit.left()?.map_or(GLANCE, |left| left.min(GLANCE));
                let waited = self.turn.wait_timeout(outgoing, glance);
                outgoing = waited.unwrap_or_else(PoisonError::into_inner).0;
                if let Some(ended) = self.ended() {
                    return Err(ended);
                }
            }
        }
    }

    /// Waits until the queue is short.
    fn wait_for_queue(self: &Arc<Self>, limit: &Limit<'_>) -> Result<()> {
        loop {
            let mut outgoing = self.outgoing();
            self.push(&mut outgoing)?;
            if outgoing.queue.len() <= LONG {
                return Ok(());
            }
            let sink = outgoing.sink.clone();
            drop(outgoing);
            self.wait_to_write(sink.as_deref(), limit.left()?)?;
        }
    }

    /// Waits until more can be sent, and leads meanwhile if nobody else does: the other side may wait for us to read.
    fn wait_to_write(
        self: &Arc<Self>,
        sink: Option<&OwnedFd>,
        left: Option<Duration>,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        let closed = || Error::Closed { how: "it was closed".into() };
        if let Some(ended) = state.ended.clone().or_else(|| state.closing.then(closed)) {
            return Err(ended);
        }
        let sink = sink.ok_or_else(closed)?;
        let me = thread::current().id();
        let before = state.leader;
        let leads = before == Leader::None
            || before == Leader::Idle && state.idle.as_ref().is_some_and(|idle| idle.id() == me);
        if leads {
            state.leader = Leader::Caller;
            state.terms += 1;
        } else {
            state.writer_waits = true;
        }
        drop(state);
        let mut fds = [
            PollFd::new(sink, PollFlags::OUT),
            readable(self.kick.as_fd()),
            readable(self.source.as_fd()),
        ];
        let watched = if leads { 3 } else { 2 };
        let waited = wait(&mut fds[..watched], left);
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
        if state.dropped.len() == 1 && (state.leader == Leader::Idle || state.idle_sleeps) {
            drop(state);
            self.wake_idle();
        }
    }
}

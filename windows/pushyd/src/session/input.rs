//! From the client to the program.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use thither_place::wire::frame::{Kind, WINDOW};

use super::Outcome;
use super::sender::Sender;
use crate::sys::pipe::Pipe;

/// What is written at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// So much is gathered before it is granted anew, in bytes: a client whose input is taken never waits for it.
const GATHERED: usize = WINDOW / 4;

/// What came of a client's input. The client may send [`WINDOW`] bytes more than were granted anew, so that they always fit.
pub(super) struct Input {
    joined: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    buffer: VecDeque<u8>,
    /// How much more the client may send.
    granted: usize,
    /// How much was taken, and not granted anew yet.
    taken: usize,
    ended: bool,
    /// Nobody takes it.
    closed: bool,
}

impl State {
    /// How much the client may send more, if it is to be told.
    fn credit(&mut self) -> Option<u32> {
        if self.taken < GATHERED {
            return None;
        }
        let credit = std::mem::take(&mut self.taken);
        self.granted += credit;
        u32::try_from(credit).ok()
    }

    fn close(&mut self) {
        self.closed = true;
        self.taken += self.buffer.len();
        self.buffer = VecDeque::new();
    }
}

fn wrong(why: &str) -> Outcome {
    Outcome::Malformed(why.into())
}

impl Input {
    pub(super) fn new(joined: bool) -> Input {
        let state = State { granted: WINDOW, closed: !joined, ..State::default() };
        Input { joined, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece of so many bytes comes.
    pub(super) fn begin(&self, length: usize) -> Result<(), Outcome> {
        let mut state = self.state();
        if !self.joined {
            return Err(wrong("it is input for what has none"));
        }
        if state.ended {
            return Err(wrong("it is input after its end"));
        }
        let granted = state.granted.checked_sub(length);
        state.granted = granted.ok_or_else(|| wrong("it is more input than was granted"))?;
        Ok(())
    }

    /// Takes what has come of it.
    pub(super) fn receive(&self, bytes: &[u8], sender: &Sender) -> Result<(), Outcome> {
        let mut state = self.state();
        if !state.closed {
            state.buffer.extend(bytes);
            self.changed.notify_one();
            return Ok(());
        }
        state.taken += bytes.len();
        let credit = state.credit();
        drop(state);
        tell(credit, sender)
    }

    /// There is no more of it.
    pub(super) fn end(&self) -> Result<(), Outcome> {
        let mut state = self.state();
        if std::mem::replace(&mut state.ended, true) {
            return Err(wrong("it is one end of input too many"));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Nobody takes anything any more.
    pub(super) fn end_all(&self) {
        self.state().close();
        self.changed.notify_one();
    }

    /// Writes to the program what comes, until its end or until the program reads no more.
    pub(super) fn deliver(&self, stdin: Pipe, sender: &Sender) {
        let mut chunk = Vec::with_capacity(CHUNK);
        while self.next(&mut chunk) {
            let written = stdin.write_all(&chunk, None);
            let mut state = self.state();
            state.taken += chunk.len();
            if written.is_err() {
                // It reads no more: no error, as for a writer that ignores SIGPIPE.
                state.close();
            }
            let credit = state.credit();
            drop(state);
            // If it asks and reads no answers, the reader finds that, too.
            let _ = tell(credit, sender);
        }
        drop(stdin);
    }

    /// Waits for what is to be written.
    fn next(&self, chunk: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        loop {
            if state.closed {
                return false;
            }
            if !state.buffer.is_empty() {
                let n = state.buffer.len().min(CHUNK);
                chunk.clear();
                chunk.extend(state.buffer.drain(..n));
                return true;
            }
            if state.ended {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn tell(credit: Option<u32>, sender: &Sender) -> Result<(), Outcome> {
    credit.map_or(Ok(()), |credit| sender.queue(&Kind::Credit.frame(&credit.to_be_bytes())))
}

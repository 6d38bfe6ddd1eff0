//! What goes to the client: one thread writes, so that nobody else waits for a client that does not read.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Outcome;
use crate::sys::pipe::Pipe;

/// How much a client may leave unread of what is said besides output, in bytes.
const MOST_UNREAD: usize = 64 * 1024;

pub(super) struct Sender {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Small frames, which go first.
    small: Vec<u8>,
    /// A frame of each output.
    frames: [Option<Vec<u8>>; 2],
    /// Whose turn it is.
    turn: usize,
    /// What is said after all else.
    last: Option<Vec<u8>>,
    ended: bool,
}

impl Sender {
    /// Says this first.
    pub(super) fn new(first: &[u8]) -> Sender {
        let small = first.to_vec();
        let state = State { small, frames: [None, None], turn: 0, last: None, ended: false };
        Sender { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a small frame.
    pub(super) fn queue(&self, frame: &[u8]) -> Result<(), Outcome> {
        let mut state = self.state();
        state.small.extend_from_slice(frame);
        self.changed.notify_all();
        match state.small.len() {
            ..=MOST_UNREAD => Ok(()),
            _ => Err(Outcome::Malformed("it asks and reads no answers".into())),
        }
    }

    /// Gives a frame of an output, and waits while the one before is not on its way. Says whether anybody sends.
    pub(super) fn put(&self, of: usize, frame: &mut Vec<u8>, length: usize) -> bool {
        let mut state = self.state();
        while state.frames[of].is_some() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return false;
        }
        frame.truncate(length);
        state.frames[of] = Some(std::mem::take(frame));
        self.changed.notify_all();
        true
    }

    /// Says this after all else.
    pub(super) fn last(&self, frame: &[u8]) {
        self.state().last = Some(frame.to_vec());
        self.changed.notify_all();
    }

    /// Nothing more is sent.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Sends until the last is said, or until there is nobody to say it to.
    pub(super) fn run(&self, pipe: &Pipe) {
        while let Some((bytes, is_last)) = self.next() {
            if pipe.write_all(&bytes, None).is_err() {
                return self.end();
            }
            if is_last {
                return;
            }
        }
    }

    fn next(&self) -> Option<(Vec<u8>, bool)> {
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            if !state.small.is_empty() {
                return Some((std::mem::take(&mut state.small), false));
            }
            for of in [state.turn, 1 - state.turn] {
                if let Some(frame) = state.frames[of].take() {
                    state.turn = 1 - of;
                    self.changed.notify_all();
                    return Some((frame, false));
                }
            }
            if let Some(last) = state.last.take() {
                return Some((last, true));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

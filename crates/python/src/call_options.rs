//! How long a call may take, and what gives it up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::connection::Connection;

/// What holds for the calls made through a handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancel: Option<Cancel>,
}

/// Gives calls up, from any thread: those that wait return [`Error::Cancelled`](crate::Error::Cancelled), and what they
/// run over there is interrupted (`KeyboardInterrupt`).
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    waiting: Mutex<Vec<Weak<Connection>>>,
}

impl Cancel {
    /// One that was not used yet.
    #[must_use]
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Gives up the calls that wait with it, and all that will.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for connection in waiting.iter().filter_map(Weak::upgrade) {
            connection.rouse();
        }
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Until the result is dropped, the connection's waiting threads are told.
    pub(crate) fn listen(&self, connection: &Arc<Connection>) -> Listening<'_> {
        let connection = Arc::downgrade(connection);
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Weak::clone(&connection));
        Listening { cancel: self, connection }
    }
}

pub(crate) struct Listening<'a> {
    cancel: &'a Cancel,
    connection: Weak<Connection>,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let shared = &self.cancel.shared;
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = waiting.iter().position(|other| other.ptr_eq(&self.connection)) {
            waiting.swap_remove(at);
        }
    }
}

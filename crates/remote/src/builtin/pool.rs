//! The connections to one host.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::Connection;

/// Connections that are open. Each serves one process at a time: see [`super::session`] for why.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    connections: Vec<Arc<Connection>>,
    /// The process that has made them: one that was forked has no thread that serves them.
    pid: u32,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Open> {
        // It holds no invariant that a panic could break.
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = std::process::id();
        if open.pid != pid {
            // Not dropped, which would wake tasks of a thread that is not there.
            open.connections.drain(..).for_each(std::mem::forget);
            open.pid = pid;
        }
        open
    }

    /// One that nobody uses.
    pub(super) fn idle(self: &Arc<Pool>) -> Option<Lease> {
        let mut open = self.lock();
        open.connections.retain(|connection| !connection.is_closed());
        let connection = open.connections.iter().find(|connection| connection.take())?;
        Some(Lease { connection: Arc::clone(connection), pool: Arc::clone(self), clean: true })
    }

    /// A new one, which is in use.
    pub(super) fn add(self: &Arc<Pool>, connection: Connection) -> Lease {
        let connection = Arc::new(connection);
        self.lock().connections.push(Arc::clone(&connection));
        Lease { connection, pool: Arc::clone(self), clean: true }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }
}

/// The use of a connection. Dropping it gives it back; one is kept for the next, and more are closed.
pub(super) struct Lease {
    connection: Arc<Connection>,
    pool: Arc<Pool>,
    /// Whether nothing is left open on it that nobody knows of.
    clean: bool,
}

impl Lease {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// For one more channel beside the one it was leased for.
    pub(super) fn shared(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// From here on it is not given back if it is dropped.
    pub(super) fn soil(&mut self) {
        self.clean = false;
    }

    /// All that was opened on it is known.
    pub(super) fn cleaned(&mut self) {
        self.clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.pool.lock();
        let another = open.connections.iter().any(|other| other.is_idle() && !other.is_closed());
        if !self.clean || another || self.connection.is_closed() {
            open.connections.retain(|other| !Arc::ptr_eq(other, &self.connection));
        }
        self.connection.give_back();
    }
}

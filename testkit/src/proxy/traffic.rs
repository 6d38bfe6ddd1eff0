//! The connections of a proxy, and what happens to them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::{Shutdown, shutdown};

/// How much of what a client sends is kept, in bytes.
const KEPT: usize = 1 << 20;

/// What goes wrong with a connection.
#[derive(Clone, Debug, Default)]
pub(super) enum Fault {
    #[default]
    None,
    /// It is closed after so many bytes from the server.
    Cut(u64),
    /// The server's stream ends after so many bytes.
    Truncate(u64),
    /// The client is answered with this, and the connection closed.
    Garbage(Vec<u8>),
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) stalled: bool,
    pub(super) fault: Fault,
    /// They hold where a client has sent this.
    pub(super) needle: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
struct Link {
    client: OwnedFd,
    /// None where the server could not be reached.
    server: Option<OwnedFd>,
    sent: Vec<u8>,
    /// How many bytes have gone to the client since the rules hold for it.
    received: u64,
    /// The directions that are still open.
    open: usize,
    cut: bool,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    links: Vec<Link>,
}

/// All connections, open and closed.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Server,
    Client,
}

impl Traffic {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
        self.changed.notify_all();
    }

    pub(super) fn connections(&self) -> usize {
        self.state().links.len()
    }

    pub(super) fn open_now(&self) -> usize {
        self.state().links.iter().filter(|link| link.open > 0).count()
    }

    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        self.state().links.iter().map(|link| link.sent.clone()).collect()
    }

    pub(super) fn cut(&self) {
        self.state().links.iter_mut().for_each(Link::cut);
        self.changed.notify_all();
    }

    /// Takes a connection, and forwards both of its directions in threads of their own. A server that cannot be
    /// reached is as one that closes at once.
    pub(super) fn open(
        traffic: &Arc<Traffic>,
        client: OwnedFd,
        connect: impl FnOnce() -> io::Result<OwnedFd>,
    ) {
        let server = connect().ok();
        let copies =
            |from: &OwnedFd, to: &OwnedFd| Some((from.try_clone().ok()?, to.try_clone().ok()?));
        let up = server.as_ref().and_then(|server| copies(&client, server));
        let down = server.as_ref().and_then(|server| copies(server, &client));
        let mut state = traffic.state();
        let id = state.links.len();
        let link = Link { client, server, sent: Vec::new(), received: 0, open: 2, cut: false };
        state.links.push(link);
        let (Some(up), Some(down)) = (up, down) else {
            return state.links[id].cut();
        };
        drop(state);
        for ((from, to), direction) in [(up, To::Server), (down, To::Client)] {
            let traffic = Arc::clone(traffic);
            thread::spawn(move || traffic.forward(id, File::from(from), File::from(to), direction));
        }
    }

    /// Copies one direction until its end, and passes the end on.
    fn forward(&self, id: usize, mut from: File, mut to: File, direction: To) {
        let mut buffer = [0; 1 << 16];
        loop {
            let read = match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.unwrap_or(0),
            };
            let chunk = &buffer[..read];
            let allowed = match direction {
                To::Server => self.allow_up(id, chunk),
                To::Client => self.allow_down(id, read),
            };
            if to.write_all(&chunk[..allowed]).is_err() || allowed < read || read == 0 {
                break;
            }
        }
        let _ = shutdown(&to, Shutdown::Write);
        self.end(id, direction);
    }

    /// Takes note of what a client has sent, and says how much of it may be forwarded.
    fn allow_up(&self, id: usize, chunk: &[u8]) -> usize {
        let mut state = self.state();
        let link = &mut state.links[id];
        let kept = chunk.len().min(KEPT.saturating_sub(link.sent.len()));
        link.sent.extend(&chunk[..kept]);
        let mut state = self.while_stalled(state, id);
        if state.links[id].cut {
            return 0;
        }
        if state.concerned(id)
            && let Fault::Garbage(bytes) = state.rules.fault.clone()
        {
            let link = &mut state.links[id];
            if let Ok(client) = link.client.try_clone() {
                let _ = File::from(client).write_all(&bytes);
            }
            link.cut();
            return 0;
        }
        chunk.len()
    }

    /// How many of so many bytes from the server may be forwarded.
    fn allow_down(&self, id: usize, read: usize) -> usize {
        let mut state = self.while_stalled(self.state(), id);
        if state.links[id].cut {
            return 0;
        }
        if !state.concerned(id) {
            return read;
        }
        let (Fault::Cut(limit) | Fault::Truncate(limit)) = state.rules.fault else { return read };
        let link = &mut state.links[id];
        let left = usize::try_from(limit.saturating_sub(link.received)).unwrap_or(usize::MAX);
        link.received = link.received.saturating_add(read as u64);
        read.min(left)
    }

    /// Waits while this connection is stalled.
    fn while_stalled<'a>(&self, state: MutexGuard<'a, State>, id: usize) -> MutexGuard<'a, State> {
        let stalled =
            |state: &mut State| state.rules.stalled && !state.links[id].cut && state.concerned(id);
        self.changed.wait_while(state, stalled).unwrap_or_else(PoisonError::into_inner)
    }

    /// One direction has ended.
    fn end(&self, id: usize, direction: To) {
        let mut state = self.state();
        let must_cut = direction == To::Client
            && state.concerned(id)
            && matches!(state.rules.fault, Fault::Cut(limit) if state.links[id].received > limit);
        let link = &mut state.links[id];
        if must_cut {
            link.cut();
        }
        link.open = link.open.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    /// Whether the rules hold for this connection.
    fn concerned(&self, id: usize) -> bool {
        let needle = &self.rules.needle;
        needle.is_empty()
            || self.links[id].sent.windows(needle.len()).any(|found| found == needle.as_slice())
    }
}

impl Link {
    /// Closes both directions of both sides; the threads find out.
    fn cut(&mut self) {
        self.cut = true;
        self.open = 0;
        for side in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
            let _ = shutdown(side, Shutdown::Both);
        }
    }
}

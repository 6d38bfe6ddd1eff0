//! Requests that are on their way, and what they are for.

use std::collections::HashMap;
use std::io;

use super::failed::broken;
use super::packet::{Attributes, Reply, Request, read_reply};
use super::wire::Wire;

/// How many requests are on their way at once where many are made in a row.
const WINDOW: usize = 256;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What something is.
    Stat,
    /// The text of a link.
    Link,
    /// A handle.
    Open,
    Read {
        offset: u64,
        length: u32,
    },
    /// Names in a directory.
    List,
    /// Something is made that others depend on.
    Make,
    /// So many bytes are written.
    Write(usize),
    /// The last touches.
    Finish,
    /// One of a [batch](Calls::batch).
    Batch,
    /// Nobody cares for the answer.
    Forget,
    /// How many files may be open.
    Limits,
}

/// What is done while nothing comes. An error ends the wait.
pub(super) type Idle<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// What a server has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    pub(super) posix_rename: bool,
    pub(super) hardlink: bool,
    pub(super) lsetstat: bool,
    pub(super) statvfs: bool,
    pub(super) limits: bool,
    /// How many files may be open at once.
    pub(super) handles: usize,
}

/// Requests by their ids, each with what it is for: a number of the caller's and a step.
pub(super) struct Calls {
    wire: Wire,
    pub(super) features: Features,
    next: u32,
    pending: HashMap<u32, (u64, Step)>,
}

impl Calls {
    pub(super) fn new(wire: Wire, features: Features) -> Calls {
        let mut calls = Calls { wire, features, next: 0, pending: HashMap::new() };
        if features.limits {
            calls.call(0, Step::Limits, &Request::Limits);
        }
        calls
    }

    /// Sends a request soon: at the next [`reply`](Calls::reply) that has to wait.
    pub(super) fn call(&mut self, of: u64, step: Step, request: &Request) {
        if self.pending.is_empty() {
            self.wire.asked();
        }
        self.next = self.next.wrapping_add(1);
        request.write(self.next, self.wire.out());
        self.pending.insert(self.next, (of, step));
    }

    /// Whether answers are to come.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next answer, and what it is for.
    ///
    /// # Errors
    /// Those of [`Wire::next`]; `InvalidData` for an answer to nothing.
    pub(super) fn reply(&mut self) -> io::Result<(u64, Step, Reply)> {
        loop {
            if self.pending.is_empty() {
                return Err(broken("is waited for without having been asked"));
            }
            let packet = self.wire.next()?;
            let found = read_reply(&packet);
            let found = found.map_err(|_| "sent a malformed packet");
            let result = found.and_then(|found| found.ok_or("sent a packet of an unknown kind"));
            let result = result.and_then(|(id, reply)| {
                let (of, step) = self.pending.remove(&id).ok_or("answered what was not asked")?;
                Ok((of, step, reply))
            });
            match result {
                Ok((_, Step::Forget | Step::Limits, reply)) => {
                    if let Reply::Extended(limits) = &reply {
                        self.features.handles =
                            super::handles(limits).unwrap_or(self.features.handles);
                    }
                    if !self.is_waiting() {
                        return Ok((0, Step::Forget, reply));
                    }
                }
                Ok(found) => return Ok(found),
                Err(what) => {
                    self.wire.lost = true;
                    return Err(broken(what));
                }
            }
        }
    }

    /// The same, however long it takes.
    pub(super) fn patiently(&mut self, idle: Idle<'_>) -> io::Result<(u64, Step, Reply)> {
        loop {
            match self.reply() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => idle()?,
                other => return other,
            }
        }
    }

    /// Many requests that do not depend on each other, and their answers in the same order: how they went, or attributes.
    /// Whatever was on its way before is forgotten.
    pub(super) fn batch(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
        idle: Idle<'_>,
    ) -> io::Result<Vec<Reply>> {
        let mut requests = requests.into_iter().enumerate();
        let mut replies = Vec::new();
        let mut left = 0;
        loop {
            while self.pending.len() < WINDOW
                && let Some((at, request)) = requests.next()
            {
                self.call(at as u64, Step::Batch, &request);
                replies.push(None);
                left += 1;
            }
            if left == 0 {
                return Ok(replies.into_iter().flatten().collect());
            }
            if let (at, Step::Batch, reply) = self.patiently(idle)?
                && let Some(slot @ None) = replies.get_mut(at as usize)
            {
                *slot = Some(small(reply));
                left -= 1;
            }
        }
    }

    /// Waits for the answers to all that was asked.
    pub(super) fn drain(&mut self, idle: Idle<'_>) -> io::Result<()> {
        while self.is_waiting() {
            self.patiently(idle)?;
        }
        Ok(())
    }

    /// One request, and its answer. Whatever was on its way before is forgotten.
    pub(super) fn ask(&mut self, request: Request, idle: Idle<'_>) -> io::Result<Reply> {
        self.call(0, Step::Batch, &request);
        let asked = self.next;
        loop {
            let (_, _, reply) = self.patiently(idle)?;
            if !self.pending.contains_key(&asked) {
                return Ok(reply);
            }
        }
    }

    /// What a path is; `None` if it is nothing.
    pub(super) fn look(
        &mut self,
        request: Request,
        idle: Idle<'_>,
    ) -> io::Result<Option<Attributes>> {
        found(self.ask(request, idle)?)
    }

    /// A request of renaming.
    pub(super) fn rename(&self, from: Vec<u8>, to: Vec<u8>) -> Request {
        match self.features.posix_rename {
            true => Request::PosixRename(from, to),
            false => Request::Rename(from, to),
        }
    }
}

/// An answer of which many are kept: what is long is none that was hoped for.
fn small(reply: Reply) -> Reply {
    match reply {
        Reply::Status { .. } | Reply::Attributes(_) => reply,
        _ => Reply::Handle(Vec::new()),
    }
}

/// What is said of a path; `None` if it is nothing.
pub(super) fn found(reply: Reply) -> io::Result<Option<Attributes>> {
    match reply {
        Reply::Attributes(attributes) => Ok(Some(attributes)),
        other => match super::failed::unexpected(other) {
            error if super::failed::is_missing(&error) => Ok(None),
            error => Err(error),
        },
    }
}

//! One thing on its way to there: what has been asked for, and what is still to be.

use std::io;
use std::path::PathBuf;

use super::calls::{Calls, Step};
use super::failed::{done, unexpected};
use super::packet::{Attributes, Reply, Request};

/// For us alone until all is there.
pub(super) const OWN_FILE: u32 = 0o600;
pub(super) const OWN_DIRECTORY: u32 = 0o700;

/// Something to be made.
#[derive(Debug)]
pub(super) struct Task {
    /// Its path below the root.
    pub(super) path: PathBuf,
    /// What has to be there before.
    pub(super) needs: Vec<PathBuf>,
    pub(super) work: Work,
    pub(super) flying: usize,
}

#[derive(Debug)]
pub(super) enum Work {
    Directory,
    /// With this text and time.
    Symlink(Vec<u8>, Attributes),
    /// Another name of what has this path over there.
    HardLink(Vec<u8>),
    File(Upload),
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Upload {
    /// The mode and time that it has at last.
    pub(super) attributes: Attributes,
    pub(super) handle: Option<Vec<u8>>,
    /// What could not be sent yet, with its offset.
    pub(super) waiting: Vec<(u64, Vec<u8>)>,
    /// How much of it was given.
    pub(super) given: u64,
    /// Whether there is no more.
    pub(super) is_complete: bool,
}

impl Upload {
    pub(super) fn new(attributes: Attributes) -> Upload {
        Upload { attributes, handle: None, waiting: Vec::new(), given: 0, is_complete: false }
    }
}

impl Task {
    /// Sends the first request, about what is called `there` over there.
    pub(super) fn begin(&mut self, number: u64, there: Vec<u8>, calls: &mut Calls) {
        self.flying += 1;
        let (step, request) = match &self.work {
            Work::Directory => (Step::Make, Request::MkDir(there, OWN_DIRECTORY)),
            Work::Symlink(text, _) => (Step::Make, Request::Symlink(text.clone(), there)),
            Work::HardLink(target) => (Step::Make, Request::HardLink(target.clone(), there)),
            Work::File(_) => (Step::Open, Request::Create(there, OWN_FILE)),
        };
        calls.call(number, step, &request);
    }

    /// Sends what can be sent of a file.
    pub(super) fn send(&mut self, number: u64, calls: &mut Calls) {
        let Work::File(upload) = &mut self.work else { return };
        let Some(handle) = &upload.handle else { return };
        for (offset, data) in upload.waiting.drain(..) {
            let step = Step::Write(data.len());
            calls.call(number, step, &Request::Write { handle: handle.clone(), offset, data });
            self.flying += 1;
        }
        if upload.is_complete {
            // In this order: a write takes the time along.
            let finish = Request::FSetStat(handle.clone(), upload.attributes);
            calls.call(number, Step::Finish, &finish);
            calls.call(number, Step::Finish, &Request::Close(handle.clone()));
            self.flying += 2;
            upload.handle = None;
        }
    }

    /// An answer: whether all is done.
    pub(super) fn take(
        &mut self,
        number: u64,
        step: Step,
        reply: Reply,
        there: Vec<u8>,
        calls: &mut Calls,
    ) -> io::Result<bool> {
        self.flying = self.flying.saturating_sub(1);
        match (step, reply, &mut self.work) {
            (Step::Open, Reply::Handle(handle), Work::File(upload)) => {
                upload.handle = Some(handle);
                self.send(number, calls);
            }
            (Step::Open, other, _) => return Err(unexpected(other)),
            (Step::Make, reply, Work::Symlink(_, attributes)) if calls.features.lsetstat => {
                done(reply)?;
                let finish = Request::LSetStat(there, *attributes);
                calls.call(number, Step::Finish, &finish);
                self.flying += 1;
            }
            (_, reply, _) => done(reply)?,
        }
        Ok(self.flying == 0
            && match &self.work {
                Work::File(upload) => upload.is_complete && upload.handle.is_none(),
                _ => true,
            })
    }
}

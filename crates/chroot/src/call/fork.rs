//! Running a closure in a copy of this process.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thither_place::{Command, Streams};

use super::CallError;
use super::functions::name_of;
use super::reply;
use crate::Chroot;
use crate::place::Task;

impl Chroot {
    /// Runs a closure inside, in a copy of this process, with all that it has captured, and gives its value back.
    /// What it changes in its copy is gone with it.
    ///
    /// The copy has this process's open files, at its own risk: a directory among them is a way out of the root. It
    /// never returns from here; destructors of what the caller holds do not run in it.
    ///
    /// # Errors
    /// [`CallError::Threads`] if this process has other threads: what they had locked would stay locked in the copy
    /// for ever, the allocator too. Else as [`call`](Chroot::call).
    pub fn call_forked<F, T>(&self, closure: F) -> Result<T, CallError>
    where
        F: FnOnce() -> T,
        T: Serialize + DeserializeOwned,
    {
        let function = name_of(&closure);
        let failed = |source| self.failed("run a closure", source);
        let threads = fs::read_dir("/proc/self/task").map_err(failed)?.count();
        if threads != 1 {
            return Err(CallError::Threads { threads });
        }
        let prepared = self.prepare(&Command::new(""))?;
        // Else the copy would say it too.
        std::io::stdout().flush().map_err(failed)?;
        let (ours, theirs) = std::io::pipe().map_err(failed)?;
        let closure = Cell::new(Some((closure, OwnedFd::from(theirs))));
        let run = || {
            let Some((closure, theirs)) = closure.take() else { return 125 };
            let reply = reply::run(closure);
            let _ = std::io::stdout().flush();
            match reply.send(&mut File::from(theirs)) {
                Ok(()) => 0,
                Err(_) => 125,
            }
        };
        let (process, entered) = prepared.start(&Streams::default(), Task::Function(&run))?;
        // Of the end that is written to, only the copy's is left.
        drop(closure);
        reply::take(Ok(File::from(OwnedFd::from(ours))), process, &entered, function)
    }
}

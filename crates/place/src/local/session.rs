//! Commands in sessions of their own: what a daemon runs for others.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitIdOptions, kill_process_group};
use thither_term::WindowSize;

use super::{Host, Prepared, failed, unsupported};
use crate::launch::{self, Fresh, LaunchError};
use crate::process::{Control, Event};
use crate::{Command, Exit, Process, Result};

/// Starts a command as the leader of a session of its own, with this environment unless it wants an empty one, and with
/// `start` as its directory unless it asks for another; a relative one begins there. Also gives its process id.
///
/// # Differences from [`Local`](super::Local)
/// Signals go to its whole process group. It gets SIGHUP when *the calling thread* ends, which therefore has to live for as
/// long as it; see [`Exec::in_session`](crate::launch::Exec::in_session). Dropping the [`Process`] kills what is left of the group, unless
/// the command has ended by itself: then whatever it has left behind lives on. With a terminal all is as it is with `Local`.
///
/// # Errors
/// As [`Local`](super::Local)'s.
pub fn spawn_in_session(
    command: &Command,
    start: &Path,
    base: impl IntoIterator<Item = (OsString, OsString)>,
    fresh: Fresh,
) -> Result<(Process, u32)> {
    let files = Host { user: command.user.as_deref(), start: Some(start) };
    let mut prepared = Prepared::new(command, base, &files)?;
    prepared.exec = prepared.exec.fresh(fresh);
    if prepared.plumbing.pty.is_none() {
        prepared.exec = prepared.exec.in_session();
    }
    let (control, pid) = control(&prepared).map_err(|error| prepared.error(error, &files))?;
    let mut process = prepared.plumbing.attach(Process::new(control));
    process.apart = true;
    Ok((process, pid))
}

fn control(prepared: &Prepared) -> std::result::Result<(Box<dyn Control>, u32), LaunchError> {
    if prepared.plumbing.pty.is_some() {
        let supervisor = prepared.supervisor()?;
        let pid = supervisor.pid().unsigned_abs();
        return Ok((Box::new(supervisor), pid));
    }
    let (pid, pidfd) = launch::spawn(&prepared.exec, &prepared.plumbing)?;
    let leader = Leader { pid, pidfd: Some(pidfd), exit: None };
    Ok((Box::new(leader), pid.as_raw_pid().unsigned_abs()))
}

/// A child of ours that leads its process group. It is waited for only when this is dropped: until then nobody else can get its
/// number, and so neither the group's.
struct Leader {
    pid: Pid,
    /// Only `None` while it is dropped.
    pidfd: Option<OwnedFd>,
    exit: Option<Exit>,
}

impl Leader {
    fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_ref().map(AsFd::as_fd).expect("taken only on drop")
    }
}

impl Control for Leader {
    fn resize(&mut self, _: WindowSize) -> Result<()> {
        Err(unsupported("resize a command without a terminal"))
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return Err(unsupported(&format!("send signal {signal}")));
        };
        // If somebody else has waited for it (an error), its number is nobody's or another's.
        self.event()?;
        match kill_process_group(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(failed("send a signal", errno.into())),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        if self.exit.is_none() {
            let options = WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            self.exit = launch::wait_for(self.pidfd(), options)
                .map_err(|source| failed("wait for the command", source))?;
        }
        Ok(self.exit.map(Event::Exited))
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(unsupported("end an input that is not the command's own"))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Not either if that cannot be known: see `signal`.
        let runs = matches!(self.event(), Ok(None));
        let killed = !runs || kill_process_group(self.pid, Signal::KILL).is_ok();
        let Some(pidfd) = self.pidfd.take() else { return };
        let reap = move || drop(launch::wait_for(pidfd.as_fd(), WaitIdOptions::empty()));
        match killed {
            true => reap(),
            // A set-user-id program that is not ours to kill: it ends when it likes. If there can be no thread it stays a zombie.
            false => drop(thread::Builder::new().name("reaper".into()).spawn(reap)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};

    #[test]
    fn a_number_that_may_be_anybodys_gets_no_signal() {
        let (mut process, pid) =
            spawn_in_session(&Command::new("true"), Path::new("/"), [], Fresh::default()).unwrap();
        // As the kernel does it by itself where SIGCHLD is ignored.
        waitpid(Pid::from_raw(pid as i32), WaitOptions::empty()).unwrap();
        process.control.signal(15).unwrap_err();
    }
}

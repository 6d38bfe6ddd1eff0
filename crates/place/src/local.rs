#![expect(unsafe_code, reason = "the contract of launch")]
//! This machine.
//!
//! # Differences from `std::process::Command`
//! A command gets no descriptors but its three streams, and is in its directory as the user that it runs as.
//! With a terminal the command runs under a supervisor, which leads its session: see [`launch`].
//! Dropping such a [`Process`] hangs up its terminal; dropping one without a terminal lets it run on.

mod session;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitIdOptions, pidfd_send_signal};
use thither_term::WindowSize;

use crate::archive::{Archive, Tree, named, put_files};
use crate::error::quoted;
use crate::launch::{self, Exec, Files, Found, Launch, LaunchError, Resolved, Supervisor};
use crate::process::{Control, Event};
use crate::streams::Plumbing;
use crate::users::Accounts;
use crate::{Command, Error, Exit, Place, Process, Result};

pub use session::spawn_in_session;

const NAME: &str = "local:";

/// This machine.
///
/// Without a terminal the command inherits the descriptors that it is not given others for: there is no pump
/// and no thread in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Place for Local {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let files = Host { user: command.user.as_deref(), start: None };
        let prepared = Prepared::new(command, std::env::vars_os(), &files)?;
        let control = prepared.control().map_err(|error| prepared.error(error, &files))?;
        Ok(prepared.plumbing.attach(Process::new(control)))
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        let named = named(path);
        let dir = open_directory(named.dir).map_err(|source| copy_failed("from", path, source))?;
        Ok(Archive::from_tree(Tree::at(dir, named.name)))
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        put_files(archive, path, &open_directory).map_err(|source| copy_failed("to", path, source))
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        Some(Arc::new(Local))
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn copy_failed(direction: &str, path: &Path, source: io::Error) -> Error {
    let action = format!("copy {direction} {}", quoted(path));
    Error::Copy { action, source: Box::new(source), hint: None }
}

/// A command ready to start.
struct Prepared {
    resolved: Resolved,
    exec: Exec,
    plumbing: Plumbing,
}

impl Prepared {
    fn new(
        command: &Command,
        base: impl IntoIterator<Item = (OsString, OsString)>,
        files: &Host<'_>,
    ) -> Result<Prepared> {
        let mut resolved = Resolved::new(command, base, files)?;
        if let Some(start) = files.start {
            resolved.dir = Some(start.join(resolved.dir.as_deref().unwrap_or(Path::new(""))));
        }
        // Who one is already needs no right to become.
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        resolved.identity.take_if(|who| (who.uid, who.gid) == own);
        let exec = resolved.exec().map_err(|source| resolved.spawn_error(source, files))?;
        let plumbing = Plumbing::open(&command.streams)
            .map_err(|source| failed("open the command's streams", source))?;
        tracing::debug!(program = ?resolved.program, "start");
        Ok(Prepared { resolved, exec, plumbing })
    }

    fn control(&self) -> std::result::Result<Box<dyn Control>, LaunchError> {
        Ok(match self.plumbing.pty {
            Some(_) => Box::new(self.supervisor()?),
            None => {
                let (_, pidfd) = launch::spawn(&self.exec, &self.plumbing)?;
                Box::new(Child { pidfd, exit: None })
            }
        })
    }

    fn supervisor(&self) -> std::result::Result<Supervisor, LaunchError> {
        let launch = Launch {
            place: NAME,
            exec: &self.exec,
            plumbing: &self.plumbing,
            namespaces: 0,
            enter: &|| Ok(()),
            arrange: None,
            instead: None,
        };
        // SAFETY: nothing is done on entering, and nothing instead.
        unsafe { launch::launch(&launch) }
    }

    fn error(&self, error: LaunchError, files: &Host<'_>) -> Error {
        match error {
            LaunchError::Step(failure) => self
                .resolved
                .step_error(failure, files)
                .unwrap_or_else(|| failed("start the command", failure.errno.into())),
            LaunchError::Fork(source) | LaunchError::Arrange(source) => {
                failed("make a process", source)
            }
            LaunchError::Killed(exit) => {
                failed("start the command", io::Error::other(format!("supervisor ended: {exit}")))
            }
        }
    }
}

fn failed(action: &str, source: io::Error) -> Error {
    Error::Place {
        action: action.to_owned(),
        place: NAME.to_owned(),
        source: Box::new(source),
        hint: None,
    }
}

/// The files of this machine, and the one user that is asked about.
struct Host<'a> {
    user: Option<&'a str>,
    start: Option<&'a Path>,
}

impl Files for Host<'_> {
    fn place(&self) -> &str {
        NAME
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        fs::File::open(path)?.take(launch::MAX_FILE).read_to_end(&mut text)?;
        Ok(text)
    }

    fn look(&self, path: &Path) -> Option<Found> {
        let metadata = fs::metadata(path).ok()?;
        Some(match metadata.permissions().mode() & 0o111 {
            _ if metadata.is_dir() => Found::Directory,
            0 => Found::Plain,
            _ => Found::Executable,
        })
    }

    fn uid(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn start(&self) -> Option<&Path> {
        self.start
    }

    /// The files, and for a user whom they do not list what `getent(1)` says, which asks the directory service.
    fn accounts(&self) -> Accounts {
        let read = |path: &str| self.read(Path::new(path)).unwrap_or_default();
        let mut accounts = Accounts { passwd: read("/etc/passwd"), group: read("/etc/group") };
        let name = match self.user {
            Some(user) => user.split(':').next().unwrap_or_default().to_owned(),
            None => self.uid().to_string(),
        };
        let known = match self.user {
            Some(_) => accounts.resolve(&name).is_ok(),
            None => accounts.by_uid(self.uid()).is_some(),
        };
        if !known && !name.starts_with('-') {
            let getent = std::process::Command::new("getent").args(["passwd", &name]).output();
            accounts.passwd.extend(getent.map(|output| output.stdout).unwrap_or_default());
        }
        accounts
    }
}

/// A child of ours without a terminal.
struct Child {
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

impl Control for Child {
    fn resize(&mut self, _: WindowSize) -> Result<()> {
        Err(unsupported("resize a command without a terminal"))
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return Err(unsupported(&format!("send signal {signal}")));
        };
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(failed("send a signal", errno.into())),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        if self.exit.is_none() {
            self.exit = launch::wait_for(self.pidfd.as_fd(), WaitIdOptions::NOHANG)
                .map_err(|source| failed("wait for the command", source))?;
        }
        Ok(self.exit.map(Event::Exited))
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(unsupported("end an input that the command inherited"))
    }
}

fn unsupported(action: &str) -> Error {
    Error::Unsupported { action: action.to_owned(), place: NAME.to_owned(), hint: None }
}

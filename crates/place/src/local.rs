#![expect(unsafe_code, reason = "pre_exec, and the contract of launch")]
//! This machine.
//!
//! # Differences from `std::process::Command`
//! With a terminal the command runs under a supervisor, which leads its session: see [`launch`](crate::launch).
//! Dropping such a [`Process`] hangs up its terminal; dropping one without a terminal lets it run on.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Signal, pidfd_send_signal};
use thither_term::WindowSize;

use crate::launch::{self, Files, Found, LaunchError, Resolved};
use crate::process::{Control, Event};
use crate::streams::Plumbing;
use crate::users::Accounts;
use crate::{Command, Error, Place, Process, Result, Streams};

const NAME: &str = "local:";

/// This machine.
///
/// Without a terminal the command inherits the descriptors that it is not given others for: there is no pump
/// and no thread in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Place for Local {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let files = Host { user: command.user.as_deref() };
        let resolved = resolve(command, &files)?;
        let plumbing = open(command)?;
        match command.streams {
            Streams::Terminal(_) => with_terminal(&resolved, &files, plumbing),
            Streams::Separate { .. } => without_terminal(&resolved, &files, plumbing),
        }
    }
}

impl Local {
    /// Becomes the command: nothing of this program stays between it and its caller. Returns only if that fails.
    ///
    /// # Errors
    /// As [`spawn`](Place::spawn); [`Error::Unsupported`] for a terminal or pipes, which need somebody at the
    /// other end.
    pub fn exec(&self, command: &Command) -> Error {
        let files = Host { user: command.user.as_deref() };
        let prepared = resolve(command, &files).and_then(|resolved| {
            let plumbing = open(command)?;
            if plumbing.pty.is_some() || plumbing.has_pipes() {
                return Err(unsupported("become a command that needs us for its streams"));
            }
            let std = std_command(&resolved, &plumbing)?;
            Ok((resolved, std))
        });
        match prepared {
            Ok((resolved, mut std)) => resolved.start_error(std.exec(), &files),
            Err(error) => error,
        }
    }
}

fn resolve(command: &Command, files: &Host<'_>) -> Result<Resolved> {
    let mut resolved = Resolved::new(command, std::env::vars_os(), files)?;
    // Who one is already needs no right to become.
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    resolved.identity.take_if(|who| (who.uid, who.gid) == own);
    tracing::debug!(program = ?resolved.program, "start");
    Ok(resolved)
}

fn open(command: &Command) -> Result<Plumbing> {
    Plumbing::open(&command.streams).map_err(|source| failed("open the command's streams", source))
}

fn with_terminal(resolved: &Resolved, files: &Host<'_>, plumbing: Plumbing) -> Result<Process> {
    let exec = resolved.exec().map_err(|source| resolved.spawn_error(source, files))?;
    // SAFETY: nothing is done on entering.
    let launched = unsafe { launch::launch(NAME, &exec, &plumbing, 0, &|| Ok(())) };
    match launched {
        Ok(supervisor) => Ok(plumbing.attach(Process::new(Box::new(supervisor)))),
        Err(LaunchError::Step(failure)) => Err(resolved
            .step_error(failure, files)
            .unwrap_or_else(|| failed("start the command", failure.errno.into()))),
        Err(LaunchError::Fork(source)) => Err(failed("make a process", source)),
        Err(LaunchError::Killed(exit)) => {
            Err(failed("start the command", io::Error::other(format!("supervisor ended: {exit}"))))
        }
    }
}

fn without_terminal(resolved: &Resolved, files: &Host<'_>, plumbing: Plumbing) -> Result<Process> {
    let spawned = std_command(resolved, &plumbing)?.spawn();
    let child = spawned.map_err(|source| resolved.start_error(source, files))?;
    let pidfd =
        launch::pidfd_of(child.id()).map_err(|source| failed("watch over the command", source))?;
    Ok(plumbing.attach(Process::new(Box::new(Child { child, pidfd }))))
}

fn std_command(resolved: &Resolved, plumbing: &Plumbing) -> Result<std::process::Command> {
    let mut std = std::process::Command::new(&resolved.program);
    std.arg0(&resolved.argv0).args(&resolved.args);
    if !resolved.env.iter().cloned().eq(std::env::vars_os()) {
        std.env_clear().envs(resolved.env.iter().cloned());
    }
    if let Some(dir) = &resolved.dir {
        // Looked at first, for `spawn` gives one error for the directory and the program alike.
        fs::read_dir(dir).map_err(|source| {
            failed(&format!("change to the directory {}", crate::error::quoted(dir)), source)
        })?;
        std.current_dir(dir);
    }
    let [stdin, stdout, stderr] =
        plumbing.child.each_ref().map(|fd| fd.as_ref().map(OwnedFd::try_clone));
    let stdio = |fd: Option<io::Result<OwnedFd>>| match fd {
        Some(fd) => Ok(Stdio::from(fd.map_err(|source| failed("connect the streams", source))?)),
        None => Ok(Stdio::inherit()),
    };
    std.stdin(stdio(stdin)?).stdout(stdio(stdout)?).stderr(stdio(stderr)?);
    if let Some(identity) = resolved.identity.clone() {
        // SAFETY: three system calls; no allocation, lock, log or panic between fork and exec.
        unsafe { std.pre_exec(move || Ok(identity.assume()?)) };
    }
    Ok(std)
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
    child: std::process::Child,
    pidfd: OwnedFd,
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
        let status = self.child.try_wait().map_err(|source| failed("wait for it", source))?;
        Ok(status.map(|status| Event::Exited(status.into())))
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(unsupported("end an input that the command inherited"))
    }
}

fn unsupported(action: &str) -> Error {
    Error::Unsupported { action: action.to_owned(), place: NAME.to_owned(), hint: None }
}

//! A command in a root, as of `std::process::Command`.

use std::ffi::OsString;
use std::path::PathBuf;

use thither_place::{Exit, Output, Place, Process, Result, Stream, WindowSize, command};

use crate::Chroot;

/// A command in a [`Chroot`], with the methods of [`std::process::Command`].
///
/// To run the same command in several places, make a [`thither_place::Command`].
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until it is started"]
pub struct Command<'a> {
    chroot: &'a Chroot,
    command: command::Command,
    /// Whether the streams were set, so that `output` leaves them.
    set: [bool; 3],
}

impl<'a> Command<'a> {
    pub(crate) fn new(chroot: &'a Chroot, program: OsString) -> Command<'a> {
        Command { chroot, command: command::Command::new(program), set: [false; 3] }
    }

    fn change(self, change: impl FnOnce(command::Command) -> command::Command) -> Command<'a> {
        Command { command: change(self.command), ..self }
    }

    /// Adds an argument.
    pub fn arg(self, arg: impl Into<OsString>) -> Command<'a> {
        self.change(|command| command.arg(arg))
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(self, args: impl IntoIterator<Item = A>) -> Command<'a> {
        self.change(|command| command.args(args))
    }

    /// Sets a variable.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command<'a> {
        self.change(|command| command.env(name, value))
    }

    /// Sets variables.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Command<'a> {
        variables.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Removes a variable.
    pub fn env_remove(self, name: impl Into<OsString>) -> Command<'a> {
        self.change(|command| command.env_remove(name))
    }

    /// Starts from an empty environment.
    pub fn env_clear(self) -> Command<'a> {
        self.change(command::Command::env_clear)
    }

    /// Sets the directory inside that it starts in.
    pub fn current_dir(self, dir: impl Into<PathBuf>) -> Command<'a> {
        self.change(|command| command.dir(dir))
    }

    /// Runs as this user of the root: `name`, `uid`, `name:group` or `uid:gid`.
    pub fn user(self, user: impl Into<String>) -> Command<'a> {
        self.change(|command| command.user(user))
    }

    /// Sets where descriptor 0 comes from.
    pub fn stdin(mut self, stream: Stream) -> Command<'a> {
        self.set[0] = true;
        self.change(|command| command.stdin(stream))
    }

    /// Sets where descriptor 1 goes.
    pub fn stdout(mut self, stream: Stream) -> Command<'a> {
        self.set[1] = true;
        self.change(|command| command.stdout(stream))
    }

    /// Sets where descriptor 2 goes.
    pub fn stderr(mut self, stream: Stream) -> Command<'a> {
        self.set[2] = true;
        self.change(|command| command.stderr(stream))
    }

    /// Gives it a terminal of this size instead of three streams.
    pub fn terminal(self, size: WindowSize) -> Command<'a> {
        self.change(|command| command.terminal(size))
    }

    /// Starts it and returns once it runs.
    ///
    /// # Errors
    /// As [`Place::spawn`].
    pub fn spawn(&self) -> Result<Process> {
        self.chroot.spawn(&self.command)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Place::status`].
    pub fn status(&self) -> Result<Exit> {
        self.chroot.status(&self.command)
    }

    /// Runs it to its end and collects what it prints. Streams that were not set are pipes, and its input is empty.
    ///
    /// # Errors
    /// As [`Place::output`].
    pub fn output(&self) -> Result<Output> {
        let [stdin, stdout, stderr] = self.set;
        let mut command = self.command.clone();
        if !stdin {
            command = command.stdin(Stream::Null);
        }
        if !stdout {
            command = command.stdout(Stream::Piped);
        }
        if !stderr {
            command = command.stderr(Stream::Piped);
        }
        self.chroot.spawn(&command)?.wait_with_output()
    }
}

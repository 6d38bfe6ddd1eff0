//! The one trait.

use crate::{Command, Exit, Process, Result, Stream};

/// Somewhere a command can run.
///
/// [`spawn`](Place::spawn) is the only verb that a place must have; everything else is made of it.
pub trait Place: Send + Sync {
    /// Starts a command and returns once it runs.
    ///
    /// # Errors
    /// [`Error::Spawn`](crate::Error::Spawn) when the program is missing or cannot be executed over there; else
    /// what kept the place from being entered.
    fn spawn(&self, command: &Command) -> Result<Process>;

    /// Runs a command to its end.
    ///
    /// # Errors
    /// As [`spawn`](Place::spawn), and when the way there is lost before the command ends.
    fn status(&self, command: &Command) -> Result<Exit> {
        self.spawn(command)?.wait()
    }

    /// Runs a command to its end and collects what it prints; its input is empty.
    ///
    /// # Errors
    /// As [`status`](Place::status).
    fn output(&self, command: &Command) -> Result<Output> {
        let command =
            command.clone().stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Piped);
        self.spawn(&command)?.wait_with_output()
    }
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

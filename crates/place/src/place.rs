//! The one trait.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::archive::{self, Archive};
use crate::connect::{self, Endpoint};
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

    /// A byte stream to a socket over there: reads and writes, and can be shut down (shutdown(2)) in each direction. It lives
    /// on without the place.
    ///
    /// By Python, socat or nc over there; a place that knows better does it better.
    ///
    /// # Errors
    /// As [`spawn`](Place::spawn), and when nobody listens there. A place may learn of that only when the stream ends at once.
    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        connect::by_command(self, to)
    }

    /// Copies from there: what `path` names, a link as such, and if it is a directory all that is below it. A path without
    /// a name of its own (`/`, `a/..`) is the directory's content, under the name `.`.
    ///
    /// By `sh` and `tar` over there; a place that knows better does it better.
    ///
    /// # Errors
    /// [`Error::Copy`](crate::Error::Copy), or as [`spawn`](Place::spawn). What goes wrong later is an error of the archive.
    fn get(&self, path: &Path) -> Result<Archive> {
        archive::get_by_command(self, path)
    }

    /// Copies to there, as cp(1) does: where `path` is an existing directory, the archive's root goes into it under its
    /// own name, else it becomes `path`, whose parent must exist. With a slash at its end `path` must be an existing directory.
    ///
    /// Everything arrives under a temporary name first, `.NAME.thither-XXXXXXXX`, and is then renamed: a copy that fails
    /// leaves all as it was. A directory is merged into one of its name, whose mode stays; a directory replaces nothing
    /// else, nor anything else a directory. Links at the end of the path are replaced, and none is followed below it.
    ///
    /// By `sh` and `tar` over there; a place that knows better does it better.
    ///
    /// # Errors
    /// [`Error::Copy`](crate::Error::Copy), or as [`spawn`](Place::spawn).
    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        archive::put_by_command(self, archive, path)
    }

    /// A stream to an interpreter of Python that runs there already for all who come, if the place keeps one. It expects what
    /// `serve` of thither's agent expects.
    ///
    /// # Errors
    /// When the place cannot be asked.
    fn interpreter(&self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    /// The same place once more, to outlive this one, if its [`get`](Place::get) and [`put`](Place::put) of absolute paths
    /// are more than commands over there. Who runs there already, an interpreter say, then copies files by it.
    fn own_files(&self) -> Option<Arc<dyn Place>> {
        None
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

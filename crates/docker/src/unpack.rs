//! A directory on its way into a container that runs, by the container's own `sh` and `tar`: an engine takes longer to unpack
//! small files than they do.
//!
//! They run as root, as the engine's unpacking does, and within the container: what its owner has forbidden to root in it, the
//! engine could do and they could not.

use std::io;
use std::path::Path;
use std::time::Duration;

use thither_place::archive::{Archive, Attempt, Attempted, put_by_command, try_put_by_command};
use thither_place::{Command, Error as There, Place, Process, Result};

use crate::call::Call;
use crate::container::Container;
use crate::error::Error;
use crate::model::Inspected;

/// For how long a copy may stand still before the engine is asked why.
const SILENCE: Duration = Duration::from_secs(30);
/// How long that answer may take: meanwhile nobody who watches is told.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether a command in the container can do all that the engine could, as far as the engine tells.
pub(crate) fn may_be_possible(inspected: &Inspected) -> bool {
    let (state, host) = (&inspected.state, &inspected.host);
    let runs = state.running && !state.paused && !state.restarting;
    runs && !host.is_read_only && host.cap_drop.iter().flatten().next().is_none()
}

impl Container {
    /// Puts an archive at a path from `/` on.
    pub(crate) fn unpack(&self, archive: Archive, path: &Path) -> Result<Attempted> {
        let still_there = || self.stands_still();
        // As by the archive endpoint, and faster: fractions take a header for each file.
        let whole_seconds = true;
        let silence = SILENCE.min(self.engine().patience(None).limit);
        let attempt = Attempt { whole_seconds, silence, still_there: &still_there };
        try_put_by_command(&AsRoot(self), archive, path, attempt)
    }

    /// Puts an archive at a path with what only a command can keep.
    pub(crate) fn unpack_by_gnu_tar(
        &self,
        archive: Archive,
        path: &Path,
        inspected: &Inspected,
    ) -> Result<()> {
        let whole = Path::new("/").join(&inspected.config.working_dir).join(path);
        put_by_command(&AsRoot(self), archive, &whole)
    }

    /// What stands still may be slow.
    ///
    /// # Errors
    /// When it cannot go on.
    fn stands_still(&self) -> io::Result<()> {
        let call = Call::get(self.path("/json")).limit(LIMIT);
        let inspected: Result<Inspected, Error> = self.engine().call(&call);
        let lost = |error: Error| io::Error::other(error.at(self.place(), None));
        let state = inspected.map_err(lost)?.state;
        match (state.running, state.paused) {
            (true, false) => Ok(()),
            (true, true) => Err(io::Error::other("the container was paused")),
            (false, _) => Err(io::Error::other("the container has ended")),
        }
    }
}

/// A container whose commands are root's, whoever they usually are.
struct AsRoot<'a>(&'a Container);

impl Place for AsRoot<'_> {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let process = self.0.exec(&command.clone().user("0:0").dir("/"));
        process.map_err(|error| match error {
            // It is there, and wants no command.
            There::Enter { place, source, hint }
                if matches!(source.downcast_ref(), Some(Error::Refused { .. })) =>
            {
                There::Place { action: "run a command".into(), place, source, hint }
            }
            error => error,
        })
    }
}

//! A container as a place.

use std::path::Path;
use std::sync::Arc;

use thither_place::{Archive, Command, Place, Process, Result};

use crate::Container;

/// A command in the container, which has to run: `docker exec`.
///
/// # Differences
/// - Its exit is always a code: the engine gives 128+n for signal n.
/// - It lives on when its [`Process`] is dropped.
/// - That a program is missing or cannot be executed is known once it was to run: the error may come of the process
///   instead of `spawn`.
/// - Signals are delivered by a helper `sh` in the container, as the API has no way; without one they are
///   [`Unsupported`](thither_place::Error::Unsupported). The environment holds `THITHER_EXEC`, by which the helper
///   finds the command.
/// - A program that stops itself at a terminal (by ^Z, without a shell above it) is not seen to: no engine tells. `~.` leaves.
/// - While standard output takes nothing, standard error waits too: both come on one connection.
/// - Files are copied to and from a container that does not run as well. Then, and in one without `/bin/sh`, what is
///   copied there is unpacked where it belongs, and a copy that fails may leave a part of it. Below a file system in
///   memory it has to run, and to have `tar`: the engine does not see those.
/// - A directory is unpacked by the container's own `sh` and `tar`, as root, where it runs, has them, and root in it has all
///   of its usual capabilities; else by the engine. Times are whole seconds; busybox's `tar` keeps none of links.
/// - A job that the command leaves in the background keeps its output open for at most two seconds.
impl Place for Container {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.exec(command)
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.get_files(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        self.put_files(archive, path)
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        Some(Arc::new(self.clone()))
    }
}

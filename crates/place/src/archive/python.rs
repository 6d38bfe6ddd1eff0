//! Files of a place without a shell, as Windows is: by Python alone.

use std::path::Path;

use super::destination::random_suffix;
use super::spawned::{Output, failed, send};
use super::talk::{Ready, Talk};
use super::{Archive, Kind, Preserve, named};
use crate::{Command, Error, Place, Process, Result, Stream};

/// What it is called, in the order in which it is tried: that of Windows has no `python3`, or a launcher only.
const NAMES: [&str; 3] = ["python3", "python", "py"];

const PROGRAM: &str = include_str!("python.py");

/// Whether there is no shell.
pub(super) fn is_wanted(error: &Error) -> bool {
    matches!(error, Error::Spawn { program, .. } if program == "sh") && error.shell_code() == 127
}

/// As [`get`](super::get), where `no_shell` is why there was no other way.
pub(super) fn get<P: Place + ?Sized>(
    place: &P,
    path: &Path,
    preserve: Preserve,
    no_shell: Error,
) -> Result<Archive> {
    let name = named(path).name;
    let command = Command::new("").args(["-c", PROGRAM, "get"]).arg(path).arg(name);
    let process = start(place, command.stdin(Stream::Null), preserve, no_shell)?;
    Ok(Archive::from_tar(Output(Talk::with(process, None)), name))
}

/// As [`put`](super::put), likewise.
pub(super) fn put<P: Place + ?Sized>(
    place: &P,
    mut archive: Archive,
    path: &Path,
    no_shell: Error,
) -> Result<()> {
    let failed = |error| failed(path, error);
    let kind = archive.root().map_err(failed)?.kind == Kind::Directory;
    let command = Command::new("").args(["-c", PROGRAM, "put"]).arg(path).arg(archive.name());
    let random = random_suffix().map_err(failed)?;
    let command = command.arg(if kind { "d" } else { "f" }).arg(random).stdin(Stream::Piped);
    let mut talk = Talk::with(start(place, command, archive.preserve(), no_shell)?, None);
    match talk.is_ready(&mut || archive.watch.idle()) {
        Ok(Some(_)) => send(talk, archive, Ready::Tar, false).map_err(failed),
        Ok(None) => talk.verdict().map_err(failed),
        Err(error) => {
            talk.give_up();
            Err(failed(error))
        }
    }
}

/// The first Python that there is; it keeps nothing besides.
fn start<P: Place + ?Sized>(
    place: &P,
    mut command: Command,
    preserve: Preserve,
    no_shell: Error,
) -> Result<Process> {
    if preserve != Preserve::default() {
        return Err(no_shell);
    }
    command = command.stdout(Stream::Piped).stderr(Stream::Piped);
    for name in NAMES {
        command.program = crate::Program::Named(name.into());
        match place.spawn(&command) {
            Err(error) if error.shell_code() == 127 => {}
            process => return process,
        }
    }
    Err(no_shell)
}

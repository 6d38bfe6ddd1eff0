//! Files to and from any place that can run a command: by `sh` and `tar` over there, or without `tar` by Python, or by `sh` alone.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::destination::random_suffix;
use super::failed::cut_short;
use super::script::Script;
use super::talk::{Outgoing, Ready, Silence, Talk, cannot_run, is_about_the_program};
use super::told::Asked;
use super::{Archive, CannotPreserve, Kind, Preserve, named, python};
use crate::{Command, Error, Place, Result, Stream};

/// What stands in for `tar`, in quotes of the shell: the program has no backslash before a dollar, a backquote or a double quote.
macro_rules! without_tar {
    () => {
        concat!(
            "command -v tar >/dev/null 2>&1 || tar_code=$(cat <<'END_OF_PYTHON'\n",
            include_str!("tar.py"),
            "END_OF_PYTHON\n)\n",
            include_str!("python.sh"),
        )
    };
}

/// The two scripts. They run under any POSIX shell, with GNU's tar, busybox's and others.
const GET: &str = concat!(
    "only=\n",
    without_tar!(),
    include_str!("name.sh"),
    include_str!("shell.sh"),
    include_str!("get.sh")
);
const PUT: &str = concat!(
    "only=$9\n",
    without_tar!(),
    include_str!("name.sh"),
    include_str!("shell.sh"),
    include_str!("put.sh")
);
/// Functions of a POSIX shell for places that bring files by other means and only have to give them their names: `name FROM
/// TO KIND MODE`, with the kind `d` for a directory and the mode in octal. It exits with 97, and why on standard error.
pub const NAME_FUNCTIONS: &str = include_str!("name.sh");
/// The name of the file at the end: see [`Tar::for_command`](super::Tar::for_command).
const MARKER: &str = "complete";
/// The name of the root on its way.
const ROOT: &str = "root";

/// [`Place::get`] by a command over there.
///
/// # Errors
/// As [`Place::spawn`]; what goes wrong later is an error of the archive.
pub fn get<P: Place + ?Sized>(place: &P, path: &Path) -> Result<Archive> {
    pack(place, path, Preserve::default())
}

/// [`Place::get`] of what is to be kept besides. A place that is read by its file system tells all; of extended attributes and
/// holes elsewhere only GNU's `tar` does, in a place that can run it.
///
/// # Errors
/// As [`get`].
pub fn get_preserving<P: Place + ?Sized>(
    place: &P,
    path: &Path,
    preserve: Preserve,
) -> Result<Archive> {
    let archive = place.get(path)?;
    match preserve.needs_gnu_tar() && !archive.is_tree() {
        true => {
            drop(archive);
            Ok(pack(place, path, preserve)?.preserving(preserve))
        }
        false => Ok(archive.preserving(preserve)),
    }
}

fn pack<P: Place + ?Sized>(place: &P, path: &Path, preserve: Preserve) -> Result<Archive> {
    let named = named(path);
    let token = token().map_err(|source| Error::Copy {
        action: format!("copy from {}", crate::error::quoted(path)),
        source: Box::new(source),
        hint: None,
    })?;
    let dir = plain(named.dir);
    let command = Command::new("sh").args(["-c", GET, "thither"]);
    let command = command.arg(&dir).arg(named.name).arg(preserve.words()).arg(&token);
    let command = command.stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Piped);
    let process = match place.spawn(&command) {
        Err(error) if python::is_wanted(&error) => {
            return python::get(place, path, preserve, error);
        }
        process => process?,
    };
    let talk = Talk::with(process, None);
    let root = [dir.as_os_str().as_bytes(), b"/", named.name.as_bytes()].concat();
    Ok(Archive::from_command(Output(talk), named.name, Asked { root, token }))
}

/// A word that no content knows.
fn token() -> io::Result<String> {
    let words = [random_suffix()?, random_suffix()?, random_suffix()?, random_suffix()?];
    Ok(format!("thither-{}", words.concat()))
}

/// [`Place::put`] by a command over there.
///
/// # Errors
/// As [`Place::put`].
pub fn put<P: Place + ?Sized>(place: &P, mut archive: Archive, path: &Path) -> Result<()> {
    let command = unpack(&mut archive, path, "").map_err(|error| failed(path, error))?;
    let command = command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
    let process = match place.spawn(&command) {
        Err(error) if python::is_wanted(&error) => {
            return python::put(place, archive, path, error);
        }
        process => process?,
    };
    let mut talk = Talk::with(process, None);
    let sent = match talk.is_ready(&mut || archive.watch.idle()) {
        Ok(Some(ready)) => send(talk, archive, ready, false),
        Ok(None) => Err(talk.verdict().err().unwrap_or_else(cut_short)),
        Err(error) => {
            talk.give_up();
            Err(error)
        }
    };
    sent.map_err(|error| failed(path, error))
}

/// What [`try_put`] is told by a place that has another way, too.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a closure has none")]
pub struct Attempt<'a> {
    /// Whether times are sent as by [`Tar::whole_seconds`](super::Tar::whole_seconds).
    pub whole_seconds: bool,
    /// For how long nothing may come from over there and nothing be taken until the place is asked whether it is still there.
    pub silence: Duration,
    /// That question, which is asked of a failure without a word, too. An error ends the copy.
    pub still_there: &'a (dyn Fn() -> io::Result<()> + Sync),
}

/// How an [`Attempt`] ended.
#[derive(Debug)]
pub enum Attempted {
    /// All is there.
    Done,
    /// It cannot be done by a command, and nothing was done: here is the archive, of which only the root was looked at.
    Impossible(Archive),
}

/// [`put`] where there may be another way, and so by nothing but `sh` and `tar`: only once they run over there and have made a directory beside the
/// destination, the archive is read. What arrives has the user and group of whoever they run as, in a set-group-id directory
/// too.
///
/// # Errors
/// As [`Place::put`].
pub fn try_put<P: Place + ?Sized>(
    place: &P,
    mut archive: Archive,
    path: &Path,
    attempt: Attempt<'_>,
) -> Result<Attempted> {
    let failed = |error| failed(path, error);
    let command = unpack(&mut archive, path, "only").map_err(failed)?;
    let command = command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
    let process = match place.spawn(&command) {
        Err(error) if cannot_run(&error) => return Ok(Attempted::Impossible(archive)),
        process => process?,
    };
    let silence = Silence { limit: attempt.silence, ask: attempt.still_there };
    let mut talk = Talk::with(process, Some(silence));
    match talk.is_ready(&mut || archive.watch.idle()) {
        Ok(Some(ready)) => send(talk, archive, ready, attempt.whole_seconds).map_err(failed)?,
        Ok(None) => return Ok(Attempted::Impossible(archive)),
        Err(error) if is_about_the_program(&error) => return Ok(Attempted::Impossible(archive)),
        Err(error) => {
            talk.give_up();
            return Err(failed(error));
        }
    }
    Ok(Attempted::Done)
}

/// The script that gives what it reads the name `path`.
fn unpack(archive: &mut Archive, path: &Path, only: &str) -> io::Result<Command> {
    let preserve = archive.preserve().words();
    let root = archive.root()?;
    let kind = if root.kind == Kind::Directory { "d" } else { "f" };
    let mode = format!("{:o}", root.mode);
    let named = named(path);
    let command = Command::new("sh").args(["-c", PUT, "thither"]);
    let command = command.arg(plain(path)).arg(plain(named.dir)).arg(named.name);
    let command = command.arg(if named.is_directory { "/" } else { "" });
    let command = command.arg(archive.name()).args([kind, &mode]).arg(random_suffix()?);
    Ok(command.args([only, &preserve]))
}

pub(super) fn send(
    mut talk: Talk<'_>,
    archive: Archive,
    ready: Ready,
    whole_seconds: bool,
) -> io::Result<()> {
    let archive = archive.renamed(ROOT);
    let mut stream: Box<dyn Outgoing> = match (ready, whole_seconds) {
        (Ready::Lines, _) => Box::new(Script::new(archive)),
        (Ready::Tar, false) => Box::new(archive.into_tar().for_command(MARKER)),
        (Ready::Tar, true) => Box::new(archive.into_tar().for_command(MARKER).whole_seconds()),
    };
    let stream = stream.as_mut();
    match talk.send(stream).and_then(|()| talk.finish(stream)) {
        Ok(()) => talk.verdict(),
        // Its input ends without the marker, so that it removes what it has made.
        Err(error) => {
            talk.give_up();
            Err(error)
        }
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> Error {
    let reason = CannotPreserve::of(&source).map(CannotPreserve::hint);
    let no_tar = source.kind() == io::ErrorKind::Unsupported;
    let hint = reason.or(no_tar.then_some("install tar over there")).map(str::to_owned);
    let action = format!("copy to {}", crate::error::quoted(path));
    Error::Copy { action, source: Box::new(source), hint }
}

/// A path that no program takes for an option.
pub(super) fn plain(path: &Path) -> PathBuf {
    match path.as_os_str().as_encoded_bytes() {
        b"" => ".".into(),
        [b'/', ..] => path.to_owned(),
        _ => {
            let mut plain = std::ffi::OsString::from("./");
            plain.push(path);
            plain.into()
        }
    }
}

/// The standard output of a script. It ends well only if the script does.
pub(super) struct Output(pub(super) Talk<'static>);

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

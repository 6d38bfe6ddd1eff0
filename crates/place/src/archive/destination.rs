//! An archive into the file system: to a temporary name beside its own first, then by rename.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat, renameat, statat,
};
use rustix::io::Errno;

use super::extract::{Directories, extract, finish, open_beneath};
use super::failed::failed;
use super::merge::{Merge, check_replacement};
use super::remove::Temporary;
use super::{Archive, CannotPreserve, Kind, named};

/// The longest name on Linux, in bytes.
const NAME_MAX: usize = 255;

/// Puts an archive into the file system as [`Place::put`](crate::Place::put) says. `open_directory` opens a directory by a
/// path as the user wrote it, links followed.
///
/// # Errors
/// Those of the archive and of the file system; `IsADirectory` and `NotADirectory` where one would have to replace something
/// else; `InvalidInput` for a copy onto or into itself. Nothing has changed then, but where the file system failed in the
/// midst of merging two directories.
pub fn put_files(
    mut archive: Archive,
    path: &Path,
    open_directory: &dyn Fn(&Path) -> io::Result<OwnedFd>,
) -> io::Result<()> {
    let (base, name, kind) = prepare(&mut archive, path, open_directory)?;
    match kind {
        Some(FileType::Directory) => merge(&mut archive, base.as_fd(), &name),
        _ => replace(&mut archive, base.as_fd(), &name),
    }
}

/// What [`put_files`] would refuse at once, and whether anything may be written there.
///
/// # Errors
/// As [`put_files`].
pub fn check_files(
    archive: &mut Archive,
    path: &Path,
    open_directory: &dyn Fn(&Path) -> io::Result<OwnedFd>,
) -> io::Result<()> {
    let (base, name, kind) = prepare(archive, path, open_directory)?;
    let into = if kind == Some(FileType::Directory) { &*name } else { OsStr::new(".") };
    accessat(&base, into, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| failed("write into", into, error))
}

/// Where it comes to be, by a directory and a name in it, and what is there.
fn prepare(
    archive: &mut Archive,
    path: &Path,
    open_directory: &dyn Fn(&Path) -> io::Result<OwnedFd>,
) -> io::Result<(OwnedFd, OsString, Option<FileType>)> {
    if archive.preserve().owner && !rustix::process::geteuid().is_root() {
        return Err(CannotPreserve::Owner.into());
    }
    let is_directory = archive.root()?.kind == Kind::Directory;
    let (base, name) = target(archive.name(), path, open_directory)?;
    let there = look(base.as_fd(), &name)?;
    refuse_itself(archive, is_directory, base.as_fd(), there.as_ref())?;
    let kind = there.map(|stat| FileType::from_raw_mode(stat.st_mode));
    check_replacement(Path::new(&name), is_directory, kind)?;
    Ok((base, name, kind))
}

/// The directory that the root comes to be in, and its name there; `.` is the directory itself.
fn target(
    root: &OsStr,
    path: &Path,
    open_directory: &dyn Fn(&Path) -> io::Result<OwnedFd>,
) -> io::Result<(OwnedFd, OsString)> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let error = match open_directory(path) {
        Ok(dir) => return Ok((dir, root.to_owned())),
        Err(error) => error,
    };
    let named = named(path);
    let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    if !is_missing || named.is_directory {
        return Err(error);
    }
    Ok((open_directory(named.dir)?, named.name.to_owned()))
}

fn look(base: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(base, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed("write", name, error)),
    }
}

/// Something new, or in the place of what is no directory.
fn replace(archive: &mut Archive, base: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let temporary_name = temporary_name(name)?;
    let mut temporary = Temporary { dir: base, name: &temporary_name, kept: false };
    let directories = extract(archive, base, &temporary_name)?;
    if !directories.is_empty() {
        let root = open_root(base, &temporary_name)?;
        finish(&directories, root.as_fd(), &|_| false)?;
    }
    renameat(base, &temporary_name, base, name).map_err(|error| failed("write", name, error))?;
    temporary.kept = true;
    Ok(())
}

/// Into a directory that is there. The temporary one is in it, so that it is on the same file system, and that no right to
/// the directory above is needed.
fn merge(archive: &mut Archive, base: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let to = open_root(base, name)?;
    let temporary_name = temporary_name(name)?;
    let _temporary = Temporary { dir: to.as_fd(), name: &temporary_name, kept: false };
    let directories: Directories = extract(archive, to.as_fd(), &temporary_name)?;
    let from = open_root(to.as_fd(), &temporary_name)?;
    let merge = Merge::plan(from.as_fd(), to.as_fd())?;
    merge.carry_out(from.as_fd(), to.as_fd())?;
    finish(&directories, to.as_fd(), &|path| merge.was_there(path))
}

fn open_root(base: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    open_beneath(base, Path::new(name), flags).map_err(|error| failed("open", name, error))
}

/// `.NAME.thither-XXXXXXXX`: what is left by this name is of a copy that was killed.
///
/// # Errors
/// Those of getrandom(2).
pub fn temporary_name(name: &OsStr) -> io::Result<OsString> {
    let random = random_suffix()?;
    let most = NAME_MAX - 2 - "thither-".len() - random.len();
    let name = if name == "." { OsStr::new("") } else { name };
    let name = &name.as_bytes()[..name.len().min(most)];
    let dot: &[u8] = if name.is_empty() { b"" } else { b"." };
    let text = [b".", name, dot, b"thither-", random.as_bytes()].concat();
    Ok(OsString::from_vec(text))
}

/// Eight hexadecimal digits.
pub(super) fn random_suffix() -> io::Result<String> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

/// A copy onto itself would lose it, one into itself would never end.
fn refuse_itself(
    archive: &Archive,
    is_directory: bool,
    base: BorrowedFd<'_>,
    there: Option<&Stat>,
) -> io::Result<()> {
    let Some(source) = archive.identity() else { return Ok(()) };
    let refuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if there.is_some_and(|stat| (stat.st_dev, stat.st_ino) == source) {
        return refuse("it is the same file");
    }
    if !is_directory {
        return Ok(());
    }
    let mut above: OwnedFd = base.try_clone_to_owned()?;
    let mut before = None;
    loop {
        let stat = fstat(&above)?;
        let here = (stat.st_dev, stat.st_ino);
        if here == source {
            return refuse("a directory cannot be copied into itself");
        }
        if before.replace(here) == Some(here) {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        above = match openat(&above, c"..", flags, Mode::empty()) {
            Ok(above) => above,
            // What nobody lets us see cannot be what we read.
            Err(Errno::ACCESS | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
    }
}

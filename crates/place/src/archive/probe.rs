//! Where a copy would come to be, looked at without changing anything.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::merge::check_replacement;
use super::{Kind, named};
use crate::error::quoted;
use crate::{Error, Place, Result};

/// Where a root of this name would come to be if it were [put](Place::put) at `path`, and what it would replace or be merged
/// into.
///
/// # Errors
/// [`Error::Copy`](crate::Error::Copy) if it is seen that it could not be; or as [`Place::get`].
pub fn destination<P: Place + ?Sized>(
    place: &P,
    path: &Path,
    name: &Path,
    is_directory: bool,
) -> Result<PathBuf> {
    let failed = |source: io::Error| {
        let action = format!("copy to {}", quoted(path));
        Error::Copy { action, source: Box::new(source), hint: None }
    };
    let target = target(place, path, name)?;
    let there = kind(place, &target)?.map(|kind| match kind {
        Kind::Directory => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::File | Kind::HardLink(_) => FileType::RegularFile,
    });
    check_replacement(&target, is_directory, there).map_err(failed)?;
    Ok(target)
}

/// The same without a look at what is there already.
///
/// # Errors
/// As [`destination`].
pub fn target<P: Place + ?Sized>(place: &P, path: &Path, name: &Path) -> Result<PathBuf> {
    let failed = |errno: Errno| {
        let action = format!("copy to {}", quoted(path));
        Error::Copy { action, source: Box::new(io::Error::from(errno)), hint: None }
    };
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if is_directory(place, path)? {
        // What has no name is the content of its directory.
        return Ok(if name == Path::new(".") { path.to_owned() } else { path.join(name) });
    }
    let named = named(path);
    if named.is_directory {
        let without_slash = named.dir.join(named.name);
        return Err(failed(match kind(place, &without_slash)? {
            Some(_) => Errno::NOTDIR,
            None => Errno::NOENT,
        }));
    }
    if !is_directory(place, named.dir)? {
        return Err(failed(Errno::NOENT));
    }
    Ok(path.to_owned())
}

/// Whether a path leads to a directory.
fn is_directory<P: Place + ?Sized>(place: &P, path: &Path) -> Result<bool> {
    let kind = kind(place, &path.join("."))?;
    Ok(kind == Some(Kind::Directory))
}

/// What is at a path; nothing if that cannot be told.
fn kind<P: Place + ?Sized>(place: &P, path: &Path) -> Result<Option<Kind>> {
    let mut archive = match place.get(path) {
        Err(Error::Copy { .. }) => return Ok(None),
        archive => archive?,
    };
    Ok(archive.root().ok().map(|root| root.kind.clone()))
}

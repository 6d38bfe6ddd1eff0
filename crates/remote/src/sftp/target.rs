//! Where a copy comes to be, as cp(1) has it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thither_place::archive::named;

use super::calls::{Calls, Idle};
use super::failed::failed;
use super::packet::{Attributes, Request};
use super::{DIRECTORY, KIND, LINK, REGULAR, below, bytes, described};

/// A name in a directory over there.
pub(super) struct Target {
    pub(super) base: PathBuf,
    /// `.` for the directory itself.
    pub(super) name: OsString,
    /// The mode of what has that name.
    pub(super) there: Option<u32>,
}

impl Target {
    /// Looks where something called `root` belongs that is copied to `path`.
    pub(super) fn find(
        root: &OsStr,
        path: &Path,
        calls: &mut Calls,
        idle: Idle<'_>,
    ) -> io::Result<Target> {
        if root.is_empty() || root == ".." || root.as_bytes().contains(&b'/') {
            return Err(failed("write", root, Errno::INVAL));
        }
        let (base, name) = base(root, path, calls, idle)?;
        let whole = if name == "." { PathBuf::new() } else { PathBuf::from(&name) };
        let there = calls
            .look(Request::LStat(below(&base, &whole)), idle)
            .map_err(|error| failed("write", &name, error))?;
        Ok(Target { base, name, there: there.map(mode) })
    }

    /// The path over there.
    pub(super) fn path(&self) -> PathBuf {
        match self.name == "." {
            true => self.base.clone(),
            false => self.base.join(&self.name),
        }
    }
}

fn base(
    root: &OsStr,
    path: &Path,
    calls: &mut Calls,
    idle: Idle<'_>,
) -> io::Result<(PathBuf, OsString)> {
    let mut is_directory = |path: &Path| -> io::Result<Option<bool>> {
        let found = calls.look(Request::Stat(bytes(path)), idle)?;
        Ok(found.map(|found| mode(found) & KIND == DIRECTORY))
    };
    let there = is_directory(path)?;
    if there == Some(true) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        return Ok((path.to_owned(), root.to_owned()));
    }
    let named = named(path);
    if named.is_directory {
        // Servers do not tell what is missing from what is no directory.
        let is_there = there.is_some() || is_directory(&named.dir.join(named.name))?.is_some();
        return Err(if is_there { Errno::NOTDIR } else { Errno::NOENT }.into());
    }
    match is_directory(named.dir)? {
        Some(true) => Ok((named.dir.to_owned(), named.name.to_owned())),
        Some(false) => Err(Errno::NOTDIR.into()),
        None => Err(Errno::NOENT.into()),
    }
}

pub(super) fn mode(attributes: Attributes) -> u32 {
    attributes.permissions.unwrap_or_default()
}

/// Refuses what may not take the place of what is there, as `place::archive` does.
pub(super) fn check_replacement(
    path: &Path,
    is_directory: bool,
    there: Option<u32>,
) -> io::Result<()> {
    let cause = match (is_directory, there.map(|mode| mode & KIND)) {
        (_, None) | (true, Some(DIRECTORY)) | (false, Some(REGULAR | LINK)) => return Ok(()),
        (true, Some(_)) => Errno::NOTDIR.into(),
        (false, Some(DIRECTORY)) => Errno::ISDIR.into(),
        (false, Some(other)) => {
            let text = format!("it is {}", described(other));
            io::Error::new(io::ErrorKind::InvalidInput, text)
        }
    };
    Err(failed("replace", path, cause))
}

//! What was made and is not to stay.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, openat, unlinkat};
use rustix::io::{Errno, Result};

/// Something of ours under a temporary name, removed with all that is in it when it is dropped.
pub(super) struct Temporary<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    /// Whether it has a lasting name by now.
    pub(super) kept: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.kept
            && let Ok(name) = CString::new(self.name.as_bytes())
            && let Err(error) = remove(self.dir, &name)
            && error != Errno::NOENT
        {
            tracing::debug!(name = ?self.name, %error, "a temporary file stays");
        }
    }
}

/// Removes what has this name, with all that is in it. Links are not followed; however deep it is, two directories are
/// open at once.
fn remove(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let mut current = enter(dir, name)?;
    let mut levels = vec![(name.to_owned(), empty(&current)?)];
    while let Some((name, below)) = levels.last_mut() {
        if let Some(next) = below.pop() {
            current = enter(current.as_fd(), &next)?;
            let below = empty(&current)?;
            levels.push((next, below));
            continue;
        }
        let name = name.clone();
        levels.pop();
        if levels.is_empty() {
            return unlinkat(dir, &name, AtFlags::REMOVEDIR);
        }
        current = open(current.as_fd(), c"..")?;
        unlinkat(&current, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn open(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Opens a directory that may have got its mode already.
fn enter(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    match open(dir, name) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())?;
            open(dir, name)
        }
        other => other,
    }
}

/// Removes all but the directories in it, and gives those.
fn empty(dir: &OwnedFd) -> Result<Vec<CString>> {
    fchmod(dir, Mode::RWXU)?;
    let mut directories = Vec::new();
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        match (name.to_bytes(), entry.file_type()) {
            (b"." | b"..", _) => {}
            (_, FileType::Directory) => directories.push(name),
            _ => names.push(name),
        }
    }
    for name in names {
        match unlinkat(dir, &name, AtFlags::empty()) {
            // A file system that does not say what is what.
            Err(Errno::ISDIR | Errno::PERM) => directories.push(name),
            other => other?,
        }
    }
    Ok(directories)
}

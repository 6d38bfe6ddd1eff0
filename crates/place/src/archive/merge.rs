//! A directory into one of the same name that is there: entry by entry, by rename.

use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Dir, FileType, OFlags, accessat, fstat, renameat, statat};
use rustix::io::Errno;

use super::extract::open_beneath;
use super::failed::failed;
use super::tree::described;

/// What will be done: which directories are there already, and what is renamed into them.
pub(super) struct Merge {
    merged: HashSet<PathBuf>,
    moves: Vec<PathBuf>,
}

impl Merge {
    /// Looks what will have to be done, and whether it can be: nothing has been changed when this fails.
    ///
    /// # Errors
    /// `IsADirectory` or `NotADirectory` where a directory and something else have the same name, `PermissionDenied`,
    /// `CrossesDevices` for a directory that is another file system.
    pub(super) fn plan(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Merge> {
        let device = fstat(from)?.st_dev;
        let mut merge = Merge { merged: HashSet::new(), moves: Vec::new() };
        let mut todo = vec![PathBuf::new()];
        while let Some(path) = todo.pop() {
            let failed = |error: io::Error| failed("write into", &path, error);
            let here = open(from, &path)?;
            let there = open(to, &path).map_err(|error| failed(error.into()))?;
            if fstat(&there)?.st_dev != device {
                return Err(failed(Errno::XDEV.into()));
            }
            accessat(&there, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
                .map_err(|error| failed(error.into()))?;
            for entry in Dir::read_from(&here)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let below = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                let is_directory = kind(here.as_fd(), name)? == Some(FileType::Directory);
                let there = kind(there.as_fd(), name)?;
                check_replacement(&below, is_directory, there)?;
                match there {
                    Some(FileType::Directory) => todo.push(below),
                    _ => merge.moves.push(below),
                }
            }
            merge.merged.insert(path);
        }
        Ok(merge)
    }

    /// Whether a directory was there before.
    pub(super) fn was_there(&self, path: &Path) -> bool {
        self.merged.contains(path)
    }

    /// Does it.
    ///
    /// # Errors
    /// As renameat(2); some of it may have been done then.
    pub(super) fn carry_out(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        let mut open_at: Option<(&Path, _, _)> = None;
        for path in &self.moves {
            let parent = path.parent().unwrap_or(Path::new(""));
            let name = CString::new(path.file_name().unwrap_or_default().as_bytes())?;
            let (_, here, there) = match open_at.take().filter(|(open, ..)| *open == parent) {
                Some(same) => open_at.insert(same),
                None => open_at.insert((parent, open(from, parent)?, open(to, parent)?)),
            };
            renameat(&*here, &name, &*there, &name)
                .map_err(|error| failed("write", path, error))?;
        }
        Ok(())
    }
}

/// Refuses what may not take the place of what is there: a directory that of something else, or the reverse; and anything
/// that of a device, a fifo or a socket, which cp(1) would write to instead.
pub(super) fn check_replacement(
    path: &Path,
    is_directory: bool,
    there: Option<FileType>,
) -> io::Result<()> {
    let cause = match (is_directory, there) {
        (_, None) | (true, Some(FileType::Directory)) => return Ok(()),
        (false, Some(FileType::RegularFile | FileType::Symlink)) => return Ok(()),
        (true, Some(_)) => Errno::NOTDIR.into(),
        (false, Some(FileType::Directory)) => Errno::ISDIR.into(),
        (false, Some(other)) => {
            let text = format!("it is {}", described(other));
            io::Error::new(io::ErrorKind::InvalidInput, text)
        }
    };
    Err(failed("replace", path, cause))
}

fn open(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    open_beneath(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// What has a name; `None` if nothing has.
fn kind(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<Option<FileType>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

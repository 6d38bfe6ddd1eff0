//! A root directory seen from outside. Every path is resolved by the kernel as if it were `/` already
//! (`RESOLVE_IN_ROOT` of openat2(2)), so that no link in it leads out.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use rustix::path::Arg;
use thither_place::launch::{Files, Found, MAX_FILE};

/// A root directory, held open.
#[derive(Debug)]
pub(crate) struct Root {
    /// Its absolute path without links.
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    place: String,
    uid: u32,
}

impl Root {
    /// Opens it. `place` is its address and `uid` the user inside, for messages and lookups.
    ///
    /// # Errors
    /// As `realpath(3)` and `open(2)`; `NotADirectory` for a file.
    pub(crate) fn open(path: &Path, place: String, uid: u32) -> io::Result<Root> {
        let path = fs::canonicalize(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Root { path, fd, place, uid })
    }

    /// Opens a path of the root.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub(crate) fn open_inside(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(open_in_root(self.fd.as_fd(), path, flags)?)
    }

    /// What is at a path, links followed inside.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub(crate) fn file_type(&self, path: &Path) -> io::Result<(FileType, Mode)> {
        let fd = self.open_inside(path, OFlags::PATH)?;
        let stat = statat(fd, c"", AtFlags::EMPTY_PATH)?;
        Ok((FileType::from_raw_mode(stat.st_mode), Mode::from_raw_mode(stat.st_mode)))
    }

    /// A path of the root that is shown on this machine: for messages.
    pub(crate) fn display(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }
}

impl Files for Root {
    fn place(&self) -> &str {
        &self.place
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // A fifo or a device would block or never end.
        if !self.file_type(path)?.0.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = File::from(self.open_inside(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text)?;
        Ok(text)
    }

    fn look(&self, path: &Path) -> Option<Found> {
        let (kind, mode) = self.file_type(path).ok()?;
        Some(match mode.intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH) {
            _ if kind.is_dir() => Found::Directory,
            true => Found::Executable,
            false => Found::Plain,
        })
    }

    fn uid(&self) -> u32 {
        self.uid
    }

    fn start(&self) -> Option<&Path> {
        Some(Path::new("/"))
    }
}

/// Opens a path as if `root` were `/`. Makes system calls only if `path` is a `CStr`.
///
/// # Errors
/// As `openat2(2)`.
pub(crate) fn open_in_root(
    root: BorrowedFd<'_>,
    path: impl Arg + Copy,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let open = || openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    // EAGAIN: while a `..` was resolved, something was renamed or mounted, anywhere on this machine; one is
    // asked to try again (openat2(2)). A bound, as it may be done on purpose.
    (0..1000)
        .map(|_| open())
        .find(|opened| !matches!(opened, Err(Errno::AGAIN)))
        .unwrap_or(Err(Errno::AGAIN))
}

/// A path as the kernel takes it, relative to the root.
pub(crate) fn relative(path: &OsStr) -> &OsStr {
    let trimmed = path.as_bytes().iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    OsStr::from_bytes(&path.as_bytes()[trimmed..])
}

/// Whether two descriptors are of the same file.
pub(crate) fn same_file(a: impl AsFd, b: impl AsFd) -> rustix::io::Result<bool> {
    let identity =
        |fd| statat(fd, EMPTY, AtFlags::EMPTY_PATH).map(|stat| (stat.st_dev, stat.st_ino));
    Ok(identity(a.as_fd())? == identity(b.as_fd())?)
}

const EMPTY: &CStr = c"";

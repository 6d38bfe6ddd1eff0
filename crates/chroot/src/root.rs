//! A root directory seen from outside. Every path is resolved by the kernel as if it were `/` already
//! (`RESOLVE_IN_ROOT` of openat2(2)), so that no link in it leads out.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
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
    /// Where commands start, as they see it; relative if that is outside.
    pub(crate) start: PathBuf,
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
        Ok(Root { path, fd, place, uid, start: "/".into() })
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
    pub(crate) fn display(&self, path: &Path) -> PathBuf {
        self.path.join(relative(path.as_os_str()))
    }

    /// A path with every link in it followed inside, dangling ones too: what would have to be made there.
    ///
    /// # Errors
    /// As [`walk`](Root::walk).
    pub(crate) fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        self.walk(path, |_, _, _| Ok(true))
    }

    /// Walks a path, following links inside, dangling ones too, and gives where it ends. For each part that does not
    /// exist `missing` is told the folder, the path and whether more follows; `false` looks at that part again.
    ///
    /// # Errors
    /// As `openat2(2)`, but for what does not exist; `ELOOP`; those of `missing`.
    pub(crate) fn walk(
        &self,
        path: &Path,
        mut missing: impl FnMut(&Path, &Path, bool) -> io::Result<bool>,
    ) -> io::Result<PathBuf> {
        let mut todo: Vec<OsString> = parts(path).rev().collect();
        let mut at = PathBuf::from("/");
        let mut turns = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            if turns > MAX_LINKS {
                return Err(Errno::LOOP.into());
            }
            let next = at.join(&name);
            match self.link(&next) {
                Ok(Some(target)) => {
                    turns += 1;
                    if target.is_absolute() {
                        at = "/".into();
                    }
                    todo.extend(parts(&target).rev());
                }
                Ok(None) => at = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if missing(&at, &next, !todo.is_empty())? {
                        at = next;
                    } else {
                        turns += 1;
                        todo.push(name);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    /// What a link says; `None` if something else is there.
    ///
    /// # Errors
    /// As `openat2(2)` and `readlinkat(2)`.
    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let found = self.open_inside(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = statat(&found, c"", AtFlags::EMPTY_PATH)?;
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Ok(None);
        }
        let target = readlinkat(&found, c"", Vec::new())?;
        Ok(Some(OsString::from_vec(target.into_bytes()).into()))
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
        Some(&self.start)
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

/// How many links a path may lead through, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The names in a path, without `/` and `.`.
pub(crate) fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
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

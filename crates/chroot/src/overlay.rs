//! An overlay: the root stays as it is, and what is written goes elsewhere (the kernel's
//! `Documentation/filesystems/overlayfs.rst`).
//!
//! A tmpfs, the *stage*, holds all that the overlay is made of, under names that need no escaping:
//!
//! | name | |
//! |---|---|
//! | `l` | the root |
//! | `s` | the mount points that it lacks, below the root, where its own directories hide them |
//! | `u`, `w` | what is written, and the overlay's work; or: |
//! | `k` | a directory of the user, with these two as `upper` and `work` |
//!
//! An overlay takes no mounts along, so what is mounted below the root is bound there again, read-only: nothing that is
//! written may reach this machine.
//!
//! Making it runs between fork and exec: system calls only.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, StatxAttributes, StatxFlags, flock, mkdirat,
    openat, statx,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, unmount,
};
use thither_place::error::quoted;
use thither_place::launch::{Failure, c_string};

use crate::attach::{FileSystem, Missing, attach_at, clone_tree, make, set_read_only};
use crate::enter::step;
use crate::root::open_in_root;

/// Where what is written in a root goes instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Overlay {
    /// Nowhere: it is in memory, and gone with the command.
    Vanish,
    /// Into this directory, made if it is missing, to be there again the next time: in `upper` what was written, in
    /// `work` what the kernel needs. It must not be in the root, and one command at a time can have it.
    Keep(PathBuf),
}

/// An overlay with everything looked up.
#[derive(Debug)]
pub(crate) struct PlannedOverlay {
    stage: FileSystem,
    keep: Option<CString>,
    /// What the root lacks: paths relative to it, a directory before what is in it.
    skeleton: Vec<Missing>,
    /// What is mounted below the root, relative to it.
    pub(crate) submounts: Vec<CString>,
    /// Whether the overlay's marks are attributes that an ordinary user may set.
    user: bool,
    read_only: bool,
}

/// The directory of [`Overlay::Keep`], for as long as a command has it.
#[derive(Debug)]
pub(crate) struct Kept {
    _lock: File,
    path: PathBuf,
    /// What was missing.
    made: Vec<PathBuf>,
}

impl Kept {
    /// Makes what it lacks, and locks it.
    ///
    /// # Errors
    /// Those of `mkdir(2)` and `open(2)`, and when another command has it.
    pub(crate) fn open(dir: &Path) -> io::Result<Kept> {
        let mut made = Vec::new();
        // What is `/` inside has the mode of `upper`. Nobody else can open `work`, and so have the lock.
        for (folder, mode) in
            [(dir.to_owned(), 0o755), (dir.join("upper"), 0o755), (dir.join("work"), 0o700)]
        {
            match fs::create_dir(&folder) {
                Ok(()) => {
                    fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?;
                    made.push(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if folder != dir && !fs::symlink_metadata(&folder)?.is_dir() {
                        let text = format!("{} is no directory", quoted(&folder));
                        return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let lock = File::open(dir.join("work"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN) => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "another command has it"))
            }
            other => {
                other?;
                Ok(Kept { path: fs::canonicalize(dir)?, made, _lock: lock })
            }
        }
    }

    /// Refuses a directory in the root, as the kernel does, unless it is on another file system; and takes back what was
    /// made there.
    fn check_outside(&self, root: &Path) -> io::Result<()> {
        let same_device =
            fs::metadata(&self.path)?.dev() == fs::metadata(root).map_or(0, |root| root.dev());
        if !(self.path.starts_with(root) && same_device) {
            return Ok(());
        }
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        let text = format!("{}, where it is to be kept, is in the root", quoted(&self.path));
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

impl PlannedOverlay {
    /// Plans it for a root that is at this path; `user` if trusted attributes cannot be set.
    ///
    /// # Errors
    /// When the list of mounts cannot be read, or what is kept would be in the root.
    pub(crate) fn new(
        root: &Path,
        kept: Option<&Kept>,
        user: bool,
        read_only: bool,
    ) -> io::Result<PlannedOverlay> {
        kept.map_or(Ok(()), |kept| kept.check_outside(root))?;
        let keep = kept.map(|kept| c_string("directory", kept.path.as_os_str())).transpose()?;
        let stage = FileSystem {
            kind: c"tmpfs".to_owned(),
            flags: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
            options: vec![(c"mode".to_owned(), Some(c"0755".to_owned()))],
        };
        let submounts = mounted_below(root)?;
        Ok(PlannedOverlay { stage, keep, skeleton: Vec::new(), submounts, user, read_only })
    }

    /// Adds a mount point that the root lacks, at a path without links.
    ///
    /// # Errors
    /// A path with a NUL.
    pub(crate) fn lacks(&mut self, path: &Path, dir: bool) -> io::Result<()> {
        let path = path.strip_prefix("/").unwrap_or(path);
        for missing in Missing::below(Path::new(""), path, dir)? {
            if !self.skeleton.contains(&missing) {
                self.skeleton.push(missing);
            }
        }
        Ok(())
    }

    /// Leaves out what is mounted at this path of the root or below it, as something else will be there.
    pub(crate) fn hides(&mut self, path: &Path) {
        let path = path.strip_prefix("/").unwrap_or(path);
        self.submounts.retain(|mount| {
            !Path::new(std::ffi::OsStr::from_bytes(mount.as_bytes())).starts_with(path)
        });
    }

    /// Makes it of the tree of the root, attaches it at `place`, and gives it.
    ///
    /// # Errors
    /// The step that failed.
    pub(crate) fn make(
        &self,
        lower: BorrowedFd<'_>,
        place: BorrowedFd<'_>,
    ) -> Result<OwnedFd, Failure> {
        // For all to use, whatever our umask.
        let umask = rustix::process::umask(Mode::empty());
        let stage = self.set_stage(lower, place).map_err(Failure::at(step::STAGE));
        rustix::process::umask(umask);
        let stage = stage?;
        // The names of the layers are relative.
        rustix::process::fchdir(&stage).map_err(Failure::at(step::STAGE))?;
        let root = self.make_of_layers().map_err(Failure::at(step::OVERLAY))?;
        // The overlay has its layers now. The stage must go: where the place is this machine's own `/`, it would lie on
        // what `pivot_root` puts away, be taken off in its stead, and leave a way back.
        clear(place).map_err(Failure::at(step::STAGE))?;
        attach_at(root.as_fd(), place).map_err(Failure::at(step::OVERLAY))?;
        for (index, path) in (0..).zip(&self.submounts) {
            let failure = |errno| Failure { step: step::SUBMOUNT, index, errno };
            bind_again(place, root.as_fd(), path).map_err(failure)?;
        }
        if self.read_only {
            set_read_only(root.as_fd(), true).map_err(Failure::at(step::READ_ONLY))?;
        }
        Ok(root)
    }

    fn set_stage(
        &self,
        lower: BorrowedFd<'_>,
        place: BorrowedFd<'_>,
    ) -> rustix::io::Result<OwnedFd> {
        let stage = make(&self.stage, false)?;
        attach_at(stage.as_fd(), place)?;
        let folder = |name: &CStr| {
            mkdirat(&stage, name, Mode::from_raw_mode(0o755))?;
            openat(&stage, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        };
        attach_at(lower, folder(c"l")?.as_fd())?;
        if !self.skeleton.is_empty() {
            let skeleton = folder(c"s")?;
            for missing in &self.skeleton {
                missing.make(skeleton.as_fd())?;
            }
        }
        match &self.keep {
            Some(keep) => {
                let tree = clone_tree(CWD, keep, false)?;
                attach_at(tree.as_fd(), folder(c"k")?.as_fd())?;
            }
            None => drop([folder(c"u")?, folder(c"w")?]),
        }
        Ok(stage)
    }

    fn make_of_layers(&self) -> rustix::io::Result<OwnedFd> {
        let overlay = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let set = |key: &CStr, value: &CStr| fsconfig_set_string(&overlay, key, value);
        set(c"source", c"overlay")?;
        set(c"lowerdir", if self.skeleton.is_empty() { c"l" } else { c"l:s" })?;
        let (upper, work) =
            if self.keep.is_some() { (c"k/upper", c"k/work") } else { (c"u", c"w") };
        set(c"upperdir", upper)?;
        set(c"workdir", work)?;
        if self.user {
            fsconfig_set_flag(&overlay, c"userxattr")?;
        }
        fsconfig_create(&overlay)?;
        fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    }
}

/// Takes off what lies on a place.
fn clear(place: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::process::fchdir(place)?;
    unmount(c".", UnmountFlags::DETACH)
}

/// Binds what is mounted at a path below `place`, under all that lies on that itself.
fn bind_again(
    place: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    path: &CString,
) -> rustix::io::Result<()> {
    let there = open_in_root(place, path.as_c_str(), OFlags::PATH)?;
    let tree = clone_tree(there.as_fd(), c"", true)?;
    set_read_only(tree.as_fd(), true)?;
    let destination = open_in_root(root, path.as_c_str(), OFlags::PATH)?;
    attach_at(tree.as_fd(), destination.as_fd())
}

/// Of this thread, which may have mounts of its own (unshare(2)).
const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// The outermost mount points below a path, relative to it: field 5 of proc_pid_mountinfo(5).
fn mounted_below(root: &Path) -> io::Result<Vec<CString>> {
    let text = fs::read(MOUNTS)
        .map_err(|error| io::Error::new(error.kind(), format!("{MOUNTS}: {error}")))?;
    let mut found: Vec<PathBuf> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let Some(field) = line.split(|&byte| byte == b' ').nth(4) else { continue };
        let point = unescape(field);
        let point = Path::new(std::ffi::OsStr::from_bytes(&point));
        if let Ok(below) = point.strip_prefix(root)
            && below != Path::new("")
            && is_mount_point(point)
        {
            found.push(below.to_owned());
        }
    }
    found.sort();
    let mut outermost: Vec<PathBuf> = Vec::new();
    for path in found {
        if !outermost.iter().any(|outer| path.starts_with(outer)) {
            outermost.push(path);
        }
    }
    outermost
        .iter()
        .map(|path| c_string("mount point", path.as_os_str()))
        .collect::<io::Result<_>>()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", quoted(root))))
}

/// Whether a mount is to be seen at a path: a later one may lie over it, or over a folder above it.
fn is_mount_point(path: &Path) -> bool {
    let statx =
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::empty());
    // Whoever cannot look there will hear of it when it is to be mounted.
    statx.map_or_else(
        |errno| errno != Errno::NOENT,
        |statx| statx.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    )
}

/// Octal escapes, as of a space by `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        };
        match (first, after.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mountinfo() {
        assert_eq!(unescape(b"/a\\040b\\134c\\012"), b"/a b\\c\n");
        assert_eq!(unescape(b"/a\\04"), b"/a\\04");
    }

    #[test]
    fn the_skeleton_has_each_folder_once_and_before_what_is_in_it() {
        let mut overlay = PlannedOverlay::new(Path::new("/nonesuch"), None, false, false).unwrap();
        overlay.lacks(Path::new("/a/b/c"), true).unwrap();
        overlay.lacks(Path::new("/a/b/f"), false).unwrap();
        let found: Vec<_> =
            overlay.skeleton.iter().map(|m| (m.path.to_str().unwrap(), m.dir)).collect();
        assert_eq!(found, [("a", true), ("a/b", true), ("a/b/c", true), ("a/b/f", false)]);
    }
}

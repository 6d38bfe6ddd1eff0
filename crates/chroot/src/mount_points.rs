//! Mount points that the root lacks: made before, removed by the last one who uses them.
//!
//! Several programs may enter one root at a time, and any of them may be killed at any moment. So each thing is
//! made under a temporary name that its [record](crate::records) knows already, then what it is gets recorded, and
//! only then it gets its own name, if nobody else has made that meanwhile.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::made::{Entry, Identity, temporary_name};
use crate::records::Record;
use crate::root::Root;

/// Our use of a root's mount points. Dropping it removes those that were made, if nobody else uses them.
#[derive(Debug)]
pub(crate) struct MountPoints {
    root: OwnedFd,
    root_path: PathBuf,
    record: Record,
}

/// Whether a destination is there, a directory or a file.
///
/// # Errors
/// When something else is there, or it cannot be looked at.
pub(crate) fn exists(root: &Root, destination: impl AsRef<Path>, dir: bool) -> io::Result<bool> {
    match root.file_type(destination.as_ref()) {
        Ok((kind, _)) if dir && !kind.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok((kind, _)) if !dir && kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl MountPoints {
    /// Registers a use of the root, after clearing what a killed predecessor left.
    ///
    /// # Errors
    /// When there can be no record; `TimedOut` when somebody is stopped while removing mount points of this root.
    pub(crate) fn open(root: &Root) -> io::Result<MountPoints> {
        let fd = root.fd.as_fd().try_clone_to_owned()?;
        Ok(MountPoints { root: fd, root_path: root.path.clone(), record: Record::open(root)? })
    }

    /// Makes what a path lacks, following links inside the root, dangling ones too: directories, and at its end one or
    /// a file.
    ///
    /// # Errors
    /// As `mkdir(2)` and `open(2)`, and when it cannot be recorded.
    pub(crate) fn make(
        &self,
        root: &Root,
        destination: impl AsRef<Path>,
        dir: bool,
    ) -> io::Result<()> {
        root.walk(destination.as_ref(), |parent, path, more| {
            let parent = root.open_inside(parent, OFlags::PATH | OFlags::DIRECTORY)?;
            // If somebody else has made something there, it may be a link, and gone the next time.
            self.make_one(&parent, path, dir || more)
        })
        .map(drop)
    }

    /// Makes a directory or a file, unless somebody else does so first; says whether.
    fn make_one(&self, parent: &OwnedFd, path: &Path, dir: bool) -> io::Result<bool> {
        tracing::debug!(path = ?path, "make a mount point");
        let name = path.file_name().unwrap_or_default();
        let temporary = temporary_name()?;
        let temporary_path = path.with_file_name(&temporary);
        self.record.write(&self.root_path, &Entry::Intent { path: temporary_path })?;
        let identity = create(parent, temporary.as_ref(), dir)?;
        let placed = self
            .write_made(path, identity)
            .and_then(|()| self.place(parent, &temporary, name, path, dir));
        if !matches!(placed, Ok(true)) {
            let _ = remove(parent, temporary.as_ref(), dir);
        }
        placed
    }

    fn write_made(&self, path: &Path, identity: Identity) -> io::Result<()> {
        self.record.write(&self.root_path, &Entry::Made { path: path.to_owned(), identity })
    }

    /// Gives what was made its own name, if that is still free; says whether.
    fn place(
        &self,
        parent: &OwnedFd,
        temporary: &str,
        name: &OsStr,
        path: &Path,
        dir: bool,
    ) -> io::Result<bool> {
        match renameat_with(parent, temporary, parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            // Some file systems cannot leave alone what is there, such as NFS (rename(2)).
            Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        if !dir {
            match linkat(parent, temporary, parent, name, AtFlags::empty()) {
                Ok(()) => {
                    let _ = remove(parent, temporary.as_ref(), dir);
                    return Ok(true);
                }
                Err(Errno::EXIST) => return Ok(false),
                Err(_) => {}
            }
        }
        // Between making and recording is a moment in which a SIGKILL would leave it for ever: here there is no other
        // way.
        let _ = remove(parent, temporary.as_ref(), dir);
        match create(parent, name, dir) {
            Ok(identity) => {
                self.write_made(path, identity).inspect_err(|_| {
                    let _ = remove(parent, name, dir);
                })?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for MountPoints {
    fn drop(&mut self) {
        self.record.leave(self.root.as_fd());
    }
}

/// Makes a directory or a file, for all to use whatever our umask.
fn create(parent: &OwnedFd, name: &OsStr, dir: bool) -> io::Result<Identity> {
    let mode = Mode::from_raw_mode(if dir { 0o755 } else { 0o644 });
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let made = match dir {
        true => {
            mkdirat(parent, name, mode)?;
            openat(parent, name, flags | OFlags::DIRECTORY, Mode::empty())?
        }
        false => {
            openat(parent, name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY, mode)?
        }
    };
    let (identity, had) = Identity::of(&made)?;
    if Mode::from_raw_mode(u32::from(had) & 0o777) != mode {
        rustix::fs::fchmod(&made, mode)?;
    }
    Ok(identity)
}

fn remove(parent: &OwnedFd, name: &OsStr, dir: bool) -> rustix::io::Result<()> {
    unlinkat(parent, name, if dir { AtFlags::REMOVEDIR } else { AtFlags::empty() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_child_that_is_just_starting_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), "chroot:".into(), 0).unwrap();
        let [first, second] = [(); 2].map(|()| {
            let points = MountPoints::open(&root).unwrap();
            if !exists(&root, "/made", true).unwrap() {
                points.make(&root, "/made", true).unwrap();
            }
            points
        });
        // What another thread forks has the same open file description, until it executes its program.
        let forked = first.record.file.try_clone().unwrap();
        drop(first);
        assert!(folder.path().join("made").exists());
        drop(second);
        assert!(!folder.path().join("made").exists());
        drop(forked);
    }

    #[test]
    fn nobody_loses_what_he_uses_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let use_it = || {
            let root = Root::open(folder.path(), "chroot:".into(), 0).unwrap();
            let points = MountPoints::open(&root).unwrap();
            if !exists(&root, "/made", true).unwrap() {
                points.make(&root, "/made", true).unwrap();
            }
            std::thread::yield_now();
            assert!(folder.path().join("made").exists());
            drop(points);
        };
        for _ in 0..100 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..10).for_each(|_| use_it()));
                }
            });
            // A program that sweeps may have come before the last of them.
            let gone = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
            testkit::wait_until(testkit::DEADLINE, "an empty root", gone);
        }
    }

    #[test]
    fn of_two_who_end_at_the_same_time_one_removes() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), "chroot:".into(), 0).unwrap();
        for _ in 0..500 {
            let both = [(); 2].map(|()| MountPoints::open(&root).unwrap());
            both[0].make(&root, "/made", true).unwrap();
            let ready = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for points in both {
                    let ready = &ready;
                    scope.spawn(move || {
                        ready.fetch_add(1, Ordering::SeqCst);
                        // Whoever sleeps comes too late.
                        while ready.load(Ordering::SeqCst) < 2 {
                            std::hint::spin_loop();
                        }
                        drop(points);
                    });
                }
            });
            let gone = || !folder.path().join("made").exists();
            testkit::wait_until(testkit::DEADLINE, "the end of what was made", gone);
        }
    }
}

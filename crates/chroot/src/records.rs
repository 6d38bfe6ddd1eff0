//! Records of what was made in roots, which outlive a SIGKILL.
//!
//! Each root has one, named after its device and inode, in a private folder. Those who use the root share a lock on
//! it. Who can have the lock alone is the only user, or finds a record whose users are gone, all of them killed: he
//! removes what it lists, and it. He has it alone for that moment only, and nobody waits for him but newcomers
//! to the same root; they give up after [`PATIENCE`], as he may be stopped. The records of other roots are only ever
//! tried to be locked.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, fstat, openat, unlinkat};
use rustix::io::Errno;

use thither_place::error::quoted;

use crate::made::Entry;
use crate::root::Root;
use thither_place::state::StateFolder;
use thither_place::state::lock::{Kind, share, try_lock, unlock};

/// How long to wait for somebody who is removing mount points: much longer than that takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of a record, in bytes: a mount point takes some hundred.
const LONGEST: u64 = 4 << 20;

/// Our use of a root, as its record knows it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) file: File,
    path: PathBuf,
    has_header: AtomicBool,
}

impl Record {
    /// Registers a use of the root, after removing what killed users of this and other roots left.
    ///
    /// # Errors
    /// When the record cannot be opened in the private folder; `TimedOut` when somebody does not come to an end with
    /// removing mount points of this root.
    pub(crate) fn open(root: &Root) -> io::Result<Record> {
        let stat = fstat(&root.fd)?;
        let name = format!("root-{:x}-{:x}", stat.st_dev, stat.st_ino);
        loop {
            // The last user may remove the folder at any time, and another user of this machine make one of its
            // name: so the record is opened in the very folder that was looked at.
            let Some(folder) = StateFolder::open()? else { continue };
            let mode = Mode::from_raw_mode(0o600);
            let file = match openat(&folder.fd, &name, OPEN | OFlags::CREATE, mode) {
                Err(Errno::NOENT) => continue,
                other => File::from(other?),
            };
            let path = folder.path.join(&name);
            let record = Record { file, path, has_header: AtomicBool::new(false) };
            if !record.join(root)? {
                continue;
            }
            if !folder.is_new {
                sweep_others(&folder, name.as_bytes());
            }
            return Ok(record);
        }
    }

    /// Shares the lock; if nobody else does, after removing what the record lists. Says whether it is still the
    /// root's record.
    fn join(&self, root: &Root) -> io::Result<bool> {
        let alone = try_lock(&self.file, Kind::Exclusive)?;
        if !alone {
            share(&self.file, PATIENCE).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => io::Error::new(
                    error.kind(),
                    "somebody has been removing mount points of this root for seconds: continue or kill the \
                     program, if it is stopped",
                ),
                _ => error,
            })?;
        }
        let stat = fstat(&self.file)?;
        // The last user may have removed the name between our open and our lock.
        if stat.st_nlink == 0 {
            return Ok(false);
        }
        if alone {
            if stat.st_size > 0 && undo(&self.file, |_| Ok(Some(root.fd.as_fd())))? {
                self.file.set_len(0)?;
            }
            try_lock(&self.file, Kind::Shared)?;
        }
        Ok(true)
    }

    /// Writes something down before it is done.
    ///
    /// # Errors
    /// When it cannot be written; then it must not be done.
    pub(crate) fn write(&self, root: &Path, entry: &Entry) -> io::Result<()> {
        let write = || {
            let mut text = Vec::new();
            if !self.has_header.load(Ordering::Relaxed) {
                text = Entry::Header { boot: boot()?, root: root.to_owned() }.encode();
            }
            text.extend(entry.encode());
            (&self.file).write_all(&text)?;
            self.has_header.store(true, Ordering::Relaxed);
            Ok(())
        };
        write().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("the record {}: {error}", quoted(&self.path)))
        })
    }

    /// Ends our use of the root. The last one to do so removes what was made, and the record.
    pub(crate) fn leave(&self, root: BorrowedFd<'_>) {
        // At first as a user who has it, so that nobody else can come between; but of two who try that at the same
        // time neither is alone, so then as one who has gone.
        let last = match try_lock(&self.file, Kind::Exclusive) {
            Ok(false) => unlock(&self.file).and_then(|()| try_lock(&self.file, Kind::Exclusive)),
            other => other,
        };
        if let (Ok(true), Ok(stat)) = (last, fstat(&self.file))
            && stat.st_nlink > 0
            && (stat.st_size == 0 || undo(&self.file, |_| Ok(Some(root))).unwrap_or(false))
        {
            // A record whose name is gone is no one's: see `join`.
            let _ = fs::remove_file(&self.path);
            // So is its folder, when it was the last.
            if let Some(folder) = self.path.parent() {
                let _ = fs::remove_dir(folder);
            }
        }
        // Closing would release the lock only once no child that another thread is just starting has it open
        // any more; until then the last user would not know that it is the last.
        let _ = unlock(&self.file);
    }
}

const OPEN: OFlags =
    OFlags::RDWR.union(OFlags::APPEND).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Removes what a record lists from the root that is found for its path, last made first. Says whether the record can
/// go: not if something could not be removed now.
///
/// # Errors
/// When the record cannot be read, or its root not be found.
fn undo<Fd: AsFd>(
    mut file: &File,
    find: impl FnOnce(&Path) -> rustix::io::Result<Option<Fd>>,
) -> io::Result<bool> {
    let mut text = Vec::new();
    file.rewind()?;
    // Ours: in a folder that nobody else can write to.
    file.take(LONGEST).read_to_end(&mut text)?;
    let Some((path, made)) = Entry::decode_all(&text, &boot()?) else { return Ok(true) };
    let Some(root) = find(&path)? else { return Ok(true) };
    let mut done = true;
    for entry in made.iter().rev() {
        tracing::debug!(root = ?path, ?entry, "remove");
        done &= entry.undo(root.as_fd()).is_ok();
    }
    Ok(done)
}

/// Removes what killed users of other roots left, if it can be done at once.
fn sweep_others(folder: &StateFolder, own: &[u8]) {
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut entries = RawDir::new(&folder.fd, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if name.to_bytes() != own
            && let Some(identity) = identity(name)
            && let Err(error) = sweep(folder, name, identity)
        {
            tracing::debug!(record = ?name, %error, "not swept");
        }
    }
}

/// Device and inode of the root whose record has this name.
fn identity(name: &CStr) -> Option<(u64, u64)> {
    let (device, inode) = name.to_str().ok()?.strip_prefix("root-")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(device)?, number(inode)?))
}

fn sweep(folder: &StateFolder, name: &CStr, identity: (u64, u64)) -> io::Result<()> {
    let file = File::from(openat(&folder.fd, name, OPEN | OFlags::NONBLOCK, Mode::empty())?);
    if !try_lock(&file, Kind::Exclusive)? {
        return Ok(());
    }
    let find = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(root) => {
                let stat = fstat(&root)?;
                Ok(((stat.st_dev, stat.st_ino) == identity).then_some(root))
            }
            // No such root any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
            Err(errno) => Err(errno),
        }
    };
    let swept = match fstat(&file)? {
        stat if stat.st_nlink == 0 => Ok(false),
        stat if stat.st_size == 0 => Ok(true),
        _ => undo(&file, find),
    };
    if let Ok(true) = swept {
        tracing::debug!(record = ?name, "swept");
        let _ = unlinkat(&folder.fd, name, AtFlags::empty());
    }
    // As in `leave`.
    let _ = unlock(&file);
    swept.map(drop)
}

/// What this boot of the machine is called.
fn boot() -> io::Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH)
        .map_err(|error| io::Error::new(error.kind(), format!("{PATH}: {error}")))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_late_leaves_the_next_record_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), "chroot:".into(), 0).unwrap();
        let late = Record::open(&root).unwrap();
        // As the last user did, between the end of our use and our look at whether we are the last.
        fs::remove_file(&late.path).unwrap();
        let next = Record::open(&root).unwrap();
        late.leave(root.fd.as_fd());
        assert!(next.path.exists());
        next.leave(root.fd.as_fd());
        assert!(!next.path.exists());
    }
}

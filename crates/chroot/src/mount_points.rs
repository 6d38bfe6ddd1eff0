//! Mount points that the root lacks: made before, removed by the last one who uses them.
//!
//! Several programs may enter one root at a time. Each holds a read lock on byte 1 of the root's *record*, a
//! file in a private folder; byte 0 is locked while mount points are made or removed. The record lists what was
//! made, so that the last user removes just that, and so that after a SIGKILL, which releases all locks, the
//! next user finds the list and nobody's lock. The locks are of the open file description (fcntl_locking(2)):
//! forks do not release them, and a closed descriptor does.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat, unlinkat};
use rustix::io::Errno;

use thither_place::error::quoted;

use crate::lock::{Range, lock, try_lock, unlock};
use crate::root::{Root, open_in_root};

const MUTEX: Range = Range::byte(0);
const USERS: Range = Range::byte(1);

/// How many links a path may lead through, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Our use of a root's mount points. Dropping it removes those that were made, if nobody else uses them.
#[derive(Debug)]
pub(crate) struct MountPoints {
    root: OwnedFd,
    record: File,
    path: PathBuf,
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
    /// When the record cannot be opened in the private folder.
    pub(crate) fn open(root: &Root) -> io::Result<MountPoints> {
        let stat = fstat(&root.fd)?;
        let name = format!("root-{:x}-{:x}", stat.st_dev, stat.st_ino);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            // The last user may remove the folder at any time, and another user of this machine make one of its
            // name: so the record is opened in the very folder that was looked at.
            let Some((folder, path)) = state_folder()? else { continue };
            let path = path.join(&name);
            let record = match openat(&folder, &name, flags, Mode::from_raw_mode(0o600)) {
                Err(Errno::NOENT) => continue,
                other => File::from(other?),
            };
            lock(&record, MUTEX)?;
            // The last user may have removed the name between our open and our lock.
            if record.metadata()?.nlink() == 0 {
                continue;
            }
            let points = MountPoints { root: root.fd.as_fd().try_clone_to_owned()?, record, path };
            if points.record.metadata()?.len() > 0 && try_lock(&points.record, USERS, true)? {
                points.remove_made();
                points.record.set_len(0)?;
            }
            try_lock(&points.record, USERS, false)?;
            return Ok(points);
        }
    }

    /// Lets others in: until now they waited for us to make what we need.
    ///
    /// # Errors
    /// As `fcntl(2)`.
    pub(crate) fn ready(&self) -> io::Result<()> {
        unlock(&self.record, MUTEX)
    }

    /// Makes what a path lacks, following links inside the root, dangling ones too: directories, and at its end one or
    /// a file.
    ///
    /// # Errors
    /// As `mkdir(2)` and `open(2)`, and when it cannot be recorded.
    pub(crate) fn make(&self, root: &Root, destination: impl AsRef<Path>, dir: bool) -> io::Result<()> {
        let mut todo: Vec<OsString> = parts(destination.as_ref()).rev().collect();
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match root.open_inside(&next, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(found) => {
                    let stat = statat(&found, c"", AtFlags::EMPTY_PATH)?;
                    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(Errno::LOOP.into());
                        }
                        let target = readlinkat(&found, c"", Vec::new())?;
                        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                        if target.is_absolute() {
                            at = "/".into();
                        }
                        todo.extend(parts(&target).rev());
                    } else {
                        at = next;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let parent = root.open_inside(&at, OFlags::PATH | OFlags::DIRECTORY)?;
                    self.make_one(&parent, &next, &name, dir || !todo.is_empty())?;
                    at = next;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn make_one(&self, parent: &OwnedFd, path: &Path, name: &OsStr, dir: bool) -> io::Result<()> {
        tracing::debug!(path = ?path, "make a mount point");
        // For all to use, whatever our umask.
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
        rustix::fs::fchmod(&made, mode)?;
        let stat = fstat(&made)?;
        let entry = Made { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino };
        (&self.record).write_all(&entry.encode()).map_err(|error| {
            // What is not recorded would stay for ever.
            let _ = entry.remove(&self.root);
            io::Error::new(error.kind(), format!("the record {}: {error}", quoted(&self.path)))
        })
    }

    /// Removes what the record lists, last made first, if it is still what was made and is empty.
    fn remove_made(&self) {
        let mut text = Vec::new();
        // Small, and ours: in a folder that nobody else can write to.
        let from_start = (&self.record).rewind();
        if from_start.and_then(|()| (&self.record).take(1 << 20).read_to_end(&mut text)).is_err() {
            return;
        }
        let made: Vec<Made> = Made::decode_all(&text);
        for made in made.iter().rev() {
            // What cannot be removed is in use by somebody, or gone.
            let _ = made.remove(&self.root);
        }
    }
}

impl Drop for MountPoints {
    fn drop(&mut self) {
        let last = lock(&self.record, MUTEX).and_then(|()| try_lock(&self.record, USERS, true));
        if let Ok(true) = last {
            self.remove_made();
            // A record whose name is gone is no one's: see `open`.
            let _ = fs::remove_file(&self.path);
            // So is its folder, when it was the last.
            if let Some(folder) = self.path.parent() {
                let _ = fs::remove_dir(folder);
            }
        }
        // Closing would release the locks only once no child that another thread is just starting has it open
        // any more; until then the last user would not know that it is the last.
        let _ = unlock(&self.record, USERS);
        let _ = unlock(&self.record, MUTEX);
    }
}

/// The names in a path, without `/` and `.`.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Something that was made in the root.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Made {
    /// Device and inode in hexadecimal, the path, and a NUL, which no path has.
    fn encode(&self) -> Vec<u8> {
        let mut text = format!("{:x} {:x} ", self.device, self.inode).into_bytes();
        text.extend_from_slice(self.path.as_os_str().as_bytes());
        text.push(0);
        text
    }

    /// A record cut short (the disk was full) loses its last entry only.
    fn decode_all(text: &[u8]) -> Vec<Made> {
        let entries = text.split_inclusive(|&byte| byte == 0);
        entries.filter_map(|entry| Made::decode(entry.strip_suffix(&[0])?)).collect()
    }

    fn decode(entry: &[u8]) -> Option<Made> {
        let mut fields = entry.splitn(3, |&byte| byte == b' ');
        let mut number = || {
            let digits = std::str::from_utf8(fields.next()?).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let (device, inode) = (number()?, number()?);
        let path = OsString::from_vec(fields.next()?.to_vec()).into();
        Some(Made { path, device, inode })
    }

    fn remove(&self, root: &OwnedFd) -> rustix::io::Result<()> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        let parent = open_in_root(root.as_fd(), parent, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if (stat.st_dev, stat.st_ino) != (self.device, self.inode) {
            return Ok(());
        }
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => unlinkat(&parent, name, AtFlags::REMOVEDIR),
            // Somebody has written to it: it is theirs now.
            _ if stat.st_size > 0 => Ok(()),
            _ => unlinkat(&parent, name, AtFlags::empty()),
        }
    }
}

/// A folder that only our user can look into: of this uid in this user namespace, as user 0 of another one is
/// somebody else. `None` if it was removed just now.
fn state_folder() -> io::Result<Option<(OwnedFd, PathBuf)>> {
    let uid = rustix::process::geteuid().as_raw();
    let folder = match (uid, inner_user_namespace()) {
        (_, Some(namespace)) => PathBuf::from(format!("/tmp/thither-{uid}-{namespace}")),
        // Root takes no folder from an environment that another user may have set.
        (0, None) if Path::new("/run").is_dir() => PathBuf::from("/run/thither"),
        (_, None) => match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
            // After `su` it may be the folder of the user before.
            Some(runtime) if uid != 0 && is_own_folder(&runtime, uid) => runtime.join("thither"),
            _ => PathBuf::from(format!("/tmp/thither-{uid}")),
        },
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let text = format!("the folder {}: {error}", quoted(&folder));
            return Err(io::Error::new(error.kind(), text));
        }
        _ => {}
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(&folder, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => File::from(other?),
    };
    let metadata = opened.metadata()?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        let text = format!(
            "the folder {} is not ours alone: it must belong to user {uid} with mode 0700",
            quoted(&folder)
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(Some((opened.into(), folder)))
}

fn is_own_folder(path: &Path, uid: u32) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

/// The number of our user namespace, unless it is the first one, whose number is fixed (`PROC_USER_INIT_INO` of the
/// kernel's `include/linux/proc_ns.h`).
fn inner_user_namespace() -> Option<u64> {
    let number = fs::metadata("/proc/self/ns/user").ok()?.ino();
    (number != 0xefff_fffd).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let made = |path: &[u8]| Made {
            path: OsString::from_vec(path.to_vec()).into(),
            device: 0x801,
            inode: u64::MAX,
        };
        let all = vec![made(b"/proc"), made(b"/a b\n\xff/c")];
        let mut text: Vec<u8> = all.iter().flat_map(Made::encode).collect();
        assert_eq!(Made::decode_all(&text), all);
        text.pop();
        assert_eq!(Made::decode_all(&text), &all[..1]);
        assert_eq!(Made::decode_all(b"junk\0zz 1 /x\0"), []);
    }

    #[test]
    fn a_child_that_is_just_starting_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), "chroot:".into(), 0, true).unwrap();
        let [first, second] = [(); 2].map(|()| {
            let points = MountPoints::open(&root).unwrap();
            if !exists(&root, "/made", true).unwrap() {
                points.make(&root, "/made", true).unwrap();
            }
            points.ready().unwrap();
            points
        });
        // What another thread forks has the same open file description, until it executes its program.
        let forked = first.record.try_clone().unwrap();
        drop(first);
        assert!(folder.path().join("made").exists());
        drop(second);
        assert!(!folder.path().join("made").exists());
        drop(forked);
    }
}

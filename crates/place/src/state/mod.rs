//! The folder of our records: what a SIGKILL leaves behind, the next run finds there. A record is locked by whoever
//! lives; see [`lock`].

pub mod lock;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::quoted;

/// A folder that only our user can look into: of this uid in this user namespace, as user 0 of another one is
/// somebody else. What is in it was written by us.
#[derive(Debug)]
pub struct StateFolder {
    /// Open for reading.
    pub fd: OwnedFd,
    /// Where it is, for messages.
    pub path: PathBuf,
    /// It was made just now, so there is nothing in it.
    pub is_new: bool,
}

impl StateFolder {
    /// Opens it, and makes it if it is missing. `None` if it was removed just now.
    ///
    /// # Errors
    /// When it cannot be made, or is not ours alone.
    pub fn open() -> io::Result<Option<StateFolder>> {
        let uid = rustix::process::geteuid().as_raw();
        let path = path_for(uid);
        let is_new = match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                let text = format!("the folder {}: {error}", quoted(&path));
                return Err(io::Error::new(error.kind(), text));
            }
        };
        let not_ours = || {
            let text = format!(
                "the folder {} is not ours alone: it must belong to user {uid} with mode 0700",
                quoted(&path)
            );
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return not_ours(),
            other => File::from(other?),
        };
        let metadata = opened.metadata()?;
        if metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
            return not_ours();
        }
        Ok(Some(StateFolder { fd: opened.into(), path, is_new }))
    }
}

/// Where it is, whether it is there or not.
#[must_use]
pub fn folder_path() -> PathBuf {
    path_for(rustix::process::geteuid().as_raw())
}

fn path_for(uid: u32) -> PathBuf {
    match (uid, inner_user_namespace()) {
        (_, Some(namespace)) => PathBuf::from(format!("/tmp/thither-{uid}-{namespace}")),
        // Root takes no folder from an environment that another user may have set.
        (0, None) if Path::new("/run").is_dir() => PathBuf::from("/run/thither"),
        (_, None) => match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
            // After `su` it may be the folder of the user before.
            Some(runtime) if uid != 0 && is_own_folder(&runtime, uid) => runtime.join("thither"),
            _ => PathBuf::from(format!("/tmp/thither-{uid}")),
        },
    }
}

fn is_own_folder(path: &Path, uid: u32) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

/// The number of our user namespace, unless it is the first one, whose number is fixed (`PROC_USER_INIT_INO` of the
/// kernel's `include/linux/proc_ns.h`).
#[must_use]
pub fn inner_user_namespace() -> Option<u64> {
    let number = fs::metadata("/proc/self/ns/user").ok()?.ino();
    (number != 0xefff_fffd).then_some(number)
}

#![expect(unsafe_code, reason = "mount_setattr(2) has no safe form")]
//! Attaching the mounts. This runs between fork and exec: system calls only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use thither_place::launch::{Failure, Step, c_string};

use crate::enter::step;
use crate::root::open_in_root;

/// A mount with everything looked up.
#[derive(Debug)]
pub(crate) struct PlannedMount {
    /// Its place in the list of mounts, to be reported with a failure.
    pub(crate) index: u16,
    pub(crate) what: What,
    /// Relative to the root.
    pub(crate) destination: CString,
    pub(crate) read_only: bool,
    /// Where an earlier mount of ours is, which is empty, and relative to it what it lacks for the destination.
    pub(crate) lacking: Vec<Missing>,
}

/// A directory or an empty file that is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Relative to the root, or to where it is made.
    pub(crate) path: CString,
    pub(crate) dir: bool,
}

impl Missing {
    /// For a path that lacks whatever is below `there`: each directory before what is in it.
    ///
    /// # Errors
    /// A path with a NUL.
    pub(crate) fn below(there: &Path, path: &Path, dir: bool) -> std::io::Result<Vec<Missing>> {
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != there);
        let mut paths: Vec<(&Path, bool)> = folders.map(|folder| (folder, true)).collect();
        paths.reverse();
        paths.push((path, dir));
        let missing = |(path, dir): (&Path, bool)| {
            Ok(Missing { path: c_string("mount point", path.as_os_str())?, dir })
        };
        paths.into_iter().map(missing).collect()
    }

    /// Makes it in a file system of our own, where nothing can be in the way but what was made so.
    pub(crate) fn make(&self, at: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let made = if self.dir {
            mkdirat(at, self.path.as_c_str(), Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(at, self.path.as_c_str(), flags, Mode::from_raw_mode(0o644)).map(drop)
        };
        match made {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }
}

#[derive(Debug)]
pub(crate) enum What {
    Bind { path: CString, recursive: bool },
    New(FileSystem),
}

/// A file system to be made.
#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) kind: CString,
    pub(crate) flags: MountAttrFlags,
    /// Options of the file system; without a value they are flags.
    pub(crate) options: Vec<(CString, Option<CString>)>,
}

/// Attaches one, at a destination that is found inside the root.
///
/// # Errors
/// The step that failed, on this mount.
pub(crate) fn attach(planned: &PlannedMount, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failure = |step: Step| move |errno| Failure { step, index: planned.index, errno };
    let tree = match &planned.what {
        What::Bind { path, recursive } => {
            let tree = clone_tree(CWD, path, *recursive).map_err(failure(step::SOURCE))?;
            if planned.read_only {
                set_read_only(tree.as_fd(), *recursive).map_err(failure(step::READ_ONLY))?;
            }
            tree
        }
        What::New(system) => make(system, planned.read_only).map_err(failure(step::MOUNT))?,
    };
    let flags = match planned.what {
        What::Bind { .. } => OFlags::PATH,
        What::New(_) => OFlags::PATH | OFlags::DIRECTORY,
    };
    make_lacking(planned, root).map_err(failure(step::DESTINATION))?;
    let destination = open_in_root(root, planned.destination.as_c_str(), flags)
        .map_err(failure(step::DESTINATION))?;
    attach_at(tree.as_fd(), destination.as_fd()).map_err(failure(step::MOUNT))
}

fn make_lacking(planned: &PlannedMount, root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let Some((there, lacking)) = planned.lacking.split_first() else { return Ok(()) };
    // Where the earlier mount is may be reached through links of the root; below it there are none.
    let there = open_in_root(root, there.path.as_c_str(), OFlags::PATH | OFlags::DIRECTORY)?;
    let umask = rustix::process::umask(Mode::empty());
    let made = lacking.iter().try_for_each(|missing| missing.make(there.as_fd()));
    rustix::process::umask(umask);
    made
}

/// A new instance of a file system, attached to nothing yet.
pub(crate) fn make(system: &FileSystem, read_only: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = system.flags;
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    match try_make(system, flags) {
        // A sysfs belongs to a network namespace, which may be shared with those who have more rights.
        Err(Errno::PERM) if system.kind.as_c_str() == c"sysfs" => {
            let tree = clone_tree(CWD, c"/sys", true)?;
            if read_only {
                set_read_only(tree.as_fd(), true)?;
            }
            Ok(tree)
        }
        other => other,
    }
}

fn try_make(system: &FileSystem, flags: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(system.kind.as_c_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What mount(8) and df(1) show.
    fsconfig_set_string(&context, c"source", system.kind.as_c_str())?;
    for (key, value) in &system.options {
        match value {
            Some(value) => fsconfig_set_string(&context, key.as_c_str(), value.as_c_str())?,
            None => fsconfig_set_flag(&context, key.as_c_str())?,
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// A copy of what is mounted at a path, attached to nothing yet.
pub(crate) fn clone_tree(
    at: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_EMPTY_PATH, path.is_empty());
    open_tree(at, path, flags)
}

/// Attaches a tree to a descriptor of where it belongs, which no path can lead astray.
pub(crate) fn attach_at(
    tree: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", destination, c"", flags)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes a mount read-only, with what is mounted below it if `recursive`. Other flags stay as they are, those that an
/// ordinary user may not change too.
pub(crate) fn set_read_only(mount: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<()> {
    let set = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: an open descriptor, an empty C string, and a `struct mount_attr` with its size, which the kernel reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    match result {
        0 => Ok(()),
        // SAFETY: reads this thread's errno.
        _ => Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() })),
    }
}

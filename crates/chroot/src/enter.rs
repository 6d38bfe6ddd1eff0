#![expect(unsafe_code, reason = "the ioctl that brings the loopback interface up")]
//! Entering the root: what the new process does, step by step. It runs between fork and exec, so it makes
//! system calls only, on what was prepared before; see [`launch`](thither_place::launch).
//!
//! The order, and why:
//! 1. identity maps: a user namespace gives no rights over files until its ids mean something
//! 2. propagation slave: no mount of ours may reach this machine's mount namespace
//! 3. loopback up: needs the rights that step 1 gave
//! 4. the root as a mount of its own, recursive: `pivot_root` wants one, and what is mounted below comes along
//! 5. the mounts in order; their sources are found outside, their destinations inside
//!    (`RESOLVE_IN_ROOT`); before step 6, as a new proc needs a visible one to be allowed in a user namespace
//! 6. `pivot_root`, and the old root detached: there is no way back through it
//! 7. not dumpable: what runs inside may not look at or write to this program through `/proc/1`; and no typing
//!    into the user's terminal

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use thither_place::launch::{Failure, Step};

use crate::root::{open_in_root, same_file};
use crate::typing;

/// The steps, as they are reported.
pub(crate) mod step {
    use thither_place::launch::Step;
    const FIRST: u8 = Step::FIRST_OF_PLACE;
    pub(crate) const ID_MAPS: Step = Step(FIRST);
    pub(crate) const PROPAGATION: Step = Step(FIRST + 1);
    pub(crate) const LOOPBACK: Step = Step(FIRST + 2);
    pub(crate) const ROOT: Step = Step(FIRST + 3);
    pub(crate) const ROOT_CHANGED: Step = Step(FIRST + 4);
    pub(crate) const SOURCE: Step = Step(FIRST + 5);
    pub(crate) const DESTINATION: Step = Step(FIRST + 6);
    pub(crate) const MOUNT: Step = Step(FIRST + 7);
    pub(crate) const PIVOT: Step = Step(FIRST + 8);
    pub(crate) const PROTECT: Step = Step(FIRST + 9);
}

/// Everything that entering needs.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) root_path: CString,
    /// What the path led to when it was looked at.
    pub(crate) root: BorrowedFd<'a>,
    /// For a user namespace.
    pub(crate) maps: Option<IdMaps>,
    pub(crate) mounts: Vec<PlannedMount>,
    /// Whether the command shares the user's terminal.
    pub(crate) shares_terminal: bool,
}

/// Lines of user_namespaces(7).
#[derive(Debug)]
pub(crate) struct IdMaps {
    pub(crate) uid_map: String,
    pub(crate) gid_map: String,
}

#[derive(Debug)]
pub(crate) struct PlannedMount {
    /// Its place in the list of mounts, to be reported with a failure.
    pub(crate) index: u16,
    pub(crate) what: What,
    /// Relative to the root.
    pub(crate) destination: CString,
}

#[derive(Debug)]
pub(crate) enum What {
    Bind { path: CString, recursive: bool },
    New { kind: CString, flags: MountFlags, data: Option<CString> },
}

/// Enters, for good.
///
/// # Errors
/// The step that failed, on which mount, and why.
pub(crate) fn enter(plan: &Plan<'_>) -> Result<(), Failure> {
    if let Some(maps) = &plan.maps {
        write_maps(maps).map_err(Failure::at(step::ID_MAPS))?;
    }
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c"/", propagation).map_err(Failure::at(step::PROPAGATION))?;
    if plan.maps.is_some() {
        loopback_up().map_err(Failure::at(step::LOOPBACK))?;
    }
    let root = attach_root(plan)?;
    for mount in &plan.mounts {
        let failure = |step: Step| move |errno| Failure { step, index: mount.index, errno };
        attach(mount, root.as_fd(), failure)?;
    }
    pivot(root.as_fd()).map_err(Failure::at(step::PIVOT))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Failure::at(step::PROTECT))?;
    match plan.shares_terminal {
        true => typing::forbid().map_err(Failure::at(step::PROTECT)),
        false => Ok(()),
    }
}

/// The maps may be written once each, `setgroups` before `gid_map` (user_namespaces(7)).
fn write_maps(maps: &IdMaps) -> rustix::io::Result<()> {
    let write = |path, text: &str| {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(file, text.as_bytes()).map(drop)
    };
    write(c"/proc/self/uid_map", &maps.uid_map)?;
    write(c"/proc/self/setgroups", "deny")?;
    write(c"/proc/self/gid_map", &maps.gid_map)
}

fn loopback_up() -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: netdevice(7): the request is a `struct ifreq` with a name and flags, which the kernel reads.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        // SAFETY: reads this thread's errno.
        _ => Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() })),
    }
}

/// Mounts the root on itself. The path is looked up again, as a descriptor from outside belongs to a mount of
/// the old namespace; so what it leads to has to be the same still.
fn attach_root(plan: &Plan<'_>) -> Result<OwnedFd, Failure> {
    let at = Failure::at(step::ROOT);
    let path = plan.root_path.as_c_str();
    let root = clone_tree(path, true).map_err(&at)?;
    if !same_file(&root, plan.root).map_err(&at)? {
        return Err(Failure::at(step::ROOT_CHANGED)(Errno::STALE));
    }
    move_mount(&root, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(&at)?;
    Ok(root)
}

fn clone_tree(path: &std::ffi::CStr, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(CWD, path, flags)
}

fn attach<F: Fn(Errno) -> Failure>(
    planned: &PlannedMount,
    root: BorrowedFd<'_>,
    failure: impl Fn(Step) -> F,
) -> Result<(), Failure> {
    let open =
        |flags: OFlags| open_in_root(root, planned.destination.as_c_str(), flags | OFlags::PATH);
    match &planned.what {
        What::Bind { path, recursive } => {
            let tree = clone_tree(path, *recursive).map_err(failure(step::SOURCE))?;
            let destination = open(OFlags::empty()).map_err(failure(step::DESTINATION))?;
            let flags =
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            move_mount(tree, c"", destination, c"", flags).map_err(failure(step::MOUNT))
        }
        What::New { kind, flags, data } => {
            let destination = open(OFlags::DIRECTORY).map_err(failure(step::DESTINATION))?;
            // Standing in it names it without a path that could lead elsewhere.
            rustix::process::fchdir(destination).map_err(failure(step::DESTINATION))?;
            match mount(kind.as_c_str(), c".", kind.as_c_str(), *flags, data.as_deref()) {
                // The very same file system is mounted there already: /sys, where the root is this machine's
                // own and the network namespace is shared.
                Err(Errno::BUSY) => Ok(()),
                // A sysfs belongs to a network namespace, which may be shared with those who have more rights.
                Err(Errno::PERM) if kind.as_c_str() == c"sysfs" => {
                    let tree = clone_tree(c"/sys", true).map_err(failure(step::MOUNT))?;
                    move_mount(tree, c"", CWD, c".", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                        .map_err(failure(step::MOUNT))
                }
                other => other.map_err(failure(step::MOUNT)),
            }
        }
    }
}

/// Both paths are the new root: the old one ends up stacked on it and is what the second call takes off
/// (pivot_root(2), NOTES).
fn pivot(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

#![expect(
    unsafe_code,
    reason = "the ioctl that brings the loopback interface up, dup3 to a number"
)]
//! Entering the root: what the new process does, step by step. It runs between fork and exec, so it makes
//! system calls only, on what was prepared before; see [`launch`](thither_place::launch).
//!
//! The order, and why:
//! 1. identity maps: a user namespace gives no rights over files until its ids mean something
//! 2. propagation slave: no mount of ours may reach this machine's mount namespace
//! 3. loopback up, the host's and the domain's name: need the rights that step 1 gave
//! 4. the root as a mount of its own, recursive: `pivot_root` wants one, and what is mounted below comes along; or an
//!    overlay of it
//! 5. the mounts in order; their sources are found outside, their destinations inside
//!    (`RESOLVE_IN_ROOT`); before step 6, as a new proc needs a visible one to be allowed in a user namespace
//! 6. `pivot_root`, and the old root detached: there is no way back through it
//! 7. for an ordinary user who wants something read-only, mounts locked: a namespace of which they cannot be changed
//! 8. not dumpable: what runs inside may not look at or write to this program through `/proc/1`; and no typing
//!    into the user's terminal
//!
//! For a [call](crate::call) the command's process, which is this program again, does step 6 once its libraries are
//! loaded, as they may not be there inside.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use thither_place::launch::Failure;

use crate::attach::{PlannedMount, attach, clone_tree, set_read_only};
use crate::ids::OwnMaps;
use crate::names::Names;
use crate::overlay::PlannedOverlay;
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
    pub(crate) const NAMES: Step = Step(FIRST + 10);
    pub(crate) const READ_ONLY: Step = Step(FIRST + 11);
    pub(crate) const STAGE: Step = Step(FIRST + 12);
    pub(crate) const OVERLAY: Step = Step(FIRST + 13);
    pub(crate) const SUBMOUNT: Step = Step(FIRST + 14);
    pub(crate) const START: Step = Step(FIRST + 15);
    pub(crate) const LOCK: Step = Step(FIRST + 17);
    pub(crate) const ROOT_LEFT: Step = Step(FIRST + 16);
}

/// Everything that entering needs.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) root_path: CString,
    /// What the path led to when it was looked at.
    pub(crate) root: BorrowedFd<'a>,
    /// Maps to be written by the process itself.
    pub(crate) maps: Option<OwnMaps>,
    /// Whether there is a new network namespace.
    pub(crate) own_network: bool,
    pub(crate) names: Option<Names>,
    pub(crate) overlay: Option<PlannedOverlay>,
    /// Whether the root, if it is not an overlay, is to be read-only.
    pub(crate) read_only: bool,
    pub(crate) mounts: Vec<PlannedMount>,
    pub(crate) start: Start,
    /// Whether the mounts are to be locked, so that what is read-only stays so.
    pub(crate) locks_mounts: bool,
    /// Whether the command shares the user's terminal.
    pub(crate) shares_terminal: bool,
    pub(crate) way: Way<'a>,
}

/// Where a command starts.
#[derive(Debug)]
pub(crate) enum Start {
    /// In `/`.
    Root,
    /// In this directory, relative to the root.
    Inside(CString),
    /// Where the caller is, outside of the root.
    Outside(OwnedFd),
}

/// Who goes in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'a> {
    /// This process, before it starts the command.
    Enter,
    /// The command, which finds the root in the place of this descriptor.
    Left(BorrowedFd<'a>),
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
    if plan.own_network {
        loopback_up().map_err(Failure::at(step::LOOPBACK))?;
    }
    if let Some(names) = &plan.names {
        set_names(names).map_err(Failure::at(step::NAMES))?;
    }
    let root = attach_root(plan)?;
    for mount in &plan.mounts {
        attach(mount, root.as_fd())?;
    }
    match plan.way {
        Way::Enter => {
            let inside = match &plan.start {
                Start::Inside(path) => Some(
                    open_in_root(root.as_fd(), path.as_c_str(), OFlags::PATH | OFlags::DIRECTORY)
                        .map_err(Failure::at(step::START))?,
                ),
                Start::Root | Start::Outside(_) => None,
            };
            let own = plan.locks_mounts.then(open_own_directory).transpose();
            let own = own.map_err(Failure::at(step::LOCK))?;
            pivot(root.as_fd()).map_err(Failure::at(step::PIVOT))?;
            if let Some(own) = own {
                lock_mounts(own.as_fd()).map_err(Failure::at(step::LOCK))?;
            }
            let outside = match &plan.start {
                Start::Outside(fd) => Some(fd),
                Start::Root | Start::Inside(_) => None,
            };
            if let Some(start) = inside.as_ref().or(outside) {
                rustix::process::fchdir(start).map_err(Failure::at(step::START))?;
            }
        }
        Way::Left(place) => {
            put(root.as_fd(), place).map_err(Failure::at(step::ROOT_LEFT))?;
            // Nothing of this machine is to be seen through /proc/1/cwd.
            rustix::process::fchdir(&root).map_err(Failure::at(step::ROOT_LEFT))?;
        }
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Failure::at(step::PROTECT))?;
    match plan.shares_terminal {
        true => typing::forbid().map_err(Failure::at(step::PROTECT)),
        false => Ok(()),
    }
}

fn write_maps(maps: &OwnMaps) -> rustix::io::Result<()> {
    write_maps_at(open_own_directory()?.as_fd(), &maps.uid_map, &maps.gid_map)
}

/// This process's directory in `/proc`, for when that is no longer to be seen.
pub(crate) fn open_own_directory() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/self", flags, Mode::empty())
}

/// The maps may be written once each, `setgroups` before `gid_map` (user_namespaces(7)).
fn write_maps_at(own: BorrowedFd<'_>, uids: &str, gids: &str) -> rustix::io::Result<()> {
    let write = |name, text: &str| {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(own, name, flags, Mode::empty())?;
        rustix::io::write(file, text.as_bytes()).map(drop)
    };
    write(c"uid_map", uids)?;
    write(c"setgroups", "deny")?;
    write(c"gid_map", gids)
}

/// Goes on in a user and a mount namespace below those of set-up: the flags of mounts that come from there cannot be
/// taken away (mount_namespaces(7), *Restrictions on mount namespaces*), as root of a user namespace could do with mounts
/// of its own.
pub(crate) fn lock_mounts(own: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // SAFETY: of the flags that `unshare_unsafe` is unsafe for, that of shared descriptors is not among these.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    write_maps_at(own, "0 0 1", "0 0 1")
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
        _ => Err(last_errno()),
    }
}

fn last_errno() -> Errno {
    // SAFETY: reads this thread's errno.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn set_names(names: &Names) -> rustix::io::Result<()> {
    rustix::system::sethostname(&names.host)?;
    match &names.domain {
        Some(domain) => rustix::system::setdomainname(domain),
        None => Ok(()),
    }
}

/// Mounts the root on itself. The path is looked up again, as a descriptor from outside belongs to a mount of
/// the old namespace; so what it leads to has to be the same still.
fn attach_root(plan: &Plan<'_>) -> Result<OwnedFd, Failure> {
    let at = Failure::at(step::ROOT);
    let path = plan.root_path.as_c_str();
    let root = clone_tree(CWD, path, true).map_err(&at)?;
    if !same_file(&root, plan.root).map_err(&at)? {
        return Err(Failure::at(step::ROOT_CHANGED)(Errno::STALE));
    }
    if let Some(overlay) = &plan.overlay {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = rustix::fs::open(path, flags, Mode::empty()).map_err(&at)?;
        return overlay.make(root.as_fd(), place.as_fd());
    }
    if plan.read_only {
        set_read_only(root.as_fd(), true).map_err(Failure::at(step::READ_ONLY))?;
    }
    move_mount(&root, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(&at)?;
    Ok(root)
}

fn put(fd: BorrowedFd<'_>, place: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // SAFETY: a system call on numbers. What was in the place is the caller's, which has its own in its own process.
    match unsafe { libc::dup3(fd.as_raw_fd(), place.as_raw_fd(), libc::O_CLOEXEC) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Both paths are the new root: the old one ends up stacked on it and is what the second call takes off
/// (pivot_root(2), NOTES).
pub(crate) fn pivot(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

//! What a step of entering that failed means, in words.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use thither_place::Error;
use thither_place::error::quoted;
use thither_place::launch::Failure;

use crate::enter::step;
use crate::plan::describe;
use crate::{Chroot, Mount, Source};

/// The error for a step that failed.
pub(crate) fn error(chroot: &Chroot, failure: Failure, submounts: &[CString]) -> Error {
    let index = usize::from(failure.index);
    let mount = chroot.mounts.get(index);
    let shown = mount.map(describe).unwrap_or_default();
    let submount = submounts.get(index).cloned().unwrap_or_default();
    let root = quoted(&chroot.root);
    let action = match failure.step {
        step::ID_MAPS => "map the user's ids in a user namespace".into(),
        step::PROPAGATION => "make the mount namespace private".into(),
        step::LOOPBACK => "bring the loopback interface up".into(),
        step::NAMES => "set the host name".into(),
        step::ROOT => format!("mount the root {root}"),
        step::ROOT_CHANGED => format!("enter the root {root}: it was replaced meanwhile"),
        step::READ_ONLY => "make it read-only".into(),
        step::LOCK => "lock the mounts, so that what is read-only stays so".into(),
        step::STAGE => "make ready what an overlay needs".into(),
        step::OVERLAY => format!("lay an overlay over the root {root}"),
        step::SUBMOUNT => {
            let path = OsStr::from_bytes(submount.as_bytes());
            format!("have {}, which is mounted below the root, in the overlay", quoted(path))
        }
        step::SOURCE => format!("find the source of the mount {shown}"),
        step::DESTINATION => format!("find the mount point of {shown}"),
        step::MOUNT => format!("mount {shown}"),
        step::START => "stay in the working directory".into(),
        step::PIVOT => "make it the root of the mount namespace".into(),
        step::ROOT_LEFT => "leave the root to the function's process".into(),
        step::PROTECT => "protect this program and the terminal".into(),
        other => format!("do step {}", other.0),
    };
    Error::Place {
        action,
        place: chroot.address(),
        hint: hint(failure, mount),
        source: Box::new(io::Error::from(failure.errno)),
    }
}

/// What to do about it.
fn hint(failure: Failure, mount: Option<&Mount>) -> Option<String> {
    let restricted = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|text| text.trim() == "1");
    let text = match (failure.step, failure.errno) {
        (step::PROPAGATION | step::PIVOT, Errno::INVAL) => {
            "the root that this program itself is in is no mount point, as after chroot(1): enter that one with \
             thither too, or bind-mount it on itself before"
        }
        (step::SOURCE, Errno::INVAL) if mount.is_some_and(|mount| !mount.recursive) => {
            "something is mounted below it, and an ordinary user can only take that along: make it recursive"
        }
        (step::OVERLAY, Errno::LOOP) => {
            "the directory where it is to be kept and the root may not be in each other: take another directory"
        }
        (step::OVERLAY, Errno::INVAL) => {
            "an ordinary user can have no overlay of a root that something is mounted below, and no one an overlay \
             whose directory is on another overlay: take another root or directory, or run this as root"
        }
        (step::OVERLAY, Errno::NODEV) => "this kernel has no overlay: `modprobe overlay` as root",
        (_, Errno::PERM | Errno::ACCESS) if restricted => {
            "AppArmor takes the rights away from user namespaces: \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or run this as root"
        }
        (step::MOUNT, Errno::PERM) if mount.is_some_and(|mount| mount.source == Source::Proc) => {
            "parts of this machine's own /proc are covered, as in a container, and the kernel keeps a new one from \
             showing them: run this outside, or leave the mount out"
        }
        _ => return None,
    };
    Some(text.into())
}

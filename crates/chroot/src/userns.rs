//! User namespaces: the identity maps of an ordinary user, and why there may be none.

use std::fs;
use std::io;

use rustix::io::Errno;

use thither_place::launch::Step;

use crate::enter::{IdMaps, step};

impl IdMaps {
    /// User and group 0 inside are the caller's own outside; there are no others.
    pub(crate) fn of_caller() -> IdMaps {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        IdMaps { uid_map: format!("0 {uid} 1"), gid_map: format!("0 {gid} 1") }
    }
}

/// What to do about a `clone3` that was refused; see user_namespaces(7) and namespaces(7) for the reasons.
pub(crate) fn fork_hint(error: &io::Error) -> Option<String> {
    let sysctl = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
        text.trim().parse::<u64>().ok()
    };
    match error.raw_os_error().map(Errno::from_raw_os_error)? {
        Errno::NOSPC => {
            let kinds = ["user", "mnt", "pid", "uts", "ipc", "net"];
            let name = |kind| format!("user.max_{kind}_namespaces");
            let off = kinds.into_iter().map(name).find(|name| sysctl(name) == Some(0));
            Some(match off {
                Some(name) => {
                    format!("the kernel setting {name} is 0: `sysctl -w {name}=10000` as root, or run this as root")
                }
                None => "too many namespaces are in use, or nested too deep: see user.max_*_namespaces in `sysctl -a`".into(),
            })
        }
        Errno::PERM if sysctl("kernel.unprivileged_userns_clone") == Some(0) => Some(
            "user namespaces are off: `sysctl -w kernel.unprivileged_userns_clone=1` as root, or run this as root"
                .into(),
        ),
        Errno::PERM => Some(
            "user namespaces are refused here (in a container or a chroot they often are): run this as root, or outside"
                .into(),
        ),
        Errno::NOSYS => Some("clone3 is missing or filtered: Linux 5.5 or newer is needed".into()),
        Errno::INVAL => Some("this kernel is built without one of the namespaces".into()),
        _ => None,
    }
}

/// What to do about a step inside that was refused.
pub(crate) fn step_hint(step: Step, errno: Errno) -> Option<String> {
    let restricted = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|text| text.trim() == "1");
    match errno {
        Errno::INVAL if [step::PROPAGATION, step::PIVOT].contains(&step) => Some(
            "the root that this program itself is in is no mount point, as after chroot(1): enter that one with \
             thither too, or bind-mount it on itself before"
                .into(),
        ),
        Errno::PERM | Errno::ACCESS if restricted => Some(
            "AppArmor takes the rights away from user namespaces: \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or run this as root"
                .into(),
        ),
        _ => None,
    }
}

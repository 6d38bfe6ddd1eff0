//! User namespaces: why there may be none.

use std::fs;
use std::io;

use rustix::io::Errno;

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

//! Process groups and sessions whose leader may be outside of our pid namespace.
#![expect(unsafe_code, reason = "rustix takes getpgid(2) and getsid(2) never to return 0")]

use rustix::process::Pid;

/// The process group of `process`, or our own.
///
/// `None` if it was made in an outer pid namespace, as that of a command which a container or a chroot starts first
/// (`getpgid` returns 0 there: pid_namespaces(7)), and also if there is no such process.
pub(crate) fn group_of(process: Option<Pid>) -> Option<Pid> {
    // SAFETY: takes a number and returns one.
    visible(unsafe { libc::getpgid(Pid::as_raw(process)) })
}

/// Our own session; `None` as for [`group_of`].
pub(crate) fn session() -> Option<Pid> {
    // SAFETY: takes a number and returns one.
    visible(unsafe { libc::getsid(0) })
}

fn visible(raw: libc::pid_t) -> Option<Pid> {
    if raw > 0 { Pid::from_raw(raw) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_nothing_nor_an_error_is_a_process() {
        assert_eq!([visible(0), visible(-1)], [None, None]);
        assert_eq!(visible(7), Pid::from_raw(7));
        assert!(group_of(Some(Pid::INIT)).is_none_or(|group| Pid::as_raw(Some(group)) > 0));
    }
}

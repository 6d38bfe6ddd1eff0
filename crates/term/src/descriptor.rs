//! Descriptors that are not ours alone.
//!
//! `O_NONBLOCK` belongs to the open file description, open(2), which everybody who inherited the descriptor
//! shares: set on standard input it reaches the user's shell, which then reads the end of its own input. So
//! [`reopen`] a terminal for a description of one's own, and use [`Nonblocking`] on what one has opened.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::ptsname;
use rustix::termios::isatty;

/// Opens the same terminal again, non-blocking and with the same access (reading, writing or both), for an open
/// file description of our own. It is closed on exec and doesn't become the controlling terminal.
///
/// # Errors
/// `ENOTTY` when it is no terminal; `InvalidInput` for the leader of a pty, which opened again would be another
/// pty. `EACCES` where the terminal belongs to another user (after `su`), and `ENOENT` without `/proc`: then
/// only the inherited descriptor is left, to be used as blocking ([`Pump`](crate::Pump) does).
pub fn reopen(tty: impl AsFd) -> io::Result<OwnedFd> {
    let tty = tty.as_fd();
    if !isatty(tty) {
        return Err(Errno::NOTTY.into());
    }
    if is_leader(tty) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the leader of a pty cannot be opened again",
        ));
    }
    let access = fcntl_getfl(tty)? & OFlags::RWMODE;
    let flags = access | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    // Not by the terminal's name: that may be missing or another one here, in a container say.
    let path = format!("/proc/self/fd/{}", tty.as_raw_fd());
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Whether this is the leader of a pty: only a leader has a follower's name (`TIOCGPTN`, ioctl_tty(2)).
pub(crate) fn is_leader(fd: BorrowedFd<'_>) -> bool {
    ptsname(fd, Vec::new()).is_ok()
}

/// A descriptor with `O_NONBLOCK`. Dropping it restores the flag as it was.
///
/// It holds the descriptor, or a reference to it, and lends it through [`AsFd`]. Meant for descriptors that we
/// opened: see the [module](crate::descriptor) for why.
#[derive(Debug)]
pub struct Nonblocking<F: AsFd> {
    fd: F,
    was_blocking: bool,
}

impl<F: AsFd> Nonblocking<F> {
    /// Sets `O_NONBLOCK`.
    ///
    /// # Errors
    /// Those of `F_SETFL`, fcntl(2).
    pub fn set(fd: F) -> io::Result<Nonblocking<F>> {
        let flags = fcntl_getfl(&fd)?;
        fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Nonblocking { fd, was_blocking: !flags.contains(OFlags::NONBLOCK) })
    }
}

impl<F: AsFd> AsFd for Nonblocking<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<F: AsFd> Drop for Nonblocking<F> {
    fn drop(&mut self) {
        if !self.was_blocking {
            return;
        }
        // Other flags may have changed meanwhile. There is nobody to tell of an error.
        if let Ok(flags) = fcntl_getfl(&self.fd) {
            let _ = fcntl_setfl(&self.fd, flags - OFlags::NONBLOCK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_time;
    use crate::{Pty, WindowSize};

    fn pty() -> Pty {
        Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap()
    }

    fn is_nonblocking(fd: impl AsFd) -> bool {
        fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[track_caller]
    fn check(access: OFlags) {
        let pty = pty();
        let path = pty.follower_name().unwrap();
        let inherited = rustix::fs::open(path, access | OFlags::NOCTTY, Mode::empty()).unwrap();
        let ours = reopen(&inherited).unwrap();
        assert_eq!(fcntl_getfl(&ours).unwrap() & OFlags::RWMODE, access);
        assert!(is_nonblocking(&ours));
        assert!(!is_nonblocking(&inherited));
    }

    #[test]
    fn reopened_with_the_same_access_and_flags_of_its_own() {
        check(OFlags::RDONLY);
        check(OFlags::WRONLY);
        check(OFlags::RDWR);
    }

    #[test]
    fn reopened_is_the_same_terminal() {
        in_time(|| {
            let pty = pty();
            let ours = reopen(&pty.follower).unwrap();
            rustix::io::write(&pty.leader, b"a\n").unwrap();
            let mut bytes = [0; 8];
            assert_eq!(rustix::io::read(&ours, &mut bytes).unwrap(), 2);
            assert_eq!(rustix::io::read(&ours, &mut bytes), Err(Errno::AGAIN));
        });
    }

    #[test]
    fn neither_a_pipe_nor_a_leader_is_reopened() {
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(reopen(&reader).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(reopen(&pty().leader).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn nonblocking_restores_what_it_found() {
        let (reader, _writer) = io::pipe().unwrap();
        let outer = Nonblocking::set(&reader).unwrap();
        assert!(is_nonblocking(&reader));
        drop(Nonblocking::set(&outer).unwrap());
        assert!(is_nonblocking(&reader), "as the inner guard found it");
        drop(outer);
        assert!(!is_nonblocking(&reader));
    }
}

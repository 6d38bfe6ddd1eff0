//! Pseudo-terminals.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};

use crate::WindowSize;

/// A pseudo-terminal, pty(7): what is written to one end is read at the other, through a terminal's line
/// discipline. Older texts call the leader "master" and the follower "slave".
///
/// Both ends are closed on exec and become nobody's controlling terminal by being opened. They block; whoever
/// pumps the leader sets it [`Nonblocking`](crate::Nonblocking).
#[derive(Debug)]
pub struct Pty {
    /// The end of the terminal emulator: reads what programs print, writes what is typed. Reading fails with
    /// `EIO` once the last follower is closed and all is read.
    pub leader: OwnedFd,
    /// The end of the programs: a terminal.
    pub follower: OwnedFd,
}

impl Pty {
    /// Opens a pseudo-terminal of this size.
    ///
    /// # Errors
    /// When `/dev/ptmx` is missing or there are no more ptys (`ENOSPC`).
    pub fn open(size: WindowSize) -> io::Result<Pty> {
        let leader = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&leader)?;
        unlockpt(&leader)?;
        // TIOCGPTPEER (Linux 4.13) needs no path, which may name another terminal in a foreign /dev/pts.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let follower = ioctl_tiocgptpeer(&leader, flags).or_else(|_| open_by_name(&leader))?;
        let pty = Pty { leader, follower };
        size.set(&pty.leader)?;
        Ok(pty)
    }

    /// The follower's path, `/dev/pts/N`, as it is called where the pty was opened.
    ///
    /// # Errors
    /// Those of ptsname(3).
    pub fn follower_name(&self) -> io::Result<PathBuf> {
        Ok(OsString::from_vec(ptsname(&self.leader, Vec::new())?.into_bytes()).into())
    }
}

fn open_by_name(leader: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(ptsname(leader, Vec::new())?, flags, Mode::empty())
}

/// Ends the input of the program at the follower by typing VEOF (usually ^D), if its line discipline is
/// canonical and has such a character. Says whether it was typed; in raw mode it would be a byte like any other.
///
/// At the start of a line the program reads the end of its input. After a part of a line VEOF only hands over
/// that part (termios(3)): to end the input then, call it twice.
///
/// # Errors
/// Those of write(2): `WouldBlock` from a non-blocking leader whose program doesn't read.
pub fn end_of_input(leader: impl AsFd) -> io::Result<bool> {
    // On a leader, the modes are the follower's.
    let modes = tcgetattr(&leader)?;
    let veof = modes.special_codes[SpecialCodeIndex::VEOF];
    // 0 is _POSIX_VDISABLE, termios(3): no character at all.
    if !modes.local_modes.contains(LocalModes::ICANON) || veof == 0 {
        return Ok(false);
    }
    retry_on_intr(|| rustix::io::write(&leader, &[veof]))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawMode;
    use crate::testing::in_time;
    use rustix::termios::{OptionalActions, tcsetattr, ttyname};

    fn pty() -> Pty {
        Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap()
    }

    fn read(fd: &OwnedFd) -> Vec<u8> {
        let mut bytes = [0; 64];
        let n = rustix::io::read(fd, &mut bytes).unwrap();
        bytes[..n].to_vec()
    }

    #[test]
    fn ends_are_joined_and_named() {
        in_time(|| {
            let pty = pty();
            rustix::io::write(&pty.follower, b"out\n").unwrap();
            assert_eq!(read(&pty.leader), b"out\r\n");

            let name = ttyname(&pty.follower, Vec::new()).unwrap().into_bytes();
            assert_eq!(pty.follower_name().unwrap(), PathBuf::from(OsString::from_vec(name)));
            let by_name = open_by_name(&pty.leader).unwrap();
            rustix::io::write(&by_name, b"again\n").unwrap();
            assert_eq!(read(&pty.leader), b"again\r\n");
        });
    }

    #[test]
    fn ends_close_on_exec() {
        let pty = pty();
        for fd in [&pty.leader, &pty.follower, &open_by_name(&pty.leader).unwrap()] {
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn end_of_input_is_typed_in_canonical_mode() {
        in_time(|| {
            let pty = pty();
            assert!(end_of_input(&pty.leader).unwrap());
            assert_eq!(read(&pty.follower), b"");
        });
    }

    #[test]
    fn end_of_input_after_a_part_of_a_line() {
        in_time(|| {
            let pty = pty();
            rustix::io::write(&pty.leader, b"part").unwrap();
            assert!(end_of_input(&pty.leader).unwrap());
            assert!(end_of_input(&pty.leader).unwrap());
            assert_eq!(read(&pty.follower), b"part");
            assert_eq!(read(&pty.follower), b"");
        });
    }

    #[test]
    fn nothing_is_typed_where_it_would_be_a_byte() {
        in_time(|| {
            let pty = pty();
            let mut modes = tcgetattr(&pty.follower).unwrap();
            modes.special_codes[SpecialCodeIndex::VEOF] = 0;
            tcsetattr(&pty.follower, OptionalActions::Now, &modes).unwrap();
            assert!(!end_of_input(&pty.leader).unwrap());

            let _raw = RawMode::enter(&pty.follower).unwrap();
            assert!(!end_of_input(&pty.leader).unwrap());
            rustix::io::write(&pty.leader, b"x").unwrap();
            assert_eq!(read(&pty.follower), b"x");
        });
    }
}

//! Raw mode, and the way back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::termios::{Action, OptionalActions, Termios, tcflow, tcgetattr, tcgetpgrp, tcsetattr};

use crate::visible::group_of;

/// A terminal in raw mode: each key is read at once, unechoed, and ^C is a byte like any other (the modes of
/// `cfmakeraw`, termios(3)). Dropping it restores the modes that it found: on return, on `?` and on panic.
///
/// ```no_run
/// let raw = thither_term::RawMode::enter(std::io::stdin())?;
/// // ... every key arrives as it is typed ...
/// drop(raw);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Modes change at once (`TCSANOW`), so nothing typed ahead is lost either way.
///
/// # In the background
/// A background process that changes the modes gets `SIGTTOU` from the kernel, which stops it until the shell
/// brings it to the foreground; so does [`enter`](RawMode::enter), and it reads the modes to come back to only
/// then, since until then they are the shell's. Restoring from the background is skipped: by then the terminal
/// belongs to another program, whose modes these are not. A handler for `SIGTTOU` that returns would make
/// `enter` try for ever, so install none ([`Signals`](crate::Signals) refuses to).
#[derive(Debug)]
pub struct RawMode {
    /// Our own descriptor, so that the guard borrows from nobody.
    tty: OwnedFd,
    cooked: Termios,
    /// Whether the terminal has our raw modes, as far as we know.
    raw: bool,
}

impl RawMode {
    /// Puts this terminal into raw mode.
    ///
    /// # Errors
    /// `ENOTTY` when it is no terminal; `EIO` when it has hung up, or when we are in the background of a
    /// session that nobody is left to bring us back in (an orphaned process group).
    pub fn enter(tty: impl AsFd) -> io::Result<RawMode> {
        let tty = tty.as_fd().try_clone_to_owned()?;
        let cooked = make_raw(&tty)?;
        Ok(RawMode { tty, cooked, raw: true })
    }

    /// Restores the former modes, before the process stops itself for ^Z, say.
    ///
    /// # Errors
    /// Those of tcsetattr(3). A terminal that has hung up, or that belongs to another program by now, is no
    /// error.
    pub fn suspend(&mut self) -> io::Result<()> {
        if self.raw && restore(&self.tty, &self.cooked)? {
            self.raw = false;
        }
        Ok(())
    }

    /// Enters raw mode again, after `SIGCONT`. It does no harm if the terminal is still raw.
    ///
    /// Modes that were changed while this process was suspended (by `stty`) are the ones to be restored from
    /// now on.
    ///
    /// # Errors
    /// As [`enter`](RawMode::enter).
    pub fn resume(&mut self) -> io::Result<()> {
        let found = make_raw(&self.tty)?;
        // Without a suspend before (SIGSTOP cannot be caught), what was found may be our own raw mode.
        if !self.raw {
            self.cooked = found;
            self.raw = true;
        }
        Ok(())
    }

    pub(crate) fn tty(&self) -> &OwnedFd {
        &self.tty
    }

    pub(crate) fn cooked(&self) -> &Termios {
        &self.cooked
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to try.
        let _ = self.suspend();
    }
}

/// Sets raw mode and returns the modes that were found.
fn make_raw(tty: &OwnedFd) -> rustix::io::Result<Termios> {
    // Undoes a TCOOFF of our own, that is, nothing; but like every change it first waits for the foreground.
    retry_on_intr(|| tcflow(tty, Action::OOn))?;
    let found = tcgetattr(tty)?;
    let mut modes = found.clone();
    modes.make_raw();
    retry_on_intr(|| tcsetattr(tty, OptionalActions::Now, &modes))?;
    Ok(found)
}

/// Sets these modes, unless the terminal belongs to another program. Says whether it did.
fn restore(tty: &OwnedFd, modes: &Termios) -> rustix::io::Result<bool> {
    match tcgetpgrp(tty) {
        Ok(foreground) if Some(foreground) != group_of(None) => return Ok(false),
        // ENOTTY: not our controlling terminal, so there is no background to be in.
        // EOPNOTSUPP (of rustix): its foreground group is in another pid namespace, as ours may be.
        Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP) => {}
        Err(Errno::IO) => return Ok(false),
        Err(error) => return Err(error),
    }
    match retry_on_intr(|| tcsetattr(tty, OptionalActions::Now, modes)) {
        Ok(()) => Ok(true),
        Err(Errno::IO) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_time;
    use crate::{Pty, WindowSize};
    use rustix::termios::LocalModes;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn pty() -> Pty {
        Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap()
    }

    /// All modes as text: `Termios` cannot be compared.
    fn modes(tty: &OwnedFd) -> String {
        format!("{:?}", tcgetattr(tty).unwrap())
    }

    fn is_cooked(tty: &OwnedFd) -> bool {
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcgetattr(tty).unwrap().local_modes.contains(cooked)
    }

    #[test]
    fn restores_exactly_what_it_found() {
        let pty = pty();
        let before = modes(&pty.follower);
        let raw = RawMode::enter(&pty.follower).unwrap();
        assert!(!is_cooked(&pty.follower));
        drop(raw);
        assert_eq!(modes(&pty.follower), before);
    }

    #[test]
    fn restores_on_panic() {
        let pty = pty();
        let before = modes(&pty.follower);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _raw = RawMode::enter(&pty.follower).unwrap();
            assert!(is_cooked(&pty.follower), "in raw mode, as it has to be");
        }));
        assert!(result.is_err());
        assert_eq!(modes(&pty.follower), before);
    }

    #[test]
    fn suspends_and_resumes() {
        let pty = pty();
        let mut raw = RawMode::enter(&pty.follower).unwrap();
        raw.suspend().unwrap();
        assert!(is_cooked(&pty.follower));

        let mut changed = tcgetattr(&pty.follower).unwrap();
        changed.local_modes.remove(LocalModes::ECHOE);
        tcsetattr(&pty.follower, OptionalActions::Now, &changed).unwrap();
        let changed = modes(&pty.follower);

        raw.resume().unwrap();
        assert!(!is_cooked(&pty.follower));
        drop(raw);
        assert_eq!(modes(&pty.follower), changed);
    }

    #[test]
    fn resuming_what_is_raw_still_knows_the_way_back() {
        let pty = pty();
        let before = modes(&pty.follower);
        let mut raw = RawMode::enter(&pty.follower).unwrap();
        raw.resume().unwrap();
        drop(raw);
        assert_eq!(modes(&pty.follower), before);
    }

    #[test]
    fn keeps_what_was_typed_ahead() {
        in_time(|| {
            let pty = pty();
            rustix::io::write(&pty.leader, b"typed\n").unwrap();
            // Until it has crossed the pty, there is nothing to lose.
            crate::poll(&[crate::Interest::Read(pty.follower.as_fd())], None).unwrap();
            let raw = RawMode::enter(&pty.follower).unwrap();
            let mut bytes = [0; 16];
            let n = rustix::io::read(&pty.follower, &mut bytes).unwrap();
            assert_eq!(&bytes[..n], b"typed\n");
            drop(raw);
        });
    }

    #[test]
    fn a_hung_up_terminal_is_no_error_to_restore() {
        let Pty { leader, follower } = pty();
        let mut raw = RawMode::enter(&follower).unwrap();
        drop(leader);
        raw.suspend().unwrap();
        assert_eq!(raw.resume().unwrap_err().raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (reader, _writer) = io::pipe().unwrap();
        let error = RawMode::enter(&reader).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}

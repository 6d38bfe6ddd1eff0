//! The user's side: terminal or not, and everything about it that has to be put back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::termios::isatty;
use thither_term::modes::ScreenModes;
use thither_term::{Interest, Keeper, RawMode, poll, reopen};

use super::Interact;
use crate::{Error, Result, WindowSize};

/// How long a terminal that takes no output may hold up the putting back of its modes.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// The user's input and output. Dropping it restores the terminal; unless the end was a [`normal`](User::normal)
/// one, what the program over there had switched on is switched off as well.
#[derive(Debug)]
pub(super) struct User {
    raw: Option<RawMode>,
    /// Dropped after the modes are restored: the order of the fields.
    keeper: Option<Keeper>,
    modes: ScreenModes,
    screen: Option<OwnedFd>,
    /// The terminal whose size counts.
    window: Option<OwnedFd>,
    normal: bool,
}

impl User {
    /// The streams to pump from and to, and the guard.
    pub(super) fn open(options: &Interact) -> Result<(OwnedFd, OwnedFd, User)> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let stdin = options.input.as_ref().map_or(stdin.as_fd(), |input| input.as_fd());
        let stdout = options.output.as_ref().map_or(stdout.as_fd(), |output| output.as_fd());
        // A terminal is opened again: the inherited description is shared with the shell, and must stay blocking.
        let own = |fd: BorrowedFd<'_>| match isatty(fd) {
            true => reopen(fd).or_else(|_| fd.try_clone_to_owned()),
            false => fd.try_clone_to_owned(),
        };
        let open = |source| Error::Terminal { action: "open the standard streams", source };
        let input = own(stdin).map_err(open)?;
        let output = own(stdout).map_err(open)?;
        let screen = isatty(&output).then(|| output.try_clone()).transpose().map_err(open)?;
        let window = isatty(&input).then(|| input.try_clone()).transpose().map_err(open)?;
        let raw = isatty(&input).then(|| RawMode::enter(&input)).transpose();
        let raw = raw.map_err(|source| Error::Terminal {
            action: "change the modes of the terminal",
            source,
        })?;
        // Without one the terminal is as well restored, but after SIGKILL.
        let keeper = match &raw {
            Some(raw) => Keeper::start(raw, &output).ok(),
            None => None,
        };
        let modes = ScreenModes::default();
        Ok((input, output, User { raw, keeper, modes, screen, window, normal: false }))
    }

    /// Takes note of what goes to the screen.
    pub(super) fn observe(&mut self, output: &[u8]) {
        if self.screen.is_some() {
            self.modes.observe(output);
            if let Some(keeper) = &mut self.keeper {
                keeper.remember(&self.modes.clone().undo());
            }
        }
    }

    /// Whether the input is a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.raw.is_some()
    }

    /// Stops this program, its terminal restored, until it is continued.
    pub(super) fn suspend(&mut self) -> Result<()> {
        let failed =
            |source| Error::Terminal { action: "change the modes of the terminal", source };
        let Some(raw) = &mut self.raw else { return Ok(()) };
        raw.suspend().map_err(failed)?;
        thither_term::signals::suspend_self(libc::SIGTSTP).map_err(failed)?;
        raw.resume().map_err(failed)
    }

    /// Takes the terminal back after somebody else stopped and continued us.
    pub(super) fn resume(&mut self) -> Result<()> {
        match &mut self.raw {
            Some(raw) => raw.resume().map_err(|source| Error::Terminal {
                action: "change the modes of the terminal",
                source,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn size(&self) -> Option<WindowSize> {
        self.window.as_ref().and_then(|window| WindowSize::of(window).ok())
    }

    /// The program ended by itself: the screen is as it wants it.
    pub(super) fn normal(&mut self) {
        self.normal = true;
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let undo = self.modes.undo();
        if let (false, Some(screen)) = (self.normal || undo.is_empty(), &self.screen) {
            let ready = poll(&[Interest::Write(screen.as_fd())], Some(PATIENCE));
            if ready.is_ok_and(|ready| ready[0].now) {
                // There is nothing left to try if it is not taken.
                let _ = rustix::io::write(screen, &undo);
            }
        }
    }
}

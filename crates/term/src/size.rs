//! The size of a terminal.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

/// The size of a terminal's window, in character cells; columns first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl WindowSize {
    /// The size that the kernel has noted for this terminal (`TIOCGWINSZ`, ioctl_tty(2)).
    ///
    /// It is 0x0 where nobody has set it: on a fresh pty or a serial line.
    ///
    /// # Errors
    /// `ENOTTY` when it is no terminal.
    pub fn of(tty: impl AsFd) -> io::Result<WindowSize> {
        let size = tcgetwinsize(tty)?;
        Ok(WindowSize { cols: size.ws_col, rows: size.ws_row })
    }

    /// Sets the size of this terminal (`TIOCSWINSZ`, ioctl_tty(2)), which may be either end of a pty. When it
    /// changes, the terminal's foreground process group gets `SIGWINCH`.
    ///
    /// # Errors
    /// `ENOTTY` when it is no terminal.
    pub fn set(self, tty: impl AsFd) -> io::Result<()> {
        let size = Winsize { ws_col: self.cols, ws_row: self.rows, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(tty, size)?)
    }
}

impl fmt::Display for WindowSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.cols, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pty;

    #[test]
    fn both_ends_of_a_pty_see_it() {
        let pty = Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap();
        assert_eq!(WindowSize::of(&pty.follower).unwrap().to_string(), "80x24");

        let wide = WindowSize { cols: 132, rows: 50 };
        wide.set(&pty.leader).unwrap();
        assert_eq!(WindowSize::of(&pty.follower).unwrap(), wide);
    }

    #[test]
    fn a_pipe_has_no_size() {
        let (reader, _writer) = io::pipe().unwrap();
        let error = WindowSize::of(&reader).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}

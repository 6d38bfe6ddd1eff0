//! How a command ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;

/// How a command ended.
///
/// A place says [`Exit::Signal`] only when its transport reports a signal; it is never inferred from a code
/// above 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It returned this code, 0 to 255 (a Windows program may return more).
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// Whether it returned 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The exit code for a shell: the command's own, or 128+n when signal n killed it.
    ///
    /// A code that does not fit eight bits (from Windows) becomes 255, so that a failure never reads as success.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Exit::Code(code) => u8::try_from(code).unwrap_or(255),
            Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }

    /// Reads a status as `wait(2)` stores it.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Exit {
        std::process::ExitStatus::from_raw(status).into()
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            // Stopped or continued: not an end. Callers wait for ends only.
            (None, None) => Exit::Code(255),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: i32, exit: Exit, shell: u8) {
        assert_eq!((Exit::from_wait_status(status), exit.shell_code()), (exit, shell));
    }

    #[test]
    fn wait_statuses() {
        check(0, Exit::Code(0), 0);
        check(7 << 8, Exit::Code(7), 7);
        check(255 << 8, Exit::Code(255), 255);
        check(9, Exit::Signal(9), 137);
        check(11 | 0x80, Exit::Signal(11), 139);
    }

    #[test]
    fn a_windows_code_is_no_success() {
        assert_eq!(Exit::Code(0x4000_0000).shell_code(), 255);
        assert_eq!(Exit::Code(-1).shell_code(), 255);
    }
}

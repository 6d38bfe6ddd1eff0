//! The signals that this program gets while it is joined to a process.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use thither_term::signals::Received;
use thither_term::{Interest, Signals};

use crate::{Error, Result};

/// Those that tell us to end, apart from the others: the start of a process is given up for them alone.
pub(super) struct Heard {
    ends: Signals,
    others: Signals,
}

impl Heard {
    pub(super) fn new(terminal: bool) -> Result<Heard> {
        // SIGCHLD only so that it is not ignored: then the kernel would keep a child's exit code from us (wait(2)).
        let mut others = vec![libc::SIGCHLD];
        if terminal {
            others.extend([libc::SIGWINCH, libc::SIGTSTP, libc::SIGCONT]);
        }
        let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
        Ok(Heard {
            ends: Signals::on(ends).map_err(receiving)?,
            others: Signals::on(others).map_err(receiving)?,
        })
    }

    /// Readable once we were told to end.
    pub(super) fn ends(&self) -> Result<Arc<OwnedFd>> {
        self.ends.as_fd().try_clone_to_owned().map(Arc::new).map_err(receiving)
    }

    pub(super) fn interests(&self) -> [Interest<'_>; 2] {
        [Interest::Read(self.ends.as_fd()), Interest::Read(self.others.as_fd())]
    }

    /// The next signal, without waiting.
    pub(super) fn next(&self) -> Option<Received> {
        self.ends.next().or_else(|| self.others.next())
    }
}

fn receiving(source: std::io::Error) -> Error {
    Error::Terminal { action: "receive signals", source }
}

//! An engine that could not start an exec says so in the place of the exec's output, in words alone (before API 1.42 at
//! least). So what comes first and begins so is held back until it is known whether there has been a process.

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use thither_term::Destination;

use super::{Broken, Frame, Relay};

/// How engines begin to say that they could not start an exec, in the place of its output.
pub(super) const EXCUSES: [&[u8]; 3] =
    [b"OCI runtime exec failed", b"unable to find user ", b"unable to find group "];
/// As long as the longest of them, in bytes.
const LONGEST: usize = 23;
/// How much of it is kept, in bytes.
pub(super) const MAX_REFUSAL: usize = 8 * 1024;

/// Whether the engine's excuse may come, in the place of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As the first thing.
    Possible,
    /// It does, for this destination: this much of it so far.
    Coming(usize, Vec<u8>),
    /// It cannot any more.
    No,
}

impl Relay {
    /// The same for an exec, whose engine may say in the place of its output that it could not be started.
    pub(crate) fn expect_refusal(mut self) -> Relay {
        self.refusal = Refusal::Possible;
        self
    }

    /// What the engine said in the place of output, if it did.
    pub(crate) fn refusal(&self) -> Option<String> {
        match &self.refusal {
            Refusal::Coming(_, text) => Some(String::from_utf8_lossy(text).trim().to_owned()),
            _ => None,
        }
    }

    /// The program runs: what reads like an excuse is its own.
    pub(crate) fn no_excuse(&mut self) {
        // A head that has come in part is waited for: there is one buffer.
        if matches!(self.frame, Frame::Head { have: 1.., .. }) || self.start < self.buffer.len() {
            return;
        }
        let Refusal::Coming(of, text) = std::mem::replace(&mut self.refusal, Refusal::No) else {
            return;
        };
        (self.buffer, self.start) = (text, 0);
        self.frame = match self.frame {
            Frame::Head { .. } => Frame::Payload { of, left: 0 },
            frame => frame,
        };
        if self.out[of].as_ref().is_some_and(Destination::is_always_ready) {
            // Files cannot be waited for; what is wrong with one, the next write says again.
            let _ = self.write_all(of);
            return;
        }
        // Nothing has to come for it to go on.
        self.full = true;
        let _ = self.want();
    }

    /// The program did run, has printed that itself, and has ended.
    pub(crate) fn deliver_refusal(&mut self) -> Result<(), Broken> {
        self.no_excuse();
        let Frame::Payload { of, .. } = self.frame else { return Ok(()) };
        self.write_all(of)
    }

    /// Finds out whether the first thing that comes is the engine's excuse. `false` while that cannot be said.
    pub(super) fn is_refusal(&mut self, of: usize, most: usize) -> Result<bool, Broken> {
        if self.refusal != Refusal::Possible {
            return Ok(true);
        }
        let mut bytes = [0; LONGEST];
        let wanted = most.min(LONGEST);
        match recv(&self.socket, &mut bytes[..wanted], RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(Broken::Lost(Some(error.into()))),
            Ok((n, _)) => {
                let is_one = EXCUSES.iter().any(|excuse| bytes[..n].starts_with(excuse));
                self.refusal = match is_one {
                    true => Refusal::Coming(of, Vec::new()),
                    false => Refusal::No,
                };
            }
        }
        Ok(true)
    }
}

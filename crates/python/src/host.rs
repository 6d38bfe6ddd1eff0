//! What holds the interpreter's process.

use std::fmt::Debug;
use std::process::Child;
use std::time::{Duration, Instant};

/// The process of an interpreter, or what stands for it. A transport of one's own says here how it ends.
pub trait Host: Send + Debug {
    /// How it ended, in words, if it does within that time; `None` if it goes on or nobody knows.
    fn ended(&mut self, limit: Duration) -> Option<String>;

    /// Puts it away: the channel has ended, and nobody will ask again.
    fn finish(&mut self);
}

/// Nothing is known of the other side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unknown;

impl Host for Unknown {
    fn ended(&mut self, _: Duration) -> Option<String> {
        None
    }

    fn finish(&mut self) {}
}

/// A child of this program.
impl Host for Child {
    fn ended(&mut self, limit: Duration) -> Option<String> {
        let deadline = Instant::now().checked_add(limit);
        loop {
            match self.try_wait() {
                Ok(Some(status)) => return Some(format!("it ended with {status}")),
                Ok(None) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    wait_for_exit(self, deadline);
                }
                _ => return None,
            }
        }
    }

    fn finish(&mut self) {
        if self.ended(Duration::from_secs(2)).is_none() {
            // It has been given its time. Both fail only if it has ended meanwhile.
            let _ = self.kill();
            let _ = self.wait();
        }
    }
}

/// Until the process has ended, or the time is over, if there is a limit.
fn wait_for_exit(child: &Child, deadline: Option<Instant>) {
    use rustix::event::{PollFd, PollFlags};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    // A failure ends the wait, and the state is asked for again.
    let _ = crate::channel::wait(&mut fds, left);
}

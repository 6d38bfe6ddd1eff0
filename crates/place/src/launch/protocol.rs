//! What a supervisor tells its parent: fixed-size messages on a sequenced-packet socket.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A step of the way from the fork to the command's first instruction. The child reports the step and the
/// error number; the parent writes the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub u8);

impl Step {
    /// `setsid`, `TIOCSCTTY`, `PR_SET_PDEATHSIG`: the new session, its controlling terminal, and what ends it.
    pub const SESSION: Step = Step(1);
    /// `clone` of the command's process.
    pub const FORK: Step = Step(2);
    /// `dup3`, `close_range`: the standard streams.
    pub const STREAMS: Step = Step(3);
    /// `setgroups`, `setresgid`, `setresuid`.
    pub const IDENTITY: Step = Step(4);
    /// `chdir` to the working directory.
    pub const DIRECTORY: Step = Step(5);
    /// `execve`.
    pub const EXEC: Step = Step(6);
    /// `signalfd`, `poll`, `wait4`: watching over the command.
    pub const WATCH: Step = Step(7);
    /// The first number that a place may use for steps of its own.
    pub const FIRST_OF_PLACE: u8 = 32;
}

/// A step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: Step,
    /// Which one of several objects of the step (the index of a mount, say).
    pub index: u16,
    /// Why.
    pub errno: Errno,
}

impl Failure {
    /// For `map_err` on a system call of a step that has one object.
    pub fn at(step: Step) -> impl Fn(Errno) -> Failure {
        move |errno| Failure { step, index: 0, errno }
    }

    pub(super) const SIZE: usize = SIZE;

    /// As [`Message::Failed`].
    pub(super) fn encode(self) -> [u8; SIZE] {
        Message::Failed(self).encode()
    }

    /// What [`encode`](Failure::encode) made.
    pub(super) fn decode(bytes: [u8; SIZE]) -> Failure {
        match Message::decode(bytes) {
            Some(Message::Failed(failure)) => failure,
            _ => Failure::at(Step::FORK)(Errno::PROTO),
        }
    }
}

/// What a supervisor says. On the wire: kind `u8`, step `u8`, index `u16`, value `i32`, all native.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command's program runs; its pid, as the supervisor sees it.
    Started(i32),
    /// It will never run.
    Failed(Failure),
    /// This signal stopped it.
    Stopped(i32),
    /// It ended, with this status of `wait(2)`.
    Exited(i32),
}

const SIZE: usize = 8;

impl Message {
    fn encode(self) -> [u8; SIZE] {
        let (kind, step, index, value) = match self {
            Message::Started(pid) => (1, 0, 0, pid),
            Message::Failed(failure) => {
                (2, failure.step.0, failure.index, failure.errno.raw_os_error())
            }
            Message::Stopped(signal) => (3, 0, 0, signal),
            Message::Exited(status) => (4, 0, 0, status),
        };
        let ([i0, i1], [v0, v1, v2, v3]): ([u8; 2], [u8; 4]) =
            (u16::to_ne_bytes(index), i32::to_ne_bytes(value));
        [kind, step, i0, i1, v0, v1, v2, v3]
    }

    fn decode(bytes: [u8; SIZE]) -> Option<Message> {
        let [kind, step, i0, i1, v0, v1, v2, v3] = bytes;
        let (index, value) = (u16::from_ne_bytes([i0, i1]), i32::from_ne_bytes([v0, v1, v2, v3]));
        match kind {
            1 => Some(Message::Started(value)),
            2 => Some(Message::Failed(Failure {
                step: Step(step),
                index,
                errno: Errno::from_raw_os_error(value),
            })),
            3 => Some(Message::Stopped(value)),
            4 => Some(Message::Exited(value)),
            _ => None,
        }
    }

    /// Sends it. Only a system call: a child may use it after a fork.
    pub(super) fn send(self, channel: BorrowedFd<'_>) {
        // When the parent is gone there is nobody to tell; the caller sees the end of the channel next.
        let _ = send(channel, &self.encode(), SendFlags::NOSIGNAL);
    }

    /// Receives one; `None` at the end of the channel.
    pub(super) fn receive(
        channel: BorrowedFd<'_>,
        flags: RecvFlags,
    ) -> rustix::io::Result<Option<Message>> {
        let mut bytes = [0; SIZE];
        loop {
            return match recv(channel, &mut bytes, flags) {
                Ok((_, 0)) => Ok(None),
                Ok((_, SIZE)) => Message::decode(bytes).map(Some).ok_or(Errno::PROTO),
                Ok(_) => Err(Errno::PROTO),
                // A reset says, once, that the other end was closed with something of ours unread. What it had
                // sent before can still be received.
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(errno) => Err(errno),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: Message) {
        assert_eq!(Message::decode(message.encode()), Some(message));
    }

    #[test]
    fn round_trips() {
        check(Message::Started(4_000_000));
        check(Message::Failed(Failure { step: Step(33), index: 513, errno: Errno::ACCESS }));
        check(Message::Stopped(20));
        check(Message::Exited(0x7f00));
        assert_eq!(Message::decode([9; SIZE]), None);
    }
}

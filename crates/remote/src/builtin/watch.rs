//! Several descriptors as one: an epoll(7) instance, which polls readable when any of them is ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

/// What is waited for, by slots of the owner's own numbering. A slot belongs to one descriptor for ever, which must stay
/// open as long.
#[derive(Debug)]
pub(super) struct Watch<const SLOTS: usize> {
    epoll: OwnedFd,
    wanted: [EventFlags; SLOTS],
}

impl<const SLOTS: usize> Watch<SLOTS> {
    pub(super) fn new() -> io::Result<Watch<SLOTS>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Watch { epoll, wanted: [EventFlags::empty(); SLOTS] })
    }

    /// Waits for this and nothing else on the slot's descriptor; for nothing at all if it is empty, where the kernel
    /// would go on to report a hang-up. Files cannot be waited for, as they are always ready (`EPERM`).
    pub(super) fn want(&mut self, slot: usize, fd: impl AsFd, flags: EventFlags) -> io::Result<()> {
        let before = self.wanted[slot];
        if before == flags {
            return Ok(());
        }
        let data = EventData::new_u64(0);
        let changed = match (before.is_empty(), flags.is_empty()) {
            (true, _) => epoll::add(&self.epoll, fd, data, flags),
            (false, true) => epoll::delete(&self.epoll, fd),
            (false, false) => epoll::modify(&self.epoll, fd, data, flags),
        };
        match changed {
            Err(Errno::PERM) => return Ok(()),
            other => other?,
        }
        self.wanted[slot] = flags;
        Ok(())
    }
}

impl<const SLOTS: usize> AsFd for Watch<SLOTS> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

//! Several descriptors as one: an epoll(7) instance, which polls readable when any of them is ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

/// The most descriptors of one instance.
const SLOTS: usize = 8;

/// What is waited for, by slots of the owner's own numbering. A slot belongs to one descriptor for ever.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: OwnedFd,
    wanted: [EventFlags; SLOTS],
}

impl Watch {
    pub(crate) fn new() -> io::Result<Watch> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Watch { epoll, wanted: [EventFlags::empty(); SLOTS] })
    }

    /// Waits for this and nothing else on the slot's descriptor; for nothing at all if it is empty, where the kernel
    /// would go on to report a hang-up. Says whether the descriptor can be waited for: files cannot, they are always
    /// ready (`EPERM`).
    pub(crate) fn want(
        &mut self,
        slot: usize,
        fd: impl AsFd,
        flags: EventFlags,
    ) -> io::Result<bool> {
        let before = self.wanted[slot];
        if before == flags {
            return Ok(true);
        }
        let data = EventData::new_u64(slot as u64);
        let changed = match (before.is_empty(), flags.is_empty()) {
            (true, _) => epoll::add(&self.epoll, fd, data, flags),
            (false, true) => epoll::delete(&self.epoll, fd),
            (false, false) => epoll::modify(&self.epoll, fd, data, flags),
        };
        match changed {
            Err(Errno::PERM) => return Ok(false),
            other => other?,
        }
        self.wanted[slot] = flags;
        Ok(true)
    }

    /// What is ready by now, per slot.
    pub(crate) fn ready(&self) -> io::Result<[EventFlags; SLOTS]> {
        let mut events = Vec::with_capacity(SLOTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = [EventFlags::empty(); SLOTS];
        for event in &events {
            let flags = event.flags;
            ready[event.data.u64() as usize] = flags;
        }
        Ok(ready)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

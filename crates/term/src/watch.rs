//! Several descriptors as one: an epoll(7) instance, which polls readable when any of them is ready.
//!
//! For those who are driven by a caller's own loop, and can show it one descriptor only.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

/// The most descriptors of one instance.
pub const SLOTS: usize = 8;

/// What is waited for, by slots of the owner's own numbering, below [`SLOTS`]. A slot belongs to one descriptor for ever.
///
/// A descriptor that somebody else holds too must be let go of with [`want`](Watch::want) of nothing before it is closed: the
/// kernel goes on to watch it otherwise, epoll(7).
///
/// ```
/// use std::io::{pipe, Write};
/// use rustix::event::epoll::EventFlags;
/// use thither_term::Watch;
///
/// let (reader, mut writer) = pipe()?;
/// let mut watch = Watch::new()?;
/// watch.want(0, &reader, EventFlags::IN)?;
/// assert!(watch.ready()?[0].is_empty());
/// writer.write_all(b"x")?;
/// assert!(!watch.ready()?[0].is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    epoll: OwnedFd,
    wanted: [EventFlags; SLOTS],
}

impl Watch {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub fn new() -> io::Result<Watch> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Watch { epoll, wanted: [EventFlags::empty(); SLOTS] })
    }

    /// Waits for this and nothing else on the slot's descriptor; for nothing at all if it is empty, where the kernel
    /// would go on to report a hang-up. Says whether the descriptor can be waited for: files cannot, they are always
    /// ready (`EPERM`).
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn want(&mut self, slot: usize, fd: impl AsFd, flags: EventFlags) -> io::Result<bool> {
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
    ///
    /// # Errors
    /// Those of epoll_wait(2).
    pub fn ready(&self) -> io::Result<[EventFlags; SLOTS]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interest, poll};
    use std::io::{Write, pipe};

    const NOW: Option<std::time::Duration> = Some(std::time::Duration::ZERO);

    #[test]
    fn one_for_several() {
        let [(first, mut to_first), (second, mut to_second)] = [pipe().unwrap(), pipe().unwrap()];
        let mut watch = Watch::new().unwrap();
        assert!(watch.want(2, &first, EventFlags::IN).unwrap());
        assert!(watch.want(5, &second, EventFlags::IN).unwrap());
        let shown = |watch: &Watch| poll(&[Interest::Read(watch.as_fd())], NOW).unwrap()[0].now;
        assert!(!shown(&watch));

        to_second.write_all(b"x").unwrap();
        assert!(shown(&watch));
        let ready = watch.ready().unwrap();
        assert_eq!((ready[2], ready[5]), (EventFlags::empty(), EventFlags::IN));

        to_first.write_all(b"x").unwrap();
        assert!(watch.want(5, &second, EventFlags::empty()).unwrap());
        let ready = watch.ready().unwrap();
        assert_eq!((ready[2], ready[5]), (EventFlags::IN, EventFlags::empty()));
    }

    #[test]
    fn files_cannot_be_waited_for() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(!Watch::new().unwrap().want(0, &file, EventFlags::IN).unwrap());
    }
}

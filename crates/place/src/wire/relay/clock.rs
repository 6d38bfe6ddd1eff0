//! Whether the other side is still there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// How many questions may go unanswered.
const PATIENCE: u32 = 3;

/// A timer that is readable when nothing was heard for a while.
#[derive(Debug)]
pub(super) struct Clock {
    timer: OwnedFd,
    every: Duration,
    /// When something was heard, or asked.
    since: Instant,
    unanswered: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    Nothing,
    /// To ask whether it is there.
    Ask,
    /// It is not.
    Dead,
}

impl Clock {
    pub(super) fn new(every: Duration) -> io::Result<Clock> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // A timer of no time would be none.
        let every = every.max(Duration::from_millis(1));
        let clock = Clock { timer, every, since: Instant::now(), unanswered: 0 };
        clock.set(every)?;
        Ok(clock)
    }

    /// Something was heard, just now.
    pub(super) fn heard(&mut self) {
        self.since = Instant::now();
        self.unanswered = 0;
    }

    /// The timer is readable.
    pub(super) fn tick(&mut self) -> io::Result<Tick> {
        match rustix::io::read(&self.timer, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let left = self.every.saturating_sub(self.since.elapsed());
        if !left.is_zero() {
            self.set(left)?;
            return Ok(Tick::Nothing);
        }
        if self.unanswered == PATIENCE {
            return Ok(Tick::Dead);
        }
        self.unanswered += 1;
        self.since = Instant::now();
        self.set(self.every)?;
        Ok(Tick::Ask)
    }

    /// Once, after so long. What the kernel cannot count is never.
    fn set(&self, after: Duration) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec::try_from(after).unwrap_or(never);
        let once = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsFd for Clock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thither_term::{Interest, poll};

    const EVERY: Duration = Duration::from_millis(1);

    /// What the clock says when it has something to say.
    fn next(clock: &mut Clock) -> Tick {
        loop {
            let ready = poll(&[Interest::Read(clock.as_fd())], Some(Duration::from_secs(20)));
            assert!(ready.unwrap()[0].now, "the timer is not set");
            match clock.tick().unwrap() {
                Tick::Nothing => {}
                tick => return tick,
            }
        }
    }

    #[test]
    fn asks_three_times() {
        let mut clock = Clock::new(EVERY).unwrap();
        let ticks: Vec<Tick> = (0..4).map(|_| next(&mut clock)).collect();
        assert_eq!(ticks, [Tick::Ask, Tick::Ask, Tick::Ask, Tick::Dead]);
    }

    #[test]
    fn begins_again_when_something_is_heard() {
        let mut clock = Clock::new(EVERY).unwrap();
        for _ in 0..10 {
            assert_eq!(next(&mut clock), Tick::Ask);
            clock.heard();
        }
    }

    #[test]
    fn a_tick_after_something_was_heard_says_nothing() {
        let mut clock = Clock::new(Duration::from_secs(3600)).unwrap();
        assert_eq!(clock.tick().unwrap(), Tick::Nothing);
        clock.since -= Duration::from_secs(3600);
        assert_eq!(clock.tick().unwrap(), Tick::Ask);
        assert_eq!(clock.tick().unwrap(), Tick::Nothing);
    }
}

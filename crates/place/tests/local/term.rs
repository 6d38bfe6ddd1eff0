//! A command in a terminal, and the test at its other end.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use testkit::DEADLINE;
use thither_place::{Command, Event, Exit, Local, Place, Process};

/// Every wait has the deadline of testkit.
pub(crate) struct Term {
    pub(crate) process: Process,
    text: String,
    closed: bool,
}

impl Term {
    #[track_caller]
    pub(crate) fn start(command: Command) -> Term {
        Term { process: Local.spawn(&command).unwrap(), text: String::new(), closed: false }
    }

    pub(crate) fn send(&mut self, text: &str) {
        let terminal = self.process.terminal.as_ref().unwrap();
        assert_eq!(rustix::io::write(terminal, text.as_bytes()), Ok(text.len()));
    }

    /// Waits for a text and returns what came up to and with it.
    #[track_caller]
    pub(crate) fn expect(&mut self, needle: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.text.find(needle) {
                let rest = self.text.split_off(at + needle.len());
                return std::mem::replace(&mut self.text, rest);
            }
            assert!(!self.closed, "{needle:?} never came, but {:?}", self.text);
            self.turn(end);
        }
    }

    /// Everything that is still to come, to the last close of the terminal.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let end = Instant::now() + DEADLINE;
        while !self.closed {
            self.turn(end);
        }
        std::mem::take(&mut self.text)
    }

    /// The next event; output is read meanwhile.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Event {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(event) = self.process.control.event().unwrap() {
                return event;
            }
            self.turn(end);
        }
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> Exit {
        match self.event() {
            Event::Exited(exit) => exit,
            other => panic!("{other:?} instead of an end"),
        }
    }

    #[track_caller]
    fn turn(&mut self, end: Instant) {
        let patience = end.saturating_duration_since(Instant::now());
        assert!(patience > Duration::ZERO, "waited in vain; the terminal shows {:?}", self.text);
        let terminal = self.process.terminal.as_ref().unwrap();
        let mut fds = [
            PollFd::from_borrowed_fd(self.process.control.as_fd(), PollFlags::IN),
            PollFd::new(terminal, PollFlags::IN),
        ];
        // A closed terminal polls ready for ever.
        let count = if self.closed { 1 } else { 2 };
        let patience = Timespec::try_from(patience).unwrap();
        poll(&mut fds[..count], Some(&patience)).unwrap();
        if fds[1].revents().is_empty() || self.closed {
            return;
        }
        let mut bytes = [0; 4096];
        match rustix::io::read(terminal, &mut bytes) {
            Ok(n) => self.text.push_str(std::str::from_utf8(&bytes[..n]).unwrap()),
            Err(Errno::IO) => self.closed = true,
            Err(errno) => panic!("{errno}"),
        }
    }
}

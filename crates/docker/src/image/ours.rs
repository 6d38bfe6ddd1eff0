//! What goes away with us: a fresh container, by its guard.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use thither_place::{Control, Event, WindowSize};

use super::record::Record;
use crate::container::Container;
use crate::files::Download;

/// How long that may take. Whoever waits for it wants to leave, and what remains is found by its record.
const REMOVING: Duration = Duration::from_secs(5);

/// Removes the container unless it has gone by itself.
pub(super) struct Guard {
    pub(super) container: Option<Container>,
    pub(super) record: Option<Record>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(container) = self.container.take() else { return };
        match container.remove_within(REMOVING) {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "the container is left for the next run");
                if let Some(record) = self.record.take() {
                    record.leave();
                }
            }
        }
    }
}

/// The main process of a container that is ours.
pub(super) struct Ours {
    pub(super) control: Box<dyn Control>,
    pub(super) guard: Guard,
}

impl Control for Ours {
    fn resize(&mut self, size: WindowSize) -> thither_place::Result<()> {
        self.control.resize(size)
    }

    fn signal(&mut self, signal: i32) -> thither_place::Result<()> {
        self.control.signal(signal)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    fn event(&mut self) -> thither_place::Result<Option<Event>> {
        let event = self.control.event();
        if let Ok(Some(Event::Exited(_))) = event {
            self.guard.container = None;
        }
        event
    }

    fn detach(&mut self) {
        self.guard.container = None;
        self.guard.record = None;
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> thither_place::Result<()> {
        self.control.end_input(terminal)
    }
}

/// Files on their way out of a container that is ours.
pub(super) struct Files {
    pub(super) download: Download,
    /// Dropped after it.
    pub(super) _guard: Guard,
}

impl Read for Files {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.download.read(bytes)
    }
}

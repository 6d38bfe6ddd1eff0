//! What happens while files are copied: signals that end it, what is left out, progress.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use thither::archive::Event;
use thither::error::quoted;
use thither::interact::die_interrupted;
use thither::{Archive, Received, Sender, Signals};

use super::progress::Progress;
use crate::report::{self, Failure};

/// The signals that ask us to end, by their Linux numbers: HUP, INT, QUIT, TERM.
const SIGNALS: [i32; 4] = [1, SIGINT, 3, 15];
const SIGINT: i32 = 2;
/// How much of what is left out is named.
const NAMED: usize = 10;

/// Watches a copy. A signal ends it by an error, so that the library tidies up.
pub(super) struct Watch {
    signals: Signals,
    received: OnceLock<Received>,
    progress: Mutex<(Progress, usize)>,
}

impl Watch {
    pub(super) fn start() -> Result<Arc<Watch>, Failure> {
        let signals = Signals::on(SIGNALS)
            .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
        let progress = Mutex::new((Progress::start(), 0));
        Ok(Arc::new(Watch { signals, received: OnceLock::new(), progress }))
    }

    /// Has it told what happens to an archive.
    pub(super) fn over(self: &Arc<Self>, archive: Archive) -> Archive {
        let watch = self.clone();
        archive.watched(move |event| watch.tell(event))
    }

    fn tell(&self, event: Event<'_>) -> io::Result<()> {
        if let Some(received) = self.signals.next() {
            let _ = self.received.set(received);
        }
        if let Some(received) = self.received.get() {
            return Err(io::Error::other(format!("signal {}", received.signal)));
        }
        let mut state = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, left_out) = &mut *state;
        match event {
            Event::Content(bytes) => progress.add(bytes),
            Event::Entry(_) => progress.add_file(),
            Event::LeftOut { path, what } => {
                *left_out += 1;
                if *left_out <= NAMED {
                    progress.clear();
                    report::say(&format!("left out {}: {what}", quoted(path)));
                }
            }
            Event::Idle => progress.show(),
        }
        Ok(())
    }

    /// The exit code of a copy that went so; after a signal that of the signal.
    pub(super) fn end(self: Arc<Self>, copied: Result<(), Failure>) -> Result<u8, Failure> {
        let mut state = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.clear();
        if state.1 > NAMED {
            report::say(&format!("left out {} more", state.1 - NAMED));
        }
        drop(state);
        let received = match copied {
            // It was done before the signal was seen.
            Ok(()) => return Ok(0),
            Err(failure) => match self.received.get() {
                Some(received) => *received,
                None => return Err(failure),
            },
        };
        if (received.signal, received.sender) == (SIGINT, Sender::Kernel) {
            // Whoever waits for us is to see that a ^C ended us. It puts the disposition back by itself.
            drop(self);
            die_interrupted();
        }
        Ok(u8::try_from(128 + received.signal).unwrap_or(255))
    }
}

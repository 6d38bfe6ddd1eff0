//! What happens while files are copied: signals that end it, what is left out, progress.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use thither::archive::Event;
use thither::error::quoted;
use thither::interact::die_interrupted;
use thither::{Archive, Received, Sender, Signals};

use super::progress::Progress;
use crate::report::{self, Failure};

/// The signals that ask us to end, by their Linux numbers: HUP, INT, QUIT, TERM.
const SIGNALS: [i32; 4] = [1, SIGINT, 3, 15];
const SIGINT: i32 = 2;
/// How often signals are looked for: a system call each time, which small files would feel.
const LOOK: Duration = Duration::from_millis(10);
/// How much of what is left out is named.
const NAMED: usize = 10;

/// Watches a copy. A signal ends it by an error, so that the library tidies up.
pub(super) struct Watch {
    signals: Signals,
    received: OnceLock<Received>,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    left_out: usize,
    /// When to look for signals and at the progress again.
    next_look: Instant,
}

impl Watch {
    pub(super) fn start() -> Result<Arc<Watch>, Failure> {
        let signals = Signals::on(SIGNALS)
            .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
        let (progress, next_look) = (Progress::start(), Instant::now());
        let state = Mutex::new(State { progress, left_out: 0, next_look });
        Ok(Arc::new(Watch { signals, received: OnceLock::new(), state }))
    }

    /// Has it told what happens to an archive.
    pub(super) fn over(self: &Arc<Self>, archive: Archive) -> Archive {
        let watch = self.clone();
        let name = PathBuf::from(archive.name());
        archive.watched(move |event| watch.tell(event, &name))
    }

    /// Ends what takes its time after a signal, by an error.
    pub(super) fn look(&self) -> io::Result<()> {
        self.tell(Event::Idle, Path::new(""))
    }

    fn tell(&self, event: Event<'_>, name: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { progress, left_out, next_look } = &mut *state;
        let now = Instant::now();
        if now >= *next_look {
            *next_look = now + LOOK;
            progress.show(now);
            if let Some(received) = self.signals.next() {
                let _ = self.received.set(received);
            }
            if let Some(received) = self.received.get() {
                return Err(io::Error::other(format!("signal {}", received.signal)));
            }
        }
        match event {
            Event::Content(bytes) => progress.bytes += bytes,
            Event::Entry(_) => progress.files += 1,
            Event::LeftOut { path, what } => {
                *left_out += 1;
                if *left_out <= NAMED {
                    progress.clear();
                    report::say(&format!("left out {}: {what}", quoted(name.join(path))));
                }
            }
            Event::Idle => {}
        }
        Ok(())
    }

    /// The exit code of a copy that went so; after a signal that of the signal.
    pub(super) fn end(self: Arc<Self>, copied: Result<(), Failure>) -> Result<u8, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.progress.clear();
        if state.left_out > NAMED {
            report::say(&format!("left out {} more", state.left_out - NAMED));
        }
        drop(state);
        let received = match copied {
            // It was done before the signal was seen.
            Ok(()) => return Ok(0),
            // A command over there may have got it too, and have failed of it before we looked.
            Err(failure) => match self.received.get().copied().or_else(|| self.signals.next()) {
                Some(received) => received,
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

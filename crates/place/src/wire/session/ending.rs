//! The end of a command whose client is gone.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thither_term::{Interest, poll};

use crate::{Control, Event, Process};

/// How long a command has to end by itself once it was asked to.
const PATIENCE: Duration = Duration::from_secs(1);
const HANG_UP: i32 = 1;
const KILL: i32 = 9;
const TERMINATE: i32 = 15;
const CONTINUE: i32 = 18;

/// Ends a process and, where its signals reach them, all that belong to it: asks them to, gives them a second, kills those that
/// are left. Its streams are closed, what it still says is thrown away. It is no matter if it has ended already.
pub fn end(process: Process) {
    let Process { stdin, stdout, stderr, terminal, mut control, .. } = process;
    drop(stdin);
    end_all(&mut *control, [stdout, stderr, terminal]);
}

/// The last of the outputs is a terminal.
pub(super) fn end_all(control: &mut dyn Control, outputs: [Option<OwnedFd>; 3]) {
    // One that is stopped hears of it when it goes on.
    for signal in [HANG_UP, TERMINATE, CONTINUE] {
        if control.signal(signal).is_err() {
            return;
        }
    }
    wait(control, outputs);
    // A supervisor passes it on, and is not to be ended before. What is not ours to kill is not waited for.
    if control.signal(KILL).is_ok() {
        wait(control, [None, None, None]);
    }
}

/// Waits until it has ended and nobody holds its output any more.
fn wait(control: &mut dyn Control, mut outputs: [Option<OwnedFd>; 3]) {
    let deadline = Instant::now() + PATIENCE;
    let mut running = true;
    loop {
        running = running && matches!(control.event(), Ok(event) if !is_end(event));
        if !running {
            // What a terminal still says nobody waits for.
            outputs[2] = None;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !running && outputs.iter().all(Option::is_none) {
            return;
        }
        let mut interests = [Interest::Nothing; 4];
        if running {
            interests[0] = Interest::Read(control.as_fd());
        }
        for (interest, fd) in interests[1..].iter_mut().zip(&outputs) {
            *interest = fd.as_ref().map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd()));
        }
        let Ok(ready) = poll(&interests, Some(left)) else { return };
        for (fd, _) in outputs.iter_mut().zip(&ready[1..]).filter(|(_, ready)| ready.now) {
            if fd.as_ref().is_some_and(has_ended) {
                *fd = None;
            }
        }
    }
}

fn is_end(event: Option<Event>) -> bool {
    matches!(event, Some(Event::Exited(_)))
}

/// Throws away what there is, or finds the end.
fn has_ended(fd: &OwnedFd) -> bool {
    let mut unread = [0; 16 * 1024];
    match rustix::io::read(fd, &mut unread) {
        Ok(n) => n == 0,
        Err(Errno::AGAIN | Errno::INTR) => false,
        Err(_) => true,
    }
}

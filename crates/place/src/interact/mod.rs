//! The user's terminal joined to a process: raw mode, one poll loop, window size, signals, escapes; and
//! everything put back however it ends.
//!
//! # What happens to us, happens to the process
//! - A new window size goes there at once.
//! - ^Z there, of a program that is not a shell's job, suspends us too; `fg` goes on with both.
//! - INT, TERM, HUP or QUIT sent to us, or a terminal that hangs up, is passed on, and nothing outlives us: with a
//!   terminal of its own, what has not ended after [`HANG_UP`] is hung up, and after as long again killed; without
//!   one it has [`GRACE`] to clean up.
//! - Without a terminal of its own the process is in our process group: what is typed at the user's terminal
//!   reaches both, and is not passed on a second time.

mod session;
mod user;
mod keys;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use thither_term::signals::{Received, Sender};
use thither_term::{Interest, Signals, poll};

use crate::{Command, Control, Error, Event, Exit, Place, Process, Result, Streams, WindowSize};

/// How long a process at a terminal may take to end after it was asked to, before it is hung up, and again before it
/// is killed. Nobody looks at that terminal any more.
pub const HANG_UP: Duration = Duration::from_secs(1);

/// How long a process without a terminal may take to end after it was asked to, before it is killed.
pub const GRACE: Duration = Duration::from_secs(5);

/// How to join.
#[derive(Clone, Debug)]
pub struct Interact {
    /// Keys that let go of a process which lives on without us; used only if it does.
    pub detach_keys: Option<Vec<u8>>,
    /// Whether `~.` at the start of a line leaves, `~^Z` suspends and `~?` helps.
    pub escape: bool,
}

impl Default for Interact {
    fn default() -> Interact {
        Interact { detach_keys: None, escape: true }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process ended.
    Exited(Exit),
    /// The user typed the detach keys; the process lives on.
    Detached,
    /// The user typed `~.`.
    Left,
    /// ^C at the user's terminal, which reached us as well, killed it. A program that waited for another one and sees
    /// it die so should die of `SIGINT` too, that a shell's loop may stop.
    Interrupted,
    /// We were told to end by this signal, and the process had to be killed.
    Signalled(i32),
}

/// Starts a command, and joins descriptors 0 and 1 of this program to its terminal until it ends, or the user leaves.
/// A command without a terminal of its own is waited for, and signals are passed on to it.
///
/// Signals are received from before the start, so that none is lost on the way.
///
/// # Errors
/// Those of [`Place::spawn`]; [`Error::Terminal`] when the user's terminal cannot be used,
/// [`Error::Disconnected`] when the way to the process is lost.
pub fn interact(place: &dyn Place, command: &Command, options: &Interact) -> Result<Ending> {
    let signals = signals(matches!(command.streams, Streams::Terminal(_)))?;
    join(place.spawn(command)?, &signals, options)
}

/// As [`interact`], with a process that runs already.
///
/// # Errors
/// As [`interact`].
pub fn attach(process: Process, options: &Interact) -> Result<Ending> {
    let signals = signals(process.terminal.is_some())?;
    join(process, &signals, options)
}

fn signals(terminal: bool) -> Result<Signals> {
    // SIGCHLD only so that it is not ignored: then the kernel would keep a child's exit code from us (wait(2)).
    let mut wanted = vec![libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD];
    if terminal {
        wanted.extend([libc::SIGWINCH, libc::SIGTSTP, libc::SIGCONT]);
    }
    Signals::on(wanted).map_err(|source| Error::Terminal { action: "receive signals", source })
}

fn join(mut process: Process, signals: &Signals, options: &Interact) -> Result<Ending> {
    match process.terminal.take() {
        Some(terminal) => session::Session::new(process, terminal, options)?.run(signals),
        None => follow(process, signals),
    }
}

/// Ends this program by `SIGINT`, for [`Ending::Interrupted`]; undo everything first. Returns where the signal is
/// ignored.
pub fn die_interrupted() {
    // There is such a signal, so it cannot fail.
    let _ = thither_term::reraise(libc::SIGINT);
}

/// The size of the user's terminal, if standard input is one.
#[must_use]
pub fn user_terminal() -> Option<WindowSize> {
    let stdin = std::io::stdin();
    rustix::termios::isatty(&stdin).then(|| WindowSize::of(&stdin).ok()).flatten()
}

fn follow(mut process: Process, signals: &Signals) -> Result<Ending> {
    let mut farewell = Farewell::default();
    let mut interrupted = false;
    loop {
        farewell.go_on(process.control.as_mut(), false)?;
        let interests = [Interest::Read(signals.as_fd()), Interest::Read(process.control.as_fd())];
        poll(&interests, farewell.timeout()).map_err(waiting)?;
        while let Some(received) = signals.next() {
            // A key typed at our terminal has reached the process as well; the terminal's end may not have.
            let typed = received.sender == Sender::Kernel && received.signal != libc::SIGHUP;
            interrupted |= typed && received.signal == libc::SIGINT;
            if !typed && received.signal != libc::SIGCHLD {
                farewell.begin(received, process.control.as_mut(), GRACE)?;
            }
        }
        if let Some(Event::Exited(exit)) = process.control.event()? {
            return Ok(match exit {
                Exit::Signal(libc::SIGINT) if interrupted => Ending::Interrupted,
                exit => farewell.ending(exit),
            });
        }
    }
}

/// Asking a process to end, ever more firmly.
#[derive(Debug, Default)]
struct Farewell {
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    signal: i32,
    /// When to be firmer; `None` once it was killed.
    next: Option<Instant>,
    hung_up: bool,
}

impl Farewell {
    fn begin(
        &mut self,
        received: Received,
        control: &mut dyn Control,
        patience: Duration,
    ) -> Result<()> {
        tracing::debug!(signal = received.signal, "pass a signal on");
        control.signal(received.signal)?;
        let hung_up = received.signal == libc::SIGHUP;
        let next = Some(Instant::now() + patience);
        self.asked.get_or_insert(Asked { signal: received.signal, next, hung_up });
        Ok(())
    }

    /// Does what is due. A shell at a terminal ignores TERM but not HUP; without a terminal HUP means no more
    /// than TERM did.
    fn go_on(&mut self, control: &mut dyn Control, terminal: bool) -> Result<()> {
        let Some(asked) = &mut self.asked else { return Ok(()) };
        if asked.next.is_none_or(|next| next > Instant::now()) {
            return Ok(());
        }
        if terminal && !asked.hung_up {
            asked.hung_up = true;
            asked.next = Some(Instant::now() + HANG_UP);
            // One that is stopped would not hear of it.
            control.signal(libc::SIGHUP)?;
            return control.signal(libc::SIGCONT);
        }
        asked.next = None;
        control.signal(libc::SIGKILL)
    }

    /// How long until something is due.
    fn timeout(&self) -> Option<Duration> {
        let next = self.asked.as_ref()?.next?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Whether it was asked.
    fn begun(&self) -> bool {
        self.asked.is_some()
    }

    fn ending(&self, exit: Exit) -> Ending {
        match (&self.asked, exit) {
            // Our own doing, on behalf of whoever signalled us.
            (Some(asked), Exit::Signal(libc::SIGKILL | libc::SIGHUP)) => {
                Ending::Signalled(asked.signal)
            }
            _ => Ending::Exited(exit),
        }
    }
}

fn waiting(source: std::io::Error) -> Error {
    Error::Terminal { action: "wait for what happens", source }
}

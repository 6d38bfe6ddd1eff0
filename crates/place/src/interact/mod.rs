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
//!   reaches both, and is not passed on a second time. One that runs [`apart`](Process::apart) gets ^C and ^\ from us.

mod session;
mod user;
mod keys;
mod heard;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thither_term::signals::{Received, Sender};
use thither_term::{Interest, poll};

use self::heard::Heard;
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
    /// What becomes of the process when we are told to end.
    pub when_told_to_end: WhenToldToEnd,
    /// What is typed, instead of descriptor 0.
    pub input: Option<Arc<OwnedFd>>,
    /// Where the output of its terminal goes, instead of descriptor 1.
    pub output: Option<Arc<OwnedFd>>,
}

/// What becomes of a process when INT, TERM, HUP or QUIT tells us to end, or the user's terminal hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenToldToEnd {
    /// It is told as well, and killed if it does not end: it is ours.
    #[default]
    End,
    /// It is told as well, but for a HUP, and lives on if it does not end: it is not ours alone.
    PassOn,
    /// It lives on and is not told.
    LetGo,
}

impl Default for Interact {
    fn default() -> Interact {
        Interact {
            detach_keys: None,
            escape: true,
            when_told_to_end: WhenToldToEnd::End,
            input: None,
            output: None,
        }
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
    let heard = Heard::new(matches!(command.streams, Streams::Terminal(_)))?;
    let mut command = command.clone();
    command.cancel = Some(heard.ends()?);
    match place.spawn(&command) {
        Err(error @ Error::Cancelled { .. }) => match heard.next() {
            Some(received) => Ok(Ending::Signalled(received.signal)),
            None => Err(error),
        },
        process => join(process?, &heard, options),
    }
}

/// As [`interact`], with a process that runs already.
///
/// # Errors
/// As [`interact`].
pub fn attach(process: Process, options: &Interact) -> Result<Ending> {
    let heard = Heard::new(process.terminal.is_some())?;
    join(process, &heard, options)
}

fn join(mut process: Process, heard: &Heard, options: &Interact) -> Result<Ending> {
    match process.terminal.take() {
        Some(terminal) => session::Session::new(process, terminal, options)?.run(heard),
        None => follow(process, heard, options),
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

fn follow(mut process: Process, heard: &Heard, options: &Interact) -> Result<Ending> {
    let mut farewell = Farewell::new(options.when_told_to_end);
    let mut interrupted = false;
    loop {
        if let Some(ending) = farewell.go_on(process.control.as_mut(), false)? {
            return Ok(ending);
        }
        let [ends, others] = heard.interests();
        let interests = [ends, others, Interest::Read(process.control.as_fd())];
        let ready = poll(&interests, farewell.timeout()).map_err(waiting)?;
        let event = process.control.event()?;
        // What has ended it was heard before its end, if perhaps after the poll.
        let told = ready[0].now || ready[1].now || matches!(event, Some(Event::Exited(_)));
        while let Some(received) = told.then(|| heard.next()).flatten() {
            // A key typed at our terminal has reached the process as well, unless it is apart; the terminal's end may
            // not have.
            let typed = received.sender == Sender::Kernel && received.signal != libc::SIGHUP;
            match received.signal {
                libc::SIGCHLD => {}
                signal if typed && !process.apart => interrupted |= signal == libc::SIGINT,
                signal if typed && options.when_told_to_end != WhenToldToEnd::LetGo => {
                    interrupted |= signal == libc::SIGINT;
                    process.signal(signal)?;
                }
                _ => farewell.begin(received, process.control.as_mut(), GRACE)?,
            }
        }
        if let Some(Event::Exited(exit)) = event {
            return Ok(match exit {
                Exit::Signal(libc::SIGINT) if interrupted => Ending::Interrupted,
                // The same from where there are codes alone: we have passed it on.
                Exit::Code(130) if interrupted && process.apart => Ending::Interrupted,
                exit => farewell.ending(exit),
            });
        }
    }
}

/// Asking a process to end, ever more firmly.
#[derive(Debug)]
struct Farewell {
    kind: WhenToldToEnd,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    signal: i32,
    /// When to be firmer.
    next: Instant,
    hung_up: bool,
    killed: bool,
}

impl Farewell {
    fn new(kind: WhenToldToEnd) -> Farewell {
        Farewell { kind, asked: None }
    }

    fn begin(
        &mut self,
        received: Received,
        control: &mut dyn Control,
        patience: Duration,
    ) -> Result<()> {
        let signal = received.signal;
        let hung_up = signal == libc::SIGHUP;
        let (told, patience) = match self.kind {
            WhenToldToEnd::End => (true, patience),
            WhenToldToEnd::PassOn if !hung_up => (true, GRACE),
            WhenToldToEnd::PassOn | WhenToldToEnd::LetGo => (false, Duration::ZERO),
        };
        if told {
            tracing::debug!(signal, "pass a signal on");
            control.signal(signal)?;
        }
        let next = Instant::now() + patience;
        self.asked.get_or_insert(Asked { signal, next, hung_up, killed: false });
        Ok(())
    }

    /// Does what is due, and says how it ends if it is time to let go. A shell at a terminal ignores TERM but not HUP;
    /// without a terminal HUP means no more than TERM did.
    fn go_on(&mut self, control: &mut dyn Control, terminal: bool) -> Result<Option<Ending>> {
        let Some(asked) = &mut self.asked else { return Ok(None) };
        if asked.next > Instant::now() {
            return Ok(None);
        }
        // What survives a KILL is out of reach: stuck in the kernel, or where signals do not get.
        if self.kind != WhenToldToEnd::End || asked.killed {
            return Ok(Some(Ending::Signalled(asked.signal)));
        }
        if terminal && !asked.hung_up {
            asked.hung_up = true;
            asked.next = Instant::now() + HANG_UP;
            // One that is stopped would not hear of it.
            control.signal(libc::SIGHUP)?;
            control.signal(libc::SIGCONT)?;
            return Ok(None);
        }
        asked.next = Instant::now() + GRACE;
        asked.killed = true;
        control.signal(libc::SIGKILL)?;
        Ok(None)
    }

    /// How long until something is due.
    fn timeout(&self) -> Option<Duration> {
        let next = self.asked.as_ref()?.next;
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
            // The same where the transport has codes alone: we know what we have sent.
            (Some(asked), Exit::Code(137)) if asked.killed => Ending::Signalled(asked.signal),
            (Some(asked), Exit::Code(129)) if asked.hung_up => Ending::Signalled(asked.signal),
            _ => Ending::Exited(exit),
        }
    }
}

fn waiting(source: std::io::Error) -> Error {
    Error::Terminal { action: "wait for what happens", source }
}

//! The loop between the user's terminal and the process's.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::termios::isatty;
use thither_term::signals::{Received, Sender};
use thither_term::{Drained, Filled, Interest, Nonblocking, Pump, poll};

use super::heard::Heard;
use super::keys::{Action, HELP, Keys};
use super::user::{PATIENCE, User};
use super::{Ending, Farewell, HANG_UP, Interact, waiting};
use crate::{Error, Event, Exit, Process, Result};

/// What a terminal may still hold when its program has ended, in bytes, and more: the kernel keeps at most 64 KiB
/// and a line. A process left behind in the background may go on for ever.
const REMAINDER: usize = 256 * 1024;

pub(super) struct Session {
    process: Process,
    user: User,
    keys: Keys,
    /// From the keyboard.
    input: Pump<'static>,
    /// To the screen.
    output: Pump<'static>,
    farewell: Farewell,
    /// How much the process's terminal may still hold when its program has ended.
    remainder: usize,
    /// Whether the end of the input was passed on.
    input_ended: bool,
    _nonblocking: Nonblocking<Arc<OwnedFd>>,
}

impl Session {
    pub(super) fn new(process: Process, terminal: OwnedFd, options: &Interact) -> Result<Session> {
        let open = |source| Error::Terminal { action: "open the standard streams", source };
        // A stream from elsewhere ends by itself.
        let remainder = if isatty(&terminal) { REMAINDER } else { usize::MAX };
        let terminal = Arc::new(terminal);
        let nonblocking = Nonblocking::set(terminal.clone()).map_err(open)?;
        let detach = options.detach_keys.as_deref().filter(|_| process.detachable);
        let (stdin, stdout, user) = User::open(options)?;
        Ok(Session {
            keys: Keys::new(detach, options.escape && user.has_terminal(), Instant::now()),
            input: Pump::new(stdin, terminal.clone()).map_err(open)?.keep_open(),
            output: Pump::new(terminal, stdout).map_err(open)?.keep_open(),
            process,
            user,
            farewell: Farewell::new(options.when_told_to_end),
            input_ended: false,
            remainder,
            _nonblocking: nonblocking,
        })
    }

    pub(super) fn run(mut self, heard: &Heard) -> Result<Ending> {
        // The window may have changed between the start of the process and now.
        self.resize()?;
        loop {
            if let Some(ending) = self.farewell.go_on(self.process.control.as_mut(), true)? {
                return Ok(self.end(ending));
            }
            let mut due = Vec::new();
            self.keys.release(Instant::now(), &mut due);
            self.input.push(&due);

            let ready = {
                let ([typed, into], [from, shown]) =
                    (self.input.interests(), self.output.interests());
                let control = Interest::Read(self.process.control.as_fd());
                let [ends, others] = heard.interests();
                let interests = [typed, into, from, shown, control, ends, others];
                let key = self.keys.deadline();
                let key = key.map(|at| at.saturating_duration_since(Instant::now()));
                let timeout = [key, self.farewell.timeout()].into_iter().flatten().min();
                poll(&interests, timeout).map_err(waiting)?
            };
            let [typed, into, from, shown, event, ends, others] =
                std::array::from_fn(|i| ready.get(i).is_some_and(|ready| ready.now));

            if from {
                self.read_output()?;
            }
            if shown {
                self.show()?;
            }
            if into {
                self.input.drain().map_err(pumping)?;
            }
            if typed && let Some(ending) = self.read_input()? {
                return Ok(ending);
            }
            self.end_input()?;
            if ends || others {
                self.signals(heard)?;
            }
            if event {
                match self.process.control.event() {
                    Ok(Some(Event::Exited(exit))) => {
                        self.show_remainder(heard)?;
                        let ending = self.farewell.ending(exit);
                        return Ok(self.end(ending));
                    }
                    Ok(Some(Event::Stopped(_))) => self.suspend()?,
                    Ok(None) => {}
                    Err(error) => {
                        // What came before the loss was not lost.
                        self.show_remainder(heard)?;
                        return Err(error);
                    }
                }
            }
        }
    }

    fn read_output(&mut self) -> Result<usize> {
        let user = &mut self.user;
        let filled = self.output.fill_with(|bytes, out| {
            user.observe(bytes);
            out.extend_from_slice(bytes);
        });
        match filled.map_err(pumping)? {
            Filled::Bytes(n) => Ok(n),
            Filled::Nothing | Filled::End => Ok(0),
        }
    }

    fn show(&mut self) -> Result<()> {
        if self.output.drain().map_err(writing)? == Drained::Closed {
            // As a broken pipe would, and a window that was closed.
            self.hang_up()?;
        }
        Ok(())
    }

    fn read_input(&mut self) -> Result<Option<Ending>> {
        let mut action = None;
        let keys = &mut self.keys;
        let filled = self.input.fill_with(|bytes, out| {
            if !bytes.is_empty() {
                action = keys.feed(bytes, Instant::now(), out);
            }
        });
        match filled {
            // The terminal hung up: reading says so by its end or by an error.
            Ok(Filled::End) | Err(_) if self.user.has_terminal() => {
                self.input.finish();
                self.hang_up()?;
            }
            other => drop(other.map_err(pumping)?),
        }
        match action {
            Some(Action::Detach) => {
                // What was typed before is for the program, as far as it takes it now.
                self.input.drain().map_err(pumping)?;
                self.process.control.detach();
                return Ok(Some(self.end(Ending::Detached)));
            }
            Some(Action::Leave) => return Ok(Some(Ending::Left)),
            Some(Action::Suspend) => self.user.suspend()?,
            Some(Action::Help) => self.output.push(HELP.as_bytes()),
            None => {}
        }
        Ok(None)
    }

    /// Passes on the end of an input that is no terminal, once all of it is over there.
    fn end_input(&mut self) -> Result<()> {
        if self.input.is_done() && !self.input_ended && !self.user.has_terminal() {
            self.input_ended = true;
            match self.process.end_input() {
                // A program that reads key by key gets no more keys; it may end all the same.
                Ok(()) | Err(Error::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn signals(&mut self, heard: &Heard) -> Result<()> {
        while let Some(received) = heard.next() {
            match received.signal {
                libc::SIGWINCH => self.resize()?,
                libc::SIGTSTP => {
                    self.user.suspend()?;
                    self.resize()?;
                }
                libc::SIGCONT => {
                    self.user.resume()?;
                    self.resize()?;
                }
                libc::SIGCHLD => {}
                _ => self.farewell.begin(received, self.process.control.as_mut(), HANG_UP)?,
            }
        }
        Ok(())
    }

    fn resize(&mut self) -> Result<()> {
        match self.user.size() {
            Some(size) => self.process.resize(size),
            None => Ok(()),
        }
    }

    /// The process was stopped, by ^Z most likely: so are we.
    fn suspend(&mut self) -> Result<()> {
        if self.user.has_terminal() {
            self.flush()?;
            self.user.suspend()?;
            self.resize()?;
            self.process.signal(libc::SIGCONT)?;
        }
        Ok(())
    }

    fn hang_up(&mut self) -> Result<()> {
        let received = Received { signal: libc::SIGHUP, sender: Sender::Kernel };
        self.farewell.begin(received, self.process.control.as_mut(), HANG_UP)
    }

    /// Shows what the process has left in its terminal. Told to end, we do not wait for long for a reader that does
    /// not read.
    fn show_remainder(&mut self, heard: &Heard) -> Result<()> {
        let mut left = self.remainder;
        let deadline = self.farewell.begun().then(|| Instant::now() + PATIENCE);
        loop {
            let read = self.read_output()?;
            left = left.saturating_sub(read);
            if self.output.buffered().is_empty() && (read == 0 || left == 0) {
                break;
            }
            let ready = {
                let [_, shown] = self.output.interests();
                let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                let [ends, others] = heard.interests();
                poll(&[shown, ends, others], timeout).map_err(waiting)?
            };
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if late || (ready[1].now || ready[2].now) && self.told_to_end(heard) {
                break;
            }
            if ready[0].now && self.output.drain().map_err(writing)? == Drained::Closed {
                break;
            }
        }
        Ok(())
    }

    fn told_to_end(&mut self, heard: &Heard) -> bool {
        let mut told = false;
        while let Some(received) = heard.next() {
            let harmless = [libc::SIGWINCH, libc::SIGTSTP, libc::SIGCONT, libc::SIGCHLD];
            told |= !harmless.contains(&received.signal);
        }
        told
    }

    /// Shows what has been read, as far as the terminal takes it at once.
    fn flush(&mut self) -> Result<()> {
        while self.read_output()? > 0 {
            if let Drained::Nothing | Drained::Closed = self.output.drain().map_err(writing)? {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self, ending: Ending) -> Ending {
        let normal = match ending {
            // From elsewhere a death by a signal may come as a code (128 and the signal); a code of one's own that is so
            // high costs nothing but a screen put in order.
            Ending::Exited(Exit::Code(code)) => {
                !(self.farewell.begun() || self.process.apart && code > 128)
            }
            ending => ending == Ending::Detached,
        };
        if normal {
            self.user.normal();
        }
        ending
    }
}

fn pumping(source: std::io::Error) -> Error {
    Error::Terminal { action: "copy between the terminals", source }
}

fn writing(source: std::io::Error) -> Error {
    Error::Terminal { action: "write to standard output", source }
}

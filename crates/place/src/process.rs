//! A running command.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use thither_term::WindowSize;

use crate::{Error, Exit, Output, Result};

/// Something that happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Signal n stopped it (`SIGTSTP` of a ^Z, say); it can be continued.
    Stopped(i32),
    /// It ended.
    Exited(Exit),
}

/// The strings by which a process is held. Each place has its own.
pub trait Control: Send {
    /// Tells its terminal a new size; the program gets `SIGWINCH`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without a terminal.
    fn resize(&mut self, size: WindowSize) -> Result<()>;

    /// Sends a signal, by its Linux number. It is no error if the process has ended.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the place cannot deliver it.
    fn signal(&mut self, signal: i32) -> Result<()>;

    /// A descriptor that polls readable when [`event`](Control::event) has something to say, and after the end.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// What happened, without waiting; `None` when nothing did. After the end it says the end again.
    ///
    /// # Errors
    /// [`Error::Disconnected`] when the way there is lost.
    fn event(&mut self) -> Result<Option<Event>>;

    /// Lets go of it on purpose: it lives on, whatever dropping it else means.
    fn detach(&mut self) {}

    /// Ends its input where closing a descriptor cannot. `terminal` is the process's terminal stream, if it
    /// has one: in canonical mode VEOF is typed there.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where nothing can end it (a terminal in raw mode).
    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()>;
}

/// A running command, with its streams and its control.
///
/// Dropping it lets go of it. What that means is the place's affair and is said under its *Differences*.
#[non_exhaustive]
pub struct Process {
    /// The end to write to, if descriptor 0 is [`Stream::Piped`](crate::Stream::Piped).
    pub stdin: Option<OwnedFd>,
    /// The end to read from, if descriptor 1 is piped.
    pub stdout: Option<OwnedFd>,
    /// The end to read from, if descriptor 2 is piped.
    pub stderr: Option<OwnedFd>,
    /// Both directions of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// Whether it lives on when we let go of it on purpose, so that detach keys make sense.
    pub detachable: bool,
    /// Whether it is in another session than this program: what is typed at the user's terminal reaches it only if it
    /// is passed on.
    pub apart: bool,
    /// How to hold it.
    pub control: Box<dyn Control>,
}

impl Process {
    /// A process without streams of its own.
    #[must_use]
    pub fn new(control: Box<dyn Control>) -> Process {
        Process {
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: None,
            detachable: false,
            apart: false,
            control,
        }
    }

    /// Closes its input and waits for its end. Output that was piped is not read: see
    /// [`wait_with_output`](Process::wait_with_output).
    ///
    /// # Errors
    /// When the way there is lost.
    pub fn wait(&mut self) -> Result<Exit> {
        self.stdin = None;
        loop {
            if let Some(Event::Exited(exit)) = self.control.event()? {
                return Ok(exit);
            }
            let mut fds = [PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN)];
            retry(|| poll(&mut fds, None)).map_err(wait_error)?;
        }
    }

    /// Closes its input, collects what it prints into the pipes until they end, and waits for its end.
    ///
    /// # Errors
    /// When the way there is lost.
    pub fn wait_with_output(mut self) -> Result<Output> {
        self.stdin = None;
        let mut sources = [self.stdout.take(), self.stderr.take()].map(|fd| fd.map(File::from));
        let mut texts = [Vec::new(), Vec::new()];
        while sources.iter().any(Option::is_some) {
            let open: Vec<usize> = (0..2).filter(|&i| sources[i].is_some()).collect();
            let mut fds: Vec<PollFd<'_>> =
                sources.iter().flatten().map(|file| PollFd::new(file, PollFlags::IN)).collect();
            retry(|| poll(&mut fds, None)).map_err(wait_error)?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for (i, _) in open.into_iter().zip(ready).filter(|(_, ready)| *ready) {
                let mut chunk = [0; 16384];
                let read = match &mut sources[i] {
                    Some(file) => file.read(&mut chunk),
                    None => Ok(0),
                };
                match read {
                    Ok(0) => sources[i] = None,
                    Ok(n) => texts[i].extend_from_slice(&chunk[..n]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(wait_error(error)),
                }
            }
        }
        let exit = self.wait()?;
        let [stdout, stderr] = texts;
        Ok(Output { exit, stdout, stderr })
    }

    /// Sends a signal, by its Linux number.
    ///
    /// # Errors
    /// See [`Control::signal`].
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        self.control.signal(signal)
    }

    /// Tells its terminal a new size.
    ///
    /// # Errors
    /// See [`Control::resize`].
    pub fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.control.resize(size)
    }

    /// Ends its input: closes a pipe, types VEOF on a terminal in canonical mode.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where nothing can end it.
    pub fn end_input(&mut self) -> Result<()> {
        match (self.stdin.take(), &self.terminal) {
            (Some(_closed), _) => Ok(()),
            (None, terminal) => self.control.end_input(terminal.as_ref().map(AsFd::as_fd)),
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("terminal", &self.terminal)
            .field("detachable", &self.detachable)
            .field("apart", &self.apart)
            .finish_non_exhaustive()
    }
}

/// Repeats a system call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn wait_error(source: impl Into<io::Error>) -> Error {
    Error::Place {
        action: "wait for the command".into(),
        place: "this machine".into(),
        source: Box::new(source.into()),
        hint: None,
    }
}

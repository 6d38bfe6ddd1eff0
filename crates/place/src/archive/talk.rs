//! A script over there: what it is sent, what it says, and how it ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use thither_term::{Interest, poll};

use super::CannotPreserve;
use super::failed::cut_short;
use crate::error::{printable, quoted};
use crate::process::Event;
use crate::{Error, Exit, Process};

/// How the scripts say what is wrong, besides on standard error.
const NO_TAR: i32 = 96;
const NO_GNU_TAR: i32 = 94;
const NOT_ROOT: i32 = 93;
const NO_ATTRIBUTES: i32 = 92;
/// There is a shell alone, which keeps nothing more.
const NOT_BY_SHELL: i32 = 91;
/// What they say is why.
pub(super) const SAID: i32 = 97;
const NOT_FOUND: i32 = 98;
/// As of a shell.
const CANNOT_RUN: i32 = 126;
/// What the script of `put` prints when it waits for a tar stream, and for lines.
const READY: &[u8; 6] = b"ready\n";
const READY_SHELL: &[u8; 6] = b"shell\n";
/// After how long without anything those who watch are told.
const TICK: Duration = Duration::from_millis(200);
/// How many ticks a script has to tidy up once there is nothing more for it: 5 seconds.
const FAREWELL: usize = 25;
/// How much of what a script says on standard error is kept.
const MAX_SAID: usize = 8192;
const BUFFER: usize = 256 * 1024;
/// What GNU tar says after what is wrong.
const LAST_WORDS: [&str; 2] =
    ["Exiting with failure status due to previous errors", "Error is not recoverable: exiting now"];

/// Whether a script that says nothing for a while is still there.
#[derive(Clone, Copy)]
pub(super) struct Silence<'a> {
    pub(super) limit: Duration,
    /// Asked after each `limit`, and when it has ended without a word; an error ends the wait.
    pub(super) ask: &'a (dyn Fn() -> io::Result<()> + Sync),
}

/// What a script of `put` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// A tar stream.
    Tar,
    /// Lines and contents: see `script.rs`.
    Lines,
}

/// A stream on its way to a script.
pub(super) trait Outgoing {
    /// Fills a buffer as far as there is something: less is the end.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Tells who watches that nothing can be done at the moment.
    fn idle(&mut self) -> io::Result<()>;
}

/// A script that runs, and what it has said.
pub(super) struct Talk<'a> {
    process: Process,
    input: Option<File>,
    output: Option<File>,
    errors: Option<File>,
    /// The standard output once nothing more comes from it: a reader that goes might end the script.
    unheard: Option<File>,
    said: Vec<u8>,
    exit: Option<Exit>,
    silence: Option<Silence<'a>>,
    since: Instant,
}

impl<'a> Talk<'a> {
    pub(super) fn with(mut process: Process, silence: Option<Silence<'a>>) -> Talk<'a> {
        let [input, output, errors] =
            [process.stdin.take(), process.stdout.take(), process.stderr.take()]
                .map(|fd| fd.map(File::from));
        let (unheard, said, exit, since) = (None, Vec::new(), None, Instant::now());
        Talk { process, input, output, errors, unheard, said, exit, silence, since }
    }

    /// Waits for something, for one tick at most: `true` if it has ended or is ready to take or give bytes. Where there is
    /// nothing, `idle` is called.
    fn step(&mut self, idle: &mut dyn FnMut() -> io::Result<()>) -> io::Result<bool> {
        let write = self.input.as_ref().map(|file| Interest::Write(file.as_fd()));
        let output = self.output.as_ref().map(|file| Interest::Read(file.as_fd()));
        let errors = self.errors.as_ref().map(|file| Interest::Read(file.as_fd()));
        // While it has something to say, its end is not asked for.
        let end = (self.output.is_none() && self.exit.is_none())
            .then(|| Interest::Read(self.process.control.as_fd()));
        let interests = [write, output, errors, end].map(Option::unwrap_or_default);
        let ready = poll(&interests, Some(TICK))?;
        if ready[2].now {
            self.listen()?;
        }
        if ready[3].now
            && let Some(Event::Exited(exit)) =
                self.process.control.event().map_err(io::Error::other)?
        {
            // What it said last may be there only now.
            while self.errors.is_some()
                && poll(&self.error_interest(), Some(Duration::ZERO))?[0].now
            {
                self.listen()?;
            }
            self.exit = Some(exit);
        }
        if ready.iter().any(|ready| ready.now) {
            self.since = Instant::now();
        } else {
            idle()?;
            self.ask()?;
        }
        Ok(ready[0].now || ready[1].now || self.exit.is_some())
    }

    /// Asks whether it is still there, if it has said nothing for long.
    fn ask(&mut self) -> io::Result<()> {
        if let Some(silence) = self.silence.filter(|it| self.since.elapsed() >= it.limit) {
            (silence.ask)()?;
            self.since = Instant::now();
        }
        Ok(())
    }

    fn error_interest(&self) -> [Interest<'_>; 1] {
        [self.errors.as_ref().map(|file| Interest::Read(file.as_fd())).unwrap_or_default()]
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let Some(errors) = &mut self.errors else { return Ok(()) };
        match errors.read(&mut chunk) {
            Ok(0) => self.errors = None,
            Ok(read) => {
                self.said.extend_from_slice(&chunk[..read]);
                // The end says most.
                let surplus = self.said.len().saturating_sub(MAX_SAID);
                self.said.drain(..surplus);
            }
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads from its standard output: 0 at its end. It ends well only if the script does.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.step(&mut nobody)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match self.output.as_mut().map(|output| output.read(buf)) {
                Some(Ok(0)) => self.output = None,
                Some(Err(error)) if is_for_later(&error) => {}
                Some(read) => return read,
                None if self.exit.is_some() => return self.verdict().map(|()| 0),
                None => {}
            }
        }
    }

    /// Waits until the script says what it waits for; `None` if it ends before without a word on why.
    ///
    /// # Errors
    /// What the script says; that of `idle`; a lost connection.
    pub(super) fn is_ready(
        &mut self,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Option<Ready>> {
        // There is always room in it.
        let input = self.input.take();
        let mut printed = Vec::new();
        while printed.len() < READY.len() {
            match self.step(idle) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) if is_about_the_program(&error) => {
                    self.exit = Some(Exit::Code(CANNOT_RUN));
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            let mut chunk = [0; READY.len()];
            let wanted = &mut chunk[printed.len()..];
            match self.output.as_mut().map(|output| output.read(wanted)) {
                Some(Ok(0)) => self.output = None,
                Some(Ok(read)) => printed.extend_from_slice(&wanted[..read]),
                Some(Err(error)) if is_for_later(&error) => {}
                Some(Err(error)) => return Err(error),
                None if self.has_said_why() => {
                    return self.verdict().map(|()| None);
                }
                None if self.exit.is_some() => return Ok(None),
                None => {}
            }
        }
        self.unheard = self.output.take();
        self.input = input;
        Ok(match &printed[..] {
            it if it == READY => Some(Ready::Tar),
            it if it == READY_SHELL => Some(Ready::Lines),
            _ => None,
        })
    }

    /// Sends all of the stream, or as much as is taken.
    pub(super) fn send(&mut self, stream: &mut dyn Outgoing) -> io::Result<()> {
        if let Some(input) = &self.input {
            // It is our own end of a new pipe or socket, which nobody else has.
            fcntl_setfl(input, fcntl_getfl(input)? | OFlags::NONBLOCK)?;
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            let filled = stream.fill(&mut buffer)?;
            let mut left = &buffer[..filled];
            // To read it may have taken long.
            self.since = Instant::now();
            while !left.is_empty() {
                let Some(input) = &mut self.input else { return Ok(()) };
                match input.write(left) {
                    Ok(written) => left = &left[written..],
                    // Why it takes no more it says itself.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) if is_for_later(&error) => {
                        if self.step(&mut || stream.idle())? && self.exit.is_some() {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            if filled < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Ends its input and waits for its end.
    pub(super) fn finish(&mut self, stream: &mut dyn Outgoing) -> io::Result<()> {
        self.input = None;
        while self.exit.is_none() {
            self.step(&mut || stream.idle())?;
        }
        Ok(())
    }

    /// Gives it this input and takes what it prints on standard output, at most so much, until it ends; how is not asked.
    pub(super) fn converse(
        &mut self,
        mut input: &[u8],
        most: usize,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        for file in self.input.iter().chain(&self.output) {
            // Our own ends of new pipes or sockets, which nobody else has.
            fcntl_setfl(file, fcntl_getfl(file)? | OFlags::NONBLOCK)?;
        }
        let mut printed = Vec::new();
        let mut chunk = [0; 16 * 1024];
        while self.output.is_some() || self.exit.is_none() {
            self.step(idle)?;
            idle()?;
            match self.input.as_mut().map(|file| file.write(input)) {
                Some(Ok(written)) => {
                    input = &input[written..];
                    if input.is_empty() {
                        self.input = None;
                    }
                }
                Some(Err(error)) if is_for_later(&error) => {}
                // It wants no more.
                Some(Err(_)) => self.input = None,
                None => {}
            }
            match self.output.as_mut().map(|file| file.read(&mut chunk)) {
                Some(Ok(0)) => self.output = None,
                Some(Ok(read)) if printed.len() + read > most => {
                    let text = "the command over there prints more than it should";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Some(Ok(read)) => printed.extend_from_slice(&chunk[..read]),
                Some(Err(error)) if is_for_later(&error) => {}
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        Ok(printed)
    }

    /// Ends its input too soon, and gives it a while to remove what it has made.
    pub(super) fn give_up(mut self) {
        (self.input, self.silence) = (None, None);
        self.unheard = self.unheard.take().or(self.output.take());
        for _ in 0..FAREWELL {
            if !matches!(self.step(&mut nobody), Ok(false)) {
                break;
            }
        }
    }

    /// Whether it has ended with a reason that another way would have too.
    fn has_said_why(&self) -> bool {
        matches!(
            self.exit,
            Some(Exit::Code(SAID | NO_GNU_TAR | NOT_ROOT | NO_ATTRIBUTES | NOT_BY_SHELL))
        )
    }

    /// What its end means.
    pub(super) fn verdict(&self) -> io::Result<()> {
        let exit = match self.exit {
            Some(Exit::Code(0)) => return Ok(()),
            Some(Exit::Code(NOT_FOUND)) => return Err(rustix::io::Errno::NOENT.into()),
            Some(Exit::Code(NO_GNU_TAR)) => return Err(CannotPreserve::Tar.into()),
            Some(Exit::Code(NOT_ROOT)) => return Err(CannotPreserve::Owner.into()),
            Some(Exit::Code(NO_ATTRIBUTES)) => return Err(CannotPreserve::Attributes.into()),
            Some(Exit::Code(NOT_BY_SHELL)) => return Err(CannotPreserve::Way.into()),
            Some(Exit::Code(NO_TAR)) => {
                let said = String::from_utf8_lossy(&self.said);
                let missing = cause(&said).unwrap_or("a program");
                let text = format!(
                    "there is neither `tar` nor Python over there, and no {} to do without",
                    quoted(missing)
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            exit => exit,
        };
        if let Some(cause) = cause(&String::from_utf8_lossy(&self.said)) {
            return Err(io::Error::other(printable(cause)));
        }
        if let Some(silence) = self.silence {
            (silence.ask)()?;
        }
        Err(match exit {
            // It always says why: what it said was lost. (Docker's engine gives the second one to what it has lost.)
            Some(Exit::Code(SAID | CANNOT_RUN)) => {
                io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was lost")
            }
            Some(exit) => io::Error::other(format!("the command over there ended with {exit}")),
            None => cut_short(),
        })
    }
}

impl Drop for Talk<'_> {
    /// A script that nobody listens to any more need not go on.
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = self.process.signal(libc::SIGTERM);
        }
    }
}

/// The last line that says what is wrong.
fn cause(said: &str) -> Option<&str> {
    let mut lines = said.lines().rev().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let last = lines.peek().copied();
    lines.find(|line| !LAST_WORDS.iter().any(|words| line.ends_with(words))).or(last)
}

/// Whether there is no program that could run, but the place itself is there.
pub(super) fn is_about_the_program(error: &io::Error) -> bool {
    let place = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    place.is_some_and(cannot_run)
}

/// Whether a place says that it cannot run the program, rather than that it is not there.
pub(super) fn cannot_run(error: &Error) -> bool {
    matches!(error, Error::Spawn { .. } | Error::Place { .. } | Error::Unsupported { .. })
}

fn nobody() -> io::Result<()> {
    Ok(())
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expected: &str) {
        assert_eq!(cause(said).unwrap_or("nothing"), expected);
    }

    #[test]
    fn what_is_wrong_is_said_last_but_by_gnu_tar() {
        check("", "nothing");
        check("one\ntwo \n\n", "two");
        let last = "tar: Exiting with failure status due to previous errors\n";
        check(
            &format!("tar: root/f: Cannot write: No space\n{last}"),
            "tar: root/f: Cannot write: No space",
        );
        check(
            "gzip: no\ntar: Child returned status 1\ntar: Error is not recoverable: exiting now",
            "tar: Child returned status 1",
        );
        check(last, last.trim());
    }
}

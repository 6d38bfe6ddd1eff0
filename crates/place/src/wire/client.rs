//! Who asks: programs, streams and other things by the server at the other end of a connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use thither_term::{Interest, poll};

use super::driver::{self, Driver, Held};
use super::frame::{self, Arrived, Incoming, Kind, LONGEST_REQUEST, Malformed, Side};
use super::message::{self, Reason, Refusal, Request, Spawn};
use super::relay::{Local, Relay};
use crate::error::printable;
use crate::streams::Moved;
use crate::{Command, Error, Process, Program, Result, Streams};

/// How long a server may take to answer: it may be slow, and have to look up users and wait for disks.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// How a connection is called, and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The place's address, for errors.
    pub place: &'a str,
    /// After how long a silence the server is asked whether it is still there; the third question without an answer within that time
    /// is the end. `None` where the stream itself ends when the other side is gone, as a Unix socket does.
    pub keep_alive: Option<Duration>,
}

/// Runs a command by the server at the other end of a stream. Dropping the process closes the stream, upon which the server ends the
/// command.
///
/// Pipes and a terminal are served by a thread. Other streams are moved by [`Control::event`](crate::Control::event), so whoever
/// waits for the process moves them.
///
/// # Errors
/// As [`Place::spawn`](crate::Place::spawn); [`Error::Spawn`] with `E2BIG` for arguments and an environment too long to say, and
/// [`Error::Enter`] when there is no answer within a minute, or it is none.
pub fn spawn(stream: OwnedFd, link: &Link<'_>, command: &Command) -> Result<Process> {
    let here = |source| place_error(link, "open the command's streams", source);
    let name = command.name().to_string_lossy();
    let Moved { ours, piped } = Moved::open(&command.streams).map_err(here)?;
    let joined = [0, 1, 2].map(|i| ours[i].is_some());
    let call =
        Call { link, program: Some(&name), cancel: command.cancel.as_deref(), limit: ANSWER };
    call.make(&stream, &Request::Spawn(spoken(command, joined)))?;

    let is_terminal = matches!(command.streams, Streams::Terminal(_));
    let (local, terminal) = match is_terminal {
        true => {
            let (end, theirs) = pair().map_err(here)?;
            (Local::Socket { end, is_terminal }, Some(theirs))
        }
        false => (Local::Separate(ours), None),
    };
    let relay = Relay::new(stream, local, link.keep_alive).map_err(here)?;
    let driver = match is_terminal || piped.iter().any(Option::is_some) {
        true => Driver::in_thread(relay).map_err(here)?,
        false => Driver::Caller(Box::new(relay)),
    };
    let place = link.place.to_owned();
    let held = Held { place, has_terminal: is_terminal, driver, exit: None };
    let mut process = Process::new(Box::new(held));
    [process.stdin, process.stdout, process.stderr] = piped;
    process.terminal = terminal;
    process.apart = true;
    Ok(process)
}

/// A byte stream by the server, for a request of one. It can be shut down in each direction; a thread moves its bytes and ends with
/// it. A connection that is lost ends it as well.
///
/// # Errors
/// As [`ask`].
pub fn stream(stream: OwnedFd, link: &Link<'_>, request: &Request) -> Result<OwnedFd> {
    let here = |source| place_error(link, "open a stream", source);
    ask_on(&stream, link, request)?;
    let (end, theirs) = pair().map_err(here)?;
    let ours = end.try_clone().map_err(here)?;
    let local = Local::Socket { end, is_terminal: false };
    let relay = Relay::new(stream, local, link.keep_alive).map_err(here)?;
    driver::stream(relay, ours).map_err(here)?;
    Ok(theirs)
}

/// Asks for something that is done at once, and waits until it is.
///
/// # Errors
/// What the server says; [`Error::Disconnected`] when it says nothing and goes, and [`Error::Enter`] when there is no answer
/// within a minute, or it is none.
pub fn ask(stream: OwnedFd, link: &Link<'_>, request: &Request) -> Result<()> {
    ask_on(&stream, link, request)
}

fn ask_on(stream: &OwnedFd, link: &Link<'_>, request: &Request) -> Result<()> {
    Call { link, program: None, cancel: None, limit: ANSWER }.make(stream, request)
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn place_error(link: &Link<'_>, action: impl Into<String>, source: io::Error) -> Error {
    let place = link.place.to_owned();
    Error::Place { action: action.into(), place, source: Box::new(source), hint: None }
}

/// A command in the protocol's words. `joined` are the descriptors that anybody here wants.
fn spoken(command: &Command, joined: [bool; 3]) -> Spawn {
    let bytes = |text: &std::ffi::OsString| text.as_bytes().to_vec();
    Spawn {
        program: match &command.program {
            Program::Named(name) => message::Program::Named(bytes(name)),
            Program::LoginShell => message::Program::LoginShell,
            Program::Default => message::Program::Default,
        },
        args: command.args.iter().map(bytes).collect(),
        env_clear: command.env_clear,
        env: command.env.iter().map(|(k, v)| (bytes(k), v.as_ref().map(bytes))).collect(),
        dir: command.dir.as_ref().map(|dir| dir.as_os_str().as_bytes().to_vec()),
        user: command.user.as_ref().map(|user| user.as_bytes().to_vec()),
        streams: match &command.streams {
            Streams::Separate { .. } => message::Streams::Separate(joined),
            Streams::Terminal(terminal) => message::Streams::Terminal {
                size: (terminal.size.cols, terminal.size.rows),
                term: terminal.term.as_ref().map(bytes),
            },
        },
    }
}

/// The first words on a connection, up to the answer.
struct Call<'a> {
    link: &'a Link<'a>,
    /// What is to run, if that is asked for.
    program: Option<&'a str>,
    /// Readable once it is to be given up.
    cancel: Option<&'a OwnedFd>,
    limit: Duration,
}

impl Call<'_> {
    fn make(&self, stream: &OwnedFd, request: &Request) -> Result<()> {
        let request = request.encode();
        if request.len() > LONGEST_REQUEST {
            return Err(self.not_run(Errno::TOOBIG.into(), "shorten its arguments or environment"));
        }
        let mut words = frame::hello(Side::Client);
        words.extend_from_slice(&Kind::Request.head(request.len()));
        words.extend_from_slice(&request);
        self.converse(stream, &words)
    }

    /// Says this, and listens meanwhile: a server may refuse before it has heard all.
    fn converse(&self, stream: &OwnedFd, mut words: &[u8]) -> Result<()> {
        let deadline = Instant::now() + self.limit;
        let mut incoming = Incoming::from(Side::Server);
        let mut is_welcome = false;
        loop {
            let interests = [
                Interest::Read(stream.as_fd()),
                if words.is_empty() { Interest::Nothing } else { Interest::Write(stream.as_fd()) },
                self.cancel.map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd())),
            ];
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = poll(&interests, Some(left))
                .map_err(|error| place_error(self.link, "wait for an answer", error))?;
            if ready[2].now {
                return Err(Error::Cancelled { place: self.place() });
            }
            if left.is_zero() {
                let text = format!("no answer within {} s", self.limit.as_secs());
                return Err(self.not_entered(io::Error::new(io::ErrorKind::TimedOut, text), None));
            }
            if ready[1].now {
                match send(stream, words, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(n) => words = &words[n..],
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    // It may have said why.
                    Err(_) => words = &[],
                }
            }
            if !ready[0].now {
                continue;
            }
            let n = match recv(stream, incoming.room(), RecvFlags::DONTWAIT) {
                Ok((n @ 1.., _)) => n,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Ok(_) | Err(_) => return Err(Error::Disconnected { place: self.place() }),
            };
            let hint = (!is_welcome).then_some("is it a daemon of thither?");
            let malformed = |malformed: Malformed| self.not_entered(malformed, hint);
            match incoming.advance(n).map_err(malformed)? {
                None => {}
                Some(Arrived::Frame(Kind::Welcome, body)) if !is_welcome => {
                    // The lower version counts, and ours is the first.
                    frame::version(&body).map_err(malformed)?;
                    is_welcome = true;
                }
                Some(Arrived::Frame(Kind::Started, body)) if is_welcome => {
                    let pid = body.try_into().map_err(|_| malformed(Malformed("no such id")))?;
                    let pid = u32::from_be_bytes(pid);
                    tracing::debug!(pid, place = self.link.place, "started");
                    return Ok(());
                }
                Some(Arrived::Frame(Kind::Refused, body)) if is_welcome => {
                    return Err(self.refused(Refusal::decode(&body).map_err(malformed)?));
                }
                Some(_) => return Err(malformed(Malformed("it comes at the wrong time"))),
            }
        }
    }

    fn place(&self) -> String {
        self.link.place.to_owned()
    }

    fn not_entered(
        &self,
        source: impl std::error::Error + Send + Sync + 'static,
        hint: Option<&str>,
    ) -> Error {
        let hint = hint.map(str::to_owned);
        Error::Enter { place: self.place(), source: Box::new(source), hint }
    }

    fn not_run(&self, source: io::Error, hint: &str) -> Error {
        let hint = (!hint.is_empty()).then(|| printable(hint));
        match self.program {
            Some(program) => {
                Error::Spawn { program: program.to_owned(), place: self.place(), source, hint }
            }
            None => Error::Place {
                action: "do what was asked".into(),
                place: self.place(),
                source: Box::new(source),
                hint,
            },
        }
    }

    /// What a server says is escaped, and no longer than its frame.
    fn refused(&self, refusal: Refusal) -> Error {
        let text = printable(&refusal.text);
        let hint = Some(&refusal.hint).filter(|hint| !hint.is_empty()).map(|hint| printable(hint));
        let errno = i32::try_from(refusal.errno).ok().filter(|errno| *errno > 0);
        let place = self.place();
        match (refusal.reason, errno) {
            (Reason::Spawn, Some(errno)) => {
                self.not_run(io::Error::from_raw_os_error(errno), &refusal.hint)
            }
            (Reason::Spawn, None) => self.not_run(io::Error::other(text), &refusal.hint),
            (Reason::Failed, Some(errno)) => {
                let source = Box::new(io::Error::from_raw_os_error(errno));
                Error::Place { action: text, place, source, hint }
            }
            (Reason::Failed, None) => Error::Place {
                action: "do what was asked".into(),
                place,
                source: text.into(),
                hint,
            },
            (Reason::Unsupported, _) => Error::Unsupported { action: text, place, hint },
            (Reason::Denied, _) => Error::Enter { place, source: text.into(), hint },
        }
    }
}

#[cfg(test)]
mod tests;

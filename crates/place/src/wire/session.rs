//! The server's side of a connection: one thread, which blocks in one poll(2) and serves one process.
//!
//! First [`receive`], then one of [`refuse`], [`answer`] and [`serve`]. A command is best started by
//! [`spawn_in_session`](crate::local::spawn_in_session), on this same thread.
//!
//! Output is never buffered beyond one frame: a client that does not read it stops the program, by its full pipe. What goes
//! the other way is read even then, up to [`WINDOW`](super::frame::WINDOW) bytes.

mod ending;
mod input;
mod output;
mod serve;
mod stream;

use std::error::Error as _;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use thither_term::{Interest, WindowSize, poll};

use super::frame::{Arrived, Incoming, Kind, Malformed, Side, hello, version};
use super::message::{self, Reason, Refusal, Request};
use crate::command::{Stream, Streams, Terminal};
use crate::error::quoted;
use crate::{Command, Error, Exit};

pub use ending::end;
pub use serve::{serve, serve_until};
pub use stream::of_stream;

/// What a client may take before it is known what it wants.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time for its greeting and all of its request.
    pub greeting: Duration,
    /// The longest request, in bytes: [`LONGEST_SMALL`](super::frame::LONGEST_SMALL) for a stranger, at most
    /// [`LONGEST_REQUEST`](super::frame::LONGEST_REQUEST).
    pub request: usize,
}

/// What became of a connection.
#[derive(Debug)]
pub enum Outcome {
    /// The process ended like this, and the client was told.
    Exited(Exit),
    /// The client was [told](refuse) that it gets nothing.
    Refused(Refusal),
    /// The client is gone, before the end.
    Left,
    /// The client does not keep to the protocol.
    Malformed(Malformed),
    /// The client did not say in time what it wants.
    TimedOut,
    /// We were asked to end.
    Stopped,
    /// Something failed on this side.
    Lost(io::Error),
}

/// How a connection ends once the last is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goodbye {
    /// We end our direction, and the client has a second to close.
    #[default]
    Ours,
    /// The client closes, within this time: where our end would overtake what was said before it, as it does behind smbd(8).
    Theirs(Duration),
}

impl Goodbye {
    fn patience(self) -> Duration {
        match self {
            Goodbye::Ours => PATIENCE,
            Goodbye::Theirs(patience) => patience,
        }
    }
}

/// How long a client may take to fetch the last that is said to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Greets a client, and reads its greeting and its request. `end` is readable when this is to stop.
///
/// # Errors
/// The outcome, where there is no request.
pub fn receive(stream: &OwnedFd, limits: &Limits, end: BorrowedFd<'_>) -> Result<Request, Outcome> {
    let deadline = Instant::now().checked_add(limits.greeting);
    // It is short, and the first: it fits. If the client is gone, reading says so.
    let _ = send(stream, &hello(Side::Server), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let mut incoming = Incoming::from(Side::Client).at_most(limits.request);
    let mut greeted = false;
    loop {
        match recv(stream, incoming.room(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(Outcome::Left),
            Ok((n, _)) => match incoming.advance(n).map_err(Outcome::Malformed)? {
                None => {}
                Some(Arrived::Frame(Kind::Hello, body)) if !greeted => {
                    version(&body).map_err(Outcome::Malformed)?;
                    greeted = true;
                }
                Some(Arrived::Frame(Kind::Request, body)) if greeted => {
                    return Request::decode(&body).map_err(Outcome::Malformed);
                }
                Some(_) if greeted => return Err(malformed("it is no request")),
                Some(_) => return Err(malformed("it is no greeting")),
            },
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(stream, end, deadline)?,
            Err(error) => return Err(lost(error)),
        }
        // A byte at a time is never waited for.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Outcome::TimedOut);
        }
    }
}

fn wait(stream: &OwnedFd, end: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<(), Outcome> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let ready = poll(&[Interest::Read(stream.as_fd()), Interest::Read(end)], left);
    let ready = ready.map_err(Outcome::Lost)?;
    if ready[1].now { Err(Outcome::Stopped) } else { Ok(()) }
}

fn malformed(why: &'static str) -> Outcome {
    Outcome::Malformed(Malformed(why))
}

/// The outcome of a socket's error.
fn lost(error: Errno) -> Outcome {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::TIMEDOUT => Outcome::Left,
        error => Outcome::Lost(error.into()),
    }
}

/// Tells a client why there is nothing. A client that does not listen is left after a second.
pub fn refuse(stream: &OwnedFd, refusal: &Refusal) {
    refuse_until(stream, refusal, Goodbye::Ours);
}

/// [`refuse`], with another end of the connection.
pub fn refuse_until(stream: &OwnedFd, refusal: &Refusal, goodbye: Goodbye) {
    say(stream, &Kind::Refused.frame(&refusal.encode()), goodbye);
}

/// Tells it that to a client that was not [greeted](receive) yet, and that we do not listen to.
pub fn refuse_unheard(stream: &OwnedFd, refusal: &Refusal, goodbye: Goodbye) {
    let refused = Kind::Refused.frame(&refusal.encode());
    say(stream, &[hello(Side::Server), refused].concat(), goodbye);
}

/// Tells a client that what it asked for is done: it was nothing that has streams.
pub fn answer(stream: &OwnedFd) {
    say(stream, &started(0), Goodbye::Ours);
}

fn started(pid: u32) -> Vec<u8> {
    Kind::Started.frame(&pid.to_be_bytes())
}

/// Says the last.
fn say(stream: &OwnedFd, mut bytes: &[u8], goodbye: Goodbye) {
    let deadline = Instant::now() + goodbye.patience();
    while !bytes.is_empty() {
        match send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                match poll(&[Interest::Write(stream.as_fd())], Some(left)) {
                    Ok(ready) if ready[0].now => {}
                    _ => return,
                }
            }
            Err(_) => return,
        }
    }
    let_go(stream.as_fd(), deadline, goodbye);
}

/// Sends nothing more, and waits for the client to close: to close with something unread is a reset, which may take from the
/// client what it has not read yet (RFC 1122, 4.2.2.13).
fn let_go(stream: BorrowedFd<'_>, deadline: Instant, goodbye: Goodbye) {
    if goodbye == Goodbye::Ours {
        let _ = shutdown(stream, Shutdown::Write);
    }
    let mut unread = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&[Interest::Read(stream)], Some(left)) {
            Ok(ready) if ready[0].now && !left.is_zero() => {}
            _ => return,
        }
        match recv(stream, &mut unread, RecvFlags::DONTWAIT) {
            Ok((n, _)) if n > 0 => {}
            Err(Errno::INTR | Errno::AGAIN) => {}
            _ => return,
        }
    }
}

/// What a client wants to run, with streams that [`serve`] moves.
pub fn command(spawn: message::Spawn) -> Command {
    let text = OsString::from_vec;
    let mut command = match spawn.program {
        message::Program::Named(name) => Command::new(text(name)),
        message::Program::LoginShell => Command::login_shell(),
        message::Program::Default => Command::default_program(),
    };
    command.args = spawn.args.into_iter().map(text).collect();
    command.env_clear = spawn.env_clear;
    let variable = |(name, value): (Vec<u8>, Option<Vec<u8>>)| (text(name), value.map(text));
    command.env = spawn.env.into_iter().map(variable).collect();
    command.dir = spawn.dir.map(|dir| text(dir).into());
    // One that is not UTF-8 is in no passwd file that we could read, and is so refused.
    command.user = spawn.user.map(|user| String::from_utf8_lossy(&user).into_owned());
    command.streams = match spawn.streams {
        message::Streams::Separate(joined) => {
            let [stdin, stdout, stderr] =
                joined.map(|joined| if joined { Stream::Piped } else { Stream::Null });
            Streams::Separate { stdin, stdout, stderr }
        }
        message::Streams::Terminal { size: (cols, rows), term } => {
            Streams::Terminal(Terminal { size: WindowSize { cols, rows }, term: term.map(text) })
        }
    };
    command
}

/// What a client is told of an error that kept a process from starting.
#[must_use]
pub fn refusal_of(error: &Error) -> Refusal {
    let (reason, action) = match error {
        Error::Spawn { program, .. } => (Reason::Spawn, format!("run {}", quoted(program))),
        Error::Unsupported { action, .. } => (Reason::Unsupported, action.clone()),
        Error::Place { action, .. } | Error::Copy { action, .. } => {
            (Reason::Failed, action.clone())
        }
        other => (Reason::Failed, other.to_string()),
    };
    let errno = errno_of(error);
    let mut refusal = Refusal {
        reason,
        errno: errno.unwrap_or(0),
        text: action,
        hint: error.hint().unwrap_or_default().to_owned(),
    };
    if errno.is_none() && reason != Reason::Unsupported {
        refusal.reason = Reason::Failed;
        let mut source = error.source();
        while let Some(cause) = source {
            refusal.text += &format!(": {cause}");
            source = cause.source();
        }
    }
    refusal
}

/// The number of the system's error, which is the last of the causes.
fn errno_of(error: &Error) -> Option<u32> {
    let mut source = error.source();
    while let Some(cause) = source {
        let number = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if let Some(number) = number {
            return u32::try_from(number).ok();
        }
        source = cause.source();
    }
    None
}

//! An interpreter is started: from a program's arguments to the agent's greeting.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::call_options::CallOptions;
use crate::channel::{Bounds, Incoming, readable, wait};
use crate::connection::{Connection, Parts};
use crate::files::Files;
use crate::frame::{HEADER, Header, VERSION, kind};
use crate::host::{Host, Unknown};
use crate::marshal::{Decoder, Limits};
use crate::output::Output;
use crate::session::{Info, Session};
use crate::{Error, Python, Result};

/// The agent, one file of Python that serves an interpreter to this crate. It can be saved and imported as a module, too:
/// its `serve(address, token)` serves from within a running program.
pub const AGENT: &str = include_str!("agent.py");

/// It answers with the greeting, a frame of the kind [`kind::HELLO`] and of [`VERSION`], before it compiles what it was sent: both
/// sides have something to do then.
const BOOT: &str = include_str!("boot.py");

/// How much may come before the agent answers (banners, prompts), in bytes.
const MAX_BANNER: usize = 1 << 20;
/// How much of it is shown in an error, in bytes.
const SHOWN: usize = 2000;

/// How an interpreter is started and used. The default is what most want.
#[derive(Debug)]
#[non_exhaustive]
pub struct Start {
    /// Where what is printed over there goes.
    pub output: Output,
    /// How long it may take until the interpreter answers.
    pub timeout: Duration,
    /// Whether objects are let go over there once their proxies are dropped.
    pub gc: bool,
    /// How long dropped proxies are gathered before the other side is told, if no call tells it before.
    pub gc_interval: Duration,
    /// The longest frame that is received, raw blocks included, in bytes.
    pub max_frame: u64,
    /// What is too deep or too many in a received value.
    pub limits: Limits,
    /// How many calls may wait for their replies; then starting another one waits.
    pub window: usize,
    /// Whether the other side logs what it is asked for, to be seen here as events of `tracing` (target
    /// `thither_python::remote`).
    pub log: bool,
    /// What holds the process.
    pub host: Box<dyn Host>,
    /// A way of the place's own for the files of [`getfile`](Python::getfile) and [`putfile`](Python::putfile).
    pub files: Option<Arc<dyn Files>>,
}

impl Default for Start {
    fn default() -> Start {
        Start {
            output: Output::Inherit,
            timeout: Duration::from_secs(30),
            gc: true,
            gc_interval: Duration::from_millis(10),
            max_frame: 1 << 30,
            limits: Limits::default(),
            window: 1024,
            log: false,
            host: Box::new(Unknown),
            files: None,
        }
    }
}

/// A start that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unanswered {
    /// Why.
    pub error: Error,
    /// The settings, of which the [`host`](Start::host) was put away; `None` where they are gone with the connection.
    pub start: Option<Start>,
}

/// The arguments that make an interpreter ready for [`Start::over`]: `python3 -c ...`.
#[must_use]
pub fn arguments() -> [&'static str; 2] {
    ["-c", BOOT]
}

impl Python {
    /// An interpreter as a child of this program: `python3`, say.
    ///
    /// # Errors
    /// When it cannot be run, or does not answer.
    pub fn local(program: &str) -> Result<Python> {
        Start::default().local(program)
    }
}

impl Start {
    /// An interpreter as a child of this program.
    ///
    /// # Errors
    /// As [`Python::local`].
    pub fn local(mut self, program: &str) -> Result<Python> {
        let mut command = Command::new(program);
        command.args(arguments());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| Error::io(format!("run {program:?}"), error))?;
        let (Some(sink), Some(source)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Start { why: "it has no pipes".into(), hint: None });
        };
        let errors = child.stderr.take().map(OwnedFd::from);
        self.host = Box::new(child);
        self.over_with_errors(source.into(), sink.into(), errors)
    }

    /// An interpreter that was started with [`arguments`] and whose standard output and input these are. They are made
    /// non-blocking: nobody else may use them.
    ///
    /// A program that has given `SIGPIPE` its default action, which Rust's do not, is ended by it when the interpreter goes
    /// while a pipe to it is written to. With a socket that cannot happen.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn over(self, source: OwnedFd, sink: OwnedFd) -> Result<Python> {
        self.over_with_errors(source, sink, None)
    }

    /// The same, with its standard error as it was at the start: what is said there before it answers is part of an error.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn over_with_errors(
        self,
        source: OwnedFd,
        sink: OwnedFd,
        errors: Option<OwnedFd>,
    ) -> Result<Python> {
        self.try_over(source, sink, errors).map_err(|unanswered| unanswered.error)
    }

    /// The same; where nothing answers the settings come back, for another try with another program.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn try_over(
        self,
        source: OwnedFd,
        sink: OwnedFd,
        errors: Option<OwnedFd>,
    ) -> Result<Python, Box<Unanswered>> {
        let marker = match marker() {
            Ok(marker) => marker,
            Err(error) => return Err(Box::new(Unanswered { error, start: Some(self) })),
        };
        let log = u8::from(self.log);
        let mut preamble = format!("{marker}{:016}{log}{:15}", AGENT.len(), "").into_bytes();
        preamble.extend_from_slice(AGENT.as_bytes());
        self.greeted(source, sink, errors, marker, preamble)
    }

    /// An interpreter over any two streams; each gets a thread.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn over_streams(
        self,
        mut source: impl Read + Send + 'static,
        mut sink: impl Write + Send + 'static,
    ) -> Result<Python> {
        let failed = |error| Error::io("make a socket", error);
        let (ours, mut theirs) = UnixStream::pair().map_err(failed)?;
        let (ours_too, mut from_us) = UnixStream::pair().map_err(failed)?;
        let spawn = |name: &str, pump: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.into()).spawn(pump);
            thread.map_err(|error| Error::io("start a thread", error))
        };
        // A stream that fails ends the connection, as its end does.
        spawn("thither-from", Box::new(move || drop(io::copy(&mut source, &mut theirs))))?;
        spawn(
            "thither-to",
            Box::new(move || {
                let _ = copy_flushing(&mut from_us, &mut sink);
            }),
        )?;
        self.over(ours.into(), ours_too.into())
    }

    /// An interpreter that serves itself by `thither_agent.serve(address, token)`, over a connected socket.
    ///
    /// # Errors
    /// When it does not answer: a wrong token is answered by silence.
    pub fn served(self, socket: OwnedFd, token: &[u8]) -> Result<Python> {
        let marker = marker()?;
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let preamble = format!("{token} {marker}\n").into_bytes();
        let sink = socket.try_clone().map_err(|error| Error::io("copy a descriptor", error))?;
        let greeted = self.greeted(socket, sink, None, marker, preamble);
        greeted.map_err(|unanswered| unanswered.error)
    }

    fn greeted(
        mut self,
        source: OwnedFd,
        sink: OwnedFd,
        errors: Option<OwnedFd>,
        marker: String,
        preamble: Vec<u8>,
    ) -> Result<Python, Box<Unanswered>> {
        for fd in [Some(&source), Some(&sink), errors.as_ref()].into_iter().flatten() {
            if let Err(error) = make_ready(fd) {
                return Err(Box::new(Unanswered { error, start: Some(self) }));
            }
        }
        let mut greeting = Greeting { marker, seen: Vec::new(), errors: Vec::new(), searched: 0 };
        let bounds = Bounds { frame: self.max_frame, values: self.limits };
        let found = greeting.await_it(&source, &sink, errors, &preamble, self.timeout, bounds);
        let (incoming, info) = match found {
            Ok(found) => found,
            Err(stopped) => {
                let error = greeting.complaint(stopped, &mut *self.host, self.timeout);
                // The end of its input ends it, or its host does: nothing is left behind.
                drop((source, sink));
                self.host.finish();
                return Err(Box::new(Unanswered { error, start: Some(self) }));
            }
        };
        tracing::debug!(version = ?info.version_info, pid = info.pid, "Python has answered");
        let made = Connection::new(Parts {
            source,
            sink,
            incoming,
            limits: self.limits,
            window: self.window,
            output: self.output,
            host: self.host,
            gc: self.gc.then_some(self.gc_interval),
        });
        let connection = match made {
            Ok(connection) => connection,
            Err(error) => return Err(Box::new(Unanswered { error, start: None })),
        };
        let session = Arc::new(Session { connection, info, files: self.files });
        Ok(Python { session, options: CallOptions::default() })
    }
}

/// The descriptor of one direction, for a loop with deadlines.
fn make_ready(fd: &OwnedFd) -> Result<()> {
    let flags = fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK));
    flags.map_err(|error| Error::io("use a descriptor", error))?;
    // A larger pipe is faster; not every user may have it, nor is everything a pipe.
    let _ = rustix::pipe::fcntl_setpipe_size(fd, 1 << 20);
    Ok(())
}

/// What an agent answers first: random, so that nothing else that is printed is taken for it.
fn marker() -> Result<String> {
    let mut random = [0; 16];
    let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    got.map_err(|error| Error::io("get random bytes", error))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What comes before the first frame.
struct Greeting {
    marker: String,
    /// From the channel: a banner, the marker, the first frame.
    seen: Vec<u8>,
    searched: usize,
    errors: Vec<u8>,
}

/// Why no greeting has come.
enum Stopped {
    Ended,
    TooLate,
    TooMuch,
    Other(Error),
}

impl Greeting {
    fn await_it(
        &mut self,
        source: &OwnedFd,
        sink: &OwnedFd,
        mut errors: Option<OwnedFd>,
        preamble: &[u8],
        timeout: Duration,
        bounds: Bounds,
    ) -> Result<(Incoming, Info), Stopped> {
        let deadline = Instant::now().checked_add(timeout);
        let mut unsent = preamble;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Stopped::TooLate);
            }
            let mut fds = vec![readable(source.as_fd())];
            if !unsent.is_empty() {
                fds.push(PollFd::new(sink, PollFlags::OUT));
            }
            fds.extend(errors.as_ref().map(|errors| readable(errors.as_fd())));
            wait(&mut fds, left)
                .map_err(|error| Stopped::Other(Error::io("wait for Python", error)))?;
            let is_ready = |fd: i32, fds: &[PollFd<'_>]| {
                fds.iter()
                    .any(|ready| ready.as_fd().as_raw_fd() == fd && !ready.revents().is_empty())
            };
            let ready = [Some(source), errors.as_ref()]
                .map(|fd| fd.is_some_and(|fd| is_ready(fd.as_raw_fd(), &fds)));
            drop(fds);
            if ready[1]
                && let Some(fd) = &errors
            {
                match rustix::io::read(fd, &mut buffer) {
                    Ok(0) => errors = None,
                    Ok(read) if self.errors.len() < MAX_BANNER => {
                        self.errors.extend_from_slice(&buffer[..read]);
                    }
                    Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(_) => errors = None,
                }
            }
            if !unsent.is_empty() {
                match rustix::io::write(sink, unsent) {
                    Ok(written) => unsent = &unsent[written..],
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    // What it has said before it went tells more.
                    Err(_) => unsent = &[],
                }
            }
            if ready[0] {
                match rustix::io::read(source, &mut buffer) {
                    Ok(0) => return Err(Stopped::Ended),
                    Ok(read) => self.seen.extend_from_slice(&buffer[..read]),
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(_) => return Err(Stopped::Ended),
                }
                if let Some(found) = self.first_frame(bounds).map_err(Stopped::Other)? {
                    return Ok(found);
                }
                if self.seen.len() > MAX_BANNER {
                    return Err(Stopped::TooMuch);
                }
            }
        }
    }

    /// The agent's greeting, once it is all there.
    fn first_frame(&mut self, bounds: Bounds) -> Result<Option<(Incoming, Info)>> {
        let marker = self.marker.as_bytes();
        let from = self.searched.saturating_sub(marker.len());
        let found = self.seen[from..].windows(marker.len()).position(|window| window == marker);
        let Some(at) = found else {
            self.searched = self.seen.len();
            return Ok(None);
        };
        let rest = &self.seen[from + at + marker.len()..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let header = Header::from_bytes(header);
        if header.kind != kind::HELLO || header.length > 4096 {
            return Err(Error::protocol("it does not begin with a greeting"));
        }
        let Some((payload, rest)) = rest.split_at_checked(header.length as usize) else {
            return Ok(None);
        };
        if header.flags != VERSION {
            let theirs = header.flags;
            return Err(Error::Start {
                why: format!(
                    "it speaks version {theirs} of the protocol, and this program {VERSION}"
                ),
                hint: Some("let both be of the same release".into()),
            });
        }
        let info = info(payload, &bounds.values)?;
        if from + at > 0 {
            tracing::debug!(banner = %shown(&self.seen[..from + at]), "before Python");
        }
        Ok(Some((Incoming::new(bounds, rest), info)))
    }

    /// What an error says about it.
    fn complaint(&self, stopped: Stopped, host: &mut dyn Host, timeout: Duration) -> Error {
        let what = match stopped {
            Stopped::Other(error) => return error,
            Stopped::TooLate => format!("nothing within {} s", timeout.as_secs_f32()),
            Stopped::TooMuch => "something else is printed without end".into(),
            Stopped::Ended => host
                .ended(Duration::from_secs(1))
                .unwrap_or_else(|| "the other side has closed it".into()),
        };
        let said = [&self.errors, &self.seen]
            .map(|text| shown(text))
            .into_iter()
            .filter(|text| !text.is_empty());
        let said = said.collect::<Vec<String>>().join("; ");
        let why = match said.is_empty() {
            true => what,
            false => format!("{what}; it said: {said}"),
        };
        Error::Start { why, hint: None }
    }
}

fn info(payload: &[u8], limits: &Limits) -> Result<Info> {
    let mut decoder = Decoder::new(payload, limits);
    decoder.tuple()?;
    let (version, version_info, pid, platform, executable, _order): (
        String,
        (u32, u32, u32),
        u32,
        String,
        String,
        String,
    ) = decoder.value()?;
    Ok(Info { version, version_info, pid, platform, executable })
}

/// The end of what was printed, on one line, escaped.
fn shown(text: &[u8]) -> String {
    let text = &text[text.len().saturating_sub(SHOWN)..];
    let text = String::from_utf8_lossy(text);
    let mut shown = String::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if !shown.is_empty() {
            shown += " / ";
        }
        shown.extend(line.chars().flat_map(|char| {
            let escaped = char.is_control().then(|| char.escape_default());
            let plain = escaped.is_none().then_some(char);
            escaped.into_iter().flatten().chain(plain)
        }));
    }
    shown
}

fn copy_flushing(source: &mut impl Read, sink: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                sink.write_all(&buffer[..read])?;
                sink.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, micro) = self.version_info;
        write!(f, "Python {major}.{minor}.{micro} ({})", self.platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_that_of_this_version() {
        let greeting = format!(r"b'\x{:02x}\x{VERSION:02x}'", kind::HELLO);
        assert!(BOOT.contains(&greeting), "{greeting}");
    }
}

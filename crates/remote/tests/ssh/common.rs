//! What all of these tests need.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use testkit::{SshHome, Sshd, ssh_user, within_deadline};
use thither_place::{Command, Error, Exit, Output, Place, Process, Stream};
use thither_remote::Ssh;

/// A host of the test's own, or a skip: `host!("bash")` for the login shell of the user there, `host!("bash", "MaxSessions 4")`
/// also with lines of sshd_config(5).
macro_rules! host {
    ($shell:expr) => {
        host!($shell, "")
    };
    ($shell:expr, $options:expr) => {{
        testkit::own_ssh!();
        match crate::common::Host::new($shell, $options) {
            Ok(host) => host,
            Err(reason) => testkit::skip!("{reason}"),
        }
    }};
}

pub(crate) use host;

/// A server, and a user there.
pub(crate) struct Host {
    pub(crate) sshd: Sshd,
    pub(crate) user: String,
}

impl Host {
    pub(crate) fn new(shell: &str, options: &str) -> Result<Host, String> {
        let host = Host { sshd: Sshd::options(options)?, user: ssh_user(shell)? };
        host.configure("");
        Ok(host)
    }

    /// Lines of ssh_config that win over what the test's home has.
    pub(crate) fn configure(&self, lines: &str) {
        SshHome::knows(&self.sshd, lines);
    }

    pub(crate) fn place(&self) -> Ssh {
        Ssh::new("thither-test").user(&self.user)
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// The three streams as pipes.
pub(crate) fn piped(command: Command) -> Command {
    command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped)
}

pub(crate) fn null(command: Command) -> Command {
    command.stdin(Stream::Null).stdout(Stream::Null).stderr(Stream::Null)
}

pub(crate) fn fd(file: impl Into<OwnedFd>) -> Stream {
    Stream::Fd(Arc::new(file.into()))
}

/// What a command says, and how it ends.
#[track_caller]
pub(crate) fn output(place: &Ssh, command: &Command) -> Output {
    let (place, command) = (place.clone(), command.clone());
    let shown: String = format!("{command:?}").chars().take(400).collect();
    within_deadline(&shown, move || place.output(&command))
        .unwrap_or_else(|e| panic!("{}", told(&e)))
}

/// Its standard output, after an end with code 0 and without a complaint.
#[track_caller]
pub(crate) fn prints(place: &Ssh, command: &Command) -> Vec<u8> {
    let output = output(place, command);
    let shown: String = format!("{command:?}").chars().take(400).collect();
    assert_eq!(output.exit, Exit::Code(0), "{shown}: {}", output.stderr.escape_ascii());
    assert!(output.stderr.is_empty(), "{shown}: {}", output.stderr.escape_ascii());
    output.stdout
}

/// The same as text.
#[track_caller]
pub(crate) fn says(place: &Ssh, command: &Command) -> String {
    String::from_utf8_lossy(&prints(place, command)).into_owned()
}

/// Waits for the end.
#[track_caller]
pub(crate) fn wait(mut process: Process) -> Result<Exit, Error> {
    within_deadline("the end of the process", move || process.wait())
}

/// The error of a command that cannot be run, whether it comes at the start or at the end.
#[track_caller]
pub(crate) fn error(place: &Ssh, command: &Command) -> Error {
    let (place, command) = (place.clone(), command.clone());
    let shown = format!("{command:?}");
    let result = within_deadline(&shown, move || {
        place.spawn(&command).and_then(|mut process| process.wait())
    });
    result.expect_err(&shown)
}

/// An error with its causes, its exit code and its hint.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    let _ = write!(text, "; exit code {}", error.shell_code());
    if let Some(hint) = error.hint() {
        let _ = write!(text, "; hint: {hint}");
    }
    text
}

/// Everything that can be read, until the end.
#[track_caller]
pub(crate) fn read_all(from: impl Into<OwnedFd>) -> Vec<u8> {
    let mut file = File::from(from.into());
    within_deadline("the end of a stream", move || {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    })
    .expect("a stream that can be read")
}

/// A line of a stream, without its end.
#[track_caller]
pub(crate) fn line(from: &impl AsFd) -> String {
    let end = Instant::now() + testkit::DEADLINE;
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let left = end.saturating_duration_since(Instant::now());
        let ready = thither_term::poll(&[thither_term::Interest::Read(from.as_fd())], Some(left))
            .expect("poll");
        assert!(ready[0].now, "no more came: {:?}", String::from_utf8_lossy(&line));
        let mut byte = [0];
        let n = rustix::io::read(from, &mut byte).expect("a stream");
        assert_eq!(n, 1, "it ended: {:?}", String::from_utf8_lossy(&line));
        line.push(byte[0]);
    }
    line.pop();
    String::from_utf8_lossy(&line).into_owned()
}

/// A command that has said its first line: its process id over there, which is of this machine.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) pid: u32,
}

/// Starts a script whose first line of output is a number.
#[track_caller]
pub(crate) fn started(place: &Ssh, command: Command) -> Started {
    let (place, command) =
        (place.clone(), command.stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Null));
    let process = within_deadline("the start", move || place.spawn(&command))
        .unwrap_or_else(|e| panic!("{}", told(&e)));
    let pid = line(process.stdout.as_ref().expect("a pipe")).parse().expect("a number");
    Started { process, pid }
}

/// Whether it runs: a zombie does not.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[track_caller]
pub(crate) fn ends(pid: u32, what: &str) {
    testkit::wait_until(testkit::DEADLINE, what, || !lives(pid));
}

/// A terminal's stream, as a user reads it.
pub(crate) struct Screen {
    pub(crate) terminal: OwnedFd,
    /// What it has shown and was not expected yet.
    pub(crate) shown: Vec<u8>,
}

impl Screen {
    pub(crate) fn of(process: &mut Process) -> Screen {
        Screen { terminal: process.terminal.take().expect("a terminal"), shown: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&self, text: &str) {
        let mut file = File::from(self.terminal.try_clone().expect("a descriptor"));
        file.write_all(text.as_bytes()).expect("room for what is typed");
    }

    /// Reads more; `false` at the end.
    #[track_caller]
    fn more(&mut self, end: Instant) -> bool {
        let ready = [thither_term::Interest::Read(self.terminal.as_fd())];
        let left = end.saturating_duration_since(Instant::now());
        let ready = thither_term::poll(&ready, Some(left)).expect("poll");
        let shown = String::from_utf8_lossy(&self.shown);
        assert!(
            (ready[0].now || ready[0].hang_up) && !left.is_zero(),
            "nothing more came: {shown:?}"
        );
        let mut bytes = [0; 16 * 1024];
        // A pty whose other side is closed gives EIO.
        let n = rustix::io::read(&self.terminal, &mut bytes).unwrap_or(0);
        self.shown.extend_from_slice(&bytes[..n]);
        n > 0
    }

    /// Waits for a text, and returns what came before it.
    #[track_caller]
    pub(crate) fn expect(&mut self, needle: &str) -> String {
        let end = Instant::now() + testkit::DEADLINE;
        loop {
            let text = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some((before, after)) = text.split_once(needle) {
                self.shown = after.as_bytes().to_vec();
                return before.to_owned();
            }
            assert!(self.more(end), "it ended before {needle:?}: {text:?}");
        }
    }

    /// What is left until the end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let end = Instant::now() + testkit::DEADLINE;
        while self.more(end) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.shown)).into_owned()
    }
}

/// Does something many times, in so many threads.
pub(crate) fn in_threads(threads: usize, times: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || (thread..times).step_by(threads).for_each(work));
        }
    });
}

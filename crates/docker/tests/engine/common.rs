//! What all of these tests need.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use testkit::within_deadline;
use thither_docker::{Container, Dial, Engine};
use thither_place::{Command, Error, Exit, Output, Place, Process, Stream};

/// The engine that all tests share, or a skip.
macro_rules! shared {
    () => {
        match testkit::Engine::shared() {
            Ok(engine) => engine,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

/// An engine of the test's own, or a skip.
macro_rules! own {
    () => {
        match testkit::Engine::own() {
            Ok(engine) => engine,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

pub(crate) use {own, shared};

/// The library's handle of an engine.
pub(crate) fn handle(of: &testkit::Engine) -> Engine {
    Engine::new(of.host(), Dial::Unix(of.socket().into()))
}

/// The library's handle of what is behind a proxy.
pub(crate) fn through(proxy: &testkit::Proxy) -> Engine {
    Engine::new(proxy.host(), Dial::Unix(proxy.socket().into()))
}

/// The library's handle of a container.
pub(crate) fn there(of: &testkit::Engine, container: &testkit::Container<'_>) -> Container {
    Container::new(handle(of), container.name())
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
pub(crate) fn output(place: &(impl Place + Clone + 'static), command: &Command) -> Output {
    let (place, command) = (place.clone(), command.clone());
    let shown = format!("{command:?}");
    within_deadline(&shown, move || place.output(&command)).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Its standard output as text, after an end with code 0.
#[track_caller]
pub(crate) fn says(place: &(impl Place + Clone + 'static), command: &Command) -> String {
    let output = output(place, command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.exit, Exit::Code(0), "{command:?}: {text}{complaint}");
    text
}

/// Waits for the end.
#[track_caller]
pub(crate) fn wait(mut process: Process) -> Result<Exit, Error> {
    within_deadline("the end of the process", move || process.wait())
}

/// The error of a command that cannot be run, whether it comes at the start or at the end.
#[track_caller]
pub(crate) fn error(place: &(impl Place + Clone + 'static), command: &Command) -> Error {
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

/// A terminal's stream, which does not block, as a user reads it.
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
        assert!(
            ready[0].now && !left.is_zero(),
            "nothing more came: {:?}",
            String::from_utf8_lossy(&self.shown)
        );
        let mut bytes = [0; 16 * 1024];
        let n = rustix::io::read(&self.terminal, &mut bytes).expect("a terminal's stream");
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

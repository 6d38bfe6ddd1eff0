//! The tool, with an engine and nobody's settings.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use testkit::{Engine, Marker, Modes, Session};

use crate::common::{Test, finish};

pub(crate) const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// An engine, or a skip: `engine!(shared)` of all tests, `engine!(own)` of this one.
macro_rules! engine {
    ($kind:ident) => {
        match testkit::Engine::$kind() {
            Ok(engine) => engine,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

pub(crate) use engine;

/// The tool.
pub(crate) struct Tool {
    pub(crate) test: Test,
    host: String,
}

impl Tool {
    pub(crate) fn new(engine: &Engine) -> Tool {
        Tool::at(engine.host())
    }

    pub(crate) fn at(host: impl Into<String>) -> Tool {
        Tool { test: Test::new(), host: host.into() }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.test.thither(args);
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// What it says to a line of words: standard output, standard error, code.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) -> (String, String, i32) {
        self.says_to(&mut self.command(line.split(' ')))
    }

    #[track_caller]
    pub(crate) fn says_to(&self, command: &mut Command) -> (String, String, i32) {
        let Output { status, stdout, stderr } = crate::common::output(command, b"");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(stdout), text(stderr), status.code().unwrap_or(-1))
    }

    /// One line of error and one hint, code 125.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str) -> String {
        failure(self.says(line))
    }
}

/// A failure of ours: nothing on standard output, an error in one line, perhaps a hint in another, code 125.
#[track_caller]
pub(crate) fn failure((out, err, code): (String, String, i32)) -> String {
    assert_eq!((&*out, code), ("", 125), "{err}");
    let lines: Vec<&str> = err.lines().collect();
    let shape = match lines[..] {
        [error] => error.starts_with("error: "),
        [error, hint] => error.starts_with("error: ") && hint.starts_with("hint: "),
        _ => false,
    };
    assert!(shape, "{err}");
    err
}

/// Waits for a line of a child's standard output.
#[track_caller]
pub(crate) fn ready(child: &mut Child) {
    let stdout = child.stdout.as_mut().expect("a pipe");
    assert_eq!(crate::common::first_byte(stdout), b'x');
}

#[track_caller]
pub(crate) fn code(child: Child) -> Option<i32> {
    finish(child, |mut child| child.wait()).code()
}

pub(crate) fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

/// A pipe's end, or a file, as a standard stream.
pub(crate) fn to(path: &str) -> Stdio {
    File::options().write(true).open(path).expect(path).into()
}

/// The user's shell in a terminal.
pub(crate) struct User {
    pub(crate) shell: Session,
    before: Modes,
    pub(crate) marker: Marker,
    _test: Test,
}

impl User {
    pub(crate) fn new(host: &str) -> User {
        User::with(host, |_| {})
    }

    /// With files in their home.
    pub(crate) fn with(host: &str, prepare: impl FnOnce(&Path)) -> User {
        let test = Test::new();
        prepare(test.dir());
        let marker = Marker::new();
        let shell = Session::shell((80, 24), |command| {
            marker.mark(command).env("T", THITHER).env("DOCKER_HOST", host);
            command.env("HOME", test.dir()).env_remove("XDG_RUNTIME_DIR").current_dir("/");
            command.env_remove("DOCKER_CONFIG").env_remove("DOCKER_CONTEXT");
        });
        let before = shell.modes();
        User { shell, before, marker, _test: test }
    }

    /// Checks the exit code of what was started last, and that the terminal is as it was.
    #[track_caller]
    pub(crate) fn back_with(&mut self, code: u8) {
        self.shell.line("echo \"code<$?>\"");
        self.shell.expect(format!("code<{code}>"));
        self.shell.expect_prompt();
        assert_eq!(self.shell.modes(), self.before);
    }

    /// The process id of the `thither` that runs.
    #[track_caller]
    pub(crate) fn tool(&mut self) -> u32 {
        let shell = self.shell.pid();
        let mut found = 0;
        self.shell.until("thither runs", |_| {
            let children = format!("/proc/{shell}/task/{shell}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let last = children.split_whitespace().last().and_then(|pid| pid.parse().ok());
            found = last.unwrap_or(0);
            found != 0
        });
        found
    }
}

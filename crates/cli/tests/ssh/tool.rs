//! The tool, with a host of the test's own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use testkit::{Marker, Modes, Session, SshHome, Sshd, ssh_user};

use crate::common::finish;

pub(crate) const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// A host of the test's own, or a skip: see `testkit::own_ssh!`. `host!("bash")` for the login shell of the user there,
/// `host!("bash", "MaxSessions 4")` also with lines of sshd_config(5).
macro_rules! host {
    ($shell:expr) => {
        host!($shell, "")
    };
    ($shell:expr, $options:expr) => {{
        testkit::own_ssh!();
        match crate::tool::Host::new($shell, $options) {
            Ok(host) => host,
            Err(reason) => testkit::skip!("{reason}"),
        }
    }};
}

pub(crate) use host;

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

    /// Its address.
    pub(crate) fn place(&self) -> String {
        format!("ssh:{}@thither-test", self.user)
    }

    /// A folder here that goes with the test.
    pub(crate) fn folder(&self) -> PathBuf {
        SshHome::folder()
    }

    /// The tool, with no input.
    pub(crate) fn thither<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(THITHER);
        command
            .args(args)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    /// `thither run PLACE WORDS...`
    pub(crate) fn run(&self, words: &[&str]) -> Command {
        let place = self.place();
        self.thither([&["run", &place], words].concat())
    }
}

/// Standard output, standard error, code.
#[track_caller]
pub(crate) fn says(command: &mut Command) -> (String, String, i32) {
    says_to(command, b"")
}

#[track_caller]
pub(crate) fn says_to(command: &mut Command, input: &[u8]) -> (String, String, i32) {
    let Output { status, stdout, stderr } = crate::common::output(command, input);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr), status.code().unwrap_or(-1))
}

/// What it prints, without a complaint.
#[track_caller]
pub(crate) fn prints(command: &mut Command) -> String {
    let (out, err, code) = says(command);
    assert_eq!((err.as_str(), code), ("", 0), "{out}");
    out
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
pub(crate) fn line(child: &mut Child) -> String {
    let mut line = String::new();
    loop {
        match crate::common::first_byte(child.stdout.as_mut().expect("a pipe")) {
            b'\n' => return line,
            byte => line.push(byte.into()),
        }
    }
}

#[track_caller]
pub(crate) fn code(child: Child) -> Option<i32> {
    finish(child, |mut child| child.wait()).code()
}

pub(crate) fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill(1)").success());
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

/// The user's shell in a terminal.
pub(crate) struct User {
    pub(crate) shell: Session,
    before: Modes,
    _marker: Marker,
}

impl User {
    /// `$T` is the tool, `$P` the host's address.
    pub(crate) fn of(host: &Host) -> User {
        let marker = Marker::new();
        let shell = Session::shell((80, 24), |command| {
            marker.mark(command).env("T", THITHER).env("P", host.place()).current_dir("/");
        });
        let before = shell.modes();
        User { shell, before, _marker: marker }
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

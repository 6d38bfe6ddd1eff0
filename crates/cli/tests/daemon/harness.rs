//! A daemon of the test's own, and the tool as its client.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::{DEADLINE, Marker, Modes, Session, within_deadline};

use crate::common::finish;

pub(crate) const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// Two users' folders: that of the daemon, `there`, and that of its client, `here`.
pub(crate) struct Folders(TempDir);

impl Folders {
    pub(crate) fn new() -> Folders {
        let folders = Folders(TempDir::new().expect("a temporary folder"));
        for side in ["there", "here"] {
            for name in ["config", "run"] {
                fs::create_dir_all(folders.path(side).join(name)).unwrap();
            }
        }
        folders
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The tool on one of the two sides, with no input.
    fn tool<A: AsRef<OsStr>>(&self, side: &str, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(THITHER);
        self.at(side, command.env_clear()).args(args).stdin(Stdio::null());
        command
    }

    /// Makes a command that of a user on one of the two sides.
    pub(crate) fn at<'a>(&self, side: &str, command: &'a mut Command) -> &'a mut Command {
        let folder = self.path(side);
        command.env("PATH", "/usr/bin:/bin").env("HOME", &folder).current_dir(&folder);
        command.env("XDG_CONFIG_HOME", folder.join("config"));
        command.env("XDG_RUNTIME_DIR", folder.join("run"));
        command.env("USER", "tester")
    }

    pub(crate) fn there<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        self.tool("there", args)
    }

    pub(crate) fn here<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        self.tool("here", args)
    }

    /// The folder of keys on one side.
    pub(crate) fn keys(&self, side: &str) -> PathBuf {
        self.path(side).join("config/thither/daemon")
    }

    /// A token of the daemon.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        prints(&mut self.there(["serve", "pair"]))
    }

    /// Where the Unix socket of [`Daemon::unix`] is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("there").join("d.sock")
    }
}

/// A daemon that listens, and is killed with this.
pub(crate) struct Daemon {
    pub(crate) folders: Folders,
    child: Option<Child>,
    pub(crate) pid: u32,
    lines: Receiver<String>,
    /// What it said until now.
    pub(crate) log: Vec<String>,
    /// Its address.
    pub(crate) place: String,
}

impl Daemon {
    /// `thither serve` with these arguments, once it listens.
    #[track_caller]
    pub(crate) fn start(folders: Folders, args: &[&str]) -> Daemon {
        let all = [&["serve", "--allow-root", "--log", "json"], args].concat();
        let command = folders.there(all);
        Daemon::of(folders, command)
    }

    /// A daemon by another command, once it listens.
    #[track_caller]
    pub(crate) fn of(folders: Folders, mut command: Command) -> Daemon {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let pid = child.id();
        let (log, place) = (Vec::new(), String::new());
        let mut daemon = Daemon { folders, child: Some(child), pid, lines, log, place };
        let at = daemon.event("listening")["at"].as_str().unwrap().to_owned();
        daemon.place = at;
        daemon
    }

    /// One with a Unix socket.
    #[track_caller]
    pub(crate) fn unix(args: &[&str]) -> Daemon {
        let folders = Folders::new();
        let socket = folders.socket();
        Daemon::start(folders, &[&["--socket", socket.to_str().unwrap()], args].concat())
    }

    /// One over TCP, whose client is paired.
    #[track_caller]
    pub(crate) fn tcp(args: &[&str]) -> Daemon {
        Daemon::tcp_at("127.0.0.1:0", Folders::new(), args)
    }

    #[track_caller]
    pub(crate) fn tcp_at(address: &str, folders: Folders, args: &[&str]) -> Daemon {
        let token = folders.token();
        let mut daemon = Daemon::start(folders, &[&["--listen", address], args].concat());
        // A Unix socket comes first.
        if daemon.place.contains('/') {
            daemon.place = daemon.event("listening")["at"].as_str().unwrap().to_owned();
        }
        let said = says_to(&mut daemon.here(["pair", &daemon.place]), token.as_bytes());
        assert_eq!((&*said.0, said.2), ("", 0), "{}", said.1);
        daemon
    }

    /// Waits for the next line of this event.
    #[track_caller]
    pub(crate) fn event(&mut self, event: &str) -> Value {
        self.event_within(DEADLINE, event)
    }

    #[track_caller]
    pub(crate) fn event_within(&mut self, deadline: Duration, event: &str) -> Value {
        let end = std::time::Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no event {event} within {deadline:?}:\n{}", self.log.join("\n"));
            };
            self.log.push(line);
            let line = self.log.last().unwrap();
            let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            if value["event"] == event {
                return value;
            }
        }
    }

    /// All that it has said until now, which may not be all.
    pub(crate) fn said(&mut self) -> String {
        self.log.extend(self.lines.try_iter());
        self.log.join("\n")
    }

    pub(crate) fn here<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        self.folders.here(args)
    }

    /// `thither run PLACE WORDS...`
    pub(crate) fn run(&self, words: &[&str]) -> Command {
        self.here([&["run", &self.place, "--"], words].concat())
    }

    /// A command that runs, once it has printed a line: that line.
    #[track_caller]
    pub(crate) fn running(&self, words: &[&str]) -> (Child, String) {
        let mut command = self.run(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let line = line(&mut child);
        (child, line)
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(self.pid, signal);
    }

    /// Waits for its end, and gives its code.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Option<i32> {
        code(self.child.take().expect("it runs"))
    }

    /// Checks that it still works, for a new client.
    #[track_caller]
    pub(crate) fn works(&self) {
        assert_eq!(prints(&mut self.run(&["echo", "still here"])), "still here\n");
    }

    /// How many descriptors and threads it has.
    pub(crate) fn size(&self) -> [usize; 2] {
        ["fd", "task"]
            .map(|name| fs::read_dir(format!("/proc/{}/{name}", self.pid)).unwrap().count())
    }

    /// Waits until it has no more descriptors and threads than before.
    #[track_caller]
    pub(crate) fn shrinks_to(&self, before: [usize; 2]) {
        testkit::wait_until(DEADLINE, &format!("back to {before:?}"), || {
            let now = self.size();
            now[0] <= before[0] && now[1] <= before[1]
        });
    }

    /// A member of /proc/PID/status in KiB.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', ' ', '\t']).split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Standard output, standard error, code.
pub(crate) type Said = (String, String, i32);

#[track_caller]
pub(crate) fn says(command: &mut Command) -> Said {
    says_to(command, b"")
}

#[track_caller]
pub(crate) fn says_to(command: &mut Command, input: &[u8]) -> Said {
    said(crate::common::output(command, input))
}

pub(crate) fn said(output: Output) -> Said {
    let Output { status, stdout, stderr } = output;
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
pub(crate) fn failure((out, err, code): Said) -> String {
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
    let mut stdout = child.stdout.take().expect("a pipe");
    let (stdout, line) = within_deadline("a line of output", move || {
        let mut line = String::new();
        loop {
            match crate::common::first_byte(&mut stdout) {
                b'\n' => return (stdout, line),
                byte => line.push(byte.into()),
            }
        }
    });
    child.stdout = Some(stdout);
    line
}

#[track_caller]
pub(crate) fn code(child: Child) -> Option<i32> {
    finish(child, |mut child| child.wait()).code()
}

/// The rest of what it says, and its code.
#[track_caller]
pub(crate) fn rest(child: Child) -> Said {
    said(finish(child, Child::wait_with_output))
}

pub(crate) fn kill(pid: u32, signal: &str) {
    assert!(pid > 1, "a process of ours");
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

/// Whether it runs: a zombie does not.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[track_caller]
pub(crate) fn ends(pid: u32, what: &str) {
    testkit::wait_until(DEADLINE, what, || !lives(pid));
}

/// Whether these bytes are in the arguments or variables of any process.
pub(crate) fn is_shown(needle: &str) -> bool {
    let holds = |path: &Path| {
        let text = fs::read(path).unwrap_or_default();
        text.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let folders = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    folders
        .into_iter()
        .any(|folder| holds(&folder.join("cmdline")) || holds(&folder.join("environ")))
}

/// The user's shell in a terminal.
pub(crate) struct User {
    pub(crate) shell: Session,
    before: Modes,
    _marker: Marker,
}

impl User {
    /// `$T` is the tool, `$P` the daemon's address.
    pub(crate) fn of(daemon: &Daemon) -> User {
        let marker = Marker::new();
        let shell = Session::shell((80, 24), |command| {
            let command = daemon.folders.at("here", command);
            marker.mark(command).env("T", THITHER).env("P", &daemon.place);
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

    /// Waits until the terminal is as it was.
    #[track_caller]
    pub(crate) fn restored(&mut self) {
        let before = &self.before;
        self.shell.until("the modes from before", |shell| shell.modes() == *before);
    }

    /// Waits for `pid=NUMBER.`, which a program prints.
    #[track_caller]
    pub(crate) fn pid(&mut self) -> u32 {
        loop {
            self.shell.expect("pid=");
            let text = self.shell.expect(".");
            if let Ok(pid) = text.trim_end_matches('.').parse() {
                return pid;
            }
        }
    }

    /// The process id of the `thither` that runs.
    #[track_caller]
    pub(crate) fn tool(&mut self) -> u32 {
        let shell = self.shell.pid();
        let mut found = 0;
        self.shell.until("thither runs", |_| {
            let children = format!("/proc/{shell}/task/{shell}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            let last = children.split_whitespace().last().and_then(|pid| pid.parse().ok());
            found = last.unwrap_or(0);
            found != 0
        });
        found
    }
}

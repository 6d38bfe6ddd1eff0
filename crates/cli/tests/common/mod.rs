//! Running the binary and showing what it says.
#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use expect_test::Expect;
use tempfile::TempDir;
use testkit::DEADLINE;

/// A folder of its own, in which the binary runs with an environment that does not depend on who tests.
pub(crate) struct Test {
    dir: TempDir,
}

impl Test {
    pub(crate) fn new() -> Test {
        Test { dir: TempDir::new().expect("a temporary folder") }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).expect("a file in a temporary folder");
        path
    }

    /// The binary with these arguments and no input.
    pub(crate) fn thither<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thither"));
        command.args(args).current_dir(self.dir()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.dir()).stdin(Stdio::null());
        command
    }

    /// Compares what the binary says to each line of arguments: a transcript of standard output (after `|`), standard
    /// error, and an exit code that is not 0. Arguments are separated by single spaces; `''` is an empty one.
    #[track_caller]
    pub(crate) fn says(&self, lines: &[impl AsRef<OsStr>], expected: Expect) {
        let mut text = String::new();
        for line in lines {
            let line = line.as_ref().as_bytes();
            let args = line.split(|&byte| byte == b' ').filter(|_| !line.is_empty());
            let args = args.map(|arg| OsStr::from_bytes(if arg == b"''" { b"" } else { arg }));
            text += &format!("$ thither {}\n{}", shown(line), said(&mut self.thither(args)));
        }
        expected.assert_eq(&text.replace(self.dir().to_str().expect("a plain path"), "[DIR]"));
    }
}

/// What a command without input says.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = output(command, b"");
    let mut text = String::new();
    for line in stdout.split_inclusive(|&byte| byte == b'\n') {
        text += &format!("| {}\n", shown(line.strip_suffix(b"\n").unwrap_or(line)));
    }
    for line in stderr.split_inclusive(|&byte| byte == b'\n') {
        // A line of ours is never left without its end.
        let end = if line.ends_with(b"\n") { "" } else { "[no newline]" };
        text += &format!("{}{end}\n", shown(line.strip_suffix(b"\n").unwrap_or(line)));
    }
    match status.code() {
        Some(0) => text,
        Some(code) => format!("{text}exit {code}\n"),
        None => format!("{text}{status}\n"),
    }
}

/// Bytes as text, with what does not show escaped.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.into(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Runs a command with this input to its end.
#[track_caller]
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the binary runs");
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A command may end without reading its input.
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let output = finish(child, Child::wait_with_output);
    let _ = writer.join();
    output
}

/// Waits for the end of a child, or kills it at the deadline.
#[track_caller]
pub(crate) fn finish<T: Send + 'static>(
    child: Child,
    wait: impl FnOnce(Child) -> std::io::Result<T> + Send + 'static,
) -> T {
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(wait(child)));
    match receiver.recv_timeout(DEADLINE) {
        Ok(result) => result.expect("the child is ours to wait for"),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            panic!("it did not end within {DEADLINE:?}");
        }
    }
}

/// The first byte that can be read.
pub(crate) fn first_byte(mut from: impl Read) -> u8 {
    let mut byte = [0];
    from.read_exact(&mut byte).expect("a byte of output");
    byte[0]
}

//! Signals to what runs in a container.

use thither_docker::{Attach, Container};
use thither_place::{Command, Error, Exit, Place, Process, Stream, WindowSize};

use crate::common::{Screen, piped, sh, shared, there, wait};

const TERM: i32 = 15;
const INT: i32 = 2;
const KILL: i32 = 9;
const HUP: i32 = 1;
const USR1: i32 = 10;

/// A process that has said something.
#[track_caller]
fn ready(place: &Container, command: Command) -> Process {
    let mut process = place.spawn(&piped(command)).unwrap();
    let stdout = process.stdout.as_ref().expect("a pipe");
    let mut byte = [0];
    assert_eq!(rustix::io::read(stdout, &mut byte).unwrap(), 1);
    // Its end would be one of the command's output.
    process.stdin = None;
    process
}

#[test]
fn a_command_gets_them() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for user in [None, Some("1000"), Some("1000:1000")] {
        for (signal, code) in [(TERM, 143), (INT, 130), (KILL, 137), (HUP, 129), (USR1, 138)] {
            let mut command = sh("echo x; exec sleep 1000");
            command.user = user.map(str::to_owned);
            let mut process = ready(&place, command);
            process.signal(signal).unwrap();
            assert_eq!(wait(process).unwrap(), Exit::Code(code), "{signal} as {user:?}");
        }
    }
    let trap = "trap 'exit 44' TERM; echo x; while :; do sleep 0.05; done";
    let mut process = ready(&place, sh(trap));
    process.signal(TERM).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(44));
}

#[test]
fn nobody_else_gets_them() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let mut one = ready(&place, sh("echo x; exec sleep 1000"));
    let mut two = ready(&place, sh("echo x; exec sleep 1000"));
    one.signal(KILL).unwrap();
    assert_eq!(wait(one).unwrap(), Exit::Code(137));
    assert_eq!(two.control.event().unwrap(), None);
    assert!(sleeper.is_running());
    two.signal(TERM).unwrap();
    assert_eq!(wait(two).unwrap(), Exit::Code(143));
}

#[test]
fn a_command_with_cleared_or_forged_variables_gets_them() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for command in [
        sh("echo x; exec sleep 1000").env_clear(),
        sh("echo x; exec sleep 1000").env("THITHER_EXEC", "other"),
        sh("echo x; exec sleep 1000").env_remove("THITHER_EXEC"),
    ] {
        let mut process = ready(&place, command);
        process.signal(TERM).unwrap();
        assert_eq!(wait(process).unwrap(), Exit::Code(143));
    }
}

#[test]
fn a_command_at_a_terminal_gets_them() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let size = WindowSize { cols: 80, rows: 24 };
    let command = sh("echo ready; exec sleep 1000").terminal(size);
    let mut process = there(engine, &sleeper).spawn(&command).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("ready");
    process.signal(HUP).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(129));
}

#[test]
fn one_that_has_ended_is_no_error() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let mut process = ready(&place, sh("echo x"));
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
    process.signal(TERM).unwrap();
    let mut process = ready(&place, sh("echo x; read -r x < /never || exec sleep 1000"));
    sleeper.stop();
    process.signal(TERM).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(137));
}

#[test]
fn without_a_shell_they_cannot_be_delivered() {
    let engine = shared!();
    let empty = engine.container(&["/busybox", "sleep", "inf"]).image("empty").start();
    let command = Command::new("/busybox").args(["sh", "-c", "echo x; /busybox sleep 1000"]);
    let mut process = ready(&there(engine, &empty), command);
    let error = process.signal(TERM).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("no `sh`"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_container_gets_them() {
    let engine = shared!();
    let script = "trap 'exit 33' TERM; trap 'echo usr' USR1; echo x; while :; do sleep 0.05; done";
    let container = engine.container(&["sh", "-c", script]).create();
    let there = there(engine, &container);
    let attach = Attach { start: true, ..Attach::default() };
    let attach = attach.streams(Stream::Null, Stream::Piped, Stream::Null);
    let mut process = there.attach(&attach).unwrap();
    let mut lines = Lines(process.stdout.take().unwrap().into());
    assert_eq!(lines.next(), "x");
    process.signal(USR1).unwrap();
    assert_eq!(lines.next(), "usr");
    there.signal(TERM).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(33));
    there.signal(TERM).unwrap();
}

struct Lines(std::fs::File);

impl Lines {
    #[track_caller]
    fn next(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while std::io::Read::read(&mut self.0, &mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

//! The main process of a container.

use std::fs::File;
use std::io::{Read, Write};

use expect_test::{Expect, expect};
use serde_json::json;
use thither_docker::container::Attached;
use thither_docker::{Attach, Container};
use thither_place::{Exit, Stream, WindowSize};

use crate::common::{Screen, handle, read_all, shared, there, told, wait};

const SIZE: WindowSize = WindowSize { cols: 81, rows: 25 };

fn piped(attach: Attach) -> Attach {
    attach.streams(Stream::Piped, Stream::Piped, Stream::Piped)
}

fn start() -> Attach {
    Attach { start: true, ..Attach::default() }
}

/// What it says until its end: both outputs, and the code.
#[track_caller]
fn said(container: &Container, attach: Attach, input: &str) -> (String, String, Exit) {
    let mut process = container.attach(&piped(attach)).unwrap();
    // It may take no input.
    if let Some(stdin) = process.stdin.take() {
        let _ = File::from(stdin).write_all(input.as_bytes());
    }
    let [out, err] = [process.stdout.take(), process.stderr.take()].map(Option::unwrap);
    let [out, err] = [out, err].map(|from| String::from_utf8(read_all(from)).unwrap());
    (out, err, wait(process).unwrap())
}

#[test]
fn a_created_one_is_started_and_an_ended_one_again() {
    let engine = shared!();
    let argv = ["sh", "-c", "echo out; echo err >&2; exit 21"];
    let container = engine.container(&argv).create();
    let there = there(engine, &container);
    for _ in 0..3 {
        let found = said(&there, start(), "");
        assert_eq!(found, ("out\n".into(), "err\n".into(), Exit::Code(21)));
    }
    assert_eq!(there.exit().unwrap(), Some(Exit::Code(21)));
}

#[test]
fn a_start_of_its_own_is_no_error() {
    let engine = shared!();
    let container = engine.container(&["sleep", "inf"]).create();
    let there = there(engine, &container);
    assert!(!there.is_running().unwrap() && !there.has_terminal().unwrap());
    there.start().unwrap();
    there.start().unwrap();
    assert!(there.is_running().unwrap());
    assert_eq!(there.exit().unwrap(), None);
    there.remove().unwrap();
    there.remove().unwrap();
    assert!(there.is_running().unwrap_err().is_not_found());
}

#[test]
fn input_goes_in_and_its_end_too() {
    let engine = shared!();
    let argv = ["sh", "-c", "cat; echo end; exit 3"];
    let container = engine.container(&argv).stdin_open().with(json!({"StdinOnce": true})).create();
    let found = said(&there(engine, &container), start(), "some\n");
    assert_eq!(found, ("some\nend\n".into(), String::new(), Exit::Code(3)));
    // The container takes none.
    let container = engine.container(&argv).create();
    let found = said(&there(engine, &container), start(), "some\n");
    assert_eq!(found, ("end\n".into(), String::new(), Exit::Code(3)));
    // Its input is left alone.
    let container =
        engine.container(&["sh", "-c", "read -r x; echo \"<$x>\""]).stdin_open().start();
    let there = there(engine, &container);
    let mut left = there.attach(&piped(Attach { no_stdin: true, ..Attach::default() })).unwrap();
    drop(left.stdin.take());
    let mut other = there.attach(&piped(Attach::default())).unwrap();
    File::from(other.stdin.take().unwrap()).write_all(b"mine\n").unwrap();
    assert_eq!(read_all(left.stdout.take().unwrap()), b"<mine>\n");
    assert_eq!(wait(left).unwrap(), Exit::Code(0));
}

#[test]
fn what_was_printed_before_is_shown_if_asked_for() {
    let engine = shared!();
    let script = "echo before; echo too >&2; read -r x; echo after";
    let check = |logs: bool, expected: (&str, &str)| {
        let container = engine.container(&["sh", "-c", script]).stdin_open().start();
        let printed = || container.logs().len() == "before\ntoo\n".len();
        testkit::wait_until(testkit::DEADLINE, "the first lines", printed);
        let attach = Attach { logs, ..Attach::default() };
        let (out, err, exit) = said(&there(engine, &container), attach, "go\n");
        assert_eq!((&*out, &*err, exit), (expected.0, expected.1, Exit::Code(0)));
    };
    check(true, ("before\nafter\n", "too\n"));
    check(false, ("after\n", ""));
}

#[test]
fn logs_that_nobody_keeps_do_no_harm() {
    let engine = shared!();
    let argv = ["sh", "-c", "echo out; exit 2"];
    let none = json!({"HostConfig": {"LogConfig": {"Type": "none"}}});
    let container = engine.container(&argv).with(none).create();
    let attach = Attach { logs: true, ..start() };
    let found = said(&there(engine, &container), attach, "");
    assert_eq!(found, ("out\n".into(), String::new(), Exit::Code(2)));
}

#[test]
fn only_the_streams_that_it_was_made_with() {
    let engine = shared!();
    let argv = ["sh", "-c", "echo out; echo err >&2; cat"];
    let made = |stdin: bool, stdout: bool, stderr: bool| {
        let streams = json!({
            "AttachStdin": stdin, "AttachStdout": stdout, "AttachStderr": stderr, "StdinOnce": true,
        });
        let container = engine.container(&argv).stdin_open().with(streams).create();
        let attach = Attach { attached: Attached::AsCreated, ..start() };
        let (out, err, _) = said(&there(engine, &container), attach, "in\n");
        (out, err)
    };
    assert_eq!(made(true, true, true), ("out\nin\n".into(), "err\n".into()));
    assert_eq!(made(true, false, true), (String::new(), "err\n".into()));
    assert_eq!(made(true, true, false), ("out\nin\n".into(), String::new()));
}

#[test]
fn a_terminal_without_one_on_this_side() {
    let engine = shared!();
    for (bytes, expected) in [
        ("\\0hello\\n", &b"\0hello\r\n"[..]),
        ("\\1\\0\\0\\0\\0\\0\\0\\5hello", &b"\x01\0\0\0\0\0\0\x05hello"[..]),
        ("\\2\\0\\0\\0\\377\\377\\377\\377", &b"\x02\0\0\0\xff\xff\xff\xff"[..]),
    ] {
        let container = engine.container(&["printf", bytes]).tty().create();
        let mut process = there(engine, &container).attach(&piped(start())).unwrap();
        assert_eq!(read_all(process.stdout.take().unwrap()), expected);
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
    }
}

#[test]
fn a_terminal_on_both_sides() {
    let engine = shared!();
    let script = "trap 'echo w' WINCH; while :; do read -r x; \
                  [ \"$x\" = size ] && stty size; [ \"$x\" = end ] && exit 12; done";
    let container = engine.container(&["sh", "-c", script]).tty().stdin_open().create();
    let there = there(engine, &container);
    assert!(there.has_terminal().unwrap());
    let mut process = there.attach(&Attach { size: Some(SIZE), ..start() }).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.send("size\r");
    screen.expect("25 81\r\n");
    there.resize(WindowSize { cols: 90, rows: 30 }).unwrap();
    screen.send("size\r");
    screen.expect("30 90\r\n");
    // Of the same size, and yet it is told to draw its screen again.
    let same = WindowSize { cols: 90, rows: 30 };
    let second = there.attach(&Attach { size: Some(same), ..Attach::default() }).unwrap();
    screen.expect("w\r\n");
    screen.send("size\r");
    screen.expect("30 90\r\n");
    screen.send("end\r");
    screen.rest();
    assert_eq!(wait(process).unwrap(), Exit::Code(12));
    assert_eq!(wait(second).unwrap(), Exit::Code(12));
}

#[test]
fn a_resize_needs_a_terminal() {
    let engine = shared!();
    let container = engine.container(&["sleep", "inf"]).start();
    let mut process = there(engine, &container).attach(&piped(Attach::default())).unwrap();
    process.resize(SIZE).unwrap_err();
    process.signal(9).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(137));
}

#[track_caller]
fn check_error(container: &Container, attach: Attach, expected: Expect) {
    let error = container.attach(&attach).expect_err("it cannot be attached to");
    expected.assert_eq(&told(&error));
}

#[test]
fn what_cannot_be_attached_to() {
    let engine = shared!();
    let missing = Container::new(handle(engine), "tests-missing");
    check_error(
        &missing,
        start(),
        expect![
            "cannot enter `docker:tests-missing`: the engine says: No such container: tests-missing; exit code 125; hint: `thither list docker:` shows which there are"
        ],
    );
    let created = engine.container(&["true"]).name("tests-attach").create();
    let created = there(engine, &created);
    check_error(
        &created,
        piped(Attach::default()),
        expect![
            "cannot enter `docker:tests-attach`: it is not running; exit code 125; hint: let it be started, too"
        ],
    );
    let paused = engine.container(&["sleep", "inf"]).name("tests-attach-paused").start();
    paused.pause();
    check_error(
        &there(engine, &paused),
        start(),
        expect![
            "cannot enter `docker:tests-attach-paused`: it is paused; exit code 125; hint: `docker unpause` it"
        ],
    );
    paused.unpause();
    let bad = engine.container(&["/no/such"]).name("tests-attach-bad").create();
    check_error(
        &there(engine, &bad),
        piped(start()),
        expect![[
            r#"cannot enter `docker:tests-attach-bad`: the engine says: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/no/such": stat /no/such: no such file or directory: unknown; exit code 125"#
        ]],
    );
}

#[test]
fn it_lives_on_without_us() {
    let engine = shared!();
    let container = engine.container(&["cat"]).stdin_open().start();
    let there = there(engine, &container);
    for _ in 0..3 {
        let mut process = there.attach(&piped(Attach::default())).unwrap();
        let mut stdin = File::from(process.stdin.take().unwrap());
        stdin.write_all(b"echo\n").unwrap();
        let mut echo = [0; 5];
        let mut stdout = File::from(process.stdout.take().unwrap());
        stdout.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"echo\n");
        process.control.detach();
        drop(process);
        drop(stdin);
        assert!(there.is_running().unwrap());
    }
}

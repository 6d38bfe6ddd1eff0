//! A command at a terminal.

use std::ffi::OsString;
use std::sync::Mutex;

use thither_place::{Command, Error, Exit, Place, Streams, Terminal, WindowSize};

use crate::common::{Screen, handle, in_threads, sh, shared, there, wait};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// What it shows at a terminal of this size, to its end.
#[track_caller]
fn shows(place: &dyn Place, command: Command, size: WindowSize) -> (String, Exit) {
    let mut process = place.spawn(&command.terminal(size)).unwrap();
    let text = Screen::of(&mut process).rest();
    (text, wait(process).unwrap())
}

/// Another size for each number.
fn size(n: usize) -> WindowSize {
    let n = u16::try_from(n).unwrap();
    WindowSize { cols: 20 + n, rows: 300 - n }
}

#[test]
fn the_size_is_right_from_the_start_two_hundred_times() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let wrong = Mutex::new(Vec::new());
    in_threads(50, 200, |n| {
        let WindowSize { cols, rows } = size(n);
        let found = shows(&place, Command::new("stty").arg("size"), size(n));
        if found != (format!("{rows} {cols}\r\n"), Exit::Code(0)) {
            wrong.lock().unwrap().push((n, found));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of 200: {wrong:?}", wrong.len());
}

#[test]
fn the_size_of_a_fresh_container_is_right_from_the_start() {
    let engine = shared!();
    let image = thither_docker::Image::new(handle(engine), "busybox", Default::default());
    let wrong = Mutex::new(Vec::new());
    in_threads(4, 20, |n| {
        let WindowSize { cols, rows } = size(n);
        let found = shows(&image, Command::new("stty").arg("size"), size(n));
        if found != (format!("{rows} {cols}\r\n"), Exit::Code(0)) {
            wrong.lock().unwrap().push((n, found));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of 20: {wrong:?}", wrong.len());
}

#[test]
fn nothing_of_ours_is_seen_and_first_keys_are_not_lost() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for _ in 0..10 {
        let mut process = place.spawn(&sh("read -r a; echo \"<$a>\"; tty").terminal(SIZE)).unwrap();
        let mut screen = Screen::of(&mut process);
        screen.send("first\r");
        assert_eq!(screen.expect("<first>\r\n"), "first\r\n");
        assert!(screen.rest().starts_with("/dev/pts/"));
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
    }
}

#[test]
fn term_is_ours_unless_it_is_set() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let terminal = Terminal { size: SIZE, term: Some(OsString::from("vt220")) };
    let with = |command: Command| {
        let streams = Streams::Terminal(terminal.clone());
        let mut process = place.spawn(&Command { streams, ..command }).unwrap();
        Screen::of(&mut process).rest()
    };
    assert_eq!(with(sh("echo $TERM")), "vt220\r\n");
    assert_eq!(with(sh("echo $TERM").env("TERM", "dumb")), "dumb\r\n");
    assert_eq!(with(sh("echo $TERM").env_clear()), "vt220\r\n");
    // Without one of ours, what the engine gives.
    let streams = Streams::Terminal(Terminal { size: SIZE, term: None });
    let mut process = place.spawn(&Command { streams, ..sh("echo $TERM") }).unwrap();
    assert_eq!(Screen::of(&mut process).rest(), "xterm\r\n");
}

#[test]
fn bytes_like_frames_are_only_bytes() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for bytes in ["\\0\\0\\0\\0\\0\\0\\0\\5hello", "\\1\\0\\0\\0\\0\\0\\0\\5hello", "\\2\\0\\0\\0"]
    {
        let script = format!("stty -opost; printf '{bytes}'");
        let (text, _) = shows(&place, sh(&script), SIZE);
        let expected: String = bytes.replace("\\0", "\0").replace("\\1", "\x01");
        let expected = expected.replace("\\2", "\x02").replace("\\5", "\x05");
        assert_eq!(text, expected);
    }
}

#[test]
fn resizes_arrive_and_the_last_one_wins() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let script = "trap : WINCH; echo ready; while :; do s=$(stty size); \
                  [ \"$s\" = '7 31' ] && break; sleep 0.01; done; exit 5";
    let mut process = there(engine, &sleeper).spawn(&sh(script).terminal(SIZE)).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("ready\r\n");
    for n in 0..500 {
        process.resize(size(n % 250)).unwrap();
        // As a loop does that has other things to do as well.
        assert_eq!(process.control.event().unwrap(), None);
    }
    process.resize(WindowSize { cols: 31, rows: 7 }).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(5));
}

#[test]
fn a_resize_by_hand_is_told_by_a_signal() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut process = there(engine, &sleeper).spawn(&sh(script).terminal(SIZE)).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("ready\r\n");
    process.resize(WindowSize { cols: 101, rows: 33 }).unwrap();
    assert_eq!(screen.rest(), "33 101\r\n");
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
}

#[test]
fn without_a_terminal_there_is_no_size() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let mut process = place.spawn(&crate::common::piped(Command::new("cat"))).unwrap();
    let error = process.resize(SIZE).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
}

#[test]
fn the_end_of_input_is_typed() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let mut process = there(engine, &sleeper).spawn(&sh("cat; exit 6").terminal(SIZE)).unwrap();
    process.end_input().unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(6));
}

#[test]
fn a_container_without_a_shell_has_terminals_too() {
    let engine = shared!();
    let empty = engine.container(&["/busybox", "sleep", "inf"]).image("empty").start();
    let place = there(engine, &empty);
    let echo = || Command::new("/busybox").args(["echo", "hello"]);
    assert_eq!(shows(&place, echo(), SIZE), ("hello\r\n".into(), Exit::Code(0)));
    // The size comes when it comes.
    let script = "until [ \"$(/busybox stty size)\" = '24 80' ]; do :; done; exit 3";
    let sized = Command::new("/busybox").args(["sh", "-c", script]);
    assert_eq!(shows(&place, sized, SIZE).1, Exit::Code(3));
    // What the engine says of one that is missing is on the terminal.
    let (text, exit) = shows(&place, Command::new("/no/such"), SIZE);
    assert!(text.contains("no such file"), "{text}");
    assert!([Exit::Code(126), Exit::Code(127)].contains(&exit), "{exit:?}");
}

#[test]
fn a_missing_program_is_not_found_at_a_terminal_either() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let found = place
        .spawn(&Command::new("no-such").terminal(SIZE))
        .map(|mut process| (Screen::of(&mut process).rest(), wait(process).unwrap()));
    let (text, exit) = found.unwrap();
    assert!(text.contains("no-such") && text.contains("not found"), "{text}");
    assert_eq!(exit, Exit::Code(127));
}

#[test]
fn a_terminal_is_written_in_full() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let script = "stty -opost; i=0; while [ $i -lt 20000 ]; do echo line$i; i=$((i+1)); done";
    let (text, exit) = shows(&there(engine, &sleeper), sh(script), SIZE);
    assert_eq!(exit, Exit::Code(0));
    assert!(text == (0..20000).map(|n| format!("line{n}\n")).collect::<String>());
}

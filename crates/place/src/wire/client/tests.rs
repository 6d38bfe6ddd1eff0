use super::*;
use std::error::Error as _;
use std::io::Write;
use std::os::unix::net::UnixStream;

use crate::{Stream, WindowSize};

const LINK: Link<'static> = Link { place: "daemon:", keep_alive: None };

fn call(program: Option<&'static str>) -> Call<'static> {
    Call { link: &LINK, program, cancel: None, limit: ANSWER }
}

#[test]
fn a_command_in_other_words() {
    let command = Command::new("a\u{fc}")
        .args(["", "-x"])
        .env("A", "1")
        .env_remove("B")
        .env_clear()
        .dir("/tmp")
        .user("me:us");
    let expected = Spawn {
        program: message::Program::Named("a\u{fc}".into()),
        args: vec![b"".into(), b"-x".into()],
        env_clear: true,
        env: vec![(b"A".into(), Some(b"1".into())), (b"B".into(), None)],
        dir: Some(b"/tmp".into()),
        user: Some(b"me:us".into()),
        streams: message::Streams::Separate([true, false, true]),
    };
    let command = command.stdout(Stream::Null);
    let joined = Moved::open(&command.streams).unwrap().wanted();
    assert_eq!(spoken(&command, joined), expected);
}

#[test]
fn a_terminal_in_other_words() {
    let size = WindowSize { cols: 132, rows: 50 };
    let terminal = crate::Terminal { size, term: Some("vt100".into()) };
    let streams = Streams::Terminal(terminal);
    let command = Command { streams, ..Command::login_shell() };
    let streams = message::Streams::Terminal { size: (132, 50), term: Some(b"vt100".into()) };
    let program = message::Program::LoginShell;
    assert_eq!(spoken(&command, [false; 3]), Spawn { program, streams, ..Spawn::default() });
    let command = Command::default_program();
    assert_eq!(spoken(&command, [true; 3]), Spawn::default());
}

/// A refusal as an error: its text, that of its source, its hint.
#[track_caller]
fn check(program: Option<&'static str>, refusal: (Reason, u32, &str, &str), expected: &str) {
    let (reason, errno, text, hint) = refusal;
    let refusal = Refusal { reason, errno, text: text.into(), hint: hint.into() };
    let error = call(program).refused(refusal);
    let source = error.source().map_or(String::new(), |source| format!(": {source}"));
    let hint = error.hint().map_or(String::new(), |hint| format!(" ({hint})"));
    assert_eq!(format!("{error}{source}{hint}"), expected);
}

#[test]
fn refusals() {
    check(
        Some("x"),
        (Reason::Spawn, 2, "x", "install it"),
        "cannot run `x` in `daemon:`: No such file or directory (os error 2) (install it)",
    );
    check(
        Some("x"),
        (Reason::Spawn, 0, "no\u{1b}[2J", ""),
        r"cannot run `x` in `daemon:`: no\u{1b}[2J",
    );
    check(
        Some("x"),
        (Reason::Failed, 13, "open\n`y`", "be root\n"),
        r"cannot open\n`y` in `daemon:`: Permission denied (os error 13) (be root\n)",
    );
    check(
        None,
        (Reason::Failed, 0, "it rains", ""),
        "cannot do what was asked in `daemon:`: it rains",
    );
    check(None, (Reason::Unsupported, 5, "serve Python", ""), "`daemon:` cannot serve Python");
    check(
        None,
        (Reason::Denied, 0, "your key\u{202e}", "pair again"),
        r"cannot enter `daemon:`: your key\u{202e} (pair again)",
    );
    check(
        None,
        (Reason::Spawn, u32::MAX, "a number that is none", ""),
        "cannot do what was asked in `daemon:`: a number that is none",
    );
}

#[test]
fn a_program_that_is_missing_is_known_by_its_code() {
    let refusal =
        |errno| Refusal { reason: Reason::Spawn, errno, text: String::new(), hint: String::new() };
    let code = |errno| call(Some("x")).refused(refusal(errno)).shell_code();
    assert_eq!((code(2), code(13), code(0)), (127, 126, 126));
}

#[test]
fn an_answer_that_does_not_come() {
    let (ours, mut server) = UnixStream::pair().unwrap();
    server.write_all(&frame::hello(Side::Server)).unwrap();
    let limit = Duration::from_millis(20);
    let error = testkit::within_deadline("an error", move || {
        Call { limit, ..call(None) }.make(&ours.into(), &Request::Python).unwrap_err()
    });
    let Error::Enter { source, .. } = error else { panic!("{error:?}") };
    let source = source.downcast::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn more_than_a_frame_holds_is_not_said() {
    let (ours, _server) = UnixStream::pair().unwrap();
    let command = Command::new("x").arg("y".repeat(LONGEST_REQUEST)).stdin(Stream::Null);
    let error = spawn(ours.into(), &LINK, &command).unwrap_err();
    let Error::Spawn { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::E2BIG));
    assert!(error.hint().is_some());
}

//! At a terminal.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use testkit::Session;

use crate::common::Test;
use crate::interpreters::{Interpreter, interpreters};

/// The interrupt is held back until a line of its own: else it may come at any.
const SCRIPT: &str = "\
import signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print([stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)])
print('hello', input('name? '))
print('re' + 'ady', flush=True)
while not signal.sigpending():
    time.sleep(0.01)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
";

/// What a user sees of a program that asks and is interrupted, and its exit code.
fn seen(mut command: Command) -> (String, i32) {
    command.env("TERM", "xterm");
    let mut session = Session::spawn(command, (80, 24));
    session.expect("name? ");
    session.line("you");
    // With its end: ^C throws away what the terminal has not passed on yet.
    session.expect("ready\r\n");
    session.send(b"\x03");
    let status = session.wait();
    let signal = || 128 + status.signal().unwrap_or_default();
    (session.transcript(), status.code().unwrap_or_else(signal))
}

#[test]
fn questions_and_interrupts() {
    let test = Test::new();
    let script = test.file("ask.py", SCRIPT);
    let script = script.to_str().expect("a plain path");
    for Interpreter { path, .. } in interpreters!() {
        let mut here = Command::new(path);
        here.arg(script).env_clear().current_dir(test.dir()).env("HOME", test.dir());
        here.env("PATH", "/usr/bin:/bin");
        let here = seen(here);
        assert!(here.0.contains("[True, True, True]"), "{}", here.0);
        let python = path.to_str().expect("a plain path");
        let there = seen(test.thither(["python", "--python", python, "local:", script]));
        assert_eq!(there, here, "{path:?}");
    }
}

#[test]
fn errors_that_go_elsewhere() {
    let test = Test::new();
    let [Interpreter { path, .. }, ..] = interpreters!() else { unreachable!("one at least") };
    let code = "import sys; sys.stderr.write('apart'); print([s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)])";
    let mut shell = Command::new("sh");
    shell.args(["-c", r#""$0" python --python "$1" local: -c "$2" 2>err"#]);
    shell.arg(env!("CARGO_BIN_EXE_thither")).arg(path).arg(code).current_dir(test.dir());
    let mut session = Session::spawn(shell, (80, 24));
    assert_eq!(session.wait().code(), Some(0));
    assert_eq!(session.transcript(), "[True, True, False]\r\n");
    assert_eq!(std::fs::read_to_string(test.dir().join("err")).unwrap(), "apart");
}

/// The prompt works, and what is typed is in no file but our own.
#[track_caller]
fn check_prompt(interpreter: &Interpreter, term: &str, code: i32) {
    let test = Test::new();
    let startup = test.file("startup.py", "started = 'star' + 'ted'\n");
    let python = interpreter.path.to_str().expect("a plain path");
    let mut command = test.thither(["python", "--python", python, "local:"]);
    let state = tempfile::tempdir().unwrap();
    command.env("TERM", term).env("PYTHONSTARTUP", startup).env("XDG_STATE_HOME", state.path());
    let mut session = Session::spawn(command, (80, 24));
    session.expect(format!("Python {}.{}.", interpreter.version.0, interpreter.version.1));
    session.expect(">>> ");
    session.line("print(sorted(n for n in globals() if n[0] != '_'), __import__('sys').argv)");
    session.expect("['started'] ['']");
    session.expect(">>> ");
    session.line("1/0");
    session.expect("ZeroDivisionError");
    session.expect(">>> ");
    session.line(&format!("exit({code})"));
    assert_eq!(session.wait().code(), Some(code), "{interpreter:?}");
    let left = std::fs::read_dir(test.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["startup.py"], "{interpreter:?}");
    let history = state.path().join("thither/python_history");
    assert!(std::fs::read_to_string(&history).unwrap().contains("\n1/0\n"));
    assert_eq!(std::fs::metadata(history).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn prompts() {
    for interpreter in interpreters!() {
        check_prompt(interpreter, "xterm", 0);
        check_prompt(interpreter, "dumb", 5);
    }
}

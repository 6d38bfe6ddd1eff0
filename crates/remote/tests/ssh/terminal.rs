//! A command at a terminal.

use std::sync::Mutex;

use thither_place::{Command, Exit, Place, WindowSize};
use thither_remote::Ssh;

use crate::common::{Screen, ends, host, in_threads, lives, sh, wait};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// What it shows at a terminal of this size, to its end.
#[track_caller]
fn shows(place: &Ssh, command: Command, size: WindowSize) -> (String, Exit) {
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
    let host = host!("bash");
    let place = host.place();
    let wrong = Mutex::new(Vec::new());
    in_threads(8, 200, |n| {
        let WindowSize { cols, rows } = size(n);
        let command = Command::new("stty").arg("size");
        let command = if n % 2 == 0 { command } else { command.env("A", "1") };
        let found = shows(&place, command, size(n));
        if found != (format!("{rows} {cols}\r\n"), Exit::Code(0)) {
            wrong.lock().unwrap().push((n, found));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of 200: {wrong:?}", wrong.len());
}

#[test]
fn it_is_resized() {
    let host = host!("bash");
    let script = "trap 'stty size' WINCH; echo go; while :; do sleep 0.05; done";
    let mut process = host.place().spawn(&sh(script).terminal(SIZE)).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("go\r\n");
    for n in [1, 50, 99] {
        process.resize(size(n)).unwrap();
        screen.expect(&format!("{} {}\r\n", 300 - n, 20 + n));
    }
    screen.send("\x03");
    screen.rest();
    assert_eq!(wait(process).unwrap(), Exit::Code(130));
}

#[test]
fn many_are_resized_at_once() {
    let host = host!("sh");
    let place = host.place();
    let mut all: Vec<_> = (0..6)
        .map(|_| {
            let script = "trap 'stty size' WINCH; echo go; while :; do sleep 0.05; done";
            let mut process = place.spawn(&sh(script).terminal(SIZE)).unwrap();
            let mut screen = Screen::of(&mut process);
            screen.expect("go\r\n");
            (process, screen)
        })
        .collect();
    for (n, (process, _)) in all.iter_mut().enumerate() {
        process.resize(size(n)).unwrap();
    }
    for (n, (_, screen)) in all.iter_mut().enumerate() {
        screen.expect(&format!("{} {}\r\n", 300 - n, 20 + n));
    }
}

#[test]
fn variables_are_not_seen_and_first_keys_are_not_lost() {
    testkit::own_ssh!();
    for_each_shell(|place| {
        for env in [&[][..], &[("A", "x\ny"), ("B", "it's \x03\r\x04\x1a\x11\\ 2")]] {
            let script = "read line; printf '<%s|%s|%s>' \"$line\" \"$A\" \"$B\"; stty -a | grep -o ' .icanon\\| .echo ' | tr -d ' \\n'";
            let command =
                env.iter().fold(sh(script), |command, (name, value)| command.env(name, value));
            let mut process = place.spawn(&command.terminal(SIZE)).unwrap();
            let mut screen = Screen::of(&mut process);
            screen.send("typed\r");
            let shown = screen.rest();
            let values: Vec<&str> =
                env.iter().map(|(_, value)| *value).chain(["", ""]).take(2).collect();
            let cooked = |text: &str| text.replace('\n', "\r\n");
            let expected = format!("<typed|{}|{}>", cooked(values[0]), cooked(values[1]));
            assert!(shown.contains(&expected), "{shown:?}");
            assert!(!shown.contains("export") && !shown.contains("thither"), "{shown:?}");
            assert_eq!(wait(process).unwrap(), Exit::Code(0));
        }
    });
}

fn for_each_shell(check: impl Fn(&Ssh)) {
    for shell in ["sh", "bash", "zsh", "fish"] {
        match crate::common::Host::new(shell, "") {
            Ok(host) => check(&host.place()),
            Err(reason) => testkit::skip!("{reason}"),
        }
    }
}

#[test]
fn long_variables_at_a_terminal() {
    let host = host!("bash");
    let value = "it's long\n".repeat(10_000);
    let command = sh("printf %s \"$A\" | cksum").env("A", &value).terminal(SIZE);
    let (shown, exit) = shows(&host.place(), command, SIZE);
    let expected = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$A\" | cksum"])
        .env("A", &value)
        .output();
    let expected = String::from_utf8(expected.unwrap().stdout).unwrap().replace('\n', "\r\n");
    assert_eq!((shown, exit), (expected, Exit::Code(0)));
}

#[test]
fn keys_make_signals() {
    let host = host!("bash");
    let place = host.place();
    for (key, code) in [("\x03", 130), ("\x1c", 131)] {
        let script = "ulimit -c 0; echo go; exec sleep 1000";
        let mut process = place.spawn(&sh(script).terminal(SIZE)).unwrap();
        let mut screen = Screen::of(&mut process);
        screen.expect("go\r\n");
        screen.send(key);
        screen.rest();
        assert_eq!(wait(process).unwrap(), Exit::Code(code));
    }
}

#[test]
fn a_job_is_stopped_and_continued() {
    let host = host!("bash");
    let mut process = host
        .place()
        .spawn(
            &Command::new("bash")
                .args(["--norc", "--noediting", "-i"])
                .env("PS1", "$ ")
                .terminal(SIZE),
        )
        .unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("$ ");
    screen.send("cat\r");
    screen.expect("cat\r\n");
    screen.send("one\r");
    screen.expect("one\r\none\r\n");
    screen.send("\x1a");
    screen.expect("Stopped");
    screen.expect("$ ");
    screen.send("fg\r");
    screen.expect("fg\r\ncat\r\n");
    screen.send("two\r");
    screen.expect("two\r\ntwo\r\n");
    screen.send("\x04");
    screen.send("exit 3\r");
    screen.rest();
    assert_eq!(wait(process).unwrap(), Exit::Code(3));
}

#[test]
fn it_is_hung_up_when_we_let_go() {
    let host = host!("bash");
    for env in [false, true] {
        let script = "echo $$; trap 'exit 0' HUP; while :; do sleep 0.05; done";
        let command = if env { sh(script).env("A", "1") } else { sh(script) };
        let mut process = host.place().spawn(&command.terminal(SIZE)).unwrap();
        let mut screen = Screen::of(&mut process);
        let pid = screen.expect("\r\n").parse().unwrap();
        assert!(lives(pid));
        drop((screen, process));
        ends(pid, "what we let go of");
    }
}

#[test]
fn signals_at_a_terminal() {
    let host = host!("bash");
    for (signal, script, code) in [
        (15, "echo go; exec sleep 1000", 143),
        (1, "echo go; exec sleep 1000", 129),
        (10, "trap 'exit 9' USR1; echo go; while :; do sleep 0.05; done", 9),
    ] {
        let mut process = host.place().spawn(&sh(script).terminal(SIZE)).unwrap();
        let mut screen = Screen::of(&mut process);
        screen.expect("go\r\n");
        process.signal(signal).unwrap();
        screen.rest();
        assert_eq!(wait(process).unwrap(), Exit::Code(code), "{signal}");
    }
}

#[test]
fn login_shells() {
    testkit::own_ssh!();
    for shell in ["sh", "bash", "zsh", "fish"] {
        let host = match crate::common::Host::new(shell, "") {
            Ok(host) => host,
            Err(reason) => testkit::skip!("{reason}"),
        };
        for command in [
            Command::login_shell(),
            Command::login_shell().dir("/proc"),
            Command::login_shell().env("A", "b c"),
        ] {
            let in_proc = command.dir.is_some();
            let with_env = !command.env.is_empty();
            let mut process = host.place().spawn(&command.terminal(SIZE)).unwrap();
            let mut screen = Screen::of(&mut process);
            // What is typed before it reads is not lost, though a shell may forget it when it takes the terminal.
            let own = if shell == "fish" { "$fish_pid" } else { "$$" };
            screen.expect(if shell == "zsh" {
                "%"
            } else if shell == "fish" {
                ">"
            } else {
                "$"
            });
            screen.send(&format!(
                "ps -o comm= -p {own} | tr a-z A-Z; pwd | tr a-z A-Z; env | grep ^A= | rev\r"
            ));
            screen.expect(&format!("{}\r\n", shell.to_uppercase()));
            screen.expect(if in_proc { "/PROC\r\n" } else { "/HOME/" });
            if with_env {
                screen.expect("c b=A");
            }
            screen.send("exit 3\r");
            screen.rest();
            assert_eq!(wait(process).unwrap(), Exit::Code(3), "{shell}");
        }
        // Without a terminal it reads what to do.
        let mut process =
            host.place().spawn(&crate::common::piped(Command::login_shell())).unwrap();
        rustix::io::write(process.stdin.as_ref().unwrap(), b"echo here; exit 4\n").unwrap();
        process.stdin = None;
        let output =
            testkit::within_deadline("a login shell", move || process.wait_with_output()).unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("here\n"), "{shell}");
        assert_eq!(output.exit, Exit::Code(4));
    }
}

#[test]
fn the_end_of_its_input_is_typed() {
    let host = host!("sh");
    let mut process = host.place().spawn(&Command::new("cat").terminal(SIZE)).unwrap();
    // The stream stays in the process, as when nobody has taken it.
    process.end_input().unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
}

#[test]
fn a_flood_is_whole_and_its_end_too() {
    let host = host!("bash");
    let (shown, exit) = shows(&host.place(), sh("seq 1 200000; exit 7"), SIZE);
    let expected: String = (1..=200_000).map(|n| format!("{n}\r\n")).collect();
    assert_eq!(exit, Exit::Code(7));
    assert!(shown == expected, "{} of {} bytes", shown.len(), expected.len());
}

#[test]
fn no_terminal_is_given() {
    let host = host!("sh", "PermitTTY no");
    let told = crate::common::told(&crate::common::error(
        &host.place(),
        &Command::new("true").terminal(SIZE),
    ));
    let address = format!("ssh:{}@thither-test", host.user);
    assert_eq!(
        told,
        format!("cannot open a terminal in `{address}`: the host gives no terminal; exit code 125")
    );
}

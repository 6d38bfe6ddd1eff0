//! `thither run` without a terminal, and signals: nothing outlives the tool, and exit codes tell what happened.

mod common;

use std::process::{Child, Command, ExitStatus, Stdio};

use common::{finish, first_byte};
use testkit::{BusyboxRoot, DEADLINE, Marker, PublicCopy, Session, as_user, skip, wait_until};

const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// A place to run in, as whoever runs the tests or as an ordinary user.
struct There {
    place: String,
    program: String,
    ordinary: bool,
    _root: Option<BusyboxRoot>,
    _copy: Option<PublicCopy>,
}

fn everywhere() -> Result<[There; 3], String> {
    let root = |ordinary| {
        let root = BusyboxRoot::new()?;
        let copy = PublicCopy::of(THITHER).map_err(|error| error.to_string())?;
        Ok::<There, String>(There {
            place: format!("chroot:{}", root.path().display()),
            program: copy.path().to_str().ok_or("a folder that is not UTF-8")?.to_owned(),
            ordinary,
            _root: Some(root),
            _copy: Some(copy),
        })
    };
    let local = There {
        place: "local:".into(),
        program: THITHER.into(),
        ordinary: false,
        _root: None,
        _copy: None,
    };
    Ok([local, root(false)?, root(true)?])
}

impl There {
    /// A shell script there that says `x` once it is ready.
    #[track_caller]
    fn start(&self, script: &str, marker: &Marker) -> Child {
        let mut command = Command::new(&self.program);
        command.args(["run", &self.place, "sh", "-c", script]).env("PATH", "/usr/bin:/bin");
        command.env_remove("XDG_RUNTIME_DIR").current_dir("/");
        marker.mark(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        if self.ordinary {
            as_user(&mut command);
        }
        let mut child = command.spawn().expect("the binary runs");
        assert_eq!(first_byte(child.stdout.as_mut().expect("a pipe")), b'x');
        child
    }
}

fn kill(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill(1)").success());
}

#[track_caller]
fn end(child: Child) -> ExitStatus {
    finish(child, |mut child| child.wait())
}

/// Sends a signal to the tool while a script runs, and compares the code.
#[track_caller]
fn check(signal: &str, script: &str, code: i32) {
    let places = match everywhere() {
        Ok(places) => places,
        Err(reason) => skip!("{reason}"),
    };
    for there in places {
        let marker = Marker::new();
        let child = there.start(script, &marker);
        kill(&child, signal);
        assert_eq!(end(child).code(), Some(code), "{}, ordinary: {}", there.place, there.ordinary);
        marker.assert_gone();
    }
}

#[test]
fn a_signal_is_passed_on() {
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)] {
        check(signal, "echo x; exec sleep 1000", 128 + number);
        check(
            signal,
            &format!("trap 'exit {}' {signal}; echo x; while :; do sleep 0.1; done", 50 + number),
            50 + number,
        );
    }
}

#[test]
fn a_command_that_ignores_it_is_killed_and_the_code_is_of_the_signal_that_we_got() {
    check("TERM", "trap '' TERM; echo x; while :; do sleep 0.1; done", 143);
}

#[test]
fn a_kill_of_the_tool_ends_a_root_and_all_in_it() {
    let places = match everywhere() {
        Ok([_, root, ordinary]) => [root, ordinary],
        Err(reason) => skip!("{reason}"),
    };
    for there in places {
        let marker = Marker::new();
        let script = "sleep 1000 & (setsid sleep 1000 &); trap '' TERM HUP INT; echo x; while :; do sleep 0.1; done";
        let child = there.start(script, &marker);
        kill(&child, "KILL");
        assert_eq!(end(child).code(), None);
        marker.assert_gone();
    }
}

#[test]
fn a_signal_that_was_ignored_for_us_stays_ignored() {
    let places = match everywhere() {
        Ok(places) => places,
        Err(reason) => skip!("{reason}"),
    };
    for there in places {
        let marker = Marker::new();
        let mut command = Command::new("nohup");
        command.args([&there.program, "run", &there.place, "sh", "-c"]);
        command.arg("echo x; read line; echo y");
        command.env("PATH", "/usr/bin:/bin").env_remove("XDG_RUNTIME_DIR").current_dir("/");
        marker
            .mark(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if there.ordinary {
            as_user(&mut command);
        }
        let mut child = command.spawn().expect("nohup(1)");
        let mut stdout = child.stdout.take().expect("a pipe");
        assert_eq!(first_byte(&mut stdout), b'x');
        kill(&child, "HUP");
        drop(child.stdin.take());
        assert_eq!((first_byte(&mut stdout), first_byte(&mut stdout)), (b'\n', b'y'));
        assert!(end(child).success());
    }
}

#[test]
fn keys_at_the_users_terminal_reach_the_command_once() {
    let places = match everywhere() {
        Ok(places) => places,
        Err(reason) => skip!("{reason}"),
    };
    for there in places {
        let marker = Marker::new();
        let mut shell = Session::shell((80, 24), |command| {
            marker.mark(command).env("T", &there.program).env("P", &there.place).current_dir("/");
            command.env_remove("XDG_RUNTIME_DIR");
            if there.ordinary {
                as_user(command);
            }
        });
        shell.line("$T run $P sh -c 'trap \"echo caught\" INT; echo re\"\"ady; until read line && [ -n \"$line\" ]; do :; done; echo got $line'; echo code $?");
        shell.expect("ready\r\n");
        shell.send(b"\x03");
        shell.expect("caught\r\n");
        shell.send(b"\x1a");
        shell.expect("Stopped");
        shell.expect_prompt();
        // Until the command itself has stopped it may still take a line, as below any program that waits for
        // another. The shell that reads the keys is not in the job.
        let stopped = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        wait_until(DEADLINE, "the command is stopped", || {
            marker.processes().iter().filter(|pid| stopped(pid)).count() >= 2
        });
        shell.line("fg; echo code $?");
        shell.line("one");
        shell.expect("\r\ngot one");
        shell.expect("code 0");
        shell.expect_prompt();
        let seen = shell.transcript().matches("caught\r\n").count();
        assert_eq!(seen, 1, "{}", shell.transcript());
        shell.line("$T run $P sleep 1000; echo went on");
        let sleeps = |pid: &u32| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.starts_with("sleep"))
        };
        wait_until(DEADLINE, "sleep runs", || marker.processes().iter().any(sleeps));
        // The shell gives up the rest of the line, as it does for a command of its own.
        shell.send(b"\x03");
        shell.expect_prompt();
        shell.line("echo \"code<$?\"");
        shell.expect("code<130");
        shell.expect_prompt();
        assert!(!shell.transcript().contains("\nwent on"), "{}", shell.transcript());
    }
}

#[test]
fn an_exit_code_is_ours_where_the_end_of_children_is_ignored() {
    let places = match everywhere() {
        Ok(places) => places,
        Err(reason) => skip!("{reason}"),
    };
    for there in places {
        let mut command = Command::new("env");
        command.args(["--ignore-signal=CHLD", &there.program, "run", &there.place]);
        command.args(["sh", "-c", "exit 7"]).env("PATH", "/usr/bin:/bin").current_dir("/");
        command.env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
        if there.ordinary {
            as_user(&mut command);
        }
        assert_eq!(end(command.spawn().expect("sh")).code(), Some(7), "{}", there.place);
    }
}

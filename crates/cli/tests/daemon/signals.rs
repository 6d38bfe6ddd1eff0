//! Signals to the client, and the ends of one side as the other one sees them.

use std::process::{Command, Stdio};

use testkit::Marker;

use crate::harness::{Daemon, Folders, THITHER, User, code, ends, failure, kill, rest, says};

const SLEEP: &str = "ulimit -c 0; echo $$; exec sleep 1000";

#[test]
fn a_command_gets_them() {
    let daemon = Daemon::unix(&[]);
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)] {
        let (child, pid) = daemon.running(&["sh", "-c", SLEEP]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(128 + number), "{signal}");
        ends(pid.parse().unwrap(), signal);
        let trap = format!("trap 'exit 9' {signal}; echo $$; while :; do sleep 0.05; done");
        let (child, _) = daemon.running(&["sh", "-c", &trap]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(9), "{signal}");
    }
}

/// Signals that a script's `&` or nohup(1) ignores, and its own limit, are none of what runs here.
#[test]
fn what_the_daemon_was_started_with() {
    let folders = Folders::new();
    let mut command = Command::new("sh");
    folders.at("there", command.env_clear());
    let script = "trap '' HUP INT QUIT TERM CHLD; ulimit -Sn 200; exec \"$@\"";
    command.args(["-c", script, "sh", THITHER, "serve", "--allow-root", "--log", "json"]);
    command.arg("--socket").arg(folders.socket()).stdin(Stdio::null());
    let daemon = Daemon::of(folders, command);
    for (signal, number) in [("HUP", 1), ("INT", 2), ("TERM", 15)] {
        let script = format!("ulimit -Sn; kill -{signal} $$; echo alive");
        let (said, _, code) = says(&mut daemon.run(&["sh", "-c", &script]));
        assert_eq!((&*said, code), ("200\n", 128 + number), "{signal}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid)).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "it has raised its own");
}

#[test]
fn a_client_that_is_killed() {
    let mut daemon = Daemon::unix(&[]);
    let before = daemon.size();
    let stubborn = "trap '' HUP TERM INT; echo $$; while :; do sleep 0.05; done";
    let stopped = "echo $$; kill -STOP $$";
    for script in [SLEEP, stubborn, stopped, "sleep 1000 & echo $!; wait", "yes & echo $!; wait"] {
        let marker = Marker::new();
        let (name, value) = marker.variable();
        let script =
            format!("export {name}={value}; exec sh -c '{}'", script.replace('\'', "'\\''"));
        let (child, pid) = daemon.running(&["sh", "-c", &script]);
        kill(child.id(), "KILL");
        assert_eq!(code(child), None);
        ends(pid.parse().unwrap(), &script);
        marker.assert_gone();
        assert_eq!(daemon.event("end")["why"], "the client is gone");
    }
    daemon.shrinks_to(before);
}

#[test]
fn a_daemon_that_is_killed() {
    for tcp in [false, true] {
        let mut daemon = if tcp { Daemon::tcp(&[]) } else { Daemon::unix(&[]) };
        let (child, pid) = daemon.running(&["sh", "-c", SLEEP]);
        let mut user = User::of(&daemon);
        user.shell.line("$T run -t $P sh -c 'echo pid=$$.; exec sleep 1000'");
        let other = user.pid();
        daemon.signal("KILL");
        assert_eq!(daemon.ends(), None);
        let expected = format!("error: connection to `{}` lost\n", daemon.place);
        assert_eq!(failure(rest(child)), expected);
        user.shell.expect("connection to");
        user.shell.expect("lost");
        user.shell.expect_prompt();
        user.back_with(125);
        ends(pid.parse().unwrap(), "a command of a daemon that was killed");
        ends(other, "one at a terminal");
    }
}

#[test]
fn a_command_of_another_user() {
    if !testkit::is_root() {
        testkit::skip!("only root can become another user");
    }
    let mut daemon = Daemon::unix(&[]);
    let place = daemon.place.clone();
    let start = || {
        let mut command = daemon.here(["run", "--user", "daemon", &place, "sh", "-c", SLEEP]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pid: u32 = crate::harness::line(&mut child).parse().unwrap();
        (child, pid)
    };
    for signal in ["TERM", "KILL"] {
        let (child, pid) = start();
        kill(child.id(), signal);
        let _ = code(child);
        ends(pid, signal);
    }
    let (child, pid) = start();
    daemon.signal("KILL");
    let _ = (daemon.ends(), code(child));
    ends(pid, "another user's command of a daemon that was killed");
}

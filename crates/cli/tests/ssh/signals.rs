//! Signals to the tool.

use std::process::{Child, Stdio};

use testkit::SudoRule;

use crate::tool::{Host, User, code, ends, host, kill, line};

const SIGNALS: [(&str, i32); 4] = [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)];

/// Starts a script that prints its process id first.
#[track_caller]
fn start(host: &Host, options: &[&str], script: &str) -> (Child, u32) {
    let place = host.place();
    let words = [&["run"], options, &[&place, "sh", "-c", script]].concat();
    let mut child =
        host.thither(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pid = line(&mut child).parse().unwrap();
    (child, pid)
}

const SLEEP: &str = "ulimit -c 0; echo $$; exec sleep 1000";

#[test]
fn a_command_gets_them() {
    let host = host!("bash");
    for (signal, number) in SIGNALS {
        let (child, pid) = start(&host, &[], SLEEP);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(128 + number), "{signal}");
        ends(pid, signal);
        let trap = format!("trap 'exit 9' {signal}; echo $$; while :; do sleep 0.05; done");
        let (child, _) = start(&host, &[], &trap);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(9), "{signal}");
    }
}

#[test]
fn another_users_command_gets_them() {
    let host = host!("bash");
    let _rule = match SudoRule::new(&host.user) {
        Ok(rule) => rule,
        Err(reason) => testkit::skip!("{reason}"),
    };
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let (child, pid) = start(&host, &["--user", "daemon"], SLEEP);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(128 + number), "{signal}");
        ends(pid, signal);
    }
    testkit::wait_until(testkit::DEADLINE, "the end of the guards", || guards(&host) == 0);
    let (child, pid) = start(&host, &["--user", "daemon"], SLEEP);
    guarded(&host);
    kill(child.id(), "KILL");
    assert_eq!(code(child), None);
    ends(pid, "another user's after a KILL");
}

#[test]
fn it_ends_when_we_are_killed() {
    let host = host!("sh");
    let stubborn = "trap '' HUP TERM INT; echo $$; while :; do sleep 0.05; done";
    for script in [SLEEP, stubborn, "sleep 1000 & echo $!; wait"] {
        let (child, pid) = start(&host, &[], script);
        guarded(&host);
        kill(child.id(), "KILL");
        assert_eq!(code(child), None);
        ends(pid, script);
        testkit::wait_until(testkit::DEADLINE, "the end of the guard", || guards(&host) == 0);
    }
}

/// Waits for the guard, which comes when a command lasts for 20 ms: one that is killed before is not ended.
#[track_caller]
fn guarded(host: &Host) {
    testkit::wait_until(testkit::DEADLINE, "a guard", || guards(host) > 0);
}

/// How many guards this host runs: their script is in their command lines.
fn guards(host: &Host) -> usize {
    let is_guard = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(9).any(|window| window == b"t=thither")
    };
    host.sshd.sessions().iter().filter(|pid| is_guard(pid)).count()
}

#[test]
fn one_that_ignores_them_is_killed() {
    let host = host!("bash");
    let (child, pid) = start(&host, &[], "trap '' TERM; echo $$; while :; do sleep 0.05; done");
    kill(child.id(), "TERM");
    assert_eq!(code(child), Some(143));
    ends(pid, "one that ignores a TERM");
}

#[test]
fn a_stopped_one() {
    let host = host!("bash");
    let (child, pid) = start(&host, &[], SLEEP);
    guarded(&host);
    kill(pid, "STOP");
    kill(child.id(), "KILL");
    ends(pid, "a stopped one");
    let _ = code(child);
}

#[test]
fn interrupted_at_the_terminal() {
    let host = host!("bash");
    let mut user = User::of(&host);
    // No terminal over there: ^C here goes there as a signal, and a loop of the shell stops.
    user.shell.line("for i in 1 2; do $T run $P sh -c 'echo g\"\"o; exec sleep 1000'; done");
    user.shell.expect("go");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(130);
    user.shell
        .line("$T run $P sh -c 'trap \"exit 9\" INT; echo g\"\"o; while :; do sleep 0.05; done'");
    user.shell.expect("go");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(9);
}

#[test]
fn interrupted_while_it_connects() {
    let host = host!("bash");
    let mut user = User::of(&host);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for flag in ["", "-t"] {
        user.shell.line(&format!("$T run {flag} $P:{port} true"));
        let _connection = listener.accept().unwrap();
        user.shell.send("\x03");
        user.shell.expect_prompt();
        user.back_with(130);
    }
    user.shell.line(&format!("$T run $P:{port} true"));
    let _connection = listener.accept().unwrap();
    let pid = user.tool();
    kill(pid, "TERM");
    user.shell.expect_prompt();
    user.back_with(143);
}

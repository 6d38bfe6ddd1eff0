//! A connection that is lost in the middle of something.

use std::process::Command as StdCommand;
use std::time::Duration;

use testkit::{Proxy, SshHome, within_deadline};
use thither_place::{Command, Error, Place, Process, WindowSize};
use thither_remote::Ssh;

use crate::common::{Host, Screen, host, line, piped, sh, told, wait};

#[track_caller]
fn is_lost(ended: Result<thither_place::Exit, Error>, place: &Ssh) {
    let expected = format!("connection to `{}` lost; exit code 125", place.address());
    match ended {
        Err(error) => assert_eq!(told(&error), expected),
        Ok(exit) => panic!("{exit:?} instead of {expected}"),
    }
}

/// A command in the middle of its output.
#[track_caller]
fn talking(place: &Ssh) -> Process {
    let command = piped(sh("echo go; exec cat /dev/zero"));
    let process = place.spawn(&command).unwrap();
    assert_eq!(line(process.stdout.as_ref().unwrap()), "go");
    process
}

/// One that is silent, with and without a terminal.
#[track_caller]
fn silent(place: &Ssh, terminal: bool) -> Process {
    let command = sh("echo go; exec sleep 1000");
    if terminal {
        let command = command.terminal(WindowSize { cols: 80, rows: 24 });
        let mut process = place.spawn(&command).unwrap();
        let mut screen = Screen::of(&mut process);
        screen.expect("go\r\n");
        process.terminal = Some(screen.terminal);
        return process;
    }
    let process = place.spawn(&piped(command)).unwrap();
    assert_eq!(line(process.stdout.as_ref().unwrap()), "go");
    process
}

fn all(place: &Ssh) -> Vec<Process> {
    vec![talking(place), silent(place, false), silent(place, true)]
}

#[track_caller]
fn are_lost(processes: Vec<Process>, place: &Ssh) {
    for mut process in processes {
        // Who reads sees the end as well.
        if let Some(stdout) = process.stdout.take() {
            let mut stdout = std::fs::File::from(stdout);
            within_deadline("the end of its output", move || {
                std::io::copy(&mut stdout, &mut std::io::sink())
            })
            .unwrap();
        }
        is_lost(wait(process), place);
    }
}

#[test]
fn the_master_is_killed() {
    let host = host!("bash");
    let place = host.place();
    let processes = all(&place);
    kill(SshHome::masters()[0]);
    are_lost(processes, &place);
}

fn kill(pid: u32) {
    assert!(StdCommand::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn the_server_is_killed() {
    let host = host!("bash");
    let place = host.place();
    let processes = all(&place);
    host.sshd.kill_sessions();
    are_lost(processes, &place);
    // And it can be reached again.
    assert_eq!(crate::common::says(&place, &Command::new("echo").arg("again")), "again\n");
}

/// A host behind a proxy.
fn behind(host: &Host) -> (Proxy, Ssh) {
    let proxy = Proxy::tcp_to_tcp(host.sshd.address());
    host.configure(&format!(
        "HostKeyAlias [127.0.0.1]:{}\nServerAliveInterval 1",
        host.sshd.port()
    ));
    let place = host.place().port(proxy.address().port());
    (proxy, place)
}

#[test]
fn the_connection_is_cut() {
    let host = host!("bash");
    let (proxy, place) = behind(&host);
    let processes = all(&place);
    proxy.cut();
    are_lost(processes, &place);
}

#[test]
fn a_black_hole_is_found() {
    let host = host!("bash");
    let (proxy, place) = behind(&host);
    let place = place.keep_alive(Duration::from_secs(1));
    let processes = all(&place);
    proxy.stall();
    // The deadline is the time limit: three unanswered questions, a second apart.
    are_lost(processes, &place);
    proxy.resume();
    assert_eq!(crate::common::says(&place, &Command::new("echo").arg("again")), "again\n");
}

#[test]
fn what_runs_over_there_ends_when_the_connection_is_lost() {
    let host = host!("bash");
    let (proxy, place) = behind(&host);
    let first = crate::common::started(&place, sh("echo $$; exec sleep 1000"));
    // Its guard, whose script is in its command line, has to be there.
    let is_guard = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(9).any(|window| window == b"t=thither")
    };
    let guarded = || host.sshd.sessions().into_iter().any(is_guard);
    testkit::wait_until(testkit::DEADLINE, "a guard", guarded);
    proxy.cut();
    crate::common::ends(first.pid, "what is cut off");
    is_lost(wait(first.process), &place);
}

#[test]
fn signals_and_sizes_after_the_loss() {
    let host = host!("sh");
    let place = host.place();
    let (mut one, mut two) = (silent(&place, false), silent(&place, true));
    kill(SshHome::masters()[0]);
    testkit::wait_until(testkit::DEADLINE, "the master's end", || SshHome::masters().is_empty());
    // Neither panics nor waits; the end says what happened.
    let (one, two) = within_deadline("signals to nobody", move || {
        let _ = one.signal(15);
        let _ = two.resize(WindowSize { cols: 1, rows: 1 });
        let _ = two.signal(15);
        (one, two)
    });
    is_lost(wait(one), &place);
    is_lost(wait(two), &place);
}

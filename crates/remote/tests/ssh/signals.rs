//! Signals to a command without a terminal, and its end with us.

use thither_place::{Command, Error, Exit, Place, Stream};
use thither_remote::Ssh;

use crate::common::{ends, host, lives, null, sh, started, wait};

fn signals(place: &Ssh) {
    for signal in [1, 2, 3, 9, 10, 12, 14, 15] {
        let mut started = started(place, sh("ulimit -c 0; echo $$; exec sleep 1000"));
        started.process.signal(signal).unwrap();
        assert_eq!(wait(started.process).unwrap(), Exit::Code(128 + signal));
        ends(started.pid, "what got a signal");
    }
}

macro_rules! shells {
    ($check:ident: $($test:ident $shell:literal)*) => {
        $(#[test]
        fn $test() {
            let host = host!($shell);
            $check(&host.place());
        })*
    };
}

shells!(signals: signals_by_sh "sh" signals_by_bash "bash" signals_by_zsh "zsh" signals_by_fish "fish");

#[test]
fn a_trap_decides() {
    let host = host!("bash");
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1"] {
        let script = format!("trap 'exit 9' {signal}; echo $$; while :; do sleep 0.05; done");
        let mut started = started(&host.place(), sh(&script).env("A", "1"));
        let number = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("TERM", 15)];
        let number = number.iter().find(|(name, _)| *name == signal).unwrap().1;
        started.process.signal(number).unwrap();
        assert_eq!(wait(started.process).unwrap(), Exit::Code(9), "{signal}");
    }
}

#[test]
fn one_that_is_ignored_does_nothing() {
    let host = host!("sh");
    let script = "trap '' TERM; echo $$; while :; do sleep 0.05; done";
    let mut started = started(&host.place(), sh(script));
    started.process.signal(15).unwrap();
    started.process.signal(2).unwrap();
    // dash has no trap for it, and its child ends of it as well.
    assert_eq!(wait(started.process).unwrap(), Exit::Code(130));
}

#[test]
fn the_whole_group_gets_them() {
    let host = host!("bash");
    let script = "sh -c 'echo $$; exec sleep 1000' | { read p; echo $p; cat; }; echo never";
    let mut started = started(&host.place(), sh(script));
    started.process.signal(15).unwrap();
    assert_eq!(wait(started.process).unwrap(), Exit::Code(143));
    ends(started.pid, "the other one of the group");
}

#[test]
fn a_stopped_one_is_continued_and_ended() {
    let host = host!("sh");
    let mut first = started(&host.place(), sh("echo $$; exec sleep 1000"));
    first.process.signal(19).unwrap();
    stops(first.pid);
    first.process.signal(18).unwrap();
    first.process.signal(15).unwrap();
    assert_eq!(wait(first.process).unwrap(), Exit::Code(143));
    let mut second = started(&host.place(), sh("echo $$; exec sleep 1000"));
    second.process.signal(19).unwrap();
    stops(second.pid);
    drop(second.process);
    ends(second.pid, "a stopped one that we let go of");
}

fn stops(pid: u32) {
    testkit::wait_until(testkit::DEADLINE, "it stops", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(") T ")
    });
}

#[test]
fn dropping_ends_it() {
    let host = host!("bash");
    let stubborn = "trap '' HUP TERM INT; echo $$; while :; do sleep 0.05; done";
    for script in ["echo $$; exec sleep 1000", stubborn, "sleep 1000 & echo $!; wait"] {
        let started = started(&host.place(), sh(script));
        assert!(lives(started.pid));
        drop(started.process);
        ends(started.pid, script);
    }
}

#[test]
fn dropping_at_once_ends_it() {
    let host = host!("bash");
    let marker = testkit::Marker::new();
    let (name, value) = marker.variable();
    let place = host.place();
    for command in [
        null(Command::new("sleep").arg("1000")),
        Command::new("sleep").arg("1000").stdin(Stream::Piped),
    ] {
        // Once with a master that runs.
        for _ in 0..2 {
            // In its environment and not by us, so that it is seen from the first moment on.
            drop(place.spawn(&command.clone().env(name, value)).unwrap());
        }
    }
    marker.assert_gone();
}

#[test]
fn what_has_ended_gets_nothing() {
    let host = host!("sh");
    let mut process = host.place().spawn(&null(Command::new("true"))).unwrap();
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
    process.signal(15).unwrap();
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
}

#[test]
fn signals_that_nobody_knows() {
    let host = host!("sh");
    let mut started = started(&host.place(), sh("echo $$; exec sleep 1000"));
    for signal in [0, -1, 32, 64, 1000] {
        let error = started.process.signal(signal).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
}

/// A host that allows one session at a time has room for no guard: it needs a connection of its own.
#[test]
fn signals_where_sessions_are_few() {
    let host = host!("bash", "MaxSessions 1");
    for signal in [15, 2] {
        let mut started = started(&host.place(), sh("echo $$; exec sleep 1000"));
        started.process.signal(signal).unwrap();
        assert_eq!(wait(started.process).unwrap(), Exit::Code(128 + signal));
    }
    let started = started(&host.place(), sh("echo $$; exec sleep 1000"));
    drop(started.process);
    ends(started.pid, "what we let go of");
}

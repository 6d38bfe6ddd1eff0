//! Whatever happens, every process inside ends, and how the command ended is told.

use rustix::process::{Pid, Signal, kill_process};
use testkit::{BusyboxRoot, DEADLINE, Marker, wait_until, within_deadline};
use thither_chroot::Chroot;
use thither_place::{Command, Event, Exit, Place, Process, Stream, WindowSize};

use crate::{as_ordinary_user, busybox_root, line, output, printed, sh, spawn, wait};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// Three processes that ignore what can be ignored: the command, one in the background and one in a session of its
/// own. The command goes on once its input ends, with `last`.
const FAMILY: &str = "trap '' HUP INT TERM
    sleep 1000 & setsid sh -c 'sleep 1000' & echo ready; read line;";

#[track_caller]
fn family(root: &BusyboxRoot, marker: &Marker, last: &str) -> Process {
    let (name, value) = marker.variable();
    let command = sh(&format!("{FAMILY} {last}")).env(name, value);
    let process = spawn(root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&process), "ready");
    wait_until(DEADLINE, "three processes", || marker.processes().len() >= 3);
    process
}

/// Nobody is left, now: what has ended inside was waited for.
#[track_caller]
fn assert_gone_already(marker: &Marker) {
    assert_eq!(marker.processes(), [0u32; 0]);
}

/// The pid, as seen from here, of a process's pid 1.
fn pid_1(process: u32) -> u32 {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = |pid: u32| -> u32 {
        stat(pid).rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let mut at = process;
    while parent(at) != std::process::id() {
        at = parent(at);
    }
    at
}

#[test]
fn the_process_is_dropped() {
    let root = busybox_root!();
    let marker = Marker::new();
    drop(family(&root, &marker, ""));
    assert_gone_already(&marker);
}

#[test]
fn the_command_ends_and_daemons_remain() {
    let root = busybox_root!();
    let marker = Marker::new();
    assert_eq!(wait(family(&root, &marker, "exit 9")), Exit::Code(9));
    assert_gone_already(&marker);
}

#[test]
fn the_command_ends_and_a_stopped_job_remains() {
    let root = busybox_root!();
    let marker = Marker::new();
    let process = family(&root, &marker, "kill -STOP $!; exit 8");
    assert_eq!(wait(process), Exit::Code(8));
    assert_gone_already(&marker);
}

#[test]
fn the_command_stops_and_the_process_is_dropped() {
    let root = busybox_root!();
    let marker = Marker::new();
    let (name, value) = marker.variable();
    let command = sh("echo ready; kill -STOP $$").env(name, value);
    let mut process = spawn(&root, command.terminal(SIZE));
    wait_until(DEADLINE, "a stop", || process.control.event().unwrap() == Some(Event::Stopped(19)));
    drop(process);
    assert_gone_already(&marker);
}

#[test]
fn pid_1_is_killed_from_outside() {
    let root = busybox_root!();
    let marker = Marker::new();
    let process = family(&root, &marker, "");
    let pid = pid_1(marker.processes()[0]);
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(wait(process), Exit::Signal(9));
    assert_gone_already(&marker);
}

#[test]
fn pid_1_is_stopped_from_outside_and_the_process_is_dropped() {
    let root = busybox_root!();
    let marker = Marker::new();
    let process = family(&root, &marker, "");
    let pid = pid_1(marker.processes()[0]);
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
    testkit::within_deadline("the drop", move || drop(process));
    assert_gone_already(&marker);
}

#[test]
fn everything_is_killed_from_inside() {
    let root = busybox_root!();
    let marker = Marker::new();
    // kill(2) with -1 leaves out pid 1 and the caller.
    assert_eq!(wait(family(&root, &marker, "kill -9 -1; exit 7")), Exit::Code(7));
    assert_gone_already(&marker);
    assert_eq!(wait(family(&root, &marker, "kill -9 $$")), Exit::Signal(9));
    assert_gone_already(&marker);
    assert_eq!(wait(family(&root, &marker, "kill -9 1; exit 6")), Exit::Code(6));
    assert_gone_already(&marker);
}

/// Runs in a process of its own for the test below, until it is killed.
#[test]
fn helper_that_is_killed() {
    let Some(root) = std::env::var_os("THITHER_FAULT_ROOT") else { return };
    let command = sh(&format!("{FAMILY} sleep 1000"));
    Chroot::new(root).spawn(&command).unwrap().wait().unwrap();
}

#[test]
fn this_program_is_killed() {
    use std::io::{BufRead, BufReader};
    testkit::own_records!(testkit::Who::Same);
    let root = busybox_root!();
    for signal in [Signal::KILL, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let marker = Marker::new();
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["--exact", "faults::helper_that_is_killed", "--nocapture"]);
        command.env("THITHER_FAULT_ROOT", root.path());
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = marker.mark(&mut command).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        within_deadline("the helper's command", move || {
            assert!(BufReader::new(stdout).lines().any(|line| line.unwrap() == "ready"));
        });
        // This program, the command and its two children.
        wait_until(DEADLINE, "the family", || marker.processes().len() >= 4);
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        marker.assert_gone();
        assert!(crate::record(root.path()).exists(), "nobody was left to remove it");
    }
    let before = crate::listing(root.path());
    assert_eq!(printed(&root, "echo $$"), "2\n");
    crate::assert_clean(root.path(), &before);
}

#[track_caller]
fn check_exits(root: &BusyboxRoot) {
    let exit = |script: &str| output(root, sh(script)).exit;
    assert_eq!(exit("exit 0"), Exit::Code(0));
    assert_eq!(exit("exit 200"), Exit::Code(200));
    assert_eq!(exit("kill -TERM $$"), Exit::Signal(15));
    assert_eq!(exit("kill -SEGV $$"), Exit::Signal(11));
    assert_eq!(wait(spawn(root, sh("exit 3").terminal(SIZE))), Exit::Code(3));
    assert_eq!(wait(spawn(root, sh("kill -KILL $$").terminal(SIZE))), Exit::Signal(9));
}

#[test]
fn exits() {
    let root = busybox_root!();
    check_exits(&root);
}

#[test]
fn exits_for_a_user() {
    as_ordinary_user!();
    let root = busybox_root!();
    check_exits(&root);
    let marker = Marker::new();
    drop(family(&root, &marker, ""));
    assert_gone_already(&marker);
}

#[test]
fn signals_reach_the_command() {
    let root = busybox_root!();
    let command = sh("trap 'exit 5' TERM; echo ready; while :; do read line; done");
    let mut process = spawn(&root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&process), "ready");
    process.signal(15).unwrap();
    let _open = process.stdin.take();
    assert_eq!(wait(process), Exit::Code(5));
}

#[test]
fn orphans_are_reaped() {
    let root = busybox_root!();
    // A zombie has its folder in /proc too. Left are pid 1 and the shell, which starts nothing to find that out.
    let script = "i=0; while [ $i -lt 200 ]; do (true &) ; i=$((i+1)); done
        until set -- /proc/[0-9]* && [ $# -eq 2 ]; do :; done; echo $i";
    assert_eq!(printed(&root, script), "200\n");
}

#[test]
fn an_orphan_does_not_end_the_command() {
    let root = busybox_root!();
    let script = "(sh -c 'exit 3' &); (sh -c 'kill -9 $$' &)
        until set -- /proc/[0-9]* && [ $# -eq 2 ]; do :; done; echo still here; exit 4";
    let output = output(&root, sh(script));
    assert_eq!((output.exit, &*output.stdout), (Exit::Code(4), &b"still here\n"[..]));
}

#[test]
fn a_command_that_replaces_itself() {
    let root = busybox_root!();
    assert_eq!(
        output(&root, Command::new("/bin/sh").args(["-c", "exec sh -c 'exit 2'"])).exit,
        Exit::Code(2)
    );
}

//! Outputs that nobody reads.

use super::*;
use std::fs::File;
use std::io::{Read, Write};
use testkit::within_deadline;
use thither_place::WindowSize;

/// More than all buffers on the way hold.
const FLOOD: &str = "head -c 50000000 /dev/zero";

#[test]
fn they_hold_up_no_other_process() {
    let world = world!();
    let place = world.place();
    within_deadline("the other process", move || {
        let mut stuck = place.spawn(line(FLOOD), None, &piped()).unwrap();
        for _ in 0..3 {
            assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        }
        assert_eq!(place.pool.len(), 2);
        let mut all = Vec::new();
        File::from(stuck.stdout.take().unwrap()).read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), stuck.wait().unwrap()), (50_000_000, Exit::Code(0)));
        drop(stuck);
        // One idle connection is enough.
        assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        assert_eq!(place.pool.len(), 1);
    });
}

/// How much memory this process has, in bytes: the second field of statm, proc_pid_statm(5).
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// How much the sessions have written so far, in bytes: proc_pid_io(5).
fn sent_by(world: &World) -> u64 {
    let written = |pid: u32| {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse::<u64>().ok()
    };
    world.sshd.sessions().into_iter().filter_map(written).sum()
}

/// How often what is sent must be found to be the same.
const STILL: usize = 50;

/// Waits until nothing more is sent: nothing else says that an output is stuck.
fn wait_until_stuck(world: &World) {
    let (mut last, mut still) = (0, 0);
    testkit::wait_until(testkit::DEADLINE, "it is stuck", || {
        let now = sent_by(world);
        assert!(now < 400_000_000, "no end of what is held");
        still = if now == last { still + 1 } else { 0 };
        last = now;
        now > 1_000_000 && still > STILL
    });
}

/// Waits until no process of this name is left of the sessions, while nobody reads what it has printed.
fn wait_until_gone(world: &World, name: &str) {
    let is_there = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    testkit::wait_until(testkit::DEADLINE, "it has ended", || {
        !world.sshd.sessions().iter().any(is_there)
    });
}

#[test]
fn they_are_bounded_and_signals_get_past_them() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let world = world!();
    let place = world.place();
    let before = resident();
    let mut process = place.spawn(line("exec cat /dev/zero"), None, &piped()).unwrap();
    wait_until_stuck(&world);
    assert!(resident() < before + 32 * 1024 * 1024, "{before} {}", resident());
    process.signal(libc::SIGTERM).unwrap();
    wait_until_gone(&world, "cat");
    let exit = within_deadline("the end", move || {
        // Its end comes behind what it has printed.
        let mut all = Vec::new();
        File::from(process.stdout.take().unwrap()).read_to_end(&mut all).unwrap();
        process.wait().unwrap()
    });
    assert_eq!(exit, Exit::Signal(libc::SIGTERM));
}

#[test]
fn what_is_typed_gets_past_them() {
    let world = world!();
    let place = world.place();
    let command = Command::new("x").terminal(WindowSize { cols: 80, rows: 24 });
    let mut process = place.spawn(line("exec yes"), None, &command).unwrap();
    let mut terminal = File::from(process.terminal.take().unwrap());
    wait_until_stuck(&world);
    terminal.write_all(b"\x03").unwrap();
    wait_until_gone(&world, "yes");
    within_deadline("the end", move || {
        let mut all = Vec::new();
        terminal.read_to_end(&mut all).unwrap();
        assert_eq!(process.wait().unwrap(), Exit::Signal(libc::SIGINT));
    });
}

#[test]
fn letting_go_of_them_frees_the_connection() {
    let world = world!();
    let place = world.place();
    within_deadline("the next process", move || {
        for _ in 0..3 {
            let stuck = place.spawn(line(FLOOD), None, &piped()).unwrap();
            drop(stuck);
            assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        }
        assert!(place.pool.len() <= 2);
    });
}

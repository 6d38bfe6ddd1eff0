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

#[test]
fn they_are_bounded_and_signals_get_past_them() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let world = world!();
    let place = world.place();
    let before = resident();
    let mut process = place.spawn(line("exec cat /dev/zero"), None, &piped()).unwrap();
    // Nothing says that it is stuck, but that it stops asking for more.
    let mut last = 0;
    testkit::wait_until(testkit::DEADLINE, "it is stuck", || {
        let now = sent_by(&world);
        let stuck = now > 1_000_000 && now == last;
        last = now;
        std::thread::yield_now();
        stuck
    });
    assert!(resident() < before + 32 * 1024 * 1024, "{before} {}", resident());
    process.signal(libc::SIGTERM).unwrap();
    let exit = within_deadline("the end", move || {
        // Its end comes behind what it has printed.
        let mut all = Vec::new();
        File::from(process.stdout.take().unwrap()).read_to_end(&mut all).unwrap();
        process.wait().unwrap()
    });
    assert_eq!(exit, Exit::Signal(libc::SIGTERM));
}

/// How much the sessions have written so far, in bytes: proc_pid_io(5).
fn sent_by(world: &World) -> u64 {
    let written = |pid: u32| {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse::<u64>().ok()
    };
    world.sshd.sessions().into_iter().filter_map(written).sum()
}

#[test]
fn what_is_typed_gets_past_them() {
    let world = world!();
    let place = world.place();
    within_deadline("the end", move || {
        let command = Command::new("x").terminal(WindowSize { cols: 80, rows: 24 });
        // The terminal's own buffers are full as well, so the interrupt is what ends it.
        let mut process = place.spawn(line("exec yes"), None, &command).unwrap();
        let mut terminal = File::from(process.terminal.take().unwrap());
        testkit::wait_until(testkit::DEADLINE, "it prints", || sent_by(&world) > 1_000_000);
        terminal.write_all(b"\x03").unwrap();
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

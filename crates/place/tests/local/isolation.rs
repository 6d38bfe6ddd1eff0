//! What a command gets of its caller besides its streams: nothing. And what it leaves in its caller: nothing.

use std::fs;

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use testkit::{Marker, descriptors};
use thither_place::{Command, Exit, Local, Place, Stream, WindowSize};

use crate::term::Term;
use crate::{printed, sh};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// No child is left, dead or alive.
#[track_caller]
pub(crate) fn assert_no_children() {
    assert_eq!(wait(WaitOptions::NOHANG).map(drop), Err(Errno::CHILD));
}

#[test]
fn no_other_descriptors() {
    // Not close-on-exec, as a careless library in the caller's program has them.
    let _leak = rustix::io::dup(tempfile::tempfile().unwrap()).unwrap();
    let marker = Marker::new();
    let (name, value) = marker.variable();
    let command = sh("echo here; read line").env(name, value);
    let numbers = || {
        let pids = marker.processes();
        assert_eq!(pids.len(), 1);
        descriptors(pids[0]).into_iter().map(|(fd, _)| fd).collect::<Vec<_>>()
    };

    let mut term = Term::start(command.clone().terminal(SIZE));
    term.expect("here");
    assert_eq!(numbers(), [0, 1, 2]);
    drop(term);
    marker.assert_gone();

    let command = command.stdin(Stream::Piped).stdout(Stream::Piped);
    let process = Local.spawn(&command).unwrap();
    let stdout = process.stdout.as_ref().unwrap().try_clone().unwrap();
    let read = testkit::within_deadline("a line", move || rustix::io::read(stdout, &mut [0; 5]));
    assert_eq!(read, Ok(5));
    assert_eq!(numbers(), [0, 1, 2]);
    crate::wait(process);
}

/// The value of a field of a text as of `/proc/PID/status` (proc_pid_status(5)).
#[track_caller]
fn mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    // Without the real-time signals, of which the C library keeps some for itself.
    u64::from_str_radix(line.expect(field).trim(), 16).unwrap() & 0x7fff_ffff
}

#[test]
fn signals_are_as_from_a_shell() {
    let pipe = 1 << (13 - 1);
    let ours = mask(&fs::read_to_string("/proc/self/status").unwrap(), "SigIgn:");
    assert!(ours & pipe != 0, "a Rust program ignores SIGPIPE, else this shows nothing");
    let command = Command::new("cat").arg("/proc/self/status");
    let mut term = Term::start(command.clone().terminal(SIZE));
    for status in [printed(command), term.rest()] {
        assert_eq!(mask(&status, "SigBlk:"), 0);
        assert_eq!(mask(&status, "SigIgn:"), ours & !pipe);
        assert_eq!(mask(&status, "SigCgt:"), 0);
    }
}

#[test]
fn a_caller_that_ignores_the_end_of_its_children() {
    testkit::own_process!(|_| {
        let mut env = std::process::Command::new("env");
        env.arg("--ignore-signal=CHLD").arg(std::env::current_exe().unwrap());
        env
    });
    let chld = 1 << (17 - 1);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    assert!(mask(&status, "SigIgn:") & chld != 0, "it is ignored, else this shows nothing");
    let mut term = Term::start(sh("exit 3").terminal(SIZE));
    assert_eq!(term.wait(), Exit::Code(3));
    // Without a supervisor the kernel keeps no status, and nobody pretends to know one.
    let mut process = Local.spawn(&sh("exit 3")).unwrap();
    let waited = testkit::within_deadline("an error", move || process.wait());
    assert_eq!(waited.unwrap_err().to_string(), "cannot wait for the command in `local:`");
}

#[test]
fn many_at_once_leave_nothing() {
    testkit::own_process!(|program| std::process::Command::new(program));
    // Its parts are opened at first use.
    Term::start(sh("exit 0").terminal(SIZE)).wait();
    let before = descriptors(std::process::id());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for run in 0..50 {
                    let code = (thread * 50 + run) % 256;
                    let script = format!("echo {code}; exit {code}");
                    let (exit, text) = match run % 2 {
                        0 => {
                            let mut term = Term::start(sh(&script).terminal(SIZE));
                            let exit = term.wait();
                            (exit, term.rest())
                        }
                        _ => {
                            let output = Local.output(&sh(&script)).unwrap();
                            (output.exit, String::from_utf8(output.stdout).unwrap())
                        }
                    };
                    assert_eq!((exit, text.trim_end()), (Exit::Code(code), &*code.to_string()));
                }
            });
        }
    });
    assert_eq!(descriptors(std::process::id()), before);
    assert_no_children();
}

//! With a terminal.

use rustix::process::{Pid, Signal, kill_process};
use testkit::{DEADLINE, Marker, wait_until};
use thither_place::{Command, Error, Event, Exit, Streams, WindowSize, command};

use crate::sh;
use crate::term::Term;

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

fn start(script: &str) -> Term {
    Term::start(sh(script).terminal(SIZE))
}

fn marked(marker: &Marker, script: &str) -> Term {
    let (name, value) = marker.variable();
    Term::start(sh(script).env(name, value).terminal(SIZE))
}

#[test]
fn the_size_is_there_from_the_first_instruction() {
    for run in 0..200 {
        let size = WindowSize { cols: 61 + run, rows: 17 };
        let mut term = Term::start(Command::new("stty").arg("size").terminal(size));
        assert_eq!(term.rest(), format!("17 {}\r\n", size.cols));
        assert_eq!(term.wait(), Exit::Code(0));
    }
}

#[test]
fn term_is_carried_over() {
    let terminal = command::Terminal { size: SIZE, term: Some("vt100".into()) };
    let command = sh("echo $TERM");
    let command = Command { streams: Streams::Terminal(terminal), ..command };
    assert_eq!(Term::start(command).rest(), "vt100\r\n");
}

#[test]
fn it_is_the_controlling_terminal_of_a_session_of_its_own() {
    let script = "tty; echo through >/dev/tty
        set -- $(cat /proc/$$/stat); echo pid=$1 group=$5 session=$6 foreground=$8 end";
    let mut term = start(script);
    let text = term.rest();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{text:?}");
    assert_eq!(lines[1], "through");
    let number = |name: &str| -> u32 {
        let rest = lines[2].split_once(&format!("{name}=")).unwrap().1;
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(number("pid"), number("group"));
    assert_eq!(number("pid"), number("foreground"));
    // The supervisor leads the session, else the command could not be stopped by ^Z.
    assert_ne!(number("pid"), number("session"));
    // Field 6 of proc_pid_stat(5); 0 where it was made outside of our pid namespace.
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own = own.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_ne!(number("session").to_string(), own);
}

#[test]
fn it_reads_in_the_foreground() {
    let mut term = start("read line; echo got $line; exit 4");
    term.send("hello\r");
    term.expect("got hello\r\n");
    assert_eq!(term.wait(), Exit::Code(4));
}

#[test]
fn a_new_size_is_told() {
    let mut term =
        start("trap 'stty size; kill $!; exit 7' WINCH; sleep 1000 & echo ready; wait; echo never");
    term.expect("ready\r\n");
    term.process.resize(WindowSize { cols: 132, rows: 43 }).unwrap();
    term.expect("43 132\r\n");
    assert_eq!(term.wait(), Exit::Code(7));
}

#[test]
fn the_end_of_input_is_typed() {
    let mut term = start("cat; echo end");
    term.send("line\r");
    term.expect("line\r\nline\r\n");
    term.process.end_input().unwrap();
    term.expect("end\r\n");
    assert_eq!(term.wait(), Exit::Code(0));
}

#[test]
fn in_raw_mode_nothing_ends_the_input() {
    let mut term = start("stty raw; echo ready; cat");
    term.expect("ready");
    let error = term.process.end_input().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "`local:` cannot end the input of a program that reads keys one by one"
    );
}

#[test]
fn keys_stop_and_interrupt_and_it_can_be_continued() {
    let mut term = start("echo ready; exec cat");
    term.expect("ready");
    for _ in 0..3 {
        term.send("\x1a");
        assert_eq!(term.event(), Event::Stopped(20));
        term.process.signal(18).unwrap();
        term.send("again\r");
        term.expect("again\r\nagain\r\n");
    }
    term.process.signal(19).unwrap();
    assert_eq!(term.event(), Event::Stopped(19));
    term.process.signal(18).unwrap();
    term.send("\x03");
    assert_eq!(term.wait(), Exit::Signal(2));
    // The end is said again.
    assert_eq!(term.event(), Event::Exited(Exit::Signal(2)));
    term.process.signal(15).unwrap();
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let marker = Marker::new();
    let mut term = marked(&marker, "sleep 1000 & sleep 1000 & echo ready; wait");
    term.expect("ready");
    term.process.signal(15).unwrap();
    assert_eq!(term.wait(), Exit::Signal(15));
    marker.assert_gone();
    let mut term = start("trap 'exit 9' USR1; echo ready; sleep 1000 & wait");
    term.expect("ready");
    term.process.signal(10).unwrap();
    assert_eq!(term.wait(), Exit::Code(9));
}

#[test]
fn a_signal_without_a_name_is_refused() {
    let mut term = start("read line");
    let error = term.process.signal(64).unwrap_err();
    assert_eq!(error.to_string(), "`local:` cannot send signal 64");
    term.process.end_input().unwrap();
    assert_eq!(term.wait(), Exit::Code(1));
}

#[test]
fn letting_go_hangs_up() {
    let marker = Marker::new();
    let mut term = marked(&marker, "sleep 1000 & echo ready; cat; true");
    term.expect("ready");
    wait_until(DEADLINE, "three processes", || marker.processes().len() == 3);
    drop(term);
    marker.assert_gone();
}

#[test]
fn letting_go_of_a_stopped_one_hangs_up_too() {
    let marker = Marker::new();
    let mut term = marked(&marker, "echo ready; exec cat");
    term.expect("ready");
    term.send("\x1a");
    assert_eq!(term.event(), Event::Stopped(20));
    drop(term);
    marker.assert_gone();
}

#[test]
fn a_killed_one() {
    let marker = Marker::new();
    let mut term = marked(&marker, "echo ready; exec cat");
    term.expect("ready");
    let pids = marker.processes();
    assert_eq!(pids.len(), 1);
    kill(pids[0], Signal::KILL);
    assert_eq!(term.wait(), Exit::Signal(9));
}

#[test]
fn a_process_left_on_the_terminal_keeps_nobody_waiting() {
    let marker = Marker::new();
    let mut term = marked(&marker, "trap '' HUP; sleep 1000 & echo ready; exit 5");
    assert_eq!(term.wait(), Exit::Code(5));
    let left = marker.processes();
    assert_eq!(left.len(), 1, "the process on the terminal should outlive the command");
    term.expect("ready");
    kill(left[0], Signal::KILL);
    marker.assert_gone();
}

/// The state of a process, the third field of its `stat` (proc_pid_stat(5)).
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn a_signal_that_comes_as_it_ends_does_not_hide_how_it_ended() {
    let marker = Marker::new();
    let mut term = marked(&marker, "echo ready; read line; exit 3");
    term.expect("ready");
    let command = marker.processes()[0];
    let supervisor = parent(command);
    // The supervisor misses both the end and the signal, until it goes on.
    kill(supervisor, Signal::STOP);
    wait_until(DEADLINE, "the supervisor's stop", || state(supervisor) == Some('T'));
    term.send("\r");
    wait_until(DEADLINE, "the command's end", || state(command) == Some('Z'));
    term.process.signal(28).unwrap();
    kill(supervisor, Signal::CONT);
    assert_eq!(term.wait(), Exit::Code(3));
}

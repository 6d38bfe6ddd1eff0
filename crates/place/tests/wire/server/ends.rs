//! Who ends what.

use std::ffi::OsString;
use std::net::Shutdown;
use std::path::Path;

use testkit::{DEADLINE, Marker, wait_until, within_deadline};
use thither_place::launch::Fresh;
use thither_place::local::spawn_in_session;
use thither_place::wire::Kind;
use thither_place::wire::message::{Spawn, Streams};
use thither_place::wire::session::{Outcome, end};
use thither_place::{Command, Exit, Process, Stream};

use super::{Peer, SUCCESS, code, killed, marked, sh};

#[track_caller]
fn ready(marker: &Marker, script: &str, processes: usize) -> Peer {
    let mut peer = Peer::spawn(marked(marker, sh(script)));
    peer.expect_text(Kind::Output, "ready");
    wait_until(DEADLINE, "its processes", || marker.processes().len() == processes);
    peer
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let marker = Marker::new();
    let mut peer = ready(&marker, "sleep 1000 & echo ready; sleep 1000; exit 3", 3);
    peer.say(Kind::Signal, &[15]);
    assert_eq!(peer.rest().exit, killed(15));
    marker.assert_gone();
}

#[test]
fn a_client_that_is_gone() {
    let marker = Marker::new();
    let peer = ready(&marker, "sleep 1000 & echo ready; sleep 1000; exit 3", 3);
    assert!(matches!(peer.leave(), Outcome::Left));
    assert_eq!(marker.processes(), [0; 0], "before its thread is told");
}

#[test]
fn a_client_that_says_nothing_more() {
    let marker = Marker::new();
    let mut peer = ready(&marker, "echo ready; cat", 2);
    peer.socket.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(peer.outcome(), Outcome::Left));
    marker.assert_gone();
}

#[test]
fn a_client_that_is_gone_in_the_midst_of_a_frame() {
    let marker = Marker::new();
    let mut peer = ready(&marker, "echo ready; cat", 2);
    peer.write(&Kind::Input.frame(b"0123456789")[..8]);
    assert!(matches!(peer.leave(), Outcome::Left));
    marker.assert_gone();
}

#[test]
fn asked_to_end() {
    let marker = Marker::new();
    let mut peer = ready(&marker, "echo ready; cat", 2);
    peer.end = None;
    assert!(matches!(peer.outcome(), Outcome::Stopped));
    assert_eq!(peer.next(), None);
    marker.assert_gone();
}

#[test]
fn a_stopped_one_is_ended_too() {
    let marker = Marker::new();
    let peer = ready(&marker, "echo ready; kill -STOP $$; exit 3", 1);
    assert!(matches!(peer.leave(), Outcome::Left));
    marker.assert_gone();
}

#[test]
fn a_group_that_takes_no_hint_is_killed() {
    let marker = Marker::new();
    let script = "trap '' HUP TERM; (trap '' HUP TERM; sleep 1000) & echo ready; while :; do sleep 1000; done";
    let peer = ready(&marker, script, 3);
    assert!(matches!(peer.leave(), Outcome::Left));
    marker.assert_gone();
}

#[test]
fn a_last_word_is_not_held_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("said");
    // More than a pipe holds, and nobody is there to read it.
    let script = format!(
        "trap '' HUP; trap 'head -c 1000000 /dev/zero; echo all >{}; exit' TERM; echo ready; while :; do sleep 1000 & wait; done",
        file.display()
    );
    let marker = Marker::new();
    let peer = ready(&marker, &script, 2);
    assert!(matches!(peer.leave(), Outcome::Left));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "all\n");
    marker.assert_gone();
}

#[test]
fn who_holds_the_output_holds_up_the_end() {
    // The background process of a shell has no input unless it is given.
    let marker = Marker::new();
    let mut peer =
        ready(&marker, "exec 3<&0; { read line <&3; echo late; } & echo ready; exit 4", 1);
    peer.say(Kind::Input, b"now\n");
    peer.rest().check("late\n", "", code(4));
}

#[test]
fn who_holds_no_output_lives_on() {
    let marker = Marker::new();
    let script = "sleep 1000 >/dev/null 2>&1 & exit 0";
    let mut peer = Peer::spawn(marked(&marker, sh(script)));
    peer.rest().check("", "", SUCCESS);
    assert!(matches!(peer.leave(), Outcome::Exited(Exit::Code(0))));
    assert_eq!(marker.survivors(std::time::Duration::ZERO).len(), 1);
}

#[test]
fn no_zombie_is_left() {
    let marker = Marker::new();
    let streams = Streams::Separate([false, true, false]);
    let mut peer = Peer::spawn(Spawn { streams, ..marked(&marker, sh("echo $$")) });
    let pid = peer.expect(Kind::Output);
    let pid = String::from_utf8(pid).unwrap();
    peer.expect(Kind::Exited);
    peer.leave();
    let stat = Path::new("/proc").join(pid.trim_end());
    // The number may be another's by now, but hardly a child of ours.
    let text = std::fs::read_to_string(stat.join("status")).unwrap_or_default();
    let ours = format!("PPid:\t{}", std::process::id());
    assert!(!text.contains(&ours), "{text}");
}

fn start(script: &str) -> (Process, u32) {
    let command = Command::new("sh").args(["-c", script]).stdin(Stream::Null);
    let base: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    spawn_in_session(&command.stdout(Stream::Piped), Path::new("/"), base, Fresh::default())
        .unwrap()
}

#[test]
fn it_leads_a_session_and_its_pid_is_known() {
    let (process, pid) = start("cat /proc/$$/stat");
    let output = within_deadline("its output", move || process.wait_with_output()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    // State, parent, group, session: proc_pid_stat(5).
    assert_eq!(fields[2..4], [pid.to_string(), pid.to_string()]);
}

#[test]
fn it_hears_of_the_end_of_who_started_it() {
    let starter = std::thread::spawn(|| start("echo ready; exec sleep 1000"));
    let (mut process, _) = starter.join().unwrap();
    let exit = within_deadline("its end", move || process.wait()).unwrap();
    assert_eq!(exit, Exit::Signal(1));
}

#[test]
fn letting_go_kills_and_an_end_is_repeatable() {
    let (process, pid) = start("sleep 1000");
    within_deadline("the drop", move || drop(process));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());

    let (mut process, pid) = start("exit 0");
    within_deadline("the end", move || {
        process.wait().unwrap();
        // A zombie still: its number is nobody else's.
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        process.signal(15).unwrap();
        end(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
}

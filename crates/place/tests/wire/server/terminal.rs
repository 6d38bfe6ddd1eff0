//! With a terminal.

use testkit::Marker;
use thither_place::wire::Kind;
use thither_place::wire::message::{Spawn, Streams};
use thither_place::wire::session::Outcome;

use super::{Peer, SUCCESS, at_terminal, check_malformed, code, killed, marked, sh};

fn start(script: &str) -> Peer {
    Peer::spawn(at_terminal(sh(script)))
}

#[test]
fn its_size_and_kind_from_the_first_instruction() {
    let streams = Streams::Terminal { size: (132, 50), term: Some("vt100".into()) };
    let spawn = Spawn { streams, ..sh("stty size; echo $TERM") };
    Peer::spawn(spawn).rest().check("50 132\r\nvt100\r\n", "", SUCCESS);
}

#[test]
fn echo_and_the_end_of_input() {
    let mut peer = start("cat; echo end");
    peer.say(Kind::Input, b"line\r");
    peer.expect_text(Kind::Output, "line\r\nline\r\n");
    // After a part of a line it takes two.
    peer.say(Kind::Input, b"part");
    peer.say(Kind::EndInput, b"");
    peer.expect_text(Kind::Output, "part");
    peer.say(Kind::EndInput, b"");
    let rest = peer.rest();
    assert!(rest.output.ends_with(b"end\r\n"), "{rest:?}");
    assert_eq!(rest.exit, SUCCESS);
}

#[test]
fn keys_one_by_one_have_no_end() {
    let mut peer = start("stty raw -echo; echo ready; head -c 2; exit 5");
    peer.expect_text(Kind::Output, "ready");
    peer.say(Kind::EndInput, b"");
    peer.say(Kind::Input, b"\x04\x04");
    assert_eq!(peer.rest().exit, code(5));
}

#[test]
fn a_new_size() {
    let mut peer = start("trap 'stty size; kill $!; exit 7' WINCH; sleep 1000 & echo ready; wait");
    peer.expect_text(Kind::Output, "ready");
    peer.say(Kind::Resize, &[0, 132, 0, 43]);
    peer.rest().check("43 132\r\n", "", code(7));
}

#[test]
fn a_stop_is_told() {
    let mut peer = start("echo ready; exec cat");
    peer.expect_text(Kind::Output, "ready\r\n");
    peer.say(Kind::Input, b"\x1a");
    loop {
        match peer.next().unwrap() {
            (Kind::Output, _) => {}
            (Kind::Stopped, signal) => break assert_eq!(signal, [20]),
            other => panic!("{other:?}"),
        }
    }
    peer.say(Kind::Signal, &[18]);
    peer.say(Kind::Input, b"again\r");
    peer.expect_text(Kind::Output, "again\r\nagain\r\n");
    peer.say(Kind::Input, b"\x03");
    assert_eq!(peer.rest().exit, killed(2));
}

#[test]
fn all_of_the_output_and_no_wait_for_those_left_behind() {
    let marker = Marker::new();
    let script = "trap '' HUP; sleep 1000 & seq 1 20000; exit 6";
    let rest = Peer::spawn(at_terminal(marked(&marker, sh(script)))).rest();
    let text = String::from_utf8(rest.output).unwrap();
    let expected: String = (1..=20_000).map(|n| format!("{n}\r\n")).collect();
    assert!(text == expected, "{} of {} bytes", text.len(), expected.len());
    assert_eq!(rest.exit, code(6));
    assert_eq!(marker.processes().len(), 1, "it outlives the command");
    let survivors = marker.survivors(std::time::Duration::ZERO);
    assert_eq!(survivors.len(), 1);
}

#[test]
fn what_the_terminal_holds_at_the_end_is_sent() {
    let marker = Marker::new();
    let mut peer = Peer::narrow(at_terminal(marked(&marker, sh("seq 1 3000"))));
    // It has ended, and its client reads only now.
    marker.assert_gone();
    let expected: String = (1..=3000).map(|n| format!("{n}\r\n")).collect();
    peer.rest().check(&expected, "", SUCCESS);
}

#[test]
fn unread_output_is_dropped_and_the_program_goes_on() {
    let mut peer = start("seq 1 100000; exit 9");
    peer.say(Kind::Unread, &[1]);
    assert_eq!(peer.rest().exit, code(9));
}

#[test]
fn it_ends_with_its_client() {
    let marker = Marker::new();
    let script = "trap '' HUP TERM; sleep 1000 & echo ready; while :; do wait; done";
    let mut peer = Peer::spawn(at_terminal(marked(&marker, sh(script))));
    peer.expect_text(Kind::Output, "ready");
    assert!(matches!(peer.leave(), Outcome::Left));
    marker.assert_gone();
}

#[test]
fn ends_of_input_without_end() {
    let mut peer = start("stty -echo; echo ready; sleep 1000");
    peer.expect_text(Kind::Output, "ready");
    // More than the terminal takes while nobody reads.
    peer.say(Kind::Input, &b"0123456789\n".repeat(20_000));
    peer.write(&Kind::EndInput.frame(b"").repeat(17));
    check_malformed(&peer.outcome(), "it is one end of input too many");
}

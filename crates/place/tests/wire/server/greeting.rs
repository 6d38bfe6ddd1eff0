//! Until something runs, or not.

use std::time::Duration;

use testkit::DEADLINE;
use thither_place::wire::frame::{HEAD, LONGEST_REQUEST, LONGEST_SMALL, Side, hello};
use thither_place::wire::message::{Program, Request, Spawn};
use thither_place::wire::session::{Limits, Outcome};
use thither_place::wire::{Kind, Reason, Refusal};

use super::{Peer, SUCCESS, check_malformed, program, refused, sh};

const PATIENT: Limits = Limits { greeting: DEADLINE, request: LONGEST_REQUEST };
/// Long enough for a byte, too short for all.
const HASTY: Limits = Limits { greeting: Duration::from_millis(100), request: LONGEST_REQUEST };

#[test]
fn a_byte_at_a_time() {
    let mut peer = Peer::stranger(PATIENT);
    let request = Request::Spawn(sh("echo done")).encode();
    for byte in [hello(Side::Client), Kind::Request.frame(&request)].concat() {
        peer.write(&[byte]);
    }
    peer.expect(Kind::Welcome);
    peer.expect(Kind::Started);
    peer.rest().check("done\n", "", SUCCESS);
    assert!(matches!(peer.leave(), Outcome::Exited(exit) if exit.success()));
}

#[test]
fn an_answer_without_streams() {
    let mut peer = Peer::asking(&Request::Pair { token: [1; 16], name: b"me".into() });
    assert_eq!(peer.expect(Kind::Started), [0; 4]);
    assert_eq!(peer.next(), None);
}

#[test]
fn silence_and_slowness_have_a_limit() {
    let mut peer = Peer::stranger(HASTY);
    assert!(matches!(peer.outcome(), Outcome::TimedOut));

    let mut peer = Peer::stranger(HASTY);
    let head = [hello(Side::Client), Kind::Request.head(LONGEST_REQUEST).into()].concat();
    peer.write(&head);
    // One that goes on for ever with a byte at a time: until it is told that nobody listens.
    let mut slow = peer.socket.try_clone().unwrap();
    let slow = std::thread::spawn(move || while std::io::Write::write(&mut slow, b"x").is_ok() {});
    assert!(matches!(peer.outcome(), Outcome::TimedOut));
    slow.join().unwrap();
}

#[test]
fn asked_to_end_while_it_greets() {
    let mut peer = Peer::stranger(PATIENT);
    peer.write(&hello(Side::Client));
    peer.end = None;
    assert!(matches!(peer.outcome(), Outcome::Stopped));
}

#[test]
fn gone_before_it_asked() {
    assert!(matches!(Peer::stranger(PATIENT).leave(), Outcome::Left));
    let mut peer = Peer::stranger(PATIENT);
    peer.write(&hello(Side::Client)[..7]);
    assert!(matches!(peer.leave(), Outcome::Left));
}

#[track_caller]
fn check_garbage(bytes: &[u8], why: &str) {
    let mut peer = Peer::stranger(Limits { request: LONGEST_SMALL, ..PATIENT });
    peer.write(bytes);
    check_malformed(&peer.outcome(), why);
}

#[test]
fn garbage_instead_of_a_request() {
    let after = |frame: Vec<u8>| [hello(Side::Client), frame].concat();
    check_garbage(b"GET / HTTP/1.1\r\n\r\n", "nobody knows its kind");
    check_garbage(b"\x16\x03\x01\x02\0\x01\0", "nobody knows its kind");
    check_garbage(&[0xff; HEAD], "nobody knows its kind");
    check_garbage(&hello(Side::Server), "the other side sends its kind");
    check_garbage(&Kind::Hello.frame(b"pushy\0\x01"), "it does not begin as it should");
    check_garbage(&Kind::Hello.frame(b"thither\0\0"), "there is no version 0");
    check_garbage(&Kind::Request.frame(&[4]), "it is no greeting");
    check_garbage(&after(hello(Side::Client)), "it is no request");
    check_garbage(&after(Kind::Input.frame(b"x")), "it is no request");
    check_garbage(&after(Kind::Ping.frame(b"")), "it is no request");
    check_garbage(&after(Kind::Request.frame(&[9])), "nobody knows this request");
    check_garbage(&after(Kind::Request.head(LONGEST_SMALL + 1).into()), "it is too long");
    check_garbage(&after(vec![Kind::Request as u8, 0xff, 0xff, 0xff, 0xff]), "it is too long");
}

#[track_caller]
fn check_refused(spawn: Spawn, reason: Reason, errno: i32, text: &str, hint: &str) {
    let mut peer = Peer::asking(&Request::Spawn(spawn));
    let refusal = refused(&peer.expect(Kind::Refused));
    let errno = errno.unsigned_abs();
    assert_eq!(refusal, Refusal { reason, errno, text: text.into(), hint: hint.into() });
    assert_eq!(peer.next(), None);
    assert!(matches!(peer.leave(), Outcome::Refused(again) if again == refusal));
}

#[test]
fn what_cannot_be_run() {
    let none = "run `/no/such/program`";
    check_refused(program("/no/such/program", &[]), Reason::Spawn, libc::ENOENT, none, "");
    let hint = "it is a directory; to start a shell there: `--dir`";
    check_refused(program("/usr", &[]), Reason::Spawn, libc::EACCES, "run `/usr`", hint);

    let mut spawn = sh("exit 0");
    spawn.dir = Some(b"/no/such/dir".into());
    let text = "change to the directory `/no/such/dir`";
    check_refused(spawn, Reason::Failed, libc::ENOENT, text, "");

    let text = "run `sh`: the argument `a\\u{0}b` has a NUL byte";
    check_refused(program("sh", &["a\0b"]), Reason::Failed, 0, text, "");
}

#[test]
fn an_unknown_user() {
    let mut spawn = sh("exit 0");
    spawn.user = Some(b"no-such-user".into());
    let mut peer = Peer::asking(&Request::Spawn(spawn));
    let refusal = refused(&peer.expect(Kind::Refused));
    assert_eq!((refusal.reason, refusal.errno), (Reason::Failed, 0));
    assert!(refusal.text.starts_with("become `no-such-user`: "), "{refusal:?}");
}

#[test]
fn a_long_text_is_cut() {
    let mut peer = Peer::asking(&Request::Spawn(program(&format!("/{}", "x".repeat(20_000)), &[])));
    let refusal = refused(&peer.expect(Kind::Refused));
    assert_eq!((refusal.errno, refusal.text.len()), (libc::ENAMETOOLONG as u32, 4096));
}

#[test]
fn a_client_that_does_not_listen_is_not_waited_for() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &ours, &[0; 4096]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    let refusal =
        Refusal { reason: Reason::Denied, errno: 0, text: "x".into(), hint: String::new() };
    testkit::within_deadline("a refusal", move || {
        thither_place::wire::session::refuse(&ours.into(), &refusal);
    });
    drop(theirs);
}

#[test]
fn where_and_with_what_it_starts() {
    let check = |spawn: Spawn, text: &str| Peer::spawn(spawn).rest().check(text, "", SUCCESS);
    check(sh("pwd; echo $PWD $BASE"), "/usr\n/usr of ours\n");
    check(Spawn { dir: Some(b"bin".into()), ..sh("pwd -P") }, "/usr/bin\n");
    check(Spawn { dir: Some(b"/".into()), ..sh("pwd") }, "/\n");
    check(Spawn { env_clear: true, ..program("/usr/bin/env", &[]) }, "");
    let shell = Spawn { program: Program::LoginShell, ..sh("") };
    check(Spawn { args: vec![b"-c".into(), b"echo hi".into()], ..shell }, "hi\n");
}

//! What could be at the other end of the pipe's socket instead of an honest smbd: it is answered or cut off, and logged, and
//! the daemon goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use expect_test::{Expect, expect};
use testkit::DEADLINE;

use crate::host::{Host, host};

/// From `alice`, 1009, at `TESTHOST`, whom nobody has admitted; as a real smbd has said it.
const ALICE: &[u8] = include_bytes!("../../../remote/tests/daemon/samba/user.bin");
/// From a guest, the same way.
const GUEST: &[u8] = include_bytes!("../../../remote/tests/daemon/samba/guest.bin");
/// The length of an answer to a handshake, and where its status is.
const ANSWER: usize = 36;
const STATUS: usize = ANSWER - 4;

/// What the daemon answers somebody who says this, and what it logs.
#[track_caller]
fn check(host: &mut Host, said: &[u8], event: &str, expected: Expect) {
    let mut stream = UnixStream::connect(host.smbd.pipes().join("thither")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be cut off before it has said all.
    let _ = stream.write_all(said);
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => {}
    }
    let status = heard
        .get(STATUS..ANSWER)
        .map(|status| format!("{:#x}", u32::from_le_bytes(status.try_into().unwrap())));
    let logged = host.daemon.event(event);
    let answered = status.unwrap_or_else(|| format!("{} bytes", heard.len()));
    let peer = logged["peer"].as_str().unwrap().replace(&std::process::id().to_string(), "PID");
    expected.assert_eq(&format!("{answered}; {peer}: {}", logged["why"].as_str().unwrap()));
}

/// The request with a part of it replaced.
fn replaced(at: usize, part: &[u8]) -> Vec<u8> {
    let mut request = ALICE.to_vec();
    request[at..at + part.len()].copy_from_slice(part);
    request
}

#[test]
fn who_is_refused_is_answered_and_logged() {
    let mut host = host!();
    let before = host.daemon.size();
    check(
        &mut host,
        ALICE,
        "denied",
        expect![[
            r#"0xc0000022; smb TESTHOST\alice from 127.0.0.1 (pc): it is not on the list of users"#
        ]],
    );
    check(
        &mut host,
        GUEST,
        "denied",
        expect![[
            r#"0xc0000022; smb TESTHOST\nobody from 127.0.0.1 (pc): it is a guest or anonymous"#
        ]],
    );
    host.daemon.works();
    host.daemon.shrinks_to(before);
}

#[test]
fn what_makes_no_sense_is_logged() {
    let mut host = host!();
    let before = host.daemon.size();
    let at = &mut host;
    check(at, b"", "unheard", expect!["0 bytes; uid 0 pid PID: the client is gone"]);
    check(
        at,
        b"GET / HTTP/1.1\r\n\r\n",
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is longer than any request"],
    );
    check(
        at,
        &[0xff; 64],
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is longer than any request"],
    );
    check(at, &ALICE[..100], "unheard", expect!["0 bytes; uid 0 pid PID: the client is gone"]);
    // The magic word, the level, and its repetition in the union.
    check(
        at,
        &replaced(4, b"NPAN"),
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is not Samba's"],
    );
    check(
        at,
        &replaced(8, &[6, 0, 0, 0]),
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is not of level 7, which Samba 4.17 has"],
    );
    check(
        at,
        &replaced(8, &[8, 0, 0, 0]),
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is not of level 7, which Samba 4.17 has"],
    );
    check(
        at,
        &replaced(12, &[9, 0, 0, 0]),
        "unheard",
        expect!["0 bytes; uid 0 pid PID: it is not of level 7, which Samba 4.17 has"],
    );
    // Lengths and pointers that lead nowhere.
    for place in (16..ALICE.len() - 4).step_by(97) {
        let mut stream = UnixStream::connect(at.smbd.pipes().join("thither")).unwrap();
        let _ = stream.write_all(&replaced(place, &[0xff; 4]));
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    host.daemon.works();
    host.daemon.shrinks_to(before);
}

//! What goes in and out without a terminal.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use testkit::{DEADLINE, Marker, wait_until};
use thither_place::wire::Kind;
use thither_place::wire::frame::{LONGEST_DATA, Side, WINDOW, hello};
use thither_place::wire::message::{Spawn, Streams};
use thither_place::wire::session::Outcome;
use thither_place::{Command, Local, Place};

use super::{Peer, SUCCESS, check_malformed, code, killed, marked, program, sh, stream};

#[test]
fn exits() {
    Peer::spawn(sh("exit 0")).rest().check("", "", SUCCESS);
    Peer::spawn(sh("exit 7")).rest().check("", "", code(7));
    Peer::spawn(sh("kill -9 $$")).rest().check("", "", killed(9));
}

#[test]
fn both_outputs_and_their_order_before_the_end() {
    let mut peer = Peer::spawn(sh("echo out; echo err >&2; exit 3"));
    peer.rest().check("out\n", "err\n", code(3));
    assert!(matches!(peer.leave(), Outcome::Exited(_)));
}

/// Numbers, so that nothing can be lost or exchanged unseen.
fn numbers(up_to: u32) -> Vec<u8> {
    (1..=up_to).flat_map(|n| format!("{n}\n").into_bytes()).collect()
}

#[test]
fn much_output_byte_for_byte() {
    let rest = Peer::spawn(sh("seq 1 2300000")).rest();
    assert!(rest.output == numbers(2_300_000), "{} bytes", rest.output.len());
    assert!(rest.output.len() > 16 << 20);
}

#[test]
fn two_outputs_at_once() {
    let rest = Peer::spawn(sh("seq 1 300000 & seq 1 300000 >&2; wait")).rest();
    assert!(rest.output == numbers(300_000), "{} bytes", rest.output.len());
    assert!(rest.errors == numbers(300_000), "{} bytes", rest.errors.len());
}

#[test]
fn one_output_does_not_starve_the_other() {
    let (out, mut to_out) = std::io::pipe().unwrap();
    let (errors, mut to_errors) = std::io::pipe().unwrap();
    let probe = out.try_clone().unwrap();
    let full = rustix::pipe::fcntl_getpipe_size(&out).unwrap();
    let mut process = Local.spawn(&Command::new("sleep").arg("1000")).unwrap();
    (process.stdout, process.stderr) = (Some(out.into()), Some(errors.into()));
    to_errors.write_all(&vec![b'e'; full]).unwrap();
    let writer = std::thread::spawn(move || while to_out.write_all(&[b'o'; 4096]).is_ok() {});
    let mut peer = Peer::narrow_of(process);
    let filled = || rustix::io::ioctl_fionread(&probe).unwrap() == full as u64;
    // Standard output is full again before each frame is read.
    let came = (0..4).any(|_| {
        wait_until(DEADLINE, "a full pipe", filled);
        peer.next().unwrap().0 == Kind::Errors
    });
    assert!(came, "no standard error");
    drop(probe);
    assert!(matches!(peer.leave(), Outcome::Left));
    writer.join().unwrap();
}

#[test]
fn what_is_not_joined_is_empty_and_dropped() {
    let streams = Streams::Separate([false, true, false]);
    let peer = &mut Peer::spawn(Spawn { streams, ..sh("cat; echo out; echo err >&2") });
    peer.rest().check("out\n", "", SUCCESS);
    let streams = Streams::Separate([false; 3]);
    Peer::spawn(Spawn { streams, ..sh("cat; echo x; exit 4") }).rest().check("", "", code(4));
}

#[test]
fn much_of_both_ways_at_once() {
    let mut peer = Peer::spawn(program("cat", &[]));
    let sent = numbers(500_000);
    let mut socket = peer.socket.try_clone().unwrap();
    let (granted, credit) = std::sync::mpsc::channel();
    let input = sent.clone();
    let writer = std::thread::spawn(move || {
        let mut room = WINDOW;
        for piece in input.chunks(50_000) {
            while room < piece.len() {
                room += credit.recv_timeout(DEADLINE).unwrap();
            }
            room -= piece.len();
            socket.write_all(&Kind::Input.frame(piece)).unwrap();
        }
        socket.write_all(&Kind::EndInput.frame(b"")).unwrap();
    });
    let mut output = Vec::new();
    loop {
        match peer.next().unwrap() {
            (Kind::Output, body) => output.extend(body),
            (Kind::Credit, body) => {
                let _ = granted.send(u32::from_be_bytes(body.try_into().unwrap()) as usize);
            }
            (Kind::Exited, body) => {
                assert_eq!(body, SUCCESS);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    writer.join().unwrap();
    assert!(output == sent, "{} of {} bytes", output.len(), sent.len());
}

#[test]
fn a_program_that_reads_late_holds_up_nothing_else() {
    let mut peer =
        Peer::spawn(sh("trap 'echo usr; cat | wc -c; exit' USR1; echo ready; sleep 1000 & wait"));
    peer.expect_text(Kind::Output, "ready");
    peer.say(Kind::Input, &vec![b'x'; WINDOW]);
    peer.say(Kind::Ping, b"");
    peer.expect(Kind::Pong);
    peer.say(Kind::EndInput, b"");
    peer.say(Kind::Signal, &[10]);
    let text = peer.expect_text(Kind::Output, &WINDOW.to_string());
    assert!(text.contains("usr"), "{text:?}");
    peer.leave();
}

#[test]
fn more_input_than_was_granted() {
    let mut peer = Peer::spawn(sh("sleep 1000"));
    peer.say(Kind::Input, &vec![0; LONGEST_DATA]);
    peer.say(Kind::Input, b"x");
    check_malformed(&peer.outcome(), "it is more input than was granted");
}

#[test]
fn input_that_nobody_reads_any_more_is_dropped() {
    let mut peer = Peer::spawn(sh("exec <&-; echo ready; sleep 1000 & wait"));
    peer.expect_text(Kind::Output, "ready");
    let mut room = WINDOW;
    for _ in 0..20 {
        while room < WINDOW / 4 {
            let credit = peer.expect(Kind::Credit);
            room += u32::from_be_bytes(credit.try_into().unwrap()) as usize;
        }
        peer.say(Kind::Input, &vec![0; WINDOW / 4]);
        room -= WINDOW / 4;
    }
    peer.say(Kind::EndInput, b"");
    peer.say(Kind::Signal, &[15]);
    assert_eq!(peer.rest().exit, killed(15));
}

#[test]
fn pings_while_the_output_is_blocked() {
    let mut peer = Peer::spawn(sh("yes"));
    // Until nothing more fits: the program is stopped by its full pipe.
    let blocked = |peer: &Peer| {
        let held = rustix::io::ioctl_fionread(&peer.socket).unwrap();
        held > 0 && {
            let again = || rustix::io::ioctl_fionread(&peer.socket).unwrap();
            (0..50).all(|_| {
                std::thread::yield_now();
                again() == held
            })
        }
    };
    wait_until(DEADLINE, "a full socket", || blocked(&peer));
    peer.say(Kind::Ping, b"");
    loop {
        match peer.next().unwrap() {
            (Kind::Output, _) => {}
            (Kind::Pong, _) => break,
            other => panic!("{other:?}"),
        }
    }
    // A signal comes through as well, without anything being read.
    peer.say(Kind::Signal, &[9]);
    let rest = peer.rest();
    assert_eq!(rest.exit, killed(9));
}

#[test]
fn pings_without_end_are_not_kept() {
    let mut peer = Peer::spawn(sh("yes"));
    while peer.socket.write_all(&Kind::Ping.frame(b"").repeat(1000)).is_ok() {}
    check_malformed(&peer.outcome(), "it asks and reads no answers");
}

#[test]
fn output_that_nobody_wants() {
    let mut peer = Peer::spawn(sh("trap '' PIPE; yes 2>&2; echo $? >&2"));
    peer.expect(Kind::Output);
    peer.say(Kind::Unread, &[1]);
    peer.say(Kind::Unread, &[1]);
    let rest = peer.rest();
    assert!(String::from_utf8_lossy(&rest.errors).contains("Broken pipe"), "{:?}", rest.errors);

    let mut peer = Peer::spawn(sh("exec yes >&2"));
    peer.say(Kind::Unread, &[2]);
    assert_eq!(peer.rest().exit, killed(13));
}

#[track_caller]
fn check_wrong(bytes: &[u8], why: &str) {
    let marker = Marker::new();
    let mut peer = Peer::spawn(marked(&marker, sh("cat")));
    peer.write(bytes);
    check_malformed(&peer.outcome(), why);
    marker.assert_gone();
}

#[test]
fn frames_at_a_wrong_time_or_of_no_kind() {
    check_wrong(&hello(Side::Client), "it was said before");
    check_wrong(&Kind::Request.frame(&[4]), "it was said before");
    check_wrong(b"garbage", "nobody knows its kind");
    check_wrong(&Kind::Output.frame(b"x"), "the other side sends its kind");
    check_wrong(&Kind::Request.head(LONGEST_DATA), "it is too long");
    let end = Kind::EndInput.frame(b"");
    check_wrong(&[end.clone(), end.clone()].concat(), "it is one end of input too many");
    check_wrong(&[end, Kind::Input.frame(b"x")].concat(), "it is input after its end");
    for (kind, body) in [
        (Kind::EndInput, &b"x"[..]),
        (Kind::Resize, b"123"),
        (Kind::Signal, b""),
        (Kind::Signal, b"12"),
        (Kind::Ping, b"x"),
        (Kind::Unread, b""),
        (Kind::Unread, b"\0"),
        (Kind::Unread, b"\x03"),
    ] {
        check_wrong(&kind.frame(body), "it has no such body");
    }
}

#[test]
fn input_for_what_has_none() {
    let streams = Streams::Separate([false, true, true]);
    let mut peer = Peer::spawn(Spawn { streams, ..sh("sleep 1000") });
    peer.say(Kind::EndInput, b"");
    peer.say(Kind::Input, b"x");
    check_malformed(&peer.outcome(), "it is input for what has none");
}

#[test]
fn what_is_not_done_here_does_no_harm() {
    let mut peer = Peer::spawn(sh("cat"));
    peer.say(Kind::Resize, &[0, 80, 0, 24]);
    for signal in [0, 34, 64, 65, 255] {
        peer.say(Kind::Signal, &[signal]);
    }
    peer.say(Kind::Input, b"still here");
    peer.say(Kind::EndInput, b"");
    peer.rest().check("still here", "", SUCCESS);
}

#[test]
fn a_stream_as_a_process() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut peer = Peer::of(stream(ours));
    peer.say(Kind::Input, b"question");
    peer.say(Kind::EndInput, b"");
    let mut question = String::new();
    theirs.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    let answer = numbers(100_000);
    let writer = std::thread::spawn({
        let answer = answer.clone();
        move || theirs.write_all(&answer).unwrap()
    });
    let rest = peer.rest();
    writer.join().unwrap();
    assert!(rest.output == answer, "{} bytes", rest.output.len());
    assert_eq!(rest.exit, SUCCESS);
    assert!(matches!(peer.leave(), Outcome::Exited(_)));
}

#[test]
fn a_stream_ends_with_what_comes_from_there() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut peer = Peer::of(stream(ours));
    theirs.write_all(b"all").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    peer.rest().check("all", "", SUCCESS);
}

#[test]
fn a_stream_that_is_reset_has_not_ended_well() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = Peer::of(stream(ours));
    peer.say(Kind::Input, b"unread");
    let held = || rustix::io::ioctl_fionread(&theirs).unwrap();
    wait_until(DEADLINE, "the input", || held() == 6);
    drop(theirs);
    assert_eq!(peer.next(), None);
    assert!(matches!(peer.leave(), Outcome::Lost(_)));
}

#[test]
fn a_stream_whose_client_leaves_is_closed() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let peer = Peer::of(stream(ours));
    assert!(matches!(peer.leave(), Outcome::Left));
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    let _ = theirs.shutdown(Shutdown::Both);
}

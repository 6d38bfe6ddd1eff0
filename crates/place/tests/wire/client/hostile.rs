//! Servers that are none, or mean harm.

use super::*;
use thither_place::wire::frame::LONGEST_SMALL;

/// What becomes of a start when this comes instead of an answer, and nothing after it: the error and its hint.
#[track_caller]
fn check_start(bytes: &[u8], expected: &str) {
    let bytes = bytes.to_vec();
    let said = within_deadline("an error", move || {
        let (ours, mut server) = Server::new();
        server.write(&bytes);
        server.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let error = spawn(ours, &LINK, &quiet()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}, {}, {}", source.unwrap_or_default(), error.hint().unwrap_or_default())
    });
    assert_eq!(said, expected);
}

#[test]
fn no_welcome() {
    let lost = "connection to `daemon:` lost, , ";
    check_start(b"", lost);
    check_start(&frame::hello(Side::Server)[..9], lost);
    check_start(&frame::hello(Side::Server), lost);
    let hint = "is it a daemon of thither?";
    let enter = |why| format!("cannot enter `daemon:`, malformed frame: {why}, ");
    let nobody = enter("nobody knows its kind") + hint;
    check_start(b"SSH-2.0-OpenSSH_10.0\r\n", &nobody);
    check_start(b"HTTP/1.1 400 Bad Request\r\n\r\n", &nobody);
    let begin = enter("it does not begin as it should") + hint;
    check_start(&Kind::Welcome.frame(b"withers\0\x01"), &begin);
    check_start(&Kind::Welcome.frame(b"thither\0\0"), &(enter("there is no version 0") + hint));
    check_start(&[0x81, 0xff, 0xff, 0xff, 0xff], &(enter("it is too long") + hint));
    check_start(&frame::hello(Side::Client), &(enter("the other side sends its kind") + hint));
    let late = enter("it comes at the wrong time");
    check_start(&Kind::Started.frame(&[0; 4]), &(late.clone() + hint));
    check_start(&Kind::Output.frame(b"x"), &(late + hint));
}

#[test]
fn no_answer() {
    let after = |frame: Vec<u8>| [frame::hello(Side::Server), frame].concat();
    let enter = |why| format!("cannot enter `daemon:`, malformed frame: {why}, ");
    let late = enter("it comes at the wrong time");
    check_start(&after(frame::hello(Side::Server)), &late);
    check_start(&after(Kind::Output.frame(b"x")), &late);
    check_start(&after(Kind::Exited.frame(&[0; 5])), &late);
    check_start(&after(Kind::Pong.frame(b"")), &late);
    check_start(&after(Kind::Started.frame(b"")), &enter("no such id"));
    check_start(&after(Kind::Refused.frame(b"\x09")), &enter("nobody knows this reason"));
    check_start(&after(vec![0x83, 0, 0, 0x40, 1]), &enter("it is too long"));
    check_start(&after(vec![0x83, 0, 0, 0x40]), "connection to `daemon:` lost, , ");
}

/// What becomes of a running command when this comes, of which it has standard output: the error and its source.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let bytes = bytes.to_vec();
    let said = within_deadline("an error", move || {
        let (_out, stdout) = given();
        let (mut process, mut server) = Server::of(&quiet().stdout(stdout), &LINK);
        server.write(&bytes);
        server.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let error = next_event(&mut process).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let again = next_event(&mut process).unwrap_err();
        assert!(matches!(again, Error::Disconnected { .. }), "{again:?}");
        server.hears_end();
        format!("{error}, {}", source.unwrap_or_default())
    });
    assert_eq!(said, expected);
}

#[test]
fn frames_that_may_not_come() {
    let malformed = |why| {
        format!("cannot read what comes from the command in `daemon:`, malformed frame: {why}")
    };
    let late = malformed("it comes at the wrong time");
    check(&frame::hello(Side::Server), &late);
    check(&Kind::Started.frame(&[0; 4]), &late);
    check(&Kind::Refused.frame(&[1; 13]), &late);
    check(&Kind::Errors.frame(b"x"), &malformed("nobody has asked for this output"));
    check(&Kind::Errors.frame(b""), &malformed("nobody has asked for this output"));
    check(&Kind::Input.frame(b"x"), &malformed("the other side sends its kind"));
    check(b"garbage", &malformed("nobody knows its kind"));
    check(&[0x84, 0, 0x10, 0, 1], &malformed("it is too long"));
    check(&[0x84, 0xff, 0xff, 0xff, 0xff], &malformed("it is too long"));
    for body in [&b""[..], b"\x01\x02\x03", b"\x01\x02\x03\x04\x05"] {
        check(&Kind::Credit.frame(body), &malformed("no such credit"));
    }
    for body in [&b""[..], b"\0", b"\0\0\0\0\0\0", b"\x02\0\0\0\0", b"\x01\0\0\0\0", b"\x01\0\0\0A"]
    {
        check(&Kind::Exited.frame(body), &malformed("no such end"));
    }
    for body in [&b""[..], b"\0", b"A", b"\x01\x01"] {
        check(&Kind::Stopped.frame(body), &malformed("no such end"));
    }
}

#[test]
fn the_end_in_the_middle() {
    let lost = "connection to `daemon:` lost, ";
    check(b"", lost);
    check(&Kind::Output.frame(b"x")[..3], lost);
    check(&Kind::Output.head(10), lost);
    check(&Kind::Output.frame(b"0123456789")[..9], lost);
    // The same in what is spliced.
    check(&Kind::Output.frame(&[b'x'; 9000])[..8000], lost);
    check(&Kind::Exited.frame(&[0; 5])[..9], lost);
}

#[test]
fn what_follows_the_end_is_nothing() {
    within_deadline("the end", || {
        let (out, stdout) = given();
        let command = quiet().stdout(stdout);
        let (mut process, mut server) = Server::of(&command, &LINK);
        drop(command);
        let exited = Kind::Exited.frame(&[0; 5]);
        let more = [exited.clone(), Kind::Output.frame(b"more"), exited, b"garbage".to_vec()];
        server.write(&more.concat());
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        assert_eq!(text_of(out), "");
    });
}

/// Frames without end are worked off in steps, and answers that nobody has asked for are nothing.
#[test]
fn a_flood_of_empty_frames() {
    within_deadline("the end", || {
        let (mut process, mut server) = Server::of(&quiet(), &LINK);
        let flooding = thread::spawn(move || {
            let pong = Kind::Pong.frame(&[b'x'; LONGEST_SMALL]);
            (0..100).for_each(|_| server.write(&pong));
            let empty = Kind::Pong.frame(b"").repeat(1000);
            (0..100).for_each(|_| server.write(&empty));
            server.exit(0);
            server
        });
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        flooding.join().unwrap();
    });
}

//! A service manager that is an enemy: whatever it says, it is an error, and nothing is left.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use expect_test::{Expect, expect};
use testkit::{Smbd, within_deadline};
use thither_remote::smb::install::status;
use thither_remote::smb::{Settings, Smb};
use thither_remote::ssh::Secret;

use crate::common::{each, told};

/// An answer: C706, 12.6.
fn fragment(kind: u8, flags: u8, call: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap().to_le_bytes();
    let head = [5, 0, kind, flags, 0x10, 0, 0, 0, length[0], length[1], 0, 0, call, 0, 0, 0];
    [&head[..], body].concat()
}

/// The answer to the first message.
fn ack() -> Vec<u8> {
    let body = b"\xb8\x10\xb8\x10\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\
        \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\0\x2b\x10\x48\x60\x02\0\0\0";
    fragment(12, 3, 1, body)
}

fn read(stream: &mut UnixStream) -> Option<()> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).ok()?;
    let mut rest = vec![0; usize::from(u16::from_le_bytes([head[8], head[9]])) - 16];
    stream.read_exact(&mut rest).ok()
}

/// What is said when these are the answers to the first messages.
#[track_caller]
fn check(answers: Vec<Vec<u8>>, expected: Expect) {
    let smbd = match Smbd::windows() {
        Ok(smbd) => smbd,
        Err(reason) => testkit::skip!("{reason}"),
    };
    each(smbd.pipe("svcctl"), move |mut stream| {
        for answer in &answers {
            // An empty one is its end.
            if read(&mut stream).is_none() || stream.write_all(answer).is_err() || answer.is_empty()
            {
                return;
            }
        }
        // smbd drops what it has not passed on when it learns of our end.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let place = Smb::from(Settings {
        host: "127.0.0.1".into(),
        port: Some(smbd.port()),
        username: Some(smbd.user().into()),
        password: Some(Secret::new(smbd.password())),
        ..Settings::default()
    });
    let result = within_deadline("an error", move || status(&place, None, None));
    let told = told(&result.unwrap_err());
    let told = told.replace(smbd.user(), "USER").replace(&smbd.port().to_string(), "PORT");
    expected.assert_eq(&told);
}

#[test]
fn answers_that_are_none() {
    check(
        vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is no DCE/RPC"
        ],
    );
    check(
        vec![vec![]],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager ended the connection"
        ],
    );
    check(
        vec![ack(), vec![]],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager ended the connection"
        ],
    );
}

#[test]
fn lengths_are_not_believed() {
    let mut long = ack();
    long[8..10].fill(0xff);
    check(
        vec![long],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: a fragment is too long"
        ],
    );
    let mut short = ack();
    short[8..10].copy_from_slice(&[15, 0]);
    check(
        vec![short],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is cut short"
        ],
    );
    check(
        vec![ack(), fragment(2, 3, 2, &[0; 12])],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is cut short"
        ],
    );
}

#[test]
fn answers_to_other_calls() {
    check(
        vec![fragment(12, 3, 7, &ack()[16..])],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it answers another call"
        ],
    );
    check(
        vec![ack(), fragment(2, 3, 1, &[0; 32])],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it answers another call"
        ],
    );
    check(
        vec![ack(), fragment(2, 2, 2, &[0; 32])],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is not what comes next"
        ],
    );
    check(
        vec![ack(), ack()],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it answers another call"
        ],
    );
}

#[test]
fn refusals() {
    check(
        vec![fragment(13, 3, 1, &[4, 0, 0, 0])],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager does not let us call it (reason 4)"
        ],
    );
    let fault = [&[0; 8][..], &[3, 0, 1, 0x1c], &[0; 4]].concat();
    check(
        vec![ack(), fragment(3, 3, 2, &fault)],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager answers a fault, nca_unk_if (0x1c010003)"
        ],
    );
    let denied = [&[0; 8][..], &[0; 20], &[5, 0, 0, 0]].concat();
    check(
        vec![ack(), fragment(2, 3, 2, &denied)],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: access is denied (ERROR_ACCESS_DENIED); hint: log on as an administrator: an account of the domain, or the built-in Administrator; UAC filters other local accounts"
        ],
    );
}

#[test]
fn endless_answers() {
    let first = fragment(2, 1, 2, &[0; 4008]);
    let more = fragment(2, 0, 2, &[0; 4008]).repeat(100);
    check(
        vec![ack(), [first.clone(), more].concat()],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is too long"
        ],
    );
    let empty = fragment(2, 0, 2, &[0; 8]).repeat(100);
    check(
        vec![ack(), [first, empty].concat()],
        expect![
            "cannot call the service manager in `smb:USER@127.0.0.1:PORT`: the service manager's answers make no sense: it is not what comes next"
        ],
    );
}

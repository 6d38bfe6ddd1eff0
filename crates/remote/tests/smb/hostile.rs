//! Answers of an enemy.

use std::io::{Read, Write};
use std::net::TcpStream;

use expect_test::{Expect, expect};

use crate::common::{refused, scripted};

/// What is said when a server answers the first message with these bytes, and goes.
#[track_caller]
fn check(answer: &'static [u8], expected: Expect) {
    let place = scripted(move |mut client| {
        let mut head = [0; 4];
        client.read_exact(&mut head).unwrap();
        let mut message = vec![0; u32::from_be_bytes(head) as usize];
        client.read_exact(&mut message).unwrap();
        let _ = client.write_all(answer);
        wait_for_end(client);
    });
    expected.assert_eq(&refused(&place));
}

fn wait_for_end(mut client: TcpStream) {
    let _ = client.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut client, &mut std::io::sink());
}

/// A frame of an answer to NEGOTIATE with this status, and a body; MS-SMB2 2.2.1.2.
const fn answer<const N: usize>(status: [u8; 4], body: [u8; N]) -> ([u8; 68], [u8; N]) {
    let mut head = [0; 68];
    head[3] = 64 + N as u8;
    head[4] = 0xfe;
    head[5] = b'S';
    head[6] = b'M';
    head[7] = b'B';
    head[8] = 64;
    let mut i = 0;
    while i < 4 {
        head[12 + i] = status[i];
        i += 1;
    }
    // One credit, and that it is an answer.
    head[18] = 1;
    head[20] = 1;
    (head, body)
}

#[track_caller]
fn check_message<const N: usize>(status: [u8; 4], body: [u8; N], expected: Expect) {
    let (head, body) = answer(status, body);
    check(Box::leak([&head[..], &body[..]].concat().into_boxed_slice()), expected);
}

#[test]
fn what_is_no_smb() {
    check(
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        expect![
            "cannot enter `smb:ann@127.0.0.1`: what listens on the port does not speak SMB; hint: check the port"
        ],
    );
    check(b"", expect!["cannot enter `smb:ann@127.0.0.1`: it ended the connection"]);
    check(
        b"\0\0\0\x04\xffSMB",
        expect![
            "cannot enter `smb:ann@127.0.0.1`: what listens on the port does not speak SMB; hint: check the port"
        ],
    );
    check(
        b"\0\0\0\0",
        expect![
            "cannot enter `smb:ann@127.0.0.1`: what listens on the port does not speak SMB; hint: check the port"
        ],
    );
    check(
        b"\0\0\0\x04\xfcSMB",
        expect![
            "cannot enter `smb:ann@127.0.0.1`: what listens on the port does not speak SMB; hint: check the port"
        ],
    );
}

#[test]
fn lengths_are_not_believed() {
    check(
        b"\0\xff\xff\xff\xfeSMB",
        expect!["cannot enter `smb:ann@127.0.0.1`: it announces 16777215 bytes at once"],
    );
    check(
        b"\0\x03\xff\xff\xfeSMB",
        expect!["cannot enter `smb:ann@127.0.0.1`: it ended the connection"],
    );
    check(
        b"\0\0\0\x04\xfeSMB",
        expect!["cannot enter `smb:ann@127.0.0.1`: it ended the connection"],
    );
    check(
        b"\0\0\0\x08\xfdSMB\xff\xff\xff\xff",
        expect!["cannot enter `smb:ann@127.0.0.1`: it ended the connection"],
    );
}

#[test]
fn answers_that_make_no_sense() {
    check_message(
        [0; 4],
        [0; 0],
        expect![
            "cannot enter `smb:ann@127.0.0.1`: its answers make no sense: Invalid data: need 2 bytes but only 0 remain at offset 0"
        ],
    );
    check_message(
        [0; 4],
        [0xff; 64],
        expect![
            "cannot enter `smb:ann@127.0.0.1`: its answers make no sense: Invalid data: invalid NegotiateResponse structure size: expected 65, got 65535"
        ],
    );
    // STATUS_NOT_SUPPORTED, and something unheard of.
    check_message(
        [0xbb, 0, 0, 0xc0],
        [0; 9],
        expect![
            "cannot enter `smb:ann@127.0.0.1`: it does not speak SMB 3.1.1; hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3"
        ],
    );
    check_message(
        [0xad, 0xde, 0, 0xc0],
        [0; 9],
        expect![
            "cannot enter `smb:ann@127.0.0.1`: it does not speak SMB 3.1.1; hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3"
        ],
    );
}

//! pushy's own protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use expect_test::expect;
use testkit::within_deadline;
use thither_place::{Command, Endpoint, Place, Stream};
use thither_remote::smb::{Compat, Settings, Smb};

use crate::common::{Host, each, end, host, told};

fn place(host: &Host) -> Smb {
    Smb::from(Settings { compat: Compat::Pushy, ..host.settings() })
}

/// Reads what pushy's service reads first.
fn arguments(stream: &mut UnixStream) -> Vec<String> {
    let mut count = [0];
    stream.read_exact(&mut count).unwrap();
    let mut word = || {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut word = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut word).unwrap();
        String::from_utf8(word).unwrap()
    };
    (0..count[0]).map(|_| word()).collect()
}

#[test]
fn arguments_input_and_output_arrive() {
    let host = host!();
    each(host.smbd.pipe("pushy"), |mut stream| {
        let arguments = arguments(&mut stream);
        let mut input = [0; 5];
        stream.read_exact(&mut input).unwrap();
        write!(stream, "{arguments:?} {}", String::from_utf8_lossy(&input)).unwrap();
        // smbd would lose what it has not handed on yet.
        stream.read_exact(&mut [0]).unwrap();
    });
    let command = Command::new("python").args(["-c", "", "a b"]);
    let command = command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
    let mut process = place(&host).spawn(&command).unwrap();
    let mut stdin = File::from(process.stdin.take().unwrap());
    let mut stdout = File::from(process.stdout.take().unwrap());
    stdin.write_all(b"hello").unwrap();
    let expected = r#"["python", "-c", "", "a b"] hello"#;
    let said = within_deadline("the output", move || {
        let mut text = vec![0; expected.len()];
        stdout.read_exact(&mut text).unwrap();
        stdin.write_all(b"!").unwrap();
        stdout.read_to_end(&mut text).map(|_| String::from_utf8(text).unwrap())
    });
    assert_eq!(said.unwrap(), expected);
    let ended = end(process).replace(&place(&host).address(), "smb:HOST");
    expect!["`smb:HOST` cannot tell how the command ended: pushy's service has no word for it; hint: have a service of thither's own there"].assert_eq(&ended);
}

#[test]
fn the_end_of_a_piped_input_lets_the_program_go() {
    let host = host!();
    let (reader, writer) = std::io::pipe().unwrap();
    let writer = std::sync::Arc::new(writer);
    each(host.smbd.pipe("pushy"), move |mut stream| {
        let _held = &writer;
        arguments(&mut stream);
        let mut input = String::new();
        // Ends when the client is gone.
        let _ = stream.read_to_string(&mut input);
        (&*writer).write_all(input.as_bytes()).unwrap();
    });
    let command = Command::new("python").stdin(Stream::Piped).stdout(Stream::Piped);
    let mut process = place(&host).spawn(&command).unwrap();
    File::from(process.stdin.take().unwrap()).write_all(b"bye").unwrap();
    let said = within_deadline("what it heard", move || {
        let mut text = [0; 3];
        (&reader).read_exact(&mut text).map(|()| text)
    });
    assert_eq!(&said.unwrap(), b"bye");
}

#[test]
fn a_server_that_is_killed_is_lost() {
    let mut host = host!();
    each(host.smbd.pipe("pushy"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let process = place(&host).spawn(&Command::new("x").stdin(Stream::Null)).unwrap();
    host.smbd.kill();
    assert_eq!(end(process), format!("connection to `{}` lost", place(&host).address()));
}

#[test]
fn what_it_cannot_is_said() {
    let host = host!();
    each(host.smbd.pipe("pushy"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut process = place(&host).spawn(&Command::new("x").stdin(Stream::Null)).unwrap();
    let address = place(&host).address();
    let check = |error: thither_place::Error, expected: expect_test::Expect| {
        expected.assert_eq(&told(&error).replace(&address, "smb:HOST"));
    };
    check(
        process.signal(15).unwrap_err(),
        expect![
            "`smb:HOST` cannot send signal 15: pushy's service has no word for it; hint: have a service of thither's own there"
        ],
    );
    check(
        process.control.end_input(None).unwrap_err(),
        expect![
            "`smb:HOST` cannot end the input: pushy's service has no word for it; hint: have a service of thither's own there"
        ],
    );
    let to = Endpoint::Unix("/x".into());
    check(
        place(&host).connect(&to).unwrap_err(),
        expect![
            "`smb:HOST` cannot connect to sockets: pushy's service runs programs only; hint: have a service of thither's own there"
        ],
    );
}

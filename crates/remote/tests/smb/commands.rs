//! Commands by the service at the other end of the pipe.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use testkit::{DEADLINE, Marker, wait_until, within_deadline};
use thither_place::{Endpoint, Exit, Place, Stream};

use crate::common::{end, host, output, sh};

#[test]
fn output_errors_and_code_arrive() {
    let host = host!().serves();
    let output = output(&host.place(), &sh("echo out; echo err >&2; exit 7"));
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.exit, Exit::Code(7));
}

#[test]
fn input_and_its_end_arrive() {
    let host = host!().serves();
    let command = sh("cat; echo end").stdin(Stream::Piped).stdout(Stream::Piped);
    let mut process = host.place().spawn(&command).unwrap();
    File::from(process.stdin.take().unwrap()).write_all(b"in ").unwrap();
    let mut stdout = File::from(process.stdout.take().unwrap());
    let said = within_deadline("the output", move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(said.unwrap(), "in end\n");
    assert_eq!(end(process), "Code(0)");
}

#[test]
fn a_signal_arrives() {
    let host = host!().serves();
    let script = "trap 'exit 42' USR1; echo ready; while :; do sleep 0.01; done";
    let mut process =
        host.place().spawn(&sh(script).stdout(Stream::Piped).stderr(Stream::Null)).unwrap();
    let mut lines = BufReader::new(File::from(process.stdout.take().unwrap()));
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    process.signal(10).unwrap();
    assert_eq!(end(process), "Code(42)");
}

#[test]
fn letting_go_ends_the_command() {
    let host = host!().serves();
    let marker = Marker::new();
    let (name, value) = marker.variable();
    let command = sh("exec sleep 1000").env(name, value).stdin(Stream::Null).stdout(Stream::Null);
    let process = host.place().spawn(&command.stderr(Stream::Null)).unwrap();
    wait_until(DEADLINE, "the command", || !marker.processes().is_empty());
    drop(process);
    marker.assert_gone();
}

#[test]
fn a_socket_over_there_is_a_stream() {
    let host = host!().serves();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let echo = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let said = within_deadline("an answer", move || {
        let mut stream = UnixStream::from(host.place().connect(&Endpoint::Unix(path)).unwrap());
        stream.write_all(b"hello").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(said.unwrap(), "HELLO");
    echo.join().unwrap();
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let host = host!().serves();
    let error = host.place().spawn(&thither_place::Command::new("no-such-program")).unwrap_err();
    assert_eq!(error.shell_code(), 127);
}

//! Sockets over there as streams.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;

use testkit::within_deadline;
use thither_python::{Python, RemoteStream};

use crate::python;

/// A server that answers with what it is sent, and closes after that.
fn echo<S: Read + Write + Send + 'static>(accept: impl FnOnce() -> S + Send + 'static) {
    thread::spawn(move || {
        let mut stream = accept();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => stream.write_all(&buffer[..count]).unwrap(),
            }
        }
    });
}

fn tcp(py: &Python) -> RemoteStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    echo(move || listener.accept().unwrap().0);
    py.connect_tcp("127.0.0.1", port).unwrap()
}

#[track_caller]
fn check_echo(stream: &RemoteStream) {
    let sent: Vec<u8> = (0..8 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    let mut reader = stream;
    reader.read_to_end(&mut got).unwrap();
    assert!(got == expected, "{} bytes", got.len());
    writing.join().unwrap();
}

#[test]
fn tcp_both_ways_at_once() {
    within_deadline("an echo", || check_echo(&tcp(&python())));
}

#[test]
fn unix_both_ways_at_once() {
    within_deadline("an echo", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        echo(move || listener.accept().unwrap().0);
        check_echo(&python().connect_unix(&path).unwrap());
    });
}

#[test]
fn a_read_that_waits_ends_with_the_socket() {
    within_deadline("a read", || {
        let py = python();
        let stream = tcp(&py);
        let mut reader = stream.try_clone().unwrap();
        let reading = thread::spawn(move || reader.read(&mut [0; 9]));
        for _ in 0..100 {
            assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
        }
        stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), 0);
        let error = (&stream).write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    });
}

#[test]
fn a_dropped_one_is_closed_over_there() {
    within_deadline("the end", || {
        let py = python();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let before: Vec<String> = py.eval("__import__('os').listdir('/proc/self/fd')", ()).unwrap();
        let stream = py.connect_tcp("localhost", port).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        drop(stream);
        assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
        testkit::wait_until(testkit::DEADLINE, "no descriptor is left", || {
            let after: Vec<String> =
                py.eval("__import__('os').listdir('/proc/self/fd')", ()).unwrap();
            after == before
        });
    });
}

#[test]
fn nobody_there() {
    within_deadline("errors", || {
        let py = python();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let said = py.connect_tcp("127.0.0.1", port).unwrap_err().to_string();
        let expected = format!("Connection refused: '127.0.0.1:{port}'");
        assert!(said.starts_with("ConnectionRefusedError") && said.ends_with(&expected), "{said}");
        let said = py.connect_unix("/missing").unwrap_err().to_string();
        assert_eq!(said, "FileNotFoundError: [Errno 2] No such file or directory: '/missing'");
        let said = py.connect_tcp("no.such.host.invalid", 1).unwrap_err();
        assert!(said.is_instance_of("OSError"), "{said}");
    });
}

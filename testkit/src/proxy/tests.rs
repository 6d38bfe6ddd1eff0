//! The proxy in front of a server that echoes.

use std::io::{Read, Write};
use std::time::Duration;

use super::*;
use crate::{DEADLINE, wait_until};

/// A server that sends back all that it receives, on a Unix socket; ends with the test's process.
fn echo(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("echo");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            thread::spawn(move || {
                let mut reader = stream.try_clone().unwrap();
                let _ = io::copy(&mut reader, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    path
}

fn connect(proxy: &Proxy) -> UnixStream {
    let stream = UnixStream::connect(proxy.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends, and returns what comes back until the end.
fn exchange(proxy: &Proxy, sent: &[u8]) -> Vec<u8> {
    let mut stream = connect(proxy);
    let mut writer = stream.try_clone().unwrap();
    let sent = sent.to_vec();
    // Beside the reading: the echo waits for its reader.
    let writing = thread::spawn(move || {
        let _ = writer.write_all(&sent);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received);
    writing.join().unwrap();
    received
}

#[test]
fn all_is_forwarded_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let server = echo(&folder);
    let (unix, tcp) = (Proxy::unix(&server), Proxy::tcp(&server));
    let chained = Proxy::unix_to_tcp(tcp.address());
    let last = Proxy::tcp_to_tcp(tcp.address());
    let big = vec![b'x'; 3 << 20];
    for proxy in [&unix, &chained] {
        assert_eq!(exchange(proxy, &big).len(), big.len());
        assert_eq!(exchange(proxy, b"GET / HTTP/1.1\r\n\r\n"), b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(proxy.connections(), 2);
        wait_until(DEADLINE, "the end of both", || proxy.open() == 0);
        let requests = proxy.requests();
        assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1 << 20, 18]);
    }
    assert_eq!(tcp.connections(), 2);
    assert_eq!(unix.host(), format!("unix://{}", unix.socket().display()));
    assert_eq!(last.host(), format!("tcp://{}", last.address()));
    let mut stream = TcpStream::connect(last.address()).unwrap();
    stream.write_all(b"ab").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
}

#[test]
fn open_connections_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::unix(&echo(&folder));
    let mut stream = connect(&proxy);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    assert_eq!(proxy.open(), 1);
    proxy.cut();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(stream.write_all(b"b").is_err());
    assert_eq!(proxy.open(), 0);
    assert_eq!(exchange(&proxy, b"again"), b"again");
}

#[test]
fn a_stalled_one_holds_all_back_until_it_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::unix(&echo(&folder));
    let mut before = connect(&proxy);
    before.write_all(b"a").unwrap();
    before.read_exact(&mut [0]).unwrap();
    proxy.stall();
    let mut after = connect(&proxy);
    for stream in [&mut before, &mut after] {
        stream.write_all(b"b").unwrap();
    }
    wait_until(DEADLINE, "what was sent", || proxy.requests() == [b"ab".to_vec(), b"b".to_vec()]);
    for stream in [&mut before, &mut after] {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert!(stream.read(&mut [0]).is_err());
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    proxy.resume();
    for stream in [&mut before, &mut after] {
        stream.read_exact(&mut [0]).unwrap();
    }
    proxy.stall();
    before.write_all(b"c").unwrap();
    wait_until(DEADLINE, "what was sent", || proxy.requests()[0] == b"abc");
    let traffic = Arc::clone(&proxy.traffic);
    drop(proxy);
    wait_until(DEADLINE, "the end of the threads", || Arc::strong_count(&traffic) == 1);
    assert_eq!(before.read(&mut [0]).unwrap(), 0);
}

#[test]
fn faults() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::unix(&echo(&folder));
    proxy.on("attach");
    proxy.after(3);
    assert_eq!(exchange(&proxy, b"attach"), b"att");
    assert_eq!(exchange(&proxy, b"others"), b"others");
    proxy.garbage(b"\0\xff");
    assert_eq!(exchange(&proxy, b"attach"), b"\0\xff");
    assert_eq!(exchange(&proxy, b"others"), b"others");
    proxy.on("");
    assert_eq!(exchange(&proxy, b"others"), b"\0\xff");

    proxy.truncate(2);
    let mut stream = connect(&proxy);
    stream.write_all(b"abc").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"ab");
    let last = || proxy.requests().last().unwrap().clone();
    stream.write_all(b"def").unwrap();
    wait_until(DEADLINE, "the client's bytes", || last() == b"abcdef");
    proxy.forward();
    assert_eq!(exchange(&proxy, b"others"), b"others");
}

#[test]
fn a_server_that_is_not_there_closes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::unix(&folder.path().join("nobody"));
    assert_eq!(connect(&proxy).read(&mut [0]).unwrap(), 0);
    assert_eq!((proxy.connections(), proxy.open()), (1, 0));
}

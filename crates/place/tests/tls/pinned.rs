//! Connections between two keys: who gets in, and what becomes of everybody else.

use std::error::Error as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};
use testkit::{DEADLINE, within_deadline};
use thither_place::tls::{self, Fingerprint, Key, accept_pinned, connect_pinned};

use crate::raw::{Impostor, client_config, server_config, stolen};

const HINT: &str = "check that a daemon of thither listens on this port";
const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn key() -> Key {
    Key::generate().unwrap()
}

/// The two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    for end in [&client, &server] {
        end.set_read_timeout(Some(DEADLINE)).unwrap();
        end.set_write_timeout(Some(DEADLINE)).unwrap();
    }
    (client, server)
}

fn stream(descriptor: OwnedFd) -> UnixStream {
    let stream = UnixStream::from(descriptor);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

type Accepted = Result<(UnixStream, Fingerprint), tls::Error>;

fn accept(tcp: TcpStream, key: Key, limit: Duration) -> JoinHandle<Accepted> {
    thread::spawn(move || {
        let (descriptor, who) = accept_pinned(tcp, &key, limit)?;
        Ok((stream(descriptor), who))
    })
}

/// What `accept_pinned` says of a client.
#[track_caller]
fn check_client(client: impl FnOnce(TcpStream) + Send + 'static, said: &[&str]) {
    let (ours, theirs) = pair();
    let accepting = accept(theirs, key(), DEADLINE);
    let client = thread::spawn(move || client(ours));
    let error = within_deadline("a client is refused", move || accepting.join().unwrap());
    within_deadline("the client ends", move || client.join().unwrap());
    check_error(&error.map(|(_, who)| who).unwrap_err(), said);
}

/// What `connect_pinned` says of a server that was to have the key.
#[track_caller]
fn check_server(
    expected: Fingerprint,
    server: impl FnOnce(TcpStream) + Send + 'static,
    said: &[&str],
) {
    let (ours, theirs) = pair();
    let server = thread::spawn(move || server(theirs));
    let error = within_deadline("a server is refused", move || {
        connect_pinned(ours, &key(), expected, "build", DEADLINE).unwrap_err()
    });
    within_deadline("the server ends", move || server.join().unwrap());
    check_error(&error, said);
}

#[track_caller]
fn check_error(error: &tls::Error, said: &[&str]) {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let text = format!("{error}{cause}; {}", error.hint().unwrap_or("no hint"));
    for words in said {
        assert!(text.contains(words), "no {words:?} in: {text}");
    }
}

/// A client of rustls itself: the handshake, and then whatever comes until the end.
fn raw_client(config: ClientConfig) -> impl FnOnce(TcpStream) + Send + 'static {
    move |tcp| {
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let _ = StreamOwned::new(connection, tcp).read_to_end(&mut Vec::new());
    }
}

#[track_caller]
fn check_echo(client: &mut UnixStream, server: &mut UnixStream) {
    let mut got = [0; 5];
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    server.write_all(b"world").unwrap();
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"world");
}

#[test]
fn two_that_know_each_other() {
    let (ours, theirs) = (key(), key());
    let (tcp, accepted) = pair();
    let (nodelay, its_nodelay) = (tcp.try_clone().unwrap(), accepted.try_clone().unwrap());
    let (expected, known) = (theirs.fingerprint(), ours.fingerprint());
    let accepting = accept(accepted, theirs, DEADLINE);
    within_deadline("a connection", move || {
        let mut client = stream(connect_pinned(tcp, &ours, expected, "build", DEADLINE).unwrap());
        let (mut server, who) = accepting.join().unwrap().unwrap();
        assert_eq!(who, known);
        check_echo(&mut client, &mut server);
        assert!(nodelay.nodelay().unwrap() && its_nodelay.nodelay().unwrap());
        // Each end by itself, as with any descriptor of the bridge.
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        server.write_all(b"bye").unwrap();
        drop(server);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"bye");
    });
}

#[test]
fn a_server_with_another_key() {
    let (expected, found) = (key(), key());
    let words = [expected.fingerprint(), found.fingerprint()];
    let (tcp, accepted) = pair();
    let accepting = accept(accepted, found, DEADLINE);
    let (error, accepted) = within_deadline("another key", move || {
        let error = connect_pinned(tcp, &key(), words[0], "build", DEADLINE).unwrap_err();
        (error, accepting.join().unwrap())
    });
    check_error(
        &error,
        &[
            "`build` has another key than the one it was paired with",
            "if its key was changed on purpose, pair again: `thither pair HOST`",
        ],
    );
    let tls::Error::OtherKey { expected, found, .. } = error else { panic!("{error:?}") };
    assert_eq!([expected, found], words);
    // It was told so, and knows of no client.
    check_error(&accepted.map(|(_, who)| who).unwrap_err(), &["received fatal alert"]);
}

#[test]
fn a_stolen_public_key() {
    let (victim, thief) = (key(), key());
    let signed = stolen(&victim, &thief);
    let refused = ["no TLS connection by keys with `127.0.0.1:", "BadSignature"];
    check_client(raw_client(client_config(Impostor::with(signed))), &refused);

    let config = server_config(Impostor::with(stolen(&victim, &thief)));
    check_server(
        victim.fingerprint(),
        move |tcp| {
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let _ = StreamOwned::new(connection, tcp).read_to_end(&mut Vec::new());
        },
        &["no TLS connection by keys with `build`", "BadSignature", HINT],
    );
    // The same impostor with a pair that belongs together: what was refused is the signature.
    let (ours, theirs) = pair();
    let client = thread::spawn(move || {
        raw_client(client_config(Impostor::with(stolen(&victim, &victim))))(ours);
        victim.fingerprint()
    });
    let (_, who) = accept(theirs, key(), DEADLINE).join().unwrap().unwrap();
    assert_eq!(client.join().unwrap(), who);
}

#[test]
fn a_client_without_a_key() {
    let none = Impostor::with(None);
    check_client(raw_client(client_config(none.clone())), &["peer sent no certificates"]);
    // One that has never heard of raw public keys.
    let certificates = Impostor { raw: false, ..none };
    check_client(raw_client(client_config(certificates)), &["IncorrectCertificateTypeExtension"]);
}

#[test]
fn a_key_of_another_kind() {
    let other = Impostor::with(crate::raw::p256());
    // It sees that nothing it could sign with is wanted, and sends none.
    check_client(raw_client(client_config(other)), &["no TLS connection by keys"]);
}

#[test]
fn an_older_version() {
    let old = Impostor { versions: TLS12, raw: false, ..Impostor::with(None) };
    check_client(raw_client(client_config(old.clone())), &["Tls12NotOfferedOrEnabled"]);
    let config = server_config(Impostor { key: stolen(&key(), &key()), ..old });
    check_server(
        key().fingerprint(),
        move |tcp| {
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let _ = StreamOwned::new(connection, tcp).read_to_end(&mut Vec::new());
        },
        &["no TLS connection by keys with `build`", HINT],
    );
}

#[test]
fn another_protocol() {
    let us = key();
    let same = || stolen(&us, &us);
    for alpn in [None, Some("h2")] {
        let client = Impostor { alpn, ..Impostor::with(same()) };
        check_client(
            raw_client(client_config(client)),
            &["peer doesn't support any known protocol"],
        );
        let config = server_config(Impostor { alpn, ..Impostor::with(same()) });
        check_server(
            us.fingerprint(),
            move |tcp| {
                let connection = ServerConnection::new(Arc::new(config)).unwrap();
                let _ = StreamOwned::new(connection, tcp).read_to_end(&mut Vec::new());
            },
            &["no TLS connection by keys with `build`", "rotocol", HINT],
        );
    }
}

/// A peer that sends these bytes, and then reads until the end.
fn sends(bytes: Vec<u8>) -> impl FnOnce(TcpStream) + Send + 'static {
    move |mut tcp| {
        // Whoever has seen enough may have closed.
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        let _ = tcp.read_to_end(&mut Vec::new());
    }
}

#[test]
fn plain_text_and_garbage() {
    let us = key().fingerprint();
    let noise: Vec<u8> =
        (0u32..5000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    // A handshake record, RFC 8446, 5.1 and 4, that holds no ClientHello; and one as long as none may be.
    let record = [b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c".as_slice(), &[0xff; 12]].concat();
    let long = [b"\x16\x03\x01\xff\xff\x01".as_slice(), &[0; 70000]].concat();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), noise, record, long, vec![0; 20000]] {
        check_client(sends(bytes.clone()), &["no TLS connection by keys with `127.0.0.1:"]);
        check_server(us, sends(bytes), &["no TLS connection by keys with `build`", HINT]);
    }
    let lost = "lost in the TLS handshake";
    check_client(sends(Vec::new()), &[lost]);
    check_server(us, sends(Vec::new()), &["connection to `build` lost"]);
    // What is a beginning, and then ends.
    check_client(sends(b"\x16\x03\x01\x01".to_vec()), &[lost]);
    check_server(us, sends(b"\x16\x03\x03".to_vec()), &[lost]);
}

#[test]
fn a_client_that_vanishes() {
    check_client(drop, &["lost in the TLS handshake"]);
    let us = key();
    let config = client_config(Impostor::with(stolen(&us, &us)));
    check_client(
        move |mut tcp| {
            let name = "localhost".try_into().unwrap();
            let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
            connection.write_tls(&mut tcp).unwrap();
            // The server has answered, and waits for the rest.
            tcp.read_exact(&mut [0; 5]).unwrap();
        },
        &["lost in the TLS handshake"],
    );
}

/// Bytes that trickle in for as long as anybody takes them.
fn trickles(mut tcp: TcpStream) {
    // The beginning of a record of 16 KiB.
    let _ = tcp.write_all(b"\x16\x03\x01\x40\x00");
    tcp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    while tcp.write_all(b"\x01").is_ok() && !matches!(tcp.read(&mut [0; 4096]), Ok(0)) {}
}

#[test]
fn a_handshake_takes_no_longer_than_the_limit() {
    let limit = Duration::from_millis(100);
    let silent: fn(TcpStream) = |mut tcp| {
        let _ = tcp.read_to_end(&mut Vec::new());
    };
    for peer in [silent, trickles] {
        let (tcp, accepted) = pair();
        let peer_of_server = thread::spawn(move || peer(tcp));
        let accepting = accept(accepted, key(), limit);
        let error = within_deadline("its limit", move || accepting.join().unwrap());
        let error = error.map(|(_, who)| who).unwrap_err();
        check_error(&error, &["did not complete the TLS handshake within 100ms"]);
        let (tcp, accepted) = pair();
        let peer_of_client = thread::spawn(move || peer(accepted));
        let error = within_deadline("its limit", move || {
            connect_pinned(tcp, &key(), key().fingerprint(), "build", limit).unwrap_err()
        });
        assert!(matches!(error, tls::Error::TimedOut { .. }), "{error}");
        within_deadline("their ends", move || {
            peer_of_server.join().unwrap();
            peer_of_client.join().unwrap();
        });
    }
}

#[test]
fn nothing_to_resume() {
    let us = key();
    let (tcp, accepted) = pair();
    let config = client_config(Impostor::with(stolen(&us, &us)));
    let accepting = accept(accepted, us, DEADLINE);
    let client = thread::spawn(move || {
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut peer = StreamOwned::new(connection, tcp);
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        (all, peer.conn.tls13_tickets_received())
    });
    within_deadline("an answer", move || {
        let (mut server, _) = accepting.join().unwrap().unwrap();
        server.write_all(b"all").unwrap();
        drop(server);
        assert_eq!(client.join().unwrap(), (b"all".to_vec(), 0));
    });
}

#[test]
fn many_at_once() {
    const MANY: usize = 48;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = key();
    let expected = server.fingerprint();
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            thread::spawn(move || {
                let own = key();
                let tcp = TcpStream::connect(address).unwrap();
                let connected = connect_pinned(tcp, &own, expected, "build", DEADLINE).unwrap();
                let mut client = stream(connected);
                let mut told = String::new();
                client.read_to_string(&mut told).unwrap();
                assert_eq!(told, own.fingerprint().to_string());
            })
        })
        .collect();
    // Each is told who it is.
    let accepting: Vec<_> = (0..MANY)
        .map(|_| {
            let (tcp, server) = (listener.accept().unwrap().0, server.clone());
            thread::spawn(move || {
                let (mut stream, who) = accept(tcp, server, DEADLINE).join().unwrap().unwrap();
                stream.write_all(who.to_string().as_bytes()).unwrap();
            })
        })
        .collect();
    within_deadline("all of them", move || {
        for thread in clients.into_iter().chain(accepting) {
            thread.join().unwrap();
        }
    });
}

//! Who is let in, and what is said to those who are not.

use std::error::Error as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use testkit::within_deadline;
use thither_place::tls::{self, Certificates};

use crate::authority::Authority;
use crate::server::{Server, YEAR, open};

/// Connects to a server that echoes a line, and returns `ok` or the error, its cause and its hint.
fn attempt(server: &Server, certificates: &Certificates, name: &'static str) -> String {
    let config = certificates.config().unwrap();
    let (address, thread) = server.start(|mut peer| {
        let mut line = [0; 4];
        let read = peer.read_exact(&mut line);
        let _ = read.and_then(|()| peer.write_all(&line)).and_then(|()| peer.flush());
    });
    within_deadline("a handshake", move || match open(address, &config, name) {
        Ok(mut stream) => {
            let mut line = [0; 4];
            stream.write_all(b"line").unwrap();
            stream.read_exact(&mut line).unwrap();
            thread.join().unwrap();
            String::from("ok")
        }
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}; {}", error.hint().unwrap_or("no hint"))
        }
    })
}

#[track_caller]
fn check(server: &Server, certificates: &Certificates, name: &'static str, words: &[&str]) {
    let said = attempt(server, certificates, name);
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[track_caller]
fn check_ok(server: &Server, certificates: &Certificates) {
    check(server, certificates, server.name, &["ok"]);
}

/// The certificates with a client's own.
fn with_own(server: &Server, issuer: &Authority) -> Certificates {
    let (cert, key) = issuer.issue("client", YEAR).pem();
    Certificates {
        cert: Some(issuer.write("cert.pem", &cert)),
        key: Some(issuer.write("key.pem", &key)),
        ..server.trusted()
    }
}

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[test]
fn good_certificates() {
    let server = Server::new();
    check_ok(&server, &server.trusted());
    check_ok(
        &Server { versions: TLS12, ..Server::new() },
        &Certificates { insecure: true, ..Default::default() },
    );
    let named = Server { name: "localhost", ..Server::new() };
    check_ok(&named, &named.trusted());
    let six = Server { name: "::1", ..Server::new() };
    check(&six, &six.trusted(), "[::1]", &["ok"]);
}

#[test]
fn an_unknown_authority() {
    let other = Authority::new();
    let trusted = Certificates { ca: Some(other.file()), ..Certificates::default() };
    check(
        &Server::new(),
        &trusted,
        "127.0.0.1",
        &["no TLS connection to `127.0.0.1`", "UnknownIssuer", "name the certificate authority"],
    );
    // Those of the system do not know it either.
    if !std::path::Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        testkit::skip!("no authorities of the system");
    }
    check(&Server::new(), &Certificates::default(), "127.0.0.1", &["UnknownIssuer"]);
}

#[test]
fn a_certificate_that_has_expired() {
    let server = Server { year: 2001, ..Server::new() };
    check(&server, &server.trusted(), "127.0.0.1", &["expired", "renew the server's certificate"]);
}

#[test]
fn a_certificate_for_another_name() {
    let server = Server { name: "other.example", ..Server::new() };
    check(
        &server,
        &server.trusted(),
        "127.0.0.1",
        &["not valid for name", "use a name that is in"],
    );
}

#[test]
fn insecure_takes_all_of_them() {
    let insecure = Certificates { insecure: true, ..Certificates::default() };
    check_ok(&Server { year: 2001, ..Server::new() }, &insecure);
    let server = Server { name: "other.example", ..Server::new() };
    check(&server, &insecure, "127.0.0.1", &["ok"]);
}

#[test]
fn the_certificate_of_a_client() {
    for versions in [rustls::ALL_VERSIONS, TLS12] {
        let server = Server { asks: true, versions, ..Server::new() };
        check_ok(&server, &with_own(&server, &server.authority));
        let hint = "give a client certificate that the server accepts";
        check(&server, &server.trusted(), "127.0.0.1", &["no TLS connection", hint]);
        let other = Authority::new();
        check(&server, &with_own(&server, &other), "127.0.0.1", &["no TLS connection", hint]);
    }
}

#[test]
fn a_server_that_says_nothing_of_the_certificate() {
    let server = Server { asks: true, tickets: 0, ..Server::new() };
    check_ok(&server, &with_own(&server, &server.authority));
}

#[test]
fn a_peer_that_stalls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let config = Certificates { insecure: true, ..Default::default() }.config().unwrap();
    let error = within_deadline("a stalled handshake", move || {
        tls::connect(tcp, config, "stalled", Duration::from_millis(50)).unwrap_err()
    });
    assert_eq!(error.to_string(), "`stalled` did not complete the TLS handshake within 50ms");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
}

/// What is said when the server answers with these bytes and closes.
#[track_caller]
fn check_answer(answer: &'static [u8], said: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        tcp.read_exact(&mut [0; 5]).unwrap();
        tcp.write_all(answer).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    let config = Certificates { insecure: true, ..Default::default() }.config().unwrap();
    let error = within_deadline("a refused handshake", move || {
        tls::connect(tcp, config, "plain", testkit::DEADLINE).unwrap_err()
    });
    assert_eq!(error.to_string(), said);
    assert_eq!(error.hint(), Some("check that TLS is spoken on this port"));
    server.join().unwrap();
}

#[test]
fn a_server_without_tls() {
    check_answer(b"HTTP/1.0 400 Bad Request\r\n\r\n", "no TLS connection to `plain`");
    check_answer(b"", "connection to `plain` lost in the TLS handshake");
}

#[test]
fn names_that_are_none() {
    for name in ["", "a b", "[::1", "x\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let config = Certificates { insecure: true, ..Default::default() }.config().unwrap();
        let error = tls::connect(tcp, config, name, testkit::DEADLINE).unwrap_err();
        assert!(matches!(error, tls::Error::Name { .. }), "{name:?}: {error}");
    }
}

/// What is said about files; `FOLDER` stands for theirs.
#[track_caller]
fn check_files(authority: &Authority, certificates: &Certificates, said: &str) {
    let error = certificates.config().unwrap_err();
    let folder = authority.file().parent().unwrap().display().to_string();
    assert_eq!(error.to_string().replace(&folder, "FOLDER"), said);
}

#[test]
fn files_that_do_not_do() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("client", YEAR).pem();
    let (_, other_key) = authority.issue("client", YEAR).pem();
    let file = |name: &str, text: &str| Some(authority.write(name, text));
    let none = Certificates { insecure: true, ..Certificates::default() };
    let pair =
        |cert: Option<PathBuf>, key: Option<PathBuf>| Certificates { cert, key, ..none.clone() };
    let cert = || file("cert.pem", &cert);

    let ca = |ca: Option<PathBuf>| Certificates { ca, ..Certificates::default() };
    check_files(&authority, &ca(Some("/nowhere/ca.pem".into())), "cannot read `/nowhere/ca.pem`");
    check_files(&authority, &ca(Some("/dev/zero".into())), "cannot read `/dev/zero`");
    let bad = "`FOLDER/bad.pem` holds no certificate that can be used";
    check_files(&authority, &ca(file("bad.pem", "hello")), bad);
    check_files(
        &authority,
        &ca(file("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        bad,
    );
    check_files(&authority, &ca(file("bad.pem", &key)), bad);

    let bad = "`FOLDER/key.pem` holds no private key that can be used";
    check_files(&authority, &pair(cert(), file("key.pem", "")), bad);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check_files(
        &authority,
        &pair(cert(), file("key.pem", encrypted)),
        &format!("{bad}: it is encrypted"),
    );
    let lone = "`FOLDER/cert.pem` is of no use without a private key";
    check_files(&authority, &pair(cert(), None), lone);
    let lone = "`FOLDER/key.pem` is of no use without a certificate";
    check_files(&authority, &pair(None, file("key.pem", &key)), lone);
    let unfit = "cannot use the certificate `FOLDER/cert.pem` with the key `FOLDER/key.pem`";
    check_files(&authority, &pair(cert(), file("key.pem", &other_key)), unfit);
    assert!(pair(cert(), file("key.pem", &key)).config().is_ok());
}

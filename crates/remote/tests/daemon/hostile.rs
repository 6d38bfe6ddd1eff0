//! Strangers that have a key, and clients that are known, who do not keep to the protocol once TLS is done.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use testkit::{DEADLINE, within_deadline};
use thither_place::tls::{Fingerprint, Key, connect_pinned};
use thither_place::wire::Request;
use thither_place::wire::frame::{Kind, Side, hello};
use thither_place::wire::message::{Program, Spawn};
use thither_place::{Command, Exit, Place, Signals};
use thither_remote::daemon::serve::{Listen, Serve};
use thither_remote::daemon::{At, Daemon, Store};

/// A daemon in this process, and a client that it knows. It serves until the process ends.
struct Server {
    address: SocketAddr,
    fingerprint: Fingerprint,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(greeting: Duration) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("keys"));
        let fingerprint = store.server_key().unwrap().fingerprint();
        store.authorize(store.client_key().unwrap().fingerprint(), "known").unwrap();
        // A port that is free now.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        store.remember("127.0.0.1", address.port(), fingerprint).unwrap();
        let serve = Serve {
            listen: vec![Listen::Tcp(vec![address])],
            keys: Some(store.path().to_owned()),
            greeting,
            strangers: 64,
            allow_root: true,
            ..Serve::default()
        };
        let server = serve.bind().unwrap();
        thread::spawn(move || server.run(&Signals::on([]).unwrap()));
        Server { address, fingerprint, store, _folder: folder }
    }

    /// A connection of this key, after the handshake.
    fn connect(&self, key: &Key) -> UnixStream {
        let tcp = TcpStream::connect(self.address).unwrap();
        let stream = connect_pinned(tcp, key, self.fingerprint, "the test", DEADLINE).unwrap();
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    #[track_caller]
    fn works(&self) {
        let port = self.address.port();
        let place = Daemon::new(At::Tcp { host: "127.0.0.1".into(), port }).keys(self.store.path());
        let exit = within_deadline("a good client", move || {
            let mut process = place.spawn(&Command::new("true")).unwrap();
            process.wait().unwrap()
        });
        assert_eq!(exit, Exit::Code(0));
    }
}

/// All that the daemon says until it hangs up.
#[track_caller]
fn hung_up(mut stream: UnixStream) -> Vec<u8> {
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    said
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn silence_and_garbage() {
    let server = Server::start(Duration::from_secs(1));
    let strange = Key::generate().unwrap();
    let known = server.store.client_key().unwrap();
    for key in [&strange, &known] {
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &[0xff; 4096],
            &hello(Side::Client),
            &[hello(Side::Client), vec![2, 0xff, 0xff, 0xff, 0xff]].concat(),
            &[hello(Side::Client), vec![2, 0, 0, 0, 200, 0]].concat(),
            &[hello(Side::Client), hello(Side::Client)].concat(),
        ] {
            let mut stream = server.connect(key);
            let _ = stream.write_all(bytes);
            assert_eq!(hung_up(stream), hello(Side::Server), "{bytes:?}");
        }
        server.works();
    }
}

#[test]
fn what_a_stranger_asks_for() {
    let server = Server::start(DEADLINE);
    let strange = Key::generate().unwrap();
    let marker = server.store.path().join("was here");
    let touch = |args: usize| {
        Request::Spawn(Spawn {
            program: Program::Named(b"touch".to_vec()),
            args: vec![marker.to_str().unwrap().as_bytes().to_vec(); args],
            ..Spawn::default()
        })
    };
    for request in [
        touch(1),
        Request::Tcp { host: b"127.0.0.1".to_vec(), port: server.address.port() },
        Request::Unix { path: b"/run/x".to_vec() },
        Request::Python,
    ] {
        let mut stream = server.connect(&strange);
        let frame = Kind::Request.frame(&request.encode());
        stream.write_all(&[hello(Side::Client), frame].concat()).unwrap();
        let said = hung_up(stream);
        assert!(holds(&said, "your key is not authorised"), "{}", said.escape_ascii());
    }
    // One that is too long for a stranger is not even read.
    let mut stream = server.connect(&strange);
    let frame = Kind::Request.frame(&touch(1000).encode());
    let _ = stream.write_all(&[hello(Side::Client), frame].concat());
    assert_eq!(hung_up(stream), hello(Side::Server));
    // Nor is a token that nobody knows of any use.
    let mut stream = server.connect(&strange);
    let pair = Request::Pair { token: [7; 16], name: b"x".to_vec() };
    stream.write_all(&[hello(Side::Client), Kind::Request.frame(&pair.encode())].concat()).unwrap();
    assert!(holds(&hung_up(stream), "this token is not known"));
    assert!(!marker.exists());
    server.works();
}

#[test]
fn many_who_say_nothing_after_the_handshake() {
    let server = Server::start(Duration::from_secs(1000));
    let strange = Key::generate().unwrap();
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.extend((0..20).map(|_| server.connect(&strange)));
        server.works();
    }
    // The oldest were cut off, and the youngest are still there.
    assert_eq!(hung_up(silent.remove(0)), hello(Side::Server));
    let last = silent.last().unwrap();
    last.set_nonblocking(true).unwrap();
    let mut greeting = [0; 100];
    testkit::wait_until(DEADLINE, "a greeting", || (&mut &*last).read(&mut greeting).is_ok());
    let error = (&mut &*last).read(&mut greeting).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

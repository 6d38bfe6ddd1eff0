//! Byte streams, and questions.

use super::*;
use rustix::net::{Shutdown, shutdown};
use thither_place::wire::client::stream;

fn request() -> Request {
    Request::Tcp { host: b"localhost".into(), port: 80 }
}

fn streaming() -> (File, Server) {
    let (ours, mut server) = Server::started();
    let stream = stream(ours, &LINK, &request()).unwrap();
    assert_eq!(server.request(), request());
    (stream.into(), server)
}

#[test]
fn our_half_is_closed_first() {
    within_deadline("the end", || {
        let (mut stream, mut server) = streaming();
        stream.write_all(b"GET /").unwrap();
        shutdown(&stream, Shutdown::Write).unwrap();
        server.hears(Kind::Input, b"GET /");
        server.hears(Kind::EndInput, b"");
        server.say(Kind::Output, b"200");
        server.say(Kind::Output, &[b'x'; 5000]);
        server.exit(0);
        assert_eq!(text_of(stream), "200".to_owned() + &"x".repeat(5000));
        server.hears_end();
    });
}

#[test]
fn the_other_half_is_closed_first() {
    within_deadline("the end", || {
        let (mut stream, mut server) = streaming();
        shutdown(&stream, Shutdown::Read).unwrap();
        server.say(Kind::Output, b"for nobody");
        server.hears(Kind::Unread, &[1]);
        stream.write_all(b"more").unwrap();
        server.hears(Kind::Input, b"more");
        shutdown(&stream, Shutdown::Write).unwrap();
        server.hears(Kind::EndInput, b"");
        server.exit(0);
        server.hears_end();
    });
}

#[test]
fn the_server_ends_it() {
    within_deadline("the end", || {
        let (mut stream, mut server) = streaming();
        server.say(Kind::Output, b"bye");
        server.exit(0);
        server.hears_end();
        assert_eq!(text_of(&stream), "bye");
        let error = stream.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        let (stream, server) = streaming();
        drop(server);
        assert_eq!(text_of(&stream), "");
    });
}

/// All that was written before arrives, though nobody has the stream any more.
#[test]
fn nobody_has_it_any_more() {
    within_deadline("the end", || {
        let (mut stream, mut server) = streaming();
        let much = frame::WINDOW + 10;
        let writing = thread::spawn(move || stream.write_all(&vec![b'x'; much]));
        let (mut taken, mut ends) = (0, 0);
        while taken < much || ends < 2 {
            match server.next().unwrap() {
                (Kind::Input, body) => {
                    taken += body.len();
                    server.say(Kind::Credit, &(body.len() as u32).to_be_bytes());
                }
                (Kind::EndInput | Kind::Unread, _) => ends += 1,
                other => panic!("{:?}", other.0),
            }
        }
        writing.join().unwrap().unwrap();
        server.exit(0);
        server.hears_end();
    });
}

#[test]
fn a_refused_stream() {
    within_deadline("an answer", || {
        let refusal = Refusal {
            reason: Reason::Failed,
            errno: 111,
            text: "connect to `localhost:80`".into(),
            hint: String::new(),
        };
        for ask_only in [true, false] {
            let (ours, mut server) = Server::new();
            server.write(&frame::hello(Side::Server));
            server.say(Kind::Refused, &refusal.encode());
            let answer = match ask_only {
                true => ask(ours, &LINK, &request()),
                false => stream(ours, &LINK, &request()).map(drop),
            };
            let text = answer.unwrap_err().to_string();
            assert_eq!(text, "cannot connect to `localhost:80` in `daemon:`");
        }
    });
}

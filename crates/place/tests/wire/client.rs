//! The client's half: what it says, and what it makes of what it hears.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use testkit::{DEADLINE, within_deadline};
use thither_place::wire::client::{Link, ask, spawn};
use thither_place::wire::frame::{self, Arrived, Incoming, Kind, Side};
use thither_place::wire::{Reason, Refusal, Request};
use thither_place::{Command, Error, Event, Exit, Process, Result, Stream};
use thither_term::{Interest, poll};

mod alive;
mod bytes;
mod hostile;
mod input;
mod stream;
mod terminal;

const LINK: Link<'static> = Link { place: "daemon:", keep_alive: None };

/// The other side of a connection, whose frames a test writes.
struct Server {
    stream: UnixStream,
    incoming: Incoming,
}

impl Server {
    /// The client's end of a connection, and the server, which has said nothing yet.
    fn new() -> (OwnedFd, Server) {
        let (ours, stream) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        (ours.into(), Server { stream, incoming: Incoming::from(Side::Client) })
    }

    /// One that has said already that it runs.
    fn started() -> (OwnedFd, Server) {
        let (ours, mut server) = Server::new();
        server.write(&frame::hello(Side::Server));
        server.say(Kind::Started, &7_u32.to_be_bytes());
        (ours, server)
    }

    /// A process, and its server, which has read the request.
    fn of(command: &Command, link: &Link<'_>) -> (Process, Server) {
        let (ours, mut server) = Server::started();
        let process = spawn(ours, link, command).unwrap();
        server.request();
        (process, server)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn say(&mut self, kind: Kind, body: &[u8]) {
        self.write(&kind.frame(body));
    }

    fn exit(&mut self, code: i32) {
        self.say(Kind::Exited, &[&[0][..], &code.to_be_bytes()].concat());
    }

    /// The next frame with all of its body; `None` at the end.
    fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        loop {
            let n = match self.stream.read(self.incoming.room()) {
                // A client that is gone has not read all.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                read => read.unwrap(),
            };
            if n == 0 {
                assert!(!self.incoming.is_partial(), "it ends in the middle of a frame");
                return None;
            }
            match self.incoming.advance(n).unwrap() {
                None => {}
                Some(Arrived::Frame(kind, body)) => return Some((kind, body)),
                Some(Arrived::Data(kind, length)) => {
                    let mut body = vec![0; length];
                    self.stream.read_exact(&mut body).unwrap();
                    return Some((kind, body));
                }
            }
        }
    }

    #[track_caller]
    fn hears(&mut self, kind: Kind, body: &[u8]) {
        assert_eq!(self.next(), Some((kind, body.to_vec())));
    }

    #[track_caller]
    fn hears_end(&mut self) {
        assert_eq!(self.next(), None);
    }

    /// What is wanted, said in the first two frames.
    fn request(&mut self) -> Request {
        self.hears(Kind::Hello, b"thither\0\x01");
        let (kind, body) = self.next().unwrap();
        assert_eq!(kind, Kind::Request);
        Request::decode(&body).unwrap()
    }
}

/// What happens next to a process that its caller drives.
fn next_event(process: &mut Process) -> Result<Event> {
    loop {
        if let Some(event) = process.control.event()? {
            return Ok(event);
        }
        let interest = [Interest::Read(process.control.as_fd())];
        assert!(poll(&interest, Some(DEADLINE)).unwrap()[0].now, "it waits in vain");
    }
}

/// A command whose streams are nobody's.
fn quiet() -> Command {
    Command::new("x").stdin(Stream::Null).stdout(Stream::Null).stderr(Stream::Null)
}

/// A pipe to be given away.
fn given() -> (PipeReader, Stream) {
    let (reader, writer) = pipe().unwrap();
    (reader, Stream::Fd(Arc::new(writer.into())))
}

fn text_of(mut source: impl Read) -> String {
    let mut text = String::new();
    source.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_request_and_an_exit() {
    within_deadline("an exit", || {
        let command = quiet().arg("y");
        let (ours, mut server) = Server::started();
        let mut process = spawn(ours, &LINK, &command).unwrap();
        let Request::Spawn(asked) = server.request() else { panic!("another request") };
        assert_eq!(asked.args, [b"y"]);
        assert!(process.apart);
        server.exit(300);
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(300)));
        // Again and again, and readable.
        assert!(poll(&[Interest::Read(process.control.as_fd())], None).unwrap()[0].now);
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(300)));
        process.signal(15).unwrap();
        server.hears_end();
    });
}

#[test]
fn a_signal_and_a_stop() {
    within_deadline("an exit", || {
        for command in [quiet(), quiet().stdout(Stream::Piped)] {
            let (mut process, mut server) = Server::of(&command, &LINK);
            server.say(Kind::Stopped, &[20]);
            assert_eq!(next_event(&mut process).unwrap(), Event::Stopped(20));
            process.signal(18).unwrap();
            server.hears(Kind::Signal, &[18]);
            server.say(Kind::Exited, &[1, 0, 0, 0, 9]);
            assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Signal(9)));
        }
    });
}

#[test]
fn what_cannot_be_sent() {
    within_deadline("a refusal", || {
        let (mut process, _server) = Server::of(&quiet(), &LINK);
        for signal in [0, 65, -1, 271] {
            let error = process.signal(signal).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{signal}: {error:?}");
        }
        let size = thither_place::WindowSize { cols: 1, rows: 1 };
        assert!(matches!(process.resize(size), Err(Error::Unsupported { .. })));
    });
}

#[test]
fn output_before_the_end() {
    within_deadline("the output", || {
        let (out, stdout) = given();
        let (err, stderr) = given();
        let command = quiet().stdout(stdout).stderr(stderr);
        let (mut process, mut server) = Server::of(&command, &LINK);
        drop(command);
        let long = "y".repeat(20_000);
        for (kind, text) in [
            (Kind::Output, "a"),
            (Kind::Errors, "b"),
            (Kind::Output, ""),
            (Kind::Output, &long),
            (Kind::Errors, &long),
            (Kind::Output, "c"),
        ] {
            server.say(kind, text.as_bytes());
        }
        server.exit(0);
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        assert_eq!(text_of(out), format!("a{long}c"));
        assert_eq!(text_of(err), format!("b{long}"));
    });
}

#[test]
fn a_connection_that_is_lost() {
    within_deadline("the output", || {
        let (out, stdout) = given();
        let (mut process, mut server) = Server::of(&quiet().stdout(stdout), &LINK);
        server.say(Kind::Output, b"so far");
        drop(server);
        let error = next_event(&mut process).unwrap_err();
        assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
        let again = next_event(&mut process).unwrap_err();
        assert!(matches!(again, Error::Disconnected { .. }), "{again:?}");
        assert_eq!(text_of(out), "so far");
    });
}

#[test]
fn pipes_need_no_driving() {
    within_deadline("an echo", || {
        let command = quiet().stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
        let (mut process, mut server) = Server::of(&command, &LINK);
        let mut stdin = File::from(process.stdin.take().unwrap());
        stdin.write_all(b"hello").unwrap();
        server.hears(Kind::Input, b"hello");
        drop(stdin);
        server.hears(Kind::EndInput, b"");
        server.say(Kind::Output, b"good");
        server.say(Kind::Errors, b"bye");
        server.exit(3);
        let output = process.wait_with_output().unwrap();
        assert_eq!((output.stdout, output.stderr), (b"good".into(), b"bye".into()));
        assert_eq!(output.exit, Exit::Code(3));
    });
}

#[test]
fn a_process_that_is_dropped_is_hung_up() {
    within_deadline("the end", || {
        for command in [quiet(), quiet().stdout(Stream::Piped)] {
            let (process, mut server) = Server::of(&command, &LINK);
            drop(process);
            server.hears_end();
        }
        // What is held meanwhile does not matter.
        let (mut process, mut server) = Server::of(&quiet().stdin(Stream::Piped), &LINK);
        let _stdin = process.stdin.take();
        drop(process);
        server.hears_end();
    });
}

#[test]
fn a_start_that_is_given_up() {
    within_deadline("the end", || {
        let (cancel, mut give_up) = pipe().unwrap();
        let (ours, mut server) = Server::new();
        server.write(&frame::hello(Side::Server));
        let command = Command { cancel: Some(Arc::new(cancel.into())), ..quiet() };
        let starting = thread::spawn(move || spawn(ours, &LINK, &command));
        server.request();
        give_up.write_all(b"x").unwrap();
        let error = starting.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
        server.hears_end();
    });
}

#[test]
fn a_refusal() {
    within_deadline("an answer", || {
        let refusal = Refusal {
            reason: Reason::Spawn,
            errno: 2,
            text: "x".into(),
            hint: "look elsewhere".into(),
        };
        let (ours, mut server) = Server::new();
        server.write(&frame::hello(Side::Server));
        server.say(Kind::Refused, &refusal.encode());
        let error = spawn(ours, &LINK, &quiet()).unwrap_err();
        assert_eq!((error.shell_code(), error.hint()), (127, Some("look elsewhere")));
    });
}

/// A server that does not wait for the whole request.
#[test]
fn a_refusal_before_the_request_is_read() {
    within_deadline("an answer", || {
        let refusal = Refusal {
            reason: Reason::Denied,
            errno: 0,
            text: "too many".into(),
            hint: String::new(),
        };
        let (ours, mut server) = Server::new();
        server.write(&frame::hello(Side::Server));
        server.say(Kind::Refused, &refusal.encode());
        server.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let error = spawn(ours, &LINK, &quiet().arg("z".repeat(3_000_000))).unwrap_err();
        assert_eq!(error.to_string(), "cannot enter `daemon:`");
    });
}

#[test]
fn a_later_version_is_welcome() {
    within_deadline("an answer", || {
        let (ours, mut server) = Server::new();
        server.say(Kind::Welcome, b"thither\0\x09, and more");
        server.say(Kind::Started, &[0; 4]);
        let token = [7; 16];
        let request = Request::Pair { token, name: b"me@here".into() };
        ask(ours, &LINK, &request).unwrap();
        assert_eq!(server.request(), request);
        server.hears_end();
    });
}

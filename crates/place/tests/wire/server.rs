//! The server's side against clients that are scripted by hand, with real programs.

mod ends;
mod greeting;
mod streams;
mod terminal;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use testkit::{DEADLINE, Marker};
use thither_place::Process;
use thither_place::launch::Fresh;
use thither_place::local::spawn_in_session;
use thither_place::wire::frame::{Arrived, Incoming, LONGEST_REQUEST, Side, hello};
use thither_place::wire::message::{Program, Request, Spawn, Streams};
use thither_place::wire::session::{
    Limits, Outcome, answer, command, of_stream, receive, refusal_of, refuse, serve,
};
use thither_place::wire::{Kind, Refusal};

/// A client, and the server's thread at the other end. Every wait has the deadline of testkit.
pub(crate) struct Peer {
    pub(crate) socket: UnixStream,
    incoming: Incoming,
    outcome: Receiver<Outcome>,
    /// To close it is to ask the server to end.
    pub(crate) end: Option<PipeWriter>,
}

impl Peer {
    /// Nothing was said yet.
    pub(crate) fn stranger(limits: Limits) -> Peer {
        Peer::with(move |stream, end| match receive(&stream, &limits, end.as_fd()) {
            Ok(Request::Spawn(spawn)) => run(stream, spawn, end),
            Ok(Request::Pair { .. }) => {
                answer(&stream);
                Outcome::Stopped
            }
            Ok(other) => panic!("{other:?}"),
            Err(outcome) => outcome,
        })
    }

    pub(crate) fn with(server: impl FnOnce(OwnedFd, OwnedFd) -> Outcome + Send + 'static) -> Peer {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        let (end, ours) = pipe().unwrap();
        let (sender, outcome) = channel();
        let _ends_with_its_client =
            thread::spawn(move || sender.send(server(theirs.into(), end.into())));
        Peer { socket, incoming: Incoming::from(Side::Server), outcome, end: Some(ours) }
    }

    /// What serves a process that is no command.
    pub(crate) fn of(process: Process) -> Peer {
        let mut peer = Peer::with(move |stream, end| serve(stream, process, 0, end.as_fd()));
        peer.expect(Kind::Started);
        peer
    }

    /// What was asked for is said, and nothing is heard yet.
    pub(crate) fn asking(request: &Request) -> Peer {
        let limits = Limits { greeting: DEADLINE, request: LONGEST_REQUEST };
        let mut peer = Peer::stranger(limits);
        peer.write(&[hello(Side::Client), Kind::Request.frame(&request.encode())].concat());
        peer.expect(Kind::Welcome);
        peer
    }

    /// It runs.
    pub(crate) fn spawn(spawn: Spawn) -> Peer {
        let mut peer = Peer::asking(&Request::Spawn(spawn));
        let pid = peer.expect(Kind::Started);
        assert_ne!(pid, [0; 4], "it has a pid");
        peer
    }

    /// It runs, and little of its output is on its way at once.
    pub(crate) fn narrow(spawn: Spawn) -> Peer {
        let mut peer = Peer::with(move |stream, end| run(narrow(stream), spawn, end));
        peer.expect(Kind::Started);
        peer
    }

    pub(crate) fn narrow_of(process: Process) -> Peer {
        let mut peer =
            Peer::with(move |stream, end| serve(narrow(stream), process, 0, end.as_fd()));
        peer.expect(Kind::Started);
        peer
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn say(&mut self, kind: Kind, body: &[u8]) {
        self.write(&kind.frame(body));
    }

    /// The next frame, whole; `None` at the end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        loop {
            let n = match self.socket.read(self.incoming.room()) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // With a timeout no call goes on after a signal, signal(7): SIGCHLD, say.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            match self.incoming.advance(n).unwrap() {
                None => {}
                Some(Arrived::Frame(kind, body)) => return Some((kind, body)),
                Some(Arrived::Data(kind, length)) => {
                    let mut body = vec![0; length];
                    self.socket.read_exact(&mut body).unwrap();
                    return Some((kind, body));
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, kind: Kind) -> Vec<u8> {
        match self.next() {
            Some((found, body)) if found == kind => body,
            other => panic!("{other:?} instead of {kind:?}"),
        }
    }

    /// Waits for a text on a stream; other frames are passed over.
    #[track_caller]
    pub(crate) fn expect_text(&mut self, kind: Kind, needle: &str) -> String {
        let mut text = String::new();
        while !text.contains(needle) {
            match self.next() {
                Some((found, body)) if found == kind => text += &String::from_utf8_lossy(&body),
                Some((Kind::Exited, _)) | None => panic!("{needle:?} never came, but {text:?}"),
                Some(_) => {}
            }
        }
        text
    }

    /// All that is still to come: both outputs, the body of the end, and the kinds of the other frames.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Rest {
        let mut rest = Rest::default();
        loop {
            match self.next() {
                Some((Kind::Output, body)) => rest.output.extend(body),
                Some((Kind::Errors, body)) => rest.errors.extend(body),
                Some((Kind::Exited, body)) => {
                    rest.exit = body;
                    assert_eq!(self.next(), None, "nothing follows");
                    return rest;
                }
                Some((kind, body)) => rest.others.push_back((kind, body)),
                None => return rest,
            }
        }
    }

    /// What became of it. The client's end stays open.
    #[track_caller]
    pub(crate) fn outcome(&mut self) -> Outcome {
        self.outcome.recv_timeout(DEADLINE).expect("an outcome in time")
    }

    /// What became of it once the client is gone.
    #[track_caller]
    pub(crate) fn leave(self) -> Outcome {
        let Peer { socket, outcome, end: _end, .. } = self;
        drop(socket);
        outcome.recv_timeout(DEADLINE).expect("an outcome in time")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) output: Vec<u8>,
    pub(crate) errors: Vec<u8>,
    pub(crate) exit: Vec<u8>,
    pub(crate) others: VecDeque<(Kind, Vec<u8>)>,
}

impl Rest {
    #[track_caller]
    pub(crate) fn check(&self, output: &str, errors: &str, exit: [u8; 5]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = (text(&self.output), text(&self.errors), &self.exit[..]);
        assert_eq!(found, (output.into(), errors.into(), &exit[..]));
    }
}

pub(crate) const SUCCESS: [u8; 5] = [0; 5];

pub(crate) fn code(code: u8) -> [u8; 5] {
    [0, 0, 0, 0, code]
}

pub(crate) fn killed(signal: u8) -> [u8; 5] {
    [1, 0, 0, 0, signal]
}

/// With the least room that the kernel gives, socket(7).
fn narrow(stream: OwnedFd) -> OwnedFd {
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 1).unwrap();
    stream
}

fn run(stream: OwnedFd, spawn: Spawn, end: OwnedFd) -> Outcome {
    let base = std::env::vars_os().chain([(OsString::from("BASE"), OsString::from("of ours"))]);
    match spawn_in_session(&command(spawn), Path::new("/usr"), base, Fresh::default()) {
        Ok((process, pid)) => serve(stream, process, pid, end.as_fd()),
        Err(error) => {
            let refusal = refusal_of(&error);
            refuse(&stream, &refusal);
            Outcome::Refused(refusal)
        }
    }
}

pub(crate) fn program(name: &str, args: &[&str]) -> Spawn {
    Spawn {
        program: Program::Named(name.into()),
        args: args.iter().map(|&arg| arg.into()).collect(),
        ..Spawn::default()
    }
}

pub(crate) fn sh(script: &str) -> Spawn {
    program("sh", &["-c", script])
}

pub(crate) fn at_terminal(spawn: Spawn) -> Spawn {
    Spawn { streams: Streams::Terminal { size: (80, 24), term: Some("vt100".into()) }, ..spawn }
}

pub(crate) fn marked(marker: &Marker, spawn: Spawn) -> Spawn {
    let (name, value) = marker.variable();
    let env = vec![(name.as_bytes().to_vec(), Some(value.as_bytes().to_vec()))];
    Spawn { env, ..spawn }
}

#[track_caller]
pub(crate) fn check_malformed(outcome: &Outcome, why: &str) {
    match outcome {
        Outcome::Malformed(malformed) => {
            assert_eq!(malformed.to_string(), format!("malformed frame: {why}"))
        }
        other => panic!("{other:?} instead of {why}"),
    }
}

pub(crate) fn stream(socket: UnixStream) -> Process {
    of_stream(socket.into()).unwrap()
}

pub(crate) fn refused(body: &[u8]) -> Refusal {
    Refusal::decode(body).unwrap()
}

//! A process and its client, in one loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use thither_term::{Interest, WindowSize, poll};

use super::ending::end_all;
use super::input::{Input, Sink};
use super::output::{Broken, Output};
use super::{Goodbye, Outcome, let_go, lost, malformed};
use crate::wire::frame::{Arrived, Incoming, Kind, LONGEST_SMALL, Side};
use crate::{Control, Event, Exit, Process};

/// How much a client may leave unread of what is said besides output, in bytes.
const MOST_UNREAD: usize = 64 * 1024;
/// How many pieces are read from a client in one turn.
const TURN: usize = 32;

/// Serves a process, whose pid the client is told, until it has ended and all that it said is sent, or until the client is gone or
/// `end` is readable; then the process is [ended](super::end). Its streams have to be nobody else's.
///
/// The end waits for whoever holds the pipes of the output, as sshd(8) does. With a terminal it does not.
pub fn serve(stream: OwnedFd, process: Process, pid: u32, end: BorrowedFd<'_>) -> Outcome {
    serve_until(stream, process, pid, end, Goodbye::Ours)
}

/// [`serve`], with another end of the connection.
pub fn serve_until(
    stream: OwnedFd,
    process: Process,
    pid: u32,
    end: BorrowedFd<'_>,
    goodbye: Goodbye,
) -> Outcome {
    let mut session = match Session::new(stream, process) {
        Ok(session) => session,
        Err(error) => return Outcome::Lost(error),
    };
    session.output.queue(Kind::Started, &pid.to_be_bytes());
    let outcome = session.run(end);
    let Session { socket, mut control, output, input, has_terminal, .. } = session;
    if let Outcome::Exited(_) = outcome {
        drop((control, output, input));
        let_go(socket.as_fd(), Instant::now() + goodbye.patience(), goodbye);
        return outcome;
    }
    drop((socket, input));
    let [stdout, stderr] = output.into_sources();
    let outputs = if has_terminal { [None, None, stdout] } else { [stdout, stderr, None] };
    end_all(&mut *control, outputs);
    outcome
}

struct Session {
    socket: OwnedFd,
    incoming: Incoming,
    control: Box<dyn Control>,
    has_terminal: bool,
    output: Output,
    input: Input,
    exit: Option<Exit>,
    /// Whether the client was told of the end.
    told: bool,
}

impl Session {
    fn new(socket: OwnedFd, process: Process) -> io::Result<Session> {
        let Process { stdin, stdout, stderr, terminal, control, .. } = process;
        let has_terminal = terminal.is_some();
        let sink = match (stdin, &terminal) {
            (None, Some(terminal)) => Some(Sink::Terminal(terminal.try_clone()?)),
            (None, None) => None,
            (Some(fd), _) => Some(match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
                FileType::Socket => Sink::Socket(fd),
                _ => Sink::Pipe(fd),
            }),
        };
        Ok(Session {
            socket,
            incoming: Incoming::from(Side::Client).at_most(LONGEST_SMALL),
            control,
            has_terminal,
            output: Output::new([terminal.or(stdout), stderr])?,
            input: Input::new(sink)?,
            exit: None,
            told: false,
        })
    }

    fn run(&mut self, end: BorrowedFd<'_>) -> Outcome {
        loop {
            match self.turn(end) {
                Ok(None) => {}
                Ok(Some(exit)) => return Outcome::Exited(exit),
                Err(outcome) => return outcome,
            }
        }
    }

    /// One turn of the loop; how it ended, once the client was told.
    fn turn(&mut self, end: BorrowedFd<'_>) -> Result<Option<Exit>, Outcome> {
        self.send([false; 3])?;
        if let Some(exit) = self.exit.filter(|_| self.output.has_ended()) {
            if !self.told {
                let (how, number) = match exit {
                    Exit::Code(code) => (0, code),
                    Exit::Signal(signal) => (1, signal),
                };
                let [a, b, c, d] = number.to_be_bytes();
                self.output.queue(Kind::Exited, &[how, a, b, c, d]);
                self.told = true;
                self.send([false; 3])?;
            }
            if self.output.is_idle() {
                return Ok(Some(exit));
            }
        }
        let ready = self.wait(end)?;
        let [ended, readable, deliverable, happened, sendable @ ..] = ready;
        if ended {
            return Err(Outcome::Stopped);
        }
        if readable {
            self.receive()?;
        }
        if deliverable {
            self.deliver()?;
        }
        if happened {
            self.event()?;
        }
        self.send(sendable)?;
        Ok(None)
    }

    fn wait(&self, end: BorrowedFd<'_>) -> Result<[bool; 7], Outcome> {
        let socket = self.socket.as_fd();
        let [full, stdout, stderr] = self.output.interests(socket);
        let interests = [
            Interest::Read(end),
            Interest::Read(socket),
            self.input.interest(),
            match self.exit {
                None => Interest::Read(self.control.as_fd()),
                Some(_) => Interest::Nothing,
            },
            full,
            stdout,
            stderr,
        ];
        let at_once = self.output.is_ending().then_some(Duration::ZERO);
        let ready = poll(&interests, at_once).map_err(Outcome::Lost)?;
        Ok(std::array::from_fn(|i| ready[i].now))
    }

    fn send(&mut self, ready: [bool; 3]) -> Result<(), Outcome> {
        self.output.go_on(self.socket.as_fd(), ready).map_err(|broken| match broken {
            Broken::Socket(error) => lost(error),
            Broken::Source(error) => Outcome::Lost(error),
        })
    }

    fn event(&mut self) -> Result<(), Outcome> {
        match self.control.event().map_err(|error| Outcome::Lost(io::Error::other(error)))? {
            None => {}
            Some(Event::Stopped(signal)) => {
                self.queue(Kind::Stopped, &[u8::try_from(signal).unwrap_or(0)])?;
            }
            Some(Event::Exited(exit)) => {
                self.exit = Some(exit);
                if self.has_terminal {
                    self.output.end_soon();
                }
            }
        }
        Ok(())
    }

    fn queue(&mut self, kind: Kind, body: &[u8]) -> Result<(), Outcome> {
        match self.output.queue(kind, body) {
            ..=MOST_UNREAD => Ok(()),
            _ => Err(malformed("it asks and reads no answers")),
        }
    }

    fn deliver(&mut self) -> Result<(), Outcome> {
        self.input.deliver(&mut *self.control);
        match self.input.credit() {
            Some(credit) => self.queue(Kind::Credit, &credit.to_be_bytes()),
            None => Ok(()),
        }
    }

    /// Reads what has come from the client, but lets others have their turn.
    fn receive(&mut self) -> Result<(), Outcome> {
        for _ in 0..TURN {
            let received = match self.input.is_coming() {
                true => self.input.receive(self.socket.as_fd()).map(|n| (n, true)),
                false => recv(&self.socket, self.incoming.room(), RecvFlags::DONTWAIT)
                    .map(|(n, _)| (n, false)),
            };
            match received {
                Ok((0, _)) => return Err(Outcome::Left),
                Ok((_, true)) => self.deliver()?,
                Ok((n, false)) => match self.incoming.advance(n).map_err(Outcome::Malformed)? {
                    Some(Arrived::Data(_, length)) => {
                        self.input.begin(length).map_err(Outcome::Malformed)?;
                    }
                    Some(Arrived::Frame(kind, body)) => self.obey(kind, &body)?,
                    None => {}
                },
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    fn obey(&mut self, kind: Kind, body: &[u8]) -> Result<(), Outcome> {
        match (kind, body) {
            (Kind::EndInput, []) => {
                self.input.end().map_err(Outcome::Malformed)?;
                self.deliver()?;
            }
            (Kind::Resize, &[a, b, c, d]) => {
                let (cols, rows) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                self.try_to("resize", |control| control.resize(WindowSize { cols, rows }));
            }
            (Kind::Signal, &[signal]) => {
                self.try_to("signal", |control| control.signal(i32::from(signal)));
            }
            (Kind::Ping, []) => self.queue(Kind::Pong, &[])?,
            (Kind::Unread, &[of @ (1 | 2)]) => self.output.unread(usize::from(of) - 1),
            (Kind::Hello | Kind::Request, _) => return Err(malformed("it was said before")),
            _ => return Err(malformed("it has no such body")),
        }
        Ok(())
    }

    /// What is not done here the client's own side knows, too.
    fn try_to(&mut self, what: &str, act: impl FnOnce(&mut dyn Control) -> crate::Result<()>) {
        if let Err(error) = act(&mut *self.control) {
            tracing::debug!(%error, what, "not done");
        }
    }
}

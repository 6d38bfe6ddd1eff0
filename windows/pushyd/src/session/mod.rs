//! One connection: a client, and the process that runs for it. The sibling of `thither_place::wire::session`, with a thread for
//! each direction of each stream, as nothing of Windows waits for pipes and processes alike.

mod input;
mod receiver;
mod sender;

use std::os::windows::io::AsHandle as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use std::{fmt, io};

use thither_place::wire::frame::{HEAD, Kind, Side, hello};
use thither_place::wire::message::{Spawn, Streams};
use thither_place::wire::{Reason, Refusal, Request};

use crate::command::{self, refusal};
use crate::sys::event::{Event, wait};
use crate::sys::pipe::{self, Direction, Pipe};
use crate::sys::process::Child;
use crate::sys::security::Descriptor;
use crate::sys::token::{Profile, Token};
use input::Input;
use receiver::Receiver;
use sender::Sender;

/// The time for a client's greeting and its request.
const GREETING: Duration = Duration::from_secs(10);
/// How long a client may take to fetch the last that is said to it, and to close: our end would overtake it.
const GOODBYE: Duration = Duration::from_secs(10);
/// What is read from a program at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// What a process that a signal has ended has as its code besides the signal's number, as shells have it.
const SIGNALLED: u32 = 128;

/// What became of a connection.
#[derive(Debug)]
pub enum Outcome {
    /// The process ended with this code, and the client was told.
    Exited(u32),
    /// The client was told that it gets nothing.
    Refused(Refusal),
    /// The client is gone, before the end.
    Left,
    /// The client does not keep to the protocol.
    Malformed(String),
    /// The client did not say in time what it wants.
    TimedOut,
    /// We were asked to end.
    Stopped,
    /// Something failed on this side.
    Lost(io::Error),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exited(code @ ..256) => write!(f, "ended with code {code}"),
            Outcome::Exited(code) => write!(f, "ended with code {code:#x}"),
            Outcome::Refused(refusal) => write!(f, "refused to {}", refusal.text.escape_debug()),
            Outcome::Left => f.write_str("the client left"),
            Outcome::Malformed(why) => write!(f, "the client was thrown out: {why}"),
            Outcome::TimedOut => f.write_str("the client did not say what it wants"),
            Outcome::Stopped => f.write_str("stopped with the service"),
            Outcome::Lost(error) => write!(f, "lost: {error}"),
        }
    }
}

/// Serves a client until the end. `gone` is one of the pipe's events; `stop` is, too. `say` hears who it is and what it runs.
pub fn serve(
    pipe: &Arc<Pipe>,
    gone: &Arc<Event>,
    stop: &Arc<Event>,
    say: &dyn Fn(&str),
) -> Outcome {
    let mut receiver = Receiver::new(Arc::clone(pipe));
    let outcome = match begin(pipe, &mut receiver, gone, say) {
        Ok(session) => session.run(receiver, stop),
        Err(Outcome::Refused(refusal)) => {
            let deadline = Some(Instant::now() + GOODBYE);
            let said = Kind::Refused.frame(&refusal.encode());
            if pipe.write_all(&said, deadline).is_ok() {
                receiver.drain(deadline);
            }
            Outcome::Refused(refusal)
        }
        Err(outcome) => outcome,
    };
    pipe.disconnect();
    outcome
}

fn begin(
    pipe: &Arc<Pipe>,
    receiver: &mut Receiver,
    gone: &Arc<Event>,
    say: &dyn Fn(&str),
) -> Result<Session, Outcome> {
    let deadline = Instant::now() + GREETING;
    pipe.write_all(&hello(Side::Server), Some(deadline)).map_err(receiver::outcome)?;
    let request = receiver.request(deadline)?;
    let user = Token::of_client(pipe).map_err(|error| {
        let text = format!("find out who you are: {error}");
        let hint = "log on with a name, and let the service act as you (impersonation)";
        Outcome::Refused(refusal(Reason::Denied, text, hint))
    })?;
    let name = user.name().map_err(Outcome::Lost)?;
    let not_here = |what: &str| {
        let text = format!("{what} on a Windows host");
        say(&format!("{name} wants to {text}"));
        Err(Outcome::Refused(refusal(Reason::Unsupported, text, "")))
    };
    match request {
        Request::Spawn(spawn) => {
            say(&format!("{name} runs {}", command::name(&spawn)));
            Session::start(spawn, &user, pipe, gone)
        }
        Request::Tcp { .. } => not_here("connect to a port"),
        Request::Unix { .. } => not_here("connect to a Unix socket"),
        Request::Python => not_here("share an interpreter"),
        Request::Pair { .. } => not_here("pair with anybody"),
    }
}

struct Session {
    pipe: Arc<Pipe>,
    gone: Arc<Event>,
    child: Child,
    stdin: Option<Pipe>,
    outputs: [Option<Pipe>; 2],
    unread: [Arc<Event>; 2],
    profile: Option<Profile>,
}

/// What the threads of a session share.
struct Shared {
    child: Child,
    sender: Sender,
    input: Input,
    unread: [Arc<Event>; 2],
    /// The signal that was sent, or 0.
    signal: AtomicU32,
    /// How many outputs have not ended.
    left: AtomicUsize,
    /// Set once none is left.
    quiet: Event,
    /// Set once the last is sent.
    told: Event,
    gone: Arc<Event>,
}

impl Session {
    fn start(
        spawn: Spawn,
        user: &Token,
        pipe: &Arc<Pipe>,
        gone: &Arc<Event>,
    ) -> Result<Session, Outcome> {
        let joined = match spawn.streams {
            Streams::Separate(joined) => joined,
            // It is refused below.
            Streams::Terminal { .. } => [false; 3],
        };
        let profile = command::profile(user);
        let prepared = command::prepare(spawn, user).map_err(Outcome::Refused)?;
        let event = || Event::new().map(Arc::new);
        let unread = [event().map_err(Outcome::Lost)?, event().map_err(Outcome::Lost)?];
        let ends = [None, Some(&unread[0]), Some(&unread[1])];
        let ends = ends.map(|own| [Some(gone), own].into_iter().flatten().cloned().collect());
        let made = streams(joined, ends).map_err(Outcome::Lost)?;
        let ([stdin, stdout, stderr], theirs) = made;
        let child = prepared.start(theirs, user).map_err(Outcome::Refused)?;
        let (pipe, gone) = (Arc::clone(pipe), Arc::clone(gone));
        Ok(Session { pipe, gone, child, stdin, outputs: [stdout, stderr], unread, profile })
    }

    fn run(self, receiver: Receiver, stop: &Arc<Event>) -> Outcome {
        let Session { pipe, gone, child, stdin, outputs, unread, profile } = self;
        // Longer than the process.
        let _profile = profile;
        let left = outputs.iter().flatten().count();
        let events = Event::new().and_then(|quiet| Ok((quiet, Event::new()?)));
        let (quiet, told) = match events {
            Ok(events) => events,
            Err(error) => return Outcome::Lost(error),
        };
        if left == 0 {
            quiet.set();
        }
        let shared = Shared {
            sender: Sender::new(&Kind::Started.frame(&child.pid().to_be_bytes())),
            child,
            input: Input::new(stdin.is_some()),
            unread,
            signal: AtomicU32::new(0),
            left: AtomicUsize::new(left),
            quiet,
            told,
            gone,
        };
        thread::scope(|scope| shared.run(scope, (pipe, receiver, stdin, outputs), stop))
    }
}

/// Our ends and the child's.
type Ends = ([Option<Pipe>; 3], [std::os::windows::io::OwnedHandle; 3]);

fn streams(joined: [bool; 3], ends: [Vec<Arc<Event>>; 3]) -> io::Result<Ends> {
    // Only we open the other end; the child inherits it.
    let security = Descriptor::parse(&format!("D:P(A;;GA;;;{})", Token::own()?.sid()?))?;
    let [stdin, stdout, stderr] = ends;
    let make = |joined, direction, ends| match joined {
        false => Ok((None, pipe::nul()?)),
        true => {
            pipe::to_child(direction, &security, ends).map(|(ours, theirs)| (Some(ours), theirs))
        }
    };
    let stdin = make(joined[0], Direction::ToChild, stdin)?;
    let stdout = make(joined[1], Direction::FromChild, stdout)?;
    let stderr = make(joined[2], Direction::FromChild, stderr)?;
    Ok(([stdin.0, stdout.0, stderr.0], [stdin.1, stdout.1, stderr.1]))
}

impl Shared {
    fn run<'a>(
        &'a self,
        scope: &'a Scope<'a, '_>,
        (pipe, receiver, stdin, outputs): (Arc<Pipe>, Receiver, Option<Pipe>, [Option<Pipe>; 2]),
        stop: &Event,
    ) -> Outcome {
        if let Some(stdin) = stdin {
            scope.spawn(move || self.input.deliver(stdin, &self.sender));
        }
        for (of, output) in outputs.into_iter().enumerate() {
            let Some(output) = output else { continue };
            scope.spawn(move || self.pass_on(of, output));
        }
        scope.spawn(move || {
            self.sender.run(&pipe);
            self.told.set();
        });
        let reader = scope.spawn(move || {
            let outcome = self.read(receiver);
            self.gone.set();
            outcome
        });
        let ended = self.wait_for_end(stop);
        self.gone.set();
        self.child.terminate(SIGNALLED + 9);
        self.sender.end();
        self.input.end_all();
        let read = reader.join().unwrap_or(Outcome::Left);
        ended.unwrap_or(read)
    }

    /// Until all is said, or until that is in vain; `None` where the reader knows why.
    fn wait_for_end(&self, stop: &Event) -> Option<Outcome> {
        let all = |what| [what, stop.as_handle(), self.gone.as_handle()];
        for what in [self.child.as_handle(), self.quiet.as_handle()] {
            match wait(&all(what), None) {
                Ok(Some(0)) => {}
                other => return cut_short(other),
            }
        }
        let code = match self.child.code() {
            Ok(code) => code,
            Err(error) => return Some(Outcome::Lost(error)),
        };
        let signal = self.signal.load(Ordering::SeqCst);
        let (how, number) =
            if signal != 0 && code == SIGNALLED + signal { (1, signal) } else { (0, code) };
        let [a, b, c, d] = number.to_be_bytes();
        self.sender.last(&Kind::Exited.frame(&[how, a, b, c, d]));
        match wait(&all(self.told.as_handle()), None) {
            Ok(Some(0)) => {}
            other => return cut_short(other),
        }
        // It closes once it has read it.
        let _ = wait(&[self.gone.as_handle(), stop.as_handle()], Some(Instant::now() + GOODBYE));
        Some(Outcome::Exited(code))
    }

    /// From one of the program's outputs to the client.
    fn pass_on(&self, of: usize, output: Pipe) {
        let kind = [Kind::Output, Kind::Errors][of];
        let mut frame = vec![0; HEAD + CHUNK];
        while let Ok(n @ 1..) = output.read(&mut frame[HEAD..], None) {
            frame[..HEAD].copy_from_slice(&kind.head(n));
            match self.sender.put(of, &mut frame, HEAD + n) {
                true => frame.resize(HEAD + CHUNK, 0),
                false => break,
            }
        }
        drop(output);
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.quiet.set();
        }
    }

    /// From the client.
    fn read(&self, mut receiver: Receiver) -> Outcome {
        loop {
            match receiver.next(self) {
                Ok(()) => {}
                Err(outcome) => return outcome,
            }
        }
    }

    fn obey(&self, kind: Kind, body: &[u8]) -> Result<(), Outcome> {
        match (kind, body) {
            (Kind::EndInput, []) => self.input.end()?,
            (Kind::Signal, &[signal]) => self.signal(u32::from(signal)),
            // There is no terminal.
            (Kind::Resize, [_, _, _, _]) => {}
            (Kind::Ping, []) => self.sender.queue(&Kind::Pong.frame(&[]))?,
            (Kind::Unread, &[of @ (1 | 2)]) => self.unread[usize::from(of) - 1].set(),
            (Kind::Hello | Kind::Request, _) => {
                return Err(Outcome::Malformed("it was said before".into()));
            }
            _ => return Err(Outcome::Malformed("it has no such body".into())),
        }
        Ok(())
    }

    /// Windows has no signals: those that mean the end end it.
    fn signal(&self, signal: u32) {
        if [1, 2, 3, 9, 15].contains(&signal) {
            self.signal.store(signal, Ordering::SeqCst);
            self.child.terminate(SIGNALLED + signal);
        }
    }
}

fn cut_short(waited: io::Result<Option<usize>>) -> Option<Outcome> {
    match waited {
        Ok(Some(1)) => Some(Outcome::Stopped),
        Ok(_) => None,
        Err(error) => Some(Outcome::Lost(error)),
    }
}

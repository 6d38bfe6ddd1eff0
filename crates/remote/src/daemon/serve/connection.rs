//! One connection: who it is, what it wants, and that until its end.

use std::env;
use std::ffi::OsString;

use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thither_place::launch::Fresh;
use thither_place::local::spawn_in_session;
use thither_place::peer::peer_of;
use thither_place::tls::{self, Fingerprint};
use thither_place::wire::frame::{LONGEST_REQUEST, LONGEST_SMALL};
use thither_place::wire::message::{Program, Spawn, Streams};
use thither_place::wire::session::{self, Goodbye, Limits, Outcome};
use thither_place::wire::{Reason, Refusal, Request};
use thither_place::{Exit, Process};

use super::log::{Log, Value};
use super::table::{Admission, Ticket};
use super::{Interpreter, later};
use crate::daemon::dial;
use crate::daemon::samba::account::Account;
use crate::daemon::samba::request::ACCESS_DENIED;
use crate::daemon::samba::{self, Samba};
use crate::daemon::{Store, StoreError};

/// How long a connection may take to end what it runs: a second until it is killed, and some more on a machine that is busy.
pub(super) const END: Duration = Duration::from_secs(5);
/// How long a client of Samba's may take to fetch the last, which it alone knows.
const SAMBA_CLOSES: Duration = Duration::from_secs(10);
/// How long a port over there may take to answer.
const DIAL: Duration = Duration::from_secs(10);

/// Variables by which systemd(1) tells us something, and nobody else.
pub const OURS: [&str; 7] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) log: Log,
    greeting: Duration,
    pub(super) store: Option<Store>,
    key: Option<tls::Key>,
    interpreter: Option<Arc<Interpreter>>,
    home: PathBuf,
    fresh: Fresh,
    variables: Vec<(OsString, OsString)>,
    samba: Option<Samba>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        log: Log,
        greeting: Duration,
        store: Option<Store>,
        key: Option<tls::Key>,
        interpreter: Option<Arc<Interpreter>>,
        fresh: Fresh,
        samba: Option<Samba>,
    ) -> Shared {
        let variables = env::vars_os().filter(|(name, _)| !OURS.iter().any(|ours| name == ours));
        let home = env::home_dir().filter(|home| home.is_dir());
        let home = home.unwrap_or_else(|| "/".into());
        Shared {
            log,
            greeting,
            store,
            key,
            interpreter,
            home,
            fresh,
            variables: variables.collect(),
            samba,
        }
    }
}

/// Whose a connection is.
enum Peer {
    /// A process of this machine.
    User { uid: u32, pid: u32 },
    /// A key that we know.
    Key { fingerprint: Fingerprint, name: String, from: String },
    /// One that we do not.
    Stranger { fingerprint: Fingerprint, from: String },
    /// A client of Samba's, who has all as a user of this machine and nothing as us.
    Samba { shown: String, account: Account },
}

struct Connection<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    peer: String,
    goodbye: Goodbye,
}

/// One by a Unix socket: the kernel says whose it is.
pub(super) fn near(shared: &Shared, ticket: Ticket, socket: OwnedFd) {
    let peer = match peer_of(&socket) {
        Ok(peer) => Peer::User { uid: peer.uid.as_raw(), pid: peer.pid },
        Err(_) => return,
    };
    let own = rustix::process::geteuid().as_raw();
    let is_known = matches!(peer, Peer::User { uid, .. } if uid == own || uid == 0);
    let goodbye = Goodbye::Ours;
    let connection = Connection { shared, ticket, peer: peer.shown(), goodbye };
    if !is_known {
        return connection.deny_unheard(&socket, "this daemon is another user's", "");
    }
    if !connection.ticket.is_known(None) {
        return connection.deny_unheard(&socket, TOO_MANY, "");
    }
    let limits = Limits { greeting: shared.greeting, request: LONGEST_REQUEST };
    match session::receive(&socket, &limits, connection.ticket.end().as_fd()) {
        Ok(request) => connection.act(socket, request, &peer),
        Err(outcome) => connection.ended("unheard", &outcome, None),
    }
}

const TOO_MANY: &str = "too many are connected already";

/// One over TCP: it has a key, which we know or not.
pub(super) fn far(shared: &Shared, ticket: Ticket, socket: OwnedFd) {
    let (Some(key), Some(store)) = (&shared.key, &shared.store) else { return };
    let deadline = later(shared.greeting);
    let tcp = TcpStream::from(socket);
    let from = tcp.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string());
    let goodbye = Goodbye::Ours;
    let mut connection = Connection { shared, ticket, peer: from.clone(), goodbye };
    // If it fails it is slower, or found to be gone later.
    let _ = dial::prepare(&tcp);
    let (stream, fingerprint) = match tls::accept_pinned(tcp, key, shared.greeting) {
        Ok(accepted) => accepted,
        Err(error) => return connection.say("unheard", &[("why", Value::Text(&chain(&error)))]),
    };
    let name = || {
        let mut peers = store.authorized()?.into_iter();
        Ok(peers.find(|peer| peer.fingerprint == fingerprint).map(|peer| peer.name))
    };
    let peer = match connection.ticket.admit(fingerprint, name) {
        Ok(Admission::Known(name)) => Peer::Key { fingerprint, name, from },
        Ok(Admission::Stranger) => Peer::Stranger { fingerprint, from },
        Ok(Admission::TooMany) => {
            connection.peer = Peer::Stranger { fingerprint, from }.shown();
            return connection.deny_unheard(&stream, TOO_MANY, "");
        }
        Err::<_, StoreError>(error) => {
            connection.say("keys", &[("error", Value::Text(&error.to_string()))]);
            let text = "its keys cannot be read";
            return connection.deny_unheard(&stream, text, "look at its log");
        }
    };
    connection.peer = peer.shown();
    let is_stranger = matches!(peer, Peer::Stranger { .. });
    let request = if is_stranger { LONGEST_SMALL } else { LONGEST_REQUEST };
    let left = deadline.saturating_duration_since(Instant::now());
    let limits = Limits { greeting: left, request };
    match session::receive(&stream, &limits, connection.ticket.end().as_fd()) {
        Ok(Request::Pair { token, name }) => {
            connection.pair(&stream, store, &token, &name, fingerprint)
        }
        Ok(_) if is_stranger => connection.deny(
            &stream,
            "your key is not authorised, or was revoked",
            "pair with it: `thither serve pair` there, `thither pair HOST` here",
        ),
        Ok(request) => connection.act(stream, request, &peer),
        Err(outcome) => connection.ended("unheard", &outcome, None),
    }
}

/// One by a pipe of Samba's: smbd says whose it is.
pub(super) fn behind_samba(shared: &Shared, ticket: Ticket, socket: OwnedFd) {
    let Some(samba) = &shared.samba else { return };
    let Ok(peer) = peer_of(&socket) else { return };
    let deadline = later(shared.greeting);
    let uid = peer.uid.as_raw();
    let peer = Peer::User { uid, pid: peer.pid }.shown();
    // smbd 4.17 drops what it has not passed on when it learns of our end.
    let goodbye = Goodbye::Theirs(SAMBA_CLOSES);
    let mut connection = Connection { shared, ticket, peer, goodbye };
    if uid != 0 {
        return connection.deny_unheard(&socket, "this pipe is for Samba, which is root", "");
    }
    let request = match samba::receive(&socket, deadline, connection.ticket.end().as_fd()) {
        Ok(request) => request,
        Err(outcome) => return connection.ended("unheard", &outcome, None),
    };
    let shown = format!("smb {}", request.shown());
    connection.peer = shown.clone();
    let account = match samba::account::admit(&request, samba.users()) {
        Ok(account) => account,
        Err(why) => {
            connection.say("denied", &[("why", Value::Text(why))]);
            samba::answer(&socket, ACCESS_DENIED);
            // Samba 4.17 does not look at the status, and lets the client have what follows. Why is not for everybody.
            let hint = "its administrator names users by --samba-user";
            let refusal = Refusal {
                hint: hint.to_owned(),
                ..refusal(Reason::Denied, "this user may not use the pipe")
            };
            return session::refuse_unheard(&socket, &refusal, connection.goodbye);
        }
    };
    if !connection.ticket.is_known(None) {
        samba::answer(&socket, ACCESS_DENIED);
        return connection.deny_unheard(&socket, TOO_MANY, "");
    }
    samba::answer(&socket, samba::request::OK);
    let left = deadline.saturating_duration_since(Instant::now());
    let limits = Limits { greeting: left, request: LONGEST_REQUEST };
    match session::receive(&socket, &limits, connection.ticket.end().as_fd()) {
        Ok(request) => connection.act(socket, request, &Peer::Samba { shown, account }),
        Err(outcome) => connection.ended("unheard", &outcome, None),
    }
}

impl Peer {
    fn shown(&self) -> String {
        match self {
            Peer::User { uid, pid } => format!("uid {uid} pid {pid}"),
            Peer::Key { fingerprint, name, from } => format!("{name} {fingerprint} {from}"),
            Peer::Stranger { fingerprint, from } => format!("{fingerprint} {from}"),
            Peer::Samba { shown, .. } => shown.clone(),
        }
    }
}

impl Connection<'_> {
    fn say(&self, event: &str, members: &[(&str, Value<'_>)]) {
        let mut all = vec![
            ("connection", Value::Number(self.ticket.number)),
            ("peer", Value::Text(&self.peer)),
        ];
        all.extend_from_slice(members);
        self.shared.log.event(event, &all);
    }

    fn deny(&self, stream: &OwnedFd, text: &str, hint: &str) {
        session::refuse_until(stream, &self.denial(text, hint), self.goodbye);
    }

    /// The same before it has said what it wants.
    fn deny_unheard(&self, stream: &OwnedFd, text: &str, hint: &str) {
        session::refuse_unheard(stream, &self.denial(text, hint), self.goodbye);
    }

    fn denial(&self, text: &str, hint: &str) -> Refusal {
        self.say("denied", &[("why", Value::Text(text))]);
        Refusal { hint: hint.to_owned(), ..refusal(Reason::Denied, text) }
    }

    /// A stranger that may become a peer.
    fn pair(
        &self,
        stream: &OwnedFd,
        store: &Store,
        token: &[u8; 16],
        name: &[u8],
        fingerprint: Fingerprint,
    ) {
        let name = String::from_utf8_lossy(name);
        match store.use_token(token) {
            Ok(true) => {}
            Ok(false) => {
                return self.deny(
                    stream,
                    "this token is not known: it was used, or is too old",
                    "make another one there: `thither serve pair`",
                );
            }
            Err(error) => {
                self.say("keys", &[("error", Value::Text(&chain(&error)))]);
                return self.deny(stream, "its keys cannot be read", "look at its log");
            }
        }
        match store.authorize(fingerprint, &name) {
            Ok(()) => {
                self.say("paired", &[("name", Value::Text(&name))]);
                session::answer(stream);
            }
            Err(error) => {
                self.say("keys", &[("error", Value::Text(&chain(&error)))]);
                self.deny(
                    stream,
                    "its keys cannot be written",
                    "look at its log, and make another token",
                );
            }
        }
    }

    /// Does what is wanted.
    fn act(&self, stream: OwnedFd, request: Request, peer: &Peer) {
        debug_assert!(!matches!(peer, Peer::Stranger { .. }));
        let start = Instant::now();
        let opened = match (request, peer) {
            (Request::Spawn(spawn), Peer::Samba { account, .. }) => self.spawn_as(spawn, account),
            // It would be done by us, who are root.
            (_, Peer::Samba { .. }) => Err(refusal(
                Reason::Unsupported,
                "do anything but run a command: it is behind Samba",
            )),
            (request, _) => self.open(request),
        };
        match opened {
            Ok((process, pid)) => {
                let end = self.ticket.end();
                let outcome = session::serve_until(stream, process, pid, end.as_fd(), self.goodbye);
                self.ended("end", &outcome, Some(start));
            }
            Err(refusal) => {
                self.say(
                    "refused",
                    &[
                        ("why", Value::Text(&refusal.text)),
                        ("errno", Value::Number(refusal.errno.into())),
                    ],
                );
                session::refuse_until(&stream, &refusal, self.goodbye);
            }
        }
    }

    fn open(&self, request: Request) -> Result<(Process, u32), Refusal> {
        match request {
            Request::Spawn(spawn) => self.spawn(spawn, &self.shared.home, &self.shared.variables),
            Request::Tcp { host, port } => self.tcp(&host, port),
            Request::Unix { path } => self.unix(path),
            Request::Python => self.python(),
            Request::Pair { .. } => Err(refusal(Reason::Unsupported, "pair over a Unix socket")),
        }
    }

    /// A command of a client of Samba's, as the user that it is here.
    fn spawn_as(&self, mut spawn: Spawn, who: &Account) -> Result<(Process, u32), Refusal> {
        let own = who.name.as_bytes();
        if spawn.user.get_or_insert_with(|| own.to_vec()) != own {
            return Err(refusal(Reason::Denied, "run as another user than that of the pipe"));
        }
        self.spawn(spawn, &who.start, &who.variables)
    }

    fn spawn(
        &self,
        spawn: Spawn,
        start: &Path,
        variables: &[(OsString, OsString)],
    ) -> Result<(Process, u32), Refusal> {
        let program = match &spawn.program {
            Program::Named(name) => String::from_utf8_lossy(name).into_owned(),
            Program::LoginShell | Program::Default => "login shell".into(),
        };
        let dir = spawn.dir.as_deref().map(String::from_utf8_lossy);
        let user = spawn.user.as_deref().map(String::from_utf8_lossy);
        let mut members = vec![
            ("program", Value::Text(&program)),
            ("arguments", Value::Number(spawn.args.len() as u64)),
            ("terminal", Value::Flag(matches!(spawn.streams, Streams::Terminal { .. }))),
        ];
        members.extend(dir.as_deref().map(|dir| ("dir", Value::Text(dir))));
        members.extend(user.as_deref().map(|user| ("user", Value::Text(user))));
        self.say("run", &members);
        let command = session::command(spawn);
        spawn_in_session(&command, start, variables.iter().cloned(), self.shared.fresh)
            .map_err(|error| session::refusal_of(&error))
    }

    fn tcp(&self, host: &[u8], port: u16) -> Result<(Process, u32), Refusal> {
        let host = String::from_utf8_lossy(host);
        self.say("connect", &[("to", Value::Text(&format!("{host}:{port}")))]);
        let stream = dial::tcp(&host, port, DIAL, Some(self.ticket.end())).map_err(undialled)?;
        joined(stream.into())
    }

    fn unix(&self, path: Vec<u8>) -> Result<(Process, u32), Refusal> {
        let path = PathBuf::from(OsString::from_vec(path));
        self.say("connect", &[("to", Value::Text(&path.to_string_lossy()))]);
        let path = self.shared.home.join(&path);
        joined(dial::anyone(&path, DIAL, Some(self.ticket.end())).map_err(undialled)?)
    }

    fn python(&self) -> Result<(Process, u32), Refusal> {
        self.say("python", &[]);
        let Some(interpreter) = &self.shared.interpreter else {
            return Err(refusal(
                Reason::Unsupported,
                "share an interpreter: it was not started with --python",
            ));
        };
        let stream = interpreter().map_err(|error| Refusal {
            text: format!("start the shared interpreter: {error}"),
            ..refusal(Reason::Failed, "")
        })?;
        joined(stream)
    }

    fn ended(&self, event: &str, outcome: &Outcome, start: Option<Instant>) {
        let (text, number);
        let how = match outcome {
            Outcome::Exited(Exit::Code(code)) => {
                number = *code as u64;
                ("code", Value::Number(number))
            }
            Outcome::Exited(Exit::Signal(signal)) => {
                number = *signal as u64;
                ("signal", Value::Number(number))
            }
            Outcome::Refused(refusal) => ("refused", Value::Text(&refusal.text)),
            Outcome::Left => ("why", Value::Text("the client is gone")),
            Outcome::TimedOut => ("why", Value::Text("it took too long")),
            Outcome::Stopped => ("why", Value::Text("the daemon ended it")),
            Outcome::Malformed(error) => {
                text = error.to_string();
                ("why", Value::Text(&text))
            }
            Outcome::Lost(error) => {
                text = error.to_string();
                ("why", Value::Text(&text))
            }
        };
        let mut members = vec![how];
        members.extend(start.map(|start| {
            (
                "milliseconds",
                Value::Number(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)),
            )
        }));
        self.say(event, &members);
    }
}

/// A stream instead of a process.
fn joined(stream: OwnedFd) -> Result<(Process, u32), Refusal> {
    let process = session::of_stream(stream);
    Ok((process.map_err(|error| undialled(dial::Undialled::Failed(error)))?, 0))
}

fn refusal(reason: Reason, text: &str) -> Refusal {
    Refusal { reason, errno: 0, text: text.to_owned(), hint: String::new() }
}

fn undialled(error: dial::Undialled) -> Refusal {
    match error {
        dial::Undialled::Cancelled => refusal(Reason::Failed, "connect: given up"),
        dial::Undialled::Failed(error) => {
            let errno = error.raw_os_error().and_then(|errno| u32::try_from(errno).ok());
            match errno {
                Some(errno) => Refusal { errno, ..refusal(Reason::Failed, "connect") },
                None => refusal(Reason::Failed, &format!("connect: {error}")),
            }
        }
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

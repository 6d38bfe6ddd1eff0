//! The daemon itself: who may listen, who is let in, and how long.
//!
//! One thread accepts; each connection has a thread of its own, and ends with it. Before it is known who a peer is it costs
//! little, may say little, and has little time.

mod connection;
mod listen;
mod log;
mod table;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thither_place::launch::Fresh;
use thither_place::tls;
use thither_term::{Interest, Signals, poll};

pub use self::listen::Listen;
pub use self::log::Format;

pub use self::connection::OURS;

use self::connection::Shared;
use self::listen::Listener;
use self::log::{Log, Value};
use self::table::{Most, Origin, Table, Ticket};
use super::{Samba, Store, StoreError, default_socket};

/// A stack of a connection's thread, in bytes: it keeps its buffers elsewhere.
const STACK: usize = 256 * 1024;
/// How many descriptors a connection has at most: eight over TLS, and some while a command starts.
const FILES: u64 = 12;
/// How long to wait before accepting again where there was no descriptor or memory for one more.
const RECOVER: Duration = Duration::from_millis(100);

/// How a daemon is to be.
#[derive(Clone)]
pub struct Serve {
    /// Where to listen, besides the sockets that systemd(1) hands over; nothing at all, no pipe either, means [`default_socket`].
    pub listen: Vec<Listen>,
    /// A pipe of Samba's. What its clients run is theirs and not root's, but the daemon has to be root's to become them.
    pub samba: Option<Samba>,
    /// The folder of keys; `None` is that of [`Store::open`].
    pub keys: Option<PathBuf>,
    /// How many connections of peers that are known there may be.
    pub connections: usize,
    /// How many of peers that are not known yet; one more cuts the oldest off.
    pub strangers: usize,
    /// How long a peer may take to say who it is and what it wants.
    pub greeting: Duration,
    /// How long what runs may go on once the daemon is to end.
    pub grace: Duration,
    /// Whether root may serve others than Samba's clients: whoever gets in is root then.
    pub allow_root: bool,
    /// How the log is written.
    pub format: Format,
    /// Makes a connection to the interpreter that all share, if there is one.
    pub interpreter: Option<Arc<Interpreter>>,
}

/// What a connection's thread does.
type Attendant = fn(&Shared, Ticket, OwnedFd);

/// See [`Serve::interpreter`].
pub type Interpreter = dyn Fn() -> io::Result<OwnedFd> + Send + Sync;

impl Default for Serve {
    fn default() -> Serve {
        Serve {
            listen: Vec::new(),
            samba: None,
            keys: None,
            connections: 1024,
            strangers: 1024,
            greeting: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            allow_root: false,
            format: Format::Text,
            interpreter: None,
        }
    }
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It would run everything as root.
    #[error("whoever may use this daemon would be root")]
    Root,
    /// It could not become who has to run something.
    #[error("only root can serve clients of Samba: it becomes each of them")]
    NotRoot,
    /// Nobody could get in over TCP.
    #[error("no key is authorised, so nobody may get in over TCP")]
    Nobody,
    /// A socket cannot be had.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] StoreError),
    /// The system refuses something else.
    #[error("cannot serve")]
    System(#[from] io::Error),
}

impl ServeError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ServeError::Root => {
                Some("run it as another user, or say --allow-root if that is meant".into())
            }
            ServeError::NotRoot => Some("run it as root".into()),
            ServeError::Nobody => Some("first run `thither serve pair`, here".into()),
            ServeError::Keys(error) => error.hint(),
            ServeError::Listen(_) | ServeError::System(_) => None,
        }
    }
}

/// A daemon that listens.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    table: Arc<Table>,
    grace: Duration,
    /// Tells of changes in the folder of keys.
    changes: Option<OwnedFd>,
}

impl Serve {
    /// Opens the sockets.
    ///
    /// # Errors
    /// See [`ServeError`]; for root without [`allow_root`](Serve::allow_root) where there is more than Samba's pipe, for a pipe
    /// without root, and for TCP where no key is authorised and none could be soon, since no token is pending.
    pub fn bind(self) -> Result<Server, ServeError> {
        let is_root = rustix::process::geteuid().is_root();
        if self.samba.is_some() && !is_root {
            return Err(ServeError::NotRoot);
        }
        let mut listeners = Listener::handed_over().map_err(ServeError::Listen)?;
        let mut wanted = self.listen;
        let only_samba = self.samba.is_some() && wanted.is_empty() && listeners.is_empty();
        if is_root && !self.allow_root && !only_samba {
            return Err(ServeError::Root);
        }
        if wanted.is_empty() && listeners.is_empty() && !only_samba {
            wanted.push(Listen::Unix(own_socket()?));
        }
        let is_far = wanted.iter().any(|listen| matches!(listen, Listen::Tcp(_)))
            || listeners.iter().any(Listener::is_tcp);
        let store = match is_far {
            true => Some(match &self.keys {
                Some(folder) => Store::at(folder),
                None => Store::open()?,
            }),
            false => None,
        };
        let mut key = None;
        if let Some(store) = &store {
            if store.authorized()?.is_empty() && !store.has_token()? {
                return Err(ServeError::Nobody);
            }
            key = Some(store.server_key()?);
        }
        for listen in &wanted {
            listeners.extend(Listener::open(listen).map_err(ServeError::Listen)?);
        }
        if let Some(samba) = &self.samba {
            listeners.push(Listener::samba(samba).map_err(ServeError::Listen)?);
        }
        let changes = store.as_ref().map(|store| watch(store.path())).transpose()?;
        let fresh = Fresh { files: more_files() };
        let most = Most { known: fitting(self.connections), strangers: fitting(self.strangers) };
        let table = Table::new(most)?;
        let log = Log::new(self.format);
        for listener in &listeners {
            log.event("listening", &[("at", Value::Text(&listener.shown()))]);
        }
        if is_root && !only_samba {
            log.event("root", &[("warning", Value::Text("whoever gets in is root here"))]);
        }
        for root in self.samba.iter().flat_map(Samba::roots) {
            let warning = "this client of Samba is root here";
            log.event("root", &[("warning", Value::Text(warning)), ("user", Value::Text(root))]);
        }
        let (greeting, interpreter) = (self.greeting, self.interpreter);
        let shared = Shared::new(log, greeting, store, key, interpreter, fresh, self.samba);
        Ok(Server { listeners, shared: Arc::new(shared), table, grace: self.grace, changes })
    }
}

/// Lets us have as many descriptors open as we may. What the limit was before, for what we run.
fn more_files() -> Option<Rlimit> {
    let before = getrlimit(Resource::Nofile);
    let most = Rlimit { current: before.maximum, ..before };
    setrlimit(Resource::Nofile, most).ok().map(|()| before)
}

/// As many connections as are wanted, but no more than there are descriptors for: those of peers that are known and those that are not
/// have half of them each.
fn fitting(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files / (2 * FILES)).unwrap_or(usize::MAX);
    wanted.min(most).max(1)
}

/// The default socket, in a folder that is made.
fn own_socket() -> io::Result<PathBuf> {
    // It is removed when it is empty, perhaps just now.
    while thither_place::state::StateFolder::open()?.is_none() {}
    default_socket()
}

/// So long from now; a time that is no end is a year.
fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + Duration::from_secs(365 * 86_400))
}

/// Told of what is renamed into a folder.
fn watch(folder: &std::path::Path) -> io::Result<OwnedFd> {
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&changes, folder, OF_KEYS)?;
    Ok(changes)
}

/// What may change whom we know.
const OF_KEYS: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

impl Server {
    /// Serves until one of these signals comes. What runs then may go on for a while; a second one ends it at once.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn run(mut self, signals: &Signals) -> io::Result<()> {
        while !self.is_told(signals) {
            let mut interests =
                vec![Interest::Read(signals.as_fd()), Interest::Read(self.table.as_fd())];
            let changes = self.changes.as_ref();
            interests.push(changes.map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd())));
            interests
                .extend(self.listeners.iter().map(|listener| Interest::Read(listener.as_fd())));
            let ready: Vec<bool> = poll(&interests, None)?.iter().map(|ready| ready.now).collect();
            self.table.acknowledge();
            if ready[2] {
                self.keys_changed();
            }
            for (listener, _) in self.listeners.iter().zip(&ready[3..]).filter(|(_, ready)| **ready)
            {
                self.accept(listener);
            }
        }
        self.listeners.clear();
        self.drain(signals)
    }

    fn is_told(&self, signals: &Signals) -> bool {
        signals.next().is_some()
    }

    /// Waits for what runs, and then ends it.
    /// A key that is revoked meanwhile ends what is its own.
    fn drain(&self, signals: &Signals) -> io::Result<()> {
        self.table.cut_strangers();
        let live = self.table.len() as u64;
        self.shared.log.event("ending", &[("connections", Value::Number(live))]);
        let mut deadline = later(self.grace);
        let mut is_asked = false;
        while self.table.len() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let changes = self.changes.as_ref();
            let interests = [
                Interest::Read(self.table.as_fd()),
                Interest::Read(signals.as_fd()),
                changes.map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd())),
            ];
            let ready = poll(&interests, Some(left))?;
            self.table.acknowledge();
            if ready[2].now {
                self.keys_changed();
            }
            let hurry = self.is_told(signals) || Instant::now() >= deadline;
            if hurry && is_asked {
                // What cannot be ended now is left to who started us.
                break;
            }
            if hurry {
                self.table.end_all();
                is_asked = true;
                deadline = Instant::now() + connection::END;
            }
        }
        let left = self.table.len() as u64;
        self.shared.log.event("ended", &[("left", Value::Number(left))]);
        Ok(())
    }

    /// One of those that wait at a socket.
    fn accept(&self, listener: &Listener) {
        let accepted = match listener {
            Listener::Unix { listener, .. } | Listener::Samba { listener, .. } => {
                listener.accept().map(|(socket, _)| (socket.into(), Origin::NEAR))
            }
            Listener::Tcp(listener) => {
                listener.accept().map(|(socket, from)| (socket.into(), Origin::far(from.ip())))
            }
        };
        let attend =
            |(socket, origin): (OwnedFd, Origin)| self.attend(socket, origin, listener.attendant());
        let failed = match accepted.and_then(attend) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => error,
        };
        self.shared.log.event("unaccepted", &[("why", Value::Text(&failed.to_string()))]);
        if failed.kind() != io::ErrorKind::ConnectionAborted {
            // Nothing tells when there is room again, and the caller waits in the backlog.
            let _ = poll(&[Interest::Read(self.table.as_fd())], Some(RECOVER));
        }
    }

    /// Gives a connection a thread.
    fn attend(&self, socket: OwnedFd, origin: Origin, attendant: Attendant) -> io::Result<()> {
        let (ticket, cut) = self.table.enter(socket.as_fd(), origin)?;
        if let Some(cut) = cut {
            self.shared.log.event("cut", &[("connection", Value::Number(cut))]);
        }
        let shared = self.shared.clone();
        let builder = thread::Builder::new().name("connection".into()).stack_size(STACK);
        builder.spawn(move || attendant(&shared, ticket, socket))?;
        Ok(())
    }

    /// Ends the connections of keys that were revoked.
    fn keys_changed(&self) {
        let Some((changes, store)) = self.changes.as_ref().zip(self.shared.store.as_ref()) else {
            return;
        };
        let mut news = [0; 4096];
        while rustix::io::read(changes, &mut news).is_ok_and(|n| n > 0) {}
        // It may be another folder by now; the same one is watched once.
        if let Err(error) = inotify::add_watch(changes, store.path(), OF_KEYS) {
            let text = io::Error::from(error).to_string();
            self.shared.log.event("keys", &[("error", Value::Text(&text))]);
        }
        let known: BTreeSet<tls::Fingerprint> = match store.authorized() {
            Ok(peers) => peers.into_iter().map(|peer| peer.fingerprint).collect(),
            Err(error) => {
                self.shared.log.event("keys", &[("error", Value::Text(&error.to_string()))]);
                // Nobody is let in either while they cannot be read.
                return;
            }
        };
        for connection in self.table.revoke(|key| known.contains(key)) {
            self.shared.log.event("revoked", &[("connection", Value::Number(connection))]);
        }
    }
}

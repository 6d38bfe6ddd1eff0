//! An ssh client that is built in, for machines without `ssh`, for passwords, and for many hosts in one process.
//!
//! # Differences from the user's own ssh
//! - Nothing is read of ssh_config: no aliases, jump hosts or certificates. Names are those of the resolver, and the files
//!   are `known_hosts` and `id_*` in `~/.ssh`, and `/etc/ssh/ssh_known_hosts`.
//! - Keys with a passphrase are for the agent. Nothing is asked on the terminal.
//! - A connection serves one process or stream at a time; those at the same time have one each, and the next use finds
//!   one that is idle.
//! - Letting go of a process sends HUP to its process group and closes its channel.
//! - Whose output nobody reads any more is let go of, and how it ends is not known, unless a [guard] can tell it.
//!
//! # How it works
//! All connections of this process live on one thread, the [bridge](crate::bridge), with russh. Terminals, pipes and tunnels are
//! sockets and pipes of our own making, whose other ends the bridge has; what the caller has inherited is moved by whoever
//! waits for the process ([`relay`]).

mod failure;
mod known;
mod handler;
mod auth;
mod connection;
mod pool;
mod guard;
mod session;
mod signals;
mod watch;
mod relay;
mod streams;
mod control;

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use thither_place::users::Accounts;
use thither_place::{Command, Error, Process, Result, Streams};
use tokio::sync::mpsc;

use self::auth::{Credentials, DEFAULT_KEYS};
use self::connection::{Connection, PATIENCE, Purpose, Target};
use self::control::{Held, Kind};
use self::failure::Fault;
pub(crate) use self::guard::Guard;
use self::pool::{Lease, Pool};
use self::session::{About, Shared, carry, socket_ends};
use crate::bridge;
use crate::ssh::request::Request;
use crate::ssh::{HostKeys, KEEP_ALIVE, Settings};

/// The port of ssh, RFC 4253 section 4.1.
const PORT: u16 = 22;

/// Where hosts are known to all users here.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// Makes a stream socket to the server, instead of TCP: a tunnel through another hop. It may give up when the descriptor
/// is readable.
pub(crate) type Dial = dyn Fn(Option<BorrowedFd<'_>>) -> Result<OwnedFd> + Send + Sync;

/// A host by the client that is built in. Its clones share its connections, which are made when they are needed, again
/// if they were lost, and closed with the last clone and process.
#[derive(Clone)]
pub(crate) struct Builtin {
    /// The place's address, for errors.
    place: String,
    target: Target,
    dial: Option<Arc<Dial>>,
    pool: Arc<Pool>,
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builtin").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What is this user's here.
#[derive(Clone, Debug, Default)]
struct Here {
    user: Option<String>,
    /// `HOME`, else that of passwd.
    home: Option<PathBuf>,
    /// The agent's socket.
    agent: Option<PathBuf>,
    /// Where hosts are known to all users.
    known_hosts: PathBuf,
}

impl Here {
    fn of_process() -> Here {
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        let accounts = Accounts { passwd, group: Vec::new() };
        let entry = accounts.by_uid(rustix::process::geteuid().as_raw());
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let name = entry.as_ref().and_then(|entry| entry.name.to_str().map(String::from));
        Here {
            user: name.or_else(|| env::var("USER").ok()),
            home: path("HOME").or_else(|| entry.map(|entry| entry.home)),
            agent: path("SSH_AUTH_SOCK"),
            known_hosts: SYSTEM_KNOWN_HOSTS.into(),
        }
    }
}

impl Builtin {
    /// Of what is said about a host. Nothing is connected yet.
    pub(crate) fn new(settings: &Settings, place: impl Into<String>) -> Builtin {
        Builtin::with(settings, place, &Here::of_process())
    }

    fn with(settings: &Settings, place: impl Into<String>, here: &Here) -> Builtin {
        let ssh = here.home.as_ref().map(|home| home.join(".ssh"));
        let in_ssh = |name: &str| ssh.as_ref().map(|folder| folder.join(name));
        let user = settings.user.as_ref().or(here.user.as_ref());
        let keep_alive = settings.keep_alive.unwrap_or(KEEP_ALIVE);
        let target = Target {
            host: settings.host.clone(),
            port: settings.port.unwrap_or(PORT),
            credentials: Credentials {
                user: user.cloned().unwrap_or_default(),
                identity: settings.identity.clone(),
                agent: here.agent.clone(),
                default_keys: DEFAULT_KEYS.iter().filter_map(|name| in_ssh(name)).collect(),
                password: settings.password.clone(),
            },
            policy: settings.host_keys.unwrap_or(HostKeys::Reject),
            known_hosts: in_ssh("known_hosts")
                .into_iter()
                .chain([here.known_hosts.clone()])
                .collect(),
            remember_in: in_ssh("known_hosts"),
            timeout: settings.timeout.unwrap_or(PATIENCE),
            keep_alive: Some(keep_alive).filter(|interval| !interval.is_zero()),
        };
        Builtin { place: place.into(), target, dial: None, pool: Arc::default() }
    }

    /// Over streams that this makes, instead of TCP.
    pub(crate) fn through(
        self,
        dial: impl Fn(Option<BorrowedFd<'_>>) -> Result<OwnedFd> + Send + Sync + 'static,
    ) -> Builtin {
        Builtin { dial: Some(Arc::new(dial)), pool: Arc::default(), ..self }
    }

    /// Makes sure that there is a connection.
    ///
    /// # Errors
    /// [`Error::Enter`], with what is wrong as its source; [`Error::Cancelled`].
    #[cfg(test)]
    fn connect(&self, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        match self.pool.idle() {
            Some(_) => Ok(()),
            None => self.dialled(cancel, async |_| Ok(())),
        }
    }

    /// Starts what is requested, with the streams of the command; nothing else of it counts, but its `cancel`. Without a
    /// guard, signals that the server does not pass on are refused, and what runs may outlive a lost connection.
    ///
    /// # Errors
    /// [`Error::Enter`], with what is wrong as its source, also when the server does not start it;
    /// [`Error::Cancelled`].
    pub(crate) fn spawn(
        &self,
        request: Request,
        guard: Option<Guard>,
        command: &Command,
    ) -> Result<Process> {
        let (ours, theirs) = streams::open(&command.streams).map_err(|error| self.here(error))?;
        let shared = Shared::new().map_err(|error| self.here(error))?;
        let terminal = match &command.streams {
            Streams::Terminal(terminal) => {
                let term = terminal.term.as_ref().map(|term| term.to_string_lossy().into_owned());
                Some((term.unwrap_or_else(|| "dumb".into()), terminal.size))
            }
            Streams::Separate { .. } => None,
        };
        let (tell, told) = mpsc::unbounded_channel();
        let kind = Kind { has_terminal: terminal.is_some(), guarded: guard.is_some() };
        let about = About { preface: request.preface, guard, has_terminal: kind.has_terminal };
        let purpose = Purpose::Command { line: request.line, terminal };
        let there = Arc::clone(&shared);
        let cancel = command.cancel.as_ref().map(AsFd::as_fd);
        self.channel(purpose, cancel, move |channel, lease| {
            let ends = theirs.into_ends()?;
            tokio::spawn(carry(channel, about, ends, told, there, lease));
            Ok(())
        })?;
        let held = |driver| {
            let held = Held::new(&self.place, shared, tell, driver, kind)?;
            let mut process = Process::new(Box::new(held));
            process.apart = true;
            Ok(process)
        };
        ours.attach(held).map_err(|error| self.here(error))
    }

    /// A two-way stream to a subsystem of the server, such as `sftp`.
    ///
    /// # Errors
    /// As [`spawn`](Builtin::spawn), and when the server does not have it.
    pub(crate) fn subsystem(&self, name: &str, cancel: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        self.tunnel(Purpose::Subsystem(name.into()), cancel)
    }

    /// A connection from there to a TCP port (RFC 4254 section 7.2).
    ///
    /// # Errors
    /// As [`spawn`](Builtin::spawn), and when the server cannot or may not connect there.
    pub(crate) fn open_tcp(
        &self,
        host: &str,
        port: u16,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd> {
        self.tunnel(Purpose::Tcp { host: host.into(), port }, cancel)
    }

    /// A connection from there to a Unix socket (OpenSSH's PROTOCOL, section 2.4).
    ///
    /// # Errors
    /// As [`open_tcp`](Builtin::open_tcp).
    pub(crate) fn open_unix(&self, path: &str, cancel: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        self.tunnel(Purpose::Unix { path: path.into() }, cancel)
    }

    fn tunnel(&self, purpose: Purpose, cancel: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| self.here(error))?;
        let shared = Shared::new().map_err(|error| self.here(error))?;
        self.channel(purpose, cancel, move |channel, lease| {
            let ends = socket_ends(theirs)?;
            let (tell, told) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                // It goes on until one of its ends does.
                let _tell = tell;
                carry(channel, About::default(), ends, told, shared, lease).await;
            });
            Ok(())
        })?;
        Ok(ours.into())
    }

    /// Opens a channel on a connection that is idle, or on a new one, and hands both on.
    fn channel(
        &self,
        purpose: Purpose,
        cancel: Option<BorrowedFd<'_>>,
        then: impl FnOnce(russh::Channel<russh::client::Msg>, Lease) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        // Until a connection that was idle turns out to live, `then` is kept.
        let mut then = Some(then);
        while let Some(lease) = self.pool.idle() {
            let asked = purpose.clone();
            let opened = bridge::run(async move { open(lease, &asked).await }, cancel);
            match self.ran(opened) {
                Ok(Ok((channel, lease))) => {
                    let Some(then) = then.take() else { break };
                    let handed = bridge::run(async move { then(channel, lease) }, None);
                    return self.ran(handed)?.map_err(|error| self.here(error));
                }
                Ok(Err(fault)) if fault.is_loss() => {}
                Ok(Err(fault)) => return Err(fault.at(&self.place)),
                Err(error) => return Err(error),
            }
        }
        let Some(then) = then else { return Ok(()) };
        self.dialled(cancel, async move |lease| {
            let (channel, lease) = open(lease, &purpose).await?;
            Ok(then(channel, lease)?)
        })
    }

    /// Does this with a new connection.
    fn dialled<F>(
        &self,
        cancel: Option<BorrowedFd<'_>>,
        then: impl FnOnce(Lease) -> F + Send + 'static,
    ) -> Result<()>
    where
        F: Future<Output = Result<(), Fault>> + Send,
    {
        let stream = self.dial.as_ref().map(|dial| dial(cancel)).transpose()?;
        let (target, pool) = (self.target.clone(), Arc::clone(&self.pool));
        let work = async move {
            let connection = Connection::open(&target, stream).await?;
            then(pool.add(connection)).await
        };
        let ran = bridge::run(work, cancel);
        self.ran(ran)?.map_err(|fault| fault.at(&self.place))
    }

    fn ran<T>(&self, ran: io::Result<Option<T>>) -> Result<T> {
        match ran {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(Error::Cancelled { place: self.place.clone() }),
            Err(error) => Err(self.here(error)),
        }
    }

    fn here(&self, source: io::Error) -> Error {
        Fault::Here(source).at(&self.place)
    }
}

/// Opens a channel. If this is given up midway, the connection is not used again: the server may have started
/// something on it.
async fn open(
    mut lease: Lease,
    purpose: &Purpose,
) -> Result<(russh::Channel<russh::client::Msg>, Lease), Fault> {
    lease.soil();
    match lease.connection().channel(purpose).await {
        Ok(channel) => {
            lease.cleaned();
            Ok((channel, lease))
        }
        Err(fault) => {
            if !fault.is_loss() {
                lease.cleaned();
            }
            Err(fault)
        }
    }
}

#[cfg(test)]
mod tests;

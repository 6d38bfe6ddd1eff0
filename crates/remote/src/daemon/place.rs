//! A daemon as a place.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thither_place::tls;
use thither_place::wire::Request;
use thither_place::wire::client::{self, Link};
use thither_place::{Command, Endpoint, Error, Place, Process, Result};

use super::dial::{self, Undialled};
use crate::through::Through;

use super::{PORT, Store, StoreError, Token, default_socket};

/// How long a daemon may take to answer at first.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may be heard over TCP before the daemon is asked whether it is there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a daemon listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// On the [socket](default_socket) of our user.
    #[default]
    Default,
    /// On the Unix socket of this path.
    Unix(PathBuf),
    /// On this port of this host.
    Tcp {
        /// A name, or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A machine with a daemon, `thither serve`.
///
/// # Differences from [`Local`](thither_place::Local)
/// - What runs there is the daemon's user's, starts in its home, and has the environment of the daemon.
/// - A command without a terminal leads a session of its own. A signal goes to all of its process group. When we are gone, or let go of
///   it, the group gets HUP, TERM and CONT, and after a second KILL.
/// - A standard output that nobody reads holds up standard error as well.
/// - The end comes when all that holds its output has ended, as over ssh.
#[derive(Clone, Debug)]
pub struct Daemon {
    at: At,
    timeout: Duration,
    keep_alive: Duration,
    store: Option<PathBuf>,
    /// How it is reached, if not from here.
    through: Option<Through>,
}

impl Daemon {
    /// The daemon that listens there.
    #[must_use]
    pub fn new(at: At) -> Daemon {
        Daemon { at, timeout: TIMEOUT, keep_alive: KEEP_ALIVE, store: None, through: None }
    }

    /// How long a connection may take, [`TIMEOUT`] by default.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Daemon {
        Daemon { timeout, ..self }
    }

    /// How long nothing may be heard, [`KEEP_ALIVE`] by default: a daemon over TCP that is silent for four times as long is lost.
    #[must_use]
    pub fn keep_alive(self, keep_alive: Duration) -> Daemon {
        Daemon { keep_alive, ..self }
    }

    /// The folder of keys, that of [`Store::open`] by default.
    #[must_use]
    pub fn keys(self, folder: impl Into<PathBuf>) -> Daemon {
        Daemon { store: Some(folder.into()), ..self }
    }

    /// Reaches it by streams that this makes: beyond another hop. Whose a Unix socket is over there, only the daemon can ask.
    #[must_use]
    pub fn through(
        self,
        dial: impl Fn(&Endpoint) -> Result<OwnedFd> + Send + Sync + 'static,
    ) -> Daemon {
        Daemon { through: Some(Through(Arc::new(dial))), ..self }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.at {
            At::Default => "daemon:".into(),
            At::Unix(path) => format!("daemon:{}", path.display()),
            At::Tcp { host, port } => shown(host, *port),
        }
    }

    fn link<'a>(&self, place: &'a str) -> Link<'a> {
        let is_far = matches!(self.at, At::Tcp { .. }) || self.through.is_some();
        Link { place, keep_alive: is_far.then_some(self.keep_alive).filter(|time| !time.is_zero()) }
    }

    fn store(&self) -> std::result::Result<Store, StoreError> {
        match &self.store {
            Some(folder) => Ok(Store::at(folder)),
            None => Store::open(),
        }
    }

    fn dial(&self, place: &str, cancel: Option<&Arc<OwnedFd>>) -> Result<OwnedFd> {
        let failed = |source| enter(place, source, None);
        match &self.at {
            At::Default if self.through.is_some() => {
                let action = "be found beyond another hop without the path of its socket".into();
                let hint =
                    Some("write it as in `daemon:/run/user/1000/thither/daemon.sock`".into());
                Err(Error::Unsupported { action, place: place.into(), hint })
            }
            At::Default => self.dial_unix(&default_socket().map_err(failed)?, place, cancel),
            At::Unix(path) => self.dial_unix(path, place, cancel),
            At::Tcp { host, port } => {
                let store = self.store().map_err(|error| unkept(place, error))?;
                let server = store.server(host, *port).map_err(|error| unkept(place, error))?;
                let server = server.ok_or_else(|| {
                    let hint = format!(
                        "run `thither serve pair` there, and here `thither pair {}`",
                        shown(host, *port).trim_start_matches("daemon:")
                    );
                    let why = io::Error::other("this machine is not paired with it");
                    enter(place, why, Some(hint))
                })?;
                let key = store.client_key().map_err(|error| unkept(place, error))?;
                let tcp = match &self.through {
                    None => dial_tcp(host, *port, self.timeout, place, cancel)?,
                    Some(Through(dial)) => {
                        dial(&Endpoint::Tcp { host: host.clone(), port: *port })?.into()
                    }
                };
                secured(tcp, &key, server, host, self.timeout, place)
            }
        }
    }

    fn dial_unix(
        &self,
        path: &std::path::Path,
        place: &str,
        cancel: Option<&Arc<OwnedFd>>,
    ) -> Result<OwnedFd> {
        if let Some(Through(dial)) = &self.through {
            return dial(&Endpoint::Unix(path.to_owned()));
        }
        dial::unix(path, self.timeout, cancel).map_err(|error| match error {
            Undialled::Cancelled => Error::Cancelled { place: place.into() },
            Undialled::Failed(source) => {
                let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
                let hint = nobody.contains(&source.kind()).then(|| match self.at {
                    At::Default => "start one: `thither serve`".to_owned(),
                    _ => format!("start one: `thither serve --socket {}`", path.display()),
                });
                enter(place, source, hint)
            }
        })
    }

    fn stream(&self, request: &Request) -> Result<OwnedFd> {
        let place = self.address();
        client::stream(self.dial(&place, None)?, &self.link(&place), request)
    }
}

impl Place for Daemon {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let place = self.address();
        let stream = self.dial(&place, command.cancel.as_ref())?;
        client::spawn(stream, &self.link(&place), command)
    }

    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        self.stream(&match to {
            Endpoint::Tcp { host, port } => {
                Request::Tcp { host: host.clone().into_bytes(), port: *port }
            }
            Endpoint::Unix(path) => Request::Unix { path: path.as_os_str().as_bytes().to_vec() },
        })
    }

    fn interpreter(&self) -> Result<Option<OwnedFd>> {
        match self.stream(&Request::Python) {
            Ok(stream) => Ok(Some(stream)),
            Err(Error::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes the daemon at this host and ours known to each other, by the token that it has given out. `name` is how its owner shall know us.
///
/// # Errors
/// When it cannot be reached, is not the one that the token is of, or does not take the token.
pub fn pair(host: &str, port: u16, token: &Token, name: &str, store: &Store) -> Result<()> {
    let place = shown(host, port);
    let key = store.client_key().map_err(|error| unkept(&place, error))?;
    let server = token.server();
    let tcp = dial_tcp(host, port, TIMEOUT, &place, None)?;
    let stream = secured(tcp, &key, server, host, TIMEOUT, &place)?;
    let link = Link { place: &place, keep_alive: None };
    let request = Request::Pair { token: *token.secret(), name: name.as_bytes().to_vec() };
    client::ask(stream, &link, &request)?;
    store.remember(host, port, server).map_err(|error| unkept(&place, error))
}

fn dial_tcp(
    host: &str,
    port: u16,
    limit: Duration,
    place: &str,
    cancel: Option<&Arc<OwnedFd>>,
) -> Result<TcpStream> {
    dial::tcp(host, port, limit, cancel).map_err(|error| match error {
        Undialled::Cancelled => Error::Cancelled { place: place.into() },
        Undialled::Failed(source) => {
            let refused = source.kind() == io::ErrorKind::ConnectionRefused;
            let hint = refused.then(|| {
                let port = if port == PORT { String::new() } else { format!(":{port}") };
                format!("start a daemon there: `thither serve --listen ADDRESS{port}`")
            });
            enter(place, source, hint)
        }
    })
}

/// The daemon of this key, and no other.
fn secured(
    stream: TcpStream,
    key: &tls::Key,
    server: tls::Fingerprint,
    host: &str,
    limit: Duration,
    place: &str,
) -> Result<OwnedFd> {
    tls::connect_pinned(stream, key, server, host, limit).map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        Error::Enter { place: place.into(), source: error.into(), hint }
    })
}

fn shown(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port {
        PORT => format!("daemon:{host}"),
        port => format!("daemon:{host}:{port}"),
    }
}

fn enter(place: &str, source: io::Error, hint: Option<String>) -> Error {
    Error::Enter { place: place.into(), source: Box::new(source), hint }
}

fn unkept(place: &str, error: StoreError) -> Error {
    let hint = error.hint();
    Error::Enter { place: place.into(), source: Box::new(error), hint }
}

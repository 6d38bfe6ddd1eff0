//! A service behind a named pipe, over SMB: on Windows, or on Linux behind Samba.
//!
//! ```no_run
//! use thither_place::{Command, Place};
//! use thither_remote::smb::{Settings, Smb};
//! use thither_remote::ssh::Secret;
//!
//! let host = Smb::from(Settings {
//!     host: "files".into(),
//!     username: Some("OFFICE\\ann".into()),
//!     password: Some(Secret::new("secret")),
//!     ..Settings::default()
//! });
//! let output = host.output(&Command::new("hostname"))?;
//! # Ok::<(), thither_place::Error>(())
//! ```
//!
//! # Security of the connection
//! Only SMB 3.1.1 is spoken, whose negotiation nobody on the way can change unseen. All is signed, and encrypted unless
//! [`Encrypt`] says otherwise. Who logs on proves that they know the password (NTLMv2), without telling it, and the server
//! proves the same: a server that does not know it, or lets the user in as a guest, is left. Kerberos is not supported.
//!
//! # How it works
//! All connections of this process live on one thread. Each process has a connection of its own, so
//! that none waits for another's output, and its pipe carries [frames](thither_place::wire) by a socket pair.

mod carry;
mod failure;
pub mod install;
mod login;
mod pushy;
mod session;
mod transport;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use thither_place::wire::Request;
use thither_place::wire::client::{self, Link};
use thither_place::{Command, Endpoint, Error, Place, Process, Result};
use tokio::time::timeout;

use self::carry::{Fate, carry};
use self::failure::Fault;
use self::session::Target;
use crate::bridge;
use crate::ssh::Secret;
use crate::through::Through;

/// The port of SMB over TCP, MS-SMB2 2.1.
pub const PORT: u16 = 445;
/// The pipe of thither's own service.
pub const PIPE: &str = "thither";
/// The pipe of pushy's.
pub const PUSHY_PIPE: &str = "pushy";
/// How long connecting may take, until the pipe is open.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may be heard before the service is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Whether what is said is encrypted. It is signed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encrypt {
    /// Yes, and a server that cannot is left.
    #[default]
    Require,
    /// If the server can.
    Prefer,
    /// If the server demands it.
    Off,
}

/// Whose service it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compat {
    /// Thither's own.
    #[default]
    Thither,
    /// That of pushy, the Python library.
    ///
    /// It runs a program with its arguments, and nothing else can be said about it. Its standard error is lost, the end of its input
    /// cannot be told, nor how it ended.
    Pushy,
}

/// Everything that is said about a host.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The TCP port, else [`PORT`].
    pub port: Option<u16>,
    /// Who logs on, also as `DOMAIN\user` or `user@REALM`; else the name of the user here.
    pub username: Option<String>,
    /// The domain of the user, where their name does not say it. Without one it is the server that knows the user.
    pub domain: Option<String>,
    /// The password, in UTF-8. There has to be one.
    pub password: Option<Secret>,
    /// The name of the pipe, without `\pipe\`; else that of the service.
    pub pipe: Option<String>,
    /// Whose service it is.
    pub compat: Compat,
    /// Whether all is encrypted.
    pub encrypt: Encrypt,
    /// How long connecting may take, until the pipe is open; else [`TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// A host where a service listens on a named pipe.
///
/// # Differences from [`Local`](thither_place::Local)
/// - What runs there is the user's who logs on, and starts where the service says.
/// - When we are gone, or let go of a command, the service ends it.
/// - A standard output that nobody reads holds up standard error as well.
#[derive(Clone, Debug)]
pub struct Smb {
    settings: Settings,
    /// How it is reached, if not from here.
    through: Option<Through>,
}

impl From<Settings> for Smb {
    fn from(settings: Settings) -> Smb {
        Smb { settings, through: None }
    }
}

impl Smb {
    /// A host with all settings at their defaults. It has no password, so it cannot be entered yet.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Smb {
        Smb::from(Settings { host: host.into(), ..Settings::default() })
    }

    /// Reaches it by streams that this makes, instead of TCP from here: beyond another hop.
    #[must_use]
    pub fn through(
        self,
        dial: impl Fn(&Endpoint) -> Result<OwnedFd> + Send + Sync + 'static,
    ) -> Smb {
        Smb { through: Some(Through(Arc::new(dial))), ..self }
    }

    /// What is said about it.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        let mut address = String::from("smb:");
        if let Some(user) = &self.settings.username {
            address += &format!("{user}@");
        }
        match self.settings.host.contains(':') {
            true => address += &format!("[{}]", self.settings.host),
            false => address += &self.settings.host,
        }
        if let Some(port) = self.settings.port {
            address += &format!(":{port}");
        }
        address
    }

    fn target(&self) -> Target {
        let settings = &self.settings;
        let (user, domain) = login::who(settings.username.as_deref(), settings.domain.as_deref());
        let pipe = settings.pipe.clone().unwrap_or_else(|| match settings.compat {
            Compat::Thither => PIPE.into(),
            Compat::Pushy => PUSHY_PIPE.into(),
        });
        Target {
            host: settings.host.clone(),
            port: settings.port.unwrap_or(PORT),
            user,
            domain,
            password: settings.password.clone(),
            pipe,
            encrypt: settings.encrypt,
        }
    }

    /// A stream that is the pipe, and what has become of it when it ends.
    fn open(&self, place: &str, cancel: Option<BorrowedFd<'_>>) -> Result<(OwnedFd, Fate)> {
        let target = self.target();
        let limit = self.settings.timeout.unwrap_or(TIMEOUT);
        let at = |fault: Fault| fault.at(place);
        // Nobody is asked anything before all is said.
        login::check(&target).map_err(at)?;
        let stream = match &self.through {
            Some(Through(dial)) => {
                Some(dial(&Endpoint::Tcp { host: target.host.clone(), port: target.port })?)
            }
            None => None,
        };
        let (ours, theirs) = UnixStream::pair().map_err(|error| at(error.into()))?;
        let fate = Fate::default();
        let told = fate.clone();
        let work = async move {
            let opening = session::open(&target, stream);
            let pipe = timeout(limit, opening).await.map_err(|_| Fault::Silent { limit })??;
            theirs.set_nonblocking(true)?;
            let theirs = tokio::net::UnixStream::from_std(theirs)?;
            tokio::spawn(carry(pipe, theirs, told));
            Ok(())
        };
        match bridge::run(work, cancel).map_err(|error| at(error.into()))? {
            Some(opened) => opened.map_err(at)?,
            None => return Err(Error::Cancelled { place: place.into() }),
        }
        tracing::debug!(place, "the pipe is open");
        Ok((ours.into(), fate))
    }

    fn stream(&self, request: &Request) -> Result<OwnedFd> {
        let place = self.address();
        if self.settings.compat == Compat::Pushy {
            return Err(unsupported(
                &place,
                "connect to sockets: pushy's service runs programs only",
            ));
        }
        let (stream, _) = self.open(&place, None)?;
        client::stream(stream, &link(&place), request)
    }
}

impl Place for Smb {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let place = self.address();
        let cancel = command.cancel.as_ref().map(AsFd::as_fd);
        match self.settings.compat {
            Compat::Thither => {
                let (stream, _) = self.open(&place, cancel)?;
                client::spawn(stream, &link(&place), command)
            }
            Compat::Pushy => {
                let preface = pushy::preface(command, &place)?;
                let (stream, fate) = self.open(&place, cancel)?;
                pushy::spawn(stream, fate, preface, command, &place)
            }
        }
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

fn link(place: &str) -> Link<'_> {
    Link { place, keep_alive: Some(KEEP_ALIVE) }
}

fn unsupported(place: &str, action: impl Into<String>) -> Error {
    let hint = Some("have a service of thither's own there".into());
    Error::Unsupported { action: action.into(), place: place.into(), hint }
}

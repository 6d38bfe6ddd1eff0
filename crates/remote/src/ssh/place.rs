//! The place.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thither_place::archive::Archive;
use thither_place::{Command, Endpoint, Error, Local, Place, Process, Result};

use super::files::Tools;
use super::forward;
use super::line::{self, Shell};
use super::master::{MASTERS, Master, here};
use super::mux::Mux;
use super::program::{self, Effective};
use super::session::{self, Host};
use super::settings::{HostKeys, Native, Secret, Settings};
use super::way::{self, BuiltIn};
use crate::through::Through;

/// A host over ssh; see the [module](super).
#[derive(Clone, Debug)]
#[must_use = "a place does nothing by itself"]
pub struct Ssh {
    settings: Settings,
    /// What files can be copied with over there, once that was looked at.
    pub(super) tools: Arc<OnceLock<Tools>>,
    builtin: BuiltIn,
    /// How it is reached, if not from here.
    dial: Option<Through>,
}

impl From<Settings> for Ssh {
    fn from(settings: Settings) -> Ssh {
        Ssh { settings, tools: Arc::default(), builtin: BuiltIn::default(), dial: None }
    }
}

impl Ssh {
    /// The host of this name: one of ssh_config, a host name, or an IP address without brackets.
    pub fn new(host: impl Into<String>) -> Ssh {
        Settings { host: host.into(), ..Settings::default() }.into()
    }

    /// Sets [`Settings::user`].
    pub fn user(mut self, user: impl Into<String>) -> Ssh {
        self.settings.user = Some(user.into());
        self
    }

    /// Sets [`Settings::port`].
    pub fn port(mut self, port: u16) -> Ssh {
        self.settings.port = Some(port);
        self
    }

    /// Sets [`Settings::native`].
    pub fn native(mut self, native: Native) -> Ssh {
        self.settings.native = native;
        self
    }

    /// Sets [`Settings::host_keys`].
    pub fn host_keys(mut self, host_keys: HostKeys) -> Ssh {
        self.settings.host_keys = Some(host_keys);
        self
    }

    /// Sets [`Settings::identity`].
    pub fn identity(mut self, file: impl Into<PathBuf>) -> Ssh {
        self.settings.identity = Some(file.into());
        self
    }

    /// Sets [`Settings::password`].
    pub fn password(mut self, password: Secret) -> Ssh {
        self.settings.password = Some(password);
        self
    }

    /// Sets [`Settings::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Ssh {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Sets [`Settings::keep_alive`].
    pub fn keep_alive(mut self, interval: Duration) -> Ssh {
        self.settings.keep_alive = Some(interval);
        self
    }

    /// Reaches it by streams that this makes, for the ssh that is built in: beyond another hop. The user's own takes
    /// [`Settings::proxy`].
    pub fn through(
        mut self,
        dial: impl Fn(&Endpoint) -> Result<OwnedFd> + Send + Sync + 'static,
    ) -> Ssh {
        self.dial = Some(Through(Arc::new(dial)));
        self
    }

    /// Whether the user's own `ssh` serves it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when another is asked for than this build has.
    pub fn is_native(&self) -> Result<bool> {
        way::is_native(&self.settings, &self.address())
    }

    /// A subsystem by the ssh that is built in.
    pub(super) fn builtin_subsystem(&self, name: &str) -> Result<OwnedFd> {
        let dial = self.dial.as_ref().map(|dial| &dial.0);
        self.builtin.subsystem(&self.settings, &self.address(), dial, name)
    }

    /// All that is set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        let Settings { host, port, user, .. } = &self.settings;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("ssh:{user}{host}{port}")
    }

    /// By the user's own `ssh`.
    fn spawn_native(&self, command: &Command) -> Result<Process> {
        let place = self.address();
        if program::is_bad_host(&self.settings.host) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "this is no name of a host");
            return Err(here(&place, source));
        }
        let token = token().map_err(|source| here(&place, source))?;
        let mut refused_by_new = 0;
        for number in 0..MASTERS {
            let master =
                Master::new(&self.settings, number).map_err(|source| here(&place, source))?;
            let Some(master) = master else { break };
            let is_new = !master.path.exists();
            let Some(mux) = self.connection(&master, &place, command.cancel.as_ref())? else {
                break;
            };
            let about = master.about();
            let request = line::request(command, about.shell, &token, &place)?;
            let host = Host { place: &place, master: &master, about };
            match session::start(&host, mux, &request, command)? {
                Ok(process) => return Ok(process),
                Err(why) => {
                    tracing::debug!(why, number, "the host refuses one more session");
                    refused_by_new += usize::from(is_new);
                }
            }
            // A new one has room, unless the session that asked it for its shell is still ending. The next one asks nothing: a host
            // that refuses that one as well refuses them all.
            if refused_by_new == 2 {
                break;
            }
        }
        self.spawn_by_program(command, &place, &token)
    }

    /// A stream over the master; `None` where there is none that we understand.
    fn connect_native(&self, to: &Endpoint) -> Result<Option<OwnedFd>> {
        let place = self.address();
        let master = Master::new(&self.settings, 0).map_err(|source| here(&place, source))?;
        let Some(master) = master else { return Ok(None) };
        let connected = self.connection(&master, &place, None)?;
        let stream = connected.map(|mux| forward::stream(&master, mux, to));
        stream.transpose().map_err(|source| here(&place, source))
    }

    /// A connection to the first master; `None` where there is none that we understand.
    pub(super) fn master_connection(&self) -> Result<Option<Mux>> {
        let place = self.address();
        match Master::new(&self.settings, 0).map_err(|source| here(&place, source))? {
            Some(master) => self.connection(&master, &place, None),
            None => Ok(None),
        }
    }

    /// A connection to a master that runs from now on. `None` where there can be none that we understand.
    fn connection(
        &self,
        master: &Master,
        place: &str,
        cancel: Option<&Arc<OwnedFd>>,
    ) -> Result<Option<Mux>> {
        match master.running() {
            Ok(Some(mux)) => Ok(Some(mux)),
            Ok(None) => master.start(&self.settings, place, cancel),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::debug!(%error, "ssh goes without a control master");
                Ok(None)
            }
            Err(source) => Err(here(place, source)),
        }
    }

    /// By a process of `ssh`, with a connection of its own.
    fn spawn_by_program(&self, command: &Command, place: &str, token: &str) -> Result<Process> {
        let effective = Effective::of(&self.settings).map_err(|source| here(place, source))?;
        // What is left are the variables: `ssh` has no way for them but its command line.
        let request = line::request(command, Shell::Unknown, token, place)?;
        if !request.preface.is_empty() {
            let action = "pass on variables without a control master".to_owned();
            return Err(Error::Unsupported { action, place: place.into(), hint: None });
        }
        let mut ssh = Command::new(program::program())
            .args([
                "-o",
                "ControlPath=none",
                "-o",
                "ClearAllForwardings=yes",
                "-o",
                "LogLevel=ERROR",
                "-e",
                "none",
            ])
            .args(program::options(&self.settings, &effective));
        if let thither_place::Streams::Terminal(_) = &command.streams {
            ssh = ssh.arg("-tt");
        }
        ssh = ssh.args(["--", &self.settings.host]);
        if let Some(line) = request.line {
            ssh = ssh.arg(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(line));
        }
        ssh.streams = command.streams.clone();
        ssh.cancel = command.cancel.clone();
        Local.spawn(&ssh)
    }
}

/// Letters and digits that nobody else has.
fn token() -> io::Result<String> {
    let mut random = [0; 12];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(random.iter().fold("thither".to_owned(), |text, byte| text + &format!("{byte:02x}")))
}

impl Place for Ssh {
    fn spawn(&self, command: &Command) -> Result<Process> {
        if self.is_native()? {
            return self.spawn_native(command);
        }
        let place = self.address();
        let token = token().map_err(|source| here(&place, source))?;
        let dial = self.dial.as_ref().map(|dial| &dial.0);
        self.builtin.spawn(&self.settings, &place, dial, command, &token)
    }

    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        if !self.is_native()? {
            let dial = self.dial.as_ref().map(|dial| &dial.0);
            return self.builtin.connect(&self.settings, &self.address(), dial, to);
        }
        match self.connect_native(to)? {
            Some(stream) => Ok(stream),
            None => thither_place::connect::by_command(self, to),
        }
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.get_files(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        self.put_files(archive, path)
    }
}

//! Where an engine is, as the docker CLI decides it.
//!
//! The first of these that is there: `DOCKER_HOST`; the context named by `DOCKER_CONTEXT`; the one named
//! `currentContext` in `config.json`; `/var/run/docker.sock`. `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH` count with
//! `DOCKER_HOST` and where nothing is set; a context has certificates of its own. `config.json` and the contexts are in
//! `DOCKER_CONFIG`, or `~/.docker`.
//!
//! # Differences from the docker CLI
//! - `tcp://` without TLS that leaves this machine is refused unless [`Selection::plain_tcp`] asks for it.
//! - A `config.json` that cannot be read is an error, not a warning: it might have named another engine.
//! - `tcp://HOST` means port 2376 with TLS, 2375 without; the CLI has 2375, or 80 and 443 in a context.
//! - A path or a user in `tcp://` is refused.
//! - Where nothing is set and `/var/run/docker.sock` is missing, the sockets of a rootless engine and of Podman are looked for.

mod error;
mod host;
mod config;
mod context;
mod keys;

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

pub use config::{Auth, ConfigFile};
pub use error::SettingsError;
pub use host::Host;
pub use keys::{DEFAULT_DETACH_KEYS, detach_keys};

use crate::credentials::Secret;

/// The socket of an engine that was installed for the whole machine.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The name of the context that is none: `DOCKER_HOST`, or the default socket.
const DEFAULT_CONTEXT: &str = "default";

/// What a user has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the engine is.
    pub host: Host,
    /// What said so, for messages: `DOCKER_HOST`, or context and its name, in backquotes where they are names.
    pub origin: String,
    /// How to speak TLS; `None` for not at all.
    pub tls: Option<Tls>,
    /// As the user wrote them; see [`detach_keys()`].
    pub detach_keys: Option<String>,
    /// Headers for every request. Their values may be secret.
    pub http_headers: Vec<(String, Secret)>,
    /// The user's `config.json`.
    pub config: ConfigFile,
}

/// The files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The engine's certificate authority; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Our private key.
    pub key: Option<PathBuf>,
    /// Whether the engine's certificate is not verified.
    pub insecure: bool,
}

#[cfg(feature = "tls")]
impl From<&Tls> for thither_place::tls::Certificates {
    fn from(tls: &Tls) -> Self {
        let Tls { ca, cert, key, insecure } = tls.clone();
        Self { ca, cert, key, insecure }
    }
}

/// What is asked for besides what is set, as by options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// An engine, as in `DOCKER_HOST`; goes before all that is set.
    pub host: Option<String>,
    /// A context by its name; goes before all that is set, but not with `host`.
    pub context: Option<String>,
    /// Whether `tcp://` without TLS may leave this machine. Whoever is on the way then becomes root there.
    pub plain_tcp: bool,
}

impl Settings {
    /// What this process's environment says.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Settings, SettingsError> {
        Selection::default().from_env()
    }

    /// What these variables and this home folder say.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn of(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Result<Settings, SettingsError> {
        Selection::default().of(variable, home)
    }
}

impl Selection {
    /// As [`Settings::from_env`], with this selection.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env(&self) -> Result<Settings, SettingsError> {
        self.of(|name| std::env::var_os(name), std::env::home_dir().as_deref())
    }

    /// As [`Settings::of`], with this selection.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn of(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Result<Settings, SettingsError> {
        // To the CLI a variable that is empty is not set.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user = User { variable: &variable, folder: folder(&variable, home) };
        let config = match &user.folder {
            Some(folder) => ConfigFile::read(&folder.join("config.json"))?,
            None => ConfigFile::default(),
        };
        let Endpoint { host, origin, tls } = user.endpoint(self, &config)?;
        let tls = tls.filter(|_| matches!(host, Host::Tcp { .. }));
        if tls.is_none() && !self.plain_tcp && !host.is_local() {
            return Err(SettingsError::PlainTcp { host, origin });
        }
        Ok(Settings {
            host,
            origin,
            tls,
            detach_keys: config.detach_keys.clone().filter(|keys| !keys.is_empty()),
            http_headers: config.headers()?,
            config,
        })
    }
}

fn folder(variable: &impl Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Option<PathBuf> {
    match variable("DOCKER_CONFIG") {
        Some(folder) => Some(folder.into()),
        None => home.map(|home| home.join(".docker")),
    }
}

/// One way to an engine.
struct Endpoint {
    host: Host,
    origin: String,
    tls: Option<Tls>,
}

struct User<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// That of `config.json`.
    folder: Option<PathBuf>,
}

impl User<'_> {
    /// Text of a variable. What is not UTF-8 is refused later: no host and no context is like that.
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn endpoint(&self, asked: &Selection, config: &ConfigFile) -> Result<Endpoint, SettingsError> {
        if asked.host.is_some() && asked.context.is_some() {
            return Err(SettingsError::HostAndContext);
        }
        if let Some(host) = &asked.host {
            return self.of_host(Some(host), "the option `host`");
        }
        let context = match &asked.context {
            Some(name) => Some(name.clone()),
            None => match self.text("DOCKER_HOST") {
                Some(host) => return self.of_host(Some(&host), "`DOCKER_HOST`"),
                None => self.text("DOCKER_CONTEXT").or_else(|| config.current_context.clone()),
            },
        };
        match context.filter(|name| !name.is_empty() && name != DEFAULT_CONTEXT) {
            Some(name) => context::endpoint(self.folder.as_deref(), &name),
            // An engine that was asked for by the name `default` may still be the one of DOCKER_HOST.
            None => match self.text("DOCKER_HOST") {
                Some(host) => self.of_host(Some(&host), "`DOCKER_HOST`"),
                None => self.of_host(None, "the default"),
            },
        }
    }

    /// With TLS as the variables have it.
    fn of_host(&self, host: Option<&str>, origin: &str) -> Result<Endpoint, SettingsError> {
        let verify = (self.variable)("DOCKER_TLS_VERIFY").is_some();
        let tls = verify || (self.variable)("DOCKER_TLS").is_some();
        let host = match host.map(str::trim).filter(|host| !host.is_empty()) {
            Some(host) => Host::parse(host, tls).map_err(|wrong| wrong.error(host, origin))?,
            None if tls => Host::Tcp { host: "localhost".into(), port: host::TLS_PORT },
            None => Host::Unix(first_socket(&self.sockets(), is_socket)),
        };
        let tls = match (tls, &host) {
            (true, Host::Tcp { .. }) => Some(self.tls(!verify)?),
            _ => None,
        };
        Ok(Endpoint { host, origin: origin.to_owned(), tls })
    }

    fn tls(&self, insecure: bool) -> Result<Tls, SettingsError> {
        let folder = (self.variable)("DOCKER_CERT_PATH").map(PathBuf::from);
        let folder = folder.or_else(|| self.folder.clone()).unwrap_or_default();
        let tls = Tls::in_folder(&folder, insecure)?;
        match tls.ca.is_none() && !insecure {
            true => Err(SettingsError::NoAuthority { file: folder.join("ca.pem") }),
            false => Ok(tls),
        }
    }

    /// Where engines listen that nobody told us of.
    fn sockets(&self) -> [PathBuf; 4] {
        let runtime = (self.variable)("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .unwrap_or_else(|| format!("/run/user/{}", rustix::process::getuid().as_raw()).into());
        [
            DEFAULT_SOCKET.into(),
            runtime.join("docker.sock"),
            runtime.join("podman/podman.sock"),
            "/run/podman/podman.sock".into(),
        ]
    }
}

/// The first that is there, or the first of all, for an error that names what everybody knows.
fn first_socket(sockets: &[PathBuf], is_socket: impl Fn(&Path) -> bool) -> PathBuf {
    let found = sockets.iter().find(|path| is_socket(path));
    found.or(sockets.first()).cloned().unwrap_or_default()
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.file_type().is_socket())
}

impl Tls {
    /// Those of `ca.pem`, `cert.pem` and `key.pem` that are there.
    fn in_folder(folder: &Path, insecure: bool) -> Result<Tls, SettingsError> {
        let existing = |name: &str| {
            let file = folder.join(name);
            match file.metadata() {
                Ok(_) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(SettingsError::File { file, source }),
            }
        };
        Ok(Tls {
            ca: existing("ca.pem")?,
            cert: existing("cert.pem")?,
            key: existing("key.pem")?,
            insecure,
        })
    }
}

#[cfg(test)]
mod tests;

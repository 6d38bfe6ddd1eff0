//! What can be wrong with a user's settings.

use std::io;
use std::path::PathBuf;

use thither_place::error::quoted;

use super::Host;

/// Why nobody knows where the engine is. The contents of files are never in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}", quoted(file))]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{} is not what Docker keeps there, at line {line}, column {column}", quoted(file))]
    Json {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A header in `HttpHeaders` would break requests.
    #[error("the header {} in `HttpHeaders` of Docker's config.json cannot be sent", quoted(name))]
    Header {
        /// The header's name.
        name: String,
    },
    /// There is no context of this name.
    #[error("Docker has no context {}", quoted(name))]
    NoContext {
        /// The name.
        name: String,
        /// The file that is not there; `None` without a folder for it.
        file: Option<PathBuf>,
    },
    /// A context does not lead to an engine.
    #[error("Docker's context {} names no engine", quoted(name))]
    EmptyContext {
        /// The name.
        name: String,
    },
    /// An engine and a context were asked for at once.
    #[error("a Docker host and a Docker context were both asked for")]
    HostAndContext,
    /// The address of the engine is none.
    #[error("{origin} is {}, no address of a Docker engine: {wrong}", quoted(host))]
    Host {
        /// The address, without what may be a password.
        host: String,
        /// What said so.
        origin: String,
        /// What is wrong with it.
        wrong: &'static str,
        /// How it should be.
        hint: &'static str,
    },
    /// The address is right, and of a kind that does not lead there from here.
    #[error("{origin} is {}, where we have no way to go", quoted(host))]
    NoWay {
        /// The address, without what may be a password.
        host: String,
        /// What said so.
        origin: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// Without TLS, anybody on the way could be root there.
    #[error("{origin} is {}, which is neither encrypted nor on this machine", quoted(host.to_string()))]
    PlainTcp {
        /// The address.
        host: Host,
        /// What said so.
        origin: String,
    },
    /// The engine is to be verified, and there is nothing to verify it with.
    #[error("there is no certificate authority at {}", quoted(file))]
    NoAuthority {
        /// The file that is missing.
        file: PathBuf,
    },
    /// Detach keys that are none.
    #[error("{} are no detach keys: {} is no key", quoted(text), quoted(key))]
    DetachKeys {
        /// All of them.
        text: String,
        /// The first that is wrong.
        key: String,
    },
}

impl SettingsError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SettingsError::Json { .. } => Some("mend the file, or move it away"),
            SettingsError::NoContext { .. } => {
                Some("`docker context ls` lists those that there are")
            }
            SettingsError::Host { hint, .. } | SettingsError::NoWay { hint, .. } => Some(hint),
            SettingsError::PlainTcp { .. } => Some(
                "set `DOCKER_TLS_VERIFY=1` and `DOCKER_CERT_PATH`, or ask for it with the option `plain-tcp`",
            ),
            SettingsError::NoAuthority { .. } => {
                Some("set `DOCKER_CERT_PATH` to the folder with `ca.pem`, `cert.pem` and `key.pem`")
            }
            SettingsError::DetachKeys { .. } => Some(
                "name each key, with commas between: a character, `ctrl-` with a letter or one of @ [ \\ ] ^ _, or `DEL`",
            ),
            _ => None,
        }
    }
}

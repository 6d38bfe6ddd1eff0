//! What can go wrong between us and an engine.

use std::io;
use std::time::Duration;

use thither_place::error::quoted;

/// The result of a call to an engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed between us and an engine. The cause is the error's `source` and is not repeated in its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing answers there, or it keeps us out.
    #[error("cannot reach the engine at {}", quoted(engine))]
    Connect {
        /// The engine's address.
        engine: String,
        /// Why.
        source: io::Error,
    },
    /// The engine said no.
    #[error("the engine says: {message}")]
    Refused {
        /// The status of the answer, RFC 9110 section 15.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// What answered is no engine, or breaks the protocol.
    #[error("what answers at {} is no engine: {what}", quoted(engine))]
    Garbage {
        /// The engine's address.
        engine: String,
        /// What it did.
        what: String,
    },
    /// No answer came.
    #[error("the engine at {} did not answer within {limit:?}", quoted(engine))]
    Silent {
        /// The engine's address.
        engine: String,
        /// How long we waited.
        limit: Duration,
    },
    /// The connection was lost before the answer was whole.
    #[error("the connection to the engine at {} was lost", quoted(engine))]
    Lost {
        /// The engine's address.
        engine: String,
        /// Why, where the system says so.
        source: Option<io::Error>,
    },
    /// The engine is too old, or too new to speak with us.
    #[error(
        "the engine at {} speaks the API up to {theirs}, and we from {ours} on",
        quoted(engine)
    )]
    Version {
        /// The engine's address.
        engine: String,
        /// Its newest version.
        theirs: String,
        /// Our oldest one.
        ours: &'static str,
    },
    /// This version of the API, or this engine, has no way to do it.
    #[error("cannot {action}")]
    Unsupported {
        /// To complete "cannot ...".
        action: String,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The caller gave up: see [`Command::cancel`](thither_place::Command::cancel).
    #[error("given up")]
    Cancelled,
    /// What the user has set is bad.
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    /// TLS cannot be spoken: the files for it, or the engine's certificate.
    #[error("cannot speak TLS with the engine at {}", quoted(engine))]
    Tls {
        /// The engine's address.
        engine: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// Something on this side.
    #[error("cannot {action}")]
    Here {
        /// To complete "cannot ...".
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "join the group that the socket belongs to (`docker`), or run as root"
                }
                _ => "start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT",
            },
            Error::Garbage { .. } => {
                "check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
            }
            Error::Silent { .. } => "see whether the engine hangs, or a firewall swallows packets",
            Error::Unsupported { hint, .. } | Error::Tls { hint, .. } => return hint.clone(),
            Error::Settings(error) => return error.hint().map(|hint| hint.to_string()),
            Error::Refused { message, .. } => return hint_of(message).map(str::to_owned),
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The same as an error of a place. `action` completes "cannot ..."; without one the place could not be entered.
    #[must_use]
    pub fn at(self, place: &str, action: Option<&str>) -> thither_place::Error {
        use thither_place::Error as There;
        let place = place.to_owned();
        let hint = self.hint();
        match (self, action) {
            (Error::Lost { .. }, _) => There::Disconnected { place },
            (Error::Cancelled, _) => There::Cancelled { place },
            (Error::Unsupported { action, hint }, _) => There::Unsupported { action, place, hint },
            (error, Some(action)) => {
                There::Place { action: action.to_owned(), place, source: Box::new(error), hint }
            }
            (error, None) => There::Enter { place, source: Box::new(error), hint },
        }
    }

    /// Whether the engine said that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Refused { status: 404, .. })
    }
}

/// A cure for what the engine complains of, by its words: it gives no codes.
fn hint_of(message: &str) -> Option<&'static str> {
    let cures = [
        ("is paused", "`docker unpause` it"),
        ("is not running", "start it: `thither attach docker:NAME`"),
        ("is restarting", "wait until it runs, or see its logs"),
        ("No such container", "`thither list docker:` shows which there are"),
        ("HTTP request to an HTTPS server", "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"),
        ("client version", "use a newer thither, or an older engine"),
        ("port is already allocated", "publish another port"),
        ("is already in use by container", "give another `--name`, or remove that container"),
    ];
    cures.iter().find(|(said, _)| message.contains(said)).map(|(_, cure)| *cure)
}

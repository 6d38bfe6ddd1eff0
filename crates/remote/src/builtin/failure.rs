//! Why a host could not be entered, in words of our own, and what may cure it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thither_place::Error;
use thither_place::error::{printable, quoted};

/// See the [module](self). What comes from over there is escaped in the texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("there is no host {}", quoted(.host))]
    NoHost { host: String, source: io::Error },
    #[error("nothing listens on port {port}")]
    PortClosed { port: u16 },
    #[error("cannot connect to port {port}")]
    Unreachable { port: u16, source: io::Error },
    #[error("no answer within {}", seconds(*.limit))]
    Silent { limit: Duration },
    #[error("what listens on the port does not speak ssh")]
    NotSsh,
    #[error("no common {kind}; it offers {}", printable(.theirs))]
    NoCommon { kind: &'static str, theirs: String },
    #[error("the key of {} is not known: it is {fingerprint}", quoted(.host))]
    UnknownKey { host: String, fingerprint: String },
    #[error("the key of {} has changed: it is {fingerprint}, and not that of {}, line {line}", quoted(.host), quoted(.file))]
    ChangedKey { host: String, fingerprint: String, file: PathBuf, line: usize },
    #[error("the key of {} was revoked by {}, line {line}", quoted(.host), quoted(.file))]
    RevokedKey { host: String, file: PathBuf, line: usize },
    #[error("permission denied for the user {}: {}", quoted(.user), printable(.tried))]
    Denied { user: String, tried: String },
    #[error("it ended the connection: {}", printable(.0))]
    Ended(String),
    #[error("the connection was lost")]
    Lost,
    #[error("it refuses {what}")]
    Refused { what: String },
    #[error("the ssh connection failed")]
    Protocol(#[source] russh::Error),
    #[error("it cannot be used from here")]
    Here(#[from] io::Error),
}

fn seconds(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("{} ms", limit.as_millis()),
        n => format!("{n} s"),
    }
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Fault {
        use russh::{AlgorithmKind, Error as Ssh};
        match error {
            Ssh::Version | Ssh::PacketSize(_) => Fault::NotSsh,
            Ssh::NoCommonAlgo { kind, theirs, .. } => Fault::NoCommon {
                kind: match kind {
                    AlgorithmKind::Kex => "key exchange",
                    AlgorithmKind::Key => "kind of host key",
                    AlgorithmKind::Cipher => "cipher",
                    AlgorithmKind::Compression => "compression",
                    AlgorithmKind::Mac => "message authentication code",
                },
                // The names are an enemy's: as many as fit in a packet.
                theirs: theirs.join(", ").chars().take(400).collect(),
            },
            Ssh::Disconnect
            | Ssh::HUP
            | Ssh::KeepaliveTimeout
            | Ssh::SendError
            | Ssh::RecvError
            | Ssh::IO(_) => Fault::Lost,
            other => Fault::Protocol(other),
        }
    }
}

impl Fault {
    /// What it means until the keys are exchanged: that messages are none.
    pub(super) fn before_the_keys(self) -> Fault {
        use russh::Error as Ssh;
        match self {
            Fault::Protocol(
                Ssh::Inconsistent
                | Ssh::KexInit
                | Ssh::IndexOutOfBounds
                | Ssh::SshEncoding(_)
                | Ssh::Utf8(_)
                | Ssh::StrictKeyExchangeViolation { .. },
            ) => Fault::NotSsh,
            other => other,
        }
    }

    /// Whether the connection is gone, so that another one may serve.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Fault::Lost | Fault::Ended(_))
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Fault::NoHost { .. } => "check the name",
            Fault::PortClosed { .. } => "check the port, and that an ssh server listens there",
            Fault::Unreachable { .. } | Fault::Silent { .. } => {
                "check that the host is up and reachable"
            }
            Fault::NotSsh => "check the port",
            Fault::UnknownKey { .. } => {
                "compare its key with what its owner says, then connect once with the option missing-host-key-policy=autoadd"
            }
            Fault::ChangedKey { host, .. } => {
                return Some(format!(
                    "somebody may be listening in; if the new key is right, forget the old one with `ssh-keygen -R {}`",
                    printable(host)
                ));
            }
            Fault::Denied { .. } => {
                "name a key with the option identity=FILE, or add one to the agent with `ssh-add`"
            }
            _ => return None,
        };
        Some(hint.into())
    }

    /// The error of a place that could not be entered.
    pub(super) fn at(self, place: &str) -> Error {
        Error::Enter { place: place.into(), hint: self.hint(), source: Box::new(self) }
    }
}

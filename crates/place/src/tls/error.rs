//! What can go wrong with a TLS connection.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::Fingerprint;
use crate::error::quoted;

/// Why there is no TLS connection. Nothing of a key is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file with certificates or a key cannot be read.
    #[error("cannot read {}", quoted(file))]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} that can be used{}", quoted(file), if *encrypted { ": it is encrypted" } else { "" })]
    Pem {
        /// The file.
        file: PathBuf,
        /// What it should hold: `certificate` or `private key`.
        what: &'static str,
        /// Whether that is there, and encrypted.
        encrypted: bool,
    },
    /// A certificate came without its key, or a key without its certificate.
    #[error("{} is of no use without a {missing}", quoted(file))]
    Half {
        /// The file that is there.
        file: PathBuf,
        /// What is not: `certificate` or `private key`.
        missing: &'static str,
    },
    /// A certificate and a key do not belong together, or are of a kind that nobody knows.
    #[error("cannot use the certificate {} with the key {}", quoted(cert), quoted(key))]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is nothing to verify the server with.
    #[error("this machine has no list of certificate authorities")]
    NoRoots,
    /// The name is neither a host name nor an IP address.
    #[error("{} is no name that a certificate could be for", quoted(name))]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// The two sides did not agree: a certificate, a version, or no TLS at all.
    #[error("no TLS connection to {}", quoted(name))]
    Handshake {
        /// The name of the server.
        name: String,
        /// Why.
        source: rustls::Error,
    },
    /// A server has another key than the one that it is known by.
    #[error("{} has another key than the one it was paired with", quoted(name))]
    OtherKey {
        /// The name of the server.
        name: String,
        /// The key that it was to have.
        expected: Fingerprint,
        /// The key that it says it has, unproven.
        found: Fingerprint,
    },
    /// The two sides did not agree, where each is known by its key: a version, a signature, or no TLS at all.
    #[error("no TLS connection by keys with {}", quoted(name))]
    Pinned {
        /// The name of the server, or the address of a client.
        name: String,
        /// Why.
        source: rustls::Error,
    },
    /// The connection was lost in the handshake.
    #[error("connection to {} lost in the TLS handshake", quoted(name))]
    Lost {
        /// The name of the server.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The server did not complete the handshake in time.
    #[error("{} did not complete the TLS handshake within {limit:?}", quoted(name))]
    TimedOut {
        /// The name of the server.
        name: String,
        /// The time it had.
        limit: Duration,
    },
    /// This process could not serve the connection.
    #[error("cannot start a TLS connection to {}", quoted(name))]
    Start {
        /// The name of the server.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Pem { encrypted: true, .. } => {
                Some("decrypt it with `openssl pkey`: nobody could be asked for the passphrase")
            }
            Error::NoRoots => Some("name the server's certificate authority (`ca.pem`)"),
            Error::Handshake { source, .. } => of_handshake(source),
            Error::OtherKey { .. } => {
                Some("if its key was changed on purpose, pair again: `thither pair HOST`")
            }
            Error::Pinned { .. } => Some("check that a daemon of thither listens on this port"),
            Error::Lost { .. } => Some("check that TLS is spoken on this port"),
            _ => None,
        }
    }
}

fn of_handshake(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::InvalidMessage(_) => Some("check that TLS is spoken on this port"),
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> Option<&'static str> {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => {
            Some("name the certificate authority that issued the server's certificate (`ca.pem`)")
        }
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            Some("renew the server's certificate, or set this machine's clock")
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            Some("use a name that is in the server's certificate")
        }
        _ => None,
    }
}

fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as A;
    let about_ours = [
        A::CertificateRequired,
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::DecryptError,
        A::AccessDenied,
        A::HandshakeFailure,
    ];
    about_ours
        .contains(&alert)
        .then_some("give a client certificate that the server accepts (`cert.pem` and `key.pem`)")
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::File { source, .. }
            | Error::Lost { source, .. }
            | Error::Start { source, .. } => source.kind(),
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::Handshake { .. } | Error::Pinned { .. } => io::ErrorKind::InvalidData,
            Error::OtherKey { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

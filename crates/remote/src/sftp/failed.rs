//! Errors of a server and of copying by it, as an [`io::Error`]: what was tried, on which name, and the cause as its source.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use thither_place::error::{printable, quoted};

use super::packet::{Reply, code};

/// How much of what a server says is shown, in characters.
const MAX_SAID: usize = 256;

#[derive(Debug)]
struct Failed {
    action: &'static str,
    name: Vec<u8>,
    source: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.action, quoted(OsStr::from_bytes(&self.name)))
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The error with what was tried, to complete "cannot ...", and the name that it was tried on.
pub(super) fn failed(
    action: &'static str,
    name: impl AsRef<OsStr>,
    source: impl Into<io::Error>,
) -> io::Error {
    let source = source.into();
    let name = name.as_ref().as_bytes();
    let name = name[..name.len().min(MAX_SAID)].to_vec();
    io::Error::new(source.kind(), Failed { action, name, source })
}

/// The same, unless the error says so itself.
pub(super) fn described(action: &'static str, name: &Path, error: io::Error) -> io::Error {
    match error.get_ref() {
        Some(inner) if inner.is::<Failed>() => error,
        _ => failed(action, name, error),
    }
}

/// An entry of an archive that no good program has written.
pub(super) fn bad_entry(path: &Path, what: &str) -> io::Error {
    let text = format!("bad archive: {} {what}", quoted(path));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A server that does not keep to the protocol.
pub(super) fn broken(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the sftp server {what}"))
}

/// What a server says of a request that failed.
pub(super) fn refused(code: u32, message: &str) -> io::Error {
    let said: String = message.chars().take(MAX_SAID).collect();
    match code {
        code::NO_SUCH_FILE => Errno::NOENT.into(),
        code::PERMISSION_DENIED => Errno::ACCESS.into(),
        code::OP_UNSUPPORTED => {
            io::Error::new(io::ErrorKind::Unsupported, "the sftp server cannot do that")
        }
        code if said.is_empty() => {
            io::Error::other(format!("the sftp server says no more than code {code}"))
        }
        _ => io::Error::other(format!("the sftp server says: {}", printable(&said))),
    }
}

/// The error in a reply that is not the wanted one.
pub(super) fn unexpected(reply: Reply) -> io::Error {
    match reply {
        Reply::Status { code: code::OK, .. } => broken("says that all is well, and no more"),
        Reply::Status { code, message } => refused(code, &message),
        _ => broken("answered something else"),
    }
}

/// Success, or why not.
pub(super) fn done(reply: Reply) -> io::Result<()> {
    match reply {
        Reply::Status { code: code::OK, .. } => Ok(()),
        other => Err(unexpected(other)),
    }
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

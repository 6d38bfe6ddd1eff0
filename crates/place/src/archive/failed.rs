//! Errors of copying, as an [`io::Error`], since what reads and writes archives has to give one.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::error::quoted;

/// What failed, on which name; the cause is the error's `source`.
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
pub(crate) fn failed(
    action: &'static str,
    name: impl AsRef<OsStr>,
    source: impl Into<io::Error>,
) -> io::Error {
    let source = source.into();
    let name = name.as_ref().as_bytes().to_vec();
    io::Error::new(source.kind(), Failed { action, name, source })
}

/// An archive that no good program has written, or that this build cannot read.
pub(crate) fn malformed(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("bad archive: {what}"))
}

/// The same about an entry.
pub(crate) fn bad_entry(name: impl AsRef<OsStr>, what: &str) -> io::Error {
    malformed(format_args!("{} {what}", quoted(shortened(name.as_ref()))))
}

/// A name for a message: what comes from over there may be long.
fn shortened(name: &OsStr) -> &OsStr {
    OsStr::from_bytes(&name.as_bytes()[..name.len().min(256)])
}

/// A stream that ended before the archive did.
pub(crate) fn cut_short() -> io::Error {
    let text = "the stream ended before the archive did";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

//! Files of a host that serves sftp and nothing else.
//!
//! A [`Session`] speaks version 3 of the protocol, with OpenSSH's extensions where the server has them, over any two
//! descriptors: the caller starts `ssh -s HOST sftp`, say. Many requests are on their way at once, for many files, so that
//! a small file does not cost a way there and back. [`get`] and [`put`] do what `Place::get` and `Place::put` say.
//!
//! # Differences from a place that runs commands
//! - Times have whole seconds, from 1970 to 2106: the protocol has no others.
//! - The protocol does not tell which files are the same: hard links arrive here as files of their own.
//! - Whether a copy goes onto or into itself is not seen.
//! - Without the extension `posix-rename@openssh.com` there is a moment without the file that is replaced.

mod packet;
mod failed;
mod wire;
mod calls;
mod download;
mod listing;
mod walk;
mod target;
mod upload;
mod stage;
mod merge;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thither_place::archive::{CannotPreserve, Preserve};
use thither_place::error::quoted;
use thither_place::{Archive, Error, Result};

use calls::{Calls, Features};
use failed::broken;
use packet::{Reader, VERSION, extension};
use wire::Wire;

/// How many files are open at once if the server does not say how many may be.
const HANDLES: usize = 64;
/// And at most, whatever it says.
const MAX_HANDLES: usize = 128;
/// How much of a file one request moves, in bytes: what every server takes.
pub(crate) const CHUNK: usize = 32 * 1024;
/// The bits of a mode that are kept, as in `place::archive`: not those that change who runs a program.
const KEPT_MODE: u32 = 0o1777;
/// The bits that say what a file is, and what they say (inode(7)).
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// A connection to an sftp server, before it is used.
pub struct Session {
    wire: Wire,
    features: Features,
    is_greeted: bool,
    has_answered: bool,
}

impl Session {
    /// Over two descriptors of which nobody else has a copy: what is written `to` the server, and what comes `from` it. They
    /// become non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(to: OwnedFd, from: OwnedFd) -> io::Result<Session> {
        let (wire, features) = (Wire::new(to, from)?, Features::default());
        Ok(Session { wire, features, is_greeted: false, has_answered: false })
    }

    /// The same with a function that says why, once the server has ended the connection; it also keeps what has to live as
    /// long as the session.
    #[must_use]
    pub fn on_loss(mut self, why: impl FnOnce() -> io::Error + Send + 'static) -> Session {
        self.wire.on_loss = Some(Box::new(why));
        self
    }

    /// The same that gives up after so long without an answer: `TimedOut`. Without, it waits as long as the connection is
    /// there.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Session {
        self.wire.limit = Some(limit);
        self
    }

    /// Waits until the server has answered: only then it is known that it serves sftp. `idle` is called while it does not.
    ///
    /// # Errors
    /// `InvalidData` for what is no sftp server of version 3, `TimedOut` after `limit`, and those of the connection and of `idle`.
    pub fn greeted(
        mut self,
        limit: Duration,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Session> {
        let end = Instant::now() + limit;
        loop {
            match self.greet() {
                Ok(()) => return Ok(self),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => idle()?,
            }
        }
    }

    /// Greets the server. After `WouldBlock` it is called again.
    ///
    /// # Errors
    /// `InvalidData` for what is no sftp server of version 3, and those of [`Wire::next`].
    fn greet(&mut self) -> io::Result<()> {
        if self.has_answered {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_greeted, true) {
            packet::write_init(self.wire.out());
            self.wire.asked();
        }
        let greeting = self.wire.next()?;
        let (version, extensions) =
            packet::read_version(&greeting).ok_or_else(|| broken("does not say its version"))?;
        if version != VERSION {
            return Err(broken(format_args!("speaks version {version}, not {VERSION}")));
        }
        let has = |name: &[u8]| extensions.iter().any(|it| it == name);
        self.features = Features {
            posix_rename: has(extension::POSIX_RENAME),
            hardlink: has(extension::HARDLINK),
            lsetstat: has(extension::LSETSTAT),
            statvfs: has(extension::STATVFS),
            limits: has(extension::LIMITS),
            handles: HANDLES,
        };
        self.has_answered = true;
        Ok(())
    }

    fn into_calls(self) -> Calls {
        Calls::new(self.wire, self.features)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("features", &self.features).finish_non_exhaustive()
    }
}

/// How many files may be open at once, of a server's limits: the length of a packet, of a read, of a write, and then this
/// number. 0 says nothing.
fn handles(limits: &[u8]) -> Option<usize> {
    let mut reader = Reader(limits);
    for _ in 0..3 {
        reader.u64().ok()?;
    }
    let number = reader.u64().ok().filter(|&number| number > 0)?;
    // The directories that are listed meanwhile have handles, too.
    Some(usize::try_from(number / 2).unwrap_or(MAX_HANDLES).clamp(1, MAX_HANDLES))
}

/// Copies from there, as `Place::get` says.
///
/// # Errors
/// What goes wrong is an error of the archive.
pub fn get(session: Session, path: &Path) -> Result<Archive> {
    let named = thither_place::archive::named(path);
    let walk = walk::Walk::new(session, path);
    Ok(Archive::from_entries(walk, named.name))
}

/// Copies to there, as `Place::put` says.
///
/// # Errors
/// [`Error::Copy`].
pub fn put(session: Session, mut archive: Archive, path: &Path) -> Result<()> {
    let put = match archive.preserve() == Preserve::default() {
        true => merge::put(session, &mut archive, path),
        false => Err(CannotPreserve::Way.into()),
    };
    put.map_err(|source| Error::Copy {
        action: format!("copy to {}", quoted(path)),
        hint: CannotPreserve::of(&source).map(|reason| reason.hint().to_owned()),
        source: Box::new(source),
    })
}

/// A path as the server is told it.
fn bytes(path: &Path) -> Vec<u8> {
    match path.as_os_str().as_bytes() {
        b"" => b".".to_vec(),
        bytes => bytes.to_vec(),
    }
}

/// What is below a directory; the directory itself for an empty path.
fn below(dir: &Path, path: &Path) -> Vec<u8> {
    match path.as_os_str().is_empty() {
        true => bytes(dir),
        false => bytes(&dir.join(path)),
    }
}

/// What neither a copy's source nor its destination may be, by its mode.
fn described(mode: u32) -> &'static str {
    match mode & KIND {
        0o010_000 => "a fifo",
        0o140_000 => "a socket",
        0o020_000 => "a character device",
        0o060_000 => "a block device",
        _ => "of an unknown kind",
    }
}

/// A path below a root of this name, as it is called in errors.
fn shown(name: &Path, path: &Path) -> PathBuf {
    match path.as_os_str().is_empty() {
        true => name.to_owned(),
        false => name.join(path),
    }
}

fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

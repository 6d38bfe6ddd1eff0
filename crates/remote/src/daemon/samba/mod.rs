//! Clients of Samba: `smb:` leads to a Linux host, too.
//!
//! A pipe of Samba's is a Unix socket in a folder of its own. smbd(8) connects to it as root, for whoever asked for the pipe, and
//! says first who that is ([`request`]); what follows is the client's own stream. So the kernel says only that it is root who
//! talks, and is asked, since nobody else may say who a client is; and `account.rs` decides whether that client may have anything.

mod ndr;
pub mod request;
pub(crate) mod account;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use thither_place::error::quoted;
use thither_place::wire::session::Outcome;
use thither_term::{Interest, poll};

pub use self::ndr::Malformed;
use self::request::{LENGTH, LONGEST, Request};

/// Where Debian's smbd looks for the sockets of pipes: `np` in what `testparm -v` calls `ncalrpc dir`.
pub const FOLDER: &str = "/run/samba/ncalrpc/np";
/// The longest name of a pipe, so that its path fits into a socket's address (unix(7)).
const LONGEST_NAME: usize = 32;

/// A pipe of Samba's, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samba {
    socket: PathBuf,
    users: Vec<String>,
}

impl Samba {
    /// A pipe of this name, whose socket is in this folder ([`FOLDER`], most often), for these users of this machine and nobody
    /// else. Names of pipes are told apart without regard to case.
    ///
    /// # Errors
    /// When it is no name of a pipe, or there is no user.
    pub fn new(folder: &Path, pipe: &str, users: Vec<String>) -> io::Result<Samba> {
        let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=LONGEST_NAME).contains(&pipe.len())
            || pipe.starts_with('.')
            || !pipe.bytes().all(is_usual)
        {
            return invalid(format!(
                "{} is no name for a pipe: up to {LONGEST_NAME} letters, digits, `-`, `_` and `.`",
                quoted(pipe)
            ));
        }
        if users.is_empty() || users.iter().any(String::is_empty) {
            return invalid("no user is named who may use the pipe".into());
        }
        Ok(Samba { socket: folder.join(pipe.to_ascii_lowercase()), users })
    }

    /// The socket's path.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who may use it.
    pub(super) fn users(&self) -> &[String] {
        &self.users
    }

    /// Those of them who are root here, by whatever name.
    pub(super) fn roots(&self) -> Vec<&str> {
        let is_root = |name: &&str| account::look_up(name).is_some_and(|(_, uid)| uid == 0);
        self.users.iter().map(String::as_str).filter(is_root).collect()
    }

    /// Makes the folder if there is none: for root alone, as smbd wants it.
    ///
    /// # Errors
    /// When it is another's, when others may enter it, and when somebody listens at the socket already.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let folder = self.socket.parent().unwrap_or(Path::new("/"));
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).map_err(|error| at(above, &error))?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            // Whatever the umask says.
            Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(at(folder, &error)),
        }
        let found = fs::symlink_metadata(folder).map_err(|error| at(folder, &error))?;
        if !found.is_dir() || found.uid() != 0 || found.mode() & 0o7777 != 0o700 {
            let text = format!("{} is not a folder of root's with mode 0700", quoted(folder));
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        // Samba's own pipes are there, too: they have no lock of ours.
        if UnixStream::connect(&self.socket).is_ok() {
            let text = format!("somebody listens at {} already", quoted(&self.socket));
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        Ok(())
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", quoted(path)))
}

/// Reads what smbd says of a client, up to a time. `end` is readable when this is to stop.
///
/// # Errors
/// The outcome, where there is nothing that could be understood.
pub(super) fn receive(
    stream: &OwnedFd,
    deadline: Instant,
    end: BorrowedFd<'_>,
) -> Result<Request, Outcome> {
    let mut bytes = vec![0; LENGTH];
    fill(stream, &mut bytes, deadline, end)?;
    let [a, b, c, d] = bytes[..] else { return Err(malformed("it is cut short")) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > LONGEST - LENGTH {
        return Err(malformed("it is longer than any request"));
    }
    bytes.resize(LENGTH + length, 0);
    fill(stream, &mut bytes[LENGTH..], deadline, end)?;
    Request::decode(&bytes).map_err(|Malformed(why)| malformed(why))
}

fn malformed(why: &'static str) -> Outcome {
    Outcome::Lost(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Reads so many bytes and no more: what follows them is not smbd's.
fn fill(
    stream: &OwnedFd,
    mut room: &mut [u8],
    deadline: Instant,
    end: BorrowedFd<'_>,
) -> Result<(), Outcome> {
    while !room.is_empty() {
        match recv(stream, &mut *room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(Outcome::Left),
            Ok((n, _)) => room = &mut room[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let interests = [Interest::Read(stream.as_fd()), Interest::Read(end)];
                if poll(&interests, Some(left)).map_err(Outcome::Lost)?[1].now {
                    return Err(Outcome::Stopped);
                }
            }
            Err(Errno::CONNRESET) => return Err(Outcome::Left),
            Err(error) => return Err(Outcome::Lost(error.into())),
        }
        // A byte at a time is never waited for.
        if !room.is_empty() && deadline <= Instant::now() {
            return Err(Outcome::TimedOut);
        }
    }
    Ok(())
}

/// Answers it. It is short, and the first that is said: it fits. If smbd is gone, reading says so.
pub(super) fn answer(stream: &OwnedFd, status: u32) {
    let _ = send(stream, &request::reply(status), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

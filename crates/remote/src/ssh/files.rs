//! Files of a host: by `sh` and `tar` over there, over the master that is warm already; by sftp where there are none.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use thither_place::archive::{Archive, Attempt, Attempted, get_by_command, try_put_by_command};
use thither_place::{Command, Place, Result, Stream};

use super::master::here;
use super::mux::{Mux, News, Session};
use super::place::Ssh;
use crate::sftp;

/// What says whether files can go by a command.
const PROBE: &str = "command -v tar >/dev/null && echo thither-has-tar";
/// For how long a copy may stand still before anybody wonders. That the host is there is seen to by the keep-alive.
const SILENCE: Duration = Duration::from_secs(3600);
/// A server starts its sftp at once.
const PATIENCE: Duration = Duration::from_secs(60);

impl Ssh {
    /// Whether there are `sh` and `tar` over there.
    fn has_tar(&self) -> Result<bool> {
        if let Some(has) = self.tar.get() {
            return Ok(*has);
        }
        let probe = Command::new("sh").args(["-c", PROBE]).stdin(Stream::Null);
        // A host that is for sftp alone says so, and more.
        let output = self.output(&probe)?;
        let has = output.stdout.windows(15).any(|words| words == b"thither-has-tar");
        tracing::debug!(has, "looked for tar over there");
        Ok(*self.tar.get_or_init(|| has))
    }

    pub(super) fn get_files(&self, path: &Path) -> Result<Archive> {
        match self.has_tar()? {
            true => get_by_command(self, path),
            false => sftp::get(self.sftp()?, path),
        }
    }

    pub(super) fn put_files(&self, archive: Archive, path: &Path) -> Result<()> {
        if self.tar.get() == Some(&false) {
            return sftp::put(self.sftp()?, archive, path);
        }
        let attempt = Attempt { whole_seconds: false, silence: SILENCE, still_there: &|| Ok(()) };
        match try_put_by_command(self, archive, path, attempt)? {
            Attempted::Done => Ok(()),
            Attempted::Impossible(archive) => sftp::put(self.sftp()?, archive, path),
        }
    }

    /// The sftp of the server.
    fn sftp(&self) -> Result<sftp::Session> {
        let place = self.address();
        let here = |source: io::Error| here(&place, source);
        let (ours, mux) = match self.is_native()? {
            true => self.subsystem("sftp").map(|(stream, mux)| (stream, Some(mux)))?,
            false => (self.builtin_subsystem("sftp")?, None),
        };
        let from = ours.try_clone().map_err(here)?;
        let session = sftp::Session::new(ours, from).map_err(here)?;
        // The session over there lives as long as the connection to the master.
        Ok(session.on_loss(move || {
            drop(mux);
            io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended sftp, or has none")
        }))
    }

    /// A subsystem of the server: a stream, and what has to live as long as it.
    fn subsystem(&self, name: &str) -> Result<(OwnedFd, Mux)> {
        let place = self.address();
        let here = |source: io::Error| here(&place, source);
        let mut mux = self.master_connection()?.ok_or_else(|| {
            here(io::Error::new(io::ErrorKind::Unsupported, "sftp needs a control master of ssh"))
        })?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(|error| here(error.into()))?;
        let null =
            std::fs::File::options().read(true).write(true).open("/dev/null").map_err(here)?;
        let session = Session {
            term: None,
            line: name.as_bytes(),
            subsystem: true,
            agent: false,
            variables: &[],
        };
        mux.open(&session, [theirs.as_fd(), theirs.as_fd(), null.as_fd()]).map_err(here)?;
        drop(theirs);
        match mux.wait(Some(PATIENCE)).map_err(here)? {
            News::Opened => Ok((ours, mux)),
            News::Refused(why) => Err(here(io::Error::other(why))),
            _ => Err(here(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

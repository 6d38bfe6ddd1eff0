//! Files of a host: by `sh` and `tar` over there, over the master that is warm already; by sftp where there are none; and where the
//! server has no sftp, by what a shell can do without `tar`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use thither_place::archive::{
    Archive, Attempt, Attempted, get_by_command, put_by_command, try_put_by_command,
};
use thither_place::{Command, Place, Result, Stream};

use super::master::here;
use super::mux::{Mux, News, Session};
use super::place::Ssh;
use crate::sftp;

/// What says whether files can go by a command.
const PROBE: &str = "command -v tar >/dev/null && echo thither-has-tar || echo thither-has-sh";
/// For how long a copy may stand still before anybody wonders. That the host is there is seen to by the keep-alive.
const SILENCE: Duration = Duration::from_secs(3600);
/// A server starts its sftp at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// What there is over there to copy files with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// A shell and `tar`.
    Tar,
    /// A shell.
    Shell,
    /// No commands are run: a host for sftp alone.
    Nothing,
}

impl Ssh {
    /// What there is over there.
    fn tools(&self) -> Result<Tools> {
        if let Some(tools) = self.tools.get() {
            return Ok(*tools);
        }
        let probe = Command::new("sh").args(["-c", PROBE]).stdin(Stream::Null);
        // A host that is for sftp alone says so, and more.
        let output = self.output(&probe)?;
        let has = |word: &[u8]| output.stdout.windows(word.len()).any(|part| part == word);
        let tools = match (has(b"thither-has-tar"), has(b"thither-has-sh")) {
            (true, _) => Tools::Tar,
            (_, true) => Tools::Shell,
            _ => Tools::Nothing,
        };
        tracing::debug!(?tools, "looked for tar over there");
        Ok(*self.tools.get_or_init(|| tools))
    }

    pub(super) fn get_files(&self, path: &Path) -> Result<Archive> {
        if self.tools()? == Tools::Tar {
            return get_by_command(self, path);
        }
        match self.sftp_if_any(&mut || Ok(()))? {
            Some(session) => sftp::get(session, path),
            None => get_by_command(self, path),
        }
    }

    pub(super) fn put_files(&self, mut archive: Archive, path: &Path) -> Result<()> {
        if matches!(self.tools.get(), None | Some(Tools::Tar)) {
            let attempt =
                Attempt { whole_seconds: false, silence: SILENCE, still_there: &|| Ok(()) };
            match try_put_by_command(self, archive, path, attempt)? {
                Attempted::Done => return Ok(()),
                Attempted::Impossible(untouched) => archive = untouched,
            }
        }
        match self.sftp_if_any(&mut || archive.idle())? {
            Some(session) => sftp::put(session, archive, path),
            None => put_by_command(self, archive, path),
        }
    }

    /// The sftp of the server. `None` where there is none and a shell can do without.
    fn sftp_if_any(
        &self,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> Result<Option<sftp::Session>> {
        let place = self.address();
        let greeted = |session: sftp::Session| {
            session.greeted(PATIENCE, idle).map_err(|source| here(&place, source))
        };
        match self.sftp().and_then(greeted) {
            Ok(session) => Ok(Some(session)),
            Err(error) if self.tools()? == Tools::Nothing => Err(error),
            Err(error) => {
                tracing::debug!(%error, "there is no sftp");
                Ok(None)
            }
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

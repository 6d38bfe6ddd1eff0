//! Files in and out of a container, by the archive endpoint: it need not run, and needs no program for it. (A directory goes
//! into one that runs by a faster way, if there is one: see `unpack.rs`.)
//!
//! What is brought there arrives under a temporary name and is then renamed by a `sh` in the container, so that a copy
//! which fails leaves all as it was. Where no `sh` can run (the container is stopped, or has none), the engine unpacks
//! straight to where it belongs.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thither_place::archive::{
    Archive, Attempted, Kind, NAME_FUNCTIONS, get_by_command, named, put_by_command, temporary_name,
};
use thither_place::error::quoted;
use thither_place::{Command, Error as There, Exit, Output, Result, Stream};

use thither_term::{Interest, poll};

use crate::call::Call;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::Error;
use crate::http::{Body, Patience, Trouble};
use crate::model::{Inspected, PathStat};
use crate::unpack;
use crate::upload::{TICK, UploadError};

/// The header that tells of a path.
const STAT: &str = "x-docker-container-path-stat";
/// How many links in a row are followed, as by the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// What a container always has in memory.
const IN_MEMORY: [&str; 3] = ["/dev", "/proc", "/sys"];
/// The shell that gives what has arrived its name.
const SHELL: &str = "/bin/sh";
/// What has arrived is `$1`, in the same directory as what is to be its name, `$2`.
const RENAME: &str = "\
clean() {
    chmod -R u+rwx \"$1\" 2>/dev/null
    rm -rf \"$1\"
}
trap 'clean \"$1\"' EXIT
[ -z \"$2\" ] || name \"$1\" \"$2\" \"$3\" \"$4\"
";

impl Container {
    /// See [`Place::get`](thither_place::Place::get).
    pub(crate) fn get_files(&self, path: &Path) -> Result<Archive> {
        let inspected = self.inspect(None).map_err(|error| error.at(self.place(), None))?;
        if self.is_out_of_sight("copy from", path, &inspected)? {
            return get_by_command(self, path);
        }
        Ok(Archive::from_tar(self.download(path)?, named(path).name))
    }

    /// What a path names, as a tar stream.
    pub(crate) fn download(&self, path: &Path) -> Result<Download> {
        let failed = |error: Error| self.copy_error("copy from", path, error);
        let whole = self.absolute(path).map_err(failed)?;
        // Of `/` itself the engine would give absolute names.
        let whole = if named(path).name == "." { whole.join(".") } else { whole };
        let call = Call::get(self.path("/archive")).query("path", whole.as_os_str().as_bytes());
        let (_, body) = self.engine().stream(&call).map_err(failed)?;
        let limit = self.engine().patience(None).limit;
        Ok(Download { engine: self.engine().clone(), body, limit, since: Instant::now() })
    }

    /// See [`Place::put`](thither_place::Place::put).
    pub(crate) fn put_files(&self, mut archive: Archive, path: &Path) -> Result<()> {
        let inspected = self.inspect(None).map_err(|error| error.at(self.place(), None))?;
        // The engine's own unpacking writes holes as zeros, and passes over what attributes it cannot set.
        if archive.preserve().needs_gnu_tar() {
            return self
                .unpack_by_gnu_tar(archive, path, &inspected)
                .map_err(|error| self.put_error(path, error));
        }
        if self.is_out_of_sight("copy to", path, &inspected)? {
            return put_by_command(self, archive, path)
                .map_err(|error| self.put_error(path, error));
        }
        let here = |source| self.copy_failed("copy to", path, source, None);
        let is_directory = archive.root().map_err(here)?.kind == Kind::Directory;
        if is_directory && unpack::may_be_possible(&inspected) {
            let whole = Path::new("/").join(&inspected.config.working_dir).join(path);
            match self.unpack(archive, &whole).map_err(|error| self.put_error(path, error))? {
                Attempted::Done => return Ok(()),
                Attempted::Impossible(untouched) => archive = untouched,
            }
        }
        self.put_by_engine(archive, path)
    }

    fn put_by_engine(&self, mut archive: Archive, path: &Path) -> Result<()> {
        let here = |source| self.copy_failed("copy to", path, source, None);
        let failed = |error: Error| self.copy_error("copy to", path, error);
        let root = archive.root().map_err(here)?.clone();
        let whole = self.absolute(path).map_err(failed)?;
        let to = named(&whole);
        // Into a directory, else to that name.
        let (base, name) = match self.directory(&whole).map_err(failed)? {
            Some(true) => (whole.clone(), archive.name().to_owned()),
            Some(false) if to.is_directory => {
                return Err(here(rustix::io::Errno::NOTDIR.into()));
            }
            None if to.is_directory => return Err(here(rustix::io::Errno::NOENT.into())),
            _ => match self.directory(to.dir).map_err(failed)? {
                Some(true) => (to.dir.to_owned(), to.name.to_owned()),
                Some(false) => return Err(here(rustix::io::Errno::NOTDIR.into())),
                None => return Err(here(rustix::io::Errno::NOENT.into())),
            },
        };
        let staged = match self.has_shell().map_err(failed)? {
            true => Some(temporary_name(&name).map_err(here)?),
            false => None,
        };
        let called = staged.as_deref().unwrap_or(&name);
        let call = Call::put(self.path("/archive"))
            .query("path", base.as_os_str().as_bytes())
            .query("noOverwriteDirNonDir", "1");
        // As `docker cp`: the engine would spend up to a fifth of its time on fractions of seconds.
        let mut tar = archive.renamed(called).into_tar().whole_seconds();
        let sent = self.engine().upload(&call, &mut tar);
        let target = sent.is_ok().then(|| base.join(&name));
        if let Some(staged) = &staged {
            let kind = if root.kind == Kind::Directory { "d" } else { "f" };
            let from = base.join(staged);
            // Who watches has ended it already, where there is nothing to be renamed.
            let idle: &mut dyn FnMut() -> io::Result<()> =
                if sent.is_ok() { &mut || tar.idle() } else { &mut || Ok(()) };
            let renamed = self.rename(&from, target.as_deref(), kind, root.mode, idle);
            if sent.is_ok() {
                renamed.map_err(|source| self.copy_failed("copy to", path, source, None))?;
            }
        }
        sent.map_err(|error| match error {
            UploadError::Engine(error) => failed(error),
            UploadError::Source(error) => here(error),
        })
    }

    /// Whether a path is below a file system in memory, which the archive endpoint does not see: a running container has
    /// commands for it.
    ///
    /// # Errors
    /// When it is, and the container does not run.
    fn is_out_of_sight(&self, verb: &str, path: &Path, inspected: &Inspected) -> Result<bool> {
        let whole = Path::new("/").join(&inspected.config.working_dir).join(path);
        let given = inspected.host.tmpfs.iter().flatten().map(|(path, _)| path.as_str());
        let mounts = inspected.mounts.iter().flatten().filter(|mount| mount.kind == "tmpfs");
        let mounted = mounts.map(|mount| mount.destination.as_str());
        let out_of_sight = IN_MEMORY.into_iter().chain(given).chain(mounted);
        let state = &inspected.state;
        match out_of_sight.into_iter().find(|memory| whole.starts_with(memory)) {
            None => Ok(false),
            Some(_) if state.running && !state.paused => Ok(true),
            Some(memory) => {
                let text = format!("{memory} is in memory, and the container does not run");
                Err(self.copy_failed(verb, path, io::Error::other(text), None))
            }
        }
    }

    /// Gives what has arrived its name; without one it is removed.
    /// While it takes its time, `idle` is called, which may end the wait by an error.
    fn rename(
        &self,
        from: &Path,
        to: Option<&Path>,
        kind: &str,
        mode: u32,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let script = format!("{NAME_FUNCTIONS}{RENAME}");
        let command = Command::new(SHELL)
            .args(["-c", &script, "thither"])
            .args([from, to.unwrap_or(Path::new(""))])
            .args([kind, &format!("{mode:o}")])
            .dir("/")
            // As the engine unpacks, whoever the container's commands are.
            .user("0:0")
            .stdin(Stream::Null)
            .stdout(Stream::Null)
            .stderr(Stream::Piped);
        let mut process = self.exec(&command).map_err(io::Error::other)?;
        let deadline = Instant::now() + self.engine().patience(None).limit;
        while process.control.event().map_err(io::Error::other)?.is_none() {
            let ended = [Interest::Read(process.control.as_fd())];
            if !poll(&ended, Some(TICK))?[0].now {
                idle()?;
                if Instant::now() > deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        let Output { exit, stderr, .. } = process.wait_with_output().map_err(io::Error::other)?;
        if exit == Exit::Code(0) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&stderr);
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let last = last.map_or_else(|| format!("{SHELL} ended with {exit}"), str::to_owned);
        Err(io::Error::other(last))
    }

    /// Whether there is a shell that can run.
    fn has_shell(&self) -> crate::error::Result<bool> {
        let state = self.inspect(None)?.state;
        if !state.running || state.paused || state.restarting {
            return Ok(false);
        }
        Ok(self.path_stat(Path::new(SHELL))?.is_some())
    }

    /// A path from `/` on: where commands start that say nothing else is the container's working directory.
    fn absolute(&self, path: &Path) -> crate::error::Result<PathBuf> {
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        let start = self.inspect(None)?.config.working_dir;
        Ok(Path::new("/").join(start).join(path))
    }

    /// Whether a path leads to a directory; `None` if it leads nowhere.
    fn directory(&self, path: &Path) -> crate::error::Result<Option<bool>> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(stat) = self.path_stat(&path)? else { return Ok(None) };
            if !stat.is_link() || stat.link_target.is_empty() {
                return Ok(Some(stat.is_directory()));
            }
            path = path.parent().unwrap_or(Path::new("/")).join(&stat.link_target);
        }
        Ok(None)
    }

    fn path_stat(&self, path: &Path) -> crate::error::Result<Option<PathStat>> {
        let call = Call::head(self.path("/archive")).query("path", path.as_os_str().as_bytes());
        let head = match self.engine().stream(&call) {
            Ok((head, body)) => {
                self.engine().keep(body);
                head
            }
            Err(Error::Refused { status: 404, .. }) => {
                // A `HEAD` has no words: that of the container itself has.
                self.inspect(None)?;
                return Ok(None);
            }
            // The same question with words in its answer.
            Err(Error::Refused { .. }) => {
                let call = Call::get(self.path("/archive"));
                self.engine().stream(&call.query("path", path.as_os_str().as_bytes()))?.0
            }
            Err(error) => return Err(error),
        };
        let stat = head.header(STAT).and_then(|text| STANDARD.decode(text).ok());
        let stat = stat.and_then(|json| serde_json::from_slice(&json).ok());
        stat.map(Some)
            .ok_or_else(|| self.engine().garbage("a path's state that is not as documented"))
    }

    fn copy_failed(
        &self,
        verb: &str,
        path: &Path,
        source: io::Error,
        hint: Option<String>,
    ) -> There {
        let mut operand = OsString::from(format!("{}::", self.place()));
        operand.push(path);
        There::Copy {
            action: format!("{verb} {}", quoted(operand)),
            source: Box::new(source),
            hint,
        }
    }

    /// What went wrong by a command, as if it went wrong by the engine.
    fn put_error(&self, path: &Path, error: There) -> There {
        let There::Copy { source, hint, .. } = error else { return error };
        let source = match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        };
        // The way there was lost.
        let place = source.downcast::<There>();
        place.unwrap_or_else(|source| self.copy_failed("copy to", path, source, hint))
    }

    fn copy_error(&self, verb: &str, path: &Path, error: Error) -> There {
        let source = match error {
            Error::Refused { status: 404, message } if !message.contains("No such container") => {
                rustix::io::Errno::NOENT.into()
            }
            // About the path.
            Error::Refused { status: 400 | 500.., message } => io::Error::other(message),
            error => return error.at(self.place(), None),
        };
        self.copy_failed(verb, path, source, None)
    }
}

/// A tar stream from an engine, which is whole only if its last chunk has come.
pub(crate) struct Download {
    engine: Engine,
    body: Body,
    limit: Duration,
    since: Instant,
}

impl Read for Download {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let patience = Patience::for_stream(TICK, None);
        match self.body.read(bytes, patience) {
            Ok(n) => {
                self.since = Instant::now();
                Ok(n)
            }
            // Whoever watches is told that nothing comes.
            Err(Trouble::Silent) if self.since.elapsed() < self.limit => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(trouble) => Err(io::Error::other(self.engine.error(trouble, patience))),
        }
    }
}

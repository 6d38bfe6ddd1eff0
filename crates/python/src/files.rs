//! Files, copied through the interpreter, or by a way of the place's own.

mod way;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use serde_bytes::ByteBuf;

use crate::call_options::CallOptions;
use crate::marshal::FsString;
use crate::{Error, Object, Pending, Python, Result};

pub use way::{Files, Going};

/// What travels in one frame, in bytes.
const CHUNK: usize = 1 << 20;
/// How many of them are on their way at once: enough that the link does not idle, and little memory.
const WINDOW: usize = 4;
/// Of a mode, what is kept: no set-id bits.
const MODE: u32 = 0o777;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The bytes that have arrived.
    pub done: u64,
    /// The file's size when the copy began, in bytes; `None` for what does not say it, such as the files in `/proc`.
    pub total: Option<u64>,
}

impl Python {
    /// Copies a file from over there to here, with its permissions and its time of change, but without set-id bits.
    ///
    /// `local` is the path of the file, not of a folder that it comes into. It is written under a temporary name beside its
    /// own, `.NAME.thither-XXXXXXXX`, and renamed when all of it is on the disk. A copy that fails leaves nothing.
    ///
    /// What is longer than a frame (1 MiB) goes by [`Start::files`](crate::Start::files) if there is such a way and it leads to that very
    /// file; else through the interpreter, as all other does. Nothing tells the two apart but their speed.
    ///
    /// A [timeout](Python::with_timeout) of this handle is one for each part of the file, a
    /// [`Cancel`](crate::Cancel) ends the copy.
    ///
    /// # Errors
    /// `OSError` over there: the file is missing, is a folder, is no file; [`Error::Io`] here; as every call.
    pub fn getfile(
        &self,
        remote: impl AsRef<OsStr>,
        local: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let remote = FsString::from(remote.as_ref());
        let (file, size, mode, changed): (Object, u64, u32, i64) =
            self.agent().call_method1("download", (remote,))?;
        let mut temporary = Temporary::beside(local.as_ref())?;
        let total = Some(size).filter(|&size| size > 0);
        // What begins anew the other way does not go back.
        let mut furthest = 0;
        let progress = &mut |done: u64| {
            furthest = done.max(furthest);
            progress(Progress { done: furthest, total });
        };
        if size > CHUNK as u64 && self.get_by_way(&file, &mut temporary, size, changed, progress)? {
            return temporary.finish(mode, changed);
        }
        let window = (size / CHUNK as u64 + 1).min(WINDOW as u64) as usize;
        let mut asked = VecDeque::new();
        let (mut turn, mut done) = (0_u64, 0);
        loop {
            while asked.len() < window {
                asked.push_back(file.start_method1::<ByteBuf>("read", (turn, CHUNK))?);
                turn += 1;
            }
            let Some(next) = asked.pop_front() else { break };
            let chunk = next.wait()?;
            temporary.write(&chunk)?;
            done += chunk.len() as u64;
            progress(done);
            if chunk.len() < CHUNK {
                break;
            }
        }
        drop(asked);
        temporary.finish(mode, changed)
    }

    /// Copies a file from here to over there. All is as with [`getfile`](Python::getfile), the other way.
    ///
    /// # Errors
    /// As [`getfile`](Python::getfile).
    pub fn putfile(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<OsStr>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let local = local.as_ref();
        let failed = |error| Error::io(format!("read {local:?}"), error);
        let (mut file, about) = open(local).map_err(failed)?;
        let total = Some(about.size()).filter(|&size| size > 0);
        let remote = FsString::from(remote.as_ref());
        let upload = Upload { file: self.agent().call_method1("upload", (remote,))?, whole: false };
        let changed =
            about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec());
        let mut furthest = 0;
        let progress = &mut |done: u64| {
            furthest = done.max(furthest);
            progress(Progress { done: furthest, total });
        };
        if about.size() > CHUNK as u64
            && self.put_by_way(&upload.file, &file, about.size(), progress)?
        {
            return upload.finish(about.size(), about.mode() & MODE, changed);
        }
        let mut sent: VecDeque<(u64, Pending<()>)> = VecDeque::new();
        let (mut offset, mut done) = (0, 0);
        loop {
            let mut chunk = Vec::new();
            (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
            let (length, at_end) = (chunk.len() as u64, chunk.len() < CHUNK);
            sent.push_back((
                length,
                upload.file.start_method1("write", (ByteBuf::from(chunk), offset))?,
            ));
            offset += length;
            while sent.len() >= WINDOW || at_end && !sent.is_empty() {
                let Some((length, oldest)) = sent.pop_front() else { break };
                oldest.wait()?;
                done += length;
                progress(done);
            }
            if at_end {
                break;
            }
        }
        upload.finish(offset, about.mode() & MODE, changed)
    }
}

/// A file of this side that can be copied.
fn open(path: &Path) -> io::Result<(File, fs::Metadata)> {
    // Not to wait for the other end of a fifo.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    match about.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false if !about.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
        false => Ok((file, about)),
    }
}

/// A file over there that is not whole yet.
struct Upload {
    file: Object,
    whole: bool,
}

impl Upload {
    fn finish(mut self, size: u64, mode: u32, changed: i64) -> Result<()> {
        self.file.call_method1::<()>("finish", (size, mode, changed))?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.whole {
            // How long is waited until nothing of it is left.
            let timeout = Some(Duration::from_secs(5));
            self.file.options = CallOptions { timeout, cancel: None };
            if let Err(error) = self.file.call_method0::<()>("end") {
                tracing::debug!(%error, "a file that is not whole");
            }
        }
    }
}

/// A file on this side that is not whole yet: removed when it is dropped.
struct Temporary {
    target: PathBuf,
    path: PathBuf,
    file: File,
    whole: bool,
}

impl Temporary {
    /// A new file beside the one that it is to become.
    fn beside(target: &Path) -> Result<Temporary> {
        let failed = |error| Error::io(format!("write {target:?}"), error);
        let folder = target.as_os_str().as_bytes().ends_with(b"/");
        match fs::metadata(target) {
            _ if folder => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(there) if there.is_dir() => {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            Ok(there) if !there.is_file() => {
                let why = "not a regular file, and so not replaced";
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, why)));
            }
            _ => {}
        }
        let Some(name) = target.file_name() else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let name = &name.as_bytes()[..name.len().min(200)];
        loop {
            let mut random = [0; 4];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| failed(error.into()))?;
            let mut temporary = [b".", name, b".thither-"].concat();
            temporary.extend(format!("{:08x}", u32::from_ne_bytes(random)).bytes());
            let path = target.with_file_name(OsStr::from_bytes(&temporary));
            match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    let target = target.to_owned();
                    return Ok(Temporary { target, path, file, whole: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))
    }

    /// Its content begins anew.
    fn restart(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| self.failed(error))
    }

    /// Gives it its name. Its content is on the disk before.
    fn finish(mut self, mode: u32, changed: i64) -> Result<()> {
        self.put_in_place(mode, changed).map_err(|error| self.failed(error))?;
        self.whole = true;
        // The name is on the disk soon in any case; some file systems refuse.
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        let _ = folder.and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn put_in_place(&self, mode: u32, changed: i64) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode & MODE))?;
        let distance = Duration::from_nanos(changed.unsigned_abs());
        let changed = match changed < 0 {
            true => SystemTime::UNIX_EPOCH - distance,
            false => SystemTime::UNIX_EPOCH + distance,
        };
        self.file.set_modified(changed)?;
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(format!("write {:?}", self.target), error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.whole
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = ?self.path, "a file that is not whole");
        }
    }
}

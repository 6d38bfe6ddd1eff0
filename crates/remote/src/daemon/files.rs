//! Files that only our user may write: each is checked when it is read, and replaced as a whole when it is written.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use thither_place::state::lock::{self, Kind};
use zeroize::Zeroizing;

use super::StoreError;

/// The longest file, in bytes: some ten thousand peers.
const LONGEST: u64 = 1 << 20;

/// How long to wait for another process that writes. It holds the lock for a few writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is written before it has its name. There is one at most, as only who holds the lock writes.
const UNFINISHED: &str = ".unfinished";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Our user alone.
    Secret,
    /// Whoever likes.
    Open,
}

/// A folder that is ours, by its descriptor: whatever happens to its name, it is the one that was checked.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Folder>, StoreError> {
        Folder::at(CWD, path.as_os_str(), path)
    }

    /// Opens a folder, and makes it and those above it if they are missing.
    pub(super) fn make(path: &Path) -> Result<Folder, StoreError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| error("make", path, source))?;
        Folder::open(path)?.ok_or_else(|| error("open", path, io::ErrorKind::NotFound.into()))
    }

    /// A folder in this one; `None` if there is none.
    pub(super) fn inner(&self, name: &str) -> Result<Option<Folder>, StoreError> {
        Folder::at(&self.fd, OsStr::new(name), &self.path.join(name))
    }

    /// The same, made if it is missing.
    pub(super) fn make_inner(&self, name: &str) -> Result<Folder, StoreError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(error("make", &path, errno.into())),
        }
        self.inner(name)?.ok_or_else(|| error("open", &path, io::ErrorKind::NotFound.into()))
    }

    fn at(
        fd: impl rustix::fd::AsFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<Option<Folder>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(fd, name, flags, Mode::empty()) {
            Ok(opened) => File::from(opened),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(error("open", path, errno.into())),
        };
        let metadata = file.metadata().map_err(|source| error("open", path, source))?;
        trusted(path, &metadata, "go-w", 0o022)?;
        Ok(Some(Folder { fd: file.into(), path: path.to_owned() }))
    }

    /// What is in a file; `None` if there is none.
    pub(super) fn read(
        &self,
        name: &str,
        secrecy: Secrecy,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.path.join(name);
        // Neither is a link followed, nor a fifo of this name waited for.
        let flags =
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(untrusted(&path, "it is a link")),
            Err(errno) => return Err(error("read", &path, errno.into())),
        };
        let unreadable = |source| error("read", &path, source);
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(untrusted(&path, "it is no regular file"));
        }
        match secrecy {
            Secrecy::Secret => trusted(&path, &metadata, "600", 0o077)?,
            Secrecy::Open => trusted(&path, &metadata, "600", 0o022)?,
        }
        if metadata.len() > LONGEST {
            return Err(untrusted(&path, &format!("it is longer than {LONGEST} bytes")));
        }
        // One buffer that never grows: a grown one would leave a copy behind.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or(0)]);
        (&file).read_exact(&mut bytes).map_err(unreadable)?;
        Ok(Some(bytes))
    }

    /// Puts a file there, or another in its place, as a whole: whoever reads finds the old one or the new one, also after a
    /// crash. The caller holds the [`lock`](Folder::lock) of the store.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let failed = |source: io::Error| error("write", &path, source);
        if bytes.len() as u64 > LONGEST {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let written = self.replace(name, bytes);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.fd, UNFINISHED, AtFlags::empty());
        }
        written.map_err(failed)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // One that a SIGKILL has left there.
        match rustix::fs::unlinkat(&self.fd, UNFINISHED, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.fd, UNFINISHED, flags, private)?);
        // The umask may have taken even these.
        rustix::fs::fchmod(&file, private)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.fd, UNFINISHED, &self.fd, name)?;
        rustix::fs::fsync(&self.fd)?;
        Ok(())
    }

    /// Removes a file. Says whether it was we who did: of several that try, one does.
    pub(super) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(error("remove", &self.path.join(name), errno.into())),
        }
    }

    /// The names of what is in it, as far as they are text.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |errno: Errno| error("read", &self.path, errno.into());
        let entries = rustix::fs::Dir::read_from(&self.fd).map_err(failed)?;
        let name = |entry: Result<rustix::fs::DirEntry, Errno>| match entry {
            Ok(entry) => entry.file_name().to_str().ok().map(|name| Ok(name.to_owned())),
            Err(errno) => Some(Err(failed(errno))),
        };
        entries.filter_map(name).collect()
    }

    /// Keeps other processes, and threads, from writing until what it returns is dropped.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        const NAME: &str = "lock";
        let path = self.path.join(NAME);
        let failed = |source: io::Error| error("lock", &path, source);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.fd, NAME, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed(errno.into()))?;
        let file = File::from(file);
        lock::lock(&file, Kind::Exclusive, PATIENCE).map_err(failed)?;
        Ok(file)
    }

    /// Where a file of it is, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Refuses what another user has made or these bits of the mode let him change or see.
fn trusted(
    path: &Path,
    metadata: &fs::Metadata,
    cure: &str,
    forbidden: u32,
) -> Result<(), StoreError> {
    let (uid, ours) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if uid != ours {
        return Err(untrusted(path, &format!("it belongs to the user {uid}, and we are {ours}")));
    }
    let mode = metadata.mode() & forbidden;
    if mode == 0 {
        return Ok(());
    }
    let wrong = if mode & 0o022 != 0 { "others can write it" } else { "others can read it" };
    Err(StoreError::Untrusted {
        file: path.to_owned(),
        wrong: wrong.into(),
        cure: Some(format!("chmod {cure} {}", path.display())),
    })
}

fn untrusted(path: &Path, wrong: &str) -> StoreError {
    StoreError::Untrusted { file: path.to_owned(), wrong: wrong.into(), cure: None }
}

fn error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File { action, file: path.to_owned(), source }
}

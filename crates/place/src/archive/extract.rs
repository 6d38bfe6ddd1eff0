//! An archive into a directory of its own. Nothing outside of that is touched, whatever the archive says.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, SeekFrom, Timespec, Timestamps,
    UTIME_OMIT, chownat, copy_file_range, fchmod, fchown, fstat, futimens, linkat, mkdirat,
    openat2, seek, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::failed::{bad_entry, failed};
use super::header::Timestamp;
use super::preserve::set_attributes;
use super::tree::shrank;
use super::{Archive, Entry, Event, Extra, Kind, Owner, THROUGH_LINK, Watch};

/// What content passes through that the kernel does not copy by itself.
const BUFFER: usize = 256 * 1024;
/// How much the kernel copies at once, before who watches is told.
const CHUNK: u64 = 8 << 20;
/// For us alone until all is there.
const OWN_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const OWN_DIRECTORY: Mode = Mode::RWXU;

/// A directory's mode and time and what else is kept, which are set when all is in it.
pub(super) struct Finish {
    mode: u32,
    modified: Timestamp,
    extra: Extra,
}

/// Directories by their path below the root, with what is still to be set.
pub(super) type Directories = BTreeMap<PathBuf, Finish>;

/// Extracts the root as `name` in `base`, where nothing has this name, and all that is below it.
///
/// Directories are for us alone until [`finish`] has set their modes.
///
/// # Errors
/// Those of the archive and of the file system. What was made stays.
pub(super) fn extract(
    archive: &mut Archive,
    base: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<Directories> {
    let mut extraction = Extraction {
        base,
        name: CString::new(name.as_bytes())?,
        root: None,
        parent: None,
        strict_umask: false,
        directories: Directories::new(),
        buffer: Vec::new(),
    };
    while let Some(entry) = archive.next_entry()? {
        extraction.add(&entry, archive)?;
    }
    Ok(extraction.directories)
}

struct Extraction<'a> {
    base: BorrowedFd<'a>,
    name: CString,
    /// The root, if it is a directory.
    root: Option<OwnedFd>,
    /// The directory of the last entry.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Whether the umask takes our own rights to what we make.
    strict_umask: bool,
    directories: Directories,
    buffer: Vec<u8>,
}

impl Extraction<'_> {
    fn add(&mut self, entry: &Entry, archive: &mut Archive) -> io::Result<()> {
        let made = match &entry.kind {
            Kind::Directory => self.directory(entry),
            Kind::File => return self.file(entry, archive),
            Kind::Symlink(text) => self.place(entry, |dir, name| symlinkat(text, dir, name)),
            Kind::HardLink(target) => self.hard_link(entry, target),
        };
        let name = Path::new(archive.name()).join(&entry.path);
        made.map_err(|error| described("write", &name, error))
    }

    fn directory(&mut self, entry: &Entry) -> io::Result<()> {
        let Entry { mode, modified, ref extra, .. } = *entry;
        let finish = Finish { mode, modified, extra: extra.clone() };
        if entry.path.as_os_str().is_empty() {
            if self.root.is_none() {
                self.make_root()?;
            }
        } else {
            let strict_umask = self.strict_umask;
            let (dir, name) = self.parent_of(&entry.path)?;
            make_directory(dir, &name, strict_umask)?;
        }
        self.directories.insert(entry.path.clone(), finish);
        Ok(())
    }

    fn make_root(&mut self) -> io::Result<()> {
        mkdirat(self.base, &self.name, OWN_DIRECTORY)?;
        let stat = statat(self.base, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        self.strict_umask = stat.st_mode & 0o700 != 0o700;
        if self.strict_umask {
            rustix::fs::chmodat(self.base, &self.name, OWN_DIRECTORY, AtFlags::empty())?;
        }
        self.root = Some(open_beneath(
            self.base,
            Path::new(OsStr::from_bytes(self.name.to_bytes())),
            OFlags::PATH | OFlags::DIRECTORY,
        )?);
        Ok(())
    }

    fn file(&mut self, entry: &Entry, archive: &mut Archive) -> io::Result<()> {
        let path = Path::new(archive.name()).join(&entry.path);
        let mut made = None;
        self.place(entry, |dir, name| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            made = Some(openat2(dir, name, flags | OFlags::CLOEXEC, OWN_FILE, RESOLVE)?);
            Ok(())
        })
        .map_err(|error| described("write", &path, error))?;
        let file = File::from(made.ok_or(Errno::NOENT)?);
        self.fill(&file, entry, archive, &path)?;
        // In this order: attributes need the right to write, and a write takes the time along.
        let finish = || {
            set_extra(&file, &entry.extra)?;
            fchmod(&file, mode(entry.mode))?;
            io::Result::Ok(futimens(&file, &times(entry.modified))?)
        };
        finish().map_err(|error| failed("write", &path, error))
    }

    /// The content, by the kernel if it can.
    fn fill(
        &mut self,
        file: &File,
        entry: &Entry,
        archive: &mut Archive,
        path: &Path,
    ) -> io::Result<()> {
        if let Some((from, watch)) = archive.content_file()
            && copy_by_kernel(from, file, entry.size, watch)
                .map_err(|error| described("copy", path, error))?
        {
            return archive.check_content();
        }
        if self.buffer.is_empty() {
            self.buffer.resize(BUFFER, 0);
        }
        if entry.extra.data.is_some() {
            return self.fill_between_holes(file, entry.size, archive, path);
        }
        loop {
            let mut filled = 0;
            while filled < self.buffer.len() {
                match archive.read_content(&mut self.buffer[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            let mut file = file;
            file.write_all(&self.buffer[..filled]).map_err(|error| failed("write", path, error))?;
            if filled < self.buffer.len() {
                return Ok(());
            }
        }
    }

    fn fill_between_holes(
        &mut self,
        file: &File,
        size: u64,
        archive: &mut Archive,
        path: &Path,
    ) -> io::Result<()> {
        let failed = |error: io::Error| failed("write", path, error);
        while let Some((offset, read)) = archive.read_data(&mut self.buffer)? {
            file.write_all_at(&self.buffer[..read], offset).map_err(failed)?;
        }
        rustix::fs::ftruncate(file, size).map_err(|error| failed(error.into()))
    }

    fn hard_link(&mut self, entry: &Entry, target: &Path) -> io::Result<()> {
        let (dir, name) = self.parent_of(target)?;
        let from = dir.try_clone_to_owned()?;
        self.place(entry, |dir, new| linkat(&from, &name, dir, new, AtFlags::empty()))
    }

    /// Makes something at the entry's path, in the place of what an entry before has made there.
    fn place(
        &mut self,
        entry: &Entry,
        mut make: impl FnMut(BorrowedFd<'_>, &CString) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        let (dir, name) = match entry.path.as_os_str().is_empty() {
            true => (self.base, self.name.clone()),
            false => self.parent_of(&entry.path)?,
        };
        match make(dir, &name) {
            Err(Errno::EXIST) => {
                match unlinkat(dir, &name, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => {
                        return Err(bad_entry(
                            &entry.path,
                            "is a directory and then something else",
                        ));
                    }
                    other => other?,
                }
                make(dir, &name)?;
            }
            other => other?,
        }
        if let Kind::Symlink(_) = entry.kind {
            if let Some(Owner { uid, gid }) = entry.extra.owner {
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                chownat(dir, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            utimensat(dir, &name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// The directory that a path is in, made if no entry has, and its name there.
    fn parent_of(&mut self, path: &Path) -> io::Result<(BorrowedFd<'_>, CString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let name = CString::new(name.as_bytes())?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            let root = self.root.as_ref().ok_or(Errno::NOTDIR)?;
            return Ok((root.as_fd(), name));
        }
        if self.parent.as_ref().is_none_or(|(path, _)| path != parent) {
            self.parent = None;
            let fd = self.open_directory(parent)?;
            self.parent = Some((parent.to_owned(), fd));
        }
        let (_, fd) = self.parent.as_ref().ok_or(Errno::NOTDIR)?;
        Ok((fd.as_fd(), name))
    }

    fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let root = self.root.as_ref().ok_or(Errno::NOTDIR)?.as_fd();
        let open = |path: &Path| open_beneath(root, path, OFlags::PATH | OFlags::DIRECTORY);
        match open(path) {
            Err(Errno::LOOP) => return Err(bad_entry(path, THROUGH_LINK)),
            Err(Errno::NOTDIR) => {
                return Err(bad_entry(path, "is no directory, yet the archive has more below it"));
            }
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        // An archive need not have the directories of what it has.
        let (up, name) = (path.parent(), path.file_name());
        let up = match up.filter(|up| !up.as_os_str().is_empty()) {
            Some(up) => Some(self.open_directory(up)?),
            None => None,
        };
        let name = CString::new(name.unwrap_or_default().as_bytes())?;
        let up = up.as_ref().map_or(root, AsFd::as_fd);
        // What is not in the archive has the mode that mkdir(1) gives.
        mkdirat(up, &name, Mode::from_raw_mode(0o755))?;
        rustix::fs::chmodat(up, &name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
        Ok(open(path)?)
    }
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens a path below a directory, through nothing but directories.
///
/// # Errors
/// As openat2(2): `ELOOP` for a path that leads through a link.
pub(super) fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
}

fn make_directory(dir: BorrowedFd<'_>, name: &CString, strict_umask: bool) -> io::Result<()> {
    match mkdirat(dir, name, OWN_DIRECTORY) {
        Err(Errno::EXIST) => {
            let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Ok(()),
                _ => {
                    let name = OsStr::from_bytes(name.to_bytes());
                    Err(bad_entry(name, "is something else and then a directory"))
                }
            }
        }
        Ok(()) if strict_umask => {
            Ok(rustix::fs::chmodat(dir, name, OWN_DIRECTORY, AtFlags::empty())?)
        }
        other => Ok(other?),
    }
}

/// Sets modes and times of directories below `root`, those in others before the others, but not of those that `except`
/// says were there before.
///
/// # Errors
/// As openat2(2), fchmod(2) and utimensat(2).
pub(super) fn finish(
    directories: &Directories,
    root: BorrowedFd<'_>,
    except: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    for (path, finish) in directories.iter().rev().filter(|(path, _)| !except(path)) {
        let there = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let set = || {
            let fd = open_beneath(root, there, OFlags::RDONLY | OFlags::DIRECTORY)?;
            // A directory made in one with the set-group-id bit has it too: that is the destination's own affair.
            let inherited = fstat(&fd)?.st_mode & 0o2000;
            set_extra(&fd, &finish.extra)?;
            fchmod(&fd, mode(finish.mode | inherited))?;
            io::Result::Ok(futimens(&fd, &times(finish.modified))?)
        };
        set().map_err(|error| failed("finish", path, error))?;
    }
    Ok(())
}

/// Attributes and owner. Where somebody else owns it, its mode can still be set by who may give it away.
fn set_extra(fd: impl AsFd, extra: &Extra) -> io::Result<()> {
    set_attributes(&fd, &extra.attributes)?;
    if let Some(Owner { uid, gid }) = extra.owner {
        fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

fn mode(mode: u32) -> Mode {
    Mode::from_raw_mode(mode as RawMode)
}

fn times(modified: Timestamp) -> Timestamps {
    let last_modification =
        Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access, last_modification }
}

/// Copies so many bytes, holes as holes. `false` if the kernel cannot, and nothing was copied.
fn copy_by_kernel(from: &File, to: &File, size: u64, watch: &mut Watch) -> io::Result<bool> {
    let start = seek(from, SeekFrom::Current(0))?;
    let mut at = start;
    let end = start + size;
    while at < end {
        let (data, hole) = match next_data(from, at, end)? {
            Some(range) => range,
            None => break,
        };
        let mut from_at = data;
        while from_at < hole {
            let mut to_at = from_at - start;
            let most = (hole - from_at).min(CHUNK) as usize;
            match copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), most) {
                Ok(0) => return Err(shrank()),
                Ok(copied) => watch.tell(Event::Content(copied as u64))?,
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
                    if from_at == data && at == start =>
                {
                    seek(from, SeekFrom::Start(start))?;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        at = hole;
    }
    rustix::fs::ftruncate(to, size)?;
    Ok(true)
}

/// Where the next data begins and ends; all of it where the file system knows no holes.
fn next_data(file: &File, at: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    let data = match seek(file, SeekFrom::Data(at)) {
        Ok(data) if data < end => data,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, end))),
        Err(error) => return Err(error.into()),
    };
    let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(end);
    Ok(Some((data, hole.min(end))))
}

/// The error with what failed on what, unless it says so itself.
fn described(action: &'static str, name: &Path, error: io::Error) -> io::Error {
    match error.get_ref() {
        Some(_) => error,
        None => failed(action, name, error),
    }
}

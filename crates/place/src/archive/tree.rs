//! A tree of the file system, entry by entry.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::entry::KEPT_MODE;
use super::failed::failed;
use super::filter::Filter;
use super::preserve::attributes_of;
use super::sparse::{Segment, segments_of};
use super::{Entry, Event, Extra, Kind, Owner, Preserve, Timestamp, Watch};

/// Files up to this size are read before their header is given, in one system call, so that the two always agree.
const SMALL: u64 = 128 * 1024;
/// How much a file may hold that says it is empty, as those of `/proc` do.
const MAX_UNANNOUNCED: usize = 16 << 20;

/// A tree of the file system that is walked as it is read: symbolic links are not followed, entries of a directory come
/// in the order of their names, and mounts below it belong to it.
pub struct Tree {
    root: Option<Root>,
    name: OsString,
    /// The directories that are open.
    levels: Vec<Level>,
    visitor: Visitor,
    identity: Option<(u64, u64)>,
}

enum Root {
    At(OwnedFd),
    /// An open file that is given a mode.
    Open(File, u32),
}

/// A directory that is open, and what is still to be visited in it.
struct Level {
    fd: OwnedFd,
    path: PathBuf,
    names: std::vec::IntoIter<(CString, FileType)>,
}

impl Tree {
    /// What has this name in a directory; `.` is the directory itself.
    #[must_use]
    pub fn at(dir: OwnedFd, name: impl Into<OsString>) -> Tree {
        Tree::of(Root::At(dir), name.into())
    }

    /// A regular file that is open, from where it stands, as if it had this name and mode.
    #[must_use]
    pub fn of_file(file: File, name: impl Into<OsString>, mode: u32) -> Tree {
        Tree::of(Root::Open(file, mode & KEPT_MODE), name.into())
    }

    fn of(root: Root, name: OsString) -> Tree {
        let (levels, visitor) = (Vec::new(), Visitor::default());
        Tree { root: Some(root), name, levels, visitor, identity: None }
    }

    pub(super) fn preserve(&mut self, preserve: Preserve) {
        self.visitor.preserve = preserve;
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// The next entry that `filter` keeps.
    pub(super) fn next(
        &mut self,
        watch: &mut Watch,
        mut filter: Option<&mut Filter>,
    ) -> io::Result<Option<Entry>> {
        if let Some(root) = self.root.take() {
            return self.first(root).map_err(|error| failed("read", &self.name, error)).map(Some);
        }
        while let Some(level) = self.levels.last_mut() {
            let Some((name, kind)) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let path = level.path.join(OsStr::from_bytes(name.as_bytes()));
            if let Some(filter) = &mut filter {
                let is_directory = || is_directory(level.fd.as_fd(), &name, kind);
                if !filter.keeps(&path, is_directory()) {
                    continue;
                }
            }
            let visited = self.visitor.visit(level.fd.as_fd(), &name, kind, &path);
            match visited {
                Ok(Found::Entry(entry, _)) => return Ok(Some(entry)),
                Ok(Found::Directory(entry, level, _)) => {
                    self.levels.push(level);
                    return Ok(Some(entry));
                }
                Ok(Found::Other(what)) => watch.tell(Event::LeftOut { path: &path, what })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    watch.tell(Event::LeftOut { path: &path, what: "gone meanwhile" })?;
                }
                Err(error) => {
                    return Err(failed("read", Path::new(&self.name).join(path), error));
                }
            }
        }
        Ok(None)
    }

    fn first(&mut self, root: Root) -> io::Result<Entry> {
        let dir = match root {
            Root::At(dir) => dir,
            Root::Open(file, mode) => {
                let stat = fstat(&file)?;
                // No identity: a copy onto the same file is no copy onto itself.
                let entry = self.visitor.file(file, &stat, Path::new(""))?;
                return Ok(Entry { mode, ..entry });
            }
        };
        let name = CString::new(self.name.as_bytes())?;
        let found = self.visitor.visit(dir.as_fd(), &name, FileType::Unknown, Path::new(""))?;
        let (entry, stat) = match found {
            Found::Entry(entry, stat) => (entry, stat),
            Found::Directory(entry, level, stat) => {
                self.levels.push(level);
                (entry, stat)
            }
            Found::Other(what) => {
                let text = format!("it is {what}, which is not copied");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        self.identity = Some(stat);
        Ok(entry)
    }

    /// Reads from the content of the file that was the last entry.
    pub(super) fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.visitor.content.read(buf);
        read.map_err(|error| failed("read", self.visitor.full_path(&self.name), error))
    }

    /// Looks whether the file that the kernel has copied is as it was before.
    pub(super) fn check_content(&mut self) -> io::Result<()> {
        let Content::Large { file, before, .. } = &self.visitor.content else { return Ok(()) };
        let checked = before.check(file);
        checked.map_err(|error| failed("read", self.visitor.full_path(&self.name), error))
    }

    /// The file that the content comes from, if it is a large one that was not read from.
    pub(super) fn content_file(&mut self) -> Option<&File> {
        match &self.visitor.content {
            Content::Large { file, .. } => Some(file),
            _ => None,
        }
    }
}

enum Found {
    Entry(Entry, (u64, u64)),
    Directory(Entry, Level, (u64, u64)),
    Other(&'static str),
}

/// What is kept from one entry to the next.
#[derive(Default)]
struct Visitor {
    content: Content,
    /// Where files with more than one name were met first.
    links: HashMap<(u64, u64), PathBuf>,
    /// A small file's content, kept for the next one.
    spare: Vec<u8>,
    preserve: Preserve,
    /// The path of the file that the content is of.
    path: PathBuf,
}

impl Visitor {
    fn visit(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
        path: &Path,
    ) -> io::Result<Found> {
        // What is opened may have become something else since it was looked at: no link is followed, and no fifo waits.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | OFlags::CLOEXEC;
        let mut kind = kind;
        let mut stat = None;
        if kind == FileType::Unknown || kind == FileType::Symlink {
            let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(found.st_mode);
            stat = Some(found);
        }
        Ok(match kind {
            FileType::RegularFile => {
                let file = File::from(openat(dir, name, flags, Mode::empty())?);
                let stat = fstat(&file)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => {
                        Found::Entry(self.file(file, &stat, path)?, identity(&stat))
                    }
                    other => Found::Other(described(other)),
                }
            }
            FileType::Directory => {
                let fd = openat(dir, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                let stat = fstat(&fd)?;
                let names = names(&fd)?.into_iter();
                let mut entry = entry(path, Kind::Directory, &stat, 0);
                entry.extra.attributes = self.attributes(&fd)?;
                let level = Level { fd, path: path.to_owned(), names };
                Found::Directory(entry, level, identity(&stat))
            }
            FileType::Symlink => {
                let text = readlinkat(dir, name, Vec::new())?;
                let text = PathBuf::from(OsString::from_vec(text.into_bytes()));
                let stat = stat.ok_or(Errno::STALE)?;
                self.content = Content::None;
                Found::Entry(entry(path, Kind::Symlink(text), &stat, 0), identity(&stat))
            }
            other => Found::Other(described(other)),
        })
    }

    /// The entry of an open file, and its content made ready.
    fn file(&mut self, mut file: File, stat: &Stat, path: &Path) -> io::Result<Entry> {
        if let Content::Small { bytes, .. } = std::mem::take(&mut self.content) {
            self.spare = bytes;
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&identity(stat)) {
                return Ok(entry(path, Kind::HardLink(first.clone()), stat, 0));
            }
            self.links.insert(identity(stat), path.to_owned());
        }
        self.path.clear();
        self.path.push(path);
        let attributes = self.attributes(&file)?;
        let before = Before::of(stat);
        let size = before.size;
        let data = self.holes(&file, stat)?;
        if size > SMALL || data.is_some() {
            let segments = data.clone().map(Vec::into_iter);
            self.content = Content::Large { file, left: size, before, segments, current: None };
            let entry = entry(path, Kind::File, stat, size);
            let extra = Extra { attributes, data, ..entry.extra };
            return Ok(Entry { extra, ..entry });
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        match size {
            // An empty file, or one that is made as it is read.
            0 => {
                let most = MAX_UNANNOUNCED as u64 + 1;
                file.by_ref().take(most).read_to_end(&mut bytes)?;
                if bytes.len() > MAX_UNANNOUNCED {
                    let text = "it says that it is empty and goes on and on";
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
                }
            }
            _ => {
                bytes.resize(size as usize, 0);
                let read = read_full(&mut file, &mut bytes)?;
                bytes.truncate(read);
                before.check(&file)?;
            }
        }
        let entry = entry(path, Kind::File, stat, bytes.len() as u64);
        self.content = Content::Small { bytes, at: 0 };
        Ok(Entry { extra: Extra { attributes, ..entry.extra }, ..entry })
    }

    fn attributes(&self, fd: impl AsFd) -> io::Result<Vec<super::Attribute>> {
        if self.preserve.xattr { attributes_of(fd) } else { Ok(Vec::new()) }
    }

    /// Where a file has data, if it has holes: its blocks are of 512 bytes each, stat(2).
    fn holes(&self, file: &File, stat: &Stat) -> io::Result<Option<Vec<Segment>>> {
        let may_have = self.preserve.sparse && stat.st_size / 512 > stat.st_blocks;
        if !may_have {
            return Ok(None);
        }
        let start = rustix::fs::seek(file, rustix::fs::SeekFrom::Current(0))?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        segments_of(file, start, size.saturating_sub(start))
    }

    fn full_path(&self, root: &OsStr) -> PathBuf {
        match self.path.as_os_str().is_empty() {
            true => root.into(),
            false => Path::new(root).join(&self.path),
        }
    }
}

/// What a file was like before it was read.
#[derive(Clone, Copy, PartialEq)]
struct Before {
    size: u64,
    modified: Timestamp,
}

impl Before {
    fn of(stat: &Stat) -> Before {
        Before { size: u64::try_from(stat.st_size).unwrap_or_default(), modified: modified(stat) }
    }

    /// Whether it is still so. What is written and read within one tick of the kernel's clock cannot be told by this.
    fn check(self, file: &File) -> io::Result<()> {
        match Before::of(&fstat(file)?) == self {
            true => Ok(()),
            false => Err(io::Error::other("it changed while it was read")),
        }
    }
}

/// Whether something is a directory that the directory it is in may not tell the kind of.
fn is_directory(dir: BorrowedFd<'_>, name: &CStr, kind: FileType) -> bool {
    match kind {
        FileType::Unknown => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        kind => kind == FileType::Directory,
    }
}

#[derive(Default)]
enum Content {
    #[default]
    None,
    Small {
        bytes: Vec<u8>,
        at: usize,
    },
    Large {
        file: File,
        left: u64,
        before: Before,
        /// The parts of a file with holes that are still to be read.
        segments: Option<std::vec::IntoIter<Segment>>,
        current: Option<Segment>,
    },
}

impl Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::None => Ok(0),
            Content::Small { bytes, at } => {
                let length = buf.len().min(bytes.len() - *at);
                buf[..length].copy_from_slice(&bytes[*at..*at + length]);
                *at += length;
                Ok(length)
            }
            Content::Large { file, before, segments: Some(segments), current, .. } => {
                let next = current.take().filter(|segment| segment.length > 0);
                let Some(mut segment) = next.or_else(|| segments.next()) else { return Ok(0) };
                let most = usize::try_from(segment.length).unwrap_or(usize::MAX).min(buf.len());
                let read = file.read_at(&mut buf[..most], segment.offset)?;
                if read == 0 && most > 0 {
                    return Err(shrank());
                }
                segment.offset += read as u64;
                segment.length -= read as u64;
                if segment.length == 0 && segments.as_slice().is_empty() {
                    before.check(file)?;
                }
                *current = Some(segment);
                Ok(read)
            }
            Content::Large { file, left, before, .. } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                let read = read_full(file, &mut buf[..most])?;
                if read < most {
                    return Err(shrank());
                }
                *left -= read as u64;
                if *left == 0 && read > 0 {
                    before.check(file)?;
                }
                Ok(read)
            }
        }
    }
}

/// A file that has become shorter: its size was said before.
pub(super) fn shrank() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read")
}

fn read_full(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn entry(path: &Path, kind: Kind, stat: &Stat, size: u64) -> Entry {
    let owner = Some(Owner { uid: stat.st_uid, gid: stat.st_gid });
    let (mode, modified) = (stat.st_mode & KEPT_MODE, modified(stat));
    let extra = Extra { owner, ..Extra::default() };
    Entry { path: path.to_owned(), kind, mode, modified, size, extra }
}

fn modified(stat: &Stat) -> Timestamp {
    Timestamp {
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The names in a directory, in order.
fn names(dir: impl AsFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}

pub(super) fn described(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        _ => "something else by now",
    }
}

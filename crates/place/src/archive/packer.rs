//! An archive as a tar stream.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::failed::{bad_entry, cut_short};
use super::header::{BLOCK, Header, OCTAL_MAX, split_name};
use super::pax::{Pax, Sparse};
use super::reader::flag;
use super::sparse::{map, stored};
use super::talk::Outgoing;
use super::{Archive, Entry, Event, Extra, Kind, Owner, Timestamp};

/// How many symbolic links an archive may have: 8 to 16 bytes of memory are needed for each.
const MAX_SYMLINKS: usize = 4 << 20;

/// What ends an archive, in bytes.
const END: usize = 2 * BLOCK;
/// How much memory the directories may take that are repeated at the end, and one without its name.
const MAX_REPEATED: usize = 64 << 20;
const DIRECTORY: usize = 128;

/// An archive as a tar stream: see [`Archive::into_tar`].
///
/// It is ustar. What that cannot say is said by an extended header of pax: longer names, sizes from 8 GiB on, fractions of
/// seconds. Long names are said once more in GNU's way, for those who do not read pax (busybox). No path leads through a
/// symbolic link of the archive, so whoever unpacks it below an empty directory stays there.
#[derive(Debug)]
pub struct Tar {
    archive: Archive,
    /// Blocks that are ready, and how much of them was read.
    ready: Vec<u8>,
    taken: usize,
    /// What is left of the entry's content, and the zeros after it.
    left: u64,
    padding: usize,
    /// The name of the file after all else.
    marker: Option<&'static str>,
    /// What is in that file.
    repeated: Directories,
    whole_seconds: bool,
    /// Whether the archive has nothing more, and whether all has been said.
    emptied: bool,
    ended: bool,
    symlinks: Symlinks,
}

impl Tar {
    pub(super) fn new(archive: Archive) -> Tar {
        Tar {
            archive,
            ready: Vec::new(),
            taken: 0,
            left: 0,
            padding: 0,
            marker: None,
            repeated: Directories::default(),
            whole_seconds: false,
            emptied: false,
            ended: false,
            symlinks: Symlinks::default(),
        }
    }

    /// The same for a `tar` over there. At its end, beside the root, comes a file by which it can be known that all has
    /// arrived. It is an archive itself, of the directories alone, those in others first: for tars that set a directory's time
    /// before they make all that is in it, as busybox's does.
    pub(super) fn for_command(mut self, name: &'static str) -> Tar {
        self.marker = Some(name);
        self
    }

    /// The same with times in whole seconds, cut off: each fraction takes an extended header of its own, which slows down
    /// whoever unpacks small files.
    #[must_use]
    pub fn whole_seconds(mut self) -> Tar {
        self.whole_seconds = true;
        self
    }

    /// Tells who watches that nothing can be done at the moment.
    ///
    /// # Errors
    /// Theirs.
    pub fn idle(&mut self) -> io::Result<()> {
        self.archive.watch.tell(Event::Idle)
    }

    /// Fills a buffer as far as there is something: less is the end.
    ///
    /// # Errors
    /// As [`Archive::next_entry`].
    pub fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Makes the next blocks ready; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.ready.clear();
        self.taken = 0;
        if self.padding > 0 {
            self.ready.resize(std::mem::take(&mut self.padding), 0);
            return Ok(true);
        }
        if self.ended {
            return Ok(false);
        }
        if !self.emptied {
            self.archive.pass_last_hole()?;
            if let Some(entry) = self.archive.next_entry()? {
                self.write_entry(&entry)?;
                if self.marker.is_some() && entry.kind == Kind::Directory {
                    // One more has no time where tar is busybox's.
                    self.repeated.add(&entry);
                }
                return Ok(true);
            }
            self.emptied = true;
            if let Some(name) = self.marker {
                self.write_marker(name);
                return Ok(true);
            }
        }
        match self.repeated.deepest() {
            Some(entry) => self.write_entry(&entry)?,
            None => {
                let archives = if self.marker.is_some() { 2 } else { 1 };
                self.ready.resize(self.ready.len() + archives * END, 0);
                self.ended = true;
            }
        }
        Ok(true)
    }

    fn write_entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.symlinks.check(entry)?;
        let header = self.header(entry);
        self.left = header.extra.data.as_deref().map_or(header.size, stored);
        self.padding = (self.left.next_multiple_of(BLOCK as u64) - self.left) as usize;
        write_header(&header, &mut self.ready);
        Ok(())
    }

    /// Begins the file whose content is an archive of the directories.
    fn write_marker(&mut self, name: &'static str) {
        let mut size = END;
        let mut blocks = Vec::new();
        for entry in self.repeated.entries() {
            blocks.clear();
            write_header(&self.header(&entry), &mut blocks);
            size += blocks.len();
        }
        let (name, flag, size) = (name.into(), flag::FILE, size as u64);
        let marker = Header { name, flag, size, mode: 0o600, ..Header::default() };
        self.ready.extend_from_slice(&marker.to_block());
    }

    fn header(&self, entry: &Entry) -> Header {
        let mut header = header(self.archive.name(), entry);
        if self.whole_seconds {
            header.modified.nanoseconds = 0;
        }
        header
    }
}

impl Outgoing for Tar {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Tar::fill(self, buf)
    }

    fn idle(&mut self) -> io::Result<()> {
        Tar::idle(self)
    }
}

impl Read for Tar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = &self.ready[self.taken..];
            if !ready.is_empty() {
                let length = ready.len().min(buf.len());
                buf[..length].copy_from_slice(&ready[..length]);
                self.taken += length;
                return Ok(length);
            }
            if self.left > 0 {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
                let read = self.archive.read_stored(&mut buf[..most])?;
                if read == 0 {
                    return Err(cut_short());
                }
                self.left -= read as u64;
                return Ok(read);
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

fn header(root: &OsStr, entry: &Entry) -> Header {
    let (flag, link) = match &entry.kind {
        Kind::File => (flag::FILE, Vec::new()),
        Kind::Directory => (flag::DIRECTORY, Vec::new()),
        Kind::Symlink(text) => (flag::SYMLINK, text.as_os_str().as_bytes().to_vec()),
        Kind::HardLink(path) => (flag::HARD_LINK, name(root, path)),
    };
    let mut name = name(root, &entry.path);
    if flag == flag::DIRECTORY {
        name.push(b'/');
    }
    let Entry { mode, size, modified, ref extra, .. } = *entry;
    Header { name, link, flag, mode, size, modified, extra: extra.clone() }
}

fn name(root: &OsStr, path: &Path) -> Vec<u8> {
    match path.as_os_str().as_bytes() {
        b"" => root.as_bytes().to_vec(),
        path => [root.as_bytes(), b"/", path].concat(),
    }
}

/// A header, after what it cannot say itself; and before the content of a file with holes where they are.
fn write_header(header: &Header, to: &mut Vec<u8>) {
    if let Some(segments) = &header.extra.data {
        let map = map(segments, header.size);
        let sparse = Sparse {
            major: Some(1),
            minor: Some(0),
            name: Some(header.name.clone()),
            size: Some(header.size),
            map: None,
        };
        // Whoever knows nothing of this has the file by a name that says so.
        let plain = Header {
            name: b"GNUSparseFile.0/file".to_vec(),
            size: map.len() as u64 + stored(segments),
            extra: Extra { data: None, ..header.extra.clone() },
            ..header.clone()
        };
        write_plain_header(&plain, Some(sparse), to);
        return to.extend_from_slice(&map);
    }
    write_plain_header(header, None, to);
}

fn write_plain_header(header: &Header, sparse: Option<Sparse>, to: &mut Vec<u8>) {
    let long_name = split_name(&header.name).is_none();
    let long_link = header.link.len() > 100;
    let modified = header.modified;
    let old_or_fine = modified.nanoseconds != 0
        || u64::try_from(modified.seconds).map_or(true, |it| it > OCTAL_MAX);
    let pax = Pax {
        path: long_name.then(|| header.name.clone()),
        link: long_link.then(|| header.link.clone()),
        size: (header.size > OCTAL_MAX).then_some(header.size),
        modified: old_or_fine.then_some(modified),
        uid: None,
        gid: None,
        attributes: header.extra.attributes.clone(),
        sparse,
    };
    if !pax.is_empty() {
        extension(flag::PAX, b"././@PaxHeader", &pax.to_records(), to);
    }
    let with_nul = |text: &[u8]| [text, b"\0"].concat();
    if long_name {
        extension(flag::LONG_NAME, b"././@LongLink", &with_nul(&header.name), to);
    }
    if long_link {
        extension(flag::LONG_LINK, b"././@LongLink", &with_nul(&header.link), to);
    }
    to.extend_from_slice(&header.to_block());
}

fn extension(flag: u8, name: &[u8], content: &[u8], to: &mut Vec<u8>) {
    let (name, size) = (name.to_vec(), content.len() as u64);
    to.extend_from_slice(&Header { name, flag, mode: 0o644, size, ..Header::default() }.to_block());
    to.extend_from_slice(content);
    to.resize(to.len().next_multiple_of(BLOCK), 0);
}

/// Directories that were met, as far as there is room: modes, times and owners by their paths.
#[derive(Debug, Default)]
pub(super) struct Directories {
    known: BTreeMap<PathBuf, (u32, Timestamp, Option<Owner>)>,
    memory: usize,
}

impl Directories {
    /// `false` if there is no room for it.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        let memory = self.memory + DIRECTORY + entry.path.as_os_str().len();
        if memory > MAX_REPEATED {
            return false;
        }
        if self.insert(entry) {
            self.memory = memory;
        }
        true
    }

    /// Whether it is a new one.
    fn insert(&mut self, entry: &Entry) -> bool {
        let Entry { ref path, mode, modified, ref extra, .. } = *entry;
        self.known.insert(path.clone(), (mode, modified, extra.owner)).is_none()
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.known.iter().map(|(path, &it)| directory(path.clone(), it))
    }

    /// Takes one that has no other in it.
    pub(super) fn deepest(&mut self) -> Option<Entry> {
        let (path, it) = self.known.pop_last()?;
        Some(directory(path, it))
    }
}

fn directory(path: PathBuf, (mode, modified, owner): (u32, Timestamp, Option<Owner>)) -> Entry {
    let extra = Extra { owner, ..Extra::default() };
    Entry { path, kind: Kind::Directory, mode, modified, size: 0, extra }
}

/// The symbolic links that were met, by hashes that nobody outside can foresee.
#[derive(Debug, Default)]
pub(super) struct Symlinks {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Symlinks {
    /// Refuses what leads through one of them.
    pub(super) fn check(&mut self, entry: &Entry) -> io::Result<()> {
        let leads = |path: &Path| {
            let ancestors = path.ancestors().skip(1);
            ancestors.map(|path| self.state.hash_one(path)).any(|hash| self.hashes.contains(&hash))
        };
        let through = !self.hashes.is_empty()
            && (leads(&entry.path) || matches!(&entry.kind, Kind::HardLink(path) if leads(path)));
        let replaced = entry.kind == Kind::Directory
            && self.hashes.contains(&self.state.hash_one(entry.path.as_path()));
        if through || replaced {
            return Err(bad_entry(&entry.path, super::THROUGH_LINK));
        }
        // Another name of a link is a link.
        let is_link = match &entry.kind {
            Kind::Symlink(_) => true,
            Kind::HardLink(path) => self.hashes.contains(&self.state.hash_one(path.as_path())),
            Kind::File | Kind::Directory => false,
        };
        if is_link {
            if self.hashes.len() >= MAX_SYMLINKS {
                return Err(bad_entry(&entry.path, "is one symbolic link too many"));
            }
            self.hashes.insert(self.state.hash_one(entry.path.as_path()));
        }
        Ok(())
    }
}

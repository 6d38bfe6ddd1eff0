//! An archive on its way to there, under a temporary name: many things at once, and none before the directory that it is in.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thither_place::archive::{Archive, Entry, Kind, Timestamp};

use super::calls::{Calls, Step};
use super::failed::{bad_entry, described, done, failed};
use super::packet::{Attributes, Reply, Request, code};
use super::upload::{OWN_DIRECTORY, OWN_FILE, Task, Upload, Work};
use super::{CHUNK, DIRECTORY, below, shown};

/// How many bytes of content wait or are on their way: what an ssh channel's window holds, twice.
const BYTES: usize = 4 << 20;
/// How much memory the names of what was made may take, in bytes.
const MAX_NAMES: usize = 512 << 20;
/// What a name takes beside its bytes.
const OVERHEAD: usize = 128;
/// How many ticks without anything it may take to remove what was made: 5 seconds.
const FAREWELL: usize = 25;

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) kind: MadeKind,
    /// Until the server has said that it is there.
    is_pending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeKind {
    /// With the mode and time that it has at last.
    Directory(Attributes),
    Symlink,
    File,
}

/// What is made under a temporary name, and removed when this is dropped unless it was kept.
pub(super) struct Stage<'a> {
    pub(super) calls: Calls,
    pub(super) archive: &'a mut Archive,
    /// The temporary name.
    pub(super) root: PathBuf,
    pub(super) made: BTreeMap<PathBuf, Made>,
    pub(super) is_kept: bool,
    tasks: HashMap<u64, Task>,
    last: u64,
    /// What waits for a path.
    blocked: HashMap<PathBuf, Vec<u64>>,
    bytes: usize,
    names: usize,
}

impl<'a> Stage<'a> {
    pub(super) fn new(calls: Calls, archive: &'a mut Archive, root: PathBuf) -> Stage<'a> {
        Stage {
            calls,
            archive,
            root,
            made: BTreeMap::new(),
            is_kept: false,
            tasks: HashMap::new(),
            last: 0,
            blocked: HashMap::new(),
            bytes: 0,
            names: 0,
        }
    }

    /// Makes all that is in the archive. Directories have modes of ours until they are finished.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        while let Some(entry) = self.archive.next_entry()? {
            self.add(entry)?;
        }
        self.settle()
    }

    fn add(&mut self, entry: Entry) -> io::Result<()> {
        let Entry { path, kind, mode, modified, .. } = entry;
        let times = Attributes { modified: Some(seconds(modified)), ..Attributes::default() };
        let attributes = Attributes { permissions: Some(mode), ..times };
        if let Kind::Directory = kind {
            return self.directory(path, attributes);
        }
        if let Some(parent) = path.parent() {
            self.needed(parent)?;
        }
        self.make_room(&path)?;
        match kind {
            Kind::File | Kind::Directory => {
                let number =
                    self.start(&path, MadeKind::File, Work::File(Upload::new(attributes)))?;
                self.content(number)
            }
            Kind::Symlink(text) => {
                let text = text.into_os_string().into_encoded_bytes();
                self.start(&path, MadeKind::Symlink, Work::Symlink(text, times)).map(drop)
            }
            Kind::HardLink(target) => self.hard_link(&path, &target),
        }
    }

    /// A directory, perhaps one more time.
    fn directory(&mut self, path: PathBuf, attributes: Attributes) -> io::Result<()> {
        match self.made.get_mut(&path).map(|made| &mut made.kind) {
            Some(MadeKind::Directory(there)) => {
                *there = attributes;
                return Ok(());
            }
            Some(_) => return Err(bad_entry(&path, "is something else and then a directory")),
            None => {}
        }
        if let Some(parent) = path.parent() {
            self.needed(parent)?;
        }
        self.start(&path, MadeKind::Directory(attributes), Work::Directory).map(drop)
    }

    /// A directory that something is in: an archive need not have it.
    fn needed(&mut self, path: &Path) -> io::Result<()> {
        match self.made.get(path).map(|made| made.kind) {
            Some(MadeKind::Directory(_)) => Ok(()),
            Some(MadeKind::Symlink) => {
                Err(bad_entry(path, "leads through a symbolic link of the archive"))
            }
            Some(MadeKind::File) => {
                Err(bad_entry(path, "is no directory, yet the archive has more below it"))
            }
            // What is not in the archive has the mode that mkdir(1) gives.
            None => {
                let attributes = Attributes::of_mode(0o755);
                self.directory(path.to_owned(), attributes)
            }
        }
    }

    /// Removes what an entry before has made at the path.
    fn make_room(&mut self, path: &Path) -> io::Result<()> {
        match self.made.get(path).map(|made| made.kind) {
            None => Ok(()),
            Some(MadeKind::Directory(_)) => {
                Err(bad_entry(path, "is a directory and then something else"))
            }
            Some(_) => {
                self.settle()?;
                let request = Request::Remove(self.there(path));
                let removed = self.ask(request).and_then(done);
                removed.map_err(|error| failed("write", self.shown(path), error))?;
                self.made.remove(path);
                Ok(())
            }
        }
    }

    fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        if let Some(parent) = target.parent() {
            self.needed(parent)?;
        }
        let kind = match self.made.get(target).map(|made| made.kind) {
            Some(MadeKind::Directory(_)) => Err(Errno::PERM),
            Some(kind) => Ok(kind),
            None => Err(Errno::NOENT),
        };
        let kind = kind.map_err(|error| failed("write", self.shown(path), error))?;
        if self.calls.features.hardlink {
            let work = Work::HardLink(self.there(target));
            return self.start_after(path, kind, work, Some(target)).map(drop);
        }
        self.settle()?;
        let copied = match kind {
            MadeKind::Symlink => self.copy_link(path, target),
            _ => self.copy_file(path, target),
        };
        copied.map_err(|error| described("write", &self.shown(path), error))
    }

    fn copy_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let text = match self.ask(Request::ReadLink(self.there(target)))? {
            Reply::Names(names) if !names.is_empty() => names[0].0.clone(),
            other => return Err(super::failed::unexpected(other)),
        };
        self.start(path, MadeKind::Symlink, Work::Symlink(text, Attributes::default())).map(drop)
    }

    /// A second file with the content of the first, where there are no hard links.
    fn copy_file(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let there = self.there(target);
        let found = self.ask(Request::LStat(there.clone())).and_then(super::calls::found)?;
        let found = found.ok_or(Errno::NOENT)?;
        let attributes = Attributes {
            size: None,
            permissions: found.permissions.map(|it| it & 0o7777),
            ..found
        };
        // Its own mode may keep us from reading it.
        let own = Attributes::of_mode(OWN_FILE);
        self.ask(Request::SetStat(there.clone(), own)).and_then(done)?;
        let handle = match self.ask(Request::Open(there.clone()))? {
            Reply::Handle(handle) => handle,
            other => return Err(super::failed::unexpected(other)),
        };
        let number = self.start(path, MadeKind::File, Work::File(Upload::new(attributes)))?;
        self.settle_but(number)?;
        let mut offset = 0;
        loop {
            let length = CHUNK as u32;
            let request = Request::Read { handle: handle.clone(), offset, length };
            match self.ask(request)? {
                Reply::Data(data) if !data.is_empty() => {
                    offset += data.len() as u64;
                    self.piece(number, data);
                    self.settle_but(number)?;
                }
                Reply::Status { code: code::EOF, .. } => break,
                other => return Err(super::failed::unexpected(other)),
            }
        }
        self.ask(Request::Close(handle)).and_then(done)?;
        self.ask(Request::SetStat(there, attributes)).and_then(done)?;
        self.complete(number);
        Ok(())
    }

    fn start(&mut self, path: &Path, kind: MadeKind, work: Work) -> io::Result<u64> {
        self.start_after(path, kind, work, None)
    }

    /// Begins to make something once its directory is there, and what it depends on besides.
    fn start_after(
        &mut self,
        path: &Path,
        kind: MadeKind,
        work: Work,
        after: Option<&Path>,
    ) -> io::Result<u64> {
        while self.tasks.len() >= self.calls.features.handles {
            self.step()?;
        }
        self.names += path.as_os_str().len() + OVERHEAD;
        if self.names > MAX_NAMES {
            return Err(failed("write", path, io::Error::other("these are too many names")));
        }
        self.made.insert(path.to_owned(), Made { kind, is_pending: true });
        self.last += 1;
        let needs = path.parent().into_iter().chain(after).map(Path::to_owned).collect();
        let task = Task { path: path.to_owned(), needs, work, flying: 0 };
        self.tasks.insert(self.last, task);
        self.launch(self.last);
        Ok(self.last)
    }

    fn launch(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let made = &self.made;
        let is_pending = |path: &PathBuf| made.get(path).is_some_and(|made| made.is_pending);
        match task.needs.iter().find(|path| is_pending(path)) {
            Some(path) => self.blocked.entry(path.clone()).or_default().push(number),
            None => task.begin(number, below(&self.root, &task.path), &mut self.calls),
        }
    }

    /// The content of a file, from the archive.
    fn content(&mut self, number: u64) -> io::Result<()> {
        loop {
            let mut piece = vec![0; CHUNK];
            let mut filled = 0;
            while filled < piece.len() {
                match self.archive.read_content(&mut piece[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            piece.truncate(filled);
            while self.bytes > BYTES {
                self.step()?;
            }
            if filled > 0 {
                self.piece(number, piece);
            }
            if filled < CHUNK {
                self.complete(number);
                return Ok(());
            }
        }
    }

    fn piece(&mut self, number: u64, piece: Vec<u8>) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let Work::File(upload) = &mut task.work else { return };
        self.bytes += piece.len();
        let offset = upload.given;
        upload.given += piece.len() as u64;
        upload.waiting.push((offset, piece));
        task.send(number, &mut self.calls);
    }

    fn complete(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        if let Work::File(upload) = &mut task.work {
            upload.is_complete = true;
        }
        task.send(number, &mut self.calls);
    }

    /// Waits for one answer.
    fn step(&mut self) -> io::Result<()> {
        let (number, step, reply) = self.calls.patiently(&mut || self.archive.idle())?;
        if let Step::Write(length) = step {
            self.bytes = self.bytes.saturating_sub(length);
        }
        let Some(task) = self.tasks.get_mut(&number) else { return Ok(()) };
        let there = below(&self.root, &task.path);
        match task.take(number, step, reply, there, &mut self.calls) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.finished(number);
                Ok(())
            }
            Err(error) => {
                let path = task.path.clone();
                let path = self.shown(&path);
                let error = self.explained(error);
                Err(failed("write", path, error))
            }
        }
    }

    fn finished(&mut self, number: u64) {
        let Some(task) = self.tasks.remove(&number) else { return };
        if let Some(made) = self.made.get_mut(&task.path) {
            made.is_pending = false;
        }
        for number in self.blocked.remove(&task.path).unwrap_or_default() {
            self.launch(number);
        }
    }

    fn settle(&mut self) -> io::Result<()> {
        while !self.tasks.is_empty() {
            self.step()?;
        }
        Ok(())
    }

    /// Waits for all that is on its way, with one file still to be completed.
    fn settle_but(&mut self, number: u64) -> io::Result<()> {
        while self.calls.is_waiting() && self.tasks.contains_key(&number) {
            self.step()?;
        }
        Ok(())
    }

    /// OpenSSH says of a full disk nothing but `Failure`.
    fn explained(&mut self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::Other || !self.calls.features.statvfs {
            return error;
        }
        let mut farewell = farewell();
        if self.calls.drain(&mut farewell).is_err() {
            return error;
        }
        let parent = self.root.parent().unwrap_or(Path::new("."));
        let asked = self.calls.ask(Request::StatVfs(super::bytes(parent)), &mut farewell);
        match asked {
            Ok(Reply::Extended(body)) if is_full(&body) => Errno::NOSPC.into(),
            _ => error,
        }
    }

    pub(super) fn ask(&mut self, request: Request) -> io::Result<Reply> {
        self.calls.ask(request, &mut || self.archive.idle())
    }

    pub(super) fn batch(&mut self, requests: Vec<Request>) -> io::Result<Vec<Reply>> {
        self.calls.batch(requests, &mut || self.archive.idle())
    }

    pub(super) fn there(&self, path: &Path) -> Vec<u8> {
        below(&self.root, path)
    }

    /// A path as it is called in errors.
    fn shown(&self, path: &Path) -> PathBuf {
        shown(Path::new(self.archive.name()), path)
    }

    /// Removes all that was made.
    fn remove(&mut self) -> io::Result<()> {
        let mut farewell = farewell();
        self.calls.drain(&mut farewell)?;
        let is_directory = |made: &Made| matches!(made.kind, MadeKind::Directory(_));
        let (directories, others): (Vec<_>, Vec<_>) =
            self.made.iter().partition(|(_, made)| is_directory(made));
        let there = |path: &Path| below(&self.root, path);
        let own = Attributes::of_mode(OWN_DIRECTORY);
        let levels = levels(directories.iter().map(|(path, _)| path.as_path()));
        // Some may have their modes by now. Those above come first, and for removal last.
        for level in levels.values() {
            let open = level.iter().map(|path| Request::SetStat(there(path), own));
            self.calls.batch(open, &mut farewell)?;
        }
        let files = others.iter().map(|(path, _)| Request::Remove(there(path)));
        self.calls.batch(files, &mut farewell)?;
        for level in levels.values().rev() {
            let empty = level.iter().map(|path| Request::RmDir(there(path)));
            self.calls.batch(empty, &mut farewell)?;
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.remove()
        {
            tracing::debug!(name = ?self.root, %error, "a temporary file stays");
        }
    }
}

/// Paths by how deep they are.
pub(super) fn levels<'p>(
    paths: impl IntoIterator<Item = &'p Path>,
) -> BTreeMap<usize, Vec<&'p Path>> {
    let mut levels = BTreeMap::<usize, Vec<_>>::new();
    for path in paths {
        levels.entry(path.components().count()).or_default().push(path);
    }
    levels
}

fn farewell() -> impl FnMut() -> io::Result<()> {
    let mut left = FAREWELL;
    move || {
        left = left.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
        Ok(())
    }
}

/// Whether a file system has room for nothing more, by struct statvfs(3) as OpenSSH sends it: eleven numbers.
fn is_full(body: &[u8]) -> bool {
    let mut reader = super::packet::Reader(body);
    let mut numbers = [0; 11];
    for number in &mut numbers {
        match reader.u64() {
            Ok(read) => *number = read,
            Err(_) => return false,
        }
    }
    let [_, unit, all, _, available, files, _, available_files, ..] = numbers;
    let is_below = |available: u64, unit: u64| available.saturating_mul(unit) < CHUNK as u64;
    all > 0 && is_below(available, unit) || files > 0 && available_files == 0
}

/// Whole seconds, as far as the protocol has them: cut off.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX)
}

/// Whether a mode is that of a directory.
pub(super) fn is_directory(mode: u32) -> bool {
    mode & super::KIND == DIRECTORY
}

//! Files on their way from place to place: one thing and, if that is a directory, all that is below it.
//!
//! An [`Archive`] is what [`Place::get`](crate::Place::get) gives and [`Place::put`](crate::Place::put) takes. It is read
//! from a tar stream ([`Archive::from_tar`]) or from the file system ([`Archive::from_tree`]), entry by entry, and written
//! as a tar stream ([`Archive::into_tar`]) or into the file system ([`put_files`]).
//!
//! A tar stream comes from over there and may be hostile. What an [`Entry`] says has been checked: its path has no `..`, is
//! below the root, and is at most 4096 bytes; its mode has no set-id bits; its attributes are in `user.`. The root's name is the one that was asked for,
//! whatever the stream says. That no path leads through a symbolic link is seen to by who writes the entries.
//!
//! More is kept on request: [`Archive::preserving`] owners, extended attributes and holes. Less is copied by [`Archive::filtered`]
//! and [`Patterns`]; [`Sums`] and [`verify`] tell whether it has arrived.
//!
//! ```no_run
//! use thither_place::{Local, Place};
//!
//! let archive = Local.get("/etc/hosts".as_ref())?;
//! Local.put(archive, "/tmp".as_ref())?;   // becomes /tmp/hosts
//! # Ok::<(), thither_place::Error>(())
//! ```

mod header;
mod pax;
mod sparse;
mod preserve;
mod failed;
mod reader;
mod entry;
mod tree;
mod source;
mod filter;
mod patterns;
mod content;
mod packer;
mod destination;
mod extract;
mod merge;
mod remove;
mod paths;
mod spawned;
mod python;
mod told;
mod script;
mod talk;
mod sums;
mod probe;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub use destination::{check_files, put_files, temporary_name};
pub use header::Timestamp;
pub use packer::Tar;
pub use paths::{Named, named};
pub use patterns::{BadPattern, Patterns};
pub use preserve::{Attribute, CannotPreserve, Extra, Owner, Preserve};
pub use probe::{destination, target};
pub use source::{Entries, Found};
pub use sparse::Segment;
pub use spawned::{
    Attempt, Attempted, NAME_FUNCTIONS, get as get_by_command, get_preserving,
    put as put_by_command, try_put as try_put_by_command,
};
pub use sums::{Sums, Verified, verify};
pub use tree::Tree;

/// What is wrong with an entry that a link before it would lead elsewhere.
const THROUGH_LINK: &str = "leads through a symbolic link of the archive";

use content::Tap;
use entry::Roots;
use failed::cut_short;
use filter::Filter;
use reader::{Reader, patiently};
use source::Checked;
use told::{Asked, Told};

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the root; empty for the root itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its permission bits, and the sticky bit.
    pub mode: u32,
    /// When its content was changed last.
    pub modified: Timestamp,
    /// How many bytes its content has; 0 for all but a file.
    pub size: u64,
    /// What is kept on request only: see [`Archive::preserving`].
    pub extra: Extra,
}

/// What a thing in an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, whose content follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Symlink(PathBuf),
    /// Another name of the file at this path below the root, which came before.
    HardLink(PathBuf),
}

/// What happens while an archive is read.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An entry was met.
    Entry(&'a Entry),
    /// So many bytes of content were moved.
    Content(u64),
    /// Something is no part of the copy: a fifo, a socket, a device, or what vanished while it was read.
    LeftOut {
        /// Its path below the root.
        path: &'a Path,
        /// What it is, as in "a fifo".
        what: &'static str,
    },
    /// Nothing has happened for a while: the other end is slow.
    Idle,
}

/// What passes a [tap](Archive::tapped).
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// An entry.
    Entry(&'a Entry),
    /// What comes next of its content.
    Bytes(&'a [u8]),
    /// So many zeros, which come next of it.
    Zeros(u64),
}

/// Files on their way: see the [module](self).
///
/// Entries are read in order with [`next_entry`](Archive::next_entry), the content of a file with
/// [`read_content`](Archive::read_content).
pub struct Archive {
    name: OsString,
    source: Source,
    watch: Watch,
    /// Entries that were looked at before it was their turn.
    ahead: VecDeque<Entry>,
    roots: Roots,
    preserve: Preserve,
    filter: Option<Box<Filter>>,
    tap: Tap,
    /// How far the content of a file with holes was read.
    layout: Option<Box<sparse::Layout>>,
}

enum Source {
    Tar(Box<Reader<Bytes>>),
    /// What a command prints of which only its first byte says what it is.
    Command(Option<Box<(BufReader<Bytes>, Asked)>>),
    Tree(Box<Tree>),
    Entries(Box<Checked>),
}

type Bytes = Box<dyn Read + Send>;

/// Who is told what happens, and may end it by an error.
#[derive(Default)]
pub(crate) struct Watch(Option<Box<Watcher>>);

type Watcher = dyn FnMut(Event<'_>) -> io::Result<()> + Send;

impl Watch {
    pub(crate) fn tell(&mut self, event: Event<'_>) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |watcher| watcher(event))
    }

    fn idle(&mut self) -> io::Result<()> {
        self.tell(Event::Idle)
    }
}

impl Archive {
    fn new(name: OsString, source: Source) -> Archive {
        Archive {
            name,
            source,
            watch: Watch::default(),
            ahead: VecDeque::new(),
            roots: Roots::default(),
            preserve: Preserve::default(),
            filter: None,
            tap: Tap::default(),
            layout: None,
        }
    }

    /// The archive in a tar stream of what was asked for by this name; `.` for a directory without a name, such as `/`.
    ///
    /// The stream has to reach its end without an error: a place whose connection is lost, or whose command failed, gives
    /// one there. A read may give `WouldBlock` if there has been nothing for a while (as with `SO_RCVTIMEO`, socket(7)): then
    /// it is repeated, unless whoever watches ends it.
    pub fn from_tar(tar: impl Read + Send + 'static, name: impl Into<OsString>) -> Archive {
        Archive::new(name.into(), Source::Tar(Box::new(Reader::new(Box::new(tar)))))
    }

    /// What a command prints that packs by tar, or tells where there is none; it was asked for by this name.
    fn from_command(output: impl Read + Send + 'static, name: &OsStr, asked: Asked) -> Archive {
        let output: Bytes = Box::new(output);
        let command = Box::new((reader::buffered(output), asked));
        Archive::new(name.to_owned(), Source::Command(Some(command)))
    }

    /// What a tree of the file system holds.
    #[must_use]
    pub fn from_tree(tree: Tree) -> Archive {
        Archive::new(tree.name().to_owned(), Source::Tree(Box::new(tree)))
    }

    /// What a place tells entry by entry, of what was asked for by this name.
    pub fn from_entries(entries: impl Entries + 'static, name: impl Into<OsString>) -> Archive {
        let checked = Checked::new(Box::new(entries));
        Archive::new(name.into(), Source::Entries(Box::new(checked)))
    }

    /// Tells `watcher` what happens while it is read. An error from there ends it.
    #[must_use]
    pub fn watched(
        mut self,
        watcher: impl FnMut(Event<'_>) -> io::Result<()> + Send + 'static,
    ) -> Archive {
        self.watch = Watch(Some(Box::new(watcher)));
        self
    }

    /// The same, of which more is kept. To be said before it is read; what a place was not asked for it may not have told:
    /// see [`get_preserving`].
    #[must_use]
    pub fn preserving(mut self, preserve: Preserve) -> Archive {
        self.preserve = preserve;
        match &mut self.source {
            Source::Tar(reader) => reader.preserve = preserve,
            Source::Tree(tree) => tree.preserve(preserve),
            Source::Entries(_) | Source::Command(_) => {}
        }
        self
    }

    /// What of it is kept, which whoever takes it has to do or to refuse.
    #[must_use]
    pub fn preserve(&self) -> Preserve {
        self.preserve
    }

    /// The same without that for which `keep` says no; asked with a path below the root, and whether it is a directory, for all
    /// but the root. A directory that is not kept is left out with all that is below it, which of a tree of the file system
    /// is not even read.
    ///
    /// Another name of a file that was left out cannot be had from a stream, in which the content was the other's: it is
    /// an error.
    #[must_use]
    pub fn filtered(mut self, keep: impl FnMut(&Path, bool) -> bool + Send + 'static) -> Archive {
        self.filter = Some(Box::new(Filter::new(Box::new(keep))));
        self
    }

    /// Gives `tap` all that is read: each entry, and the content as it passes, with the zeros of holes.
    #[must_use]
    pub fn tapped(mut self, tap: impl FnMut(Part<'_>) + Send + 'static) -> Archive {
        self.tap = Tap::new(Box::new(tap));
        self
    }

    /// Whether it is read from the file system of this machine.
    #[must_use]
    pub fn is_tree(&self) -> bool {
        matches!(self.source, Source::Tree(_))
    }

    /// The name of its root: that which was asked for; `.` for a directory without a name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The same with another name of the root.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<OsString>) -> Archive {
        self.name = name.into();
        self
    }

    /// The root itself, which is still to come.
    ///
    /// # Errors
    /// As [`next_entry`](Archive::next_entry); `UnexpectedEof` for an archive without anything.
    pub fn root(&mut self) -> io::Result<&Entry> {
        if self.ahead.is_empty() {
            let first = self.pull()?.ok_or_else(cut_short)?;
            // `pull` may have put the entry there that a root was made up for.
            self.ahead.push_front(first);
        }
        Ok(&self.ahead[0])
    }

    /// The next entry: first the root, and directories before what is in them. What is left of the content of the one
    /// before is passed over. `None` at the end.
    ///
    /// # Errors
    /// `UnexpectedEof` for a stream that ends too soon, `InvalidData` for a bad archive; those of the stream, of the file
    /// system, and of who watches.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let next = self.next_kept()?;
        if let Some(entry) = &next {
            self.watch.tell(Event::Entry(entry))?;
            self.tap.entry(entry);
        }
        self.layout = next.as_ref().and_then(content::layout);
        Ok(next)
    }

    fn next_kept(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let next = match self.ahead.pop_front() {
                Some(entry) => Some(entry),
                None => self.pull()?,
            };
            let Some(mut entry) = next else { return Ok(None) };
            let has_none = entry.extra.owner.is_none();
            if self.preserve.owner && has_none && matches!(self.source, Source::Entries(_)) {
                return Err(CannotPreserve::Way.into());
            }
            entry.extra.only(self.preserve);
            // A tree has asked already.
            let filter = self.filter.as_mut().filter(|_| !matches!(self.source, Source::Tree(_)));
            let passes = match filter {
                Some(filter) => filter.passes(&entry)?,
                None => true,
            };
            if passes {
                return Ok(Some(entry));
            }
        }
    }

    /// Looks what a command prints: no archive begins with a NUL, but what a shell tells does.
    fn settle(&mut self) -> io::Result<()> {
        let Source::Command(command) = &mut self.source else { return Ok(()) };
        let waiting = command.as_mut().ok_or_else(cut_short)?;
        let first =
            patiently(&mut self.watch, || waiting.0.fill_buf().map(|it| it.first().copied()))?;
        let (mut output, asked) = *command.take().ok_or_else(cut_short)?;
        self.source = if first == Some(0) {
            output.consume(1);
            Source::Entries(Box::new(Checked::new(Box::new(Told::new(output, asked)))))
        } else {
            let mut reader = Reader::of(output);
            reader.preserve = self.preserve;
            Source::Tar(Box::new(reader))
        };
        Ok(())
    }

    fn pull(&mut self) -> io::Result<Option<Entry>> {
        self.settle()?;
        match &mut self.source {
            Source::Tree(tree) => tree.next(&mut self.watch, self.filter.as_deref_mut()),
            Source::Entries(entries) => entries.next(&mut self.watch),
            Source::Command(_) => Ok(None),
            Source::Tar(reader) => loop {
                let Some(header) = reader.next(&mut self.watch)? else { return Ok(None) };
                if let Some(entry) = self.roots.entry(header, &mut self.watch)? {
                    let root = self.roots.made_up_root(&entry);
                    if let Some(root) = root {
                        self.ahead.push_back(entry);
                        return Ok(Some(root));
                    }
                    return Ok(Some(entry));
                }
            },
        }
    }

    /// Reads from the content of the file that [`next_entry`](Archive::next_entry) gave; 0 at its end, which comes after
    /// exactly as many bytes as its size says.
    ///
    /// # Errors
    /// As `next_entry`.
    pub fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.layout {
            Some(_) => self.read_with_holes(buf)?,
            None => self.read_source(buf)?,
        };
        self.tap.bytes(&buf[..read]);
        Ok(read)
    }

    fn read_source(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.source {
            Source::Tree(tree) => tree.read_content(buf)?,
            Source::Tar(reader) => reader.read_content(buf, &mut self.watch)?,
            Source::Entries(entries) => entries.read_content(buf, &mut self.watch)?,
            Source::Command(_) => 0,
        };
        if read > 0 {
            self.watch.tell(Event::Content(read as u64))?;
        }
        Ok(read)
    }

    /// The file that the content comes from, if the kernel can copy it by itself and nobody wants to see it, and whom to tell.
    fn content_file(&mut self) -> Option<(&File, &mut Watch)> {
        match &mut self.source {
            Source::Tree(tree) if self.tap.is_closed() => {
                tree.content_file().map(|file| (file, &mut self.watch))
            }
            _ => None,
        }
    }

    /// Says that the kernel has copied it all.
    fn check_content(&mut self) -> io::Result<()> {
        match &mut self.source {
            Source::Tree(tree) => tree.check_content(),
            Source::Tar(_) | Source::Entries(_) | Source::Command(_) => Ok(()),
        }
    }

    /// Tells who watches that nothing can be done at the moment.
    ///
    /// # Errors
    /// Theirs.
    pub fn idle(&mut self) -> io::Result<()> {
        self.watch.idle()
    }

    /// As a tar stream that every tar reads: paths begin with the root's name, and end with the two blocks that end an
    /// archive. The owner is 0 unless it is [preserved](Archive::preserving), times are exact (but see
    /// [`Tar::whole_seconds`]).
    #[must_use]
    pub fn into_tar(self) -> Tar {
        Tar::new(self)
    }

    /// The device and inode of what it is read from, if it is read from the file system.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        match &self.source {
            Source::Tree(tree) => tree.identity(),
            Source::Tar(_) | Source::Entries(_) | Source::Command(_) => None,
        }
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = match &self.source {
            Source::Tar(_) => "tar",
            Source::Tree(_) => "tree",
            Source::Entries(_) => "entries",
            Source::Command(_) => "command",
        };
        f.debug_struct("Archive").field("name", &self.name).field("source", &source).finish()
    }
}

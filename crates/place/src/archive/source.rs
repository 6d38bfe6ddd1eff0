//! An archive made of what a place tells, entry by entry, where it speaks neither tar nor is a file system.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::entry::KEPT_MODE;
use super::failed::{bad_entry, cut_short};
use super::reader::{MAX_NAME, patiently};
use super::{Entry, Event, Kind, Watch};

/// What [`Archive::from_entries`](super::Archive::from_entries) reads from. It comes from over there and is checked as a
/// tar stream is: a path that goes up or a content that ends too soon is an error of the archive.
///
/// Both methods may give `WouldBlock` if there has been nothing for a while: then they are called again, unless whoever
/// watches ends it.
pub trait Entries: Send {
    /// The next entry: first the root, and directories before what is in them. `None` at the end.
    ///
    /// # Errors
    /// Those of the way there.
    fn next_entry(&mut self) -> io::Result<Option<Found>>;

    /// Reads from the content of the file that was the last entry; 0 at its end. What is not read is passed over.
    ///
    /// # Errors
    /// Those of the way there.
    fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize>;
}

/// What [`Entries`] meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something that is copied.
    Entry(Entry),
    /// Something that is no part of the copy.
    LeftOut {
        /// Its path below the root.
        path: PathBuf,
        /// What it is, as in "a fifo".
        what: &'static str,
    },
}

/// Entries that are checked.
pub(super) struct Checked {
    entries: Box<dyn Entries>,
    /// Whether the root is a directory, once it was met.
    root: Option<bool>,
    /// What is left of the last entry's content.
    left: u64,
}

impl Checked {
    pub(super) fn new(entries: Box<dyn Entries>) -> Checked {
        Checked { entries, root: None, left: 0 }
    }

    pub(super) fn next(&mut self, watch: &mut Watch) -> io::Result<Option<Entry>> {
        self.left = 0;
        loop {
            match patiently(watch, || self.entries.next_entry())? {
                None if self.root.is_none() => return Err(cut_short()),
                None => return Ok(None),
                Some(Found::LeftOut { path, what }) => {
                    watch.tell(Event::LeftOut { path: &path, what })?;
                }
                Some(Found::Entry(entry)) => return self.check(entry).map(Some),
            }
        }
    }

    fn check(&mut self, mut entry: Entry) -> io::Result<Entry> {
        check_path(&entry.path)?;
        let is_root = entry.path.as_os_str().is_empty();
        match (self.root, is_root) {
            (None, true) => self.root = Some(entry.kind == Kind::Directory),
            (Some(true), false) => {}
            _ => {
                let what = "comes before the root, or after a root that is no directory";
                return Err(bad_entry(&entry.path, what));
            }
        }
        match &entry.kind {
            Kind::HardLink(path) => check_path(path)?,
            Kind::Symlink(text) if is_bad_text(text) => {
                return Err(bad_entry(&entry.path, "is a symbolic link with a bad text"));
            }
            _ => {}
        }
        if entry.kind != Kind::File {
            entry.size = 0;
        }
        if i64::try_from(entry.size).is_err() {
            return Err(bad_entry(&entry.path, "has a size that is too great"));
        }
        entry.mode &= KEPT_MODE;
        // Of holes it does not tell.
        entry.extra.data = None;
        self.left = entry.size;
        Ok(entry)
    }

    pub(super) fn read_content(&mut self, buf: &mut [u8], watch: &mut Watch) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = patiently(watch, || self.entries.read_content(&mut buf[..most]))?;
        if read == 0 || read > most {
            return Err(cut_short());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn is_bad_text(text: &Path) -> bool {
    let bytes = text.as_os_str().as_encoded_bytes();
    bytes.is_empty() || bytes.len() > MAX_NAME || bytes.contains(&0)
}

/// Refuses all but names joined by single slashes.
fn check_path(path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        return Ok(());
    }
    if bytes.len() > MAX_NAME {
        return Err(bad_entry(path, "has a name that is too long"));
    }
    if bytes.contains(&0) {
        return Err(bad_entry(path, "has a NUL in its name"));
    }
    let is_plain = bytes.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"."));
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    match is_plain && stays {
        true => Ok(()),
        false => Err(bad_entry(path, "is no path below the root")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Archive;
    use crate::archive::{Extra, Timestamp};

    /// Entries from a list; the content of each has three bytes.
    struct List(std::vec::IntoIter<Entry>, u64);

    impl Entries for List {
        fn next_entry(&mut self) -> io::Result<Option<Found>> {
            Ok(self.0.next().map(|entry| {
                self.1 = 3;
                Found::Entry(entry)
            }))
        }

        fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let read = buf.len().min(self.1 as usize);
            self.1 -= read as u64;
            Ok(read)
        }
    }

    fn entry(path: &str, kind: Kind, size: u64) -> Entry {
        let (modified, extra) = (Timestamp::default(), Extra::default());
        Entry { path: path.into(), kind, mode: 0o104755, modified, size, extra }
    }

    /// What an archive of these entries gives.
    #[track_caller]
    fn check(entries: Vec<Entry>, expected: &str) {
        let mut archive = Archive::from_entries(List(entries.into_iter(), 0), "root");
        let mut text = Vec::new();
        let read = |archive: &mut Archive, text: &mut Vec<String>| -> io::Result<()> {
            while let Some(entry) = archive.next_entry()? {
                let mut content = [0; 16];
                let mut length = 0;
                while length as u64 != entry.size {
                    length += archive.read_content(&mut content)?;
                }
                text.push(format!("{} {:o} {length}", entry.path.display(), entry.mode));
            }
            Ok(())
        };
        if let Err(error) = read(&mut archive, &mut text) {
            text.push(error.to_string());
        }
        assert_eq!(text.join(", "), expected);
    }

    #[test]
    fn entries_are_checked() {
        let root = || entry("", Kind::Directory, 9);
        let in_root = |path| vec![root(), entry(path, Kind::File, 3)];
        check(in_root("a/b"), " 755 0, a/b 755 3");
        check(vec![], "the stream ended before the archive did");
        for path in ["..", "a/../b", "/a", "a//b", "./a", "a/.", "a/"] {
            let refused = format!(" 755 0, bad archive: `{path}` is no path below the root");
            check(in_root(path), &refused);
        }
        check(in_root("a\0"), " 755 0, bad archive: `a\\u{0}` has a NUL in its name");
        let late = "comes before the root, or after a root that is no directory";
        check(vec![entry("a", Kind::File, 0)], &format!("bad archive: `a` {late}"));
        let file = || entry("", Kind::File, 3);
        check(vec![file(), entry("a", Kind::File, 0)], &format!(" 755 3, bad archive: `a` {late}"));
        check(vec![root(), root()], &format!(" 755 0, bad archive: `` {late}"));
        let huge = entry("", Kind::File, u64::MAX);
        check(vec![huge], "bad archive: `` has a size that is too great");
        check(vec![entry("", Kind::File, 4)], "the stream ended before the archive did");
        let link = entry("l", Kind::Symlink("".into()), 0);
        let refused = " 755 0, bad archive: `l` is a symbolic link with a bad text";
        check(vec![root(), link], refused);
        let link = entry("l", Kind::HardLink("../x".into()), 0);
        check(vec![root(), link], " 755 0, bad archive: `../x` is no path below the root");
    }
}

//! A place's own way for the files of an interpreter.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thither_place::archive::{Entries, Entry, Extra, Found, Kind, Timestamp};
use thither_place::{Archive, Place};
use thither_python::{Files, Going};

/// Files by [`Place::get`] and [`Place::put`].
pub(super) struct OwnFiles(pub(super) Arc<dyn Place>);

impl fmt::Debug for OwnFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnFiles")
    }
}

impl OwnFiles {
    /// The regular file of this path, and its content to come.
    fn file(&self, path: &Path, going: Going) -> io::Result<(Entry, Archive)> {
        let archive = self.0.get(path).map_err(io::Error::other)?;
        let mut archive = archive.watched(move |_| going.check());
        match archive.next_entry()? {
            Some(entry) if entry.kind == Kind::File => Ok((entry, archive)),
            _ => Err(io::Error::other("not the regular file that it is over there")),
        }
    }
}

impl Files for OwnFiles {
    fn read(
        &self,
        path: &Path,
        size: u64,
        changed: i64,
        going: Going,
    ) -> io::Result<Box<dyn Read>> {
        let (entry, archive) = self.file(path, going)?;
        match entry.size == size && is_time(entry.modified, changed) {
            true => Ok(Box::new(Content(archive))),
            false => Err(io::Error::other("another file than over there")),
        }
    }

    fn write(
        &self,
        path: &Path,
        known: &Path,
        size: u64,
        content: Box<dyn Read + Send>,
        going: Going,
    ) -> io::Result<()> {
        self.file(known, going.clone())?;
        let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
        let entry = Entry {
            path: PathBuf::new(),
            kind: Kind::File,
            mode: 0o600,
            modified: Timestamp::default(),
            size,
            extra: Extra::default(),
        };
        let archive = Archive::from_entries(One { entry: Some(entry), content }, name);
        self.0.put(archive.watched(move |_| going.check()), path).map_err(io::Error::other)
    }
}

/// Whether it is that time, in nanoseconds since 1970, as far as a place tells: some know whole seconds.
fn is_time(found: Timestamp, changed: i64) -> bool {
    let rest = changed.rem_euclid(1_000_000_000);
    found.seconds == changed.div_euclid(1_000_000_000)
        && (found.nanoseconds == 0 || i64::from(found.nanoseconds) == rest)
}

/// The content of an archive's file.
struct Content(Archive);

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_content(buffer)
    }
}

/// An archive of one file.
struct One {
    entry: Option<Entry>,
    content: Box<dyn Read + Send>,
}

impl Entries for One {
    fn next_entry(&mut self) -> io::Result<Option<Found>> {
        Ok(self.entry.take().map(Found::Entry))
    }

    fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: i64, nanoseconds: u32, changed: i64, expected: bool) {
        assert_eq!(is_time(Timestamp { seconds, nanoseconds }, changed), expected);
    }

    #[test]
    fn times_as_far_as_they_are_told() {
        check(1, 5, 1_000_000_005, true);
        check(1, 6, 1_000_000_005, false);
        check(1, 0, 1_000_000_005, true);
        check(2, 0, 1_000_000_005, false);
        check(-1, 999_999_999, -1, true);
        check(-1, 0, -1, true);
        check(0, 0, -1, false);
    }
}

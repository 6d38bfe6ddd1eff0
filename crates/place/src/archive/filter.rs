//! What is left out of an archive because somebody does not want it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use super::failed::bad_entry;
use super::{Entry, Kind};

/// How many files may be left out of a stream that has other names of files: 8 to 16 bytes of memory are needed for each.
const MAX_LEFT_OUT: usize = 4 << 20;

type Keep = dyn FnMut(&Path, bool) -> bool + Send;

/// See [`Archive::filtered`](super::Archive::filtered).
pub(super) struct Filter {
    keep: Box<Keep>,
    /// What was left out, by hashes that nobody outside can foresee: directories, and files that may have other names.
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Filter {
    pub(super) fn new(keep: Box<Keep>) -> Filter {
        Filter { keep, hashes: HashSet::new(), state: RandomState::new() }
    }

    /// Whether what was met in a tree of the file system is kept. What is below a directory is not met if that is not kept.
    pub(super) fn keeps(&mut self, path: &Path, is_directory: bool) -> bool {
        path.as_os_str().is_empty() || (self.keep)(path, is_directory)
    }

    /// Whether an entry of a stream is kept.
    ///
    /// # Errors
    /// When it is another name of what was left out.
    pub(super) fn passes(&mut self, entry: &Entry) -> io::Result<bool> {
        let above = entry.path.ancestors().skip(1);
        let is_below = !self.hashes.is_empty()
            && above.map(|path| self.state.hash_one(path)).any(|hash| self.hashes.contains(&hash));
        if is_below || !self.keeps(&entry.path, entry.kind == Kind::Directory) {
            if self.hashes.len() >= MAX_LEFT_OUT {
                return Err(bad_entry(&entry.path, "is one too many to be left out"));
            }
            self.hashes.insert(self.state.hash_one(entry.path.as_path()));
            return Ok(false);
        }
        match &entry.kind {
            Kind::HardLink(path) if self.hashes.contains(&self.state.hash_one(path.as_path())) => {
                let text = format!(
                    "{} is another name of {}, which is left out, and has no content of its own",
                    crate::error::quoted(&entry.path),
                    crate::error::quoted(path)
                );
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            _ => Ok(true),
        }
    }
}

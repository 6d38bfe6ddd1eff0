//! The names in one directory over there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thither_place::error::quoted;

use super::calls::{Calls, Step};
use super::failed::{broken, unexpected};
use super::packet::{Attributes, Reply, Request, code};
use super::{below, os};

/// How many directories are listed at once.
const LISTINGS: usize = 16;
/// How many parts of a list are asked for at once, at most.
const PARTS: usize = 16;
/// How much memory names may take that were listed and not yet visited, in bytes.
const MAX_NAMES: usize = 64 << 20;
/// What a name takes beside its bytes.
const OVERHEAD: usize = 128;
/// While so many names wait, no directory more is listed.
const ENOUGH: usize = 4096;
/// The longest path, as in `place::archive`.
const MAX_PATH: usize = 4096;

/// A directory that is being listed.
#[derive(Debug)]
struct Listing {
    path: PathBuf,
    handle: Option<Vec<u8>>,
    /// How many parts are on their way, and how many there may be.
    flying: usize,
    most: usize,
    ended: bool,
}

/// All directories that are, or are to be.
#[derive(Debug, Default)]
pub(super) struct Listings {
    todo: Vec<PathBuf>,
    listings: HashMap<u64, Listing>,
    /// What was found and not yet visited.
    found: std::collections::VecDeque<(PathBuf, Attributes)>,
    memory: usize,
}

impl Listings {
    pub(super) fn add(&mut self, directory: PathBuf) {
        self.memory += memory(&directory);
        self.todo.push(directory);
    }

    /// What comes next, if `wanted` says so.
    pub(super) fn next(
        &mut self,
        wanted: impl FnOnce(&Attributes) -> bool,
    ) -> Option<(PathBuf, Attributes)> {
        let next = self.found.pop_front_if(|(_, attributes)| wanted(attributes))?;
        self.memory -= memory(&next.0);
        Some(next)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.todo.is_empty() && self.listings.is_empty()
    }

    /// Begins to list more directories, with numbers from `number`.
    pub(super) fn begin(&mut self, number: &mut u64, root: &Path, calls: &mut Calls) {
        while self.listings.len() < LISTINGS && self.found.len() < ENOUGH {
            let Some(path) = self.todo.pop() else { return };
            self.memory -= memory(&path);
            *number += 1;
            calls.call(*number, Step::List, &Request::OpenDir(below(root, &path)));
            let (handle, most) = (None, 2);
            let listing = Listing { path, handle, flying: 0, most, ended: false };
            self.listings.insert(*number, listing);
        }
    }

    /// An answer about a directory. A path that could not be listed is given back, with the reason.
    pub(super) fn take(
        &mut self,
        number: u64,
        reply: Reply,
        calls: &mut Calls,
    ) -> Result<(), (PathBuf, io::Error)> {
        let Some(listing) = self.listings.get_mut(&number) else { return Ok(()) };
        let is_part = listing.handle.is_some();
        listing.flying -= usize::from(is_part);
        let taken = match reply {
            Reply::Handle(handle) if !is_part => {
                listing.handle = Some(handle);
                Ok(Vec::new())
            }
            Reply::Names(names) if is_part && !names.is_empty() => {
                listing.most = (listing.most * 2).min(PARTS);
                Ok(names)
            }
            Reply::Status { code: code::EOF, .. } if is_part => {
                listing.ended = true;
                Ok(Vec::new())
            }
            Reply::Names(_) if is_part => Err(broken("lists nothing, again and again")),
            other => Err(unexpected(other)),
        };
        let path = listing.path.clone();
        let names = match taken {
            Ok(names) => names,
            Err(error) => {
                let listing = self.listings.remove(&number);
                if let Some(handle) = listing.and_then(|listing| listing.handle) {
                    calls.call(0, Step::Forget, &Request::Close(handle));
                }
                return Err((path, error));
            }
        };
        self.ask(number, calls);
        for (name, attributes) in names {
            if matches!(&name[..], b"." | b"..") {
                continue;
            }
            let below = path.join(check_name(&name).map_err(|error| (path.clone(), error))?);
            self.memory += memory(&below);
            if below.as_os_str().len() > MAX_PATH {
                let text = "a path in it is too long";
                return Err((path, io::Error::new(io::ErrorKind::InvalidFilename, text)));
            }
            if self.memory > MAX_NAMES {
                return Err((path, io::Error::other("too many names are in it")));
            }
            self.found.push_back((below, attributes));
        }
        Ok(())
    }

    /// Asks for more of a directory, or closes it.
    fn ask(&mut self, number: u64, calls: &mut Calls) {
        let Some(listing) = self.listings.get_mut(&number) else { return };
        let Some(handle) = &listing.handle else { return };
        while !listing.ended && listing.flying < listing.most {
            listing.flying += 1;
            calls.call(number, Step::List, &Request::ReadDir(handle.clone()));
        }
        if listing.ended && listing.flying == 0 {
            calls.call(0, Step::Forget, &Request::Close(handle.clone()));
            self.listings.remove(&number);
        }
    }
}

fn memory(path: &Path) -> usize {
    path.as_os_str().len() + OVERHEAD
}

/// One name: a server could say any.
fn check_name(name: &[u8]) -> io::Result<&OsStr> {
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        let shown = quoted(os(&name[..name.len().min(256)]));
        return Err(broken(format_args!("says that {shown} is a name")));
    }
    Ok(OsStr::from_bytes(name))
}

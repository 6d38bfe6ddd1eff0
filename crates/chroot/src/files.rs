//! Files to and from a root, by the file system: no process, nothing mounted, no namespace.
//!
//! Every path is resolved inside the root, and whoever copies does it with their own rights. What only a command sees is left
//! to one (see [`thither_place::archive::get_by_command`]): an overlay, what is mounted at or above the path, another user.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use thither_place::archive::{Archive, Tree, get_by_command, named, put_by_command, put_files};
use thither_place::error::quoted;
use thither_place::{Error, Result};

use crate::root::Root;
use crate::{Chroot, Mount, Overlay, Source};

/// How files at a path are to be had.
enum Way<'a> {
    /// By the file system.
    Files,
    /// By a command, as nothing else sees them.
    Command,
    /// By a command, for which this is mounted there.
    Mounted(&'a Mount),
}

impl Chroot {
    pub(crate) fn get_files(&self, path: &Path) -> Result<Archive> {
        let root = self.open_root(0)?;
        let path = &self.inside(path);
        match self.way(&root, path) {
            Way::Command | Way::Mounted(_) => get_by_command(self, path),
            Way::Files => {
                let named = named(path);
                let dir = open_directory(&root, named.dir)
                    .map_err(|source| self.copy_failed("from", path, source, None))?;
                Ok(Archive::from_tree(Tree::at(dir, named.name)))
            }
        }
    }

    pub(crate) fn put_files(&self, archive: Archive, path: &Path) -> Result<()> {
        let root = self.open_root(0)?;
        let path = &self.inside(path);
        let failed = |source, hint| Err(self.copy_failed("to", path, source, hint));
        if self.overlay == Some(Overlay::Vanish) {
            let text = "what is written in its overlay would vanish at once";
            let hint = "keep it with `overlay=DIR`, or leave the overlay out";
            return failed(io::Error::other(text), Some(hint));
        }
        match self.way(&root, path) {
            Way::Mounted(Mount { source: Source::Tmpfs(_), .. }) => {
                let text = "what is mounted there is in memory and ends with each command";
                failed(io::Error::other(text), None)
            }
            Way::Command | Way::Mounted(_) => put_by_command(self, archive, path),
            Way::Files if self.read_only => {
                failed(Errno::ROFS.into(), Some("leave `read-only` out"))
            }
            Way::Files => put_files(archive, path, &|path| open_directory(&root, path))
                .or_else(|source| failed(source, None)),
        }
    }

    /// A path from where commands start.
    fn inside(&self, path: &Path) -> PathBuf {
        let dir = self.dir.as_deref().unwrap_or(Path::new("/"));
        match path.as_os_str().is_empty() {
            true => dir.to_owned(),
            false => dir.join(path),
        }
    }

    fn way(&self, root: &Root, path: &Path) -> Way<'_> {
        let named = named(path);
        let real = root.real_path(named.dir).unwrap_or_else(|_| named.dir.to_owned());
        let real = if named.name == "." { real } else { real.join(named.name) };
        // The last name may be a link to a directory, into which something goes.
        let followed = root.real_path(path).unwrap_or_else(|_| real.clone());
        let covers = |mount: &&Mount| {
            let point = self.mount_point(root, mount);
            point.is_some_and(|point| real.starts_with(&point) || followed.starts_with(&point))
        };
        // The later is over the earlier.
        match self.mounts.iter().rev().find(covers) {
            Some(mount) => Way::Mounted(mount),
            None if self.overlay.is_some() || self.user.is_some() => Way::Command,
            None => Way::Files,
        }
    }

    fn mount_point(&self, root: &Root, mount: &Mount) -> Option<PathBuf> {
        let path = match (mount.fixed_destination(), &mount.source) {
            (Some(path), _) => path.to_owned(),
            (None, Source::Variable(name)) => std::env::var_os(name)?.into(),
            (None, _) => return None,
        };
        root.real_path(&path).ok()
    }

    fn copy_failed(
        &self,
        direction: &str,
        path: &Path,
        source: io::Error,
        hint: Option<&str>,
    ) -> Error {
        // As in the operand of a copy.
        let mut name = std::ffi::OsString::from(self.address());
        name.push("::");
        name.push(path);
        let action = format!("copy {direction} {}", quoted(name));
        Error::Copy { action, source: Box::new(source), hint: hint.map(str::to_owned) }
    }
}

fn open_directory(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    root.open_inside(path, OFlags::PATH | OFlags::DIRECTORY)
}

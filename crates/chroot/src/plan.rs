//! From the list of mounts to what is attached: sources found, mount points made ready.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use thither_place::error::quoted;
use thither_place::launch::c_string;
use thither_place::{Error, Result};

use crate::attach::{FileSystem, Missing, PlannedMount, What};
use crate::mount_points::{MountPoints, exists};
use crate::overlay::PlannedOverlay;
use crate::root::{Root, parts, relative};
use crate::{Chroot, Mount, Source};

/// A mount whose source is there.
struct Found<'a> {
    index: u16,
    mount: &'a Mount,
    /// The file of a bind.
    path: Option<PathBuf>,
    destination: PathBuf,
    is_dir: bool,
    lacking: Vec<Missing>,
}

impl Chroot {
    /// What there is to mount, its mount points made ready: in the overlay, if there is one, else in the root. Without
    /// a record none can be made there, and none has to be removed.
    pub(crate) fn plan_mounts(
        &self,
        root: &Root,
        overlay: Option<&mut PlannedOverlay>,
    ) -> Result<(Vec<PlannedMount>, Option<MountPoints>)> {
        let mut found: Vec<Found<'_>> = Vec::new();
        for (index, mount) in (0..).zip(&self.mounts) {
            match self.find(root, index, mount)? {
                Some(mount) => found.push(mount),
                None => {
                    tracing::debug!(mount = describe(mount), "left out: nothing is there to mount");
                }
            }
        }
        let mut points = match overlay {
            Some(overlay) => Points::Overlay(overlay),
            None => match MountPoints::open(root) {
                // Whoever is removing them just now would do so under us.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(self.failed("use the mount points", error));
                }
                record => Points::Root(record),
            },
        };
        let mut ready_ones = Vec::new();
        for nth in 0..found.len() {
            let shown = shown_by(&found[..nth], &found[nth].destination);
            if let Some(Shown::Empty(there)) = &shown
                && found[nth].mount.create
            {
                found[nth].lack(there).map_err(|error| self.failed("mount", error))?;
            }
            let mount = &found[nth];
            let ready = match shown {
                // What will be there is what the earlier mount shows, and not the root's to change.
                Some(Shown::File(inside)) => inside.exists() && inside.is_dir() == mount.is_dir,
                Some(Shown::Empty(there)) => {
                    mount.mount.create || is_made_for(&found[..nth], &there, &mount.destination)
                }
                None => {
                    self.make_ready(root, mount, &mut points).map(|()| true).or_else(|error| {
                        tracing::debug!(mount = describe(mount.mount), %error, "left out");
                        mount.mount.optional.then_some(false).ok_or(error)
                    })?
                }
            };
            if ready {
                tracing::debug!(mount = describe(mount.mount), "plan");
                ready_ones.push(nth);
            } else if !mount.mount.optional {
                return Err(self.hidden(mount));
            }
        }
        let planned = found.into_iter().enumerate().filter(|(nth, _)| ready_ones.contains(nth));
        let planned: io::Result<Vec<_>> = planned.map(|(_, mount)| mount.planned()).collect();
        let planned = planned.map_err(|error| self.failed("mount", error))?;
        let record = match points {
            Points::Overlay(_) => None,
            Points::Root(record) => record.ok(),
        };
        Ok((planned, record))
    }

    /// A mount with its source looked up; `None` if there is none and it is optional.
    fn find<'a>(&self, root: &Root, index: u16, mount: &'a Mount) -> Result<Option<Found<'a>>> {
        let path = match &mount.source {
            Source::Proc | Source::Sysfs | Source::Tmpfs(_) => None,
            Source::Path(path) => Some(path.clone()),
            Source::Variable(name) => match std::env::var_os(name) {
                Some(value) if !value.is_empty() => Some(value.into()),
                _ if mount.optional => return Ok(None),
                _ => {
                    return Err(Error::Place {
                        action: format!("mount {}", describe(mount)),
                        place: self.address(),
                        source: "the variable is not set here".into(),
                        hint: Some("set it, or leave the mount out".into()),
                    });
                }
            },
        };
        // Where we are may be elsewhere by the time it is mounted.
        let path = path
            .map(std::path::absolute)
            .transpose()
            .map_err(|source| self.failed(format!("mount {}", describe(mount)), source))?;
        let is_dir = match path.as_deref().map(std::fs::metadata) {
            None => true,
            Some(Ok(metadata)) => metadata.is_dir(),
            Some(Err(error)) if mount.optional && is_absence(&error) => return Ok(None),
            Some(Err(error)) => {
                return Err(self.failed(format!("mount {}", describe(mount)), error));
            }
        };
        let destination = mount.fixed_destination().map(Path::to_owned);
        let destination = destination.or_else(|| path.clone()).unwrap_or_default();
        let destination = Path::new("/").join(relative_path(&destination));
        let destination = match without_dots(root, &destination) {
            Err(error) if mount.optional && is_absence(&error) => return Ok(None),
            other => other.map_err(|error| {
                let path = quoted(root.display(&destination));
                self.failed(format!("use the mount point {path}"), error)
            })?,
        };
        if parts(&destination).next().is_none() {
            return Err(Error::Place {
                action: format!("mount {}", describe(mount)),
                place: self.address(),
                source: "it would hide the whole root".into(),
                hint: Some("name a path below `/`".into()),
            });
        }
        Ok(Some(Found { index, mount, path, destination, is_dir, lacking: Vec::new() }))
    }

    fn make_ready(&self, root: &Root, mount: &Found<'_>, points: &mut Points<'_>) -> Result<()> {
        let path = quoted(root.display(&mount.destination));
        if let Points::Overlay(overlay) = points {
            overlay.hides(&mount.destination);
        }
        let there = exists(root, &mount.destination, mount.is_dir)
            .map_err(|source| self.failed(format!("use the mount point {path}"), source))?;
        if there {
            return Ok(());
        }
        let made = match points {
            _ if !mount.mount.create => Err(Errno::NOENT.into()),
            Points::Root(Ok(points)) => points.make(root, &mount.destination, mount.is_dir),
            Points::Root(Err(error)) => {
                Err(io::Error::new(error.kind(), format!("no record of it: {error}")))
            }
            Points::Overlay(overlay) => root
                .real_path(&mount.destination)
                .and_then(|path| overlay.lacks(&path, mount.is_dir)),
        };
        made.map_err(|source| {
            let once = if mount.is_dir { "mkdir -p" } else { "touch" };
            let hint = match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => {
                    "make it where the root can be written to, or lay an overlay over the root"
                        .to_owned()
                }
                _ if !mount.mount.create => format!("make it, with {once}, or let it be made"),
                _ => format!("make it once, with {once}, or run this as root"),
            };
            Error::Place {
                action: format!("make the missing mount point {path}"),
                place: self.address(),
                source: Box::new(source),
                hint: Some(hint),
            }
        })
    }

    fn hidden(&self, mount: &Found<'_>) -> Error {
        Error::Place {
            action: format!("mount {}", describe(mount.mount)),
            place: self.address(),
            source: "an earlier mount is there, and has no such mount point".into(),
            hint: Some("mount it elsewhere, or before".into()),
        }
    }
}

/// Where mount points are made that the root lacks.
enum Points<'a> {
    Root(io::Result<MountPoints>),
    Overlay(&'a mut PlannedOverlay),
}

/// What an earlier mount will show at a path.
enum Shown {
    /// This file of this machine.
    File(PathBuf),
    /// Nothing but what we make there: it is a new file system at this path.
    Empty(PathBuf),
}

/// What earlier mounts will show at a destination, if one of them covers it.
fn shown_by(earlier: &[Found<'_>], destination: &Path) -> Option<Shown> {
    earlier.iter().rev().find_map(|mount| {
        let rest = destination.strip_prefix(&mount.destination).ok()?;
        if rest == Path::new("") {
            return None;
        }
        Some(match (&mount.path, &mount.mount.source) {
            (Some(path), _) => Shown::File(path.join(rest)),
            // The kernel's own: this machine's is as good a guess as any.
            (None, Source::Proc) => Shown::File(Path::new("/proc").join(rest)),
            (None, Source::Sysfs) => Shown::File(Path::new("/sys").join(rest)),
            (None, _) => Shown::Empty(mount.destination.clone()),
        })
    })
}

/// Whether what an earlier mount needs in an empty file system at `there` is made at a destination too.
fn is_made_for(earlier: &[Found<'_>], there: &Path, destination: &Path) -> bool {
    let after = earlier.iter().rev().take_while(|mount| mount.destination != there);
    after.into_iter().any(|mount| mount.destination.starts_with(destination))
}

/// A destination without `..`, up to the last of which the root's links are followed: what is compared with others
/// and made in a file system of ours may not lead out of it.
fn without_dots(root: &Root, destination: &Path) -> io::Result<PathBuf> {
    let parts: Vec<_> = destination.components().collect();
    let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) else {
        return Ok(destination.to_owned());
    };
    let (up, down) = parts.split_at(last + 1);
    Ok(root.real_path(&up.iter().collect::<PathBuf>())?.join(down.iter().collect::<PathBuf>()))
}

impl Found<'_> {
    /// Notes what an empty file system at `there` lacks for this one.
    fn lack(&mut self, there: &Path) -> io::Result<()> {
        let below = self.destination.strip_prefix(there).unwrap_or(&self.destination);
        let there = c_string("mount point", relative(there.as_os_str()))?;
        self.lacking = vec![Missing { path: there, dir: true }];
        self.lacking.extend(Missing::below(Path::new(""), below, self.is_dir)?);
        Ok(())
    }

    fn planned(self) -> io::Result<PlannedMount> {
        let base = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let new = |kind: &std::ffi::CStr, flags, options| {
            What::New(FileSystem { kind: kind.to_owned(), flags, options })
        };
        let noexec = base | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let what = match (&self.mount.source, &self.path) {
            (Source::Proc, _) => new(c"proc", noexec, Vec::new()),
            (Source::Sysfs, _) => new(c"sysfs", noexec, Vec::new()),
            (Source::Tmpfs(text), _) => {
                new(c"tmpfs", base, tmpfs_options(text.as_deref().unwrap_or_default())?)
            }
            (Source::Path(path), None) => bind(path, self.mount.recursive)?,
            (_, Some(path)) => bind(path, self.mount.recursive)?,
            (Source::Variable(name), None) => bind(Path::new(name), self.mount.recursive)?,
        };
        let destination = relative(self.destination.as_os_str());
        Ok(PlannedMount {
            index: self.index,
            what,
            destination: c_string("mount point", destination)?,
            read_only: self.mount.read_only,
            lacking: self.lacking,
        })
    }
}

fn bind(path: &Path, recursive: bool) -> io::Result<What> {
    Ok(What::Bind { path: c_string("path", path.as_os_str())?, recursive })
}

/// `KEY[=VALUE],...`, after the mode that all can write with.
fn tmpfs_options(text: &str) -> io::Result<Vec<(CString, Option<CString>)>> {
    let pairs = ["mode=1777"].into_iter().chain(text.split(',')).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let text = |text: &str| c_string("mount option", OsStr::new(text));
            match pair.split_once('=') {
                Some((key, value)) => Ok((text(key)?, Some(text(value)?))),
                None => Ok((text(pair)?, None)),
            }
        })
        .collect()
}

/// A path without the slashes that it begins with.
fn relative_path(path: &Path) -> &Path {
    Path::new(OsStr::from_bytes(relative(path.as_os_str()).as_bytes()))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A mount for messages.
pub(crate) fn describe(mount: &Mount) -> String {
    let source = match &mount.source {
        Source::Path(path) => quoted(path),
        Source::Variable(name) => {
            let mut text = std::ffi::OsString::from("$");
            text.push(name);
            quoted(&text)
        }
        Source::Proc => quoted("proc"),
        Source::Sysfs => quoted("sysfs"),
        Source::Tmpfs(_) => quoted("tmpfs"),
    };
    match mount.fixed_destination() {
        Some(destination) => {
            format!("{source} on {}", quoted(Path::new("/").join(relative_path(destination))))
        }
        None => source.to_string(),
    }
}

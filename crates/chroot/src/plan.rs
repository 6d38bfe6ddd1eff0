//! What is to be mounted.

use std::path::{Path, PathBuf};

/// What a mount shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of this machine, with what is mounted below it if `recursive`.
    Bind {
        /// Where it is.
        path: &'static str,
        /// Whether what is mounted below comes along.
        recursive: bool,
        /// Whether it is left out where this machine has no such file.
        optional: bool,
    },
    /// A new instance of this file system, `nosuid`, `nodev`, and `noexec` but for tmpfs.
    New {
        /// Its type: `proc`, `sysfs`, `tmpfs`.
        kind: &'static str,
        /// Options of the file system, as in `mount(8)`.
        data: Option<&'static str>,
    },
}

/// One mount in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What it shows.
    pub source: Source,
    /// Where, as seen from inside the root; links are followed inside it.
    pub destination: &'static str,
}

/// What every root gets, in this order: pychroot's list.
pub const DEFAULT_MOUNTS: [Mount; 5] = [
    bind("/dev", true),
    new("proc", None, "/proc"),
    new("sysfs", None, "/sys"),
    new("tmpfs", Some("mode=1777"), "/dev/shm"),
    bind("/etc/resolv.conf", false),
];

const fn bind(path: &'static str, recursive: bool) -> Mount {
    let optional = !recursive;
    Mount { source: Source::Bind { path, recursive, optional }, destination: path }
}

const fn new(kind: &'static str, data: Option<&'static str>, destination: &'static str) -> Mount {
    Mount { source: Source::New { kind, data }, destination }
}

impl Mount {
    /// The file on this machine that is seen at a path inside because of this mount.
    pub(crate) fn shows(&self, path: &str) -> Option<PathBuf> {
        let Source::Bind { path: source, .. } = self.source else { return None };
        let rest = Path::new(path).strip_prefix(self.destination).ok()?;
        (!rest.as_os_str().is_empty()).then(|| Path::new(source).join(rest))
    }

    /// Whether it is left out if it cannot be had.
    pub(crate) fn is_optional(&self) -> bool {
        matches!(self.source, Source::Bind { optional: true, .. })
    }
}

impl Source {
    /// Whether it shows a directory; `None` if there is nothing to show and that is no fault.
    pub(crate) fn is_dir(&self) -> std::io::Result<Option<bool>> {
        match self {
            Source::New { .. } => Ok(Some(true)),
            Source::Bind { path, optional, .. } => match std::fs::metadata(Path::new(path)) {
                Ok(metadata) => Ok(Some(metadata.is_dir())),
                Err(error) if *optional && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

//! What is to be mounted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file or directory of this machine.
    Path(PathBuf),
    /// The file or directory that a variable of this program's environment names when a command is started.
    Variable(OsString),
    /// The processes of the new pid namespace: `proc(5)`.
    Proc,
    /// The kernel's objects: `sysfs(5)`. Where it may not be mounted, because the network namespace is shared with
    /// those who have more rights, this machine's `/sys` is bound instead.
    Sysfs,
    /// An empty file system in memory, with options as `tmpfs(5)` has them; mode 1777 unless they say another.
    Tmpfs(Option<String>),
}

/// One mount in the root.
///
/// ```
/// use thither_chroot::Mount;
///
/// let home = Mount::bind("/home").recursive().read_only();
/// let cache = Mount::bind("/var/cache/build").at("/cache").optional();
/// let scratch = Mount::tmpfs("/tmp");
/// assert_eq!(Mount::parse("/var/cache/build:/cache").optional(), cache);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a mount does nothing until a root has it"]
pub struct Mount {
    /// What it shows.
    pub source: Source,
    /// Where, as seen from inside the root; links are followed inside it. `None` is where the source is.
    pub destination: Option<PathBuf>,
    /// Whether what is mounted below the source comes along.
    pub recursive: bool,
    /// Whether it is read-only, with what came along.
    pub read_only: bool,
    /// Whether it is left out where the source does not exist, or where the mount point is missing and cannot be made.
    pub optional: bool,
    /// Whether a missing mount point is made, and removed afterwards.
    pub create: bool,
}

impl Mount {
    fn of(source: Source, destination: Option<PathBuf>) -> Mount {
        let (recursive, read_only, optional) = (false, false, false);
        Mount { source, destination, recursive, read_only, optional, create: true }
    }

    /// A file or directory of this machine, at the same path inside.
    pub fn bind(source: impl Into<PathBuf>) -> Mount {
        Mount::of(Source::Path(source.into()), None)
    }

    /// The file or directory that a variable names, without its `$`, at the same path inside.
    pub fn variable(name: impl Into<OsString>) -> Mount {
        Mount::of(Source::Variable(name.into()), None)
    }

    /// A `proc` on `/proc`.
    pub fn proc() -> Mount {
        Mount::of(Source::Proc, Some("/proc".into()))
    }

    /// A `sysfs` on `/sys`.
    pub fn sysfs() -> Mount {
        Mount::of(Source::Sysfs, Some("/sys".into()))
    }

    /// An empty directory in memory, writable for all.
    pub fn tmpfs(destination: impl Into<PathBuf>) -> Mount {
        Mount::of(Source::Tmpfs(None), Some(destination.into()))
    }

    /// Reads `SOURCE[:DESTINATION]`, split at the first colon, as pychroot has it: the source is a path, `$VARIABLE`,
    /// `proc`, `sysfs` or `tmpfs`.
    pub fn parse(text: impl AsRef<OsStr>) -> Mount {
        let bytes = text.as_ref().as_bytes();
        let colon = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
        let source = OsStr::from_bytes(&bytes[..colon]);
        // `SOURCE:` means no other destination.
        let destination = bytes.get(colon + 1..).filter(|rest| !rest.is_empty());
        let destination = destination.map(|rest| PathBuf::from(OsStr::from_bytes(rest)));
        let source = match source.as_bytes() {
            b"proc" => Source::Proc,
            b"sysfs" => Source::Sysfs,
            b"tmpfs" => Source::Tmpfs(None),
            [b'$', name @ ..] => Source::Variable(OsStr::from_bytes(name).to_owned()),
            _ => Source::Path(source.into()),
        };
        Mount::of(source, destination)
    }

    /// Elsewhere inside.
    pub fn at(mut self, destination: impl Into<PathBuf>) -> Mount {
        self.destination = Some(destination.into());
        self
    }

    /// With what is mounted below the source.
    pub fn recursive(mut self) -> Mount {
        self.recursive = true;
        self
    }

    /// Read-only; if it is recursive, all of it.
    pub fn read_only(mut self) -> Mount {
        self.read_only = true;
        self
    }

    /// Left out where there is nothing to mount, or nowhere.
    pub fn optional(mut self) -> Mount {
        self.optional = true;
        self
    }

    /// Whether a missing mount point is made; `true` unless said otherwise.
    pub fn create(mut self, create: bool) -> Mount {
        self.create = create;
        self
    }

    /// Where it is mounted, if that can be known without the environment.
    pub(crate) fn fixed_destination(&self) -> Option<&Path> {
        match (&self.destination, &self.source) {
            (Some(destination), _) => Some(destination),
            (None, Source::Path(path)) => Some(path),
            (None, Source::Proc) => Some(Path::new("proc")),
            (None, Source::Sysfs) => Some(Path::new("sysfs")),
            (None, Source::Tmpfs(_)) => Some(Path::new("tmpfs")),
            (None, Source::Variable(_)) => None,
        }
    }

    /// Whether both are mounted at the same place.
    pub(crate) fn is_at_place_of(&self, other: &Mount) -> bool {
        match (self.fixed_destination(), other.fixed_destination()) {
            (Some(a), Some(b)) => parts(a).eq(parts(b)),
            _ => false,
        }
    }
}

/// A path's names, without what makes no difference.
fn parts(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        std::path::Component::RootDir | std::path::Component::CurDir => None,
        other => Some(other.as_os_str()),
    })
}

/// What every root gets unless it is told otherwise, in this order: `/dev` with what is mounted below it, `proc` on
/// `/proc`, `sysfs` on `/sys`, `tmpfs` on `/dev/shm`, and `/etc/resolv.conf`, the last two if this machine has them.
#[must_use]
pub fn default_mounts() -> Vec<Mount> {
    vec![
        Mount::bind("/dev").recursive(),
        Mount::proc(),
        Mount::sysfs(),
        // In some containers /dev has none.
        Mount::tmpfs("/dev/shm").optional(),
        Mount::bind("/etc/resolv.conf").optional(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(Mount::parse("/a"), Mount::bind("/a"));
        assert_eq!(Mount::parse("/a:/b:c"), Mount::bind("/a").at("/b:c"));
        assert_eq!(Mount::parse("/a:"), Mount::bind("/a"));
        assert_eq!(Mount::parse("proc:/proc"), Mount::proc());
        assert_eq!(Mount::parse("sysfs:/sys"), Mount::sysfs());
        assert_eq!(Mount::parse("tmpfs:/t"), Mount::tmpfs("/t"));
        assert_eq!(Mount::parse("$HOME"), Mount::variable("HOME"));
        assert_eq!(Mount::parse("$HOME:/h"), Mount::variable("HOME").at("/h"));
        let odd = OsStr::from_bytes(b"/\xff\n");
        assert_eq!(Mount::parse(odd), Mount::bind(odd));
    }

    #[test]
    fn places() {
        assert!(Mount::parse("/a:/dev/").is_at_place_of(&Mount::bind("dev")));
        assert!(Mount::tmpfs("//dev/./shm").is_at_place_of(&Mount::bind("/dev/shm")));
        assert!(!Mount::bind("/a").is_at_place_of(&Mount::bind("/a/..")));
        assert!(!Mount::variable("A").is_at_place_of(&Mount::variable("A")));
    }
}

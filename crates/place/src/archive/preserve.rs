//! What is kept on request: owners, extended attributes, holes.

use std::fmt;
use std::io;

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fsetxattr};
use rustix::io::Errno;

use super::sparse::Segment;

/// What a copy keeps besides names, content, modes and times: see [`Archive::preserving`](super::Archive::preserving).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preserve {
    /// The numbers of user and group.
    pub owner: bool,
    /// Extended attributes whose name begins with `user.`, xattr(7). Those of the other name spaces mean something to one
    /// machine alone, or give rights as the set-user-id bit does.
    pub xattr: bool,
    /// Holes in files.
    pub sparse: bool,
}

impl Preserve {
    /// Whether only GNU's `tar` can do it where there is no file system to read from or to write to.
    #[must_use]
    pub fn needs_gnu_tar(&self) -> bool {
        self.xattr || self.sparse
    }

    /// As the scripts over there are told.
    pub(super) fn words(self) -> String {
        let words = [(self.owner, "owner"), (self.xattr, "xattr"), (self.sparse, "sparse")];
        let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        words.join(" ")
    }
}

/// What an archive says of an entry besides, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Its extended attributes.
    pub attributes: Vec<Attribute>,
    /// Where a file has content that is no hole, in order; `None` if nothing is known of holes.
    pub data: Option<Vec<Segment>>,
}

impl Extra {
    /// What of it is to be kept.
    pub(super) fn only(&mut self, preserve: Preserve) {
        if !preserve.owner {
            self.owner = None;
        }
        if !preserve.xattr {
            self.attributes.clear();
        }
        self.attributes.retain(|attribute| is_kept(&attribute.name));
    }
}

/// The numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// An extended attribute, xattr(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its whole name, as in `user.comment`.
    pub name: Vec<u8>,
    /// Its value, any bytes.
    pub value: Vec<u8>,
}

/// Why a place cannot keep what it was asked to. It is the inner error of an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotPreserve {
    /// Whoever writes there is not root.
    Owner,
    /// The `tar` over there is another one than GNU's.
    Tar,
    /// The file system there has no extended attributes.
    Attributes,
    /// Files go by something else than `tar`, sftp say, that does not tell or take it.
    Way,
}

impl CannotPreserve {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            CannotPreserve::Owner => "write as root, or without `owner`",
            CannotPreserve::Tar => {
                "install GNU tar over there, or keep neither `xattr` nor `sparse`"
            }
            CannotPreserve::Attributes => "copy without `xattr`",
            CannotPreserve::Way => "install tar over there, or keep less",
        }
    }

    /// The reason that an error has, or one of its causes.
    #[must_use]
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Option<CannotPreserve> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<CannotPreserve>()) {
                return Some(*found);
            }
            // The inner error of an `io::Error` is not its source.
            next = match inner {
                Some(inner) => inner.source(),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for CannotPreserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CannotPreserve::Owner => "only root may give files to others",
            CannotPreserve::Tar => {
                "the `tar` over there is not GNU's: it keeps no extended attributes and no holes"
            }
            CannotPreserve::Attributes => "its file system has no extended attributes",
            CannotPreserve::Way => {
                "without `tar` over there no owners, attributes or holes are kept"
            }
        })
    }
}

impl std::error::Error for CannotPreserve {}

impl From<CannotPreserve> for io::Error {
    fn from(what: CannotPreserve) -> io::Error {
        let kind = match what {
            CannotPreserve::Owner => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Unsupported,
        };
        io::Error::new(kind, what)
    }
}

/// Whether an attribute of this name is kept.
pub(super) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") && name.len() > b"user.".len() && !name.contains(&0)
}

/// The attributes of an open file that are kept.
///
/// # Errors
/// As listxattr(2) and getxattr(2), but for a file system that has none.
pub(super) fn attributes_of(fd: impl std::os::fd::AsFd) -> io::Result<Vec<Attribute>> {
    // Most files have none: one call, and nothing allocated.
    let length = match flistxattr_query(&fd) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut names = vec![0; length];
    let length = flistxattr(&fd, &mut names[..])?;
    let mut attributes = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| is_kept(name)) {
        let length = fgetxattr_query(&fd, name)?;
        let mut value = vec![0; length];
        let length = fgetxattr(&fd, name, &mut value[..])?;
        value.truncate(length);
        attributes.push(Attribute { name: name.to_vec(), value });
    }
    Ok(attributes)
}

/// Gives an open file these attributes.
///
/// # Errors
/// As setxattr(2).
pub(super) fn set_attributes(
    fd: impl std::os::fd::AsFd,
    attributes: &[Attribute],
) -> io::Result<()> {
    for Attribute { name, value } in attributes {
        match fsetxattr(&fd, &name[..], value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => return Err(CannotPreserve::Attributes.into()),
            other => other?,
        }
    }
    Ok(())
}

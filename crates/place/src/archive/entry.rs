//! From a header to an entry: what is checked of every name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::failed::bad_entry;
use super::header::Header;
use super::reader::flag;
use super::{Entry, Event, Extra, Kind, Watch};

/// The bits of a mode that are kept: permissions and the sticky bit, but not those that change who runs a program.
pub(crate) const KEPT_MODE: u32 = 0o1777;

/// What is known of an archive's root, as its entries come.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// The name that all paths begin with, once known; empty if the root is `.`.
    prefix: Option<Vec<u8>>,
    /// Whether there can be more entries.
    is_directory: bool,
    root_seen: bool,
}

impl Roots {
    /// The entry that a header describes; `None` for what is left out.
    pub(crate) fn entry(&mut self, header: Header, watch: &mut Watch) -> io::Result<Option<Entry>> {
        let name = OsStr::from_bytes(&header.name);
        let path = self.path(&header.name, true)?;
        let is_root = path.as_os_str().is_empty();
        let kind = match header.flag {
            // Before POSIX a directory was a file with such a name.
            flag::FILE | b'\0' if header.name.ends_with(b"/") => Kind::Directory,
            flag::FILE | b'\0' | b'7' => Kind::File,
            flag::DIRECTORY => Kind::Directory,
            flag::SYMLINK => Kind::Symlink(link_text(&header)?),
            flag::HARD_LINK if is_root => return Err(bad_entry(name, "is a link to itself")),
            flag::HARD_LINK => Kind::HardLink(self.path(&header.link, false)?),
            b'3' => return self.left_out(&path, "a character device", name, watch),
            b'4' => return self.left_out(&path, "a block device", name, watch),
            b'6' => return self.left_out(&path, "a fifo", name, watch),
            _ => return Err(bad_entry(name, "is of an unknown kind")),
        };
        if self.root_seen && (!self.is_directory || is_root && kind != Kind::Directory) {
            return Err(bad_entry(
                name,
                "comes after a root that is no directory, or again as one",
            ));
        }
        self.is_directory |= kind == Kind::Directory || !is_root;
        self.root_seen |= is_root;
        let (mode, modified) = (header.mode & KEPT_MODE, header.modified);
        let size = if kind == Kind::File { header.size } else { 0 };
        Ok(Some(Entry { path, kind, mode, modified, size, extra: header.extra }))
    }

    /// The root for an archive that begins with something in it.
    pub(crate) fn made_up_root(&mut self, first: &Entry) -> Option<Entry> {
        if self.root_seen {
            return None;
        }
        self.root_seen = true;
        let (kind, modified) = (Kind::Directory, first.modified);
        let (mode, extra) = (0o755, Extra::default());
        Some(Entry { path: PathBuf::new(), kind, mode, modified, size: 0, extra })
    }

    fn left_out(
        &mut self,
        path: &Path,
        what: &'static str,
        name: &OsStr,
        watch: &mut Watch,
    ) -> io::Result<Option<Entry>> {
        if path.as_os_str().is_empty() {
            return Err(bad_entry(name, &format!("is {what}, which is not copied")));
        }
        watch.tell(Event::LeftOut { path, what })?;
        Ok(None)
    }

    /// A name as a path below the root. The first one says how the root is called.
    fn path(&mut self, name: &[u8], may_begin: bool) -> io::Result<PathBuf> {
        let wrong = |what| Err(bad_entry(OsStr::from_bytes(name), what));
        if name.is_empty() {
            return wrong("is an empty name");
        }
        if name.starts_with(b"/") {
            return wrong("is an absolute name");
        }
        if name.contains(&0) {
            return wrong("has a NUL in its name");
        }
        let parts = name.split(|&byte| byte == b'/');
        let mut parts = parts.filter(|part| !matches!(*part, b"" | b".")).peekable();
        if self.prefix.is_none() && may_begin {
            self.prefix = Some(parts.peek().map_or_else(Vec::new, |part| part.to_vec()));
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if !prefix.is_empty() && parts.next() != Some(prefix) {
            return wrong("is outside of the archive's root");
        }
        let mut path = Vec::with_capacity(name.len());
        for part in parts {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            if part == b".." {
                return wrong("has `..` in its name");
            }
        }
        if prefix == b".." {
            return wrong("has `..` in its name");
        }
        Ok(PathBuf::from(OsStr::from_bytes(&path)))
    }
}

fn link_text(header: &Header) -> io::Result<PathBuf> {
    if header.link.is_empty() || header.link.contains(&0) {
        let what = "is a symbolic link with a bad text";
        return Err(bad_entry(OsStr::from_bytes(&header.name), what));
    }
    Ok(PathBuf::from(OsStr::from_bytes(&header.link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of these names, or what is wrong with the first that is refused.
    #[track_caller]
    fn check(names: &[&[u8]], expected: &str) {
        let mut roots = Roots::default();
        let mut text = Vec::new();
        for name in names {
            match roots.path(name, true) {
                Ok(path) => text.push(crate::error::quoted(path)),
                Err(error) => text.push(error.to_string()),
            }
        }
        assert_eq!(text.join(" "), expected);
    }

    #[test]
    fn paths() {
        check(&[b"a", b"a/b", b"a//b/./c/"], "`` `b` `b/c`");
        check(&[b"./a/", b"./a/b", b"a/.."], "`` `b` bad archive: `a/..` has `..` in its name");
        check(&[b"./", b"./a", b"b", b".//c"], "`` `a` `b` `c`");
        check(&[b"a/b/c"], "`b/c`");
        check(&[b"a", b"b"], "`` bad archive: `b` is outside of the archive's root");
        check(&[b"a", b"ab/c"], "`` bad archive: `ab/c` is outside of the archive's root");
        check(&[b"/a"], "bad archive: `/a` is an absolute name");
        check(&[b".."], "bad archive: `..` has `..` in its name");
        check(&[b"../a"], "bad archive: `../a` has `..` in its name");
        check(&[b"./", b"a/../../b"], "`` bad archive: `a/../../b` has `..` in its name");
        check(&[b""], "bad archive: `` is an empty name");
        check(&[b"a\0b"], "bad archive: `a\\u{0}b` has a NUL in its name");
        check(&[b"a", b"a/\xff\n", b"a/...", b"a/..b"], "`` `\\xff\\n` `...` `..b`");
    }
}

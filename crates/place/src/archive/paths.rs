//! A path as cp(1) understands it: where something is, and how it is called there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// The directory that it is in; `.` for a path of one name.
    pub dir: &'a Path,
    /// Its name there: one name, or `.` where the path has none of its own (`/`, `a/.`, `a/..`, or nothing at all) and is
    /// `dir` itself.
    pub name: &'a OsStr,
    /// Whether a slash at the end says that it is a directory.
    pub is_directory: bool,
}

/// Takes a path apart, byte for byte: `a/.` is not `a`.
#[must_use]
pub fn named(path: &Path) -> Named<'_> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = bytes[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let of = |bytes| Path::new(OsStr::from_bytes(bytes));
    match &bytes[start..end] {
        b"" | b"." | b".." => {
            let dir = if bytes.is_empty() { Path::new(".") } else { path };
            Named { dir, name: OsStr::new("."), is_directory: true }
        }
        name => {
            let dir = if start == 0 { Path::new(".") } else { of(&bytes[..start]) };
            Named { dir, name: OsStr::from_bytes(name), is_directory: end < bytes.len() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, dir: &str, name: &str, is_directory: bool) {
        let expected = Named { dir: Path::new(dir), name: OsStr::new(name), is_directory };
        let found = named(Path::new(path));
        assert_eq!(found, expected);
        assert_eq!(found.dir.as_os_str(), expected.dir.as_os_str());
    }

    #[test]
    fn paths() {
        check("a", ".", "a", false);
        check("a/", ".", "a", true);
        check("a/b", "a/", "b", false);
        check("/a//b//", "/a//", "b", true);
        check("/a", "/", "a", false);
        check("/", "/", ".", true);
        check("//", "//", ".", true);
        check("", ".", ".", true);
        check(".", ".", ".", true);
        check("a/.", "a/.", ".", true);
        check("a/../", "a/../", ".", true);
        check("a/...", "a/", "...", false);
        check("-a", ".", "-a", false);
    }
}

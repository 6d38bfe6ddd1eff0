//! What a record says: what was made in a root, and how to undo it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, Statx, StatxFlags, statx, unlinkat};
use rustix::io::Errno;

use crate::root::open_in_root;

/// What every temporary name begins with.
const TEMPORARY: &str = ".thither-";

/// One part of a record. Between them stand NULs, which no path has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// What follows is about this root, by its absolute path, and was written in this boot.
    Header { boot: String, root: PathBuf },
    /// Something is about to be made under a [`temporary_name`].
    Intent { path: PathBuf },
    /// This was made, and is about to get this name.
    Made { path: PathBuf, identity: Identity },
}

/// What tells an inode from all others, also from one that gets the same number once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// When it was made, in nanoseconds since 1970; 0 where the file system does not say.
    born: u64,
}

impl Identity {
    /// Of an open file, and its type and permissions.
    pub(crate) fn of(file: impl AsFd) -> rustix::io::Result<(Identity, u16)> {
        let stat = statx(file, c"", AtFlags::EMPTY_PATH, WANTED)?;
        Ok((Identity::from(&stat), stat.stx_mode))
    }
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

impl From<&Statx> for Identity {
    fn from(stat: &Statx) -> Identity {
        let born = stat.stx_btime.tv_sec.wrapping_mul(1_000_000_000).cast_unsigned();
        Identity {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            born: born.wrapping_add(stat.stx_btime.tv_nsec.into()),
        }
    }
}

/// A name that nobody else uses: what has it is ours, though no record says which inode it is.
pub(crate) fn temporary_name() -> io::Result<String> {
    let mut random = [0; 8];
    // So few bytes come whole (getrandom(2)).
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random)))
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let number = name.strip_prefix(TEMPORARY.as_bytes());
    number.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

impl Entry {
    /// The length in bytes, a kind, words, and a path that takes the rest. The length, and a NUL before it too, as what
    /// was written before may have been cut short, by a full disk or a SIGKILL.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (words, path) = match self {
            Entry::Header { boot, root } => (format!("boot {boot}"), root),
            Entry::Intent { path } => ("intent".to_owned(), path),
            Entry::Made { path, identity: Identity { device, inode, born } } => {
                (format!("made {device:x} {inode:x} {born:x}"), path)
            }
        };
        let path = path.as_os_str().as_bytes();
        let len = (words.len() + 1 + path.len()).to_string();
        [b"\0", len.as_bytes(), b" ", words.as_bytes(), b" ", path, b"\0"].concat()
    }

    fn decode(text: &[u8]) -> Option<Entry> {
        let (len, text) = word(text)?;
        let (kind, mut rest) = word(text).filter(|_| len.parse() == Ok(text.len()))?;
        let mut next = || {
            let (word, after) = word(rest)?;
            rest = after;
            Some(word)
        };
        let entry = match kind {
            "boot" => Entry::Header { boot: next()?.to_owned(), root: path(rest)? },
            "intent" => Entry::Intent { path: path(rest).filter(|path| is_temporary(path))? },
            "made" => {
                let mut number = || u64::from_str_radix(next()?, 16).ok();
                let (device, inode, born) = (number()?, number()?, number()?);
                Entry::Made { path: path(rest)?, identity: Identity { device, inode, born } }
            }
            _ => return None,
        };
        Some(entry)
    }

    /// The root of a record and what was made there, in order; `None` if nothing of it is of this boot, where device
    /// numbers mean what they meant. What cannot be read does not count.
    pub(crate) fn decode_all(text: &[u8], boot: &str) -> Option<(PathBuf, Vec<Entry>)> {
        let mut root = None;
        let mut is_believed = false;
        let mut made = Vec::new();
        for entry in text.split(|&byte| byte == 0).filter_map(Entry::decode) {
            match entry {
                // Each user of the root writes one.
                Entry::Header { boot: written, root: path } => {
                    is_believed = written == boot;
                    if is_believed {
                        root = Some(path);
                    }
                }
                entry if is_believed => made.push(entry),
                _ => {}
            }
        }
        Some((root?, made))
    }

    /// Removes what was made, if it is still that and empty.
    ///
    /// # Errors
    /// Only such that may be gone another time: what is in use by somebody, or is gone, is no longer ours to remove.
    pub(crate) fn undo(&self, root: BorrowedFd<'_>) -> rustix::io::Result<()> {
        match self.remove(root) {
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::XDEV
                | Errno::NOTEMPTY
                | Errno::EXIST
                | Errno::BUSY,
            ) => Ok(()),
            other => other,
        }
    }

    fn remove(&self, root: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let (path, expected) = match self {
            Entry::Header { .. } => return Ok(()),
            Entry::Intent { path } => (path, None),
            Entry::Made { path, identity } => (path, Some(*identity)),
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let parent = open_in_root(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = statx(&parent, name, AtFlags::SYMLINK_NOFOLLOW, WANTED)?;
        if expected.is_some_and(|identity| identity != Identity::from(&stat)) {
            return Ok(());
        }
        match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => unlinkat(&parent, name, AtFlags::REMOVEDIR),
            // If somebody has written to it, it is theirs now.
            FileType::RegularFile if stat.stx_size == 0 => {
                unlinkat(&parent, name, AtFlags::empty())
            }
            _ => Ok(()),
        }
    }
}

fn word(text: &[u8]) -> Option<(&str, &[u8])> {
    let space = text.iter().position(|&byte| byte == b' ')?;
    Some((std::str::from_utf8(&text[..space]).ok()?, &text[space + 1..]))
}

fn path(bytes: &[u8]) -> Option<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "5b9f3fd4-3c7c-4a9f-8f0e-3b6c6b0f6f0e";
    const ROOT: &[u8] = b"/srv/a b\n\xff";

    fn bytes(path: &[u8]) -> PathBuf {
        OsString::from_vec(path.to_vec()).into()
    }

    fn header(boot: &str) -> Entry {
        Entry::Header { boot: boot.into(), root: bytes(ROOT) }
    }

    fn made(path: &[u8]) -> Entry {
        let identity = Identity { device: 0x801, inode: u64::MAX, born: 1 };
        Entry::Made { path: bytes(path), identity }
    }

    fn intent() -> Entry {
        Entry::Intent { path: bytes(b"/x\n\xfe/").join(temporary_name().unwrap()) }
    }

    fn text(entries: &[Entry]) -> Vec<u8> {
        entries.iter().flat_map(Entry::encode).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = [header(BOOT), intent(), made(b"/a b\n\xff/c"), header(BOOT), made(b"/d")];
        let (read_root, read) = Entry::decode_all(&text(&entries), BOOT).unwrap();
        assert_eq!(read_root, bytes(ROOT));
        let [_, first, second, _, third] = entries;
        assert_eq!(read, [first, second, third]);
    }

    #[test]
    fn what_was_cut_short_does_not_count_and_spoils_nothing() {
        for entry in [header(BOOT), intent(), made(b"/last")] {
            let start = text(&[header(BOOT), made(b"/first")]);
            let whole = [&start[..], &entry.encode()].concat();
            // The NUL behind it is not needed.
            for cut in start.len()..whole.len() - 1 {
                // Somebody else went on behind it.
                let more = [&whole[..cut], &text(&[header(BOOT), made(b"/more")])].concat();
                for (text, expected) in [
                    (&whole[..cut], vec![made(b"/first")]),
                    (&more, vec![made(b"/first"), made(b"/more")]),
                ] {
                    let (root, read) = Entry::decode_all(text, BOOT).unwrap();
                    assert_eq!((root, read), (bytes(ROOT), expected), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn another_boot_and_garbage_are_not_believed() {
        let other = text(&[header("another"), made(b"/other")]);
        assert_eq!(Entry::decode_all(&other, BOOT), None);
        // Each with the right length, and wrong in another way.
        let lines = |lines: &[&str]| -> Vec<u8> {
            lines
                .iter()
                .flat_map(|line| format!("\0{} {line}\0", line.len()).into_bytes())
                .collect()
        };
        let boot = format!("boot {BOOT} /srv");
        for garbage in ["", "junk", "boot", "boot /srv", "made 1 1 1 /x", "intent /etc"] {
            assert_eq!(Entry::decode_all(garbage.as_bytes(), BOOT), None);
            assert_eq!(Entry::decode_all(&lines(&[garbage]), BOOT), None, "{garbage}");
        }
        assert_eq!(Entry::decode_all(&lines(&[&format!("boot {BOOT} srv")]), BOOT), None);
        for garbage in ["junk", "made 1 1 /x", "made g 1 1 /x", "made 1 1 1 x", "intent /etc"] {
            let (_, read) = Entry::decode_all(&lines(&[&boot, garbage]), BOOT).unwrap();
            assert_eq!(read, [], "{garbage}");
        }
        let all = [other, text(&[header(BOOT), made(b"/ours")])].concat();
        assert_eq!(Entry::decode_all(&all, BOOT).unwrap().1, [made(b"/ours")]);
    }

    #[test]
    fn only_what_was_made_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let root = std::fs::File::open(folder.path()).unwrap();
        std::fs::create_dir(&path).unwrap();
        let (identity, _) = Identity::of(std::fs::File::open(&path).unwrap()).unwrap();
        let Identity { device, inode, born } = identity;
        let undo = |identity| {
            Entry::Made { path: "/made".into(), identity }.undo(root.as_fd()).unwrap();
            path.exists()
        };
        assert!(undo(Identity { device: device + 1, ..identity }));
        assert!(undo(Identity { inode: inode + 1, ..identity }));
        // File systems use the number of an inode again once it is gone.
        assert!(undo(Identity { born: born.wrapping_add(1), ..identity }));
        assert!(!undo(identity));
    }
}

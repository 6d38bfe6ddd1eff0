//! What a shell over there tells of files where there is neither tar nor Python: `shell.sh`, `pack`.
//!
//! All is fields, each with a NUL at its end. After an empty one come blocks:
//!
//! - `d`, `l`, `o` (a directory, a symbolic link, anything else), its path, an empty field, and a line of what is known of it; of a link
//!   its text and a line break besides.
//! - `f`, the paths of some files, an empty field, a line of each, and their contents. Then the word that was said to the shell,
//!   which no content can know, and the lines once more: that they are the same says that nothing changed meanwhile.
//! - `e` at the end.
//!
//! A line is `-rw-r--r-- SIZE [SECONDS]`, as of `ls -l` and of stat(1) with `%A %s %.9Y`.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::failed::{cut_short, failed, malformed};
use super::pax::seconds;
use super::reader::MAX_NAME;
use super::source::{Entries, Found};
use super::{Entry, Extra, Kind, Timestamp};

/// How many files come together at most, and a few more.
const MAX_FIELDS: usize = 80;
/// The longest field: all lines of one block.
const MAX_FIELD: usize = 64 * 1024;

/// How the shell was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The path of the root, as it tells it.
    pub(super) root: Vec<u8>,
    /// The word that says that all content was read.
    pub(super) token: String,
}

/// Reads what it tells.
pub(super) struct Told<R> {
    from: BufReader<R>,
    asked: Asked,
    /// What there is of a block, and of a field.
    fields: Vec<Vec<u8>>,
    field: Vec<u8>,
    /// Files whose content is still to come.
    files: VecDeque<Entry>,
    /// What is left of the content of the last one.
    left: u64,
    /// The files that come together, the first one's path, and the lines about them, until their contents were read.
    together: Option<(PathBuf, Vec<u8>)>,
    ended: bool,
}

impl<R: Read> Told<R> {
    /// From its first block on.
    pub(super) fn new(from: BufReader<R>, asked: Asked) -> Told<R> {
        Told {
            from,
            asked,
            fields: Vec::new(),
            field: Vec::new(),
            files: VecDeque::new(),
            left: 0,
            together: None,
            ended: false,
        }
    }

    /// The next field. What came of it stays here if there is no more for the moment.
    fn next_field(&mut self) -> io::Result<()> {
        loop {
            let there = self.from.fill_buf()?;
            if there.is_empty() {
                return Err(cut_short());
            }
            let end = there.iter().position(|&byte| byte == 0);
            let part = &there[..end.unwrap_or(there.len())];
            if self.field.len() + part.len() > MAX_FIELD {
                return Err(malformed("what the shell over there tells is too long"));
            }
            self.field.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            if end.is_some() {
                self.fields.push(std::mem::take(&mut self.field));
                return Ok(());
            }
        }
    }

    /// Reads fields until there are as many as `enough` wants.
    fn next_fields(&mut self, enough: impl Fn(&[Vec<u8>]) -> bool) -> io::Result<Vec<Vec<u8>>> {
        while !enough(&self.fields) {
            if self.fields.len() > MAX_FIELDS {
                return Err(malformed("the shell over there tells too much at once"));
            }
            self.next_field()?;
        }
        Ok(std::mem::take(&mut self.fields))
    }

    /// Passes over what was not read of a content.
    fn skip(&mut self) -> io::Result<()> {
        while self.left > 0 {
            let there = self.from.fill_buf()?.len();
            if there == 0 {
                return Err(cut_short());
            }
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(there);
            self.from.consume(skipped);
            self.left -= skipped as u64;
        }
        Ok(())
    }

    /// What follows the contents of files.
    fn check_contents(&mut self) -> io::Result<()> {
        let Some((first, _)) = &self.together else { return Ok(()) };
        let first = first.clone();
        // One that is longer by now stands here instead.
        let token = self.asked.token.clone();
        let is_token =
            |fields: &[Vec<u8>]| fields.first().is_none_or(|it| *it == *token.as_bytes());
        while self.fields.len() < 2 {
            if !is_token(&self.fields) {
                return Err(changed(&first));
            }
            let next = self.next_field();
            match next {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(changed(&first));
                }
                next => next?,
            }
        }
        let lines = std::mem::take(&mut self.fields).pop().unwrap_or_default();
        match self.together.take() {
            Some((_, before)) if before == lines => Ok(()),
            _ => Err(changed(&first)),
        }
    }

    fn next_block(&mut self) -> io::Result<Option<Found>> {
        let mut fields = self.next_fields(is_block)?;
        let kind = std::mem::take(&mut fields[0]);
        if kind == b"e" {
            self.ended = true;
            return Ok(None);
        }
        let bad = || malformed("the shell over there tells what makes no sense");
        let names = fields.iter().skip(1).position(Vec::is_empty).ok_or_else(bad)?;
        let text = if kind == b"l" { fields.pop() } else { None };
        let lines = fields.pop().unwrap_or_default();
        let paths = fields[1..=names].iter().map(|name| self.path(name));
        let paths = paths.collect::<io::Result<Vec<_>>>()?;
        let about: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
        let is_alone = paths.len() == 1 || kind == b"f" && !paths.is_empty();
        if about.len() != paths.len() || !is_alone {
            return Err(bad());
        }
        let mut entries = VecDeque::new();
        for (path, line) in paths.into_iter().zip(about) {
            let about = About::parse(line).ok_or_else(bad)?;
            let is = |expected| match about.kind == expected {
                true => Ok(()),
                false => Err(changed(&path)),
            };
            let kind = match &*kind {
                b"f" => is(b'-').map(|()| Kind::File)?,
                b"d" => is(b'd').map(|()| Kind::Directory)?,
                b"l" => {
                    is(b'l')?;
                    let text = text.as_deref().and_then(|text| text.strip_suffix(b"\n"));
                    Kind::Symlink(OsStr::from_bytes(text.ok_or_else(bad)?).into())
                }
                b"o" => return Ok(Some(Found::LeftOut { path, what: what(about.kind) })),
                _ => return Err(bad()),
            };
            entries.push_back(about.entry(path, kind));
        }
        if kind == b"f" {
            self.together = entries.front().map(|first| (first.path.clone(), lines.clone()));
        }
        self.files = entries;
        Ok(self.next_file())
    }

    fn next_file(&mut self) -> Option<Found> {
        let entry = self.files.pop_front()?;
        self.left = if entry.kind == Kind::File { entry.size } else { 0 };
        Some(Found::Entry(entry))
    }

    /// A path below the root; whether it stays there is checked as that of any entry.
    fn path(&self, name: &[u8]) -> io::Result<PathBuf> {
        let rest = name.strip_prefix(&self.asked.root[..]).filter(|rest| rest.len() <= MAX_NAME);
        match rest {
            Some([]) => Ok(PathBuf::new()),
            Some([b'/', path @ ..]) => Ok(OsStr::from_bytes(path).into()),
            _ => Err(malformed("the shell over there tells of something else")),
        }
    }

    /// Only its end says that the shell was content.
    fn finish(&mut self) -> io::Result<()> {
        match self.from.fill_buf()? {
            [] => Ok(()),
            _ => Err(malformed("its stream goes on after its end")),
        }
    }
}

impl<R: Read + Send> Entries for Told<R> {
    fn next_entry(&mut self) -> io::Result<Option<Found>> {
        self.skip()?;
        if let Some(found) = self.next_file() {
            return Ok(Some(found));
        }
        self.check_contents()?;
        if !self.ended
            && let Some(found) = self.next_block()?
        {
            return Ok(Some(found));
        }
        self.finish().map(|()| None)
    }

    fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.from.read(&mut buf[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Whether these are all fields before contents.
fn is_block(fields: &[Vec<u8>]) -> bool {
    let Some((kind, rest)) = fields.split_first() else { return false };
    let after = if kind == b"l" { 2 } else { 1 };
    let names = rest.iter().position(Vec::is_empty);
    kind == b"e" || names.is_some_and(|names| rest.len() - names - 1 == after)
}

/// What is known of something.
struct About {
    /// As `ls -l` says it.
    kind: u8,
    mode: u32,
    size: u64,
    modified: Timestamp,
}

impl About {
    fn parse(line: &[u8]) -> Option<About> {
        let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let mut words = line.split(' ');
        let (kind, mode) = parse_mode(words.next()?.as_bytes())?;
        // Of a device it is none.
        let size = words.next()?.parse().ok();
        let size = if kind == b'-' { size? } else { 0 };
        let modified = match words.next() {
            Some(text) => seconds(text.as_bytes())?,
            None => now(),
        };
        Some(About { kind, mode, size, modified })
    }

    fn entry(&self, path: PathBuf, kind: Kind) -> Entry {
        let &About { mode, size, modified, .. } = self;
        Entry { path, kind, mode, modified, size, extra: Extra::default() }
    }
}

/// `-rwxr-xr-t`, and what may follow it of other rights. Bits that change who runs a program are not kept.
fn parse_mode(text: &[u8]) -> Option<(u8, u32)> {
    let (&kind, bits) = text.split_first()?;
    let mut mode = 0;
    for (nth, byte) in bits.get(..9)?.iter().enumerate() {
        let bit = 0o400 >> nth;
        mode |= match byte {
            b'-' | b'S' => 0,
            b'r' | b'w' | b'x' | b's' => bit,
            b't' => bit | 0o1000,
            b'T' => 0o1000,
            _ => return None,
        };
    }
    Some((kind, mode))
}

/// The time where none is known.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp { seconds, nanoseconds: since.subsec_nanos() }
}

fn what(kind: u8) -> &'static str {
    match kind {
        b'p' => "a fifo",
        b's' => "a socket",
        b'c' => "a character device",
        b'b' => "a block device",
        _ => "of an unknown kind",
    }
}

fn changed(path: &Path) -> io::Error {
    failed(
        "read",
        path,
        io::Error::other("it, or one that is read with it, changed while it was read"),
    )
}

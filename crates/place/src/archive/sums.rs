//! Whether what has arrived is what was read: SHA-256 sums of both.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::spawned::plain;
use super::talk::Talk;
use super::{Archive, Entry, Kind, Part};
use crate::error::quoted;
use crate::{Command, Error, Place, Result, Stream};

const SUMS: &str = include_str!("sums.sh");
/// What programs print besides sum and name.
const LINE: usize = 128;
/// How much room zeros take that are added to a sum.
const ZEROS: usize = 64 * 1024;
const BUFFER: usize = 256 * 1024;

type Sum = [u8; 32];

/// The SHA-256 sums of the files in an archive, computed while it is read: nothing is read twice.
#[derive(Clone, Debug, Default)]
pub struct Sums(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By paths below the root.
    known: BTreeMap<PathBuf, Sum>,
    current: Option<(PathBuf, Sha256)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("known", &self.known.len()).finish()
    }
}

/// How files were [verified](verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many there were.
    pub files: usize,
    /// The program over there that computed their sums; `None` if they were read back, all or some.
    pub by: Option<String>,
}

impl Sums {
    /// Sums up what is read from this archive.
    #[must_use]
    pub fn of(&self, archive: Archive) -> Archive {
        let state = self.clone();
        archive.tapped(move |part| state.state().take(part))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self) -> BTreeMap<PathBuf, Sum> {
        let mut state = self.state();
        state.finish();
        std::mem::take(&mut state.known)
    }
}

impl State {
    fn take(&mut self, part: Part<'_>) {
        match (part, &mut self.current) {
            (Part::Entry(entry), _) => self.begin(entry),
            (Part::Bytes(bytes), Some((_, sum))) => sum.update(bytes),
            (Part::Zeros(length), Some((_, sum))) => add_zeros(sum, length),
            (_, None) => {}
        }
    }

    fn begin(&mut self, entry: &Entry) {
        self.finish();
        let path = entry.path.clone();
        // What comes later takes the place of what was there.
        self.known.remove(&path);
        match &entry.kind {
            Kind::File => self.current = Some((path, Sha256::new())),
            Kind::HardLink(other) => {
                if let Some(&sum) = self.known.get(other) {
                    self.known.insert(path, sum);
                }
            }
            Kind::Directory | Kind::Symlink(_) => {}
        }
    }

    fn finish(&mut self) {
        if let Some((path, sum)) = self.current.take() {
            self.known.insert(path, sum.finalize().into());
        }
    }
}

fn add_zeros(sum: &mut Sha256, mut length: u64) {
    let zeros = [0; ZEROS];
    while length > 0 {
        let part = usize::try_from(length).unwrap_or(ZEROS).min(ZEROS);
        sum.update(&zeros[..part]);
        length -= part as u64;
    }
}

/// Compares what has arrived at `target`, the archive's root there, with what was read: by `sha256sum`, `shasum`, `openssl` or
/// `python3` over there, else by reading it back. `idle` is called from time to time; an error of it ends this.
///
/// # Errors
/// [`Error::Copy`](crate::Error::Copy) that names the first file that is another one now, or is not there; or as
/// [`Place::get`].
pub fn verify<P: Place + ?Sized>(
    place: &P,
    target: &Path,
    sums: &Sums,
    idle: &mut dyn FnMut() -> io::Result<()>,
) -> Result<Verified> {
    let failed = |source| failed(target, source);
    let expected = sums.finished();
    let files = expected.len();
    if expected.is_empty() {
        return Ok(Verified { files, by: None });
    }
    let archive = place.get(target)?;
    let (mut found, mut by) = (BTreeMap::new(), None);
    let mut archive = Some(archive);
    if archive.as_ref().is_some_and(|archive| !archive.is_tree()) {
        archive = None;
        if let Some((program, sums)) = ask(place, target, &expected, idle)? {
            (found, by) = (sums, Some(program));
        }
    }
    if expected.keys().any(|path| !found.contains_key(path)) {
        let archive = match archive {
            Some(archive) => archive,
            None => place.get(target)?,
        };
        let missing = expected.keys().filter(|path| !found.contains_key(*path));
        let read = read_back(archive, missing.cloned().collect(), idle).map_err(failed)?;
        found.extend(read);
        by = None;
    }
    let is_right = |(path, sum): &(&PathBuf, &Sum)| found.get(*path) == Some(sum);
    let mut wrong = expected.iter().filter(|pair| !is_right(pair));
    let Some((path, _)) = wrong.next() else { return Ok(Verified { files, by }) };
    let mut text = match found.contains_key(path) {
        true => "its content is another than was read".to_owned(),
        false => "it is not there".to_owned(),
    };
    match wrong.count() {
        0 => {}
        more => text += &format!(", and so it is with {more} more"),
    }
    Err(self::failed(&at(target, path), io::Error::other(text)))
}

fn failed(path: &Path, source: io::Error) -> Error {
    let action = format!("verify {}", quoted(path));
    Error::Copy { action, source: Box::new(source), hint: None }
}

fn at(target: &Path, path: &Path) -> PathBuf {
    match path.as_os_str().is_empty() {
        true => target.to_owned(),
        false => target.join(path),
    }
}

type Answer = (String, BTreeMap<PathBuf, Sum>);

/// Has a program over there say the sums. `None` where there is none; of some files it may say nothing.
fn ask<P: Place + ?Sized>(
    place: &P,
    target: &Path,
    expected: &BTreeMap<PathBuf, Sum>,
    idle: &mut dyn FnMut() -> io::Result<()>,
) -> Result<Option<Answer>> {
    let command = Command::new("sh").args(["-c", SUMS, "thither"]);
    let command = command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Null);
    let process = match place.spawn(&command) {
        // It can be lost, or refuse commands alone, as a container that does not run.
        Err(error @ (Error::Disconnected { .. } | Error::Cancelled { .. })) => return Err(error),
        Err(_) => return Ok(None),
        Ok(process) => process,
    };
    let (mut names, mut paths) = (Vec::new(), BTreeMap::new());
    for path in expected.keys() {
        let name = plain(&at(target, path));
        let bytes = name.as_os_str().as_bytes();
        // Programs do not print these as they are.
        if !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\')) {
            names.extend_from_slice(bytes);
            names.push(0);
            paths.insert(bytes.to_vec(), path);
        }
    }
    let most = names.len() + paths.len() * LINE + LINE;
    let printed = Talk::with(process, None).converse(&names, most, idle);
    let printed = printed.map_err(|error| failed(target, error))?;
    let mut lines = printed.split(|&byte| byte == b'\n');
    let program = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let sums = lines.filter_map(|line| {
        let (sum, name) = line.split_at_checked(64)?;
        // A space, and another one or a `*`.
        let path = paths.get(name.get(2..)?)?;
        Some(((*path).clone(), parse(sum)?))
    });
    let sums: BTreeMap<_, _> = sums.collect();
    Ok((!program.is_empty()).then_some((program, sums)))
}

/// Hexadecimal digits.
fn parse(text: &[u8]) -> Option<Sum> {
    let mut sum = [0; 32];
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in sum.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(sum)
}

/// The sums of these files, whose content comes back.
fn read_back(
    archive: Archive,
    wanted: HashSet<PathBuf>,
    idle: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<BTreeMap<PathBuf, Sum>> {
    let mut above: HashSet<PathBuf> = HashSet::new();
    for path in &wanted {
        above.extend(path.ancestors().skip(1).map(Path::to_owned));
    }
    let sums = Sums::default();
    let archive = archive.filtered(move |path, is_directory| match is_directory {
        true => above.contains(path),
        // In a stream it may be the first name of one that is wanted.
        false => true,
    });
    let mut archive = sums.of(archive);
    let mut buffer = vec![0; BUFFER];
    while let Some(entry) = archive.next_entry()? {
        let is_wanted = wanted.contains(&entry.path);
        idle()?;
        while is_wanted && archive.read_content(&mut buffer)? > 0 {
            idle()?;
        }
    }
    let mut found = sums.finished();
    found.retain(|path, _| wanted.contains(path));
    Ok(found)
}

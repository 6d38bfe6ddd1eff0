//! `thither cp`: files from place to place.

mod progress;
mod watch;
mod how;
mod dry_run;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thither::archive::{self, CannotPreserve, Kind, Sums, Tree, get_preserving, named};
use thither::error::quoted;
use thither::{Address, Archive, Error, Local, Operand, Place};

use self::how::How;
use self::watch::Watch;
use crate::args::Cp;
use crate::report::{self, Failure};

/// Standard input or output.
const STANDARD: &str = "-";
/// How many links in a row are followed, as by the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// What passes to standard output at once.
const BUFFER: usize = 256 * 1024;

/// Copies, and gives the exit code.
pub(crate) fn cp(args: Cp) -> Result<u8, Failure> {
    let how = How::of(&args)?;
    let Cp { src, dst, .. } = args;
    let copied = match (&src[..], dst == STANDARD) {
        (_, true) if how.is_special() => {
            Err(Failure::new("standard output takes the content of a file and nothing else")
                .hint("name a file or a folder to copy to"))
        }
        ([one], true) => to_output(one).map(|()| 0),
        (_, true) => Err(Failure::new("standard output takes one file")
            .hint("copy them one by one, or into a folder")),
        (many, false) => copy_all(many, &dst, &how),
    };
    copied.map_err(|failure| match failure {
        // Its exit codes are of commands that were asked for; here none was.
        Failure::Place(error) => {
            let text = report::chain(&error);
            let failure = Failure::new(text);
            let reason = CannotPreserve::of(&error).map(CannotPreserve::hint);
            match error.hint().or(reason) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        other => other,
    })
}

/// One side of a copy.
struct Side {
    /// As it was given.
    text: OsString,
    address: Option<Address>,
    place: Box<dyn Place>,
    path: PathBuf,
}

impl Side {
    fn of(text: &OsStr) -> Result<Side, Failure> {
        let Operand { place: address, path } = Operand::parse(text)?;
        if address.is_none() && is_place(text) && path.symlink_metadata().is_err() {
            let text = quoted(text);
            let failure = Failure::new(format!("{text} is a place and names no file there"));
            return Err(failure.hint("write `PLACE::PATH`, or `./NAME` for a file of this machine"));
        }
        // By what a name stands for it is seen whether both sides are the same place.
        let address = match &address {
            Some(address) => Some(address.resolved()?.into_owned()),
            None => None,
        };
        let place = match &address {
            Some(address) => address.connect()?,
            None => Box::new(Local),
        };
        Ok(Side { text: text.to_owned(), address, place, path })
    }

    /// An error while reading from it.
    fn unreadable(&self, source: io::Error) -> Failure {
        let action = format!("copy from {}", quoted(&self.text));
        Failure::Place(Error::Copy { action, source: Box::new(source), hint: None })
    }
}

fn copy_all(sources: &[OsString], destination: &OsStr, how: &How) -> Result<u8, Failure> {
    let mut to = Side::of(destination)?;
    if sources.len() > 1 {
        if sources.iter().any(|source| source == STANDARD) {
            return Err(Failure::new("standard input has no name in a folder")
                .hint("copy it by itself, to the name of a file"));
        }
        // All of them go into a folder.
        if to.path.as_os_str().is_empty() {
            to.path = ".".into();
        }
        to.path.as_mut_os_string().push("/");
    }
    let from = sources.iter().map(|source| match source == STANDARD {
        true => Ok(None),
        false => Side::of(source).map(Some),
    });
    let from = from.collect::<Result<Vec<_>, Failure>>()?;
    // Until its end is there, nothing has to be put back.
    let input = from.iter().any(Option::is_none).then(input).transpose()?;
    let watch = Watch::start()?;
    let copied = copy_each(&from, &to, input, how, &watch);
    watch.end(copied)
}

fn copy_each(
    sources: &[Option<Side>],
    to: &Side,
    mut input: Option<Archive>,
    how: &How,
    watch: &Arc<Watch>,
) -> Result<(), Failure> {
    for from in sources {
        let archive = match from {
            Some(from) => {
                let archive = open(from, how, Some(watch))?;
                refuse_itself(from, to)?;
                archive
            }
            None => {
                let input = input.take();
                let input = input.ok_or_else(|| Failure::new("standard input was read before"))?;
                watch.over(input.preserving(how.preserve))
            }
        };
        let is_input = from.is_none();
        if how.dry_run {
            dry_run::show(archive, from.as_ref(), to)?;
            continue;
        }
        let sums = how.verify.then(Sums::default);
        let name = archive.name().to_owned();
        let (archive, target) = match &sums {
            Some(sums) => {
                let target = archive::target(&*to.place, &to.path, Path::new(&name))?;
                (sums.of(archive), Some(target))
            }
            None => (archive, None),
        };
        to.place.put(archive, &to.path).map_err(|error| match error {
            Error::Copy { ref source, .. } if is_input && is_about_a_folder(&**source) => {
                let text = format!(
                    "{} is a folder, in which standard input has no name",
                    quoted(&to.text)
                );
                Failure::new(text).hint("name a file")
            }
            other => other.into(),
        })?;
        if let Some((sums, target)) = sums.zip(target) {
            let verified = archive::verify(&*to.place, &target, &sums, &mut || watch.look())?;
            how::say(&verified);
        }
    }
    Ok(())
}

fn is_about_a_folder(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::IsADirectory)
}

/// What is to be copied. Without `-r` it is a file, or what a link leads to.
fn open(from: &Side, how: &How, watch: Option<&Arc<Watch>>) -> Result<Archive, Failure> {
    let name = named(&from.path).name.to_owned();
    let mut path = from.path.clone();
    for _ in 0..=MAX_LINKS {
        let archive = get_preserving(&*from.place, &path, how.preserve)?;
        let mut archive = how.filter(archive.renamed(&name));
        if let Some(watch) = watch {
            archive = watch.over(archive);
        }
        let root = archive.root().map_err(|error| from.unreadable(error))?;
        match &root.kind {
            Kind::Directory if !how.recursive => {
                let text = format!("{} is a directory", quoted(&from.text));
                return Err(Failure::new(text).hint("copy it with `-r`"));
            }
            Kind::Symlink(target) if !how.recursive => path = named(&path).dir.join(target),
            _ => return Ok(archive),
        }
    }
    let text = format!("cannot copy from {}: too many links", quoted(&from.text));
    Err(Failure::new(text))
}

/// Refuses a copy onto or into itself as far as paths tell; files of this machine the library compares itself.
fn refuse_itself(from: &Side, to: &Side) -> Result<(), Failure> {
    if from.address.is_none() || from.address != to.address {
        return Ok(());
    }
    let (Some(source), Some(destination)) = (plain(&from.path), plain(&to.path)) else {
        return Ok(());
    };
    let into_parent = source.parent() == Some(&*destination) && !source.as_os_str().is_empty();
    if destination.starts_with(&source) || into_parent {
        let (from, to) = (quoted(&from.text), quoted(&to.text));
        return Err(Failure::new(format!("cannot copy {from} to {to}: onto or into itself")));
    }
    Ok(())
}

/// Whether a text is the address of a place that there is.
fn is_place(text: &OsStr) -> bool {
    text.as_encoded_bytes().contains(&b':')
        && Address::parse(text).is_ok_and(|address| address.connect().is_ok())
}

/// A path without what makes no difference; `None` if `..` may lead anywhere.
fn plain(path: &Path) -> Option<PathBuf> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    (!climbs).then(|| path.components().filter(|part| *part != Component::CurDir).collect())
}

/// The content of one file, to standard output. Signals end it as any other program: there is nothing to put back.
fn to_output(source: &OsStr) -> Result<(), Failure> {
    if source == STANDARD {
        return Err(Failure::new("standard input and output need no copy").hint("use cat"));
    }
    let from = Side::of(source)?;
    let mut archive = open(&from, &How::default(), None)?;
    let entry = archive.next_entry().map_err(|error| from.unreadable(error))?;
    if entry.is_none_or(|entry| entry.kind != Kind::File) {
        return Err(Failure::new(format!("{} is no regular file", quoted(&from.text))));
    }
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::Output)?;
    let mut output = File::from(output);
    let mut buffer = vec![0; BUFFER];
    loop {
        match archive.read_content(&mut buffer).map_err(|error| from.unreadable(error))? {
            0 => break,
            read => output.write_all(&buffer[..read]).map_err(Failure::Output)?,
        }
    }
    // What comes after it says whether it was whole.
    while archive.next_entry().map_err(|error| from.unreadable(error))?.is_some() {}
    Ok(())
}

/// Standard input as a file without a name, so that its length is known and that nothing is replaced if it fails.
fn input() -> Result<Archive, Failure> {
    let failed = |source| {
        let action = "copy from standard input".to_owned();
        Failure::Place(Error::Copy { action, source: Box::new(source), hint: None })
    };
    let mut spool = tempfile::tempfile().map_err(failed)?;
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    io::copy(&mut File::from(input), &mut spool).map_err(failed)?;
    io::Seek::rewind(&mut spool).map_err(failed)?;
    // A folder takes nothing without a name.
    Ok(Archive::from_tree(Tree::of_file(spool, ".", 0o666 & !umask())))
}

/// This process's umask, proc_pid_status(5); 022 where it is not to be known.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o022)
}

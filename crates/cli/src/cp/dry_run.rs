//! What would be copied, without a change.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use thither::archive::{self, Entry, Kind};
use thither::error::quoted;
use thither::{Archive, Error};

use super::Side;
use crate::report::Failure;

/// Prints a line for each entry, `SIZE NAME`, after a look at where it would come to be.
pub(super) fn show(mut archive: Archive, from: Option<&Side>, to: &Side) -> Result<(), Failure> {
    let unreadable = |error| match from {
        Some(from) => from.unreadable(error),
        None => Failure::new(format!("cannot copy from standard input: {error}")),
    };
    check(&mut archive, to, &unreadable)?;
    let mut output = BufWriter::new(io::stdout().lock());
    // What comes by standard input has no name.
    let name = if from.is_some() { archive.name().to_owned() } else { "-".into() };
    while let Some(entry) = archive.next_entry().map_err(unreadable)? {
        writeln!(output, "{}", line(Path::new(&name), &entry)).map_err(Failure::Output)?;
    }
    output.flush().map_err(Failure::Output)
}

/// What the copy would refuse at once.
fn check(
    archive: &mut Archive,
    to: &Side,
    unreadable: &dyn Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    if to.address.is_none() {
        let open = |path: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(open(path, flags, Mode::empty())?)
        };
        return archive::check_files(archive, &to.path, &open).map_err(|source| {
            let action = format!("copy to {}", quoted(&to.path));
            Failure::Place(Error::Copy { action, source: Box::new(source), hint: None })
        });
    }
    let name = archive.name().to_owned();
    let is_directory = archive.root().map_err(unreadable)?.kind == Kind::Directory;
    archive::destination(&*to.place, &to.path, Path::new(&name), is_directory)?;
    Ok(())
}

/// A file's size in bytes, or `-` for what has none, and the name; with a slash for a directory, and what a link says.
fn line(root: &Path, entry: &Entry) -> String {
    let path = match entry.path.as_os_str().is_empty() {
        true => root.to_owned(),
        false => root.join(&entry.path),
    };
    let (size, end) = match &entry.kind {
        Kind::File => (entry.size.to_string(), String::new()),
        Kind::Directory => ("-".to_owned(), "/".to_owned()),
        Kind::Symlink(text) => ("-".to_owned(), format!(" -> {}", quoted(text))),
        Kind::HardLink(other) => ("-".to_owned(), format!(" = {}", quoted(root.join(other)))),
    };
    format!("{size:>12} {}{end}", quoted(path))
}

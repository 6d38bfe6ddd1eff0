//! Modules of this side for an interpreter over there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_bytes::ByteBuf;

use crate::callback::Raise;
use crate::marshal::FsString;
use crate::{Error, Python, Result};

/// The largest source of a module, in bytes.
const LARGEST: u64 = 16 << 20;
/// The longest name of a module, in bytes, with the names of its packages.
const LONGEST: usize = 1000;

/// Source, file, and whether it is a package. No source: a folder that is a package without `__init__`.
type Found = (Option<ByteBuf>, FsString, bool);

impl Python {
    /// Lets the interpreter import the modules and packages of a folder on this side, as if the folder was the last one of
    /// its `sys.path`: what is found over there comes first. They are fetched when they are imported, and not written to the
    /// disk over there.
    ///
    /// Whoever controls the other side can read all of the folder that could be imported, and nothing outside of it: links
    /// that lead out of it are not followed.
    ///
    /// # Errors
    /// When the folder is none; as every call.
    pub fn add_modules(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let failed = |error| Error::io(format!("have modules of {folder:?}"), error);
        let root = fs::canonicalize(folder).map_err(failed)?;
        if !root.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let source_of = self.callback(move |(name,): (String,)| find(&root, &name));
        self.agent().call_method1("modules_from", (source_of,))
    }
}

/// A module by its dotted name, as Python looks for one in a folder: a package, a file, a folder.
fn find(root: &Path, name: &str) -> Result<Option<Found>, Raise> {
    let Some(path) = path_of(root, name) else { return Ok(None) };
    let package = path.join("__init__.py");
    let mut file = path.clone().into_os_string();
    file.push(".py");
    for (file, is_package) in [(package, true), (PathBuf::from(file), false)] {
        if let Some(real) = inside(root, &file, name)?
            && real.is_file()
        {
            let source = read(&real).map_err(|error| {
                Raise::new("ImportError", format!("cannot read {file:?} of the client: {error}"))
            })?;
            return Ok(Some((Some(source), FsString::from(file), is_package)));
        }
    }
    let folder = inside(root, &path, name)?.filter(|real| real.is_dir());
    Ok(folder.map(|_| (None, FsString::from(path), true)))
}

/// Where a name leads to, if it is identifiers with dots between.
fn path_of(root: &Path, name: &str) -> Option<PathBuf> {
    if name.len() > LONGEST {
        return None;
    }
    let mut path = root.to_owned();
    for part in name.split('.') {
        let first = part.chars().next()?;
        let fits = |char: char| char.is_alphanumeric() || char == '_';
        if first.is_numeric() || !part.chars().all(fits) {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

/// The path without links, if there is anything.
fn inside(root: &Path, path: &Path, name: &str) -> Result<Option<PathBuf>, Raise> {
    match fs::canonicalize(path) {
        Ok(real) if real.starts_with(root) => Ok(Some(real)),
        Ok(_) => {
            let why = format!("{name}: {path:?} leads out of the client's folder");
            Err(Raise::new("ImportError", why))
        }
        Err(_) => Ok(None),
    }
}

fn read(path: &Path) -> io::Result<ByteBuf> {
    let mut source = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut source)?;
    match source.len() as u64 > LARGEST {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(ByteBuf::from(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let path = path_of(Path::new("/m"), name);
        assert_eq!(path.as_deref(), expected.map(Path::new), "{name:?}");
    }

    #[test]
    fn names_are_identifiers_and_dots() {
        check("a", Some("/m/a"));
        check("a.b_1.C", Some("/m/a/b_1/C"));
        check("_é", Some("/m/_é"));
        for name in
            ["", ".", "..", "a..b", ".a", "a.", "a/b", "/a", "../a", "a-b", "1a", "a\0", "a b"]
        {
            check(name, None);
        }
        check(&"a".repeat(LONGEST + 1), None);
    }
}

//! A file put to a place, worked on there, and had back: `cargo run -p thither --example python_files FILE docker:web`.
//! Without a place it is this machine, `local:`.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thither::python::{FsString, Object, Progress};
use thither::{PlaceExt, locals};

/// What is done over there: the file becomes smaller.
const COMPRESS: &str = "\
import gzip, shutil
with open(name, 'rb') as source, gzip.open(name + '.gz', 'wb') as sink:
    shutil.copyfileobj(source, sink)
";

/// Has a file compressed over there, and gets the result beside it: `FILE.gz`.
pub(crate) fn show(
    file: &Path,
    place: &str,
    out: &mut dyn Write,
) -> Result<PathBuf, Box<dyn Error>> {
    let py = thither::connect(place)?.python()?;
    let mut compressed = file.as_os_str().to_owned();
    compressed.push(".gz");
    let compressed = PathBuf::from(compressed);

    // Its own folder over there is removed in the end, as by `with` in Python.
    let folder: Object = py.get("tempfile.TemporaryDirectory")?.call0()?;
    let mut parts = 0;
    folder.with(|folder: FsString| {
        let name = Path::new(&folder.0).join("file");
        py.putfile(file, &name, &mut |Progress { .. }| parts += 1)?;
        py.exec(COMPRESS, locals! { name: FsString::from(&name) })?;
        py.getfile(name.with_extension("gz"), &compressed, &mut |_| parts += 1)
    })?;
    writeln!(out, "{} in {parts} parts", compressed.display())?;
    Ok(compressed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let file = args.next().ok_or("which file?")?;
    let place = args.next().unwrap_or_else(|| "local:".into());
    let place = place.to_str().ok_or("the place is not in UTF-8")?;
    show(Path::new(&file), place, &mut io::stdout()).map(|_| ())
}

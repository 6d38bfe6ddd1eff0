//! What is measured, and how each is started.

use std::process::Command;

use crate::bench::example;
use crate::bench::worker::Worker;
use crate::peers::{self, PYTHON};
use crate::pychroot::say_failure;
use crate::{Result, cargo};

/// A program that does rounds; the first one is ours.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Or why it cannot be had.
    pub(super) argv: Result<Vec<String>>,
}

/// Their names in the limits.
pub(super) const THITHER: &str = "thither";
pub(super) const FLOOR: &str = "floor";
pub(super) const RPYC: &str = "rpyc";
pub(super) const EXECNET: &str = "execnet";
pub(super) const MITOGEN: &str = "mitogen";

/// Their last releases, and what rpyc needs.
const PACKAGES: &[&str] = &["rpyc==6.0.2", "plumbum==2.0.2", "execnet==2.1.2", "mitogen==0.3.54"];

/// All of them, with the system's Python over there.
pub(super) fn all() -> Vec<Tool> {
    let program = |package, name| {
        Ok(vec![example(package, name, &[])?.to_string_lossy().into_owned(), PYTHON.to_owned()])
    };
    let peers = install();
    let driver = |name: &str, argument: &str| {
        let folder = peers.clone()?;
        let driver = cargo::workspace().join(format!("xtask/src/bench/python/drive_{name}.py"));
        let python = format!("{folder}/bin/python");
        // No bytecode beside the source.
        let argv = [&python, "-B", &driver.to_string_lossy(), argument];
        Ok(argv.map(String::from).to_vec())
    };
    // rpyc has to be installed on both sides, so its other end is the environment's Python, which is the same program.
    let server = peers.clone().map(|folder| format!("{folder}/bin/rpyc_classic.py"));
    vec![
        Tool { name: THITHER, argv: program("thither-python", "measure") },
        Tool { name: FLOOR, argv: program("xtask", "python_floor") },
        Tool { name: RPYC, argv: server.and_then(|server| driver("rpyc", &server)) },
        Tool { name: EXECNET, argv: driver("execnet", PYTHON) },
        Tool { name: MITOGEN, argv: driver("mitogen", PYTHON) },
    ]
}

impl Tool {
    pub(super) fn start(&self) -> Result<Worker> {
        Worker::start(self.argv.as_ref().map_err(Clone::clone)?)
    }
}

/// What is measured, by their own words, and how it is started.
pub(super) fn print_versions(tools: &[Tool]) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    println!("\nLinux {}", read("/proc/sys/kernel/osrelease"));
    println!("{PYTHON} over there: {}", peers::version(&[PYTHON, "--version"]));
    for tool in tools {
        let words =
            tool.argv.as_ref().map_or(String::new(), |argv| format!(": {}", argv.join(" ")));
        let version = tool.start().map_or_else(|reason| reason, |worker| worker.version.clone());
        println!("  {}: {version}{words}", tool.name);
    }
    println!("load average {}", read("/proc/loadavg"));
}

/// Installs the peers into a virtual environment under the target folder, once, and returns its path.
///
/// # Errors
/// Why they cannot be had.
fn install() -> Result<String> {
    const CHECK: &str = "
import sys
from importlib.metadata import version
for package in sys.argv[1:]:
    name, wanted = package.split('==')
    if version(name) != wanted:
        sys.exit(f'{name} is {version(name)} instead of {wanted}')";
    let folder = cargo::target().join("python-venv");
    let text = folder.to_string_lossy().into_owned();
    let are_there =
        || say_failure(Command::new(folder.join("bin/python")).args(["-c", CHECK]).args(PACKAGES));
    if are_there().is_ok() {
        return Ok(text);
    }
    println!("Installing {} into {text}", PACKAGES.join(", "));
    say_failure(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    say_failure(&mut pip)?;
    are_there().map(|()| text)
}

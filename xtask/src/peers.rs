//! The programs that tests and benchmarks use and that a fresh machine may lack.

use std::process::{Command, Stdio};

use crate::Result;

/// A program that may be missing.
pub(crate) struct Peer {
    /// A command that succeeds where it is installed.
    check: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
    /// What cannot run without it.
    needed_by: &'static str,
}

const fn peer(
    check: &'static [&'static str],
    package: &'static str,
    needed_by: &'static str,
) -> Peer {
    Peer { check, package, needed_by }
}

const BUSYBOX: Peer = peer(&["busybox", "--list"], "busybox", "tests inside another root");

const TMUX: Peer = peer(&["tmux", "-V"], "tmux", "tests in a whole terminal");

const VENV: Peer =
    peer(&[PYTHON, "-c", "import ensurepip, venv"], "python3-venv", "the comparison with pychroot");

const IPROUTE: Peer = peer(&["ip", "-V"], "iproute2", "the comparison with pychroot");

const STRACE: Peer = peer(&["strace", "-V"], "strace", "tests that kill the tool at every step");

const UIDMAP: Peer =
    peer(&["sh", "-c", "command -v newuidmap"], "uidmap", "tests with subordinate ids");

/// What the comparison with pychroot needs, which brings the loopback interface up with ip(8).
pub(crate) const FOR_COMPLIANCE: &[Peer] = &[BUSYBOX, VENV, IPROUTE];

/// What the tests need.
pub(crate) const FOR_TESTS: &[Peer] = &[BUSYBOX, TMUX, STRACE, VENV, IPROUTE, UIDMAP];

/// What the fuzz targets need.
pub(crate) const FOR_FUZZ: &[Peer] =
    &[peer(&["c++", "--version"], "g++", "fuzzing: libFuzzer is built from C++")];

/// The system's Python, which every user can reach.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What the benchmarks need.
pub(crate) const FOR_BENCH: &[Peer] =
    &[BUSYBOX, peer(&["bwrap", "--version"], "bubblewrap", "the comparison with bwrap"), VENV];

impl Peer {
    fn is_missing(&self) -> bool {
        let mut command = Command::new(self.check[0]);
        command.args(&self.check[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        !command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

/// Installs what is missing where we may, on Debian as root; else says what cannot run and why.
pub(crate) fn prepare(peers: &'static [Peer]) -> Result<()> {
    let missing: Vec<&Peer> = peers.iter().filter(|peer| peer.is_missing()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let cannot = match (testkit::find_program("apt-get"), testkit::is_root()) {
        (Ok(_), true) => None,
        (Ok(_), false) => Some("only root can install it"),
        (Err(_), _) => Some("this is no Debian"),
    };
    if let Some(why) = cannot {
        for Peer { package, needed_by, .. } in missing {
            println!("{package} is missing, and {why}. Cannot run here: {needed_by}.");
        }
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|peer| peer.package).collect();
    println!("Installing with apt: {}", packages.join(", "));
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-qq", "-y", "--no-install-recommends"], &packages[..]].concat())?;
    match missing.iter().find(|peer| peer.is_missing()) {
        Some(peer) => Err(format!("{} is installed, but {:?} fails", peer.package, peer.check)),
        None => Ok(()),
    }
}

/// The first line that a program prints about itself.
pub(crate) fn version(argv: &[&str]) -> String {
    let mut command = Command::new(argv[0]);
    match command.args(&argv[1..]).stdin(Stdio::null()).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            text.lines().next().unwrap_or("(says nothing)").to_owned()
        }
        Err(error) => format!("no {}: {error}", argv[0]),
    }
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {}: {status}", args.join(" "))),
        Err(error) => Err(format!("apt-get: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_noticed() {
        assert!(!peer(&["true"], "", "").is_missing());
        assert!(peer(&["false"], "", "").is_missing());
        assert!(peer(&["no-such-program"], "", "").is_missing());
    }
}

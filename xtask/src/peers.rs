//! The programs that tests and benchmarks use and that a fresh machine may lack.

use std::process::{Command, Stdio};

use crate::Result;
use crate::dist::MINGW as MINGW_GCC;

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

const VENV: Peer = peer(
    &[PYTHON, "-c", "import ensurepip, venv"],
    "python3-venv",
    "the comparisons with Python programs",
);

const IPROUTE: Peer = peer(&["ip", "-V"], "iproute2", "the comparison with pychroot");

const STRACE: Peer = peer(&["strace", "-V"], "strace", "tests that kill the tool at every step");

const UIDMAP: Peer =
    peer(&["sh", "-c", "command -v newuidmap"], "uidmap", "tests with subordinate ids");

const DOCKER: Peer = peer(&["dockerd", "--version"], "docker.io", "tests with Docker");

const REGISTRY: Peer =
    peer(&["docker-registry", "--version"], "docker-registry", "tests that pull images");

const PODMAN: Peer = peer(&["podman", "--version"], "podman", "tests with Podman");

const OPENSSL: Peer = peer(&["openssl", "version"], "openssl", "tests with TLS");

const SSHD: Peer = peer(
    &["sh", "-c", "command -v sshd || test -x /usr/sbin/sshd"],
    "openssh-server",
    "tests and comparisons with ssh",
);

const SSH: Peer = peer(&["ssh", "-V"], "openssh-client", "tests with ssh");

const IMPACKET: Peer =
    peer(&[PYTHON, "-c", "import impacket"], "python3-impacket", "tests with Samba");

const ZSH: Peer = peer(&["zsh", "--version"], "zsh", "tests with zsh as the login shell");

const FISH: Peer = peer(&["fish", "--version"], "fish", "tests with fish as the login shell");

/// Its package makes a service; see [`NO_SERVICES`].
const SAMBA: Peer = peer(
    &["sh", "-c", "PATH=$PATH:/usr/sbin; command -v smbd && command -v smbpasswd"],
    "samba",
    "tests with SMB",
);

/// Its program has no folder of the search path; the package `wine`, which has, is not needed.
const WINE: Peer = peer(
    &["sh", "-c", "command -v wine64 || test -x /usr/lib/wine/wine64"],
    "wine64",
    "tests with Windows",
);

const MINGW: Peer =
    peer(&[MINGW_GCC, "--version"], "gcc-mingw-w64-x86-64", "building the service for Windows");

/// Succeeds where our compiler has a standard library for Windows, or otherwise.
macro_rules! or_for_windows {
    ($otherwise:literal) => {
        concat!(
            "libraries=$(rustc --print target-libdir --target x86_64-pc-windows-gnu) && ",
            "ls \"$libraries\"/libstd-* || ",
            $otherwise
        )
    };
}

const RUSTC_WEB: Peer = peer(
    &["sh", "-c", or_for_windows!("test -x /usr/bin/rustc")],
    "rustc-web",
    "building the service for Windows",
);

const RUST_WEB_SRC: Peer = peer(
    &["sh", "-c", or_for_windows!("test -d /usr/lib/rustlib/src/rust/library/std")],
    "rust-web-src",
    "building the service for Windows",
);

const SUDO: Peer = peer(&["sudo", "--version"], "sudo", "tests with another user over ssh");

/// What the comparison with pychroot needs, which brings the loopback interface up with ip(8).
pub(crate) const FOR_COMPLIANCE: &[Peer] = &[BUSYBOX, VENV, IPROUTE];

/// What the comparison with dockerpty and the docker CLI needs.
pub(crate) const FOR_DOCKER_COMPLIANCE: &[Peer] = &[BUSYBOX, VENV, DOCKER];

/// What the tests need.
pub(crate) const FOR_TESTS: &[Peer] = &[
    BUSYBOX,
    TMUX,
    STRACE,
    VENV,
    IPROUTE,
    UIDMAP,
    DOCKER,
    REGISTRY,
    PODMAN,
    OPENSSL,
    SSHD,
    SSH,
    ZSH,
    FISH,
    SUDO,
    SAMBA,
    IMPACKET,
    WINE,
    MINGW,
    RUSTC_WEB,
    RUST_WEB_SRC,
];

/// What the fuzz targets need.
pub(crate) const FOR_FUZZ: &[Peer] =
    &[peer(&["c++", "--version"], "g++", "fuzzing: libFuzzer is built from C++")];

/// The system's Python, which every user can reach.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What the benchmarks need.
pub(crate) const FOR_BENCH: &[Peer] = &[
    BUSYBOX,
    peer(&["bwrap", "--version"], "bubblewrap", "the comparison with bwrap"),
    VENV,
    DOCKER,
    SSHD,
];

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

/// Runs a command while no package may start its service at its installation: invoke-rc.d(8) asks `policy-rc.d`, if there
/// is one, and 101 forbids it (its path is the first argument). Whatever ends the command, ours goes; another one stays and counts.
const NO_SERVICES: &str = r#"
    policy=$1
    shift
    [ -e "$policy" ] && exec "$@"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    "$@""#;

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("sh");
    command
        .args(["-c", NO_SERVICES, "sh", "/usr/sbin/policy-rc.d", "apt-get"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
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
    fn no_service_is_started_by_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", NO_SERVICES, "sh"]).arg(&policy).args(["sh", "-c", script, "sh"]);
            command.arg(&policy).status().unwrap().code()
        };
        assert_eq!(run("\"$1\""), Some(101));
        assert_eq!(run("kill $PPID; exit 3"), Some(1));
        assert!(!policy.exists());
        testkit::write_program(&policy, "#!/bin/sh\nexit 104\n");
        assert_eq!(run("\"$1\""), Some(104));
        assert!(policy.exists());
    }

    #[test]
    fn what_is_missing_is_noticed() {
        assert!(!peer(&["true"], "", "").is_missing());
        assert!(peer(&["false"], "", "").is_missing());
        assert!(peer(&["no-such-program"], "", "").is_missing());
    }
}

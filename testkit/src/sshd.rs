//! OpenSSH's server on loopback, with keys of its own, and users to log in as.

mod home;
mod users;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub use self::home::{SshHome, SudoRule};
pub use self::users::{PasswordUser, ssh_user};
use crate::network::Network;
use crate::user::public_folder;
use crate::watch::{all_processes, kill, pause};
use crate::{DEADLINE, find_program, is_root, wait_until};

/// Debian's `sshd` on a port of 127.0.0.1, with host keys of its own and one key that logs every user in. It writes
/// nothing outside of a temporary folder.
///
/// It ends, with its sessions and all that they have started, when it is dropped; and when this process ends, however.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    /// A shell that waits for the end of its input, and then ends the server.
    keeper: Child,
}

/// What every server is told. An option of the test's own comes before and so wins (sshd_config(5): the first value).
const CONFIG: &str = "
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
# Its folder is below /tmp, which others may write to.
StrictModes no
PrintMotd no
PrintLastLog no
MaxStartups 200
MaxSessions 200
LogLevel VERBOSE
AllowStreamLocalForwarding yes
AcceptEnv LANG LC_*
";

/// What every server has whose options do not name a subsystem: sshd_config(5) takes none twice.
const SFTP: &str = "Subsystem sftp internal-sftp\n";

/// Starts the server, and ends it when its own input ends: when this process does.
const KEEPER: &str = "\"$@\" & read -r _; kill -KILL $! 2>/dev/null; wait";

/// How often another port is tried, when somebody else took it meanwhile.
const TRIES: usize = 5;

impl Sshd {
    /// Starts one.
    ///
    /// # Errors
    /// The reason for a skip: it is not installed, or we are not root, who alone can log others in.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Result<Sshd, String> {
        Sshd::options("")
    }

    /// Starts one with further lines of sshd_config(5), which win over its own.
    ///
    /// # Errors
    /// As [`start`](Sshd::start).
    ///
    /// # Panics
    /// As [`start`](Sshd::start).
    pub fn options(lines: &str) -> Result<Sshd, String> {
        Sshd::launched(lines, &[])
    }

    /// Starts one in a network of its own, where it listens on all addresses.
    ///
    /// # Errors
    /// As [`start`](Sshd::start).
    ///
    /// # Panics
    /// As [`start`](Sshd::start).
    pub fn within(network: &Network, lines: &str) -> Result<Sshd, String> {
        Sshd::launched(&format!("ListenAddress 0.0.0.0\n{lines}"), &network.words())
    }

    fn launched(lines: &str, words: &[&str]) -> Result<Sshd, String> {
        let sshd = find_program("sshd")?;
        let keygen = find_program("ssh-keygen")?;
        if !is_root() {
            return Err("only root can start an sshd that logs users in".into());
        }
        // Where its unprivileged part lives; the package's service makes it.
        fs::create_dir_all("/run/sshd").expect("/run/sshd");
        let folder = public_folder("thither-sshd").expect("a temporary folder");
        for (name, kind) in [("host", "ed25519"), ("host_ecdsa", "ecdsa"), ("id", "ed25519")] {
            generate_key(&keygen, &folder.path().join(name), kind);
        }
        let key = fs::read_to_string(folder.path().join("id.pub")).expect("a public key");
        let authorized = folder.path().join("authorized_keys");
        fs::write(&authorized, key).expect("authorized_keys");
        // It is read with the rights of who logs in.
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644)).expect("a mode");
        for _ in 1..TRIES {
            if let Some((port, keeper)) = launch(words, &sshd, folder.path(), lines) {
                let server = Sshd { folder, port, keeper };
                server.write_client_files();
                return Ok(server);
            }
        }
        panic!("no port for sshd: {}", read(&folder.path().join("log")));
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The private key that logs in, without a passphrase.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.folder.path().join("id")
    }

    /// Its public host key, a line `ssh-ed25519 BASE64 COMMENT`.
    #[must_use]
    pub fn host_key(&self) -> String {
        read(&self.folder.path().join("host.pub"))
    }

    /// Its other public host key, a line `ecdsa-sha2-nistp256 BASE64 COMMENT`.
    #[must_use]
    pub fn host_key_ecdsa(&self) -> String {
        read(&self.folder.path().join("host_ecdsa.pub"))
    }

    /// A known_hosts file that knows its [`host_key`](Sshd::host_key) as that of `[127.0.0.1]:PORT`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// A configuration for `ssh -F`, by which the host `thither-test` is this one, with its key and nothing of the
    /// user's.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.folder.path().join("ssh_config")
    }

    /// What it has logged so far, of all connections.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    /// Waits until it has logged this.
    ///
    /// # Panics
    /// At the [`DEADLINE`], with what it has logged.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let end = std::time::Instant::now() + DEADLINE;
        while !self.log().contains(text) {
            let late = std::time::Instant::now() >= end;
            assert!(!late, "waited in vain for {text:?}:\n{}", self.log());
            pause();
        }
    }

    /// Its sessions and what they have started, without itself.
    #[must_use]
    pub fn sessions(&self) -> Vec<u32> {
        let Some(listener) = self.listener() else { return Vec::new() };
        self.related(listener).into_iter().filter(|&pid| pid != listener).collect()
    }

    /// Kills its sessions with all that they have started, as a host that goes down would; it goes on listening.
    pub fn kill_sessions(&self) {
        wait_until(DEADLINE, "the end of sshd's sessions", || {
            let left = self.sessions();
            left.iter().for_each(|&pid| kill(pid));
            left.is_empty()
        });
    }

    fn listener(&self) -> Option<u32> {
        let pid = read(&self.folder.path().join("pid")).trim().parse().ok()?;
        // The number may be another process's by now. Its command line names its configuration.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = self.folder.path().as_os_str().as_encoded_bytes();
        line.windows(folder.len()).any(|part| part == folder).then_some(pid)
    }

    /// The listener, what descends from it, and what has lost its parent but was started by a session of this port.
    fn related(&self, listener: u32) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = all_processes(|_| true)
            .into_iter()
            .filter_map(|pid| Some((pid, parent(pid)?)))
            .collect();
        let mut found = vec![listener];
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(pid, _)| *pid));
            next += 1;
        }
        // `SSH_CONNECTION=127.0.0.1 40000 127.0.0.1 PORT`, ssh(1).
        let end = format!(" 127.0.0.1 {}", self.port);
        found.extend(all_processes(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| {
                variable.starts_with(b"SSH_CONNECTION=") && variable.ends_with(end.as_bytes())
            })
        }));
        // What runs the tests may itself have come by ssh.
        found.retain(|&pid| pid != std::process::id());
        found.sort_unstable();
        found.dedup();
        found
    }

    fn write_client_files(&self) {
        let known = format!("[127.0.0.1]:{} {}", self.port, self.host_key());
        let config = format!(
            "Host thither-test\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n",
            self.port,
            self.identity().display(),
            self.known_hosts().display(),
        );
        fs::write(self.known_hosts(), known).expect("known_hosts");
        fs::write(self.ssh_config(), config).expect("ssh_config");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill_sessions();
        // It kills the server and goes.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Starts it on a port that is free; none if it was taken in between.
fn launch(words: &[&str], sshd: &Path, folder: &Path, lines: &str) -> Option<(u16, Child)> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = free.local_addr().expect("a bound socket").port();
    drop(free);
    let file = |name: &str| folder.join(name);
    // One in a network of its own says where it listens.
    let listen = if words.is_empty() { "ListenAddress 127.0.0.1\n" } else { "" };
    let sftp = if lines.contains("Subsystem ") { "" } else { SFTP };
    let own = format!(
        "{lines}\n{listen}{sftp}Port {port}\nHostKey {}\nHostKey {}\nPidFile {}\nAuthorizedKeysFile {}\n{CONFIG}",
        file("host").display(),
        file("host_ecdsa").display(),
        file("pid").display(),
        file("authorized_keys").display(),
    );
    fs::write(file("sshd_config"), own).expect("sshd_config");
    let _ = fs::remove_file(file("pid"));
    let log = File::create(file("log")).expect("a log");
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "sh"])
        .args(words)
        // It starts itself again for each connection, and wants to know where it is.
        .arg(sshd)
        .args(["-D", "-e", "-f"])
        .arg(file("sshd_config"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log)
        .spawn()
        .expect("sh");
    let mut listens = None;
    wait_until(DEADLINE, "sshd to listen", || {
        let said = read(&file("log"));
        assert!(!said.to_lowercase().contains("bad configuration option"), "{said}");
        listens = match () {
            () if said.contains("Cannot bind any address") => Some(false),
            () if said.contains("Server listening on") && file("pid").exists() => Some(true),
            () => None,
        };
        listens.is_some()
    });
    match listens {
        Some(true) => Some((port, keeper)),
        _ => {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
            None
        }
    }
}

/// Makes a key pair without a passphrase.
fn generate_key(keygen: &Path, path: &Path, kind: &str) {
    let output = Command::new(keygen)
        .args(["-q", "-N", "", "-C", "thither-test", "-t", kind, "-f"])
        .arg(path)
        .output()
        .expect("ssh-keygen");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parent of a process: the fourth field of its `stat`, proc_pid_stat(5), counted behind the name in brackets.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// What a program said that failed.
fn complain(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

#[cfg(test)]
mod tests;

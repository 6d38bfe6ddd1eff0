//! A daemon to be measured, in a folder of its own, and a client that is paired with it.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{DEADLINE, wait_until};

use crate::Result;
use crate::bench::files::text;
use crate::bench::rounds::catch;

/// `thither serve` on a Unix socket and on TLS of loopback, as it is by default. It ends when this is dropped.
pub(super) struct Host {
    daemon: Child,
    folder: TempDir,
    port: u16,
}

impl Host {
    /// Starts it, and makes it and a client known to each other.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn start(ours: &Path) -> Result<Host> {
        let failed = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(failed)?;
        let runtime = folder.path().join("run");
        fs::create_dir(&runtime).map_err(failed)?;
        fs::set_permissions(&runtime, Permissions::from_mode(0o700)).map_err(failed)?;
        let own = variables(folder.path());
        let ours = text(ours);
        let thither = |words: &[&str]| command(&own, &[&[ours.as_str()], words].concat());

        let token = thither(&["serve", "pair"]).output().map_err(failed)?.stdout;
        // What it may have open is what it needs for the clients of daemon-many: that many are for systemd to grant.
        let script = r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#;
        let socket = text(&folder.path().join("socket"));
        let root: &[&str] = if testkit::is_root() { &["--allow-root"] } else { &[] };
        let words = [&["serve", "--socket", &socket, "--listen", "127.0.0.1:0"], root].concat();
        let argv = [&["sh", "-c", script, "sh", &ours], &words[..]].concat();
        let log = File::create(folder.path().join("log")).map_err(failed)?;
        let mut daemon = command(&own, &argv);
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = daemon.spawn().map_err(failed)?;
        let mut host = Host { daemon, folder, port: 0 };
        host.port = host.wait_for_port()?;

        let mut pair = thither(&["pair", &format!("127.0.0.1:{}", host.port)]);
        pair.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut pair = pair.spawn().map_err(failed)?;
        // If it does not read, it says so by its status.
        let _ = pair.stdin.take().map(|mut stdin| stdin.write_all(&token));
        match pair.wait().map_err(failed)? {
            status if status.success() => Ok(host),
            status => Err(format!("thither pair: {status}")),
        }
    }

    fn wait_for_port(&self) -> Result<u16> {
        catch(|| {
            let mut port = None;
            wait_until(DEADLINE, "a daemon that listens", || {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                port = log.split_once("daemon:127.0.0.1:").and_then(|(_, rest)| {
                    rest.split_once('"').and_then(|(port, _)| port.parse().ok())
                });
                port.is_some()
            });
            port.ok_or_else(|| "it listens nowhere".to_owned())
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// How often it has said that.
    pub(super) fn events(&self, event: &str) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.split(' ').nth(1) == Some(event)).count()
    }

    pub(super) fn unix(&self) -> String {
        format!("daemon:{}", self.path("socket").display())
    }

    pub(super) fn tls(&self) -> String {
        format!("daemon:127.0.0.1:{}", self.port)
    }

    /// The variables of everything that is measured.
    pub(super) fn variables(&self) -> [(&'static str, String); 5] {
        variables(self.folder.path())
    }

    /// A program with nothing in its environment that depends on who measures.
    pub(super) fn command(&self, argv: &[String]) -> Command {
        command(&self.variables(), &argv.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn variables(folder: &Path) -> [(&'static str, String); 5] {
    let path = |name: &str| text(&folder.join(name));
    [
        ("HOME", text(folder)),
        ("XDG_CONFIG_HOME", path("config")),
        ("XDG_RUNTIME_DIR", path("run")),
        ("XDG_STATE_HOME", path("state")),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
    ]
}

fn command(variables: &[(&'static str, String)], argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).env_clear().current_dir("/");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nothing runs there any more; it ends at once.
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

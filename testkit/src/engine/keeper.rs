//! A daemon that ends with whoever started it, and leaves nothing.

use std::fs::{self, File, Permissions};
use std::io::{self, PipeWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::watch::all_processes;
use crate::{DEADLINE, find_program, is_root, wait_until};

const KEEP: &str = include_str!("keep.sh");
const INNER: &str = include_str!("inner.sh");
const CLEAN: &str = include_str!("clean.sh");

/// What the names of our folders in the folder for temporary files begin with.
const PREFIX: &str = "thither-daemon-";

/// The longest path of a folder. Unix sockets have at most 107 bytes (unix(7)), and the daemons' own are up to 40
/// bytes longer than the folder.
const LONGEST: usize = 60;

/// A folder for a daemon, locked while anything of it lives.
///
/// The lock (flock(2)) is on the folder itself and is held by this value and by the keeper that it is given to. A
/// folder without a lock is a dead one's.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes one in the folder for temporary files, after removing those of the dead.
    pub(crate) fn new() -> Result<Folder, String> {
        let mut parent = std::env::temp_dir();
        if parent.as_os_str().len() + PREFIX.len() + 8 > LONGEST {
            parent = PathBuf::from("/tmp");
        }
        Folder::below(&parent)
    }

    /// The same in this folder, whose path is short.
    pub(crate) fn below(parent: &Path) -> Result<Folder, String> {
        if !is_root() {
            return Err("only root can start it".into());
        }
        sweep(parent);
        can_unshare()?;
        let failed = |error| format!("no folder in {}: {error}", parent.display());
        loop {
            if let Some(folder) = Folder::make(parent).map_err(failed)? {
                return Ok(folder);
            }
        }
    }

    /// Makes one, unless somebody sweeps it before it is locked.
    fn make(parent: &Path) -> io::Result<Option<Folder>> {
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
        let Ok(lock) = File::open(&path) else { return Ok(None) };
        if lock.try_lock().is_err() || !path.exists() {
            return Ok(None);
        }
        // Ordinary users may be let through to a socket.
        fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        Ok(Some(Folder { path, lock }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Why namespaces cannot be had, as inside a container without the rights to mount.
fn can_unshare() -> Result<(), String> {
    let mut command = Command::new(find_program("unshare")?);
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "true"]);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// Removes what the dead have left in a folder: files and empty cgroups.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let ours = entries.filter_map(Result::ok).filter(|entry| {
        let name = entry.file_name();
        let named = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        let owner = rustix::process::geteuid().as_raw();
        // Not followed: a link is no folder of ours.
        named && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == owner)
    });
    for path in ours.map(|entry| entry.path()) {
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            let mut clean = Command::new("sh");
            let _ = clean.args(["-c", CLEAN, "clean"]).arg(&path).status();
        }
    }
}

/// A running daemon. Ends it and all that came of it when dropped, or when this process ends, by SIGKILL too.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    /// What the daemon's process is called, at most 15 bytes (proc_pid_comm(5)).
    name: String,
    input: Option<PipeWriter>,
    child: Child,
}

impl Keeper {
    /// Starts a daemon: a command of which only the program, the arguments and the environment count. What it prints
    /// goes to the file `log` in its folder.
    pub(crate) fn start(folder: Folder, network: bool, daemon: &Command) -> Result<Keeper, String> {
        let Folder { path, lock } = folder;
        let failed = |error: io::Error| format!("cannot start {daemon:?}: {error}");
        let (reader, writer) = io::pipe().map_err(failed)?;
        let log = File::options().create(true).append(true).open(path.join("log"));
        let mut keeper = Command::new("sh");
        keeper.args(["-c", &format!("{KEEP}\n{CLEAN}"), "keeper"]).arg(&path);
        keeper.args(network.then_some("--net"));
        keeper.args(["sh", "-c", INNER, "inner"]).arg(&path);
        keeper.arg(daemon.get_program()).args(daemon.get_args());
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => keeper.env(name, value),
                None => keeper.env_remove(name),
            };
        }
        // In a process group of its own, a ^C at the terminal is for the tests alone, whose end we see.
        keeper.process_group(0).current_dir("/");
        keeper.stdin(reader).stdout(lock).stderr(log.map_err(failed)?);
        let child = keeper.spawn().map_err(failed)?;
        let program = Path::new(daemon.get_program()).file_name().unwrap_or_default();
        let name = program.to_string_lossy().chars().take(15).collect();
        Ok(Keeper { path, name, input: Some(writer), child })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the daemon is `ready`.
    ///
    /// # Errors
    /// When it ends instead, or is not ready at the deadline: the end of what it has printed.
    pub(crate) fn wait_for(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), String> {
        let end = std::time::Instant::now() + DEADLINE;
        while !ready() {
            let gone = self.has_ended() || self.child.try_wait().is_ok_and(|it| it.is_some());
            if gone || std::time::Instant::now() >= end {
                let what = if gone { "ended" } else { "does not answer" };
                return Err(format!("{} {what}: {}", self.name, self.last_words()));
            }
            crate::watch::pause();
        }
        Ok(())
    }

    /// The last lines that it printed.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.trim_end().lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }

    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.path.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn has_ended(&self) -> bool {
        self.path.join("ended").exists()
    }

    /// The daemon's id as seen from here.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let path = self.path.to_string_lossy().into_owned();
        let ours = |process: &Path| {
            let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            comm.trim_end() == self.name && String::from_utf8_lossy(&line).contains(&path)
        };
        *all_processes(ours).first().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Ends the daemon alone by a signal, and waits for its end.
    #[track_caller]
    pub(crate) fn end(&self, signal: Signal) {
        self.signal(signal);
        wait_until(DEADLINE, "the daemon's end", || self.has_ended());
    }

    /// Stops the daemon by SIGSTOP, and waits until none of its threads runs.
    #[track_caller]
    pub(crate) fn pause(&self) {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid()));
        self.signal(Signal::STOP);
        wait_until(DEADLINE, "the daemon's standstill", || {
            let threads = fs::read_dir(&tasks).expect("the daemon's threads");
            threads.filter_map(Result::ok).all(|thread| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                status.is_empty() || status.contains("\nState:\tT")
            })
        });
    }

    /// Starts it again when it has ended.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        let input = self.input.as_mut().expect("it is there until the drop");
        input.write_all(b"start\n").expect("the keeper");
        wait_until(DEADLINE, "the daemon's start", || !self.has_ended());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.input.take());
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let ended = || !matches!(self.child.try_wait(), Ok(None));
            wait_until(DEADLINE, "the keeper's end", ended);
        }));
        if waited.is_err() {
            // Its own folder stays for the next sweep.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that is only looked at: see [`Keeper::start`].
pub(crate) fn daemon(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Marker;

    fn start(marker: &Marker, script: &str) -> Result<Keeper, String> {
        let folder = Folder::new()?;
        let mut daemon = daemon(Path::new("sh"));
        daemon.args(["-c", script, "sh"]).arg(folder.path());
        marker.mark(&mut daemon);
        Keeper::start(folder, false, &daemon)
    }

    const SLEEP: &str = "setsid sleep inf & mkdir \"$1/m\"; mount -t tmpfs none \"$1/m\"; \
                         touch \"$1/ready\"; sleep inf & wait";

    #[test]
    fn all_of_it_ends_with_the_value() {
        let marker = Marker::new();
        let mut keeper = match start(&marker, SLEEP) {
            Ok(keeper) => keeper,
            Err(reason) => crate::skip!("{reason}"),
        };
        let path = keeper.path().to_path_buf();
        keeper.wait_for(|| path.join("ready").exists()).unwrap();
        assert!(marker.processes().len() >= 5);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o711);
        let mounted = |line: &String| line.contains(path.to_str().unwrap());
        assert!(!crate::mounts().iter().any(mounted));
        drop(keeper);
        assert_eq!(marker.processes(), [0; 0]);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_fails_says_why() {
        let marker = Marker::new();
        let mut keeper = match start(&marker, "echo one; echo two >&2; exit 3") {
            Ok(keeper) => keeper,
            Err(reason) => crate::skip!("{reason}"),
        };
        assert_eq!(keeper.wait_for(|| false), Err("sh ended: one / two".into()));
        assert_eq!(keeper.log(), "one\ntwo\n");
    }

    #[test]
    fn what_a_killed_keeper_leaves_is_swept() {
        let marker = Marker::new();
        let mut keeper = match start(&marker, SLEEP) {
            Ok(keeper) => keeper,
            Err(reason) => crate::skip!("{reason}"),
        };
        let path = keeper.path().to_path_buf();
        keeper.wait_for(|| path.join("ready").exists()).unwrap();
        drop(Folder::new().unwrap());
        assert!(path.join("ready").exists(), "a living one was swept");
        // As `cargo xtask test` ends what was left behind.
        marker.processes().into_iter().for_each(crate::watch::kill);
        marker.assert_gone();
        drop(Folder::new().unwrap());
        // Another test may be at it.
        wait_until(DEADLINE, "the folder's end", || !path.exists());
    }
}

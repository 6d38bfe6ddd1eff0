//! Waiting with a deadline, and looking for what was left behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for something that must happen: long enough for a loaded machine with two cores.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until `happened`; for what gives no event, such as a process of someone else ending.
///
/// # Panics
/// After `deadline`, with `what` was waited for.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !happened() {
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {what}");
        pause();
    }
}

/// The pause between two looks at what gives no event; the only place of the tests that sleeps.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// The path of a program by its name, in `PATH` or in the folders of the administrator's programs.
///
/// # Errors
/// The reason for a skip.
pub fn find_program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| {
            rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
        })
        .ok_or_else(|| format!("{name} is not installed"))
}

/// The open descriptors of a process and what each refers to, in order; of this one with
/// `std::process::id()`. The descriptor of the look itself is left out.
///
/// # Panics
/// When the process is gone or someone else's.
#[must_use]
#[track_caller]
pub fn descriptors(pid: u32) -> Vec<(i32, PathBuf)> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut found: Vec<(i32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let target = fs::read_link(folder.join(&name)).ok()?;
            Some((name.to_str()?.parse().ok()?, target))
        })
        .filter(|(_, target)| !target.ends_with(format!("{pid}/fd")))
        .collect();
    found.sort();
    found
}

/// The lines of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
///
/// # Panics
/// Without /proc.
#[must_use]
pub fn mounts() -> Vec<String> {
    let text = fs::read("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    String::from_utf8_lossy(&text).lines().map(String::from).collect()
}

/// A mark in the environment of a command, by which every process that comes of it is found again: environments
/// are inherited across fork, exec, sessions and namespaces, parents are not.
#[derive(Debug)]
pub struct Marker {
    /// A variable's name, so that one mark does not cover another.
    variable: String,
}

impl Marker {
    /// A mark that no other process bears.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Marker {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Marker { variable: format!("THITHER_MARK_{}_{n}", std::process::id()) }
    }

    /// Marks a command.
    pub fn mark<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(&self.variable, "1")
    }

    /// The mark as a variable, for commands of other types.
    #[must_use]
    pub fn variable(&self) -> (&str, &str) {
        (&self.variable, "1")
    }

    /// The processes that bear the mark, without zombies, in order. Only root sees those of other users.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("{}=1", self.variable);
        all_processes(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        })
    }

    /// Waits until no process bears the mark, and kills those that still do at the `deadline`. Returns their ids and
    /// command lines.
    #[must_use]
    pub fn survivors(&self, deadline: Duration) -> Vec<String> {
        let end = Instant::now() + deadline;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() >= end {
                let survivors = left.iter().map(|&pid| describe(pid)).collect();
                left.into_iter().for_each(kill);
                return survivors;
            }
            pause();
        }
    }

    /// Waits until no process bears the mark.
    ///
    /// # Panics
    /// When one is still there at the [`DEADLINE`], with its command line.
    #[track_caller]
    pub fn assert_gone(&self) {
        let survivors = self.survivors(DEADLINE);
        assert!(survivors.is_empty(), "left behind after {DEADLINE:?}: {}", survivors.join("; "));
    }
}

/// The processes that `wanted` picks by their folder in /proc, in order.
pub(crate) fn all_processes(wanted: impl Fn(&Path) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let mut found: Vec<u32> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            wanted(&path).then_some(pid)
        })
        .collect();
    found.sort_unstable();
    found
}

/// Kills a process, if it still exists.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// How much of a command line is shown, in characters.
const LONGEST_LINE: usize = 150;

fn describe(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .map(|word| OsStr::from_bytes(word).to_string_lossy().into_owned())
        .collect();
    // A script in it has many lines, of which the first is enough to know it.
    let line = words.join(" ").replace('\n', " ");
    format!("{pid} {}", line.chars().take(LONGEST_LINE).collect::<String>().trim_end())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::ExitStatusExt;
    use std::panic::catch_unwind;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_deadline_fails_and_says_what_for() {
        let panic = catch_unwind(|| wait_until(Duration::ZERO, "the moon", || false)).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "waited 0ns in vain: the moon");
        let mut looks = 0;
        wait_until(DEADLINE, "three looks", || {
            looks += 1;
            looks == 3
        });
    }

    #[test]
    fn programs() {
        assert!(find_program("sh").unwrap().is_absolute());
        assert_eq!(find_program("no-such-program"), Err("no-such-program is not installed".into()));
    }

    #[test]
    fn an_open_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        let seen = || descriptors(std::process::id()).into_iter().any(|(_, target)| target == path);
        assert!(!seen());
        let file = File::create(&path).unwrap();
        assert!(descriptors(std::process::id()).contains(&(file.as_raw_fd(), path.clone())));
        drop(file);
        assert!(!seen());
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(mounts().iter().any(|line| line.split(' ').nth(4) == Some("/")));
    }

    #[test]
    fn marked_processes_are_found_wherever_they_go() {
        let marker = Marker::new();
        let mut command = Command::new("sh");
        // The inner one leaves its parent and its session, and then execs.
        command.args(["-c", "exec 3<&0; setsid sh -c 'exec cat' <&3 & wait"]);
        marker.mark(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until(DEADLINE, "two marked processes", || marker.processes().len() == 2);
        assert!(marker.processes().contains(&child.id()));
        assert_eq!(Marker::new().processes(), [0; 0]);
        drop(child.stdin.take());
        child.wait().unwrap();
        marker.assert_gone();
    }

    #[test]
    fn survivors_are_named_and_killed() {
        let (outer, inner) = (Marker::new(), Marker::new());
        let mut command = Command::new("cat");
        let mut child = inner.mark(outer.mark(&mut command)).stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        wait_until(DEADLINE, "cat", || describe(id).ends_with(" cat"));
        assert_eq!(inner.processes(), [id]);
        assert_eq!(outer.survivors(Duration::ZERO), [format!("{id} cat")]);
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(outer.survivors(Duration::ZERO), [""; 0]);
    }
}

//! Files to be copied, in memory: a disk on which it takes half a millisecond to make a file, as in some virtual machines,
//! makes all tools equal.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::fs::{statfs, statvfs};

use super::rounds::{Cost, run};
use crate::Result;

const FOLDERS: usize = 100;
pub(super) const FILES: usize = 10_000;
/// Longest, in bytes; they differ.
pub(super) const LONGEST: usize = 4096;

/// A file system in memory, if it is one.
pub(super) const MEMORY: &str = "/dev/shm";
/// TMPFS_MAGIC of <linux/magic.h>.
const TMPFS: u64 = 0x0102_1994;

/// Why it is not a file system in memory with so much room.
pub(super) fn is_roomy_memory(folder: &Path, mib: u64) -> Result<()> {
    let failed = |error: rustix::io::Errno| error.to_string();
    if statfs(folder).map_err(failed)?.f_type as u64 != TMPFS {
        return Err("no tmpfs".into());
    }
    let room = statvfs(folder).map_err(failed)?;
    match (room.f_bavail * room.f_frsize) >> 20 {
        free if free < mib => Err(format!("{free} MiB are free, and {mib} are needed")),
        _ => Ok(()),
    }
}

/// Makes the many small files.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    for index in 0..FILES {
        let parent = folder.join(format!("{:02}", index % FOLDERS));
        if index < FOLDERS {
            fs::create_dir_all(&parent)?;
        }
        // 1 to LONGEST, spread evenly.
        let length = index * 2_654_435_761 % LONGEST + 1;
        fs::write(parent.join(format!("{index}.txt")), vec![b'a'; length])?;
    }
    Ok(())
}

/// The files in a folder of folders.
pub(super) fn count(folder: &Path) -> usize {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    entries(folder).map(|entry| entries(&entry.path()).count()).sum()
}

/// Runs a tool of whose output nothing counts: Debian's docker cp says a word.
pub(super) fn run_quietly(command: &Command) -> Result<Cost> {
    let mut quiet = Command::new("sh");
    quiet.args(["-c", "exec \"$@\" >/dev/null", "sh"]).arg(command.get_program());
    quiet.args(command.get_args()).current_dir("/").env_clear();
    quiet.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(quiet, 0)
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path()).unwrap();
        assert_eq!(count(folder.path()), FILES);
        assert_eq!(count(&folder.path().join("none")), 0);
    }

    #[test]
    fn what_is_no_memory() {
        assert_eq!(is_roomy_memory(Path::new("/proc"), 0), Err("no tmpfs".into()));
        let none = is_roomy_memory(Path::new("/no such folder"), 0);
        assert_eq!(none, Err("No such file or directory (os error 2)".into()));
    }
}

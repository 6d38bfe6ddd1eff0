//! Many small files, in and out.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::fs::{statfs, statvfs};
use testkit::{Engine, Setup};

use super::tools::{self, DOCKER};
use super::{Docker, milliseconds};
use crate::Result;
use crate::bench::rounds::{Cost, interleaved, quantile, run};
use crate::bench::table::{Limit, Table};

const LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: DOCKER, most: 0.8 },
    Limit::Ratio { column: 3, against: DOCKER, most: 0.8 },
];

const FOLDERS: usize = 100;
const FILES: usize = 10_000;
/// Longest, in bytes; they differ.
const LONGEST: usize = 4096;

/// A file system in memory, if it is one.
const MEMORY: &str = "/dev/shm";
/// TMPFS_MAGIC of <linux/magic.h>.
const TMPFS: u64 = 0x0102_1994;
/// The files take 40 MiB at most in four places, and the engine has its image.
const ROOM_MIB: u64 = 512;

/// Which way.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Docker<'_> {
    /// In memory where that can be had: a disk on which it takes half a millisecond to make a file, as in some virtual
    /// machines, makes all tools equal.
    pub(super) fn copy(&self) -> Vec<String> {
        if let Err(reason) = is_roomy_memory(Path::new(MEMORY)) {
            return self.copy_in(&std::env::temp_dir(), &format!(" ({MEMORY}: {reason})"));
        }
        let setup = Setup { parent: Some(Path::new(MEMORY)), ..Setup::default() };
        let engine = match Engine::with(setup) {
            Ok(engine) => engine,
            Err(reason) => return vec![format!("docker-cp: in {MEMORY}: {reason}")],
        };
        let container = engine.container(&["sleep", "2147483647"]).start();
        let docker =
            Docker { ours: self.ours, engine: &engine, container, tools: vec![], runs: self.runs };
        docker.copy_in(Path::new(MEMORY), " with an engine of its own")
    }

    fn copy_in(&self, parent: &Path, remark: &str) -> Vec<String> {
        let runs = self.runs.div_ceil(3);
        let title = format!(
            "docker-cp: {FILES} files of up to {LONGEST} bytes in and out, in {}{remark}; \
             n = {runs}, interleaved",
            parent.display()
        );
        let folder = match tempfile::tempdir_in(parent) {
            Ok(folder) => folder,
            Err(error) => return vec![format!("{title}: {error}")],
        };
        let source = folder.path().join("files");
        if let Err(error) = make(&source) {
            return vec![format!("{title}: {}: {error}", source.display())];
        }
        self.prepare("mkdir /in /out");
        self.engine.docker(&["cp", &text(&source), &format!("{}:/out/", self.container.name())]);
        let names = ["thither", DOCKER];
        let [into, out] = [Way::In, Way::Out].map(|way| {
            interleaved(names.len(), runs, |index| self.copy_once(way, folder.path(), names[index]))
        });
        let rows = into.into_iter().zip(out).map(|(into, out)| {
            Ok([
                figures(into.map_err(|e| format!("in: {e}"))?),
                figures(out.map_err(|e| format!("out: {e}"))?),
            ]
            .concat())
        });
        let columns = &["in, median ms", "min ms", "CPU ms", "out, median ms", "min ms", "CPU ms"];
        let rows = names.into_iter().zip(rows).collect();
        Table { title: &title, columns, rows, limits: LIMITS }.print()
    }

    fn copy_once(&self, way: Way, folder: &Path, name: &str) -> Result<Cost> {
        let over_there = |path: &str| match name {
            DOCKER => format!("{}:{path}", self.container.name()),
            _ => format!("docker:{}::{path}", self.container.name()),
        };
        let got = folder.join("got");
        let (from, to) = match way {
            Way::In => (text(&folder.join("files")), over_there("/in")),
            Way::Out => (over_there("/out/files"), text(&got)),
        };
        let mut command = match name {
            DOCKER => tools::clean(&tools::docker(self.engine), self.engine),
            _ => tools::clean(&self.ours.to_string_lossy(), self.engine),
        };
        command.arg("cp");
        if name != DOCKER {
            command.arg("-r");
        }
        fs::create_dir(&got).map_err(|error| error.to_string())?;
        let cost = run_quietly(command.args([from, to]));
        // Counted before it is taken away.
        let local = count(&got.join("files"));
        fs::remove_dir_all(&got).map_err(|error| error.to_string())?;
        let (_, there) =
            self.container.exec(&["sh", "-c", "find /in -type f | wc -l; rm -rf /in/files"]);
        let arrived = match way {
            Way::In => there.trim().to_owned(),
            Way::Out => local.to_string(),
        };
        match (cost?, arrived == FILES.to_string()) {
            (cost, true) => Ok(cost),
            (_, false) => Err(format!("{arrived} files arrived")),
        }
    }
}

/// What a tool prints does not count: Debian's docker cp says a word.
fn run_quietly(command: &mut Command) -> Result<Cost> {
    let mut quiet = Command::new("sh");
    quiet.args(["-c", "exec \"$@\" >/dev/null", "sh"]).arg(command.get_program());
    quiet.args(command.get_args()).current_dir("/").env_clear();
    quiet.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(quiet, 0)
}

fn figures(costs: Vec<Cost>) -> [f64; 3] {
    let walls = || costs.iter().map(|cost| cost.wall);
    let cpu = quantile(costs.iter().map(|cost| cost.cpu), 0.5);
    [quantile(walls(), 0.5), quantile(walls(), 0.0), cpu].map(milliseconds)
}

/// Why it is not a file system in memory with enough room.
fn is_roomy_memory(folder: &Path) -> Result<()> {
    let failed = |error: rustix::io::Errno| error.to_string();
    if statfs(folder).map_err(failed)?.f_type as u64 != TMPFS {
        return Err("no tmpfs".into());
    }
    let room = statvfs(folder).map_err(failed)?;
    match (room.f_bavail * room.f_frsize) >> 20 {
        ROOM_MIB.. => Ok(()),
        free => Err(format!("{free} MiB are free, and {ROOM_MIB} are needed")),
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
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
fn count(folder: &Path) -> usize {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    entries(folder).map(|entry| entries(&entry.path()).count()).sum()
}

fn text(path: &Path) -> String {
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
        assert_eq!(is_roomy_memory(Path::new("/proc")), Err("no tmpfs".into()));
        let none = is_roomy_memory(Path::new("/no such folder"));
        assert_eq!(none, Err("No such file or directory (os error 2)".into()));
    }
}

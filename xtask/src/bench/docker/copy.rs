//! Many small files, in and out.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::rounds::{Cost, interleaved, quantile, run};
use super::table::{Limit, Table};
use super::tools::{self, DOCKER};
use super::{Docker, milliseconds};
use crate::Result;

const LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: DOCKER, most: 0.8 },
    Limit::Ratio { column: 3, against: DOCKER, most: 0.8 },
];

const FOLDERS: usize = 100;
const FILES: usize = 10_000;
/// Longest, in bytes; they differ.
const LONGEST: usize = 4096;

/// Which way.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Docker<'_> {
    pub(super) fn copy(&self) -> Vec<String> {
        let runs = self.runs.div_ceil(12);
        let title = format!(
            "docker-cp: {FILES} files of up to {LONGEST} bytes in and out; n = {runs}, interleaved"
        );
        let folder = match tempfile::tempdir() {
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
}

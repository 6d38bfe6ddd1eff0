//! Many small files, in and out.

use std::fs;
use std::path::Path;

use testkit::{Engine, Setup};

use super::tools::{self, DOCKER};
use super::{Docker, milliseconds};
use crate::Result;
use crate::bench::files::{
    FILES, LONGEST, MEMORY, count, is_roomy_memory, make, run_quietly, text,
};
use crate::bench::rounds::{Cost, interleaved, quantile};
use crate::bench::table::{Limit, Table};

const LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: DOCKER, most: 0.8 },
    Limit::Ratio { column: 3, against: DOCKER, most: 0.8 },
];

/// The files take 40 MiB at most in four places, and the engine has its image.
const ROOM_MIB: u64 = 512;

/// Which way.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Docker<'_> {
    /// In memory where that can be had.
    pub(super) fn copy(&self) -> Vec<String> {
        if let Err(reason) = is_roomy_memory(Path::new(MEMORY), ROOM_MIB) {
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

fn figures(costs: Vec<Cost>) -> [f64; 3] {
    let walls = || costs.iter().map(|cost| cost.wall);
    let cpu = quantile(costs.iter().map(|cost| cost.cpu), 0.5);
    [quantile(walls(), 0.5), quantile(walls(), 0.0), cpu].map(milliseconds)
}

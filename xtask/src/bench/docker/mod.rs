//! `docker:` against its peers on a real engine: the docker CLI, dockerpty, bollard, and a client that only does what has
//! to be done.

mod copy;
mod terminal;
mod tools;

use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Container, Engine};

use self::tools::{DOCKER, FLOOR, Tool};
use super::memory;
use super::rounds::{Cost, catch, interleaved, milliseconds, quantile, run};
use super::table::{Limit, Table};
use crate::Result;

/// The groups, each of which can be asked for.
pub(super) const GROUPS: [&str; 5] =
    ["docker-exec", "docker-stdout", "docker-terminal", "docker-memory", "docker-cp"];

/// "no worse" means within 5 %.
const NO_WORSE: f64 = 1.05;

const EXEC_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: FLOOR, most: 1.1 },
    Limit::Ratio { column: 3, against: DOCKER, most: 0.25 },
];

/// At least 0.95 of the floor's throughput.
const STDOUT_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: FLOOR, most: 1.0 / 0.95 },
    Limit::Ratio { column: 3, against: DOCKER, most: 0.6 },
];
const STDOUT_MIB: usize = 128;

/// In KiB.
const MEMORY_LIMITS: &[Limit] =
    &[Limit::Most { column: 0, most: 5120.0 }, Limit::Most { column: 1, most: 5120.0 }];

/// What all groups share.
struct Docker<'a> {
    ours: &'a Path,
    engine: &'a Engine,
    container: Container<'a>,
    tools: Vec<Tool>,
    runs: u32,
}

/// Measures the groups that are wanted with our binary, and returns what was missed.
pub(super) fn bench(ours: &Path, runs: u32, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: Vec<&str> = GROUPS.into_iter().filter(|name| is_wanted(name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let engine = match Engine::shared() {
        Ok(engine) => engine,
        Err(reason) => {
            println!("\n{}: {reason}", wanted.join(", "));
            return wanted.iter().map(|name| format!("{name}: {reason}")).collect();
        }
    };
    tools::print_versions(engine);
    let container = engine.container(&["sleep", "2147483647"]).start();
    let tools = tools::all(ours, engine, &container);
    let docker = Docker { ours, engine, container, tools, runs };
    let group = |name| match name {
        "docker-exec" => docker.exec(),
        "docker-stdout" => docker.stdout(),
        "docker-terminal" => docker.terminal(),
        "docker-memory" => docker.memory(),
        _ => docker.copy(),
    };
    let mut missed = Vec::new();
    for name in wanted {
        missed.extend(group(name));
    }
    missed
}

impl Docker<'_> {
    /// The command of one of the tools.
    fn command(&self, index: usize, terminal: bool, words: &[&str]) -> Result<Command> {
        self.tools[index].command(self.engine, terminal, words)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tools.iter().map(|tool| tool.name)
    }

    /// Runs something in the container that prepares it.
    #[track_caller]
    fn prepare(&self, script: &str) {
        let (code, said) = self.container.exec(&["sh", "-c", script]);
        assert_eq!(code, 0, "{script}: {said}");
    }

    /// The same with each tool, its output read from a pipe.
    fn costs(&self, runs: u32, words: &[&str], bytes: usize) -> Vec<Result<Vec<Cost>>> {
        let one = |index| run(self.command(index, false, words)?, bytes);
        interleaved(self.tools.len(), runs, one)
    }

    fn exec(&self) -> Vec<String> {
        let costs = self.costs(self.runs, &["true"], 0);
        let title = format!("docker-exec: start to exit of `true`; n = {}, interleaved", self.runs);
        self.cost_table(&title, costs, EXEC_LIMITS)
    }

    fn stdout(&self) -> Vec<String> {
        let script = format!("exec dd if=/dev/zero bs=64k count={} 2>/dev/null", STDOUT_MIB * 16);
        let runs = self.runs.div_ceil(2);
        let costs = self.costs(runs, &["sh", "-c", &script], STDOUT_MIB << 20);
        let title = format!("docker-stdout: {STDOUT_MIB} MiB to a pipe; n = {runs}, interleaved");
        self.cost_table(&title, costs, STDOUT_LIMITS)
    }

    fn cost_table(
        &self,
        title: &str,
        costs: Vec<Result<Vec<Cost>>>,
        limits: &[Limit],
    ) -> Vec<String> {
        let figures = |costs: Vec<Cost>| {
            let wall = || costs.iter().map(|cost| cost.wall);
            let cpu = quantile(costs.iter().map(|cost| cost.cpu), 0.5);
            [quantile(wall(), 0.5), quantile(wall(), 0.0), quantile(wall(), 0.9), cpu]
                .map(milliseconds)
                .into()
        };
        let rows = self.names().zip(costs.into_iter().map(|costs| costs.map(figures))).collect();
        let columns = &["median ms", "min ms", "p90 ms", "CPU ms (median)"];
        Table { title, columns, rows, limits }.print()
    }

    /// Peak memory while the command waits, after it has printed.
    fn memory(&self) -> Vec<String> {
        self.prepare("mkfifo /release");
        // No input: not every tool passes it on without a terminal.
        let script = |mib: f64| {
            let count = (mib * 16.0) as u32;
            format!(
                "dd if=/dev/zero bs=64k count={count} 2>/dev/null; echo; echo ready; read x </release"
            )
        };
        let release = || self.prepare("echo >/release");
        let rows = (0..self.tools.len()).map(|index| {
            let piped = || -> Result<u64> {
                let mut command = self.command(index, false, &["sh", "-c", &script(16.0)])?;
                command.stdin(Stdio::null());
                largest(memory::peaks_when_ready(command, release)?)
            };
            let at_terminal = || -> Result<u64> {
                let command = self.command(index, true, &["sh", "-c", &script(0.125)])?;
                let peaks = catch(|| Ok(self.peaks_at_terminal(command, release)));
                largest(peaks?)
            };
            let figures = || Ok(vec![piped()? as f64, at_terminal()? as f64]);
            (self.tools[index].name, figures())
        });
        let title = "docker-memory: VmHWM of a tool's largest process, after 16 MiB to a pipe and 128 KiB to a terminal";
        let columns = &["to a pipe, KiB", "terminal, KiB"];
        Table { title, columns, rows: rows.collect(), limits: MEMORY_LIMITS }.print()
    }
}

fn largest(peaks: Vec<u64>) -> Result<u64> {
    peaks.into_iter().max().ok_or("it was not found among the processes".into())
}

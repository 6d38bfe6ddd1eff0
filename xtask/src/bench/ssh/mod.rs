//! `ssh:` against OpenSSH's own programs, on a server of its own on loopback.

mod connect;
mod copy;
mod host;

use std::path::Path;
use std::time::Duration;

use self::host::{Host, NAME};
use super::example;
use super::files::text;
use super::rounds::{Cost, interleaved, milliseconds, quantile, run};
use super::table::{Limit, Table};
use super::worker::Worker;
use crate::{Result, peers};

/// The groups, each of which can be asked for.
pub(super) const GROUPS: [&str; 4] = ["ssh-connect", "ssh-stdout", "ssh-python", "ssh-copy"];

/// "no worse" means within 5 %.
const NO_WORSE: f64 = 1.05;

const THITHER: &str = "thither";
const COLD: &str = "ssh";
const WARM: &str = "ssh, warm";

const COLUMNS: &[&str] = &["median ms", "min ms", "p90 ms", "CPU ms (median)"];

const STDOUT_MIB: usize = 256;
const STDOUT_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: WARM, most: NO_WORSE },
    Limit::Ratio { column: 0, against: COLD, most: NO_WORSE },
];

const PRINT: &str = "print by ssh";
/// In milliseconds. What it takes to let Python print a number in the usual way is shown beside it.
const PYTHON_LIMITS: &[Limit] = &[Limit::Most { column: 0, most: 25.0 }];

/// What is measured.
#[derive(Clone)]
struct Tool {
    name: &'static str,
    argv: Vec<String>,
    /// It finds no `ssh`, so that what it does, it does by itself.
    without_ssh: bool,
}

impl Tool {
    fn new(name: &'static str, argv: Vec<String>) -> Tool {
        Tool { name, argv, without_ssh: false }
    }
}

/// What all groups share.
struct Ssh<'a> {
    ours: &'a Path,
    host: Host,
    runs: u32,
}

/// Measures the groups that are wanted with our binary, and returns what was missed.
pub(super) fn bench(ours: &Path, runs: u32, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: Vec<&str> = GROUPS.into_iter().filter(|name| is_wanted(name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let host = match Host::start() {
        Ok(host) => host,
        Err(reason) => {
            println!("\n{}: {reason}", wanted.join(", "));
            return wanted.iter().map(|name| format!("{name}: {reason}")).collect();
        }
    };
    println!("{}", peers::version(&["ssh", "-V"]));
    println!("{}", peers::version(&["tar", "--version"]));
    println!("{}", peers::version(&[peers::PYTHON, "--version"]));
    // The server needs the processors too: on a busy machine the medians of two equals differ by a fifth.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}", load.trim());
    let ssh = Ssh { ours, host, runs };
    let group = |name| match name {
        "ssh-connect" => ssh.connect(),
        "ssh-stdout" => ssh.stdout(),
        "ssh-python" => ssh.python(),
        _ => ssh.copy(),
    };
    wanted.into_iter().flat_map(group).collect()
}

impl Ssh<'_> {
    /// Ours, and its words.
    fn ours(&self, words: &[&str]) -> Tool {
        let ours = text(self.ours);
        Tool::new(
            THITHER,
            [&[ours.as_str()], words].concat().into_iter().map(String::from).collect(),
        )
    }

    /// `thither run` of these words over there.
    fn ours_running(&self, words: &[&str]) -> Tool {
        self.ours(&[&["run", &format!("ssh:{NAME}"), "--"], words].concat())
    }

    fn ssh_running(&self, words: &[&str]) -> [Tool; 2] {
        let words = [&[NAME], words].concat();
        [
            Tool::new(WARM, self.host.over_master("ssh", &words)),
            Tool::new(COLD, self.host.plain_ssh(&words)),
        ]
    }

    /// A program that stays open, and uses the library.
    fn open_program(&self) -> Result<Tool> {
        let program = text(&example("thither", "measure_place", &[])?);
        Ok(Tool::new(THITHER, vec![program, format!("ssh:{NAME}")]))
    }

    fn start(&self, tool: &Tool) -> Result<Worker> {
        let variables = self.host.variables(tool).map(|(name, value)| format!("{name}={value}"));
        Worker::start(&[&["env".to_owned()], &variables[..], &tool.argv].concat())
    }

    fn stdout(&self) -> Vec<String> {
        let bytes = STDOUT_MIB << 20;
        let words = ["head", "-c", &bytes.to_string(), "/dev/zero"];
        let tools = [&[self.ours_running(&words)], &self.ssh_running(&words)[..]].concat();
        let runs = self.runs.div_ceil(3);
        let title =
            format!("ssh-stdout: {STDOUT_MIB} MiB to a pipe, ours over a warm master; n = {runs}");
        let costs = interleaved(tools.len(), runs, |i| run(self.host.command_of(&tools[i]), bytes));
        table(&title, &tools, costs, STDOUT_LIMITS)
    }

    /// An interpreter's start to its first reply.
    fn python(&self) -> Vec<String> {
        let runs = self.runs;
        let title = format!("ssh-python: to the first reply, over a warm master; n = {runs}");
        let open = match self.open_program() {
            Ok(open) => open,
            Err(reason) => return vec![format!("{title}: {reason}")],
        };
        let print = self.host.over_master("ssh", &[NAME, "python3 -c 'print(1)'"]);
        let tools = [open, Tool::new(PRINT, print)];
        let mut worker = self.start(&tools[0]);
        let costs = interleaved(tools.len(), runs, |index| match index {
            0 => ask(&mut worker, "python"),
            _ => run(self.host.command_of(&tools[index]), 2),
        });
        table(&title, &tools, costs, PYTHON_LIMITS)
    }
}

/// What a round took; what it cost the processor is not known.
pub(super) fn ask(worker: &mut Result<Worker>, round: &str) -> Result<Cost> {
    let values = worker.as_mut().map_err(|reason| reason.clone())?.ask(round)?;
    let wall = values.first().map(|&nanoseconds| Duration::from_nanos(nanoseconds));
    Ok(Cost { wall: wall.ok_or("it says nothing")?, cpu: Duration::ZERO })
}

/// Prints what is measured and the figures, and returns what was missed.
fn table(
    title: &str,
    tools: &[Tool],
    costs: Vec<Result<Vec<Cost>>>,
    limits: &[Limit],
) -> Vec<String> {
    let names = tools.iter().map(|tool| tool.name);
    let rows =
        names.zip(costs.into_iter().map(|costs| costs.map(|costs| figures(&costs)))).collect();
    let title = format!("{title}, interleaved");
    print_lines(tools);
    Table { title: &title, columns: COLUMNS, rows, limits }.print()
}

/// What is run, ahead of its figures.
fn print_lines(tools: &[Tool]) {
    println!();
    tools.iter().for_each(|tool| println!("{}: {}", tool.name, tool.argv.join(" ")));
}

pub(super) fn figures(costs: &[Cost]) -> Vec<f64> {
    let wall = |share| milliseconds(quantile(costs.iter().map(|cost| cost.wall), share));
    let cpu = milliseconds(quantile(costs.iter().map(|cost| cost.cpu), 0.5));
    vec![wall(0.5), wall(0.0), wall(0.9), if cpu > 0.0 { cpu } else { f64::NAN }]
}

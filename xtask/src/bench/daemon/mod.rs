//! `daemon:` over its Unix socket and over TLS, against doing the same here and against bare streams.

mod connect;
mod host;
mod many;
mod stdout;

use std::path::Path;

use self::host::Host;
use super::rounds::Cost;
use super::ssh::figures;
use super::table::{Limit, Table};
use crate::Result;

/// The groups, each of which can be asked for.
pub(super) const GROUPS: [&str; 3] = ["daemon-connect", "daemon-stdout", "daemon-many"];

/// What programs that use daemons are built with.
const FEATURES: &[&str] = &["--features", "daemon"];

const COLUMNS: &[&str] = &["median ms", "min ms", "p90 ms", "CPU ms (median)"];

/// What all groups share.
struct Bench<'a> {
    ours: &'a Path,
    host: Host,
    runs: u32,
}

/// What is measured.
struct Tool {
    name: &'static str,
    argv: Vec<String>,
}

impl Tool {
    fn new(name: &'static str, argv: &[&str]) -> Tool {
        Tool { name, argv: argv.iter().map(|&word| word.to_owned()).collect() }
    }
}

/// Measures the groups that are wanted with our binary, and returns what was missed.
pub(super) fn bench(ours: &Path, runs: u32, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: Vec<&str> = GROUPS.into_iter().filter(|name| is_wanted(name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let host = match Host::start(ours) {
        Ok(host) => host,
        Err(reason) => {
            println!("\n{}: {reason}", wanted.join(", "));
            return wanted.iter().map(|name| format!("{name}: {reason}")).collect();
        }
    };
    // The daemon needs the processors too: on a busy machine the medians of two equals differ by a fifth.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}", load.trim());
    let bench = Bench { ours, host, runs };
    let group = |name| match name {
        "daemon-connect" => bench.connect(),
        "daemon-stdout" => bench.stdout(),
        _ => bench.many(),
    };
    wanted.into_iter().flat_map(group).collect()
}

/// Prints what is measured and the figures, and returns what was missed.
fn table(
    title: &str,
    tools: &[Tool],
    costs: Vec<Result<Vec<Cost>>>,
    limits: &[Limit],
) -> Vec<String> {
    println!();
    tools.iter().for_each(|tool| println!("{}: {}", tool.name, tool.argv.join(" ")));
    let names = tools.iter().map(|tool| tool.name);
    let rows = names.zip(costs.into_iter().map(|costs| costs.map(|costs| figures(&costs))));
    Table { title, columns: COLUMNS, rows: rows.collect(), limits }.print()
}

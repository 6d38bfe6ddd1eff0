//! `smb:` against the same kind of pipe without our wire, both through one smbd and encrypted.

mod host;

use std::path::Path;
use std::time::Duration;

use self::host::Host;
use super::example;
use super::files::text;
use super::rounds::{Cost, interleaved, quantile};
use super::ssh::figures;
use super::table::{Limit, Table};
use super::worker::Worker;
use crate::{Result, peers};

/// The groups, each of which can be asked for.
pub(super) const GROUPS: [&str; 3] = ["smb-trip", "smb-down", "smb-echo"];

/// What goes in a direction, in bytes.
const MUCH: usize = 64 << 20;
/// Round trips of a small message in a round.
const TRIPS: usize = 200;

/// A rate of at least 0.6.
const MOST: f64 = 1.0 / 0.6;
const OURS: &str = "thither";
/// With a daemon of ours that runs cat(1).
const OURS_CAT: &str = "thither, cat";
/// By what is read and written at once.
const RAW_64: &str = "raw, 64 K";
const RAW_1024: &str = "raw, 1 M";
/// With the same program behind it as ours has.
const RAW_CAT: &str = "raw, cat";
const COLUMNS: &[&str] = &["median ms", "min ms", "p90 ms"];

/// Measures the groups that are wanted with our binary, and returns what was missed.
pub(super) fn bench(ours: &Path, runs: u32, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: Vec<&str> = GROUPS.into_iter().filter(|name| is_wanted(name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let measured = Programs::build().and_then(|programs| {
        let host = Host::start(ours)?;
        println!("{}", peers::version(&["smbd", "--version"]));
        // smbd and both ends need the processors.
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("load average {}", load.trim());
        Ok(wanted.iter().flat_map(|name| group(name, &programs, &host, runs)).collect())
    });
    measured.unwrap_or_else(|reason| {
        println!("\n{}: {reason}", wanted.join(", "));
        wanted.iter().map(|name| format!("{name}: {reason}")).collect()
    })
}

/// The programs that do the rounds.
struct Programs {
    ours: String,
    raw: String,
}

impl Programs {
    fn build() -> Result<Programs> {
        let ours = text(&example("thither", "measure_pipe", &["--features", "smb"])?);
        let raw = text(&example("xtask", "pipe_floor", &[])?);
        Ok(Programs { ours, raw })
    }
}

fn group(name: &str, programs: &Programs, host: &Host, runs: u32) -> Vec<String> {
    let (round, count, what) = match name {
        "smb-trip" => ("trip", TRIPS, "a round trip of 16 bytes, the median of 200"),
        "smb-down" => ("down", MUCH, "64 MiB from there"),
        _ => ("echo", MUCH, "64 MiB there and back, both ways at once"),
    };
    // Beside a peer that sends things back, ours is one that does so in our words; what a process costs is another row.
    let place = if round == "trip" { host.wire() } else { host.place() };
    let ours = vec![programs.ours.clone(), place];
    let raw = |peer: &str, kib: &str| {
        [vec![programs.raw.clone()], host.raw(), vec![peer.into(), kib.into()]].concat()
    };
    let mut tools = vec![(OURS, ours), (RAW_64, raw("e", "64"))];
    if round != "trip" {
        tools.push((RAW_1024, raw("e", "1024")));
    }
    if round == "trip" {
        tools.push((OURS_CAT, vec![programs.ours.clone(), host.place()]));
    }
    if round != "down" {
        tools.push((RAW_CAT, raw("c", "64")));
    }
    println!();
    tools.iter().for_each(|(name, argv)| println!("{name}: {}", argv.join(" ")));
    let mut workers: Vec<_> = tools.iter().map(|(_, argv)| Worker::start(argv)).collect();
    let round = format!("{round} {count}");
    let costs = interleaved(tools.len(), runs, |index| ask(&mut workers[index], &round));
    let rows = tools.iter().map(|(name, _)| *name);
    let rows = rows.zip(costs.into_iter().map(|costs| costs.map(|costs| cells(&costs)))).collect();
    let limit = |against| Limit::Ratio { column: 0, against, most: MOST };
    let raw = tools.iter().map(|(name, _)| *name).filter(|name| name.starts_with("raw"));
    let limits: Vec<Limit> = raw.map(limit).collect();
    let title = format!("{name}: {what}, encrypted; n = {runs}, interleaved");
    Table { title: &title, columns: COLUMNS, rows, limits: &limits }.print()
}

/// The median of a round's samples.
fn ask(worker: &mut Result<Worker>, round: &str) -> Result<Cost> {
    let values = worker.as_mut().map_err(|reason| reason.clone())?.ask(round)?;
    let median = Duration::from_nanos(quantile(values, 0.5));
    Ok(Cost { wall: median, cpu: Duration::ZERO })
}

fn cells(costs: &[Cost]) -> Vec<f64> {
    figures(costs)[..COLUMNS.len()].to_vec()
}

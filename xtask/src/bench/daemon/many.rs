//! Many clients at once, and what they make of the daemon.

use std::fs;

use super::{Bench, FEATURES, Tool};
use crate::Result;
use crate::bench::example;
use crate::bench::files::text;
use crate::bench::table::{Limit, Table};

/// Clients at once.
const CLIENTS: usize = 500;
/// How long, in seconds; `QUICK` below `ENOUGH` runs.
const LONG: u32 = 60;
const QUICK: u32 = 10;
const ENOUGH: u32 = 20;

const COLUMNS: &[&str] = &["lost", "peak KiB for each", "round trips/s"];

/// Resident memory of the daemon for each client, at the peak, in KiB: the pages of a stack and of the heap that a thread touches,
/// its buffers, which are as long as what is said, and the keys and buffers of TLS. 60 and 75 were measured, and a third more lets
/// the allocator have its way. A client that says a lot has up to 320 KiB in frames, and input that its program does not take, to
/// the end of the window.
const UNIX_KIB: f64 = 80.0;
const TLS_KIB: f64 = 100.0;

/// A moment in the life of the daemon: KiB of /proc/PID/status and smaps_rollup, and counts.
struct Moment {
    rss: u64,
    pss: u64,
    peak: u64,
    threads: u64,
    descriptors: usize,
}

impl Bench<'_> {
    pub(super) fn many(&self) -> Vec<String> {
        let program = match example("thither", "many_streams", FEATURES) {
            Ok(program) => text(&program),
            Err(reason) => return vec![format!("daemon-many: {reason}")],
        };
        let ways = [("Unix", self.host.unix(), UNIX_KIB), ("TLS", self.host.tls(), TLS_KIB)];
        ways.iter().flat_map(|(way, at, most)| self.many_by(way, at, *most, &program)).collect()
    }

    fn many_by(&self, way: &str, address: &str, most: f64, program: &str) -> Vec<String> {
        let seconds = if self.runs < ENOUGH { QUICK } else { LONG };
        let title = format!("daemon-many: {CLIENTS} clients over {way} for {seconds} s");
        let tool = Tool::new("clients", &[program, address, &CLIENTS.to_string()]);
        println!("\n{}: {}", tool.name, tool.argv.join(" "));
        let row = self.round_of_many(&tool, seconds);
        let limits = [Limit::Most { column: 0, most: 0.0 }, Limit::Most { column: 1, most }];
        Table { title: &title, columns: COLUMNS, rows: vec![("thither", row)], limits: &limits }
            .print()
    }

    /// What was lost, KiB for each client at the peak, and round trips in a second.
    fn round_of_many(&self, tool: &Tool, seconds: u32) -> Result<Vec<f64>> {
        let cut = self.host.events("cut");
        let mut worker = self.worker(tool)?;
        let before = self.moment("before")?;
        let opened = worker.ask("open")?;
        self.moment("opened")?;
        let echoed = worker.ask(&format!("echo {seconds}"))?;
        let after = self.moment("echoed")?;
        let closed = worker.ask("close")?;
        drop(worker);
        self.moment("closed")?;
        println!("  opened {opened:?}, echoed {echoed:?}, closed {closed:?}");
        println!("  {} connections were cut", self.host.events("cut") - cut);
        let ([_, unopened], [trips, _, unechoed], [ended, _]) =
            (&opened[..], &echoed[..], &closed[..])
        else {
            return Err("it says something else".into());
        };
        let unended = (CLIENTS as u64).saturating_sub(*ended);
        let lost = (*unopened).max(*unechoed).max(unended);
        let each = after.peak.saturating_sub(before.rss) as f64 / CLIENTS as f64;
        Ok(vec![lost as f64, each, *trips as f64 / f64::from(seconds)])
    }

    /// Prints it, too.
    fn moment(&self, name: &str) -> Result<Moment> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.host.pid());
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.host.pid()));
        let moment = Moment {
            rss: field(&status, "VmRSS:"),
            pss: field(&rollup, "Pss:"),
            peak: field(&status, "VmHWM:"),
            threads: field(&status, "Threads:"),
            descriptors: descriptors.map_err(|error| error.to_string())?.count(),
        };
        let Moment { rss, pss, peak, threads, descriptors } = &moment;
        println!(
            "  {name:8} RSS {rss:7} KiB, PSS {pss:7}, peak {peak:7}, {threads:4} threads, {descriptors:5} descriptors"
        );
        Ok(moment)
    }
}

/// The number behind this name, or 0.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let text = "Name:\tx\nVmHWM:\t  123 kB\nThreads:\t4\n";
        assert_eq!(["VmHWM:", "Threads:", "Pss:"].map(|name| field(text, name)), [123, 4, 0]);
    }
}

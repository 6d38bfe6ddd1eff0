//! Through a terminal: how much, and how soon a key is seen.

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::Session;

use super::tools::DOCKER;
use super::{Docker, NO_WORSE, memory, milliseconds};
use crate::bench::rounds::{interleaved, quantile};
use crate::bench::table::{Limit, Table};

const THROUGHPUT_LIMITS: &[Limit] = &[Limit::Ratio { column: 0, against: DOCKER, most: NO_WORSE }];

/// The slowest keys wait for the scheduler of a busy machine: twenty of them say little.
const ECHO_LIMITS: &[Limit] = &[
    Limit::Ratio { column: 0, against: DOCKER, most: NO_WORSE },
    Limit::Ratio { column: 1, against: DOCKER, most: 1.25 },
];

/// What a program with colours prints: lines of 64 bytes, to 32 MiB.
const TEXT: &str = r#"
l=$(printf '\033[32mINFO\033[0m  a line of a log with some words and a number: 12')
yes "$l" | head -n 524288 >/text
[ $(wc -c </text) = 33554432 ]"#;
const LINES: usize = 1 << 19;
/// A terminal puts a carriage return ahead of each line end.
const SHOWN: usize = (32 << 20) + LINES;

const SIZE: (u16, u16) = (80, 24);

impl Docker<'_> {
    pub(super) fn terminal(&self) -> Vec<String> {
        [self.throughput(), self.echo()].concat()
    }

    fn throughput(&self) -> Vec<String> {
        self.prepare(TEXT);
        let runs = self.runs.div_ceil(4);
        let times = interleaved(self.tools.len(), runs, |index| {
            let command = self.command(index, true, &["cat", "/text"])?;
            let start = Instant::now();
            let mut session = Session::spawn(command, SIZE);
            let status = session.wait();
            let wall = start.elapsed();
            let shown = session.transcript().len();
            match (status.success(), shown == SHOWN) {
                (true, true) => Ok(wall),
                (true, false) => Err(format!("{shown} bytes were shown instead of {SHOWN}")),
                (false, _) => Err(status.to_string()),
            }
        });
        let figures = |times: Vec<Duration>| {
            let median = milliseconds(quantile(times.iter().copied(), 0.5));
            let min = milliseconds(quantile(times, 0.0));
            vec![median, min, SHOWN as f64 / median / 1e3]
        };
        let rows = times.into_iter().map(|times| times.map(figures));
        let title = format!(
            "docker-terminal: 32 MiB of coloured text through a terminal; n = {runs}, interleaved"
        );
        let rows = self.names().zip(rows).collect();
        let columns = &["median ms", "min ms", "MB/s (median)"];
        Table { title: &title, columns, rows, limits: THROUGHPUT_LIMITS }.print()
    }

    fn echo(&self) -> Vec<String> {
        let keys = self.runs * 40;
        // The kernel's own echo, of a terminal that hands on every key.
        let script = "stty -icanon; echo ready; exec cat >/dev/null";
        let mut sessions: Vec<Option<Session>> = self.tools.iter().map(|_| None).collect();
        let times = interleaved(self.tools.len(), keys, |index| {
            let session = match &mut sessions[index] {
                Some(session) => session,
                none => {
                    let command = self.command(index, true, &["sh", "-c", script])?;
                    let session = none.insert(Session::spawn(command, SIZE));
                    session.expect("ready\r\n");
                    session
                }
            };
            let start = Instant::now();
            session.send("x");
            session.expect("x");
            Ok(start.elapsed())
        });
        for session in sessions.iter_mut().flatten() {
            session.send("\x04\x03");
        }
        let figures = |times: Vec<Duration>| {
            let at = |share| milliseconds(quantile(times.iter().copied(), share)) * 1e3;
            vec![at(0.5), at(0.99), at(0.0)]
        };
        let rows = times.into_iter().map(|times| times.map(figures));
        let title = format!("docker-terminal: a key to its echo; n = {keys}, interleaved");
        let rows = self.names().zip(rows).collect();
        let columns = &["p50 us", "p99 us", "min us"];
        Table { title: &title, columns, rows, limits: ECHO_LIMITS }.print()
    }

    /// What [`memory::peaks_when_ready`] tells, of a tool at a terminal.
    pub(super) fn peaks_at_terminal(&self, command: Command, release: impl FnOnce()) -> Vec<u64> {
        let mut session = Session::spawn(command, SIZE);
        session.expect("ready\r\n");
        let peaks = memory::peaks_of(session.pid());
        release();
        session.wait();
        peaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_length_that_is_looked_for() {
        let line = "\x1b[32mINFO\x1b[0m  a line of a log with some words and a number: 12\n";
        assert!(TEXT.contains(&line.trim_end().replace('\x1b', "\\033")));
        assert_eq!(line.len() * LINES + LINES, SHOWN);
    }
}

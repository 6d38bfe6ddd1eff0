//! `thither-python` against its peers on this machine: rpyc, execnet, mitogen, and a client that only does what has to be
//! done. Each of them is a program that does a round when it is told to (rounds.py says how), so that their rounds take
//! turns.

mod tools;

use self::tools::{EXECNET, FLOOR, MITOGEN, RPYC, Tool};
use super::rounds::{interleaved, quantile};
use super::table::{Limit, Table};
use super::worker::Worker;
use crate::Result;

/// Figures that are measured and printed together. A group may have several of them.
struct Series {
    group: &'static str,
    what: &'static str,
    /// So many times fewer rounds than in the longest series.
    fewer: u32,
    /// The peers have nothing like it.
    alone: bool,
    figures: &'static [Figure],
}

/// A column.
struct Figure {
    /// The name of the round and its numbers. What stands behind each other with the same round is of the same samples.
    round: &'static str,
    column: &'static str,
    /// Which of the sorted samples of all rounds: 0.5 for the median.
    share: f64,
    /// From nanoseconds or KiB.
    unit: fn(f64) -> f64,
    limits: Limits,
}

/// What ours may be.
enum Limits {
    /// At most so many times that of each of these.
    Of(&'static [(&'static str, f64)]),
    /// At most this.
    Most(f64),
}

const fn figure(
    round: &'static str,
    column: &'static str,
    unit: fn(f64) -> f64,
    limits: &'static [(&'static str, f64)],
) -> Figure {
    Figure { round, column, share: 0.5, unit, limits: Limits::Of(limits) }
}

// What ours may take, as a multiple of what the other takes: 1.0 is to be ahead.
const CONNECT: &[(&str, f64)] = &[(FLOOR, 2.0), (EXECNET, 1.0 / 3.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const GETPID: &[(&str, f64)] = &[(FLOOR, 2.0), (EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const AHEAD: &[(&str, f64)] = &[(EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
/// At least 0.4 of the floor's rate.
const PIPELINED: &[(&str, f64)] =
    &[(FLOOR, 1.0 / 0.4), (EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const CALLBACK: &[(&str, f64)] = &[(EXECNET, 0.5), (RPYC, 0.5)];
/// At least 0.6 of the floor's throughput.
const BYTES: &[(&str, f64)] = &[(FLOOR, 1.0 / 0.6), (EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const LISTS: &[(&str, f64)] = &[(FLOOR, 1.5), (EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const ITERATE: &[(&str, f64)] = &[(RPYC, 0.2)];
const MANY: &[(&str, f64)] = &[(FLOOR, 2.0), (EXECNET, 1.0), (RPYC, 1.0), (MITOGEN, 1.0)];
const USS: &[(&str, f64)] = &[(EXECNET, 2.0 / 3.0), (RPYC, 1.0), (MITOGEN, 1.0)];
/// A block of 1 MiB at each end, what is read ahead of it, and the program.
const STREAM_KIB: f64 = 16.0 * 1024.0;
/// An iterator may have some more of them in hand.
const ITERATOR_KIB: f64 = 32.0 * 1024.0;

const RECEIVE: &str = "receive 67108864";
const SEND: &str = "send 67108864";
const PIPELINED_CALLS: &str = "pipelined 5000 200";

const SERIES: &[Series] = &[
    Series {
        group: "python-connect",
        what: "an interpreter's start to its first reply",
        fewer: 1,
        alone: false,
        figures: &[
            figure("connect", "p50 ms", ms, CONNECT),
            Figure { share: 0.0, ..figure("connect", "min ms", ms, &[]) },
            Figure { share: 0.9, ..figure("connect", "p90 ms", ms, &[]) },
        ],
    },
    Series {
        group: "python-calls",
        what: "os.getpid(), and as modules.os.getpid() from nothing",
        fewer: 1,
        alone: false,
        figures: &[
            figure("getpid 300", "getpid p50 us", us, GETPID),
            Figure { share: 0.99, ..figure("getpid 300", "getpid p99 us", us, AHEAD) },
            figure("modules 100", "from nothing p50 us", us, AHEAD),
            Figure { share: 0.99, ..figure("modules 100", "its p99 us", us, &[]) },
        ],
    },
    Series {
        group: "python-calls",
        what: "5000 calls of os.getpid(), of which 200 are under way; 1000 callbacks",
        fewer: 1,
        alone: false,
        figures: &[
            figure(PIPELINED_CALLS, "us a pipelined call", us, PIPELINED),
            figure(PIPELINED_CALLS, "1000 calls a second", |ns| 1e6 / ns, &[]),
            figure("callback 1000", "us a callback", us, CALLBACK),
        ],
    },
    Series {
        group: "python-bytes",
        what: "64 MiB of bytes as an argument, and as a result",
        fewer: 3,
        alone: false,
        figures: &[
            figure(SEND, "send, ms", ms, BYTES),
            figure(SEND, "send, MiB/s", mib_per_second, &[]),
            figure(RECEIVE, "receive, ms", ms, BYTES),
            figure(RECEIVE, "receive, MiB/s", mib_per_second, &[]),
        ],
    },
    Series {
        group: "python-lists",
        what: "100 000 ints as an argument, and as a result",
        fewer: 2,
        alone: false,
        figures: &[
            figure("list-send 100000", "send, ms", ms, LISTS),
            figure("list-receive 100000", "receive, ms", ms, LISTS),
        ],
    },
    Series {
        group: "python-iterate",
        what: "over a proxy of a list of 2000 ints",
        fewer: 2,
        alone: false,
        figures: &[figure("iterate 2000", "us an item", us, ITERATE)],
    },
    Series {
        group: "python-many",
        what: "200 connections, opened in parallel, to the first reply of the last one",
        fewer: 3,
        alone: false,
        figures: &[figure("many 200", "ms", ms, MANY)],
    },
    Series {
        group: "python-memory",
        what: "of the interpreter over there after a first reply",
        fewer: 3,
        alone: false,
        figures: &[figure("uss", "USS, KiB", same, USS)],
    },
    Series {
        group: "python-memory",
        what: "VmHWM of a program while 1 GiB goes through in blocks of 1 MiB",
        fewer: 20,
        alone: true,
        figures: &[
            most("stream-send 1024 1048576", "as arguments, KiB", STREAM_KIB),
            most("stream-receive 1024 1048576", "as results, KiB", STREAM_KIB),
            most("stream-iterate 1024 1048576", "from an iterator, KiB", ITERATOR_KIB),
        ],
    },
];

const fn most(round: &'static str, column: &'static str, most: f64) -> Figure {
    Figure { round, column, share: 0.5, unit: same, limits: Limits::Most(most) }
}

fn us(ns: f64) -> f64 {
    ns / 1e3
}

fn ms(ns: f64) -> f64 {
    ns / 1e6
}

fn same(kib: f64) -> f64 {
    kib
}

/// Of 64 MiB.
fn mib_per_second(ns: f64) -> f64 {
    64e9 / ns
}

/// The groups, each of which can be asked for.
pub(super) fn groups() -> Vec<&'static str> {
    let mut names: Vec<_> = SERIES.iter().map(|series| series.group).collect();
    names.dedup();
    names
}

/// Measures the groups that are wanted, and returns what was missed.
pub(super) fn bench(runs: u32, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: Vec<&Series> = SERIES.iter().filter(|series| is_wanted(series.group)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let tools = tools::all();
    tools::print_versions(&tools);
    wanted.into_iter().flat_map(|series| series.measure(&tools, runs)).collect()
}

impl Series {
    /// Prints a table, and returns what was missed.
    fn measure(&self, tools: &[Tool], runs: u32) -> Vec<String> {
        let runs = runs.div_ceil(self.fewer);
        let tools = if self.alone { &tools[..1] } else { tools };
        let mut workers: Vec<Result<Worker>> = tools.iter().map(Tool::start).collect();
        let mut rows: Vec<Result<Vec<f64>>> = vec![Ok(Vec::new()); tools.len()];
        for figures in self.figures.chunk_by(|one, other| one.round == other.round) {
            let round = figures[0].round;
            let samples = interleaved(tools.len(), runs, |index| {
                workers[index].as_mut().map_err(|reason| reason.clone())?.ask(round)
            });
            for (row, samples) in rows.iter_mut().zip(samples) {
                let Ok(cells) = row else { continue };
                match samples {
                    Ok(samples) => cells.extend(figures.iter().map(|figure| figure.of(&samples))),
                    Err(reason) => *row = Err(format!("{round}: {reason}")),
                }
            }
        }
        let title = format!("{}: {}; n = {runs}, interleaved", self.group, self.what);
        let columns: Vec<&str> = self.figures.iter().map(|figure| figure.column).collect();
        let names = tools.iter().map(|tool| tool.name);
        let limits = self.limits();
        let rows = names.zip(rows).collect();
        Table { title: &title, columns: &columns, rows, limits: &limits }.print()
    }

    fn limits(&self) -> Vec<Limit> {
        let columns = self.figures.iter().enumerate();
        let limits = columns.flat_map(|(column, figure)| match figure.limits {
            Limits::Of(limits) => {
                let ratio = |&(against, most)| Limit::Ratio { column, against, most };
                limits.iter().map(ratio).collect()
            }
            Limits::Most(most) => vec![Limit::Most { column, most }],
        });
        limits.collect()
    }
}

impl Figure {
    /// Of the samples of all rounds. NaN of none.
    fn of(&self, rounds: &[Vec<u64>]) -> f64 {
        let samples: Vec<u64> = rounds.iter().flatten().copied().collect();
        match samples.is_empty() {
            true => f64::NAN,
            false => (self.unit)(quantile(samples, self.share) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let of = |share, unit, rounds: &[Vec<u64>]| {
            Figure { share, ..figure("", "", unit, &[]) }.of(rounds)
        };
        assert_eq!(of(0.5, us, &[vec![1000, 9000], vec![3000]]), 3.0);
        assert_eq!(of(0.99, ms, &[vec![1_000_000, 9_000_000], vec![3_000_000]]), 9.0);
        assert_eq!(of(0.5, mib_per_second, &[vec![500_000_000]]), 128.0);
        assert!(of(0.5, us, &[vec![], vec![]]).is_nan());
    }

    #[test]
    fn a_tool_that_cannot_run_or_fails_is_missed() {
        let says = |values: &str| {
            let script = format!(
                r#"echo '{{"version": "1"}}'; while read round; do echo '{{{values}}}'; done"#
            );
            Ok(["sh", "-c", &script].map(String::from).to_vec())
        };
        let tools = [
            Tool { name: tools::THITHER, argv: says(r#""values": [7000]"#) },
            Tool { name: FLOOR, argv: says(r#""values": [5000, 5000]"#) },
            Tool { name: RPYC, argv: says(r#""values": []"#) },
            Tool { name: EXECNET, argv: says(r#""error": "no moon""#) },
            Tool { name: MITOGEN, argv: Err("no sun".into()) },
        ];
        const FIGURES: &[Figure] = &[figure("x", "us", us, &[(FLOOR, 1.3), (RPYC, 1.0)])];
        let series = Series { group: "g", what: "w", fewer: 3, alone: false, figures: FIGURES };
        let missed = [
            "no execnet: x: no moon",
            "no mitogen: x: no sun",
            "us: 1.400 of the floor's, at most 1.300",
            "us: NaN of the rpyc's, at most 1.000",
        ];
        let missed = missed.map(|text| format!("g: w; n = 2, interleaved: {text}"));
        assert_eq!(series.measure(&tools, 4), missed);
        const MOST: &[Figure] = &[most("x", "KiB", 7000.0)];
        let alone = Series { alone: true, figures: MOST, ..series };
        assert_eq!(alone.measure(&tools, 4), [""; 0]);
    }

    #[test]
    fn every_limit_is_against_a_tool() {
        let tools = [FLOOR, RPYC, EXECNET, MITOGEN];
        for limit in SERIES.iter().flat_map(Series::limits) {
            if let Limit::Ratio { against, .. } = limit {
                assert!(tools.contains(&against), "{limit:?}");
            }
        }
    }
}

//! Start to exit, interleaved.
//!
//! The commands are started by a process of their own, this program again with the command [`MEASURE`]. So root and an
//! ordinary user are measured in the same way, with an environment that does not depend on cargo's, and std starts
//! them by `posix_spawn`, which it does not when it has to change the user.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use testkit::{PublicCopy, as_user};

use super::rounds;
use super::{Contender, User};
use crate::{Result, Verdict};

/// The command by which this program runs itself.
pub(crate) const MEASURE: &str = "__measure";

/// What a contender's runs took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) p90: f64,
}

impl Series {
    fn of(nanoseconds: &mut [u64]) -> Option<Series> {
        nanoseconds.sort_unstable();
        let n = nanoseconds.len();
        let at = |index: usize| nanoseconds.get(index).map(|&ns| ns as f64 / 1e6);
        Some(Series {
            median: (at(n.checked_sub(1)? / 2)? + at(n / 2)?) / 2.0,
            min: at(0)?,
            p90: at(n * 9 / 10)?,
        })
    }
}

/// Runs all contenders in turn, `runs` times, as this user. One that fails is left out, with the reason.
pub(super) fn interleaved(
    contenders: &[Contender],
    runs: u32,
    user: User,
) -> Result<Vec<Result<Series>>> {
    let failed = |error: std::io::Error| format!("cannot measure: {error}");
    let myself = PublicCopy::of(std::env::current_exe().map_err(failed)?).map_err(failed)?;
    let mut command = Command::new(myself.path());
    command.arg(MEASURE).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/");
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    if user == User::Ordinary {
        as_user(&mut command);
    }
    let mut child = command.spawn().map_err(failed)?;
    let mut order = format!("{runs}\n");
    for contender in contenders {
        let _ = writeln!(order, "{}", contender.argv.join("\0"));
    }
    // It reads everything before it writes anything, and a broken pipe shows in its status.
    let stdin = child.stdin.take();
    let _ = stdin.map(|mut stdin| stdin.write_all(order.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(format!("the measuring process: {}", output.status));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout), contenders.len()))
}

/// Lines `INDEX NANOSECONDS` and `INDEX ! REASON`.
fn parse(text: &str, contenders: usize) -> Vec<Result<Series>> {
    let mut samples: Vec<Result<Vec<u64>>> = vec![Ok(Vec::new()); contenders];
    for (index, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let Some(samples) = index.parse().ok().and_then(|index: usize| samples.get_mut(index))
        else {
            continue;
        };
        match (samples, value.parse(), value.strip_prefix("! ")) {
            (Ok(samples), Ok(nanoseconds), _) => samples.push(nanoseconds),
            (samples, _, Some(reason)) => *samples = Err(reason.to_owned()),
            _ => {}
        }
    }
    samples
        .into_iter()
        .map(|samples| Series::of(&mut samples?).ok_or_else(|| "no run was measured".to_owned()))
        .collect()
}

/// The measuring process: the number of runs and the argv of each contender come from descriptor 0.
pub(crate) fn measure() -> Result<Verdict> {
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order).map_err(|error| error.to_string())?;
    let mut lines = order.lines();
    let runs: usize = lines.next().and_then(|runs| runs.parse().ok()).ok_or("no number of runs")?;
    let mut contenders: Vec<Command> = lines.map(command).collect();

    // Once without the clock: it warms the caches and shows who can run at all, and why not.
    let mut report = String::new();
    let mut fit = Vec::new();
    for (index, contender) in contenders.iter_mut().enumerate() {
        match warm_up(contender) {
            Ok(()) => fit.push(index),
            Err(reason) => _ = writeln!(report, "{index} ! {reason}"),
        }
    }
    for run in 0..runs {
        for place in rounds::order(run, fit.len()) {
            let index = fit[place];
            let contender = &mut contenders[index];
            let start = Instant::now();
            let status = contender.spawn().and_then(|mut child| child.wait());
            let nanoseconds = start.elapsed().as_nanos();
            match status {
                Ok(status) if status.success() => _ = writeln!(report, "{index} {nanoseconds}"),
                Ok(status) => _ = writeln!(report, "{index} ! {status} in run {run}"),
                Err(error) => _ = writeln!(report, "{index} ! {error}"),
            }
        }
    }
    print!("{report}");
    Ok(Verdict::Good)
}

fn command(line: &str) -> Command {
    let mut argv = line.split('\0');
    let mut command = Command::new(argv.next().unwrap_or_default());
    command.args(argv).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn warm_up(contender: &mut Command) -> Result<()> {
    contender.stderr(Stdio::piped());
    let output = contender.output().map_err(|error| error.to_string());
    contender.stderr(Stdio::null());
    match output? {
        output if output.status.success() => Ok(()),
        output => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().next_back().unwrap_or_default();
            Err(format!("{}: {said}", output.status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series() {
        let mut runs: Vec<u64> = (1..=10).rev().map(|ms| ms * 1_000_000).collect();
        assert_eq!(Series::of(&mut runs), Some(Series { median: 5.5, min: 1.0, p90: 10.0 }));
        assert_eq!(
            Series::of(&mut [3_000_000, 1_000_000, 2_000_000]),
            Some(Series { median: 2.0, min: 1.0, p90: 3.0 })
        );
        assert_eq!(Series::of(&mut []), None);
    }

    #[test]
    fn reports() {
        let found = parse("0 1000000\n1 ! exit status: 1: no\n0 3000000\n1 5\n", 3);
        assert_eq!(found[0].as_ref().unwrap().median, 2.0);
        assert_eq!(found[1], Err("exit status: 1: no".into()));
        assert_eq!(found[2], Err("no run was measured".into()));
    }

    #[test]
    fn a_contender_that_fails_says_why() {
        let failing = "sh\0-c\0echo first >&2; echo no moon >&2; exit 3";
        assert_eq!(warm_up(&mut command(failing)), Err("exit status: 3: no moon".into()));
        assert_eq!(warm_up(&mut command("true")), Ok(()));
        assert!(warm_up(&mut command("/no/such/program")).is_err());
    }
}

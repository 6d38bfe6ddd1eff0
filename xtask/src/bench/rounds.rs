//! Runs in turns, and what they took.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

use crate::Result;

/// What is read at once of a tool's output, in bytes.
const CHUNK: usize = 256 * 1024;

/// What one run took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// From before the start to after the end.
    pub(super) wall: Duration,
    /// Of the tool and those that it has waited for, in user and kernel mode.
    pub(super) cpu: Duration,
}

/// Lets each of `count` contenders run once, in turn, `runs` times, after a first time that does not count. One that
/// fails is left out from then on, with the reason.
pub(super) fn interleaved<T>(
    count: usize,
    runs: u32,
    mut run: impl FnMut(usize) -> Result<T>,
) -> Vec<Result<Vec<T>>> {
    let mut run = |index| catch(|| run(index));
    let mut results: Vec<Result<Vec<T>>> =
        (0..count).map(|index| run(index).map(|_| Vec::new())).collect();
    for round in 0..runs as usize {
        for index in order(round, count) {
            let Ok(samples) = &mut results[index] else { continue };
            match run(index) {
                Ok(sample) => samples.push(sample),
                Err(reason) => results[index] = Err(reason),
            }
        }
    }
    results
}

/// Who runs in a round, in turn. In each it is another order, the same in every run of the benchmark: so that none always follows the
/// same one and has what that leaves to be done.
pub(super) fn order(round: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|index| {
        let mut hash = DefaultHasher::new();
        (round, index).hash(&mut hash);
        hash.finish()
    });
    order
}

/// What testkit says when it fails is a reason like others.
pub(super) fn catch<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(said(&*panic)))
}

/// In a line.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Runs a tool without input, and reads its output, of which there have to be `bytes`, from a pipe.
pub(super) fn run(mut command: Command, bytes: usize) -> Result<Cost> {
    let failed = |error: std::io::Error| error.to_string();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut chunk = vec![0; CHUNK];
    let start = Instant::now();
    let mut child = command.spawn().map_err(failed)?;
    let mut read = 0;
    if let Some(mut stdout) = child.stdout.take() {
        while let n @ 1.. = stdout.read(&mut chunk).map_err(failed)? {
            read += n;
        }
    }
    let mut complaints = String::new();
    let stderr = child.stderr.take();
    stderr.map(|mut stderr| stderr.read_to_string(&mut complaints)).transpose().map_err(failed)?;
    let ended = child.wait4().map_err(failed)?;
    let wall = start.elapsed();
    match (ended.status.success(), read == bytes) {
        (true, true) => Ok(Cost { wall, cpu: ended.rusage.utime + ended.rusage.stime }),
        (true, false) => Err(format!("{read} bytes of output instead of {bytes}")),
        (false, _) => {
            let last = complaints.trim().lines().next_back().unwrap_or_default();
            Err(format!("{}: {last}", ended.status))
        }
    }
}

/// The value below which this share of them is; the one in the middle for 0.5. Zero of none.
pub(super) fn quantile<T>(samples: impl IntoIterator<Item = T>, share: f64) -> T
where
    T: Copy + Default + Ord,
{
    let mut samples: Vec<T> = samples.into_iter().collect();
    samples.sort_unstable();
    let index = (samples.len().saturating_sub(1) as f64 * share).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns() {
        let mut seen = Vec::new();
        let results = interleaved(3, 2, |index| {
            seen.push(index);
            match (index, seen.len()) {
                (1, _) => panic!("no moon\nthe transcript"),
                (2, 6..) => Err("late".into()),
                _ => Ok(seen.len()),
            }
        });
        assert_eq!(results, [Ok(vec![4, 6]), Err("no moon".into()), Err("late".into())]);
        assert_eq!(seen, [0, 1, 2, 0, 2, 0, 2]);
    }

    #[test]
    fn everybody_follows_everybody() {
        for count in 2..6 {
            let turns: Vec<usize> = (0..60).flat_map(|round| order(round, count)).collect();
            for (one, other) in (0..count).flat_map(|i| (0..count).map(move |j| (i, j))) {
                let follows = turns.windows(2).filter(|pair| *pair == [one, other]).count();
                assert!(
                    one == other || follows > 3,
                    "{other} after {one} of {count}: {follows} times"
                );
            }
            assert!((0..count).all(|i| turns.iter().filter(|&&turn| turn == i).count() == 60));
        }
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn runs() {
        let cost = run(sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo x"), 2).unwrap();
        assert!(cost.cpu > Duration::ZERO && cost.wall > Duration::ZERO, "{cost:?}");
        assert_eq!(run(sh("echo x"), 3), Err("2 bytes of output instead of 3".into()));
        let failing = run(sh("echo a >&2; echo b >&2; exit 3"), 0);
        assert_eq!(failing, Err("exit status: 3: b".into()));
    }

    #[test]
    fn quantiles() {
        let ms = |n| Duration::from_millis(n);
        assert_eq!(quantile((0..=100).rev().map(ms), 0.5), ms(50));
        assert_eq!(quantile((0..=100).map(ms), 0.99), ms(99));
        assert_eq!(quantile((0..10).map(ms), 0.5), ms(5));
        assert_eq!(quantile([ms(7)], 0.99), ms(7));
        assert_eq!(quantile::<u64>([], 0.5), 0);
        assert_eq!(quantile([3, 1, 2], 0.5), 2);
    }
}

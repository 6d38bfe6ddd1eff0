//! One line on standard error while a copy takes its time.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What takes less shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(200);

/// How much was copied, shown if standard error is a terminal that can take a line back.
pub(super) struct Progress {
    start: Instant,
    next: Instant,
    pub(super) bytes: u64,
    pub(super) files: u64,
    possible: bool,
    shown: bool,
}

impl Progress {
    pub(super) fn start() -> Progress {
        let start = Instant::now();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let possible = io::stderr().is_terminal() && !dumb;
        Progress { start, next: start + PATIENCE, bytes: 0, files: 0, possible, shown: false }
    }

    /// Shows the line if it is time to.
    pub(super) fn show(&mut self, now: Instant) {
        if !self.possible || now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.shown = true;
        let line = line(self.bytes, self.files, now - self.start);
        // What is left of a longer line is erased after the new one is there, so that nothing flickers.
        put(&format!("\r{line}\x1b[K"));
    }

    /// Takes the line back.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            put("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// There is nobody to tell if it fails.
fn put(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Short enough for any terminal.
fn line(bytes: u64, files: u64, elapsed: Duration) -> String {
    let rate = bytes as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    let things = if files == 1 { "file" } else { "files" };
    format!("{files} {things}, {}, {}/s", amount(bytes as f64), amount(rate))
}

/// Bytes, in units of 1024.
fn amount(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{amount:.0} B"),
        _ => format!("{amount:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: u64, files: u64, milliseconds: u64, expected: &str) {
        assert_eq!(line(bytes, files, Duration::from_millis(milliseconds)), expected);
    }

    #[test]
    fn lines() {
        check(0, 0, 0, "0 files, 0 B, 0 B/s");
        check(1023, 1, 1000, "1 file, 1023 B, 1023 B/s");
        check(1024, 2, 2000, "2 files, 1.0 KiB, 512 B/s");
        check(1024 * 1024 - 1, 2, 1000, "2 files, 1.0 MiB, 1.0 MiB/s");
        check(5 << 30, 10_000, 1000, "10000 files, 5.0 GiB, 5.0 GiB/s");
        check(u64::MAX, 1, 1000, "1 file, 16777216.0 TiB, 16777216.0 TiB/s");
    }
}

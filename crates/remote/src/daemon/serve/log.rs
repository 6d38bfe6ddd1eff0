//! What a daemon says of what it does: one line for each event, for people or as JSON. Never arguments, variables or input: they may
//! be secret.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use thither_place::error::{json, printable};
use thither_term::{Interest, poll};

/// The longest text in a line, in bytes before it is escaped: what clients say may be much longer.
const LONGEST_TEXT: usize = 512;
/// How long a line may wait for room. Whoever has waited so once in vain makes the next ones not wait at all.
const PATIENCE: Duration = Duration::from_millis(200);

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `2026-01-31T12:00:00.000Z start connection=7 program="make"`.
    #[default]
    Text,
    /// An object with the members `time`, `event` and those of the event.
    Json,
}

/// The log of a daemon, on standard error.
#[derive(Debug, Default)]
pub(super) struct Log {
    format: Format,
    /// How many lines there was no room for, since the last one that was written. One line at a time.
    lost: Mutex<u64>,
}

/// What a member of an event is.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
}

impl Log {
    pub(super) fn new(format: Format) -> Log {
        Log { format, lost: Mutex::new(0) }
    }

    /// Says that something happened.
    pub(super) fn event(&self, event: &str, members: &[(&str, Value<'_>)]) {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let line = line(self.format, &time.to_string(), event, members);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(io::stderr().as_fd(), &time.to_string(), &line, &mut lost);
    }

    /// A log that is full or gone keeps nobody from working: a pipe that nobody reads, a terminal that was stopped by ^S.
    fn write(&self, log: BorrowedFd<'_>, time: &str, line: &str, lost: &mut u64) {
        let patience = if *lost == 0 { PATIENCE } else { Duration::ZERO };
        if !poll(&[Interest::Write(log)], Some(patience)).is_ok_and(|ready| ready[0].now) {
            *lost += 1;
            return;
        }
        if *lost > 0 {
            let gap = self::line(self.format, time, "unlogged", &[("lines", Value::Number(*lost))]);
            write_all(log, gap.as_bytes());
            *lost = 0;
        }
        write_all(log, line.as_bytes());
    }
}

fn write_all(log: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(log, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The beginning of a text, and how it goes on if it does.
fn bounded(text: &str) -> Cow<'_, str> {
    match text.floor_char_boundary(LONGEST_TEXT) {
        end if end == text.len() => text.into(),
        end => format!("{}...", &text[..end]).into(),
    }
}

fn line(format: Format, time: &str, event: &str, members: &[(&str, Value<'_>)]) -> String {
    let mut line = match format {
        Format::Text => format!("{time} {event}"),
        Format::Json => format!("{{\"time\":\"{time}\",\"event\":\"{event}\""),
    };
    for (name, value) in members {
        // Writing to a string cannot fail.
        let _ = match (format, value) {
            (Format::Text, Value::Text(text)) => {
                let text = printable(&bounded(text).replace('\\', r"\\").replace('"', r#"\""#));
                write!(line, " {name}=\"{text}\"")
            }
            (Format::Text, Value::Number(number)) => write!(line, " {name}={number}"),
            (Format::Text, Value::Flag(flag)) => write!(line, " {name}={flag}"),
            (Format::Json, Value::Text(text)) => {
                write!(line, ",\"{name}\":{}", json(&bounded(text)))
            }
            (Format::Json, Value::Number(number)) => write!(line, ",\"{name}\":{number}"),
            (Format::Json, Value::Flag(flag)) => write!(line, ",\"{name}\":{flag}"),
        };
    }
    line.push_str(match format {
        Format::Text => "\n",
        Format::Json => "}\n",
    });
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(format: Format, expected: Expect) {
        let members = [
            ("connection", Value::Number(7)),
            ("program", Value::Text("a\"\\\n\u{1b}ü\u{1f600}")),
            ("terminal", Value::Flag(true)),
        ];
        expected.assert_eq(&line(format, "T", "start", &members));
    }

    #[test]
    fn lines() {
        check(
            Format::Text,
            expect![[r#"
            T start connection=7 program="a\"\\\n\u{1b}ü😀" terminal=true
        "#]],
        );
        check(
            Format::Json,
            expect![[r#"
            {"time":"T","event":"start","connection":7,"program":"a\"\\\u000a\u001b\u00fc\ud83d\ude00","terminal":true}
        "#]],
        );
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ü".repeat(LONGEST_TEXT);
        for format in [Format::Text, Format::Json] {
            let line = line(format, "T", "run", &[("program", Value::Text(&long))]);
            assert!(line.contains("...\""), "{line}");
            assert!(line.len() < 4 * LONGEST_TEXT, "{}", line.len());
        }
        assert_eq!(bounded(&long[..LONGEST_TEXT]), long[..LONGEST_TEXT]);
    }

    #[test]
    fn a_log_that_nobody_reads() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let full = std::iter::from_fn(|| rustix::io::write(&writer, &[b'x'; 4096]).ok()).sum();
        rustix::io::ioctl_fionbio(&writer, false).unwrap();
        let (log, mut lost) = (Log::default(), 0);
        let said = testkit::within_deadline("lines", move || {
            let mut say = |line| log.write(writer.as_fd(), "T", line, &mut lost);
            say("a\n");
            say("b\n");
            io::Read::read_exact(&mut reader, &mut vec![0; full]).unwrap();
            say("c\n");
            drop(writer);
            io::read_to_string(reader).unwrap()
        });
        assert_eq!(said, "T unlogged lines=2\nc\n");
    }
}

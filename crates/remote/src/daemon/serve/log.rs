//! What a daemon says of what it does: one line for each event, for people or as JSON. Never arguments, variables or input: they may
//! be secret.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use thither_place::error::{json, printable};

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
    /// One line at a time.
    writing: Mutex<()>,
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
        Log { format, writing: Mutex::new(()) }
    }

    /// Says that something happened.
    pub(super) fn event(&self, event: &str, members: &[(&str, Value<'_>)]) {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let line = line(self.format, &time.to_string(), event, members);
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that is full or gone keeps nobody from working.
        let _ = io::stderr().write_all(line.as_bytes());
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
                let text = printable(&text.replace('\\', r"\\").replace('"', r#"\""#));
                write!(line, " {name}=\"{text}\"")
            }
            (Format::Text, Value::Number(number)) => write!(line, " {name}={number}"),
            (Format::Text, Value::Flag(flag)) => write!(line, " {name}={flag}"),
            (Format::Json, Value::Text(text)) => write!(line, ",\"{name}\":{}", json(text)),
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
}

//! What can go wrong in a place.

use std::io;

/// The result of a verb of a place.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on what, where. The cause is the error's `source` and is not repeated in its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program could not be executed.
    #[error("cannot run {} in {}", quoted(program), quoted(place))]
    Spawn {
        /// The program as it was asked for.
        program: String,
        /// The place's address.
        place: String,
        /// Why.
        source: io::Error,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The place is not there, or keeps us out.
    #[error("cannot enter {}", quoted(place))]
    Enter {
        /// The place's address.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The place did not do what was asked.
    #[error("cannot {action} in {}", quoted(place))]
    Place {
        /// What was tried, to complete "cannot ...".
        action: String,
        /// The place's address.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// This place, or this build, has no way to do it.
    #[error("{} cannot {action}", quoted(place))]
    Unsupported {
        /// What was asked for, to complete "cannot ...".
        action: String,
        /// The place's address.
        place: String,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The way there was lost before the command ended; nobody knows how it ended.
    #[error("connection to {} lost", quoted(place))]
    Disconnected {
        /// The hop that was lost.
        place: String,
    },
    /// The caller gave the start up: see [`Command::cancel`](crate::Command::cancel).
    #[error("gave up on {}", quoted(place))]
    Cancelled {
        /// The place's address.
        place: String,
    },
    /// Files could not be copied to or from a place.
    #[error("cannot {action}")]
    Copy {
        /// What was tried, with the path as it was given, to complete "cannot ...".
        action: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The user's own terminal or streams could not be used.
    #[error("cannot {action}")]
    Terminal {
        /// What was tried, to complete "cannot ...".
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// One action that may cure it, to be printed on a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Spawn { hint, .. }
            | Error::Enter { hint, .. }
            | Error::Place { hint, .. }
            | Error::Copy { hint, .. }
            | Error::Unsupported { hint, .. } => hint.as_deref(),
            Error::Disconnected { .. } | Error::Cancelled { .. } | Error::Terminal { .. } => None,
        }
    }

    /// The exit code for a shell: 127 not found, 126 cannot be executed, 125 anything else.
    #[must_use]
    pub fn shell_code(&self) -> u8 {
        match self {
            Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Error::Spawn { .. } => 126,
            _ => 125,
        }
    }
}

/// A name in backquotes for a message, [`printable`], with bytes that are not UTF-8 escaped too: names come from over
/// there.
#[must_use]
pub fn quoted(name: impl AsRef<std::ffi::OsStr>) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;

    let mut text = String::from("`");
    for chunk in name.as_ref().as_bytes().utf8_chunks() {
        text += &printable(&chunk.valid().replace('\\', r"\\").replace('`', r"\`"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('`');
    text
}

/// A message with control characters escaped, since a terminal obeys them, and format characters (bidi overrides, zero
/// width), which hide or reorder what is read.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || is_format(char) {
            true => result.extend(char.escape_default()),
            false => result.push(char),
        }
    }
    result
}

/// A string of JSON, RFC 8259 section 7, with all that a terminal would obey escaped, and all else that is not ASCII.
#[must_use]
pub fn json(text: &str) -> String {
    use std::fmt::Write;

    let mut result = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => result.extend(['\\', char]),
            ' '..='~' => result.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(result, "\\u{unit:04x}");
                }
            }
        }
    }
    result.push('"');
    result
}

/// Unicode's general category Cf, as far as it changes how a line is shown (Unicode Standard, 23.2 and UAX 9).
fn is_format(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[track_caller]
    fn check(name: &[u8], text: &str) {
        assert_eq!(quoted(OsStr::from_bytes(name)), text);
    }

    #[test]
    fn names_are_escaped() {
        check(b"/bin/ls", "`/bin/ls`");
        check("Grüße 你".as_bytes(), "`Grüße 你`");
        check(b"\x1b[2J", "`\\u{1b}[2J`");
        check(b"a\nb\r", "`a\\nb\\r`");
        check(b"a`b\\", "`a\\`b\\\\`");
        check(b"\xff\x80", "`\\xff\\x80`");
        check("\u{9b}2J".as_bytes(), "`\\u{9b}2J`");
        check("\u{202e}txt".as_bytes(), "`\\u{202e}txt`");
    }

    #[test]
    fn messages_keep_their_quotes() {
        assert_eq!(printable("`a\\` 你\n\u{202e}\u{200b}"), "`a\\` 你\\n\\u{202e}\\u{200b}");
    }

    #[test]
    fn exit_codes() {
        let spawn = |errno| Error::Spawn {
            program: "x".into(),
            place: "local:".into(),
            source: io::Error::from_raw_os_error(errno),
            hint: None,
        };
        assert_eq!(spawn(libc::ENOENT).shell_code(), 127);
        assert_eq!(spawn(libc::EACCES).shell_code(), 126);
        assert_eq!(spawn(libc::ENOEXEC).shell_code(), 126);
        assert_eq!(Error::Disconnected { place: "x".into() }.shell_code(), 125);
    }
}

//! What can go wrong with an interpreter over there.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::marshal::{DecodeError, EncodeError, Value};

/// The result of what is asked of an interpreter.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An exception was raised over there.
    #[error(transparent)]
    Python(Box<PyErr>),
    /// No interpreter has answered.
    #[error("no Python has answered: {why}")]
    Start {
        /// What was seen instead: what was printed, how the program ended.
        why: String,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// The interpreter is gone. What ran may have been done, or not.
    #[error("connection to Python lost: {how}")]
    Closed {
        /// How it was noticed.
        how: String,
    },
    /// The call took longer than it may. It is interrupted over there.
    #[error("no answer from Python within {}", seconds(*limit))]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// The caller has given it up. It is interrupted over there.
    #[error("the call was cancelled")]
    Cancelled,
    /// A value cannot be sent.
    #[error("cannot send a value to Python")]
    Encode(#[from] EncodeError),
    /// A value that came cannot be read as what was asked for.
    #[error("cannot read a value from Python")]
    Decode(#[from] DecodeError),
    /// A reply was longer than what is received; see [`Start::max_frame`](crate::Start::max_frame).
    #[error("the reply from Python is longer than the {most} bytes that are received")]
    TooLarge {
        /// What is received at most, in bytes.
        most: u64,
    },
    /// What came does not follow the protocol; the connection is closed.
    #[error("what came from Python is no answer: {what}")]
    Protocol {
        /// What was wrong.
        what: String,
    },
    /// A call of the system failed here.
    #[error("cannot {action}")]
    Io {
        /// What was tried, to complete "cannot ...".
        action: String,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error::Io { action: action.into(), source: Arc::new(source.into()) }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Error {
        Error::Protocol { what: what.into() }
    }

    /// The exception, if that is what it is.
    #[must_use]
    pub fn python(&self) -> Option<&PyErr> {
        match self {
            Error::Python(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it is an exception of that type, or of one derived from it. See [`PyErr::is_instance_of`].
    #[must_use]
    pub fn is_instance_of(&self, name: &str) -> bool {
        self.python().is_some_and(|error| error.is_instance_of(name))
    }

    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Start { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

fn seconds(limit: Duration) -> String {
    match limit.as_millis() {
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

/// An exception that was raised over there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PyErr {
    /// Its type's name: `OSError`, or with its module `json.decoder.JSONDecodeError`.
    pub kind: String,
    /// The names of its type and of all that it derives from, in the order of `__mro__`.
    pub mro: Vec<String>,
    /// Its arguments, `repr` of those that cannot be copied; of an `OSError` with a file, that too.
    pub args: Vec<Value>,
    /// `str` of it.
    pub message: String,
    /// The traceback as Python prints it, with the exception in its last lines, in Python's own format.
    pub traceback: String,
}

impl PyErr {
    /// Whether it is of that type, or of one derived from it. A name without a module is a built-in type, or any type of
    /// that name.
    #[must_use]
    pub fn is_instance_of(&self, name: &str) -> bool {
        let is = |known: &String| {
            known == name || !name.contains('.') && known.rsplit('.').next() == Some(name)
        };
        self.mro.iter().any(is)
    }
}

impl fmt::Display for PyErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => write!(f, "{}", self.kind),
            false => write!(f, "{}: {}", self.kind, self.message),
        }
    }
}

impl std::error::Error for PyErr {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: bool) {
        let mro = ["json.decoder.JSONDecodeError", "ValueError", "Exception", "object"];
        let error = PyErr {
            kind: mro[0].into(),
            mro: mro.map(String::from).into(),
            args: Vec::new(),
            message: "x".into(),
            traceback: String::new(),
        };
        assert_eq!(error.is_instance_of(name), expected, "{name}");
    }

    #[test]
    fn types() {
        check("ValueError", true);
        check("JSONDecodeError", true);
        check("json.decoder.JSONDecodeError", true);
        check("decoder.JSONDecodeError", false);
        check("OSError", false);
        check("", false);
    }

    #[test]
    fn limits_are_said() {
        let text = |millis| Error::TimedOut { limit: Duration::from_millis(millis) }.to_string();
        assert_eq!(text(2000), "no answer from Python within 2 s");
        assert_eq!(text(1500), "no answer from Python within 1500 ms");
    }
}

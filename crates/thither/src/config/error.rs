//! What can be wrong with the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use thither_place::error::quoted;

/// What is wrong with the user's configuration, and where.
///
/// Neither its text nor its hint repeats a value, other than parts of addresses that can be no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    wrong: String,
    hint: Option<String>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { file, line, wrong, .. } = self;
        write!(f, "bad configuration {}", quoted(file))?;
        if let Some(line) = line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {wrong}")
    }
}

impl ConfigError {
    pub(super) fn new(file: &Path, wrong: Wrong) -> ConfigError {
        let Wrong { line, text, hint } = wrong;
        ConfigError { file: file.to_owned(), line, wrong: text, hint }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, from 1 on, if it is about one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// What is wrong, in a file that is known elsewhere.
#[derive(Debug)]
pub(super) struct Wrong {
    line: Option<usize>,
    text: String,
    hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(text: impl Into<String>) -> Wrong {
        Wrong { line: None, text: text.into(), hint: None }
    }

    /// At this line, from 1 on.
    pub(super) fn at(self, line: usize) -> Wrong {
        Wrong { line: Some(line), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Wrong {
        Wrong { hint: Some(hint.into()), ..self }
    }

    pub(super) fn maybe_hint(self, hint: Option<String>) -> Wrong {
        Wrong { hint, ..self }
    }
}

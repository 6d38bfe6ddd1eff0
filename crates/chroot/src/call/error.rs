//! Why a call has no value.

use thither_place::Exit;
use thither_place::error::quoted;

/// Why a call has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The root could not be entered.
    #[error(transparent)]
    Place(#[from] thither_place::Error),
    /// The function is not among those of [`Functions`](crate::Functions).
    #[error("the function {} is not registered", quoted(function))]
    Unregistered {
        /// Its name.
        function: &'static str,
    },
    /// A closure cannot be run by a process with several threads.
    #[error("a closure cannot be run by a process with {threads} threads")]
    Threads {
        /// How many there are.
        threads: usize,
    },
    /// Arguments or a value that cannot be sent.
    #[error("cannot {action} {} of {}", what, quoted(function))]
    Value {
        /// `encode` or `decode`.
        action: &'static str,
        /// `the arguments` or `the value`.
        what: &'static str,
        /// The function.
        function: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The function panicked.
    #[error("{} panicked: {message}", quoted(function))]
    Panicked {
        /// The function.
        function: &'static str,
        /// What the panic says, and where it was.
        message: String,
    },
    /// The function's process ended without a value.
    #[error("{} ended without a value: {exit}", quoted(function))]
    Ended {
        /// The function.
        function: &'static str,
        /// How.
        exit: Exit,
    },
}

impl CallError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            CallError::Place(error) => error.hint(),
            CallError::Unregistered { .. } => Some(
                "add it to `Functions`, and let them `serve` at the beginning of `main`, before \
                 the first call",
            ),
            CallError::Threads { .. } => {
                Some("register a function and use `Chroot::call`, or call before threads start")
            }
            CallError::Value { .. } | CallError::Panicked { .. } | CallError::Ended { .. } => None,
        }
    }
}

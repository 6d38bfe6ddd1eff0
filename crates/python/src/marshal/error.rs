//! What can be wrong with a value on its way there or back.

use std::fmt::Display;

/// A value that cannot be sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// An object or callback goes where it came from, and nowhere else.
    #[error("the object belongs to another connection")]
    OtherConnection,
    /// More containers in each other than there may be.
    #[error("the value is nested deeper than {limit} levels")]
    TooDeep {
        /// As many there may be.
        limit: usize,
    },
    /// More than a signed number of 32 bits can say.
    #[error("a {what} of {len} is too long: at most 2147483647 can be sent")]
    TooLong {
        /// What it is in Python.
        what: &'static str,
        /// Its bytes or items.
        len: usize,
    },
    /// A list, dict or set where Python wants what has a hash.
    #[error("a {what} cannot be the key of a dict or be in a set: Python cannot hash it")]
    Unhashable {
        /// What it is in Python.
        what: &'static str,
    },
    /// A reference has no hash of its own until it arrives, so two of them would become one key.
    #[error("an object cannot be the key of a dict or be in a set that is copied")]
    ObjectAsKey,
    /// A [`Value::SurrogateStr`](super::Value::SurrogateStr) that is none.
    #[error("the bytes are no str: neither UTF-8 nor surrogates")]
    NotText,
    /// What the type's own `Serialize` says.
    #[error("{0}")]
    Refused(String),
}

impl serde::ser::Error for EncodeError {
    fn custom<T: Display>(message: T) -> EncodeError {
        EncodeError::Refused(message.to_string())
    }
}

/// A value that was received and cannot be had as it was asked for. `at` counts the bytes before it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It promises more than there is.
    #[error("the value is cut off: byte {at} begins what does not end")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// Not one of marshal's codes that may be received: see [`marshal`](super).
    #[error("unknown type code {code:#04x} at byte {at}")]
    UnknownCode {
        /// The code.
        code: u8,
        /// Where.
        at: usize,
    },
    /// Something that Python does not write.
    #[error("{what} at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Something is left when all should have been read.
    #[error("something follows the end of the value, from byte {at} on")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// [`Limits::depth`](super::Limits::depth).
    #[error("the value is nested deeper than {limit} levels, at byte {at}")]
    TooDeep {
        /// As many there may be.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// [`Limits::nodes`](super::Limits::nodes).
    #[error("the value consists of more than {limit} values, at byte {at}")]
    TooMany {
        /// As many there may be.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// Beyond `i128` and `u128`.
    #[error(
        "the int at byte {at} does not fit into 128 bits: ask for its `str`, or for an `Object`"
    )]
    BigInt {
        /// Where.
        at: usize,
    },
    /// As [`os.listdir`](https://docs.python.org/3/library/os.html#file-names-command-line-arguments-and-environment-variables)
    /// gives them for names that are not UTF-8.
    #[error(
        "the str at byte {at} has surrogates, which no Rust string holds: ask for an `FsString`"
    )]
    Surrogates {
        /// Where.
        at: usize,
    },
    /// A surrogate that stands for no byte.
    #[error("the str at byte {at} is no name of a file: it has surrogates that stand for no byte")]
    NotAName {
        /// Where.
        at: usize,
    },
    /// A copy was asked for.
    #[error("the value at byte {at} cannot be copied: ask for an `Object`")]
    IsReference {
        /// Where.
        at: usize,
    },
    /// An object was asked for.
    #[error("the value at byte {at} was copied: ask for a type of Rust's")]
    NotAReference {
        /// Where.
        at: usize,
    },
    /// What the type's own `Deserialize` says.
    #[error("{message}, at byte {at}")]
    Type {
        /// What was there and what was expected.
        message: String,
        /// Where.
        at: usize,
    },
}

impl serde::de::Error for DecodeError {
    fn custom<T: Display>(message: T) -> DecodeError {
        // A type does not know where it is read: `Decoder::value` does.
        DecodeError::Type { message: message.to_string(), at: 0 }
    }
}

impl DecodeError {
    pub(super) fn or_at(mut self, place: usize) -> DecodeError {
        if let DecodeError::Type { at, .. } = &mut self {
            *at = place;
        }
        self
    }
}

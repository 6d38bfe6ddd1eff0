//! Values in Python's own format, marshal version 2, as a format of serde.
//!
//! # How Rust's types and Python's meet
//!
//! | Rust (serde's word) | becomes in Python | is made of |
//! |---|---|---|
//! | `()`, `None` (unit) | `None` | `None`, `...` |
//! | `Some(x)`, a newtype struct | as `x` | as `x` |
//! | `bool` | `bool` | `bool` |
//! | `i8` to `i128`, `u8` to `u128` | `int` | `int` that fits |
//! | `f32`, `f64` | `float` | `float`, `int` (rounded, as Python does) |
//! | [`Complex`] | `complex` | `complex`, `float`, a pair |
//! | `char`, `str`, `String` | `str` | `str` without surrogates |
//! | [`FsString`] | `str`, with surrogates for what is not UTF-8 | `str`, `bytes` |
//! | `serde_bytes::Bytes`, `ByteBuf` (bytes) | `bytes` | `bytes` |
//! | `Vec<T>`, `HashSet<T>` (seq) | `list` | `list`, `tuple`, `set`, `frozenset`; `Vec<u8>` of `bytes` too |
//! | tuple, array, tuple struct | `tuple` | the same, of that length |
//! | `HashMap<K, V>` (map) | `dict` | `dict` |
//! | struct | `dict` with the names of the fields | `dict`; in order of the fields also `tuple`, `list` |
//! | enum, a variant without content | `str`, its name | `str` |
//! | enum, another variant | `{name: content}`, the content a value, `tuple` or `dict` | the same |
//! | [`Value`] | what it says | anything that is copied |
//!
//! **A `Vec<u8>` becomes a list of ints**: serde does not tell it from other vectors. Use
//! [`serde_bytes`](https://docs.rs/serde_bytes) for bytes, which is far faster, too. Types that have a form for humans and
//! one for machines (`IpAddr`) take the one for humans. An int is no `bool` here, nor a `bool` an int.
//!
//! # References
//!
//! What is not copied (objects, callbacks) and blocks of bytes of 64 KiB and more stand beside the value: see [`Reference`].
//!
//! # The format
//!
//! One byte of type code before each value; numbers are little-endian (source: CPython, `Python/marshal.c`):
//! `N` None, `T` and `F`, `.` Ellipsis, `S` a reference (marshal's code for `StopIteration`), `i` and 32 bits, `l` and a long
//! int, `g` a float, `y` two of them, `s` bytes, `u` and `t` a str, `(` `[` `<` `>` tuple, list, set and frozenset by count,
//! `{` a dict until `0`. No other code is read, above all no code object (`c`) and no back reference (`r`, the flag 0x80):
//! so nothing that is received can run, or be larger than what was sent.

mod container;
mod de;
mod error;
mod probe;
mod ser;
mod serde_de;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use de::Decoder;
pub use error::{DecodeError, EncodeError};
pub use probe::{Want, want};
pub use ser::Encoded;
pub use text::FsString;
pub use value::{Complex, Value};

/// Names of newtype structs that the codec catches. Other formats see what is in them.
pub mod names {
    /// A proxy. Serialized: `(owner: u64, n: u32)`, the connection and the number. Deserialized: `(kind: u8, n: u32)`, kind
    /// 0 for an object and 1 for a callback.
    pub const OBJECT: &str = "$thither::Object";
    /// A function of the client's; the same.
    pub const CALLBACK: &str = "$thither::Callback";
    pub(super) const STR: &str = "$thither::Str";
    pub(super) const SURROGATES: &str = "$thither::Surrogates";
    pub(super) const COMPLEX: &str = "$thither::Complex";
    pub(super) const SET: &str = "$thither::Set";
    pub(super) const FROZEN_SET: &str = "$thither::FrozenSet";
    pub(super) const VALUE: &str = "$thither::Value";
}

/// What stands beside a value, since marshal cannot say it: in its place is the type code `S`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An object of the agent's table. Kind 0.
    Object(u32),
    /// A callback of the client's table. Kind 1.
    Callback(u32),
    /// A block of that many bytes behind the payload. Kind 2.
    Raw(u64),
}

/// Bytes of this length and more are a [`Reference::Raw`] when they are sent.
pub const RAW: usize = 64 * 1024;

/// What is too much of a received value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers in each other. Reading is recursive: a level takes up to some KiB of the stack.
    pub depth: usize,
    /// Values, containers and what is in them alike.
    pub nodes: usize,
}

/// As deep as a value that is sent may be.
const DEPTH: usize = 200;

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth: DEPTH, nodes: 32 << 20 }
    }
}

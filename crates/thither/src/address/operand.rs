//! Operands: a file, here or at a place.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Address, ParseError, parse};

/// A file, as named to a verb that copies: a path at a place, or a local path.
///
/// The place ends at the first `::` after the scheme's colon that is outside brackets, so `local:::/x` is `/x`
/// at `local:`. A place named in the configuration has no such colon: `web::/x` is `/x` at `web`. A text is a local
/// path if it has no such `::`, or if a `/` comes before its first colon or question mark: `./a::b` is a file of
/// that name.
///
/// ```
/// use std::path::Path;
/// use thither::Operand;
///
/// let operand = Operand::parse("docker:web::/etc/hosts")?;
/// assert_eq!(operand.place.unwrap().to_string(), "docker:web");
/// assert_eq!(operand.path, Path::new("/etc/hosts"));
/// assert_eq!(Operand::parse("./a::b")?.place, None);
/// # Ok::<(), thither::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Where; `None` is here.
    pub place: Option<Address>,
    /// The path, byte for byte: nothing in it is decoded. At a place it may be empty.
    pub path: PathBuf,
}

impl Operand {
    /// Reads an operand.
    ///
    /// # Errors
    /// [`ParseError`] for a text with a bad place, and for an empty one.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Operand, ParseError> {
        let text = text.as_ref().as_bytes();
        let (place, path) = match parse::operand(text).map_err(ParseError::for_operand)? {
            Some((place, path)) => (Some(place), path),
            None if text.is_empty() => return Err(ParseError::missing(0, "a file's name")),
            None => (None, text),
        };
        match text.iter().position(|&byte| byte == 0) {
            Some(offset) => Err(ParseError::nul(offset)),
            None => Ok(Operand { place, path: OsString::from_vec(path.to_vec()).into() }),
        }
    }
}

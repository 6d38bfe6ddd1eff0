//! The user's configuration: places with names.
//!
//! It is TOML, in `thither/thither.toml` of the folder `XDG_CONFIG_HOME`, else of `~/.config` (XDG Base Directory Specification
//! 0.8):
//!
//! ```toml
//! [place.web]
//! address = "ssh:bastion|docker:web"
//! user = "deploy"
//! dir = "/srv"
//! env = { RAILS_ENV = "production" }
//! detach-keys = "ctrl-p,ctrl-q"
//! ```
//!
//! `web` is now an address, or the first hop of one. What the place has besides its address are options of its last hop; those
//! in its address count more, those of whoever names it count most, and such that can be repeated add up. An address may begin
//! with the name of another place.
//!
//! The file is read when a named place is asked for, and no sooner. It says what is run and where, so it is refused when
//! others could have written it.

mod error;
mod file;
mod parse;
mod resolve;

use std::borrow::Cow;
use std::path::PathBuf;

use crate::address::{Address, HopOption, Target};
use crate::connect::ConnectError;

pub use error::ConfigError;
pub use file::path;

/// What the user has configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The file that it was read from; `None` if there is none.
    pub file: Option<PathBuf>,
    /// The places, by name.
    pub places: Vec<NamedPlace>,
}

/// A place with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedPlace {
    /// Letters and digits of ASCII, and after the first of them also `.`, `_` and `-`; none of
    /// [`SCHEMES`](crate::address::SCHEMES).
    pub name: String,
    /// Where it is, as it is written; its first hop may be another name.
    pub address: Address,
    /// `user`, `dir`, `env` and `detach-keys` as options of the last hop.
    pub presets: Vec<HopOption>,
    /// The line of its address, from 1 on.
    pub line: usize,
}

impl Config {
    /// Reads the user's file. Without one there are no places.
    ///
    /// # Errors
    /// When it cannot be read, others could have written it, or anything in it is wrong.
    pub fn read() -> Result<Config, ConfigError> {
        let Some(file) = path() else { return Ok(Config::default()) };
        match file::text(&file)? {
            Some(text) => Config::parse(&text, file),
            None => Ok(Config::default()),
        }
    }

    /// The place of that name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<&NamedPlace> {
        self.places.iter().find(|place| place.name == name)
    }
}

impl Address {
    /// The same way without names: the place that its first hop names is replaced by what that is in the user's configuration,
    /// which is read only if there is such a name.
    ///
    /// # Errors
    /// When no place has that name, when the configuration is bad, and for a name that is not the first hop.
    pub fn resolved(&self) -> Result<Cow<'_, Address>, ConnectError> {
        match self.split_first().0.target() {
            Target::Named(_) => Config::read()?.resolve(self).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(self)),
        }
    }
}

#[cfg(test)]
mod tests;

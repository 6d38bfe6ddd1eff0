//! Addresses: the text of a place.
//!
//! ```text
//! place   = hop *( ("|" / ",") hop )
//! hop     = scheme ":" target [ "?" options ]
//!         / "\\" host [ "\pipe\" name ] [ "?" options ]     the same as smb:host?pipe=name
//!         / name [ "?" options ]                             a place named in the configuration
//! options = option *( "&" option )
//! option  = key [ "=" value ]
//! operand = place "::" path                                  see Operand
//! scheme  = lower-case letter *( lower-case letter / digit / "+" / "-" / "." )
//! ```
//!
//! | scheme | target | |
//! |---|---|---|
//! | `local:` | empty | this machine |
//! | `chroot:` | path, absolute or relative | another root |
//! | `docker:` | name or id | a running container |
//! | `image:` | name, maybe with a tag | a fresh container of an image |
//! | `ssh:` | `[user@]host[:port]` | a host over ssh |
//! | `daemon:` | `host[:port]`, an absolute path of a socket, or empty | a daemon |
//! | `smb:` | `[user@]host[:port]` | a Windows host over SMB |
//!
//! Other schemes parse too, as [`Target::Other`]: whether a scheme is known is for who connects to say, and
//! [`register`](crate::register) makes one known.
//!
//! The scheme ends at the first colon. An IPv6 address stands in brackets. Within a target or a value, `|`, `,`,
//! `?`, `#`, `%`, ASCII white space, control characters and, outside brackets, `::` are percent-encoded (RFC 3986,
//! 2.1), and so is `&` in a value; any other byte may be, so that every file name can be written. [`encode`] does
//! it. NUL cannot be part of an address, nor can a password.
//!
//! [`Display`](std::fmt::Display) gives the canonical text, which parses back to the same address.

mod error;
mod escape;
mod operand;
mod parse;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

pub use error::ParseError;
pub use escape::encode;
pub use operand::Operand;
pub(crate) use parse::is_scheme;

/// The schemes whose targets are understood; all of them are reserved and cannot be names of places.
pub const SCHEMES: [&str; 7] = ["local", "chroot", "docker", "image", "ssh", "daemon", "smb"];

/// The way to a place: one hop, or several, each taken from where the one before leads.
///
/// ```
/// use thither::Address;
/// use thither::address::Target;
///
/// let address: Address = "ssh:me@bastion,docker:web?user=root".parse()?;
/// assert_eq!(address.to_string(), "ssh:me@bastion|docker:web?user=root");
/// assert_eq!(address.hops()[1].target(), &Target::Docker("web".into()));
/// # Ok::<(), thither::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// At least one.
    hops: Vec<Hop>,
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    target: Target,
    options: Vec<HopOption>,
}

/// Where a hop leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// This machine.
    Local,
    /// The root in this directory; not empty.
    Chroot(PathBuf),
    /// The running container of this name or id.
    Docker(String),
    /// A fresh container of this image.
    Image(String),
    /// A host over ssh.
    Ssh(Login),
    /// A daemon.
    Daemon(Daemon),
    /// A Windows host over SMB.
    Smb(Login),
    /// A scheme that is none of [`SCHEMES`], and its target.
    Other(String, OsString),
    /// The place of this name in the user's configuration.
    Named(String),
}

/// A host, and who to be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user over there, if the address says one.
    pub user: Option<String>,
    /// A host name, a name that the transport knows, or an IP address without brackets.
    pub host: String,
    /// The TCP port, if the address says one; not 0.
    pub port: Option<u16>,
}

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Daemon {
    /// Where it does by default.
    Default,
    /// On this TCP port of this host.
    Host {
        /// As in [`Login::host`].
        host: String,
        /// As in [`Login::port`].
        port: Option<u16>,
    },
    /// On the Unix socket of this absolute path.
    Socket(PathBuf),
}

/// An option of a hop: `key` or `key=value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HopOption {
    /// Lower-case letters, digits and hyphens.
    pub key: String,
    /// What stands after the first `=`, decoded.
    pub value: Option<OsString>,
}

impl Address {
    /// Reads an address; a text that is not UTF-8 may be one.
    ///
    /// # Errors
    /// [`ParseError`] says what is wrong where.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Address, ParseError> {
        parse::address(text.as_ref().as_bytes())
    }

    /// The hops, from here on; there is at least one.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Adds an option to the last hop, after those that it has; the value is as it is meant, not encoded.
    ///
    /// ```
    /// use thither::Address;
    ///
    /// let mut address: Address = "chroot:/srv/debian?net=none".parse()?;
    /// address.add_option("bind", Some("/my src:/src".into()))?;
    /// address.set_option("net", Some("host".into()))?;
    /// assert_eq!(address.to_string(), "chroot:/srv/debian?bind=/my%20src:/src&net=host");
    /// # Ok::<(), thither::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// For a key that is no lower-case word, and for a value with a NUL.
    pub fn add_option(&mut self, key: &str, value: Option<OsString>) -> Result<(), ParseError> {
        if !parse::is_key(key) {
            return Err(ParseError::option(0, key.as_bytes()));
        }
        if value.as_ref().is_some_and(|value| value.as_bytes().contains(&0)) {
            return Err(ParseError::nul(0));
        }
        self.last_mut().options.push(HopOption { key: key.into(), value });
        Ok(())
    }

    /// The same as [`add_option`](Address::add_option), instead of what the last hop has of this key.
    ///
    /// # Errors
    /// As [`add_option`](Address::add_option); then nothing has changed.
    pub fn set_option(&mut self, key: &str, value: Option<OsString>) -> Result<(), ParseError> {
        self.add_option(key, value)?;
        let options = &mut self.last_mut().options;
        let new = options.pop();
        options.retain(|option| option.key != key);
        options.extend(new);
        Ok(())
    }

    /// The same way without its options, whose values may be secret: for messages.
    #[must_use]
    pub fn without_options(&self) -> Address {
        let bare = |hop: &Hop| Hop { target: hop.target.clone(), options: Vec::new() };
        Address { hops: self.hops.iter().map(bare).collect() }
    }

    fn last_mut(&mut self) -> &mut Hop {
        self.hops.last_mut().expect("at least one")
    }

    /// Of these hops, of which there is at least one.
    pub(crate) fn of_hops(hops: Vec<Hop>) -> Address {
        debug_assert!(!hops.is_empty());
        Address { hops }
    }

    pub(crate) fn split_first(&self) -> (&Hop, &[Hop]) {
        (&self.hops[0], &self.hops[1..])
    }
}

impl Hop {
    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its options in their order; a key may come more than once.
    #[must_use]
    pub fn options(&self) -> &[HopOption] {
        &self.options
    }

    /// The same hop with these options.
    pub(crate) fn with_options(&self, options: Vec<HopOption>) -> Hop {
        Hop { target: self.target.clone(), options }
    }

    /// The same hop with the options whose keys pass, and with the others.
    pub(crate) fn split(&self, passes: impl Fn(&str) -> bool) -> (Hop, Hop) {
        let (passed, others) =
            self.options.iter().cloned().partition(|option: &HopOption| passes(&option.key));
        let with = |options| Hop { target: self.target.clone(), options };
        (with(passed), with(others))
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Address, ParseError> {
        Address::parse(text)
    }
}

impl TryFrom<&OsStr> for Address {
    type Error = ParseError;

    fn try_from(text: &OsStr) -> Result<Address, ParseError> {
        Address::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, hop) in self.hops.iter().enumerate() {
            let separator = if i == 0 { "" } else { "|" };
            write!(f, "{separator}{hop}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)?;
        for (i, option) in self.options.iter().enumerate() {
            let separator = if i == 0 { '?' } else { '&' };
            write!(f, "{separator}{option}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Local => f.write_str("local:"),
            Target::Chroot(root) => write!(f, "chroot:{}", encode(root)),
            Target::Docker(name) => write!(f, "docker:{}", unlike_url(encode(name))),
            Target::Image(name) => write!(f, "image:{}", unlike_url(encode(name))),
            Target::Ssh(login) => write!(f, "ssh:{login}"),
            Target::Smb(login) => write!(f, "smb:{login}"),
            Target::Daemon(Daemon::Default) => f.write_str("daemon:"),
            Target::Daemon(Daemon::Host { host, port }) => {
                f.write_str("daemon:")?;
                write_host(f, host, *port)
            }
            Target::Daemon(Daemon::Socket(path)) => {
                write!(f, "daemon:{}", unlike_url(encode(path)))
            }
            Target::Other(scheme, target) => write!(f, "{scheme}:{}", encode(target)),
            Target::Named(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{}@", encode(user))?;
        }
        write_host(f, &self.host, self.port)
    }
}

impl fmt::Display for HopOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match &self.value {
            Some(value) => write!(f, "={}", encode(value)),
            None => Ok(()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: Option<u16>) -> fmt::Result {
    match (host.contains(':'), host.split_once('%')) {
        (true, Some((address, zone))) => write!(f, "[{address}%25{}]", encode(zone))?,
        (true, None) => write!(f, "[{host}]")?,
        (false, _) => f.write_str(&encode(host))?,
    }
    match port {
        Some(port) => write!(f, ":{port}"),
        None => Ok(()),
    }
}

/// A target that begins with `//` would be taken for a URL's.
fn unlike_url(target: String) -> String {
    match target.strip_prefix("//") {
        Some(rest) => format!("/%2F{rest}"),
        None => target,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

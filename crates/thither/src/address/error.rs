//! What can be wrong with an address.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use thither_place::error::quoted;

use super::SCHEMES;
use crate::connect::REACHABLE;

const NOT_OF_A_HOST: &str = "does not belong to a host";

/// What is wrong with an address, and where.
///
/// Neither its text nor its hint repeats what may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    offset: usize,
    /// What kind of part is wrong.
    noun: &'static str,
    /// The part itself, quoted.
    part: Option<String>,
    /// What is wrong with it.
    wrong: &'static str,
    /// Owned if it repeats something of the address, borrowed if not.
    hint: Option<Cow<'static, str>>,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { offset, noun, part, wrong, .. } = self;
        write!(f, "bad address: {noun}")?;
        if let Some(part) = part {
            write!(f, " {part}")?;
        }
        write!(f, " {wrong} (at byte {offset})")
    }
}

impl ParseError {
    /// Where the wrong part begins, in bytes from the beginning of the text.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same without any text of the address, which may contain a password.
    pub(super) fn redacted(self) -> ParseError {
        let hint = self.hint.filter(|hint| matches!(hint, Cow::Borrowed(_)));
        ParseError { part: None, hint, ..self }
    }

    pub(super) fn for_operand(self) -> ParseError {
        match (self.noun, self.wrong) {
            ("the name", _) => {
                self.with_hint("write `./` in front of a file's name that has `::` in it")
            }
            (_, NOT_OF_A_HOST) => self.with_hint("a path follows `::`, as in `ssh:host::/etc`"),
            _ => self,
        }
    }

    fn new(offset: usize, noun: &'static str, wrong: &'static str) -> ParseError {
        ParseError { offset, noun, part: None, wrong, hint: None }
    }

    fn part(self, part: &[u8]) -> ParseError {
        ParseError { part: Some(quoted(OsStr::from_bytes(part))), ..self }
    }

    fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> ParseError {
        ParseError { hint: Some(hint.into()), ..self }
    }

    pub(super) fn empty() -> ParseError {
        ParseError::new(0, "the text", "is empty")
            .with_hint("name a place, as in `local:` or `chroot:/srv/root`")
    }

    pub(super) fn empty_hop(offset: usize) -> ParseError {
        ParseError::new(offset, "a hop", "is empty").with_hint(
            "between two hops stands one `|` or `,`; within a name they are `%7C` and `%2C`",
        )
    }

    pub(super) fn scheme(offset: usize, scheme: &[u8]) -> ParseError {
        let error = ParseError::new(offset, "the scheme", "is no lower-case word").part(scheme);
        match SCHEMES.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(scheme)) {
            Some(known) => error.with_hint(format!("write `{known}:`")),
            None => error.with_hint(REACHABLE),
        }
    }

    pub(super) fn no_scheme(offset: usize, name: &[u8]) -> ParseError {
        let wrong = "is neither `scheme:target` nor a word";
        let error = ParseError::new(offset, "the name", wrong).part(name);
        let text = quoted(OsStr::from_bytes(name));
        match (name.contains(&b'@'), name.contains(&b'/')) {
            (true, _) => error.with_hint(format!("a host over ssh is written `ssh:{}", &text[1..])),
            (_, true) => error.with_hint(format!("a root is written `chroot:{}", &text[1..])),
            _ => error.with_hint(REACHABLE),
        }
    }

    pub(super) fn bare_scheme(offset: usize, scheme: &str) -> ParseError {
        let target = match scheme {
            "local" => "",
            "chroot" => "PATH",
            "docker" | "image" => "NAME",
            _ => "HOST",
        };
        ParseError::new(offset, "the scheme", "has no colon of its own")
            .part(scheme.as_bytes())
            .with_hint(format!("write `{scheme}:{target}`"))
    }

    pub(super) fn unencoded(offset: usize, byte: u8) -> ParseError {
        ParseError::new(offset, "the character", "must be percent-encoded")
            .part(&[byte])
            .with_hint(format!("write `%{byte:02X}`"))
    }

    pub(super) fn escape(offset: usize, escape: &[u8]) -> ParseError {
        ParseError::new(offset, "the escape", "is not `%` and two hexadecimal digits")
            .part(escape)
            .with_hint("write `%25` for a percent sign")
    }

    pub(super) fn nul(offset: usize) -> ParseError {
        ParseError::new(offset, "a NUL", "cannot be part of a name")
    }

    /// The `::` after the hop, and the text that follows.
    pub(super) fn split(offset: usize, hop: &[u8], rest: &[u8]) -> ParseError {
        let error =
            ParseError::new(offset, "the `::`", "begins a path, and only a place can stand here");
        let scheme = hop.split(|&byte| byte == b':').next().unwrap_or_default();
        // Options may hold secrets.
        let path = rest.split(|byte| b"|?".contains(byte)).next().unwrap_or_default();
        match scheme {
            _ if path.is_empty() || path.starts_with(b"/") => error.with_hint(no_path(path)),
            b"ssh" | b"daemon" | b"smb" | [b'\\', ..] => {
                error.with_hint("put an IPv6 address in brackets, as in `ssh:[::1]`")
            }
            // Not one with only a scheme.
            _ if hop.len() > scheme.len() + 1 => error.with_hint("write `:%3A` in a name"),
            _ => error.with_hint(no_path(path)),
        }
    }

    pub(super) fn password(offset: usize) -> ParseError {
        ParseError::new(offset, "a password", "does not belong in an address")
            .with_hint("leave it out, as in `ssh:user@host`: addresses are shown, logged and kept")
    }

    pub(super) fn url(offset: usize, login: &str) -> ParseError {
        ParseError::new(offset, "the `//`", "does not belong there")
            .with_hint(format!("write {}", quoted(login)))
    }

    pub(super) fn missing(offset: usize, what: &'static str) -> ParseError {
        ParseError::new(offset, what, "is missing")
    }

    pub(super) fn not_local(offset: usize, target: &[u8]) -> ParseError {
        ParseError::new(offset, "the target", "does not belong after `local:`")
            .part(target)
            .with_hint("write `local:`; another root is `chroot:PATH`")
    }

    pub(super) fn host_path(offset: usize, path: &[u8]) -> ParseError {
        ParseError::new(offset, "the path", NOT_OF_A_HOST).part(path).with_hint(no_path(path))
    }

    pub(super) fn host(offset: usize, host: &[u8]) -> ParseError {
        ParseError::new(offset, "the host", "is not a host's name").part(host)
    }

    pub(super) fn not_ipv6(offset: usize, address: &[u8]) -> ParseError {
        ParseError::new(offset, "the host", "is not an IPv6 address in brackets")
            .part(address)
            .with_hint("an IPv6 address is written as in `ssh:[fe80::1%25eth0]:22`")
    }

    pub(super) fn port(offset: usize, port: &[u8]) -> ParseError {
        ParseError::new(offset, "the port", "is not a number from 1 to 65535").part(port)
    }

    pub(super) fn user(offset: usize, user: &[u8]) -> ParseError {
        ParseError::new(offset, "the user", "is not a user's name").part(user)
    }

    pub(super) fn daemon_user(offset: usize) -> ParseError {
        ParseError::new(offset, "a user", "does not belong in the address of a daemon")
    }

    pub(super) fn name(offset: usize, name: &[u8]) -> ParseError {
        ParseError::new(offset, "the target", "is not a name").part(name)
    }

    pub(super) fn unc(offset: usize, path: &[u8]) -> ParseError {
        ParseError::new(offset, "the path", "does not name a pipe")
            .part(path)
            .with_hint(r"a pipe is written `\\host\pipe\name`")
    }

    pub(super) fn option(offset: usize, key: &[u8]) -> ParseError {
        ParseError::new(offset, "the option", "is not a lower-case word")
            .part(key)
            .with_hint("options are written `?key=value&key`")
    }
}

/// The hint for a path where only a place can stand.
fn no_path(path: &[u8]) -> String {
    let dir = if path.is_empty() { b"DIR" } else { path };
    let flag = [b"--dir ", dir].concat();
    format!("a place has no path; to start in a directory: {}", quoted(OsStr::from_bytes(&flag)))
}

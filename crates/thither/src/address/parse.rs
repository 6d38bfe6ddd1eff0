//! From text to address.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

use super::escape::decode;
use super::{Address, Daemon, Hop, HopOption, Login, ParseError, SCHEMES, Target};

type Result<T> = std::result::Result<T, ParseError>;

pub(super) fn address(text: &[u8]) -> Result<Address> {
    let Scan { hops, split } = scan(text);
    match split {
        Some(split) => {
            let hop = hops.last().map_or(&[][..], |hop| &text[hop.clone()]);
            Err(without_secrets(text, ParseError::split(split, hop, &text[split + 2..])))
        }
        None => parse(text, &hops),
    }
}

/// The place and the path, or `None` for a local path.
pub(super) fn operand(text: &[u8]) -> Result<Option<(Address, &[u8])>> {
    // A `/` in a query is no path's.
    let head = text.split(|byte| b":?".contains(byte)).next().unwrap_or_default();
    match scan(text) {
        Scan { hops, split: Some(split) } if !head.contains(&b'/') => {
            Ok(Some((parse(text, &hops)?, &text[split + 2..])))
        }
        _ => Ok(None),
    }
}

/// Where the hops are, and the `::` that ends them.
struct Scan {
    hops: Vec<Range<usize>>,
    split: Option<usize>,
}

fn scan(text: &[u8]) -> Scan {
    let mut hops = Vec::new();
    let mut start = 0;
    let mut at = body(text, 0);
    let split = loop {
        match &text[at..] {
            [] => break None,
            [b':', b':', ..] => break Some(at),
            [b'|' | b',', ..] => {
                hops.push(start..at);
                start = at + 1;
                at = body(text, start);
            }
            [b'[', rest @ ..] => {
                // Without its closing bracket in the same hop it is a character like any other.
                at += match rest.iter().position(|byte| b"]|,".contains(byte)) {
                    Some(close) if rest[close] == b']' => close + 2,
                    _ => 1,
                }
            }
            _ => at += 1,
        }
    };
    hops.push(start..at);
    Scan { hops, split }
}

/// Where the scheme and its colon end; in a hop without a scheme, where its first `::`, query or end is.
fn body(text: &[u8], start: usize) -> usize {
    let hop = &text[start..];
    if hop.starts_with(br"\\") {
        return start;
    }
    let head = hop.iter().position(|byte| b":|,?".contains(byte)).unwrap_or(hop.len());
    match &hop[head..] {
        // `name::path`, but `local:::path`.
        [b':', b':', rest @ ..] if !rest.starts_with(b":") => start + head,
        [b':', ..] => start + head + 1,
        _ => start + head,
    }
}

fn parse(text: &[u8], hops: &[Range<usize>]) -> Result<Address> {
    if text.is_empty() {
        return Err(ParseError::empty());
    }
    let hops: Result<Vec<Hop>> =
        hops.iter().map(|hop| Part { text, start: hop.start, end: hop.end }.hop()).collect();
    match hops {
        Ok(hops) => Ok(Address { hops }),
        Err(error) => Err(without_secrets(text, error)),
    }
}

/// Takes the address's own text out of an error when something before an `@` may be a password, however it was
/// mangled: `user:p|w@host` or `user%pw@host`.
fn without_secrets(text: &[u8], error: ParseError) -> ParseError {
    let colon = text.iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
    let scheme = text[..colon].strip_suffix(b":").is_some_and(is_scheme);
    let rest = if scheme { &text[colon..] } else { text };
    let secret = match rest.iter().rposition(|&byte| byte == b'@') {
        Some(at) => rest[..at].iter().any(|byte| b":%|,?#".contains(byte)),
        None => false,
    };
    if secret { error.redacted() } else { error }
}

/// A part of the text that knows where it stands.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    fn bytes(self) -> &'a [u8] {
        &self.text[self.start..self.end]
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn find(self, byte: u8) -> Option<usize> {
        self.bytes().iter().position(|&other| other == byte)
    }

    /// Without its first `n` bytes.
    fn skip(self, n: usize) -> Part<'a> {
        Part { start: self.start + n, ..self }
    }

    /// Its first `n` bytes.
    fn take(self, n: usize) -> Part<'a> {
        Part { end: self.start + n, ..self }
    }

    /// What is before and after its first `byte`.
    fn split(self, byte: u8) -> (Part<'a>, Option<Part<'a>>) {
        match self.find(byte) {
            Some(at) => (self.take(at), Some(self.skip(at + 1))),
            None => (self, None),
        }
    }

    fn decode(self) -> Result<OsString> {
        decode(self.bytes(), self.start).map(OsString::from_vec)
    }

    /// Decodes a name that is UTF-8, not empty and without control characters, and that no program takes for a
    /// flag.
    fn word(self, error: fn(usize, &[u8]) -> ParseError) -> Result<String> {
        let bad = || error(self.start, self.bytes());
        let word = self.decode()?.into_string().map_err(|_| bad())?;
        match word.is_empty() || word.starts_with('-') || word.contains(char::is_control) {
            true => Err(bad()),
            false => Ok(word),
        }
    }

    fn hop(self) -> Result<Hop> {
        if self.is_empty() {
            return Err(ParseError::empty_hop(self.start));
        }
        if self.bytes().starts_with(br"\\") {
            return self.unc();
        }
        let (place, query) = self.split(b'?');
        let (head, target) = place.split(b':');
        let target = match target {
            Some(target) => head.scheme(target)?,
            None => head.named()?,
        };
        Ok(Hop { target, options: query.map_or(Ok(Vec::new()), Part::options)? })
    }

    /// `\\host\pipe\name`, `\\host`.
    fn unc(self) -> Result<Hop> {
        let (path, query) = self.skip(2).split(b'?');
        let (host, rest) = path.split(b'\\');
        let mut options = Vec::new();
        if let Some(rest) = rest {
            let (pipe, name) = rest.split(b'\\');
            match name {
                Some(name) if pipe.bytes().eq_ignore_ascii_case(b"pipe") && !name.is_empty() => {
                    options.push(HopOption { key: "pipe".into(), value: Some(name.decode()?) });
                }
                _ => return Err(ParseError::unc(rest.start, rest.bytes())),
            }
        }
        options.extend(query.map_or(Ok(Vec::new()), Part::options)?);
        Ok(Hop { target: Target::Smb(host.login("smb")?), options })
    }

    fn named(self) -> Result<Target> {
        let [first, rest @ ..] = self.bytes() else {
            return Err(ParseError::missing(self.start, "a place before the `?`"));
        };
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match std::str::from_utf8(self.bytes()) {
            Ok(name) if SCHEMES.contains(&name) => Err(ParseError::bare_scheme(self.start, name)),
            Ok(name) if first.is_ascii_alphanumeric() && rest.iter().all(inner) => {
                Ok(Target::Named(name.into()))
            }
            _ => Err(ParseError::no_scheme(self.start, self.bytes())),
        }
    }

    /// The target of this scheme.
    fn scheme(self, target: Part<'_>) -> Result<Target> {
        let name = match std::str::from_utf8(self.bytes()) {
            Ok(name) if is_scheme(name.as_bytes()) => name,
            _ if self.bytes().iter().any(|byte| b"@/".contains(byte)) => {
                return Err(ParseError::no_scheme(self.start, self.bytes()));
            }
            _ => return Err(ParseError::scheme(self.start, self.bytes())),
        };
        Ok(match name {
            "local" if target.is_empty() => Target::Local,
            "local" => return Err(ParseError::not_local(target.start, target.bytes())),
            "chroot" if target.is_empty() => {
                return Err(ParseError::missing(target.start, "the path of a root"));
            }
            "chroot" => Target::Chroot(target.decode()?.into()),
            "docker" => Target::Docker(target.name("docker", "the name of a container")?),
            "image" => Target::Image(target.name("image", "the name of an image")?),
            "ssh" => Target::Ssh(target.login("ssh")?),
            "smb" => Target::Smb(target.login("smb")?),
            "daemon" if target.is_empty() => Target::Daemon(Daemon::Default),
            "daemon" if target.bytes().starts_with(b"/") => {
                target.no_url("daemon")?;
                Target::Daemon(Daemon::Socket(target.decode()?.into()))
            }
            "daemon" => {
                let Login { user, host, port } = target.login("daemon")?;
                if user.is_some() {
                    return Err(ParseError::daemon_user(target.start));
                }
                Target::Daemon(Daemon::Host { host, port })
            }
            other => Target::Other(other.into(), target.decode()?),
        })
    }

    fn no_url(self, scheme: &str) -> Result<()> {
        match self.bytes().strip_prefix(b"//") {
            Some(rest) => {
                let rest = String::from_utf8_lossy(rest);
                let rest = rest.trim_end_matches('/');
                Err(ParseError::url(self.start, &format!("{scheme}:{rest}")))
            }
            None => Ok(()),
        }
    }

    fn name(self, scheme: &str, what: &'static str) -> Result<String> {
        self.no_url(scheme)?;
        match self.is_empty() {
            true => Err(ParseError::missing(self.start, what)),
            false => self.word(ParseError::name),
        }
    }

    /// `[user@]host[:port]`; the host may be an IPv6 address in brackets.
    fn login(self, scheme: &str) -> Result<Login> {
        self.no_url(scheme)?;
        let (user, host) = match self.bytes().iter().rposition(|&byte| byte == b'@') {
            Some(at) => (Some(self.take(at).user()?), self.skip(at + 1)),
            None => (None, self),
        };
        if host.is_empty() {
            return Err(ParseError::missing(host.start, "a host"));
        }
        if let Some(slash) = host.find(b'/') {
            return Err(ParseError::host_path(host.start + slash, host.skip(slash).bytes()));
        }
        let (host, rest) = match host.bytes() {
            [b'[', ..] => match host.find(b']') {
                Some(close) => (host.take(close).skip(1).ipv6()?, host.skip(close + 1)),
                None => return Err(ParseError::not_ipv6(host.start, host.bytes())),
            },
            bytes => {
                let colon = host.find(b':').unwrap_or(bytes.len());
                (host.take(colon).host()?, host.skip(colon))
            }
        };
        let port = match rest.bytes() {
            [] => None,
            [b':', ..] => Some(rest.skip(1).port()?),
            _ => return Err(ParseError::host(rest.start, rest.bytes())),
        };
        Ok(Login { user, host, port })
    }

    fn user(self) -> Result<String> {
        let user = match self.find(b':') {
            Some(colon) => return Err(ParseError::password(self.start + colon + 1)),
            None => self.word(ParseError::user)?,
        };
        match user.find(':') {
            Some(_) => Err(ParseError::password(self.start)),
            None if user.contains('/') => Err(ParseError::user(self.start, self.bytes())),
            None => Ok(user),
        }
    }

    fn host(self) -> Result<String> {
        let host = self.word(ParseError::host)?;
        // A colon or percent sign would make it an IPv6 address, the rest a path or a user.
        match host.contains(|char: char| char.is_whitespace() || r"/\:%@[]".contains(char)) {
            true => Err(ParseError::host(self.start, self.bytes())),
            false => Ok(host),
        }
    }

    fn ipv6(self) -> Result<String> {
        let bad = || ParseError::not_ipv6(self.start, self.bytes());
        let host = self.word(ParseError::not_ipv6)?;
        let (address, zone) = host.split_once('%').unwrap_or((&host, "0"));
        // The unreserved characters of RFC 3986, as RFC 6874 has it for zones; no interface needs others.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match address.parse::<Ipv6Addr>() {
            Ok(_) if !zone.is_empty() && zone.bytes().all(is_plain) => Ok(host),
            _ => Err(bad()),
        }
    }

    fn port(self) -> Result<u16> {
        let digits = std::str::from_utf8(self.bytes()).ok();
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(port @ 1..) => Ok(port),
            // `user:pass|word@host`: the rest of a password went elsewhere.
            _ if self.text[self.end..].contains(&b'@') => Err(ParseError::password(self.start)),
            _ => Err(ParseError::port(self.start, self.bytes())),
        }
    }

    fn options(self) -> Result<Vec<HopOption>> {
        let mut options = Vec::new();
        let mut rest = Some(self);
        while let Some(part) = rest {
            let (option, next) = part.split(b'&');
            let (key, value) = option.split(b'=');
            match std::str::from_utf8(key.bytes()) {
                Ok(name) if is_key(name) => {
                    let value = value.map(Part::decode).transpose()?;
                    options.push(HopOption { key: name.into(), value });
                }
                _ => return Err(ParseError::option(key.start, key.bytes())),
            }
            rest = next;
        }
        Ok(options)
    }
}

/// Whether a scheme can be called this.
pub(crate) fn is_scheme(text: &[u8]) -> bool {
    let inner =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_lowercase) && text.iter().all(inner)
}

/// Whether an option can have this key.
pub(super) fn is_key(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(inner)
}

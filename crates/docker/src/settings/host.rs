//! The address of an engine.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::{DEFAULT_SOCKET, SettingsError};

/// Registered with IANA for Docker: `docker`, without TLS.
const PORT: u16 = 2375;
/// Registered with IANA for Docker: `docker-s`, with TLS.
pub(super) const TLS_PORT: u16 = 2376;
/// The longest name of a host, in bytes (RFC 1035, 2.3.4).
const LONGEST: usize = 255;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name, or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is none: why, and what it should be.
    Form(&'static str, &'static str),
    /// It leads elsewhere: what to do instead.
    Way(&'static str),
}

const FORMS: &str = "write `unix:///PATH` or `tcp://HOST:PORT`";
const SSH: &str = "go there by the address, as in `ssh:HOST|docker:NAME`";
const NPIPE: &str = "have the engine listen on a TCP port with TLS: this is a pipe of Windows";
const FD: &str = "name the engine's socket, `unix:///PATH`: only the engine itself takes this form";

impl Host {
    /// An address as in `DOCKER_HOST`; `tls` chooses the port where none is given.
    pub(super) fn parse(text: &str, tls: bool) -> Result<Host, Wrong> {
        // The replacement character stands for what was not UTF-8.
        if text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Err(Wrong::Form("it has characters that no address has", FORMS));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text.starts_with(['/', '.']) => ("unix", text),
            None => ("tcp", text),
        };
        if rest.contains("://") {
            return Err(Wrong::Form("it has two schemes", "name one engine only"));
        }
        match scheme {
            "unix" if rest.is_empty() => Ok(Host::Unix(DEFAULT_SOCKET.into())),
            "unix" => Ok(Host::Unix(rest.into())),
            "tcp" => tcp(rest, if tls { TLS_PORT } else { PORT }),
            "ssh" => Err(Wrong::Way(SSH)),
            "npipe" => Err(Wrong::Way(NPIPE)),
            "fd" => Err(Wrong::Way(FD)),
            "http" | "https" => Err(Wrong::Form("its scheme is unknown", "write `tcp://` instead")),
            _ => Err(Wrong::Form("its scheme is unknown", FORMS)),
        }
    }

    /// Whether what is said to it stays on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let Host::Tcp { host, .. } = self else { return true };
        match host.parse::<IpAddr>() {
            // To connect to 0.0.0.0 or :: leads to this machine, ip(7).
            Ok(address) => address.is_loopback() || address.is_unspecified(),
            // RFC 6761, 6.3.
            Err(_) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }
}

fn tcp(rest: &str, default_port: u16) -> Result<Host, Wrong> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        let hint = "leave the user out: the engine knows users by their certificates";
        return Err(Wrong::Form("it names a user", hint));
    }
    if rest.contains(['/', '?', '#']) {
        return Err(Wrong::Form("it has a path", "leave the path out"));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let unclosed = Wrong::Form("a bracket is missing", "write `tcp://[ADDRESS]:PORT`");
            let (address, port) = rest.split_once(']').ok_or(unclosed)?;
            let bare = address.split_once('%').map_or(address, |(bare, _zone)| bare);
            if bare.parse::<Ipv6Addr>().is_err() {
                let hint = "brackets are for IPv6 addresses only";
                return Err(Wrong::Form("there is no IPv6 address in the brackets", hint));
            }
            match port.strip_prefix(':') {
                Some(port) => (address, port),
                None if port.is_empty() => (address, ""),
                None => return Err(unclosed),
            }
        }
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    if port.contains(':') {
        let hint = "write `tcp://[ADDRESS]:PORT` for an IPv6 address";
        return Err(Wrong::Form("it has several ports", hint));
    }
    if !rest.starts_with('[') && !is_name(host) {
        return Err(Wrong::Form("that is no name of a host", FORMS));
    }
    let host = if host.is_empty() { "localhost" } else { host };
    let port = match port {
        "" => default_port,
        // No sign, as Rust would take.
        _ if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().unwrap_or(0),
        _ => 0,
    };
    match port {
        0 => Err(Wrong::Form("that is no port", "a port is a number from 1 to 65535")),
        _ => Ok(Host::Tcp { host: host.to_owned(), port }),
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    host.len() <= LONGEST && host.bytes().all(allowed)
}

impl Wrong {
    pub(super) fn error(self, host: &str, origin: &str) -> SettingsError {
        let (host, origin) = (without_user(host), origin.to_owned());
        match self {
            Wrong::Form(wrong, hint) => SettingsError::Host { host, origin, wrong, hint },
            Wrong::Way(hint) => SettingsError::NoWay { host, origin, hint },
        }
    }
}

/// The address without a user, where a password could be.
fn without_user(host: &str) -> String {
    let (scheme, rest) = match host.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), host),
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}...@{rest}"),
        None => host.to_owned(),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Host::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of `text`, without and with TLS, or the error.
    #[track_caller]
    fn check(text: &str, said: &str) {
        let show = |tls| match Host::parse(text, tls) {
            Ok(host) => host.to_string(),
            Err(wrong) => wrong.error(text, "it").to_string(),
        };
        let (plain, tls) = (show(false), show(true));
        let both = if plain == tls { plain } else { format!("{plain} {tls}") };
        assert_eq!(both, said);
    }

    #[test]
    fn unix() {
        check("unix:///run/x.sock", "unix:///run/x.sock");
        check("unix://", "unix:///var/run/docker.sock");
        check("unix://x/y", "unix://x/y");
        check("/run/x.sock", "unix:///run/x.sock");
        check("./x.sock", "unix://./x.sock");
    }

    #[test]
    fn tcp() {
        check("tcp://h:1", "tcp://h:1");
        check("tcp://h", "tcp://h:2375 tcp://h:2376");
        check("tcp://h:", "tcp://h:2375 tcp://h:2376");
        check("tcp://", "tcp://localhost:2375 tcp://localhost:2376");
        check("tcp://:5", "tcp://localhost:5");
        check("h:5", "tcp://h:5");
        check("10.0.0.1", "tcp://10.0.0.1:2375 tcp://10.0.0.1:2376");
        check("tcp://h:5/", "tcp://h:5");
        check("tcp://[::1]", "tcp://[::1]:2375 tcp://[::1]:2376");
        check("tcp://[::1]:", "tcp://[::1]:2375 tcp://[::1]:2376");
        check("[fe80::1%eth0]:5", "tcp://[fe80::1%eth0]:5");
        check("tcp://h:65535", "tcp://h:65535");
    }

    #[test]
    fn none() {
        let none = |text: &str, wrong: &str| {
            check(text, &format!("it is `{text}`, no address of a Docker engine: {wrong}"));
        };
        for port in ["0", "65536", "99999999999999999999", "+5", "-1", "ab", "5 "] {
            none(&format!("tcp://h:{port}"), "that is no port");
        }
        none("tcp://h:5/v1", "it has a path");
        none("tcp://h?x", "it has a path");
        none("tcp://::1", "it has several ports");
        none("tcp://[::1", "a bracket is missing");
        none("tcp://[::1]5", "a bracket is missing");
        none("tcp://[h]:5", "there is no IPv6 address in the brackets");
        none("tcp://a b", "that is no name of a host");
        none("tcp://ä", "that is no name of a host");
        none(&"x".repeat(256), "that is no name of a host");
        none("unix:///a,unix:///b", "it has two schemes");
        none("http://h:5", "its scheme is unknown");
        none("foo://h", "its scheme is unknown");
        none("/run/\u{fffd}", "it has characters that no address has");
        check(
            "tcp://h\n",
            "it is `tcp://h\\n`, no address of a Docker engine: it has characters that no address has",
        );
    }

    #[test]
    fn other_ways() {
        let no_way =
            |text: &str| check(text, &format!("it is `{text}`, where we have no way to go"));
        no_way("ssh://host");
        no_way("fd://");
        no_way("npipe:////./pipe/docker_engine");
    }

    #[test]
    fn passwords_are_not_repeated() {
        check(
            "tcp://me:hunter2@h",
            "it is `tcp://...@h`, no address of a Docker engine: it names a user",
        );
        check("me:hunter2@h", "it is `...@h`, no address of a Docker engine: it names a user");
        check("ssh://me:hunter2@h", "it is `ssh://...@h`, where we have no way to go");
    }

    #[test]
    fn what_stays_here() {
        let local = |text: &str| Host::parse(text, false).unwrap().is_local();
        for text in [
            "/x",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "0.0.0.0",
            "[::]",
        ] {
            assert!(local(text), "{text}");
        }
        for text in [
            "10.0.0.1",
            "[fe80::1]",
            "host",
            "localhost.example",
            "127.0.0.1.example",
            "notlocalhost",
        ] {
            assert!(!local(text), "{text}");
        }
    }
}

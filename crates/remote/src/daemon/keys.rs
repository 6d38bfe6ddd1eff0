//! Who is known by which key: the lines of the files, and what can be wrong with them.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use thither_place::error::{printable, quoted};
use thither_place::tls::Fingerprint;

/// The longest name of a peer, in characters.
pub const LONGEST_NAME: usize = 64;
/// The longest line of a file, in bytes: room for a fingerprint, a date and a name, or for a host and a fingerprint.
const LONGEST_LINE: usize = 512;
/// The longest name of a host, in bytes, as in the DNS (RFC 1035, 2.3.4), with room for an IPv6 address and its zone.
const LONGEST_HOST: usize = 255;

/// A client that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Since when, to the second.
    pub added: SystemTime,
    /// What it is called: 1 to [`LONGEST_NAME`] characters that can be printed. Nothing says that it is true, or that no other
    /// has the same one.
    pub name: String,
}

/// What can go wrong with the folder of keys. Nothing of a key or token is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no place for the user's configuration.
    #[error(
        "nobody knows where your keys are: neither `XDG_CONFIG_HOME` nor `HOME` is an absolute path"
    )]
    NoHome,
    /// A file cannot be read or written.
    #[error("cannot {action} {}", quoted(file))]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be, or not ours alone.
    #[error("{} cannot be trusted: {wrong}", quoted(file))]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// Why not.
        wrong: String,
        /// A command that cures it, if one does.
        cure: Option<String>,
    },
    /// A line of a file says nothing that could be meant.
    #[error("{}, line {line}: {wrong}", quoted(file))]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// A file of a private key holds none.
    #[error("{} holds no Ed25519 private key that can be used", quoted(file))]
    Key {
        /// The file.
        file: PathBuf,
    },
    /// A host has no name that could be written down.
    #[error("{} is no name of a host", quoted(host))]
    Host {
        /// The name as it was given.
        host: String,
    },
    /// Nobody has that key or name.
    #[error("no key or name {} is known{}", quoted(text), listed(peers))]
    Unknown {
        /// What was looked for.
        text: String,
        /// Who is known.
        peers: Vec<Peer>,
    },
    /// Several have a key that begins so, or that name.
    #[error("{} is not one alone{}", quoted(text), listed(peers))]
    Ambiguous {
        /// What was looked for.
        text: String,
        /// Those that it may be.
        peers: Vec<Peer>,
    },
}

impl StoreError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::NoHome => Some("set `HOME`".into()),
            StoreError::File { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
                Some("end the process that holds it".into())
            }
            StoreError::File { .. } | StoreError::Host { .. } => None,
            StoreError::Untrusted { cure, .. } => cure.as_deref().map(quoted),
            StoreError::Line { .. } => Some("correct that line, or remove it".into()),
            StoreError::Key { .. } => Some(
                "remove it: a new one is made, and whoever knew the old one pairs again".into(),
            ),
            StoreError::Unknown { .. } => {
                Some("give a name, or the first 6 characters of a key or more".into())
            }
            StoreError::Ambiguous { .. } => Some("give more of the key".into()),
        }
    }
}

/// The first candidates of an error.
fn listed(peers: &[Peer]) -> String {
    const MOST: usize = 8;
    let mut text = match peers.is_empty() {
        true => return ": there is none at all".into(),
        false => String::from(": there is"),
    };
    for (n, peer) in peers.iter().take(MOST).enumerate() {
        let comma = if n == 0 { "" } else { "," };
        text += &format!("{comma} {} ({})", peer.fingerprint, peer.name);
    }
    if peers.len() > MOST {
        text += &format!(", and {} more", peers.len() - MOST);
    }
    text
}

/// What is wrong with a line, from 1 on.
pub(super) type Wrong = (usize, &'static str);

/// The lines of a file that say something, with their numbers: not the empty ones, nor those that begin with `#`.
fn lines(text: &[u8]) -> impl Iterator<Item = Result<(usize, &str), Wrong>> {
    let lines = text.split(|&byte| byte == b'\n').zip(1..);
    lines.filter(|(line, _)| !line.is_empty() && line[0] != b'#').map(|(line, number)| {
        if line.len() > LONGEST_LINE {
            return Err((number, "the line is too long"));
        }
        let line = std::str::from_utf8(line).map_err(|_| (number, "the line is not UTF-8"))?;
        match printable(line) == line {
            true => Ok((number, line)),
            false => Err((number, "the line holds characters that cannot be printed")),
        }
    })
}

fn fingerprint(word: Option<&str>) -> Result<Fingerprint, &'static str> {
    word.and_then(|word| word.parse().ok()).ok_or("there is no fingerprint of 43 characters")
}

/// `FINGERPRINT DATE NAME` in each line.
pub(super) fn parse_authorized(text: &[u8]) -> Result<Vec<Peer>, Wrong> {
    let parse = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let fingerprint = fingerprint(words.next())?;
        let added = words.next().and_then(|date| humantime::parse_rfc3339(date).ok());
        let added = added.ok_or("there is no date like 2026-01-31T23:59:59Z")?;
        let name = words.next().filter(|name| *name == sanitised(name));
        let name = name.ok_or("there is no name of 1 to 64 characters")?.to_owned();
        Ok(Peer { fingerprint, added, name })
    };
    let line = |line: Result<(usize, &str), Wrong>| {
        let (number, line) = line?;
        parse(line).map_err(|wrong| (number, wrong))
    };
    lines(text).map(line).collect()
}

/// A line of the file.
pub(super) fn authorized_line(peer: &Peer) -> String {
    format!("{} {} {}\n", peer.fingerprint, peer.added_text(), peer.name)
}

impl Peer {
    /// Since when, as RFC 3339 has it, in UTC.
    #[must_use]
    pub fn added_text(&self) -> String {
        // What RFC 3339 cannot say would panic.
        let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
        let added = self.added.clamp(SystemTime::UNIX_EPOCH, last);
        humantime::format_rfc3339_seconds(added).to_string()
    }
}

/// `HOST:PORT FINGERPRINT` in each line.
pub(super) fn parse_servers(text: &[u8]) -> Result<Vec<(String, Fingerprint)>, Wrong> {
    let line = |line: Result<(usize, &str), Wrong>| {
        let (number, line) = line?;
        let wrong = |wrong| (number, wrong);
        let (host, rest) = line.split_once(' ').ok_or((number, "there is no fingerprint"))?;
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.ok_or((number, "there is no port"))?;
        Ok((host.to_owned(), fingerprint(Some(rest)).map_err(wrong)?))
    };
    lines(text).map(line).collect()
}

/// Those lines of a file that do not begin with one of these words, and comments.
pub(super) fn without(text: &[u8], words: &[String]) -> Vec<u8> {
    let begins = |line: &[u8]| {
        let first = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        words.iter().any(|word| word.as_bytes() == first)
    };
    let mut kept: Vec<u8> = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if !begins(line.trim_ascii_end()) {
            kept.extend_from_slice(line);
        }
    }
    if kept.last().is_some_and(|&last| last != b'\n') {
        kept.push(b'\n');
    }
    kept
}

/// How a server is called in the file: `host:port`, as in a URL, where an IPv6 address is in brackets. Names of hosts are the same
/// in capitals (RFC 4343).
pub(super) fn server_name(host: &str, port: u16) -> Result<String, StoreError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let good = |char: char| !char.is_whitespace() && !matches!(char, '[' | ']' | '#');
    let fits = (1..=LONGEST_HOST).contains(&bare.len());
    if !fits || !bare.chars().all(good) || printable(bare) != bare {
        return Err(StoreError::Host { host: host.to_owned() });
    }
    let bare = bare.to_ascii_lowercase();
    Ok(match bare.contains(':') {
        true => format!("[{bare}]:{port}"),
        false => format!("{bare}:{port}"),
    })
}

/// A name that came from over there, as it is kept: characters that can be printed, one space at a time, not too many. It is never
/// empty.
#[must_use]
pub fn sanitised(name: &str) -> String {
    let visible = |char: &char| {
        let mut bytes = [0; 4];
        let text = char.encode_utf8(&mut bytes);
        char.is_whitespace() || *printable(text) == *text
    };
    // No more is looked at than could be kept, whatever the length.
    let seen: String = name.chars().take(16 * LONGEST_NAME).filter(visible).collect();
    let words: Vec<&str> = seen.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(LONGEST_NAME).collect();
    match name.trim_end() {
        "" => "unnamed".into(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "oekVYFTgT6yJmunydRMs3Ael28TqLCrTof_G4NJTaB8";
    const DATE: &str = "2026-11-21T23:22:30Z";

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expected: Expect) {
        let said = match parse_authorized(text.as_ref()) {
            Ok(peers) => peers.iter().map(authorized_line).collect::<String>(),
            Err((line, wrong)) => format!("line {line}: {wrong}\n"),
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn lines_of_peers() {
        check(
            format!("# who may come in\n\n{KEY} {DATE} a b\n{KEY} 1970-01-01T00:00:00Z ü"),
            expect![[r#"
                oekVYFTgT6yJmunydRMs3Ael28TqLCrTof_G4NJTaB8 2026-11-21T23:22:30Z a b
                oekVYFTgT6yJmunydRMs3Ael28TqLCrTof_G4NJTaB8 1970-01-01T00:00:00Z ü
            "#]],
        );
        check("", expect![""]);
    }

    #[track_caller]
    fn check_wrong(text: impl AsRef<[u8]>, said: &str) {
        let (line, wrong) = parse_authorized(text.as_ref()).unwrap_err();
        assert_eq!(format!("line {line}: {wrong}"), said);
    }

    #[test]
    fn lines_that_say_nothing() {
        let key = "line 1: there is no fingerprint of 43 characters";
        check_wrong("hello", key);
        check_wrong(format!(" {KEY} {DATE} a"), key);
        check_wrong(format!("{}! {DATE} a", &KEY[1..]), key);
        check_wrong(format!("{KEY}A {DATE} a"), key);
        let date = "line 2: there is no date like 2026-01-31T23:59:59Z";
        check_wrong(format!("\n{KEY}"), date);
        check_wrong(format!("#\n{KEY} 2026-11-21 a"), date);
        check_wrong(format!("\n{KEY} 2026-13-21T23:22:30Z a"), date);
        check_wrong(format!("\n{KEY}  {DATE} a"), date);
        let name = "line 1: there is no name of 1 to 64 characters";
        check_wrong(format!("{KEY} {DATE}"), name);
        check_wrong(format!("{KEY} {DATE} "), name);
        check_wrong(format!("{KEY} {DATE} a  b"), name);
        check_wrong(format!("{KEY} {DATE} {}", "a".repeat(65)), name);
        let unseen = "line 1: the line holds characters that cannot be printed";
        check_wrong(format!("{KEY} {DATE} a\0"), unseen);
        check_wrong(format!("{KEY} {DATE} a\r\n"), unseen);
        check_wrong(format!("{KEY} {DATE} \u{202e}a"), unseen);
        check_wrong([b"\n\n", KEY.as_bytes(), b" \xff"].concat(), "line 3: the line is not UTF-8");
        check_wrong("a".repeat(513), "line 1: the line is too long");
    }

    #[track_caller]
    fn check_servers(text: impl AsRef<[u8]>, expected: Expect) {
        let said = match parse_servers(text.as_ref()) {
            Ok(servers) => servers.iter().map(|(name, _)| format!("{name}\n")).collect(),
            Err((line, wrong)) => format!("line {line}: {wrong}\n"),
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn lines_of_servers() {
        check_servers(
            format!("a:1 {KEY}\n[::1]:65535 {KEY}\n"),
            expect![[r#"
                a:1
                [::1]:65535
            "#]],
        );
        check_servers(format!("a {KEY}"), expect!["line 1: there is no port\n"]);
        check_servers(format!("a:65536 {KEY}"), expect!["line 1: there is no port\n"]);
        check_servers("a:1", expect!["line 1: there is no fingerprint\n"]);
        let none = expect!["line 1: there is no fingerprint of 43 characters\n"];
        check_servers(format!("a:1 {KEY} "), none);
    }

    #[test]
    fn names_of_servers() {
        let name = |host| server_name(host, 10101).ok();
        assert_eq!(name("Build.Example").as_deref(), Some("build.example:10101"));
        assert_eq!(name("::1"), name("[::1]"));
        assert_eq!(name("fe80::1%eth0").as_deref(), Some("[fe80::1%eth0]:10101"));
        let long = "a".repeat(256);
        for bad in ["", "[]", "a b", "a\n", "#a", "a\u{202e}", "[::1", &long] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_of_peers() {
        let check = |name: &str, kept: &str| assert_eq!(sanitised(name), kept, "{name:?}");
        check("ann@laptop", "ann@laptop");
        check("  a \t b\n", "a b");
        check("\x1b[31mred\x07", "[31mred");
        check("\u{202e}\u{200b}\0", "unnamed");
        check("", "unnamed");
        check(&"ä".repeat(1000), &"ä".repeat(64));
        check(&format!("{} b", "a".repeat(63)), &"a".repeat(63));
    }

    #[test]
    fn lines_are_taken_out() {
        let text = b"# x\nx 1\ny 2\n\nxx 3\nx\nx 4";
        assert_eq!(without(text, &["x".into()]), b"# x\ny 2\n\nxx 3\n");
        assert_eq!(without(b"y", &[]), b"y\n");
        assert_eq!(without(b"", &[]), b"");
    }

    #[test]
    fn a_clock_that_is_wrong_has_a_date() {
        let far = Duration::from_secs(1 << 50);
        let name = "a".to_owned();
        let fingerprint = KEY.parse().unwrap();
        for added in [SystemTime::UNIX_EPOCH - far / 1000, SystemTime::UNIX_EPOCH + far] {
            let line = authorized_line(&Peer { fingerprint, added, name: name.clone() });
            assert_eq!(parse_authorized(line.as_bytes()).map(|peers| peers.len()), Ok(1), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn anything_can_be_parsed(bytes: Vec<u8>, date in "[0-9TZ:.-]{0,30}", name: String) {
            let _ = parse_authorized(&bytes);
            let _ = parse_servers(&bytes);
            let line = format!("{KEY} {date} {}\n", sanitised(&name));
            let _ = parse_authorized(line.as_bytes());
            let line = format!("{KEY} {DATE} {}\n", sanitised(&name));
            let peers = parse_authorized(line.as_bytes()).unwrap();
            prop_assert_eq!(authorized_line(&peers[0]), line);
        }
    }
}

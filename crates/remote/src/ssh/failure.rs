//! What `ssh` says when it cannot connect, and what may cure it.

use std::io;

use thither_place::Error;

/// What of its complaints is read, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// What is known of a complaint: words in it, and the hint.
const KNOWN: &[(&str, &str)] = &[
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its key is another one than before: if that is right, forget the old one with `ssh-keygen -R HOST`",
    ),
    (
        "host key is known for",
        "compare its key with what its owner says, then connect once with the option missing-host-key-policy=autoadd",
    ),
    (
        "Host key verification failed",
        "see which key `ssh-keyscan HOST` gets, and what its owner says",
    ),
    (
        "Permission denied",
        "see which keys and passwords it takes with `ssh -v HOST`; `ssh-add -l` lists the agent's",
    ),
    ("Too many authentication failures", "name the key with the option identity=FILE"),
    ("Could not resolve hostname", "check the name"),
    ("Connection refused", "check the port, and that an ssh server listens there"),
    ("Connection timed out", "check that the host is up and reachable"),
    ("No route to host", "check that the host is up and reachable"),
    ("Network is unreachable", "check the network"),
    ("Bad configuration option", "correct the line in ssh_config"),
    ("UNPROTECTED PRIVATE KEY FILE", "take away the others' permissions with `chmod go= FILE`"),
    (
        "UNKNOWN port",
        "check the host's name and port as they are over there, and that an ssh server listens",
    ),
    ("timed out", "check that the host is up and reachable"),
    ("kex_exchange_identification", "check that an ssh server listens on that port"),
    ("Connection closed by", "check that an ssh server listens on that port, and what it logs"),
    ("banner exchange", "check that an ssh server listens on that port"),
    (
        "no matching",
        "the host speaks none of the algorithms that are allowed: see `ssh -Q` and the host's settings",
    ),
];

/// The error for what `ssh` has printed. Its last line says what ended it; that a key has changed says a line before.
pub(super) fn failed(place: &str, stderr: &[u8]) -> Error {
    let text = String::from_utf8_lossy(stderr);
    let hint = KNOWN.iter().find(|(words, _)| text.contains(words)).map(|(_, hint)| hint);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('@'))
        .collect();
    let changed = text.contains("REMOTE HOST IDENTIFICATION HAS CHANGED");
    // These say more than the last line, which counts the bad ones or repeats what failed.
    let telling = ["host key is known for", "Bad configuration option"];
    let unknown = lines.iter().find(|line| telling.iter().any(|words| line.contains(words)));
    // So it calls a proxy: the stream from another hop.
    let through_hop = lines.last().is_some_and(|last| last.contains("UNKNOWN port"));
    let said = match (changed, unknown, lines.last()) {
        _ if through_hop => "the stream there from the hop before has ended at once".to_owned(),
        (true, ..) => "the key of the host has changed: somebody may be listening in".to_owned(),
        (_, Some(unknown), _) => (*unknown).to_owned(),
        (_, _, Some(last)) => (*last).to_owned(),
        (_, _, None) => "ssh ended without a word".to_owned(),
    };
    let said = said.strip_prefix("ssh: ").unwrap_or(&said).to_owned();
    Error::Enter {
        place: place.into(),
        source: Box::new(io::Error::other(said)),
        hint: hint.map(|hint| (*hint).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[track_caller]
    fn check(stderr: &str, said: &str, hint: &str) {
        let error = failed("ssh:web", stderr.as_bytes());
        assert_eq!(error.source().unwrap().to_string(), said);
        assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
    }

    #[test]
    fn what_ssh_says() {
        check(
            "ssh: Could not resolve hostname x: Name or service not known\r\n",
            "Could not resolve hostname x: Name or service not known",
            "check the name",
        );
        check(
            "@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nIT IS POSSIBLE ...\nHost key verification failed.\n",
            "the key of the host has changed: somebody may be listening in",
            "ssh-keygen -R",
        );
        check(
            "No ED25519 host key is known for [127.0.0.1]:1 and you have requested strict checking.\nHost key verification failed.\n",
            "No ED25519 host key is known for [127.0.0.1]:1 and you have requested strict checking.",
            "autoadd",
        );
        check("", "ssh ended without a word", "");
        check(
            "Connection closed by UNKNOWN port 65535\n",
            "the stream there from the hop before has ended at once",
            "as they are over there",
        );
    }
}

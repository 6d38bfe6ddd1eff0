//! Words for a login shell, which parses what is sent once more, as sshd(8) gives it one line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A word, quoted so that sh, dash, bash, zsh, ksh and fish read these very bytes: what may mean something to one of them
/// stands between single quotes (POSIX Shell, 2.2.2), and a quote or a backslash outside of them behind a backslash, since
/// fish knows both within quotes. There is no way to say NUL, which no argument can hold.
pub(crate) fn push_word(line: &mut Vec<u8>, word: impl AsRef<OsStr>) {
    let word = word.as_ref().as_bytes();
    if !word.is_empty() && word.iter().all(|&byte| is_plain(byte)) {
        return line.extend_from_slice(word);
    }
    if word.is_empty() {
        return line.extend_from_slice(b"''");
    }
    let mut quoted = false;
    for &byte in word {
        let special = byte == b'\'' || byte == b'\\';
        if quoted == special {
            line.push(b'\'');
            quoted = !special;
        }
        if special {
            line.push(b'\\');
        }
        line.push(byte);
    }
    if quoted {
        line.push(b'\'');
    }
}

/// A text of our own, quoted as by [`push_word`].
#[cfg(test)]
pub(crate) fn word(text: impl AsRef<OsStr>) -> Vec<u8> {
    let mut line = Vec::new();
    push_word(&mut line, text);
    line
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-:,+@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::array::uniform3;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use std::process::Command;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(word(text)).unwrap(), expected);
    }

    #[test]
    fn words() {
        check("", "''");
        check("/bin/ls", "/bin/ls");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check(r"\", r"\\");
        check(r"a\'b", r"'a'\\\''b'");
        check("$(id)", "'$(id)'");
        check("~", "'~'");
        check("=ls", "'=ls'");
        check("A=b", "'A=b'");
        check("\n", "'\n'");
    }

    /// What a shell reads in this line, or nothing if there is no such shell.
    fn parsed(shell: &str, line: &[u8]) -> Option<Vec<u8>> {
        testkit::find_program(shell).ok()?;
        let script = [b"/usr/bin/printf %s ", line].concat();
        Some(Command::new(shell).arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap().stdout)
    }

    const SHELLS: [&str; 5] = ["sh", "dash", "bash", "zsh", "fish"];

    #[track_caller]
    fn check_levels(bytes: &[u8], shells: [&str; 3]) {
        let mut line = bytes.to_vec();
        for _ in shells {
            line = word(OsStr::from_bytes(&line));
        }
        for shell in shells {
            // One that is not here leaves its level to another.
            line = parsed(shell, &line).or_else(|| parsed("sh", &line)).unwrap();
        }
        assert_eq!(line.escape_ascii().to_string(), bytes.escape_ascii().to_string(), "{shells:?}");
    }

    #[test]
    fn three_levels_of_bytes() {
        let all: Vec<u8> = (1..=255).collect();
        for shell in SHELLS {
            check_levels(&all, [shell; 3]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn three_levels_of_any_shells(
            bytes in vec(prop_oneof![1..=255_u8, select(b"'\\\"\n!$`~=- ".to_vec())], 1..40),
            shells in uniform3(select(SHELLS.to_vec())),
        ) {
            check_levels(&bytes, shells);
        }
    }
}

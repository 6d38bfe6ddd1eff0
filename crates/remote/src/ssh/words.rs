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

    fn parsed(line: &[u8]) -> Vec<u8> {
        let script = [b"printf %s ", line].concat();
        Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap().stdout
    }

    #[test]
    fn three_levels_of_bytes() {
        let all: Vec<u8> = (1..=255).collect();
        let mut line = word(OsStr::from_bytes(&all));
        for _ in 0..2 {
            line = word(OsStr::from_bytes(&line));
        }
        for _ in 0..3 {
            line = parsed(&line);
        }
        assert_eq!(line, all);
    }
}

//! The names of hosts in the user's ssh_config(5).
//!
//! What holds of a host only `ssh -G` can say; for its name it is enough to read the lines `Host` and `Include`.

use std::env;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use glob::MatchOptions;
use rustix::fs::OFlags;

/// How deep files include files: as OpenSSH's `READCONF_MAX_DEPTH`.
const DEEPEST: usize = 16;
/// How many files are read.
const MAX_FILES: usize = 256;
/// How many hosts are listed.
const MAX_HOSTS: usize = 10_000;
/// How much of a file is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// A name that ssh knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    /// Where it is said, and in which line, from 1 on.
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// The hosts of `~/.ssh/config` and of what that includes, each once, in their order. What cannot be read has none.
pub(super) fn hosts() -> Vec<Host> {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.map(|home| hosts_of(&home)).unwrap_or_default()
}

fn hosts_of(home: &Path) -> Vec<Host> {
    let mut reader = Reader { home, files: 0, hosts: Vec::new() };
    reader.file(&home.join(".ssh/config"), 0);
    reader.hosts
}

struct Reader<'a> {
    home: &'a Path,
    /// How many were read.
    files: usize,
    hosts: Vec<Host>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) {
        if depth > DEEPEST || self.files == MAX_FILES {
            return;
        }
        self.files += 1;
        let Some(bytes) = content(path) else { return };
        // What a `Match` says holds where a program or a user decides, and names no host.
        let mut in_match = false;
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let Some((keyword, words)) = std::str::from_utf8(line).ok().and_then(directive) else {
                continue;
            };
            match keyword.to_ascii_lowercase().as_str() {
                "match" => in_match = true,
                "host" => {
                    in_match = false;
                    words.into_iter().for_each(|name| self.host(name, path, index + 1));
                }
                "include" if !in_match => {
                    words.iter().for_each(|pattern| self.include(pattern, depth + 1));
                }
                _ => {}
            }
        }
    }

    fn host(&mut self, name: String, file: &Path, line: usize) {
        // A pattern is no name.
        let is_name = !name.is_empty() && !name.contains(['*', '?', '!']);
        if is_name
            && self.hosts.len() < MAX_HOSTS
            && !self.hosts.iter().any(|host| host.name == name)
        {
            self.hosts.push(Host { name, file: file.to_owned(), line });
        }
    }

    /// The files of a pattern, which is relative to `~/.ssh`, in lexical order.
    fn include(&mut self, pattern: &str, depth: usize) {
        let pattern = match pattern.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => self.home.join(".ssh").join(pattern),
        };
        // Two stars are one in glob(7), and not all that is below.
        let mut pattern = pattern.to_string_lossy().into_owned();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let Ok(found) = glob::glob_with(&pattern, options) else { return };
        for path in found.take(MAX_FILES).flatten() {
            self.file(&path, depth);
        }
    }
}

/// What a file says, as far as it is not too long.
fn content(path: &Path) -> Option<Vec<u8>> {
    // A fifo of this name is not waited for.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The keyword and the arguments of a line, if it has any: separated by white space or by one `=`.
fn directive(line: &str) -> Option<(&str, Vec<String>)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    (!keyword.is_empty() && !keyword.starts_with('#')).then(|| (keyword, words(rest)))
}

/// The words of a line as OpenSSH's `argv_split` takes them apart: in quotes of either kind there may be white space; a backslash
/// goes before a quote, a backslash and, outside of quotes, a space; a word that begins with `#` is a comment.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return words;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            let escaped = |c: &char| match c {
                '"' | '\'' | '\\' => true,
                ' ' => quote.is_none(),
                _ => false,
            };
            match c {
                '\\' => word.push(chars.next_if(escaped).unwrap_or(c)),
                _ if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ => word.push(c),
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests;

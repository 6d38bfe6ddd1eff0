//! Patterns of names, as in a .gitignore file: see [`Patterns`].

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::quoted;

/// Patterns of what is to be left out of a copy, matched against paths below its source.
///
/// As in gitignore(5): a pattern with a slash at its beginning or in its midst is about the whole path, any other about the name
/// at any depth. One with a slash at its end matches directories alone. `*` is any text without a slash, `?` any byte but a
/// slash, `[a-z]` one of these bytes, `[!a-z]` none of them; `**` between slashes is any number of directories, and at the end
/// all that is below. `\` takes the meaning from what follows it. All is compared byte by byte. There is no `!` that includes
/// something again.
///
/// ```
/// use thither_place::archive::Patterns;
///
/// let patterns = Patterns::new(["*.o", "/target/"])?;
/// assert!(patterns.match_path("src/main.o".as_ref(), false));
/// assert!(patterns.match_path("target".as_ref(), true));
/// assert!(!patterns.match_path("src/target".as_ref(), true));
/// # Ok::<(), thither_place::archive::BadPattern>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// The pattern.
    pub pattern: Vec<u8>,
    what: &'static str,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad pattern {}: {}", quoted(OsStr::from_bytes(&self.pattern)), self.what)
    }
}

impl std::error::Error for BadPattern {}

impl Patterns {
    /// Reads them.
    ///
    /// # Errors
    /// The first one that is none.
    pub fn new<P: AsRef<OsStr>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Patterns, BadPattern> {
        let parse = |pattern: P| {
            let pattern = pattern.as_ref().as_bytes();
            Pattern::parse(pattern).map_err(|what| BadPattern { pattern: pattern.to_vec(), what })
        };
        patterns.into_iter().map(parse).collect::<Result<_, _>>().map(Patterns)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches a path. Of what is in a directory that matches nothing is said.
    #[must_use]
    pub fn match_path(&self, path: &Path, is_directory: bool) -> bool {
        let parts: Vec<&[u8]> = path.as_os_str().as_bytes().split(|&byte| byte == b'/').collect();
        self.0.iter().any(|pattern| pattern.matches(&parts, is_directory))
    }
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    directories_only: bool,
}

/// What stands between slashes.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// `**`
    Any,
    Name(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Byte(u8),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Pattern {
    fn parse(text: &[u8]) -> Result<Pattern, &'static str> {
        if text.first() == Some(&b'!') {
            return Err("nothing is included again; write `\\!` for a name that begins so");
        }
        let (text, directories_only) = match text.strip_suffix(b"/") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parts = Vec::new();
        if !text.contains(&b'/') {
            parts.push(Part::Any);
        }
        // A slash in brackets or behind a backslash would match nothing.
        for part in text.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err("`..` leads out of what is copied"),
                b"**" => parts.push(Part::Any),
                name => parts.push(Part::Name(tokens(name)?)),
            }
        }
        match parts.iter().any(|part| *part != Part::Any) || text == b"**" {
            true => Ok(Pattern { parts, directories_only }),
            false => Err("it names nothing"),
        }
    }

    fn matches(&self, path: &[&[u8]], is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        let is_any = |part: &Part| *part == Part::Any;
        let one = |part: &Part, name: &&[u8]| match part {
            Part::Any => false,
            Part::Name(tokens) => name_matches(tokens, name),
        };
        match self.parts.split_last() {
            // All that is below, and not the directory itself.
            Some((Part::Any, parts)) => match path.split_last() {
                Some((_, above)) => {
                    let longer = |length: usize| wild(parts, &above[..length], is_any, one);
                    (0..=above.len()).any(longer)
                }
                None => false,
            },
            _ => wild(&self.parts, path, is_any, one),
        }
    }
}

fn tokens(name: &[u8]) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        tokens.push(match byte {
            b'*' if tokens.last() == Some(&Token::Many) => continue,
            b'*' => Token::Many,
            b'?' => Token::One,
            b'[' => {
                let (class, after) = class(rest).ok_or("it has a `[` without its `]`")?;
                rest = after;
                class
            }
            b'\\' => {
                let (&byte, after) = rest.split_first().ok_or("it ends with a `\\`")?;
                rest = after;
                Token::Byte(byte)
            }
            byte => Token::Byte(byte),
        });
    }
    Ok(tokens)
}

/// A class from behind its `[`, and what follows it.
fn class(text: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, mut rest) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        let (low, after) = match rest {
            // The first one is a member.
            [b']', after @ ..] if !ranges.is_empty() => {
                return Some((Token::Class { negated, ranges }, after));
            }
            [b'\\', byte, after @ ..] | [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        let (high, after) = match after {
            [b'-', b']', ..] => (low, after),
            [b'-', b'\\', byte, after @ ..] | [b'-', byte, after @ ..] => (*byte, after),
            _ => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

fn name_matches(tokens: &[Token], name: &[u8]) -> bool {
    wild(
        tokens,
        name,
        |token| *token == Token::Many,
        |token, &byte| match token {
            Token::Byte(expected) => *expected == byte,
            Token::One => true,
            Token::Many => false,
            Token::Class { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) != *negated
            }
        },
    )
}

/// Whether a pattern matches all of a text, in time of at most their product: only the last wildcard has to be tried
/// again.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    is_many: impl Fn(&P) -> bool,
    matches: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some(part) if is_many(part) => {
                again = Some((of, at));
                of += 1;
            }
            Some(part) if matches(part, &text[at]) => {
                at += 1;
                of += 1;
            }
            _ => match &mut again {
                Some((many, from)) => {
                    *from += 1;
                    (of, at) = (*many + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(is_many)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these paths a pattern matches; one with a slash at its end is a directory's.
    #[track_caller]
    fn check(pattern: &[u8], paths: &str, expected: &str) {
        let patterns = match Patterns::new([OsStr::from_bytes(pattern)]) {
            Ok(patterns) => patterns,
            Err(error) => return assert_eq!(error.to_string(), expected),
        };
        let is_matched = |path: &&str| {
            let plain = path.strip_suffix('/');
            patterns.match_path(Path::new(plain.unwrap_or(path)), plain.is_some())
        };
        let matched: Vec<_> = paths.split(' ').filter(is_matched).collect();
        assert_eq!(matched.join(" "), expected);
    }

    #[test]
    fn names_and_paths() {
        check(b"a", "a b/a b/a/c ab a/ b/a/", "a b/a a/ b/a/");
        check(b"/a", "a b/a a/", "a a/");
        check(b"./a", "a b/a a/", "a a/");
        check(b"a/", "a b/a a/ b/a/", "a/ b/a/");
        check(b"a/b", "a/b c/a/b b a/b/", "a/b a/b/");
        check(b"/a/b/", "a/b a/b/ a/b/c/", "a/b/");
        check(b"a/*", "a a/b a/b/c a/.d", "a/b a/.d");
        check(b"*.o", "a.o .o b/c.o a.oo a.o/", "a.o .o b/c.o a.o/");
        check(b"a*b*c", "abc axbxc abcb axxbbcc a/b/c", "abc axbxc axxbbcc");
        check(b"?", "a ab b/c", "a b/c");
    }

    #[test]
    fn any_depth() {
        check(b"**/a", "a b/a c/b/a c/b/ab", "a b/a c/b/a");
        check(b"a/**", "a a/b a/b/c b/a/c", "a/b a/b/c");
        check(b"a/**/b", "a/b a/x/b a/x/y/b a/x/c b", "a/b a/x/b a/x/y/b");
        check(b"**/a/**", "a a/b c/a/b c/a", "a/b c/a/b");
        check(b"**", "a b/c", "a b/c");
        check(b"a**b", "axxb ab a/b", "axxb ab");
        check(b"**/x/**/y", "x/y a/x/b/y a/x/x/y x", "x/y a/x/b/y a/x/x/y");
    }

    #[test]
    fn classes_and_escapes() {
        check(b"[a-c]", "a b d", "a b");
        check(b"[!a-c]x", "ax dx", "dx");
        check(b"[^]x]", "] x y", "y");
        check(b"[]-]", "] - x", "] -");
        check(b"[a\\]b]", "] a x", "] a");
        check(b"\\*", "* a", "*");
        check(b"\\!x", "!x x", "!x");
        assert!(Patterns::new([OsStr::from_bytes(b"\xff?")]).is_ok_and(|patterns| {
            patterns.match_path(Path::new(OsStr::from_bytes(b"a/\xff\xfe")), false)
        }));
    }

    #[test]
    fn what_is_no_pattern() {
        check(b"", "", "bad pattern ``: it names nothing");
        check(b"/", "", "bad pattern `/`: it names nothing");
        check(b"/**/", "", "bad pattern `/**/`: it names nothing");
        check(b"[a", "", "bad pattern `[a`: it has a `[` without its `]`");
        check(b"a\\", "", "bad pattern `a\\\\`: it ends with a `\\`");
        check(b"a/../b", "", "bad pattern `a/../b`: `..` leads out of what is copied");
        let again = "nothing is included again; write `\\!` for a name that begins so";
        check(b"!a", "", &format!("bad pattern `!a`: {again}"));
    }

    #[test]
    fn a_pattern_that_is_meant_to_take_long() {
        let pattern = [&b"*a".repeat(500)[..], b"b"].concat();
        let name = "a".repeat(4096);
        let patterns = Patterns::new([OsStr::from_bytes(&pattern)]).unwrap();
        assert!(!patterns.match_path(Path::new(&name), false));
    }
}

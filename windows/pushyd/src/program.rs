//! Which file a program's name may mean.

/// What is looked for where a name does not say it, in this order: what `PATHEXT` has, of what can be run here.
const KINDS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

/// Whether it is for cmd.exe to run.
#[must_use]
pub fn is_batch(path: &str) -> bool {
    let lower = path.trim_end_matches([' ', '.']).to_lowercase();
    lower.ends_with(".bat") || lower.ends_with(".cmd")
}

/// Whether it needs no directory to be found.
#[must_use]
pub fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let separator = |at: usize| bytes.get(at).is_some_and(|byte| matches!(byte, b'\\' | b'/'));
    separator(0) && separator(1)
        || bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.get(1) == Some(&b':')
            && separator(2)
}

/// The files that a program may be, the first that exists counts: a path if it has a separator, from `dir` on, else a name
/// in the absolute directories of `path`. Never what merely lies in the current directory.
///
/// `None` where it is neither.
#[must_use]
pub fn candidates(name: &str, path: &str, dir: &str) -> Option<Vec<String>> {
    if name.is_empty() || name.contains(['"', '\0', '*', '?', '<', '>', '|']) {
        return None;
    }
    let places: Vec<String> = if name.contains(['\\', '/']) {
        vec![absolute(name, dir)?]
    } else if name.contains(':') || name.trim_matches(['.', ' ']).is_empty() {
        return None;
    } else {
        let dirs = path.split(';').map(|dir| dir.trim_matches('"'));
        dirs.filter(|dir| is_absolute(dir)).map(|dir| below(dir, name)).collect()
    };
    Some(places.iter().flat_map(|place| with_kinds(place)).collect())
}

/// A path from `dir` on; `None` where it begins at a drive's own current directory, or at its root alone.
#[must_use]
pub fn absolute(path: &str, dir: &str) -> Option<String> {
    if is_absolute(path) {
        return Some(path.to_owned());
    }
    let relative = !path.contains(':') && !path.starts_with(['\\', '/']);
    relative.then(|| below(dir, path))
}

fn below(dir: &str, name: &str) -> String {
    format!(r"{}\{name}", dir.trim_end_matches(['\\', '/']))
}

fn with_kinds(path: &str) -> Vec<String> {
    let lower = path.to_lowercase();
    if KINDS.iter().any(|kind| lower.ends_with(kind)) {
        return vec![path.to_owned()];
    }
    KINDS.iter().map(|kind| format!("{path}{kind}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&[&str]>) {
        let found = candidates(name, r#"C:\a\;rel;"D:\b c";;\\h\s"#, r"C:\Users\me");
        let found = found.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{name}");
    }

    #[test]
    fn programs() {
        check("x.exe", Some(&[r"C:\a\x.exe", r"D:\b c\x.exe", r"\\h\s\x.exe"]));
        check(r"D:\x.CMD", Some(&[r"D:\x.CMD"]));
        check("D:/x.cmd", Some(&["D:/x.cmd"]));
        check(r"bin\x.com", Some(&[r"C:\Users\me\bin\x.com"]));
        let kinds = [".com", ".exe", ".bat", ".cmd"].map(|kind| format!(r"C:\p\py3.11{kind}"));
        check(r"C:\p\py3.11", Some(&kinds.each_ref().map(String::as_str)));
        for name in ["", r"C:x", r"\x", "C:", "a\"b", "a\0", ".", ".. ", "a*"] {
            check(name, None);
        }
    }

    #[test]
    fn batch_files() {
        for (path, expected) in
            [("a.exe", false), ("A.BAT", true), ("a.cmd", true), ("a.cmd. .", true), ("cmd", false)]
        {
            assert_eq!(is_batch(path), expected, "{path}");
        }
    }
}

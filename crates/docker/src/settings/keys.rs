//! The keys that detach.

use super::SettingsError;

/// What detaches when nothing else is said: ctrl-p ctrl-q.
pub const DEFAULT_DETACH_KEYS: &[u8] = b"\x10\x11";

/// The most keys that a sequence may have.
const MOST: usize = 64;

/// The bytes that the keys of a text send, as in `detachKeys` and `--detach-keys`: `ctrl-p,ctrl-q`. The keys are single
/// characters of ASCII, `ctrl-a` to `ctrl-z`, `ctrl-@`, `ctrl-[`, `ctrl-\`, `ctrl-]`, `ctrl-^`, `ctrl-_`, and `DEL`.
///
/// ```
/// use thither_docker::settings::detach_keys;
///
/// assert_eq!(detach_keys("ctrl-p,q")?, b"\x10q");
/// # Ok::<(), thither_docker::settings::SettingsError>(())
/// ```
///
/// # Errors
/// [`SettingsError::DetachKeys`].
pub fn detach_keys(text: &str) -> Result<Vec<u8>, SettingsError> {
    let keys: Vec<&str> = text.split(',').collect();
    let bytes = keys.iter().map(|key| byte(key)).collect::<Option<Vec<u8>>>();
    bytes.filter(|bytes| bytes.len() <= MOST).ok_or_else(|| {
        let wrong = keys.iter().take(MOST).find(|key| byte(key).is_none());
        let key = wrong.or(keys.get(MOST)).copied().unwrap_or_default();
        SettingsError::DetachKeys { text: shortened(text), key: shortened(key) }
    })
}

fn byte(key: &str) -> Option<u8> {
    match (key, key.as_bytes()) {
        ("DEL", _) => Some(0x7f),
        (_, [key @ b' '..=b'~']) => Some(*key),
        // Caret notation: @ is 0, a is 1, [ is 27.
        (_, [b'c', b't', b'r', b'l', b'-', key @ (b'a'..=b'z' | b'@' | b'['..=b'_')]) => {
            Some(key & 0x1f)
        }
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: &[u8]) {
        assert_eq!(detach_keys(text).unwrap(), bytes);
    }

    #[track_caller]
    fn refused(text: &str, said: &str) {
        let error = detach_keys(text).unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(error.hint().unwrap().contains("ctrl-"));
    }

    #[test]
    fn keys() {
        check("ctrl-p,ctrl-q", DEFAULT_DETACH_KEYS);
        check("ctrl-@,ctrl-a,ctrl-z", b"\x00\x01\x1a");
        check(r"ctrl-[,ctrl-\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f");
        check("a,Z,1,~, ,DEL", b"aZ1~ \x7f");
    }

    #[test]
    fn no_keys() {
        refused("", "`` are no detach keys: `` is no key");
        refused("a,,b", "`a,,b` are no detach keys: `` is no key");
        refused("ctrl-1", "`ctrl-1` are no detach keys: `ctrl-1` is no key");
        refused("ctrl-A", "`ctrl-A` are no detach keys: `ctrl-A` is no key");
        refused("ctrl-", "`ctrl-` are no detach keys: `ctrl-` is no key");
        refused("é", "`é` are no detach keys: `é` is no key");
        refused("a,\x1b", "`a,\\u{1b}` are no detach keys: `\\u{1b}` is no key");
        refused("del", "`del` are no detach keys: `del` is no key");
        let long = "x,".repeat(1000);
        assert!(detach_keys(&long).unwrap_err().to_string().len() < 200);
    }
}

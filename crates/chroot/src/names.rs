//! The host name inside, and the domain.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// `__NEW_UTS_LEN` of the kernel, in bytes: the limit of sethostname(2) and setdomainname(2).
const LONGEST: usize = 64;

/// What the UTS namespace is to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) host: Vec<u8>,
    /// As it is outside, if there is none.
    pub(crate) domain: Option<Vec<u8>>,
}

impl Names {
    /// The first label of a fully qualified name is the host, the others are the domain.
    ///
    /// # Errors
    /// An empty label, a name that is too long for the kernel, or a character that is in no name.
    pub(crate) fn parse(name: &OsStr) -> io::Result<Names> {
        let bad = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let bytes = name.as_bytes();
        // The dot that ends an absolute name.
        let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
        if bytes.split(|&byte| byte == b'.').any(<[u8]>::is_empty) {
            return bad("a part of it is empty".into());
        }
        let odd = |byte: &u8| !(byte.is_ascii_alphanumeric() || b".-_".contains(byte));
        if let Some(&byte) = bytes.iter().find(|byte| odd(byte)) {
            return bad(format!("`{}` cannot be in a host name", byte.escape_ascii()));
        }
        let dot = bytes.iter().position(|&byte| byte == b'.');
        let host = bytes[..dot.unwrap_or(bytes.len())].to_vec();
        let domain = dot.map(|dot| bytes[dot + 1..].to_vec());
        for (part, what) in [(Some(&host), "host name"), (domain.as_ref(), "domain")] {
            if part.is_some_and(|part| part.len() > LONGEST) {
                return bad(format!("the {what} is longer than {LONGEST} bytes"));
            }
        }
        Ok(Names { host, domain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, domain: Option<&str>) {
        let names = Names { host: host.into(), domain: domain.map(Into::into) };
        assert_eq!(Names::parse(text.as_ref()).unwrap(), names);
    }

    #[track_caller]
    fn check_bad(text: &str, expected: &str) {
        assert_eq!(Names::parse(text.as_ref()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn names() {
        check("web", "web", None);
        check("web.example.org", "web", Some("example.org"));
        check("web.", "web", None);
        check(&"x".repeat(64), &"x".repeat(64), None);
        check_bad("", "a part of it is empty");
        check_bad(".org", "a part of it is empty");
        check_bad("a..b", "a part of it is empty");
        check_bad("a b", "` ` cannot be in a host name");
        check_bad("a\n", "`\\n` cannot be in a host name");
        check_bad(&"x".repeat(65), "the host name is longer than 64 bytes");
        check_bad(&format!("a.{}", "x".repeat(65)), "the domain is longer than 64 bytes");
    }
}

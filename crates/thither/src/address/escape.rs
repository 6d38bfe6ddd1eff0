//! Percent-encoding: RFC 3986, 2.1, with our own set of characters that need it.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use super::ParseError;

/// Percent-encodes a path, a name or a value, so that it can be put into the text of an address.
///
/// Letters and digits of any script stay readable; what could be mistaken for syntax by us or by a shell, or
/// would not show as itself, is encoded.
///
/// ```
/// use thither::address::{Address, encode};
///
/// assert_eq!(encode("/srv/my root"), "/srv/my%20root");
/// let address = Address::parse(format!("chroot:{}", encode("/srv/my root")))?;
/// # Ok::<(), thither::ParseError>(())
/// ```
#[must_use]
pub fn encode(part: impl AsRef<OsStr>) -> String {
    let part = part.as_ref().as_bytes();
    let mut text = String::with_capacity(part.len());
    let mut at = 0;
    for chunk in part.utf8_chunks() {
        for char in chunk.valid().chars() {
            let last = at + char.len_utf8() == part.len();
            // At an end it may meet another colon: the scheme's, or that of a `::` that follows.
            let lone_colon = char == ':' && at > 0 && !last && !text.ends_with(':');
            if char.is_alphanumeric() || "/-._~+=@".contains(char) || lone_colon {
                text.push(char);
            } else {
                let mut bytes = [0; 4];
                escape(&mut text, char.encode_utf8(&mut bytes).as_bytes());
            }
            at += char.len_utf8();
        }
        escape(&mut text, chunk.invalid());
        at += chunk.invalid().len();
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

/// Decodes a part that stands at byte `offset` of the address.
pub(super) fn decode(part: &[u8], offset: usize) -> Result<Vec<u8>, ParseError> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut at = 0;
    while let Some(&byte) = part.get(at) {
        match byte {
            b'%' => {
                let escape = &part[at..part.len().min(at + 3)];
                match hex(escape) {
                    Some(0) => return Err(ParseError::nul(offset + at)),
                    Some(byte) => bytes.push(byte),
                    None => return Err(ParseError::escape(offset + at, escape)),
                }
                at += escape.len();
                continue;
            }
            0 => return Err(ParseError::nul(offset + at)),
            b'#' | b'?' | b' ' | 1..0x20 | 0x7f => {
                return Err(ParseError::unencoded(offset + at, byte));
            }
            byte => bytes.push(byte),
        }
        at += 1;
    }
    Ok(bytes)
}

/// The byte of `%` and two hexadecimal digits.
fn hex(escape: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match escape {
        [b'%', high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(part: &[u8], text: &str) {
        assert_eq!(encode(OsStr::from_bytes(part)), text);
        assert_eq!(decode(text.as_bytes(), 0).unwrap(), part);
    }

    #[test]
    fn parts() {
        check(b"/srv/root-1.0_a~b+c=d@e", "/srv/root-1.0_a~b+c=d@e");
        check("Größe/你".as_bytes(), "Größe/你");
        check(b"a|b,c?d#e%f g\th&i", "a%7Cb%2Cc%3Fd%23e%25f%20g%09h%26i");
        check(b"debian:12", "debian:12");
        check(b":a::b:", "%3Aa:%3Ab%3A");
        check(b"a[1]", "a%5B1%5D");
        check(b"\xff\xc3", "%FF%C3");
        check("\u{202e}\u{a0}\u{9b}".as_bytes(), "%E2%80%AE%C2%A0%C2%9B");
    }
}

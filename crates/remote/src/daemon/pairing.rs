//! Tokens: how two sides that have never met come to know each other's keys.
//!
//! The server makes one, its user carries it to the client by a way that he trusts, and the client shows it. It names the server's
//! key, so the client knows whom it talks to before it says anything; and it holds a secret that nobody else has, so the server
//! knows that the key it sees is that client's.
//!
//! The server keeps the SHA-256 sum of the secret, as the name of a file in `tokens/`, so the folder is of no use to who
//! copies it. A token is looked up by that sum: how long it takes says something of the sum at most, nothing of the
//! secret, which needs no comparison. It is used by removing that file: of two that try at once, one does. It lives for some minutes
//! of this boot, by a clock that goes on while the machine sleeps (`CLOCK_BOOTTIME`) and that nobody sets.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use thither_place::tls::Fingerprint;
use zeroize::Zeroizing;

use super::files::{Folder, Secrecy};
use super::{Store, StoreError};

/// How long a token can be used.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How every token begins.
const HEAD: &str = "thither-pair-";
/// The bytes of a secret, of a fingerprint, and of the sum of both.
const PARTS: [usize; 3] = [16, 32, 4];
/// The characters after the head: base64url without padding.
const LENGTH: usize = ((PARTS[0] + PARTS[1] + PARTS[2]) * 8).div_ceil(6);

const TOKENS: &str = "tokens";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What lets one client in, once: 128 random bits, and the server's key.
///
/// As text: `thither-pair-` and 70 characters of base64url (RFC 4648, 5) of the secret, the fingerprint, and the first
/// 4 bytes of the SHA-256 sum of both, which tell a token that was typed wrongly from one that nobody knows.
pub struct Token {
    secret: Zeroizing<[u8; PARTS[0]]>,
    server: Fingerprint,
}

impl Token {
    /// A new one.
    fn generate(server: Fingerprint) -> Result<Token, rustix::io::Errno> {
        let mut secret = Zeroizing::new([0; PARTS[0]]);
        // So few bytes come whole (getrandom(2)).
        getrandom(&mut secret[..], GetRandomFlags::empty())?;
        Ok(Token { secret, server })
    }

    /// What the client shows to the server.
    #[must_use]
    pub fn secret(&self) -> &[u8; 16] {
        &self.secret
    }

    /// The key of the server.
    #[must_use]
    pub fn server(&self) -> Fingerprint {
        self.server
    }

    /// The text for the user. It is no `Display`, lest it is logged.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; PARTS[0] + PARTS[1] + PARTS[2]]);
        bytes[..16].copy_from_slice(&self.secret[..]);
        bytes[16..48].copy_from_slice(self.server.as_bytes());
        let sum = checksum(&bytes[..48]);
        bytes[48..].copy_from_slice(&sum);
        let coded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..]));
        let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + coded.len()));
        text.push_str(HEAD);
        text.push_str(&coded);
        text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("server", &self.server).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token, whatever white space is around it.
    fn from_str(text: &str) -> Result<Token, TokenError> {
        let coded = text.trim().strip_prefix(HEAD).ok_or(TokenError::NoToken)?;
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if let Some(at) = coded.chars().position(|char| !char.is_ascii() || !is_good(char as u8)) {
            return Err(TokenError::Character { at: HEAD.len() + at + 1 });
        }
        if coded.len() != LENGTH {
            return Err(TokenError::Length { got: coded.len() });
        }
        let mut bytes = Zeroizing::new([0; PARTS[0] + PARTS[1] + PARTS[2]]);
        // It fails for bits that mean nothing, in the last character.
        let decoded = URL_SAFE_NO_PAD.decode_slice(coded, &mut bytes[..]);
        let (said, sum) = bytes.split_at(48);
        if decoded.is_err() || sum != checksum(said) {
            return Err(TokenError::Checksum);
        }
        let mut token = Token { secret: Zeroizing::default(), server: Fingerprint::from([0; 32]) };
        token.secret.copy_from_slice(&said[..16]);
        let mut server = [0; 32];
        server.copy_from_slice(&said[16..]);
        token.server = server.into();
        Ok(token)
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let sum = Sha256::digest(bytes);
    [sum[0], sum[1], sum[2], sum[3]]
}

/// Why a text is no token. It repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It begins otherwise.
    #[error("that is no token: a token begins with `{HEAD}`")]
    NoToken,
    /// A character that no token has.
    #[error("the token has a wrong character in column {at}")]
    Character {
        /// Which one, from 1 on.
        at: usize,
    },
    /// It is cut short, or too long.
    #[error("the token has {got} characters after `{HEAD}` instead of {LENGTH}")]
    Length {
        /// How many there are.
        got: usize,
    },
    /// Some character is another than it was.
    #[error("the token was not copied as it was: its checksum is wrong")]
    Checksum,
}

impl TokenError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            TokenError::NoToken => "get one with `thither serve pair` on the server",
            _ => "copy the whole token once more",
        }
    }
}

/// A moment: the boot, and the time since then, sleep included.
#[derive(Clone, Debug)]
struct Now {
    boot: String,
    since: Duration,
}

impl Now {
    fn get() -> Result<Now, StoreError> {
        let failed = |source| StoreError::File { action: "read", file: BOOT_ID.into(), source };
        let boot = fs::read_to_string(BOOT_ID).map_err(failed)?.trim().to_owned();
        // The clock has no time before the boot.
        let since = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        Ok(Now { boot, since })
    }

    /// What is written of a token that is made now: the boot, when it was made and when it ends, in milliseconds since then.
    fn record(&self, lifetime: Duration) -> String {
        let end = self.since.saturating_add(lifetime);
        format!("{} {} {}\n", self.boot, self.since.as_millis(), end.as_millis())
    }

    /// Whether a token with this record can be used now.
    fn is_within(&self, record: &[u8]) -> bool {
        let within = || {
            let mut words = std::str::from_utf8(record).ok()?.strip_suffix('\n')?.split(' ');
            let boot = words.next()?;
            let (made, end): (u128, u128) =
                (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let now = self.since.as_millis();
            Some(words.next().is_none() && boot == self.boot && (made..end).contains(&now))
        };
        within().unwrap_or(false)
    }
}

impl Store {
    /// A token that lets one client in, within that time ([`TOKEN_LIFETIME`]).
    ///
    /// # Errors
    /// When the folder cannot be read, written or trusted.
    pub fn new_token(&self, lifetime: Duration) -> Result<Token, StoreError> {
        self.new_token_at(lifetime, &Now::get()?)
    }

    fn new_token_at(&self, lifetime: Duration, now: &Now) -> Result<Token, StoreError> {
        let server = self.server_key()?.fingerprint();
        let folder = self.make()?;
        let tokens = folder.make_inner(TOKENS)?;
        let _lock = folder.lock()?;
        sweep(&tokens, now)?;
        let file = tokens.path_of("");
        let failed = |errno: rustix::io::Errno| StoreError::File {
            action: "make a token in",
            file,
            source: errno.into(),
        };
        let token = Token::generate(server).map_err(failed)?;
        tokens.write(&name_of(token.secret()), now.record(lifetime).as_bytes())?;
        Ok(token)
    }

    /// Uses a token up. Says whether it was one that could be used.
    ///
    /// # Errors
    /// When the folder cannot be read, written or trusted: then nobody is let in.
    pub fn use_token(&self, secret: &[u8; 16]) -> Result<bool, StoreError> {
        self.use_token_at(secret, &Now::get()?)
    }

    fn use_token_at(&self, secret: &[u8; 16], now: &Now) -> Result<bool, StoreError> {
        let Some(tokens) = self.tokens()? else { return Ok(false) };
        sweep(&tokens, now)?;
        let name = name_of(secret);
        let good = match tokens.read(&name, Secrecy::Open)? {
            Some(record) => now.is_within(&record),
            None => false,
        };
        // Only who has removed it has used it.
        Ok(good && tokens.remove(&name)?)
    }

    /// Whether there is a token that could be used.
    ///
    /// # Errors
    /// When the folder cannot be read or trusted.
    pub fn has_token(&self) -> Result<bool, StoreError> {
        self.has_token_at(&Now::get()?)
    }

    fn has_token_at(&self, now: &Now) -> Result<bool, StoreError> {
        let Some(tokens) = self.tokens()? else { return Ok(false) };
        for name in tokens.names()?.iter().filter(|name| is_name(name)) {
            if tokens.read(name, Secrecy::Open)?.is_some_and(|record| now.is_within(&record)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tokens(&self) -> Result<Option<Folder>, StoreError> {
        match self.folder()? {
            Some(folder) => folder.inner(TOKENS),
            None => Ok(None),
        }
    }
}

/// Removes the tokens that can no longer be used, and nothing else.
fn sweep(tokens: &Folder, now: &Now) -> Result<(), StoreError> {
    for name in tokens.names()?.iter().filter(|name| is_name(name)) {
        if tokens.read(name, Secrecy::Open)?.is_some_and(|record| !now.is_within(&record)) {
            tokens.remove(name)?;
        }
    }
    Ok(())
}

/// The name of a token's file: the SHA-256 sum of its secret in hexadecimal.
fn name_of(secret: &[u8; 16]) -> String {
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;

//! Private keys, and the short names of public ones.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustix::rand::{GetRandomFlags, getrandom};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// What comes before the 32 bytes of an Ed25519 private key in PKCS#8: RFC 8410, 7, as `openssl genpkey` has it.
const PKCS8_HEAD: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// How long a line of PEM is: RFC 7468, 2.
const PEM_LINE: usize = 64;

/// An Ed25519 private key, for [`connect_pinned`](super::connect_pinned) and [`accept_pinned`](super::accept_pinned).
///
/// What this type holds of the private key is overwritten when it is dropped; what the TLS library has made of it is not.
#[derive(Clone)]
pub struct Key {
    /// PKCS#8.
    der: Zeroizing<Vec<u8>>,
    pub(super) certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// Those of getrandom(2).
    pub fn generate() -> io::Result<Key> {
        let mut seed = Zeroizing::new([0; 32]);
        // So few bytes come whole (getrandom(2)).
        getrandom(&mut seed[..], GetRandomFlags::empty())?;
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_HEAD.len() + seed.len()));
        der.extend_from_slice(&PKCS8_HEAD);
        der.extend_from_slice(&seed[..]);
        Key::from_der(der).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Reads what [`to_pem`](Key::to_pem), or `openssl genpkey -algorithm ed25519`, has written.
    ///
    /// # Errors
    /// When it is no such key. It is said without a cause, which might quote a key.
    pub fn from_pem(pem: &[u8]) -> Result<Key, NoKey> {
        let mut found = PrivateKeyDer::from_pem_slice(pem).map_err(|_| NoKey)?;
        let der = Zeroizing::new(found.secret_der().to_vec());
        let is_pkcs8 = matches!(found, PrivateKeyDer::Pkcs8(_));
        found.zeroize();
        match is_pkcs8 {
            true => Key::from_der(der),
            false => Err(NoKey),
        }
    }

    fn from_der(der: Zeroizing<Vec<u8>>) -> Result<Key, NoKey> {
        let signing =
            any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice())).map_err(|_| NoKey)?;
        let public = signing.public_key().ok_or(NoKey)?.to_vec();
        let fingerprint = Fingerprint::of(&public);
        // A raw public key stands where a certificate would (RFC 7250, 3).
        let certified = CertifiedKey::new(vec![CertificateDer::from(public)], signing);
        Ok(Key { der, certified: Arc::new(certified), fingerprint })
    }

    /// The private key, in PKCS#8 (RFC 5958) as PEM (RFC 7468): `PRIVATE KEY`, not encrypted.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(STANDARD.encode(&self.der));
        // Lines are one byte longer than what is in them. A string that grew would leave parts of the key behind.
        let length = 64 + text.len() + text.len() / PEM_LINE;
        let mut pem = Zeroizing::new(String::with_capacity(length));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        for (at, char) in text.char_indices() {
            if at > 0 && at % PEM_LINE == 0 {
                pem.push('\n');
            }
            pem.push(char);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        pem
    }

    /// The short name of the public key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.fingerprint)
    }
}

/// There is no Ed25519 private key there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no Ed25519 private key (PKCS#8 in PEM, not encrypted)")]
#[non_exhaustive]
pub struct NoKey;

/// The short name of a public key: the SHA-256 sum of its SubjectPublicKeyInfo (RFC 5280, 4.1) in DER, as
/// in RFC 7469, 2.4. As text it is 43 characters of base64url without padding (RFC 4648, 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// How long its text is, in characters.
    pub const TEXT: usize = 43;

    /// That of a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(public_key).into())
    }

    /// The sum itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(sum: [u8; 32]) -> Fingerprint {
        Fingerprint(sum)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        // Without this, a text of any length would be decoded first.
        if text.len() != Fingerprint::TEXT {
            return Err(NoFingerprint);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoFingerprint)?;
        bytes.try_into().map(Fingerprint).map_err(|_| NoFingerprint)
    }
}

/// A text is no [`Fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fingerprint of a key: it has 43 characters out of A-Z, a-z, 0-9, `-` and `_`")]
#[non_exhaustive]
pub struct NoFingerprint;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, 10.3, without the attributes and the public key of its second form.
    const KNOWN: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    /// The sum of the public key of RFC 8410, 10.1, by openssl.
    const ITS_SUM: &str = "oekVYFTgT6yJmunydRMs3Ael28TqLCrTof_G4NJTaB8";

    #[test]
    fn a_known_key() {
        let key = Key::from_pem(KNOWN.as_bytes()).unwrap();
        assert_eq!(key.fingerprint().to_string(), ITS_SUM);
        assert_eq!(*key.to_pem(), KNOWN);
        assert_eq!(format!("{key:?}"), format!("Key({ITS_SUM})"));
        assert_eq!(ITS_SUM.parse(), Ok(key.fingerprint()));
    }

    #[test]
    fn a_new_key() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_ne!(key.fingerprint(), other.fingerprint());
        let again = Key::from_pem(key.to_pem().as_bytes()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        // The form with the public key, RFC 8410, 10.3, is longer than a line.
        let long = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let key = Key::from_pem(long.as_bytes()).unwrap();
        assert_eq!(key.to_pem().lines().map(str::len).max(), Some(64));
        let again = Key::from_pem(key.to_pem().as_bytes()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
    }

    #[track_caller]
    fn check_no_key(pem: &str) {
        assert_eq!(Key::from_pem(pem.as_bytes()).map(|key| key.fingerprint()), Err(NoKey));
    }

    #[test]
    fn what_is_no_key() {
        check_no_key("");
        check_no_key("hello");
        check_no_key(&KNOWN[..KNOWN.len() - 30]);
        check_no_key(&KNOWN.replace("PRIVATE", "PUBLIC"));
        check_no_key(&KNOWN.replace("PRIVATE", "ENCRYPTED PRIVATE"));
        check_no_key(&KNOWN.replace("PRIVATE", "EC PRIVATE"));
        check_no_key(&KNOWN.replace("MC4C", "MC5C"));
        // Another curve's name: X25519 can sign nothing.
        check_no_key(&KNOWN.replace("K2Vw", "K2Vu"));
        let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
        check_no_key(&p256);
    }

    #[test]
    fn texts_of_fingerprints() {
        let good = "A".repeat(43);
        assert_eq!(good.parse(), Ok(Fingerprint([0; 32])));
        for bad in ["", "A", &"A".repeat(42), &"A".repeat(44), &format!("{}=", &good[1..])] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NoFingerprint), "{bad}");
        }
        // Bits that mean nothing, the other alphabet, and what is no ASCII.
        for end in ["B", "+", "/", " "] {
            let bad = format!("{}{end}", &good[1..]);
            assert_eq!(bad.parse::<Fingerprint>(), Err(NoFingerprint), "{bad}");
        }
        assert_eq!(format!("{}ä", &good[2..]).parse::<Fingerprint>(), Err(NoFingerprint));
    }
}

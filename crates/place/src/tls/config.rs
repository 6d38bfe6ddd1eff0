//! Whom to trust, and who we are.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Error;

/// The longest file that is read, in bytes: the lists of systems have 200 KiB.
const LONGEST: u64 = 4 << 20;

/// Where systems keep the certificate authorities they trust: Debian, Fedora, SUSE, Alpine.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Files with certificates and keys in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The certificate authorities that the server's certificate may come from; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate, followed by those that lead to its authority.
    pub cert: Option<PathBuf>,
    /// The private key of our certificate.
    pub key: Option<PathBuf>,
    /// Whether any certificate of the server will do, so that whoever is between us and it can read and change all.
    pub insecure: bool,
}

/// How to make TLS connections, to be shared by all to the same server.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub(super) client: Arc<rustls::ClientConfig>,
    /// Whether a server has asked for our certificate.
    pub(super) asked: Arc<AtomicBool>,
}

impl From<Arc<rustls::ClientConfig>> for ClientConfig {
    /// From a configuration of one's own. [`connect`](super::connect) cannot know then whether the server
    /// asked for a certificate.
    fn from(client: Arc<rustls::ClientConfig>) -> ClientConfig {
        ClientConfig { client, asked: Arc::default() }
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Pem`], [`Error::Half`], [`Error::Pair`], [`Error::NoRoots`].
    pub fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions");
        let builder = match self.insecure {
            true => {
                let anyone = Arc::new(Anyone(provider));
                builder.dangerous().with_custom_certificate_verifier(anyone)
            }
            false => builder.with_root_certificates(self.roots()?),
        };
        let mut client = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let pair = (certificates(cert)?, private_key(key)?);
                let unfit = |source| Error::Pair { cert: cert.clone(), key: key.clone(), source };
                builder.with_client_auth_cert(pair.0, pair.1).map_err(unfit)?
            }
            (Some(file), None) => {
                return Err(Error::Half { file: file.clone(), missing: "private key" });
            }
            (None, Some(file)) => {
                return Err(Error::Half { file: file.clone(), missing: "certificate" });
            }
        };
        let asked = Arc::new(AtomicBool::new(false));
        let inner = client.client_auth_cert_resolver;
        client.client_auth_cert_resolver = Arc::new(Watched { inner, asked: asked.clone() });
        Ok(Arc::new(ClientConfig { client: Arc::new(client), asked }))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.ca {
            for authority in certificates(file)? {
                let unfit = |_| pem_error(file, "certificate", false);
                roots.add(authority).map_err(unfit)?;
            }
            return Ok(roots);
        }
        let system = SYSTEM_ROOTS.iter().map(Path::new).find(|file| file.is_file());
        // Some of the many may be of a kind that is not known here.
        roots.add_parsable_certificates(certificates(system.ok_or(Error::NoRoots)?)?);
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(pem_error(file, "certificate", false)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = read(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        // PKCS#8 (RFC 5958) and the older form of OpenSSL (RFC 1421) both have the word in clear.
        let encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
        pem_error(file, "private key", encrypted)
    })
}

/// Without the cause, which might quote a key.
fn pem_error(file: &Path, what: &'static str, encrypted: bool) -> Error {
    Error::Pem { file: file.to_owned(), what, encrypted }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 <= LONGEST => Ok(bytes),
        Ok(_) => {
            let source = io::Error::from(io::ErrorKind::FileTooLarge);
            Err(Error::File { file: file.to_owned(), source })
        }
        Err(source) => Err(Error::File { file: file.to_owned(), source }),
    }
}

/// Remembers that a server asked for our certificate.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ResolvesClientCert>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Watched {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

/// Takes every certificate. That the server has its key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

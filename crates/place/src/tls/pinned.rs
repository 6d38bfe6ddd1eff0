//! Connections between two keys that know each other: no certificates, no authorities, no names.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, OtherError, PeerIncompatible, ServerConfig, ServerConnection,
    SignatureScheme,
};

use super::handshake::Handshake;
use super::{Error, Fingerprint, Key};

/// What both sides say that they are about to speak (ALPN, RFC 7301).
const PROTOCOL: &[u8] = b"thither/1";

/// Every key here is an Ed25519 one.
const SCHEME: SignatureScheme = SignatureScheme::ED25519;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));

/// Makes a TLS connection of a TCP connection to a server whose key is known: `server`. It learns that we have `key`,
/// and decides then whether to go on: that this returns means no more than that the server is the right one.
/// `name` is for errors and never sent.
///
/// The rest is as with [`connect`](super::connect).
///
/// # Errors
/// [`Error::OtherKey`], [`Error::Pinned`], [`Error::Lost`], [`Error::TimedOut`], [`Error::Start`].
pub fn connect_pinned(
    tcp: TcpStream,
    key: &Key,
    server: Fingerprint,
    name: &str,
    limit: Duration,
) -> Result<OwnedFd, Error> {
    let error = |source| Error::Pinned { name: name.to_owned(), source };
    // Rustls wants a name. It is neither sent nor compared.
    let nobody = ServerName::try_from("thither").expect("a name");
    let client = ClientConnection::new(client_config(key, server), nobody).map_err(error)?;
    let handshake = complete(tcp, client.into(), name, limit)?;
    handshake.into_descriptor()
}

/// Makes a TLS connection of a TCP connection that was accepted. Any client that has a private key will do:
/// whose it is, is returned, and the caller decides who that is.
///
/// # Errors
/// [`Error::Pinned`], [`Error::Lost`], [`Error::TimedOut`], [`Error::Start`], with the peer's address as the name.
pub fn accept_pinned(
    tcp: TcpStream,
    key: &Key,
    limit: Duration,
) -> Result<(OwnedFd, Fingerprint), Error> {
    let name = tcp.peer_addr().map_or_else(|_| "a client".into(), |address| address.to_string());
    let error = |source| Error::Pinned { name: name.clone(), source };
    let server = ServerConnection::new(server_config(key)).map_err(error)?;
    let handshake = complete(tcp, server.into(), &name, limit)?;
    let keys = handshake.tls.peer_certificates().unwrap_or_default();
    // There is always one, as the verifier wants it.
    let client = keys.first().ok_or_else(|| error(rustls::Error::NoCertificatesPresented))?;
    let client = Fingerprint::of(client);
    Ok((handshake.into_descriptor()?, client))
}

fn complete(
    tcp: TcpStream,
    tls: Connection,
    name: &str,
    limit: Duration,
) -> Result<Handshake<'_>, Error> {
    let deadline = Instant::now().checked_add(limit);
    let start_error = |source| Error::Start { name: name.to_owned(), source };
    // A handshake is small messages by turns: without this each waits for a delayed acknowledgement.
    // What is no TCP, such as a stream beyond another hop, has no such delay.
    let _ = tcp.set_nodelay(true);
    tcp.set_nonblocking(true).map_err(start_error)?;
    let mut handshake = Handshake::new(tcp, tls, name, limit);
    handshake.complete(deadline).map_err(as_pinned)?;
    // One who offers none goes on without one (RFC 7301, 3.2).
    if handshake.tls.alpn_protocol() != Some(PROTOCOL) {
        let source = rustls::Error::NoApplicationProtocol;
        return Err(Error::Pinned { name: name.to_owned(), source });
    }
    Ok(handshake)
}

/// The same error with words about keys instead of certificates.
fn as_pinned(error: Error) -> Error {
    let Error::Handshake { name, source } = error else { return error };
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) = &source
        && let Some(&Other { expected, found }) = why.downcast_ref()
    {
        return Error::OtherKey { name, expected, found };
    }
    Error::Pinned { name, source }
}

fn client_config(key: &Key, server: Fingerprint) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin(server)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            key.certified.clone(),
        )));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Arc::new(config)
}

fn server_config(key: &Key) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites for TLS 1.3")
        .with_client_cert_verifier(Arc::new(AnyKey))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            key.certified.clone(),
        )));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Who is let in is asked anew each time: a session that is resumed would go by what was true before.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Who has another key than that.
#[derive(Debug, thiserror::Error)]
#[error("another key")]
struct Other {
    expected: Fingerprint,
    found: Fingerprint,
}

/// The client's side: only the server that has this key.
#[derive(Debug)]
struct Pin(Fingerprint);

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        public_key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (expected, found) = (self.0, Fingerprint::of(public_key));
        if found != expected {
            let why = OtherError(Arc::new(Other { expected, found }));
            return Err(CertificateError::Other(why).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        public_key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, public_key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The server's side: whoever has a key.
#[derive(Debug)]
struct AnyKey;

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        public_key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, public_key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// That the peer has the private key: it has signed all that was said until now (RFC 8446, 4.4.3).
fn verify(
    message: &[u8],
    public_key: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &PROVIDER.signature_verification_algorithms;
    let public_key = SubjectPublicKeyInfoDer::from(public_key.as_ref());
    // Rustls has checked already that the scheme is one that we offered. It is not to depend on that.
    if signed.scheme != SCHEME {
        return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
    }
    verify_tls13_signature_with_raw_key(message, &public_key, signed, algorithms)
}

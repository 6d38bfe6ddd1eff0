//! Peers of rustls itself that do what ours never would.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use thither_place::tls::Key;

/// What a peer is like. It takes whatever the other side shows.
#[derive(Clone, Debug)]
pub(crate) struct Impostor {
    pub(crate) key: Option<Arc<CertifiedKey>>,
    /// Whether it shows a public key as it is, and wants one.
    pub(crate) raw: bool,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) alpn: Option<&'static str>,
}

impl Impostor {
    pub(crate) fn with(key: Option<Arc<CertifiedKey>>) -> Impostor {
        Impostor { key, raw: true, versions: rustls::ALL_VERSIONS, alpn: Some("thither/1") }
    }

    fn alpn(&self) -> Vec<Vec<u8>> {
        self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
    }
}

/// The public key of the one, and signatures of the other.
pub(crate) fn stolen(shown: &Key, signs: &Key) -> Option<Arc<CertifiedKey>> {
    let public = signing(&shown.to_pem()).public_key().unwrap().to_vec();
    Some(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signing(&signs.to_pem()))))
}

/// A key of another kind.
pub(crate) fn p256() -> Option<Arc<CertifiedKey>> {
    let signing = signing(&rcgen::KeyPair::generate().unwrap().serialize_pem());
    let public = signing.public_key().unwrap().to_vec();
    Some(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signing)))
}

fn signing(pem: &str) -> Arc<dyn SigningKey> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    any_supported_type(&der).unwrap()
}

pub(crate) fn client_config(who: Impostor) -> ClientConfig {
    let alpn = who.alpn();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(who.versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(who.clone()))
        .with_client_cert_resolver(Arc::new(who));
    config.alpn_protocols = alpn;
    config
}

pub(crate) fn server_config(who: Impostor) -> ServerConfig {
    let alpn = who.alpn();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(who.versions)
        .unwrap()
        .with_client_cert_verifier(Arc::new(who.clone()))
        .with_cert_resolver(Arc::new(who));
    config.alpn_protocols = alpn;
    config
}

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.key.clone()
    }

    fn only_raw_public_keys(&self) -> bool {
        self.raw
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.clone()
    }

    fn only_raw_public_keys(&self) -> bool {
        self.raw
    }
}

impl ServerCertVerifier for Impostor {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

impl ClientCertVerifier for Impostor {
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
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

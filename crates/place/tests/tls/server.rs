//! A server of rustls, one connection to each thread.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};
use testkit::DEADLINE;
use thither_place::tls::{self, Certificates, ClientConfig};

use crate::authority::Authority;

pub(crate) type Peer = StreamOwned<ServerConnection, TcpStream>;

pub(crate) const YEAR: i32 = 2100;

/// What a server is like.
pub(crate) struct Server {
    pub(crate) authority: Authority,
    pub(crate) name: &'static str,
    /// When its certificate ends.
    pub(crate) year: i32,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// Whether it wants a certificate of the client.
    pub(crate) asks: bool,
    pub(crate) tickets: usize,
}

impl Server {
    pub(crate) fn new() -> Server {
        Server {
            authority: Authority::new(),
            name: "127.0.0.1",
            year: YEAR,
            versions: rustls::ALL_VERSIONS,
            asks: false,
            tickets: 2,
        }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let builder = match self.asks {
            true => builder.with_client_cert_verifier(verifier.unwrap()),
            false => builder.with_no_client_auth(),
        };
        let (chain, key) = self.authority.issue(self.name, self.year).der();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.send_tls13_tickets = self.tickets;
        config
    }

    /// Accepts one connection and does with it what `serve` does.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        serve: impl FnOnce(Peer) -> T + Send + 'static,
    ) -> (SocketAddr, JoinHandle<T>) {
        let config = Arc::new(self.config());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_read_timeout(Some(DEADLINE)).unwrap();
            tcp.set_write_timeout(Some(DEADLINE)).unwrap();
            let mut peer = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
            // What fails now fails again for `serve`.
            let _ = peer.conn.complete_io(&mut peer.sock);
            serve(peer)
        });
        (address, thread)
    }

    /// What its clients need to know.
    pub(crate) fn trusted(&self) -> Certificates {
        Certificates { ca: Some(self.authority.file()), ..Certificates::default() }
    }

    /// A connection to it, and what `serve` returns.
    pub(crate) fn stream<T: Send + 'static>(
        &self,
        serve: impl FnOnce(Peer) -> T + Send + 'static,
    ) -> (UnixStream, JoinHandle<T>) {
        let config = self.trusted().config().unwrap();
        let (address, thread) = self.start(serve);
        (open(address, &config, self.name).unwrap(), thread)
    }
}

pub(crate) fn open(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> Result<UnixStream, tls::Error> {
    let tcp = TcpStream::connect(address).unwrap();
    let stream = UnixStream::from(tls::connect(tcp, config.clone(), name, DEADLINE)?);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    Ok(stream)
}

//! What a server may ask of us, which is little, and whether its key is trusted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, ChannelOpenHandle, DisconnectReason, Msg, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, Error};

use super::failure::Fault;
use super::known::{KnownHosts, Verdict, fingerprint, remember};
use crate::ssh::HostKeys;

/// What a server said last, if it said why it ends the connection.
pub(super) type LastWords = Arc<Mutex<Option<String>>>;

/// See the [module](self).
pub(super) struct Client {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) known: KnownHosts,
    pub(super) policy: HostKeys,
    /// Where a new key is remembered.
    pub(super) remember_in: Option<PathBuf>,
    pub(super) last_words: LastWords,
}

impl Client {
    fn check(&self, key: &PublicKey) -> Result<(), Fault> {
        let verdict = self.known.verdict(key);
        tracing::debug!(host = %self.host, key = %fingerprint(key), ?verdict, "host key");
        let host = || self.host.clone();
        match (verdict, self.policy) {
            (Verdict::Known, _) => Ok(()),
            (verdict, HostKeys::Warning) => {
                let (host, key) = (&self.host, fingerprint(key));
                tracing::warn!(%host, %key, ?verdict, "the key is taken without being known");
                Ok(())
            }
            (Verdict::Unknown, HostKeys::AutoAdd) => {
                self.add(key);
                Ok(())
            }
            (Verdict::Unknown, HostKeys::Reject) => {
                Err(Fault::UnknownKey { host: host(), fingerprint: fingerprint(key) })
            }
            (Verdict::Changed(file, line), _) => {
                Err(Fault::ChangedKey { host: host(), fingerprint: fingerprint(key), file, line })
            }
            (Verdict::Revoked(file, line), _) => {
                Err(Fault::RevokedKey { host: host(), file, line })
            }
        }
    }

    /// As with ssh, a file that cannot be written keeps nobody out.
    fn add(&self, key: &PublicKey) {
        let Some(file) = &self.remember_in else { return };
        match remember(file, &self.host, self.port, key) {
            Ok(()) => tracing::info!(host = %self.host, ?file, "the key is remembered"),
            Err(error) => {
                tracing::warn!(host = %self.host, ?file, %error, "cannot remember the key")
            }
        }
    }
}

/// The default of the trait would open what the server asks for. A handle that is dropped says no.
impl client::Handler for Client {
    type Error = Fault;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.check(key).map(|()| true),
            // None was asked for.
            PublicKeyOrCertificate::Certificate(_) => Err(Fault::from(Error::UnknownKey)),
        }
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Fault> {
        tracing::info!(host = %self.host, banner = %thither_place::error::printable(banner), "banner");
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        tracing::debug!(host = %self.host, ?reason, "disconnected");
        if let DisconnectReason::ReceivedDisconnect(words) = reason {
            let said: String = words.message.chars().take(400).collect();
            *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        }
        Ok(())
    }
}

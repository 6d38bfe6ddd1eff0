//! Who we are, in this order: the identity given, the agent's, the default keys, the password.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Interactive};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use russh::{MethodKind, MethodSet};
use thither_place::error::quoted;

use super::failure::Fault;
use super::handler::{Client, LastWords};
use crate::ssh::Secret;

/// The default keys below `~/.ssh`, the best first.
pub(super) const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// The longest key file that is read, in bytes: an RSA key of 16384 bits has 13 KiB.
const LONGEST_KEY: u64 = 64 * 1024;

/// How often a server may ask in one round of keyboard-interactive.
const MOST_QUESTIONS: usize = 8;

/// What we can show.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) identity: Option<PathBuf>,
    /// The agent's socket.
    pub(super) agent: Option<PathBuf>,
    pub(super) default_keys: Vec<PathBuf>,
    pub(super) password: Option<Secret>,
}

/// Gets in, or says what was tried.
pub(super) async fn authenticate(
    handle: &mut Handle<Client>,
    credentials: &Credentials,
    last_words: &LastWords,
) -> Result<(), Fault> {
    let mut attempt = Attempt {
        handle,
        user: &credentials.user,
        allowed: None,
        shown: HashSet::new(),
        tried: Vec::new(),
        hash: None,
    };
    if attempt.everything(credentials).await? {
        return Ok(());
    }
    let said = last_words.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let mut tried = attempt.tried;
    if let Some(said) = said {
        tried.push(format!("the server says: {said}"));
    }
    Err(Fault::Denied { user: credentials.user.clone(), tried: tried.join("; ") })
}

struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    user: &'a str,
    /// What the server would still accept; not known before the first refusal.
    allowed: Option<MethodSet>,
    /// Keys that were shown: some servers count.
    shown: HashSet<String>,
    /// In words, for the error.
    tried: Vec<String>,
    /// The hash for signatures by RSA keys, once asked for.
    hash: Option<Option<HashAlg>>,
}

impl Attempt<'_> {
    async fn everything(&mut self, credentials: &Credentials) -> Result<bool, Fault> {
        if let Some(file) = &credentials.identity
            && self.key_file(file, true).await?
        {
            return Ok(true);
        }
        if let Some(socket) = &credentials.agent
            && self.agent(socket).await?
        {
            return Ok(true);
        }
        for file in &credentials.default_keys {
            if self.key_file(file, false).await? {
                return Ok(true);
            }
        }
        match &credentials.password {
            Some(password) if self.password(password).await? => return Ok(true),
            Some(_) => {}
            None => {}
        }
        if self.allowed.is_none() {
            // There was nothing to show. Some let everybody in; the others say what they want.
            let answer = self.handle.authenticate_none(self.user).await?;
            if self.got_in(answer) {
                return Ok(true);
            }
            if self.tried.is_empty() {
                self.tried.push("no key and no password to show".into());
            }
        }
        if let Some(allowed) = self.allowed.as_ref().filter(|allowed| !allowed.is_empty()) {
            let names: Vec<&str> = allowed.iter().map(<&str>::from).collect();
            self.tried.push(format!("it accepts {}", names.join(", ")));
        }
        Ok(false)
    }

    /// Takes note of an answer.
    fn got_in(&mut self, answer: AuthResult) -> bool {
        match answer {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, partial_success } => {
                self.refused(remaining_methods, partial_success);
                false
            }
        }
    }

    fn refused(&mut self, remaining: MethodSet, partial_success: bool) {
        tracing::debug!(?remaining, partial_success, "authentication");
        self.allowed = Some(remaining);
        if let Some(last) = self.tried.last_mut().filter(|_| partial_success) {
            last.push_str(" (accepted, but not enough)");
        }
    }

    fn may(&self, method: MethodKind) -> bool {
        !self.handle.is_closed()
            && self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&method))
    }

    async fn key_file(&mut self, file: &Path, wanted: bool) -> Result<bool, Fault> {
        if !self.may(MethodKind::PublicKey) {
            return Ok(false);
        }
        let key = match read_key(file) {
            Ok(key) => key,
            Err(Unreadable::Missing) if !wanted => return Ok(false),
            Err(why) => {
                self.tried.push(format!("key {} ({why})", quoted(file)));
                return Ok(false);
            }
        };
        if !self.is_new(key.public_key()) {
            return Ok(false);
        }
        self.tried.push(format!("key {}", quoted(file)));
        let hash = self.hash_for(key.public_key()).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.handle.authenticate_publickey(self.user, key).await?;
        Ok(self.got_in(answer))
    }

    /// The agent's keys in its order. One that cannot be talked to is none.
    async fn agent(&mut self, socket: &Path) -> Result<bool, Fault> {
        if !self.may(MethodKind::PublicKey) {
            return Ok(false);
        }
        let mut agent = match AgentClient::connect_uds(socket).await {
            Ok(agent) => agent,
            Err(error) => {
                tracing::debug!(?socket, %error, "agent");
                self.tried.push("the agent (which does not answer)".into());
                return Ok(false);
            }
        };
        let keys = agent.request_identities().await.unwrap_or_else(|error| {
            tracing::debug!(?socket, %error, "agent");
            Vec::new()
        });
        let mut shown = 0_usize;
        for identity in keys {
            let AgentIdentity::PublicKey { key, .. } = identity else { continue };
            if !self.may(MethodKind::PublicKey) || !self.is_new(&key) {
                continue;
            }
            if shown > 0 {
                self.tried.pop();
            }
            shown += 1;
            let keys = if shown == 1 { "key" } else { "keys" };
            self.tried.push(format!("{shown} {keys} of the agent"));
            let hash = self.hash_for(&key).await?;
            let answer =
                self.handle.authenticate_publickey_with(self.user, key, hash, &mut agent).await;
            match answer {
                Ok(answer) if self.got_in(answer.clone()) => return Ok(true),
                Ok(_) => {}
                // Its user said no, say: the next one may do.
                Err(error) => tracing::debug!(%error, "agent"),
            }
        }
        Ok(false)
    }

    fn is_new(&mut self, key: &PublicKey) -> bool {
        self.shown.insert(key.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Only RSA has a choice. What the server says of it is waited for once.
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<HashAlg>, Fault> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        if self.hash.is_none() {
            let best = self.handle.best_supported_rsa_hash().await?;
            self.hash = Some(best.unwrap_or(Some(HashAlg::Sha256)));
        }
        Ok(self.hash.flatten())
    }

    async fn password(&mut self, password: &Secret) -> Result<bool, Fault> {
        let Ok(text) = str::from_utf8(password.expose()) else {
            self.tried.push("the password (which is not UTF-8)".into());
            return Ok(false);
        };
        if self.may(MethodKind::Password) {
            self.tried.push("the password".into());
            let answer = self.handle.authenticate_password(self.user, text).await?;
            if self.got_in(answer) {
                return Ok(true);
            }
        }
        match self.may(MethodKind::KeyboardInteractive) {
            true => self.interactive(text).await,
            false => Ok(false),
        }
    }

    /// Answers one question that is not echoed, with the password.
    async fn interactive(&mut self, password: &str) -> Result<bool, Fault> {
        self.tried.push("the password (keyboard-interactive)".into());
        let mut answer =
            self.handle.authenticate_keyboard_interactive_start(self.user, None).await?;
        let mut told = false;
        for _ in 0..MOST_QUESTIONS {
            let responses = match answer {
                Interactive::Success => return Ok(true),
                Interactive::Failure { remaining_methods, partial_success } => {
                    self.refused(remaining_methods, partial_success);
                    return Ok(false);
                }
                Interactive::InfoRequest { prompts, .. } => match &prompts[..] {
                    [] => Vec::new(),
                    [prompt] if !prompt.echo && !told => {
                        told = true;
                        vec![password.to_owned()]
                    }
                    _ => break,
                },
            };
            answer = self.handle.authenticate_keyboard_interactive_respond(responses).await?;
        }
        self.tried.push("it asks for more than a password".into());
        Ok(false)
    }
}

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("which is not there")]
    Missing,
    #[error("which cannot be read: {0}")]
    Forbidden(std::io::ErrorKind),
    #[error("which has a passphrase: add it to the agent")]
    Encrypted,
    #[error("which is no private key")]
    NoKey,
}

fn read_key(file: &Path) -> Result<PrivateKey, Unreadable> {
    use russh::keys::Error as Key;
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST_KEY).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Unreadable::Missing);
        }
        Err(error) => return Err(Unreadable::Forbidden(error.kind())),
        Ok(_) => {}
    }
    match decode_secret_key(&text, None) {
        Ok(key) if key.is_encrypted() => Err(Unreadable::Encrypted),
        Ok(key) => Ok(key),
        Err(Key::KeyIsEncrypted) => Err(Unreadable::Encrypted),
        Err(_) if text.contains("ENCRYPTED") => Err(Unreadable::Encrypted),
        Err(error) => {
            tracing::debug!(?file, %error, "key");
            Err(Unreadable::NoKey)
        }
    }
}

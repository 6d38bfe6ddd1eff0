//! Credentials for a registry, as `docker login` keeps them, for the header `X-Registry-Auth`.
//!
//! They are in `config.json`: in `auths`, or with a helper, a program that the user has chosen to keep them
//! (`credHelpers` for one registry, `credsStore` for all).
//!
//! # Differences from the docker CLI
//! A helper that fails is an error. The CLI goes on without credentials, which is enough for public images: whoever calls
//! may do the same. The environment variable `DOCKER_AUTH_CONFIG` is not looked at.

mod helper;
mod registry;
mod secret;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Serialize;
use thither_place::error::{printable, quoted};

use crate::settings::{Auth, ConfigFile};
pub use registry::registry_of;
pub use secret::Secret;

/// The name under which credentials for docker.io are kept.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// How long a helper may take, which may ask its user for a passphrase.
const LIMIT: Duration = Duration::from_secs(60);

/// base64 as Go's encoder writes it, and with or without padding when it is read.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a registry is told.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Secret>,
    #[serde(rename = "serveraddress")]
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registrytoken: Option<Secret>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why there are no credentials, though there should be. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// What names an image does not.
    #[error("{} names no image", quoted(image))]
    Image {
        /// The name of the image.
        image: String,
    },
    /// An entry of `auths` is not what `docker login` writes.
    #[error("the credentials for {} in Docker's config.json are damaged", quoted(server))]
    Damaged {
        /// The registry.
        server: String,
    },
    /// The name of a helper would lead somewhere else.
    #[error("{} is no name of a credential helper", quoted(helper))]
    Name {
        /// The helper's name, as in config.json.
        helper: String,
    },
    /// A helper is not installed, or cannot be run.
    #[error("cannot run the credential helper {}", quoted(helper))]
    Run {
        /// The program.
        helper: String,
        /// Why.
        source: io::Error,
    },
    /// A helper failed.
    #[error(
        "the credential helper {} failed for {}: {}",
        quoted(helper),
        quoted(server),
        printable(said)
    )]
    Failed {
        /// The program.
        helper: String,
        /// The registry.
        server: String,
        /// What it said, one line, or how it ended.
        said: String,
    },
    /// A helper answered something else than credentials.
    #[error("the credential helper {} gave no credentials for {}", quoted(helper), quoted(server))]
    Answer {
        /// The program.
        helper: String,
        /// The registry.
        server: String,
    },
    /// A helper did not answer in time.
    #[error("the credential helper {} did not answer within {limit:?}", quoted(helper))]
    TimedOut {
        /// The program.
        helper: String,
        /// The time it had.
        limit: Duration,
    },
}

impl CredentialsError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            CredentialsError::Damaged { server } => Some(format!("run `docker login {server}`")),
            CredentialsError::Name { .. } | CredentialsError::Run { .. } => Some(
                "install it, or take it out of `credsStore` and `credHelpers` in Docker's config.json".into(),
            ),
            _ => None,
        }
    }
}

/// Where to look for credentials.
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    /// The user's `config.json`.
    pub config: &'a ConfigFile,
    /// `PATH`, where helpers are looked for.
    pub path: OsString,
    /// How long a helper may take.
    pub limit: Duration,
}

impl<'a> Lookup<'a> {
    /// Helpers as of this process's `PATH`, with a minute for each.
    #[must_use]
    pub fn new(config: &'a ConfigFile) -> Lookup<'a> {
        Lookup { config, path: std::env::var_os("PATH").unwrap_or_default(), limit: LIMIT }
    }

    /// Credentials for the registry that an image comes from; `None` if the user has none.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn for_image(&self, image: &str) -> Result<Option<Credentials>, CredentialsError> {
        let registry = registry_of(image)
            .ok_or_else(|| CredentialsError::Image { image: image.to_owned() })?;
        self.for_registry(registry)
    }

    /// Credentials for a registry, `docker.io` or `HOST[:PORT]`; `None` if the user has none.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn for_registry(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        // So it is short, and one line.
        if registry_of(&format!("{registry}/x")) != Some(registry) {
            return Err(CredentialsError::Image { image: registry.to_owned() });
        }
        let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
        let of_this = self.config.cred_helpers.get(server);
        let helper = of_this.or(self.config.creds_store.as_ref());
        match helper.filter(|name| !name.is_empty()) {
            Some(name) => helper::ask(self, name, server),
            None => match of_file(&self.config.auths, server) {
                Some((key, auth)) => of_entry(key, auth),
                None => Ok(None),
            },
        }
    }
}

/// The entry of the server, or of a URL with that server, as older versions wrote it.
fn of_file<'a>(auths: &'a BTreeMap<String, Auth>, server: &str) -> Option<(&'a str, &'a Auth)> {
    let exact = auths.get_key_value(server);
    let found = exact.or_else(|| auths.iter().find(|(key, _)| host_of(key) == server));
    found.map(|(key, auth)| (key.as_str(), auth))
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn of_entry(server: &str, entry: &Auth) -> Result<Option<Credentials>, CredentialsError> {
    let damaged = || CredentialsError::Damaged { server: server.to_owned() };
    let (mut username, mut password) = (entry.username.clone(), entry.password.clone());
    if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.reveal().is_empty()) {
        let bytes = STANDARD.decode(auth.reveal().trim()).map_err(|_| damaged())?;
        let text = String::from_utf8(bytes).map_err(|_| damaged())?;
        let (user, word) = text.split_once(':').ok_or_else(damaged)?;
        if user.is_empty() {
            return Err(damaged());
        }
        username = Some(user.to_owned());
        // Docker's own reader strips NULs, which an old writer padded with.
        password = Some(Secret::from(word.trim_matches('\0').to_owned()));
    }
    let given =
        |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.reveal().is_empty());
    let credentials = Credentials {
        username: username.filter(|name| !name.is_empty()),
        password: given(&password),
        server: server.to_owned(),
        identitytoken: given(&entry.identitytoken),
        registrytoken: given(&entry.registrytoken),
    };
    // Such an entry stands where a helper has the rest.
    Ok(Some(credentials).filter(|found| !found.is_empty()))
}

impl Credentials {
    fn is_empty(&self) -> bool {
        let tokens = self.identitytoken.is_some() || self.registrytoken.is_some();
        self.username.is_none() && self.password.is_none() && !tokens
    }

    /// The registry that they are for, as it stands in `auths`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The value of the header `X-Registry-Auth`: JSON in base64url (RFC 4648, 5) with padding, as the Engine API has it.
    #[must_use]
    pub fn header(&self) -> Secret {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Secret::from(URL_SAFE.encode(json))
    }
}

#[cfg(test)]
mod tests;

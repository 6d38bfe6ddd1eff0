//! The user's `config.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::SettingsError;
use crate::credentials::Secret;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// What matters to us of `config.json`. Nothing of it is shown that may be secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConfigFile {
    /// `currentContext`
    #[serde(rename = "currentContext")]
    pub current_context: Option<String>,
    /// `detachKeys`
    #[serde(rename = "detachKeys")]
    pub detach_keys: Option<String>,
    /// `HttpHeaders`
    #[serde(rename = "HttpHeaders", deserialize_with = "or_default")]
    pub http_headers: BTreeMap<String, Secret>,
    /// `auths`: credentials by the registry's name or URL.
    #[serde(deserialize_with = "or_default")]
    pub auths: BTreeMap<String, Auth>,
    /// `credsStore`: the helper for all registries.
    #[serde(rename = "credsStore")]
    pub creds_store: Option<String>,
    /// `credHelpers`: helpers by the registry's name.
    #[serde(rename = "credHelpers", deserialize_with = "or_default")]
    pub cred_helpers: BTreeMap<String, String>,
}

/// An entry of `auths`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Auth {
    /// User and password with a colon between, in base64.
    pub auth: Option<Secret>,
    /// The user, where `auth` does not say.
    pub username: Option<String>,
    /// The password, where `auth` does not say.
    pub password: Option<Secret>,
    /// A token instead of a password.
    pub identitytoken: Option<Secret>,
    /// A token for the registry itself.
    pub registrytoken: Option<Secret>,
}

/// Go's `null` is an empty map.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Those that our requests are made of.
const OURS: &[&str] = &[
    "host",
    "connection",
    "upgrade",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "expect",
    "user-agent",
];

impl ConfigFile {
    /// Reads it. A file that is missing or empty says nothing.
    ///
    /// # Errors
    /// [`SettingsError::File`], [`SettingsError::Json`].
    pub fn read(file: &Path) -> Result<ConfigFile, SettingsError> {
        read_json(file).map(Option::unwrap_or_default)
    }

    /// `HttpHeaders` without a `User-Agent`, which the CLI does not send either.
    pub(super) fn headers(&self) -> Result<Vec<(String, Secret)>, SettingsError> {
        let wanted = |name: &str| !name.eq_ignore_ascii_case("user-agent");
        let headers = self.http_headers.iter().filter(|(name, _)| wanted(name));
        headers
            .map(|(name, value)| match can_be_sent(name, value) {
                true => Ok((name.clone(), value.clone())),
                false => Err(SettingsError::Header { name: name.clone() }),
            })
            .collect()
    }
}

/// By RFC 9110, 5.1 and 5.5; nothing that ends the line, and nothing that says how long our request is.
fn can_be_sent(name: &str, value: &Secret) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.bytes().all(token)
        && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        && !value.reveal().chars().any(char::is_control)
}

/// Reads a file of bounded size; `None` if it is missing or empty. What is in it does not get into the error.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, SettingsError> {
    let failed = |source| SettingsError::File { file: file.to_owned(), source };
    let open = match File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    open.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| SettingsError::Json {
        file: file.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

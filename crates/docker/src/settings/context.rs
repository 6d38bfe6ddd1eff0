//! Docker's contexts: `contexts/meta/ID/meta.json` and `contexts/tls/ID/docker/*.pem` in the folder of `config.json`, where ID
//! is the SHA-256 sum of the name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thither_place::error::quoted;

use super::config::read_json;
use super::{DEFAULT_SOCKET, Endpoint, Host, SettingsError, Tls};

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints", default)]
    endpoints: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    insecure: bool,
}

/// The engine of a context.
pub(super) fn endpoint(folder: Option<&Path>, name: &str) -> Result<Endpoint, SettingsError> {
    let no_context = |file| SettingsError::NoContext { name: name.to_owned(), file };
    let contexts = folder.ok_or_else(|| no_context(None))?.join("contexts");
    let id = id(name);
    let file = contexts.join("meta").join(&id).join("meta.json");
    let meta: Meta = read_json(&file)?.ok_or_else(|| no_context(Some(file)))?;
    let docker = meta.endpoints.get("docker").and_then(|value| Docker::deserialize(value).ok());
    let empty = || SettingsError::EmptyContext { name: name.to_owned() };
    let Docker { host, insecure } = docker.ok_or_else(empty)?;

    let tls = Tls::in_folder(&contexts.join("tls").join(&id).join("docker"), insecure)?;
    let tls = (tls != Tls::default()).then_some(tls);
    let origin = format!("context {}", quoted(name));
    let host = match host.trim() {
        "" => Host::Unix(DEFAULT_SOCKET.into()),
        host => Host::parse(host, tls.is_some()).map_err(|wrong| wrong.error(host, &origin))?,
    };
    Ok(Endpoint { host, origin, tls })
}

fn id(name: &str) -> String {
    Sha256::digest(name).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! An image from its registry.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde::Deserialize;

use crate::call::Call;
use crate::credentials::Credentials;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How long an engine may say nothing while it waits for the registry.
const LIMIT: Duration = Duration::from_secs(300);
/// The longest line of its tale, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// The most layers that are counted.
const MAX_LAYERS: usize = 1024;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have come, of those layers whose size is known.
    pub done: u64,
    /// The size of these layers, in bytes.
    pub total: u64,
    /// Layers that are complete.
    pub layers_done: usize,
    /// Layers in all, as far as known.
    pub layers: usize,
}

/// A line of the engine's tale.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    status: String,
    id: String,
    progress_detail: Option<Detail>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: u64,
    total: u64,
}

#[derive(Default)]
struct Layer {
    done: u64,
    total: u64,
    complete: bool,
}

/// Brings it to the engine.
pub(super) fn pull(
    engine: &Engine,
    name: &str,
    platform: Option<&str>,
    credentials: Option<Credentials>,
    cancel: Option<BorrowedFd<'_>>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<()> {
    let (image, tag) = split(name);
    let mut call = Call::post("/images/create").query("fromImage", image).query("tag", tag);
    if let Some(platform) = platform {
        call = call.query("platform", platform);
    }
    if let Some(credentials) = credentials {
        call = call.header("X-Registry-Auth", credentials.header().reveal());
    }
    let call = call.cancel(cancel).limit(LIMIT);
    tracing::debug!(image = name, "pull");
    let mut lines = engine.lines(&call, MAX_LINE)?;
    let mut layers = BTreeMap::<String, Layer>::new();
    while let Some(line) = lines.next_line(cancel)? {
        let line: Line = serde_json::from_slice(&line).map_err(|error| {
            engine.garbage(format!("a tale that is not as documented: {error}"))
        })?;
        if let Some(message) = line.error {
            return Err(Error::Refused { status: 200, message });
        }
        note(&mut layers, &line);
        let whole = layers.values().filter(|layer| layer.total > 0);
        let (done, total) = whole.fold((0_u64, 0_u64), |(done, total), layer| {
            (done.saturating_add(layer.done), total.saturating_add(layer.total))
        });
        let layers_done = layers.values().filter(|layer| layer.complete).count();
        progress(&Progress { done, total, layers_done, layers: layers.len() });
    }
    Ok(())
}

fn note(layers: &mut BTreeMap<String, Layer>, line: &Line) {
    let about_layer = ["Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum"];
    let complete = ["Pull complete", "Already exists"].contains(&line.status.as_str());
    let downloaded = ["Download complete", "Extracting"].contains(&line.status.as_str());
    if !complete && !downloaded && !about_layer.contains(&line.status.as_str()) {
        return;
    }
    if layers.len() >= MAX_LAYERS && !layers.contains_key(&line.id) {
        return;
    }
    let layer = layers.entry(line.id.clone()).or_default();
    match &line.progress_detail {
        Some(detail) if line.status == "Downloading" => {
            layer.total = detail.total;
            layer.done = detail.current.min(detail.total);
        }
        _ => {}
    }
    if complete || downloaded {
        layer.done = layer.total;
    }
    layer.complete |= complete;
}

/// The repository, and the tag or digest: without one the API would bring all tags.
fn split(name: &str) -> (&str, &str) {
    if let Some((image, digest)) = name.split_once('@') {
        return (image, digest);
    }
    match name.rsplit_once(':') {
        // A colon before a slash is that of a port.
        Some((image, tag)) if !tag.contains('/') => (image, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests() {
        assert_eq!(split("debian"), ("debian", "latest"));
        assert_eq!(split("debian:12"), ("debian", "12"));
        assert_eq!(split("localhost:5000/a"), ("localhost:5000/a", "latest"));
        assert_eq!(split("localhost:5000/a:b"), ("localhost:5000/a", "b"));
        assert_eq!(split("a@sha256:0f"), ("a", "sha256:0f"));
    }
}

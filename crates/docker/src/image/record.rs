//! Records of containers that are to vanish with us: what a SIGKILL leaves of us, the next run finds and removes.
//!
//! A record is a file `container-LABEL` in the folder of our records, locked by whoever lives. It holds the engine's
//! address; the label is also the container's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use thither_place::state::StateFolder;
use thither_place::state::lock::{Kind, try_lock};

use super::LABEL;
use crate::call::Call;
use crate::container::Container;
use crate::engine::Engine;
use crate::model::Listed;

const PREFIX: &str = "container-";
/// The longest address in a record, in bytes.
const MAX: u64 = 4096;

/// After how long an engine has made what it was asked for, or will not.
const SETTLED: Duration = Duration::from_secs(60);

/// A record of ours; dropping it deletes it.
pub(super) struct Record {
    folder: OwnedFd,
    name: String,
    /// Locked.
    _file: File,
    leave: bool,
}

impl Record {
    /// `None` if the folder was removed just now.
    pub(super) fn new(engine: &str, label: &str) -> io::Result<Option<Record>> {
        let Some(StateFolder { fd: folder, .. }) = StateFolder::open()? else { return Ok(None) };
        let name = format!("{PREFIX}{label}");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR)?);
        // Nobody else knows it yet. One that is found empty is of a run that made no container.
        try_lock(&file, Kind::Exclusive)?;
        file.write_all(engine.as_bytes())?;
        Ok(Some(Record { folder, name, _file: file, leave: false }))
    }

    /// Leaves it to the next run.
    pub(super) fn leave(mut self) {
        self.leave = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.leave {
            // Gone already: nothing is left to do.
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// Removes the containers of this engine whose makers are dead. Failing it does no harm but that they stay.
pub(super) fn sweep(engine: &Engine) {
    if let Err(error) = try_sweep(engine) {
        tracing::debug!(%error, "sweep");
    }
}

fn try_sweep(engine: &Engine) -> io::Result<()> {
    let Some(StateFolder { fd: folder, is_new: false, .. }) = StateFolder::open()? else {
        return Ok(());
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Some(label) = name.strip_prefix(PREFIX) else { continue };
        let opened = openat(&folder, name, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let Ok(file) = opened.map(File::from) else { continue };
        if !try_lock(&file, Kind::Exclusive)? {
            continue;
        }
        // Its container may still come to be.
        let is_old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > SETTLED);
        let mut of = String::new();
        file.take(MAX).read_to_string(&mut of)?;
        let removed = match of.as_str() {
            "" => is_old,
            name if name == engine.name() => {
                remove(engine, label).is_ok_and(|removed| removed > 0 || is_old)
            }
            _ => false,
        };
        if removed {
            let _ = unlinkat(folder.as_fd(), name, AtFlags::empty());
        }
    }
    Ok(())
}

/// How many it has removed.
fn remove(engine: &Engine, label: &str) -> crate::error::Result<usize> {
    let filters = BTreeMap::from([("label", [format!("{LABEL}={label}")])]);
    // A map of texts: it cannot fail.
    let filters = serde_json::to_string(&filters).unwrap_or_default();
    let call = Call::get("/containers/json").query("all", "1").query("filters", filters);
    let found: Vec<Listed> = engine.call(&call)?;
    let count = found.len();
    for listed in found {
        tracing::info!(container = %listed.id, "remove what a killed run has left");
        Container::new(engine.clone(), listed.id).remove()?;
    }
    Ok(count)
}

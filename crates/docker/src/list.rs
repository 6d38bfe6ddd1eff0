//! Which containers there are.

use std::os::fd::BorrowedFd;

use crate::call::Call;
use crate::engine::Engine;
use crate::error::Result;
use crate::model;

/// A container in a list. Its texts come from over there: escape them where they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id, in hexadecimal.
    pub id: String,
    /// Its name; the id where it has none.
    pub name: String,
    /// What it was made of.
    pub image: String,
    /// One word: `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub state: String,
    /// The same for people, with times.
    pub status: String,
}

impl Engine {
    /// All containers, those that do not run too, by name.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub fn containers(&self, cancel: Option<BorrowedFd<'_>>) -> Result<Vec<Listed>> {
        let call = Call::get("/containers/json").query("all", "1").cancel(cancel);
        let found: Vec<model::Listed> = self.call(&call)?;
        let mut all: Vec<Listed> = found.into_iter().map(listed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

fn listed(listed: model::Listed) -> Listed {
    // Names begin with a slash; those with a second one are links of others.
    let names = listed.names.unwrap_or_default();
    let own = names.iter().filter_map(|name| name.strip_prefix('/')).find(|n| !n.contains('/'));
    let model::Listed { id, image, state, status, .. } = listed;
    Listed { name: own.map_or_else(|| id.clone(), str::to_owned), id, image, state, status }
}

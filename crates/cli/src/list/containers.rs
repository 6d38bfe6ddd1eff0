//! The containers of an engine.

use std::time::Duration;

use thither::Address;
use thither::docker::Engine;
use thither::docker::list::Listed;

use super::Rows;
use crate::report::Failure;

/// How long the engine may take for names that are to be completed.
const COMPLETION: Duration = Duration::from_secs(2);

/// Those of the engine of these options of `docker:`, which are empty or begin with `?`.
pub(super) fn of_engine(options: &str, for_completion: bool) -> Result<Rows, Failure> {
    // The list is of the engine: the address is that of a container without its name.
    let address = Address::parse(format!("docker:x{options}"))?;
    let container = address.container()?.expect("its scheme is docker");
    let engine: &Engine = container.engine();
    // Whoever presses the tab key does not wait for long.
    let patient = engine.clone().limit(COMPLETION);
    let engine = if for_completion { &patient } else { engine };
    let all = engine.containers(None).map_err(|error| error.at("docker:", None))?;
    let row = |Listed { id, name, image, state, status }| vec![id, name, image, state, status];
    Ok(Rows {
        keys: &["id", "name", "image", "state", "status"],
        rows: all.into_iter().map(row).collect(),
        columns: &[1, 3, 2, 4],
        name: 1,
    })
}

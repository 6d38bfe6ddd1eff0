//! Hosts that are reached from somewhere else than here.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use thither_place::{Endpoint, Result};

/// Makes a stream to a host.
pub(crate) type Dial = dyn Fn(&Endpoint) -> Result<OwnedFd> + Send + Sync;

/// A way to a host, beyond another hop.
#[derive(Clone)]
pub(crate) struct Through(pub(crate) Arc<Dial>);

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Through")
    }
}

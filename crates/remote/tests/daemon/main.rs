//! Daemons, with everything they need.

mod hostile;
mod store;

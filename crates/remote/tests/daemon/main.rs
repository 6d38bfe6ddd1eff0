//! Daemons, with everything they need.

mod store;

//! Daemons, with everything they need.

mod hostile;
mod samba;
mod store;

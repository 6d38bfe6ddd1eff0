//! TLS connections as descriptors, with a real server.

mod authority;
mod raw;
mod server;
mod handshake;
mod stream;
mod pinned;

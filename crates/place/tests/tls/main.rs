//! TLS connections as descriptors, with a real server.

mod authority;
mod server;
mod handshake;
mod stream;

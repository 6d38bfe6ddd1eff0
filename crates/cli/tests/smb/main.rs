//! A host behind Samba by the tool: a real smbd, and `thither serve --samba-pipe` behind its pipe. Every test has both of its own.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "daemons have more tests")]
#[path = "../daemon/harness.rs"]
mod harness;
mod host;
mod commands;
mod faults;
mod files;
mod handshake;
mod library;
mod options;
mod passwords;
mod pushy;
mod terminal;

//! Daemons by the tool: what their users type, see and get back, and what others can do to them. Every test has a daemon of its
//! own, with its own keys.

#[path = "../common/mod.rs"]
mod common;
mod harness;
mod ends;
mod hostile;
mod shared;
mod signals;
mod sockets;
mod tcp;
mod terminal;
mod tokens;
mod unix;

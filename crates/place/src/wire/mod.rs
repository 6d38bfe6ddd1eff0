//! One connection for each process: the frames between a client and whoever runs things for it over there.
//!
//! It goes over any stream that keeps its bytes in order and to itself: a Unix socket, TLS, a named pipe. Who may use it is settled
//! before, or by the stream.
//!
//! # The conversation
//!
//! | client | server | |
//! |---|---|---|
//! | `Hello` | `Welcome` | each as its first frame, without waiting for the other's |
//! | `Request` | | once, at once |
//! | | `Started` or `Refused` | after the latter nothing follows |
//! | `Input`, `EndInput`, `Unread` | `Output`, `Errors`, `Credit` | streams, see below |
//! | `Resize`, `Signal` | `Stopped` | |
//! | `Ping` | `Pong` | at any time once `Started` has come |
//! | | `Exited` | after all output; nothing follows |
//!
//! The end of the connection before `Exited` means to the server that it is to end what runs, and to the client that nobody knows how
//! it ended.
//!
//! # Who may hold up whom
//! A client that does not read holds up the output, of both kinds, and with it the end; never its own input or signals. A program
//! that does not read its input holds up nothing but that: a client sends no more than [`frame::WINDOW`] bytes of it that
//! were not granted anew, so the server always has room to read what comes next.

pub mod frame;
pub mod message;
#[cfg(unix)]
pub mod session;
#[cfg(unix)]
pub mod client;
#[cfg(unix)]
mod relay;
#[cfg(unix)]
mod driver;

pub use frame::{Kind, Malformed, Side};
pub use message::{Reason, Refusal, Request};

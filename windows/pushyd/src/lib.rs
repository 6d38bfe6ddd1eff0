//! The service of Thither for Windows: it runs what `smb:` places ask for, behind a named pipe, as the user who connected.
//!
//! What decides something without Windows is plain Rust, and is compiled and tested everywhere: [`options`], [`cmdline`],
//! [`environment`], [`program`], [`admission`]. What calls Windows is in `sys`, with safe types outside.

pub mod admission;
pub mod cmdline;
pub mod environment;
pub mod options;
pub mod program;

#[cfg(windows)]
pub mod command;
#[cfg(windows)]
pub mod server;
#[cfg(windows)]
pub mod service;
#[cfg(windows)]
pub mod session;
#[cfg(windows)]
pub mod sys;

//! Other hosts as places.
//!
//! [`Ssh`] is a host over ssh, by the user's own `ssh` program or, with the feature `ssh-builtin`, without one:
//!
//! ```no_run
//! use thither_place::{Command, Place};
//! use thither_remote::Ssh;
//!
//! let web = Ssh::new("web").user("deploy");
//! let output = web.output(&Command::new("uname").arg("-n"))?;
//! # Ok::<(), thither_place::Error>(())
//! ```
//!
//! `Daemon`, with the feature `daemon`, is a machine where `thither serve` runs.
//! `Smb`, with the feature `smb`, is a service behind a named pipe, on Windows or behind Samba.

#[cfg(feature = "daemon")]
pub mod daemon;
pub mod ssh;
pub mod sftp;
#[cfg(feature = "smb")]
pub mod smb;
mod through;
#[cfg(any(feature = "smb", feature = "ssh-builtin"))]
mod bridge;
#[cfg(feature = "ssh-builtin")]
mod builtin;

#[cfg(feature = "daemon")]
pub use daemon::Daemon;
#[cfg(feature = "smb")]
pub use smb::Smb;
pub use ssh::Ssh;

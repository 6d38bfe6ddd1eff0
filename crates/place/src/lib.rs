//! The vocabulary of Thither: a [`Command`] is data, a [`Place`] runs it, a [`Process`] is what runs,
//! an [`Exit`] is how it ended, and [`interact()`] joins the user's terminal to it.
//!
//! ```no_run
//! use thither_place::{Command, Local, Place};
//!
//! let output = Local.output(&Command::new("uname").arg("-r"))?;
//! assert!(output.exit.success());
//! # Ok::<(), thither_place::Error>(())
//! ```
//!
//! The core is blocking and speaks file descriptors. A place of one's own needs one method, [`Place::spawn`].

pub mod command;
pub mod process;
pub mod exit;
pub mod error;
pub mod place;
pub mod connect;
pub mod local;
pub mod archive;
pub mod interact;
pub mod launch;
pub mod peer;
pub mod state;
pub mod streams;
pub mod users;
pub mod wire;
#[cfg(feature = "tls")]
pub mod tls;

pub use archive::Archive;
pub use command::{Command, Program, Stream, Streams, Terminal};
pub use connect::Endpoint;
pub use error::{Error, Result};
pub use exit::Exit;
pub use interact::{Ending, Interact, interact};
pub use local::Local;
pub use place::{Output, Place};
pub use process::{Control, Event, Process};
pub use thither_term::{Received, Sender, Signals, WindowSize};

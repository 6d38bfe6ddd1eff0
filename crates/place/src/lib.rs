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
//!
//! On Windows, which is a destination, there is nothing but the frames of [`wire`], for the service over there.

#[cfg(unix)]
pub mod command;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod exit;
#[cfg(unix)]
pub mod error;
#[cfg(unix)]
pub mod place;
#[cfg(unix)]
pub mod connect;
#[cfg(unix)]
pub mod local;
#[cfg(unix)]
pub mod archive;
#[cfg(unix)]
pub mod interact;
#[cfg(unix)]
pub mod launch;
#[cfg(unix)]
pub mod peer;
#[cfg(unix)]
pub mod state;
#[cfg(unix)]
pub mod streams;
#[cfg(unix)]
pub mod users;
pub mod wire;
#[cfg(all(unix, feature = "tls"))]
pub mod tls;

#[cfg(unix)]
pub use archive::Archive;
#[cfg(unix)]
pub use command::{Command, Program, Stream, Streams, Terminal};
#[cfg(unix)]
pub use connect::Endpoint;
#[cfg(unix)]
pub use error::{Error, Result};
#[cfg(unix)]
pub use exit::Exit;
#[cfg(unix)]
pub use interact::{Ending, Interact, interact};
#[cfg(unix)]
pub use local::Local;
#[cfg(unix)]
pub use place::{Output, Place};
#[cfg(unix)]
pub use process::{Control, Event, Process};
#[cfg(unix)]
pub use thither_term::{Received, Sender, Signals, WindowSize};

//! Be in another place, whatever holds it.
//!
//! An [`Address`] is the text of a place, [`connect`] turns it into a [`Place`], and a place runs a [`Command`]:
//!
//! ```no_run
//! use thither::{Command, Place};
//!
//! let root = thither::connect("chroot:/srv/root")?;
//! let output = root.output(&Command::new("uname").arg("-r"))?;
//! assert!(output.exit.success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A user's terminal is joined to what runs there by [`interact()`](interact::interact):
//!
//! ```no_run
//! use thither::interact::{self, Interact};
//! use thither::Command;
//!
//! let shell = match interact::user_terminal() {
//!     Some(size) => Command::login_shell().terminal(size),
//!     None => Command::login_shell(),
//! };
//! let place = thither::connect("local:")?;
//! let ending = interact::interact(place.as_ref(), &shell, &Interact::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
mod connect;
mod options;
mod docker_options;
mod preset;
mod nearest;

pub use address::{Address, Operand, ParseError};
pub use connect::{ConnectError, connect};

pub use thither_chroot as chroot;
pub use thither_docker as docker;
pub use thither_place::{
    Archive, Command, Control, Error, Event, Exit, Local, Output, Place, Process, Program,
    Received, Result, Sender, Signals, Stream, Streams, Terminal, WindowSize, archive, command,
    error, exit, interact, place, process,
};

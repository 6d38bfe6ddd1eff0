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
//!
//! # Python over there
//! [`PlaceExt::python`] starts an interpreter at a place, with nothing to install there but Python:
//!
//! ```no_run
//! use thither::{PlaceExt, locals};
//!
//! let py = thither::connect("docker:web")?.python()?;
//! let n: i64 = py.eval("a + b", locals! { a: 1, b: 2 })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Places of one's own
//! Any type that is a [`Place`] has to have one verb, and is reached by an address once a scheme is [registered](register())
//! for it; the options of every place then work with it as well:
//!
//! ```
//! use thither::{Command, Local, Place, Process};
//!
//! /// This machine without its variables.
//! struct Bare;
//!
//! impl Place for Bare {
//!     fn spawn(&self, command: &Command) -> thither::Result<Process> {
//!         Local.spawn(&command.clone().env_clear())
//!     }
//! }
//!
//! thither::register("bare", |_| Ok(Box::new(Bare)))?;
//! let place = thither::connect("bare:?dir=/usr&env=A=1")?;
//! let output = place.output(&Command::new("/bin/sh").args(["-c", "pwd; echo $A $HOME"]))?;
//! assert_eq!(output.stdout, b"/usr\n1\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
pub mod config;
mod connect;
mod hops;
mod options;
mod docker_options;
#[cfg(feature = "daemon")]
mod daemon_options;
mod ssh_options;
#[cfg(feature = "smb")]
mod smb_options;
mod login_options;
mod preset;
mod schemes;
mod nearest;
mod place_ext;
#[cfg(feature = "daemon")]
mod shared_python;

pub use address::{Address, Operand, ParseError};
pub use connect::{ConnectError, connect};
pub use hops::answer_for_ssh;
pub use schemes::{BoxError, RegisterError, Request, register};

pub use place_ext::{INTERPRETERS, PlaceExt, PythonError};
#[cfg(feature = "daemon")]
pub use shared_python::shared_interpreter;

pub use thither_chroot as chroot;
pub use thither_docker as docker;
pub use thither_place::{
    Archive, Command, Control, Endpoint, Error, Event, Exit, Local, Output, Place, Process,
    Program, Received, Result, Sender, Signals, Stream, Streams, Terminal, WindowSize, archive,
    command, error, exit, interact, place, process,
};
pub use thither_python as python;
pub use thither_python::locals;
pub use thither_remote as remote;

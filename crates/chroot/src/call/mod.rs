//! Functions of this program that run inside, and whose values come back.
//!
//! A function is registered by name, and [`Chroot::call`](crate::Chroot::call) executes this program again to run it
//! there: a process that has forked and not executed anything may find the allocator locked for ever by a thread that
//! it lacks. The program is executed outside, so that its libraries are this machine's, and enters before the function runs.
//!
//! ```no_run
//! use thither_chroot::{Chroot, Functions};
//!
//! fn release(name: String) -> Result<String, String> {
//!     std::fs::read_to_string(name).map_err(|error| error.to_string())
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Functions::new().register(release).serve(); // first of all
//!
//!     let text = Chroot::new("/srv/debian").call(release, "/etc/debian_version".to_owned())??;
//!     assert_eq!(text, "13.1\n");
//!     Ok(())
//! }
//! ```
//!
//! A closure can be run as well, with all that it has captured, by
//! [`Chroot::call_forked`](crate::Chroot::call_forked), in a program of one thread.
//!
//! Arguments and values are encoded as [MessagePack](https://msgpack.org), by serde.

mod error;
mod functions;
mod again;
mod fork;
mod reply;

pub use error::CallError;
pub use functions::Functions;

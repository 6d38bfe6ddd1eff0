//! Another root, ready to use: new mount, UTS, IPC and pid namespaces, the mounts that programs expect, and
//! `pivot_root(2)`; as root, or as an ordinary user in a user and a network namespace of its own.
//!
//! ```no_run
//! use thither_chroot::{Chroot, Mount};
//!
//! let root = Chroot::new("/srv/debian").mount(Mount::bind("/src").read_only());
//! let output = root.command("cat").arg("/etc/os-release").output()?;
//! # Ok::<(), thither_place::Error>(())
//! ```
//!
//! What is mounted, the names, the network, the ids, an overlay and more are settings of [`Chroot`]; a function of this
//! program runs inside by [`Chroot::call`].
//!
//! # Differences from a local command
//! - It starts in `/`, and only its three streams stay open.
//! - Its parent is pid 1 of a pid namespace of its own, a reaper. When the command ends, when its
//!   [`Process`](thither_place::Process) is dropped, or when this program is killed, every process inside ends.
//! - An ordinary user is root inside, and has by default no other ids, and no network but a loopback interface.
//!
//! # What it is not
//! Root inside without a user namespace is root: it can leave. This is a tool for building and testing, not a
//! sandbox for hostile root. See SECURITY.md.

mod chroot;
mod mount;
mod command;
mod place;
mod files;
mod plan;
mod root;
mod names;
mod ids;
mod overlay;
mod mount_points;
mod records;
mod made;
mod enter;
mod attach;
mod failure;
pub mod call;
mod typing;
mod userns;

pub use call::{CallError, Functions};
pub use chroot::{Chroot, Network};
pub use command::Command;
pub use ids::Ids;
pub use mount::{Mount, Source, default_mounts};
pub use overlay::Overlay;

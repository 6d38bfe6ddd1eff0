//! What tests of terminals and places need, with real peers and no mocks.
//!
//! - [`Session`] drives a program in a pty, [`Tmux`] in a whole terminal emulator.
//! - [`BusyboxRoot`] is a root file system to enter; [`as_user`] gives up the rights of root.
//! - [`Engine`] is a real Docker engine, [`Registry`] a real registry; [`Proxy`] breaks the connections to them.
//! - [`Sshd`] is a real sshd, [`ssh_user`] and [`PasswordUser`] are whom it logs in.
//!   [`own_ssh!`] is a home with a `ssh` and control masters of its own.
//! - [`Smbd`] is a real smbd, and [`Pipe`] the other end of one of its named pipes; [`Services`] is a service manager
//!   of Windows behind it.
//! - [`Windows`] is a Windows under Wine, and [`Service`] the service in it behind such a pipe.
//! - [`own_process!`] gives a test a process of its own, [`own_records!`] also records of its own, [`within_deadline`]
//!   gives up on what waits for ever.
//! - [`Marker`], [`descriptors`] and [`mounts`] find what was left behind.
//! - [`skip!`] says aloud that a test cannot run here.
//!
//! Every wait has a deadline ([`DEADLINE`]) and a test that reaches it fails with what was seen until then. Functions
//! panic on failure, at the line of the test, unless they return a `Result`; those return the reason for a skip.

mod alone;
mod engine;
mod modes;
mod network;
mod proxy;
mod records;
mod registry;
mod root;
mod session;
mod skip;
mod smbd;
mod sshd;
mod tmux;
mod user;
mod watch;
mod wine;

pub use alone::{rerun, within_deadline};
pub use engine::{Answer, Certificates, Container, ENGINE, Engine, NewContainer, Setup, Tls};
pub use modes::Modes;
pub use network::Network;
pub use proxy::Proxy;
pub use records::{RecordsFolder, Who};
pub use registry::Registry;
pub use root::{BusyboxRoot, write_program};
pub use session::{PROMPT, Session};
pub use skip::record_skip;
pub use smbd::{Pipe, Services, Smbd};
pub use sshd::{PasswordUser, SshHome, Sshd, SudoRule, ssh_user};
pub use tmux::Tmux;
pub use user::{PublicCopy, USER, as_user, is_root};
pub use watch::{DEADLINE, Marker, descriptors, find_program, mounts, wait_until};
pub use wine::{Service, WINDOWS, Windows, wine_environment, wine64, wineserver};

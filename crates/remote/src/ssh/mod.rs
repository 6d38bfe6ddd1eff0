//! A host over ssh.
//!
//! # Differences
//! - A program that is missing or cannot be executed is known by the exit codes 127 and 126 of the shell over there, and not
//!   by an error of the start.
//! - A command that a signal kills is known by the exit code 128+n, as its shell tells it.
//! - Dropping a process, and the end of this program however it comes, hangs it up: its terminal goes, or its process group is
//!   ended.
//! - The end of the input of a command at a terminal is typed, as ^D: its modes cannot be seen from here.
//! - [`Command::user`](thither_place::Command::user) is sudo(8) without a question.
//!
//! # The user's own ssh
//! Everything that the user has set for `ssh` holds: names, jump hosts, agents, hardware keys. One *control master* of ours for
//! each host is shared by all who use it, until nobody has for [`PERSIST`]; it listens on a socket in a folder
//! that only this user can look into. Sessions are asked of it directly (OpenSSH's PROTOCOL.mux), so that a warm use starts no
//! process here. What it does not understand goes by `ssh` itself.

mod settings;
pub(crate) mod request;
mod words;
mod line;
mod windows;
mod mux;
mod ask;
mod askpass;
mod about;
mod master;
mod program;
mod failure;
mod streams;
mod session;
mod guard;
mod sweep;
mod proxy;
mod forward;
mod files;
mod place;
mod way;

pub use askpass::answer_for_ssh;
pub use master::PERSIST;
pub use place::Ssh;
pub use proxy::{PROXY, proxy_command, relay};
pub use settings::{HostKeys, KEEP_ALIVE, Native, Secret, Settings};

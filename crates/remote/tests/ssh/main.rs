//! A real host over the user's own ssh: every test has an sshd, a home, a ssh_config and control masters of its own.

mod common;
mod words;
mod variables;
mod codes;
mod users;
mod streams;
mod blocking;
mod terminal;
mod signals;
mod masters;
mod loss;
mod faults;
mod banners;

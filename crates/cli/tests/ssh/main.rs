//! Hosts over ssh by the tool: what a user types, sees and gets back. Every test has an sshd, a home and control masters of its own.

#[path = "../common/mod.rs"]
mod common;
mod tool;
mod streams;
mod faults;
mod signals;
mod terminal;
mod python;
mod files;

//! Containers by the tool: what a user types, sees and gets back.

#[path = "../common/mod.rs"]
mod common;
mod tool;
mod streams;
mod faults;
mod signals;
mod terminal;
mod image;
mod sweep;
mod pull;
mod list;
mod settings;
mod files;
mod named;

//! A service behind a named pipe, over a real smbd.

mod commands;
mod common;
mod faults;
mod hostile;
mod install;
mod pushy;
mod security;
mod streams;
mod wire;

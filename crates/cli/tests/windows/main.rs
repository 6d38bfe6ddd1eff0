//! A Windows host: the service under Wine, reached over a real smbd that encrypts, with a genuine Windows Python behind it.

#[path = "../common/mod.rs"]
mod common;
mod host;
mod commands;
mod python;
mod files;
mod service;

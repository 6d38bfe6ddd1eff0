//! The library against a real engine, and against one that fails in every way that an engine can.

mod common;
mod fake;
mod exec;
mod streams;
mod terminal;
mod signals;
mod attach;
mod image;
mod ways;
mod faults;
mod garbage;
mod versions;
mod files;

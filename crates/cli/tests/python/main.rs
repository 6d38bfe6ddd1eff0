//! Python by the tool: the interpreter itself is the judge.

#[path = "../common/mod.rs"]
mod common;
mod interpreters;
mod scripts;
mod ways;
mod terminal;
mod container;

//! Python's prompt.

use std::ffi::OsString;

use thither::Command;
use thither::interact::user_terminal;

use super::run;
use crate::args::There;
use crate::report::Failure;
use crate::run::Joint;

/// What makes the prompt of `python3 -i` that of `python3`, but that no file of what was typed is written over there.
const PROMPT: &str = include_str!("repl.py");

/// The interpreter's own prompt in a terminal over there; its exit code.
pub(super) fn repl(there: &There, python: Option<OsString>) -> Result<u8, Failure> {
    let mut command = Command::new("").args(["-i", "-c", PROMPT]);
    if let Some(size) = user_terminal() {
        command = command.terminal(size);
    }
    run(Joint::new(there, command)?, python)
}

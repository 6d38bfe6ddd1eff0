//! This machine as a place, against the real kernel.

mod errors;
mod isolation;
mod streams;
mod term;
mod terminal;
mod users;

use testkit::within_deadline;
use thither_place::{Command, Exit, Local, Output, Place, Process};

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

#[track_caller]
fn output(command: Command) -> Output {
    within_deadline("the command's output", move || Local.output(&command)).unwrap()
}

/// What a command prints that succeeds and prints nothing on standard error.
#[track_caller]
fn printed(command: Command) -> String {
    let output = output(command);
    assert_eq!((output.exit, String::from_utf8_lossy(&output.stderr)), (Exit::Code(0), "".into()));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn wait(mut process: Process) -> Exit {
    within_deadline("the command's end", move || process.wait()).unwrap()
}

//! `thither python`: an interpreter over there, as it is by itself.

mod script;
mod prompt;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};

use thither::command::FIRST_PYTHON;
use thither::error::quoted;
use thither::interact::user_terminal;
use thither::{Command, Error, Program, Stream};

use crate::args::Python;
use crate::report::{Failure, complaint};
use crate::run::Joint;

/// What an interpreter is called, in the order in which they are tried.
const NAMES: [&str; 2] = ["python3", "python"];

/// What to do where there is none of them.
const NO_PYTHON_HINT: &str = "name the interpreter over there by `--python PATH`";

/// The exit code of a program that is not found; see [`Error::shell_code`].
const NOT_FOUND: u8 = 127;

/// Runs what was asked for, and gives its exit code.
pub(crate) fn python(verb: Python) -> Result<u8, Failure> {
    let Python { python, no_stdin, code, module, there, script } = verb;
    let args = match (code.is_empty(), module.is_empty(), &script[..]) {
        // What follows `-cCODE`, in one word, is read as of a script.
        (false, ..) => after("-c", code, script),
        (_, false, _) => after("-m", module, script),
        (.., [standard, ..]) if standard == "-" => script,
        (.., [name, args @ ..]) => script::arguments(name, args)?,
        (.., []) if !no_stdin && io::stdin().is_terminal() => {
            return prompt::prompt(&there, python);
        }
        (.., []) => Vec::new(),
    };
    let command = with_streams(Command::new("").args(args), no_stdin);
    run(Joint::new(&there, command)?, python)
}

/// An option of the interpreter that all else belongs to.
fn after(option: &str, args: Vec<OsString>, more: Vec<OsString>) -> Vec<OsString> {
    [option.into()].into_iter().chain(args).chain(more).collect()
}

/// A terminal if all that it could be joined to is one, else our own streams: one that goes elsewhere stays apart.
fn with_streams(command: Command, no_stdin: bool) -> Command {
    let shown = io::stdout().is_terminal() && io::stderr().is_terminal();
    match user_terminal() {
        _ if no_stdin => command.stdin(Stream::Null),
        Some(size) if shown => command.terminal(size),
        _ => command,
    }
}

/// Runs a command by the given interpreter, or by the first that there is.
fn run(mut joint: Joint, python: Option<OsString>) -> Result<u8, Failure> {
    if let Some(python) = python {
        joint.command.program = Program::Named(python);
        return joint.run();
    }
    if joint.learns_late() {
        // Only the shell over there knows which there is: it chooses, and says for us that there is none.
        let said = complaint(&none_text(&joint, &NAMES), Some(NO_PYTHON_HINT));
        let args = ["-c".into(), FIRST_PYTHON.into(), said.into()];
        joint.command.args.splice(..0, args);
        // Not one of a PATH that was set for Python.
        joint.command.program = Program::Named("/bin/sh".into());
        return joint.run();
    }
    for name in NAMES {
        joint.command.program = Program::Named(name.into());
        match joint.run() {
            Err(Failure::Place(Error::Spawn { source, .. }))
                if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    Err(none(&joint, &NAMES))
}

/// None of these is there.
fn none(joint: &Joint, tried: &[impl AsRef<OsStr>]) -> Failure {
    Failure::new(none_text(joint, tried)).hint(NO_PYTHON_HINT).code(NOT_FOUND)
}

fn none_text(joint: &Joint, tried: &[impl AsRef<OsStr>]) -> String {
    let place = quoted(joint.address().to_string());
    let tried = tried.iter().map(quoted).collect::<Vec<_>>().join(", ");
    format!("no Python in {place}: tried {tried}")
}

//! The verbs that run a command: `shell` and `run`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use thither::error::quoted;
use thither::interact::{Ending, Interact, die_interrupted, interact, user_terminal};
use thither::{Address, Command, Stream};

use crate::args::{Run, Shell, There};
use crate::report::{self, FAILED, Failure};

/// `thither shell`: a terminal if our input is one.
pub(crate) fn shell(Shell { there, command }: Shell) -> Result<u8, Failure> {
    let command = match command.split_first() {
        Some((program, args)) => Command::new(program).args(args),
        None => Command::login_shell(),
    };
    let command = match user_terminal() {
        Some(size) => command.terminal(size),
        None => command,
    };
    join(&there, command)
}

/// `thither run`: a terminal only if asked for.
pub(crate) fn run(Run { tty, no_stdin, there, command }: Run) -> Result<u8, Failure> {
    let (program, args) = command.split_first().expect("clap requires a command");
    let mut command = Command::new(program).args(args);
    if tty {
        let hint = "leave `-t` out, or run it from a terminal";
        let size = user_terminal().ok_or_else(|| {
            Failure::new("`-t` needs a terminal, and standard input is none").hint(hint)
        })?;
        command = command.terminal(size);
    }
    if no_stdin {
        command = command.stdin(Stream::Null);
    }
    join(&there, command)
}

fn join(there: &There, mut command: Command) -> Result<u8, Failure> {
    for variable in &there.env {
        let (name, value) = environment_variable(variable)?;
        command = command.env(name, value);
    }
    if let Some(dir) = &there.dir {
        command = command.dir(dir);
    }
    if let Some(user) = &there.user {
        let text = user
            .to_str()
            .ok_or_else(|| Failure::new(format!("bad `--user`: {} is not UTF-8", quoted(user))))?;
        command = command.user(text);
    }
    let address = Address::parse(&there.place)?;
    let place = address.connect()?;
    tracing::debug!(place = %address, program = %quoted(command.name()), "start");
    let ending = interact(place.as_ref(), &command, &Interact::default())?;
    tracing::debug!(?ending, "end");
    Ok(match ending {
        Ending::Exited(exit) => exit.shell_code(),
        Ending::Detached => {
            report::say("detached");
            0
        }
        Ending::Left => {
            report::say(&format!("left {address}"));
            FAILED
        }
        Ending::Interrupted => {
            die_interrupted();
            130
        }
        Ending::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(255),
    })
}

/// The variable of `NAME=VALUE`, or of `NAME` with our own value.
fn environment_variable(text: &OsStr) -> Result<(&OsStr, OsString), Failure> {
    let bytes = text.as_bytes();
    let equals = bytes.iter().position(|&byte| byte == b'=');
    let name = OsStr::from_bytes(&bytes[..equals.unwrap_or(bytes.len())]);
    if name.is_empty() {
        return Err(Failure::new(format!("bad `--env`: {} has no name", quoted(text)))
            .hint("write `--env NAME=VALUE`, or `--env NAME` for the value that it has here"));
    }
    match equals {
        Some(equals) => Ok((name, OsStr::from_bytes(&bytes[equals + 1..]).to_owned())),
        None => env::var_os(name).map(|value| (name, value)).ok_or_else(|| {
            Failure::new(format!("bad `--env`: {} is not set here", quoted(name)))
                .hint(format!("give a value, as in {}", quoted(with_value(name))))
        }),
    }
}

fn with_value(name: &OsStr) -> OsString {
    let mut text = OsString::from("--env ");
    text.push(name);
    text.push("=VALUE");
    text
}

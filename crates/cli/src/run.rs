//! The verbs that run a command: `shell` and `run`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use thither::address::Target;
use thither::error::quoted;
use thither::interact::{Ending, Interact, die_interrupted, interact, user_terminal};
use thither::python::{Python, Start};
use thither::{Address, Command, ConnectError, Place, PlaceExt, Program, PythonError, Stream};

use crate::args::{GivenOption, Options, Run, Shell, There};
use crate::container;
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
    let mut command = match command.split_first() {
        Some((program, args)) => Command::new(program).args(args),
        None if container::is_image(&there.place) => Command::default_program(),
        None => {
            let hint = "usage: thither run <PLACE> <COMMAND>...";
            return Err(Failure::new("missing `COMMAND`").hint(hint));
        }
    };
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

fn join(there: &There, command: Command) -> Result<u8, Failure> {
    Joint::new(there, command)?.run()
}

/// A command, the place that it is for, and how we are joined to it there.
pub(crate) struct Joint {
    pub(crate) command: Command,
    place: Box<dyn Place>,
    address: Address,
    options: Interact,
}

impl Joint {
    /// Connects, and brings the image here that the place needs.
    pub(crate) fn new(there: &There, mut command: Command) -> Result<Joint, Failure> {
        for variable in &there.env {
            let (name, value) = environment_variable(variable)?;
            command = command.env(name, value);
        }
        if let Some(dir) = &there.dir {
            command = command.dir(dir);
        }
        if let Some(user) = &there.user {
            let text = user.to_str().ok_or_else(|| {
                Failure::new(format!("bad `--user`: {} is not UTF-8", quoted(user)))
            })?;
            command = command.user(text);
        }
        let (place, address) = place(there)?;
        let detach_keys = address.detach_keys()?;
        container::bring_image(&address)?;
        Ok(Joint {
            command,
            place,
            address,
            options: Interact { detach_keys, ..Interact::default() },
        })
    }

    /// Runs it to its end; the exit code.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let address = self.address();
        tracing::debug!(place = %address, program = %quoted(self.command.name()), "start");
        let ending = interact(self.place.as_ref(), &self.command, &self.options)?;
        tracing::debug!(?ending, "end");
        Ok(exit_code(ending, &address.to_string()))
    }

    /// Whether only an exit code tells that a program is not there: a shell of another host starts it.
    pub(crate) fn learns_late(&self) -> bool {
        self.address.resolved().is_ok_and(|address| {
            address.hops().last().is_some_and(|hop| matches!(hop.target(), Target::Ssh(_)))
        })
    }

    /// The agent in the first of these interpreters that is there.
    pub(crate) fn python(&self, interpreters: &[OsString]) -> Result<Python, PythonError> {
        let of = |name| {
            let program = Program::Named(name);
            Command { program, ..self.command.clone() }
        };
        self.place.python_with(of, interpreters, Start::default())
    }

    /// The place's address for messages.
    pub(crate) fn address(&self) -> Address {
        self.address.without_options()
    }
}

/// The code that an ending at a place exits with, and a word about it where the code says too little.
pub(crate) fn exit_code(ending: Ending, place: &str) -> u8 {
    match ending {
        Ending::Exited(exit) => exit.shell_code(),
        Ending::Detached => {
            report::say("detached");
            0
        }
        Ending::Left => {
            report::say(&format!("left {place}"));
            FAILED
        }
        Ending::Interrupted => {
            die_interrupted();
            130
        }
        Ending::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(255),
    }
}

/// The place, and its address.
fn place(there: &There) -> Result<(Box<dyn Place>, Address), Failure> {
    let mut address = Address::parse(&there.place)?;
    if there.clear_env {
        address.set_option("clear-env", None)?;
    }
    for GivenOption { key, value, many } in &there.options.given {
        match many {
            true => address.add_option(key, value.clone())?,
            false => address.set_option(key, value.clone())?,
        }
    }
    let place = address.connect().map_err(|error| in_terms_of_flags(error, &there.options))?;
    Ok((place, address))
}

/// An error about an option that is a flag.
fn in_terms_of_flags(error: ConnectError, options: &Options) -> Failure {
    let is_flag = |key: &str| options.given.iter().any(|given| given.key == key);
    match &error {
        ConnectError::UnknownOption { option, .. } if is_flag(option) => {
            let about = match () {
                () if knows("chroot:/", option) => "another root, as in `chroot:/srv/root`",
                () if knows("docker:web", option) => "a container, as in `docker:web`",
                () if knows("image:debian", option) => "a fresh container, as in `image:debian`",
                () if knows("ssh:web", option) => "a host over ssh, as in `ssh:web`",
                () => "a host over SMB, as in `smb:web`",
            };
            Failure::new(format!("bad `--{option}`: {error}"))
                .hint(format!("leave it out; it is about {about}"))
        }
        ConnectError::BadOption { option, wrong, form, .. } if is_flag(option) => {
            Failure::new(format!("bad `--{option}`: {wrong}")).hint(format!("write `--{form}`"))
        }
        _ => error.into(),
    }
}

/// Whether a place has this option.
fn knows(place: &str, option: &str) -> bool {
    let with = Address::parse(place).and_then(|mut address| {
        address.set_option(option, None)?;
        Ok(address)
    });
    let connected = with.map(|address| address.connect());
    !matches!(connected, Ok(Err(ConnectError::UnknownOption { .. })))
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

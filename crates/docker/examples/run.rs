//! `run CONTAINER [-t] COMMAND...`: a command in a container of the engine that the user's settings name, with the
//! library alone.

use std::process::ExitCode;

use thither_docker::{Container, Engine};
use thither_place::interact::{Ending, Interact, interact, user_terminal};
use thither_place::{Command, Error};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let Some(name) = words.next() else { return ExitCode::from(125) };
    let tty = words.next_if(|word| word == "-t").is_some();
    match run(&name, tty, words) {
        Ok(Ending::Exited(exit)) => ExitCode::from(exit.shell_code()),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.shell_code()),
    }
}

fn run(name: &str, tty: bool, mut words: impl Iterator<Item = String>) -> Result<Ending, Error> {
    let engine = Engine::from_env().map_err(|error| error.at("docker:", None))?;
    let command = match words.next() {
        Some(program) => Command::new(program).args(words),
        None => Command::login_shell(),
    };
    let command = match user_terminal() {
        Some(size) if tty => command.terminal(size),
        _ => command,
    };
    interact(&Container::new(engine, name), &command, &Interact::default())
}

//! `run SOCKET CONTAINER [-t] COMMAND...`: a command in a container.
use thither_docker::{Container, Dial, Engine};
use thither_place::interact::{Interact, interact, user_terminal};
use thither_place::{Command, Ending};

fn main() {
    let mut args = std::env::args().skip(1);
    let socket = args.next().expect("a socket");
    let name = args.next().expect("a container");
    let mut words: Vec<String> = args.collect();
    let tty = words[0] == "-t";
    if tty {
        words.remove(0);
    }
    let engine = Engine::new(format!("unix://{socket}"), Dial::Unix(socket.into()));
    let container = Container::new(engine, name);
    let mut command = Command::new(&words[0]).args(&words[1..]);
    if words[0] == "shell" {
        command = Command::login_shell();
    }
    if tty {
        command = command.terminal(user_terminal().expect("a terminal"));
    }
    let ending = interact(&container, &command, &Interact::default());
    match ending {
        Ok(Ending::Exited(exit)) => std::process::ExitCode::from(exit.shell_code()),
        other => panic!("{other:?}"),
    };
    eprintln!("{ending:?}");
}

//! The tools that are measured, and how each is told to run a command in a container.

use std::path::Path;
use std::process::Command;

use testkit::{Container, Engine};

use crate::{Result, cargo, dockerpty, peers};

/// A tool that runs a command in the container; the first one is ours.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// What stands ahead of the command, without a terminal and with one; or why the tool cannot be had.
    words: Result<[Vec<String>; 2]>,
}

/// Those without which there is no comparison, by their names in the limits.
pub(super) const DOCKER: &str = "docker CLI";
pub(super) const FLOOR: &str = "floor";

/// The caller of what knows nothing of a terminal's modes.
const RAW: [&str; 4] = ["sh", "-c", "stty raw -echo; exec \"$@\"", "sh"];
const DRIVER: &str = include_str!("dockerpty.py");

/// The tools, told of this container.
pub(super) fn all(ours: &Path, engine: &Engine, container: &Container<'_>) -> Vec<Tool> {
    let (name, host) = (container.name(), engine.host());
    let socket = engine.socket().to_string_lossy();
    let place = format!("docker:{name}");
    let ours = ours.to_string_lossy();
    let docker = docker(engine);
    let raw = |program: &str| {
        let words = [program, &socket, name];
        [own(&words), own(&[&RAW[..], &[program, "-t", &socket, name]].concat())]
    };
    let python = |python: &str| {
        let words = |flag| own(&[python, "-c", DRIVER, &host, name, flag]);
        [words("-T"), words("-t")]
    };
    vec![
        Tool {
            name: "thither",
            words: Ok([own(&[&ours, "run", &place]), own(&[&ours, "run", "-t", &place])]),
        },
        Tool {
            name: DOCKER,
            words: Ok([own(&[&docker, "exec", name]), own(&[&docker, "exec", "-it", name])]),
        },
        Tool { name: FLOOR, words: floor().map(|program| raw(&program)) },
        Tool { name: "bollard", words: bollard().map(|program| raw(&program)) },
        Tool {
            name: "dockerpty",
            words: dockerpty::install().map(|path| python(&path.to_string_lossy())),
        },
    ]
}

impl Tool {
    /// What runs a command in the container by this tool.
    pub(super) fn command(
        &self,
        engine: &Engine,
        terminal: bool,
        words: &[&str],
    ) -> Result<Command> {
        let ahead = &self.words.as_ref().map_err(Clone::clone)?[usize::from(terminal)];
        let mut command = clean(&ahead[0], engine);
        command.args(&ahead[1..]).args(words);
        Ok(command)
    }
}

/// A program with nothing in its environment that depends on who measures.
pub(super) fn clean(program: &str, engine: &Engine) -> Command {
    let docker = engine.command();
    let kept = docker.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/").envs(kept);
    command.env("TERM", "xterm").current_dir("/");
    command
}

/// The docker CLI of docker.io.
pub(super) fn docker(engine: &Engine) -> String {
    engine.command().get_program().to_string_lossy().into_owned()
}

/// What is measured, by their own words.
pub(super) fn print_versions(engine: &Engine) {
    println!("{}", peers::version(&[&docker(engine), "--version"]));
    let version = engine.get("/version");
    let field = |name: &str| version[name].as_str().unwrap_or("?").to_owned();
    println!("engine {}, API {}", field("Version"), field("ApiVersion"));
    // The engine needs the processors too: on a busy machine the medians of two equals differ by a fifth.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}", load.trim());
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Our client that does only what has to be done.
fn floor() -> Result<String> {
    let mut command = cargo::cargo();
    let arguments = ["build", "--release", "--package", "xtask", "--example", "floor"];
    executable(&mut command, &arguments, "floor")
}

/// A client by bollard, from a workspace of its own.
fn bollard() -> Result<String> {
    let mut command = cargo::cargo();
    command.current_dir(cargo::workspace().join("xtask/bollard"));
    command.env("CARGO_TARGET_DIR", cargo::target().join("bollard"));
    executable(&mut command, &["build", "--release", "--locked"], "bollard-exec")
}

fn executable(command: &mut Command, arguments: &[&str], name: &str) -> Result<String> {
    let built =
        cargo::build(command.args(arguments)).map_err(|error| format!("{name}: {error}"))?;
    let found = built.into_iter().filter(|artifact| artifact.name == name);
    let path = found.filter_map(|artifact| artifact.executable).next();
    path.map(|path| path.to_string_lossy().into_owned()).ok_or(format!("cargo built no `{name}`"))
}

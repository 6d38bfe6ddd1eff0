//! Commands in a container that runs.

mod hold;
mod made;
mod refused;

use std::os::fd::{AsFd, BorrowedFd};

use thither_place::{Command, Error as There, Process, Stream, Streams};

use crate::container::Container;
use crate::engine::{ApiVersion, Engine};
use crate::error::Error;
use crate::keys::NEVER_TYPED;
use crate::model::{ExecCreate, Made};
use crate::plumbing::Plumbing;
use crate::shim;
use crate::target::{self, MARK};

pub(crate) use self::hold::type_line;
pub use self::made::Exec;
pub(crate) use self::made::{of_container, terminal_process};
pub(crate) use self::refused::{is_about_the_program, refused};

impl Container {
    /// Starts a command in it: `docker exec`. See [`Place::spawn`](thither_place::Place::spawn).
    ///
    /// # Errors
    /// As `Place::spawn`.
    pub fn exec(&self, command: &Command) -> thither_place::Result<Process> {
        Start { container: self, command }.start()
    }

    /// Makes an exec of a command, and does not start it. Of its streams it matters whether they are a terminal, and which
    /// of them are [`Stream::Null`]: those are not attached.
    ///
    /// # Errors
    /// When the container is not there, or does not run.
    pub fn exec_create(&self, command: &Command) -> thither_place::Result<Exec> {
        Start { container: self, command }.create(false, attached(&command.streams))
    }
}

/// A command about to start.
struct Start<'a> {
    container: &'a Container,
    command: &'a Command,
}

impl Start<'_> {
    fn start(&self) -> thither_place::Result<Process> {
        match &self.command.streams {
            Streams::Terminal(_) => {
                let known = self.version()? >= ApiVersion::CONSOLE_SIZE;
                match self.start_held(!known) {
                    // There is no shell to hold the program: the size comes when it comes.
                    Err(There::Spawn { .. }) if !known && self.needs_no_shell() => {
                        self.start_held(false)
                    }
                    other => other,
                }
            }
            Streams::Separate { .. } => self.start_held(false),
        }
    }

    fn start_held(&self, hold: bool) -> thither_place::Result<Process> {
        // A descriptor that cannot be used is found before anything is made over there.
        let mut plumbing = Plumbing::open(&self.command.streams).map_err(|source| {
            Error::Here { action: "open the command's streams", source }
                .at(self.place(), Some("start the command"))
        })?;
        plumbing.without_null();
        let wanted = match self.command.streams {
            Streams::Terminal(_) => [true; 3],
            Streams::Separate { .. } => plumbing.wanted(),
        };
        self.create(hold, wanted)?.start_with(&self.command.streams, plumbing, self.cancel())
    }

    fn place(&self) -> &str {
        self.container.place()
    }

    fn engine(&self) -> &Engine {
        self.container.engine()
    }

    fn cancel(&self) -> Option<BorrowedFd<'_>> {
        self.command.cancel.as_ref().map(|cancel| cancel.as_fd())
    }

    fn version(&self) -> thither_place::Result<ApiVersion> {
        self.engine().version_or(self.cancel()).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Error) -> There {
        let message = match &error {
            Error::Refused { message, .. } => message.clone(),
            _ => return error.at(self.place(), None),
        };
        match is_about_the_program(&message) {
            true => refused(self.place(), &self.program(), &message),
            false => error.at(self.place(), None),
        }
    }

    fn program(&self) -> String {
        self.command.name().to_string_lossy().into_owned()
    }

    fn needs_no_shell(&self) -> bool {
        !shim::words(self.command, false).by_shell
    }

    /// The command's variables as the API has them.
    fn variables(&self) -> thither_place::Result<Vec<String>> {
        let mut kept = Vec::new();
        if self.command.env_clear {
            let inspected = self.container.inspect(self.cancel());
            let inspected = inspected.map_err(|error| self.failed(error))?;
            kept = inspected.config.env.unwrap_or_default();
        }
        environment(self.command, &kept).map_err(|action| {
            self.container.unsupported(action, "set it in the command, by `sh -c`")
        })
    }

    fn create(&self, hold: bool, attach: [bool; 3]) -> thither_place::Result<Exec> {
        let tty = matches!(self.command.streams, Streams::Terminal(_));
        self.container.check_name().map_err(|error| self.failed(error))?;
        let words = shim::words(self.command, hold);
        let mark = mark();
        let mut env = self.variables()?;
        env.push(format!("{MARK}={mark}"));
        let dir = self.command.dir.as_ref().map(|dir| {
            let text = dir.to_str().map(str::to_owned);
            text.ok_or_else(|| self.container.unsupported(DIR_NOT_UTF8, "`cd` in the command"))
        });
        let request = ExecCreate {
            attach_stdin: attach[0],
            attach_stdout: attach[1],
            attach_stderr: attach[2],
            tty,
            cmd: words.words,
            env,
            working_dir: dir.transpose()?,
            user: self.command.user.clone(),
            detach_keys: tty.then(|| NEVER_TYPED.to_owned()),
            privileged: self.container.is_privileged(),
        };
        let call = target::exec_create(self.container.name(), &request).cancel(self.cancel());
        let made: Made = self.engine().call(&call).map_err(|error| self.failed(error))?;
        Ok(Exec {
            engine: self.engine().clone(),
            place: self.place().to_owned(),
            container: self.container.name().to_owned(),
            id: made.id,
            terminal: tty,
            program: self.program(),
            mark: Some(mark),
            user: self.command.user.clone(),
            held: words.held,
        })
    }
}

/// Which streams anybody wants.
fn attached(streams: &Streams) -> [bool; 3] {
    match streams {
        Streams::Terminal(_) => [true; 3],
        Streams::Separate { stdin, stdout, stderr } => {
            let wanted = |stream: &Stream| !matches!(stream, Stream::Null);
            [stdin, stdout, stderr].map(wanted)
        }
    }
}

pub(crate) const DIR_NOT_UTF8: &str = "start in a directory whose name is not UTF-8";

/// A command's changes to the variables that it would have, as the API has them: `NAME=VALUE`, or `NAME` for one that is
/// taken away. `kept` are those of a container that is to have none of them; it keeps PATH, without which nothing is
/// found.
pub(crate) fn environment(
    command: &Command,
    kept: &[String],
) -> std::result::Result<Vec<String>, &'static str> {
    let mut all: Vec<String> = Vec::new();
    if command.env_clear {
        let names = kept.iter().filter_map(|variable| variable.split('=').next());
        let names = names.chain(["HOSTNAME", "TERM"]).filter(|&name| name != "PATH");
        all.extend(names.map(str::to_owned));
    }
    let removed = command.env.iter().filter(|(_, value)| value.is_none());
    let removed = removed.map(|(name, _)| (name.clone(), None));
    let set = command.environment([]).into_iter().map(|(name, value)| (name, Some(value)));
    for (name, value) in removed.chain(set) {
        let name = name.to_str().ok_or("name a variable that is not UTF-8")?;
        all.retain(|other| other.split('=').next() != Some(name));
        all.push(match value {
            None => name.to_owned(),
            Some(value) => {
                let value = value.to_str().ok_or("set a variable to what is not UTF-8")?;
                format!("{name}={value}")
            }
        });
    }
    Ok(all)
}

/// A random name: 64 bits in hexadecimal.
pub(crate) fn mark() -> String {
    let mut bytes = [0; 8];
    // The kernel's random numbers are there once it has started, and so few bytes are never cut short.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

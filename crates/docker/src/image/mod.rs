//! A fresh container of an image, gone with its command.

mod ours;
mod publish;
mod pull;
mod record;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use serde::Serialize;
use thither_place::archive::{Archive, named};
use thither_place::{
    Command, Error as There, Place, Process, Program, Stream, Streams, WindowSize,
};

use crate::call::{Call, encoded};
use crate::container::{Attach, Container};
use crate::credentials::Lookup;
use crate::engine::{ApiVersion, Engine};
use crate::error::{Error, Result};
use crate::exec::{DIR_NOT_UTF8, environment, mark};
use crate::model::{self, Config, Inspected, Made, State};
use crate::settings::ConfigFile;
use crate::shim;

use self::ours::{Files, Guard, Ours};
pub use self::publish::{BadPublish, Publish};
pub use self::pull::Progress;
use self::record::Record;

/// The label of what we made and clean up after; its value is the container's own.
const LABEL: &str = "thither";

/// A fresh container per command of an image: `docker run`.
#[derive(Clone, Debug)]
pub struct Image {
    engine: Engine,
    name: String,
    place: String,
    config: ConfigFile,
    options: Options,
}

/// How its containers are made, in the words of `docker run`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `SOURCE:DESTINATION[:OPTIONS]`, where the source is a path of the engine's machine or a volume's name; or the
    /// destination alone, for a volume without a name.
    pub volumes: Vec<String>,
    /// Ports of the container that its machine serves.
    pub publish: Vec<Publish>,
    /// The network, such as `none`, `host` or the name of one.
    pub network: Option<String>,
    /// The container's name.
    pub name: Option<String>,
    /// What is run ahead of the command, instead of the image's own; empty for nothing.
    pub entrypoint: Option<String>,
    /// As in `linux/arm64`.
    pub platform: Option<String>,
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// All rights that the engine can give.
    pub privileged: bool,
    /// Leave the container when its command has ended.
    pub keep: bool,
}

/// `POST /containers/create`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Create<'a> {
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    labels: BTreeMap<&'static str, &'a str>,
    volumes: BTreeMap<&'a str, Empty>,
    exposed_ports: BTreeMap<String, Empty>,
    host_config: HostConfig<'a>,
}

/// The API has sets as maps to this.
#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig<'a> {
    auto_remove: bool,
    binds: Vec<&'a str>,
    port_bindings: BTreeMap<String, Vec<publish::Binding>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_mode: Option<&'a str>,
    privileged: bool,
    /// Rows, columns. Since 1.42.
    #[serde(skip_serializing_if = "Option::is_none")]
    console_size: Option<[u16; 2]>,
}

impl Image {
    /// Containers of this image. Nothing is asked yet; `config` holds the credentials of its registry.
    #[must_use]
    pub fn new(engine: Engine, name: impl Into<String>, config: ConfigFile) -> Image {
        let name = name.into();
        let place = format!("image:{name}");
        Image { engine, place, name, config, options: Options::default() }
    }

    /// The same with these options.
    #[must_use]
    pub fn options(self, options: Options) -> Image {
        Image { options, ..self }
    }

    /// Brings the image here if it is missing, and tells how far it is.
    ///
    /// # Errors
    /// When its registry does not have it, or does not let us.
    pub fn pull_if_missing(
        &self,
        cancel: Option<BorrowedFd<'_>>,
        progress: &mut dyn FnMut(&Progress),
    ) -> thither_place::Result<()> {
        self.config_of(cancel, progress).map(drop)
    }

    /// What the image says of itself, once it is here.
    fn config_of(
        &self,
        cancel: Option<BorrowedFd<'_>>,
        progress: &mut dyn FnMut(&Progress),
    ) -> thither_place::Result<Config> {
        let image = match self.image(cancel) {
            Err(error) if error.is_not_found() => {
                self.pull(cancel, progress)?;
                self.image(cancel)
            }
            image => image,
        };
        Ok(image.map_err(|error| self.failed(error))?.config.unwrap_or_default())
    }

    fn pull(
        &self,
        cancel: Option<BorrowedFd<'_>>,
        progress: &mut dyn FnMut(&Progress),
    ) -> thither_place::Result<()> {
        let credentials = Lookup::new(&self.config).for_image(&self.name);
        let credentials = credentials.map_err(|error| There::Enter {
            place: self.place.clone(),
            hint: error.hint(),
            source: Box::new(error),
        })?;
        let platform = self.options.platform.as_deref();
        pull::pull(&self.engine, &self.name, platform, credentials, cancel, progress)
            .map_err(|error| self.failed(error))
    }

    fn image(&self, cancel: Option<BorrowedFd<'_>>) -> Result<model::Image> {
        // A name with a registry has slashes, which the API takes as they are.
        let name = encoded(&self.name).replace("%2F", "/").replace("%3A", ":").replace("%40", "@");
        self.engine.call(&Call::get(format!("/images/{name}/json")).cancel(cancel))
    }

    fn failed(&self, error: Error) -> There {
        error.at(&self.place, None)
    }

    fn unsupported(&self, action: &str, cure: &str) -> There {
        There::Unsupported {
            action: action.to_owned(),
            place: self.place.clone(),
            hint: Some(cure.to_owned()),
        }
    }

    /// What is run for a command: entrypoint and command of the container.
    fn words(&self, command: &Command, config: &Config, hold: bool) -> [Option<Vec<String>>; 2] {
        let own = match &self.options.entrypoint {
            Some(empty) if empty.is_empty() => Vec::new(),
            Some(entrypoint) => vec![entrypoint.clone()],
            None => config.entrypoint.clone().unwrap_or_default(),
        };
        // An entrypoint of one's own does without the image's command, as `docker run` has it.
        let own_command = match self.options.entrypoint {
            Some(_) => Vec::new(),
            None => config.cmd.clone().unwrap_or_default(),
        };
        let shell_words = shim::words(command, hold);
        match &command.program {
            // A login shell is what was asked for, and not an argument of something else.
            Program::LoginShell => [Some(shell_words.words), Some(Vec::new())],
            Program::Default if hold => {
                let all: Vec<String> =
                    own.into_iter().chain(own_command).chain(texts(command)).collect();
                let mut held = shim::hold();
                held.extend(all);
                [Some(held), Some(Vec::new())]
            }
            Program::Default => [self.options.entrypoint.as_ref().map(|_| own), {
                let mut words = own_command;
                words.extend(texts(command));
                (!words.is_empty()).then_some(words)
            }],
            Program::Named(_) if hold => {
                let mut held = shim::hold();
                held.extend(own);
                held.extend(shim::words(command, false).words);
                [Some(held), Some(Vec::new())]
            }
            Program::Named(_) => {
                [self.options.entrypoint.as_ref().map(|_| own), Some(shell_words.words)]
            }
        }
    }

    fn create(
        &self,
        command: &Command,
        config: &Config,
        hold: bool,
        label: &str,
    ) -> thither_place::Result<Made> {
        let cancel = command.cancel.as_ref().map(|cancel| cancel.as_fd());
        let size = terminal_size(command);
        let [entrypoint, cmd] = self.words(command, config, hold);
        let dir = command.dir.as_ref().map(|dir| {
            dir.to_str().ok_or_else(|| self.unsupported(DIR_NOT_UTF8, "`cd` in the command"))
        });
        let own = config.env.clone().unwrap_or_default();
        let changes = environment(command, &own)
            .map_err(|action| self.unsupported(action, "set it in the command, by `sh -c`"))?;
        let env = self.options.env.iter().cloned().chain(changes).collect();
        let stdin = !matches!(&command.streams, Streams::Separate { stdin: Stream::Null, .. });
        let version = self.engine.version_or(cancel).map_err(|error| self.failed(error))?;
        let console_size =
            size.filter(|_| version >= ApiVersion::CONSOLE_SIZE).map(|s| [s.rows, s.cols]);
        let (binds, volumes): (Vec<&str>, Vec<&str>) =
            self.options.volumes.iter().map(String::as_str).partition(|text| text.contains(':'));
        let publish = &self.options.publish;
        let request = Create {
            image: &self.name,
            cmd,
            entrypoint,
            env,
            working_dir: dir.transpose()?,
            user: command.user.as_deref(),
            tty: size.is_some(),
            open_stdin: stdin,
            stdin_once: stdin,
            attach_stdin: stdin,
            attach_stdout: true,
            attach_stderr: true,
            labels: BTreeMap::from([(LABEL, label)]),
            volumes: volumes.into_iter().map(|path| (path, Empty {})).collect(),
            exposed_ports: publish.iter().map(|port| (port.exposed(), Empty {})).collect(),
            host_config: HostConfig {
                auto_remove: !self.options.keep,
                binds,
                port_bindings: publish::bindings(publish),
                network_mode: self.options.network.as_deref(),
                privileged: self.options.privileged,
                console_size,
            },
        };
        // Not to be given up: it takes no time, and what it makes has to be known.
        let mut call = Call::post("/containers/create").body(&request);
        if let Some(name) = &self.options.name {
            call = call.query("name", name);
        }
        if let Some(platform) = &self.options.platform {
            call = call.query("platform", platform);
        }
        let made: Made = self.engine.call(&call).map_err(|error| self.failed(error))?;
        for warning in made.warnings.iter().flatten() {
            tracing::warn!(%warning, "the engine warns");
        }
        Ok(made)
    }

    /// A fresh container for a command, not started.
    fn fresh(
        &self,
        command: &Command,
        config: &Config,
        hold: bool,
    ) -> thither_place::Result<(Container, Guard)> {
        // What a SIGKILL leaves of us between here and the end, the next one finds by this.
        let label = mark();
        let record = match self.options.keep {
            true => None,
            false => Record::new(self.engine.name(), &label).ok().flatten(),
        };
        let made = match self.create(command, config, hold, &label) {
            Ok(made) => made,
            Err(error) => {
                // Unless the engine has said no, it may come to be all the same.
                if let Some(record) = record.filter(|_| !is_refusal(&error)) {
                    record.leave();
                }
                return Err(error);
            }
        };
        let container = Container::new(self.engine.clone(), made.id);
        let container = container.shown_as(self.place.clone());
        Ok((container.clone(), Guard { container: Some(container), record }))
    }

    fn run(
        &self,
        command: &Command,
        config: &Config,
        hold: bool,
    ) -> thither_place::Result<Process> {
        let (container, mut guard) = self.fresh(command, config, hold)?;
        let size = terminal_size(command);
        let inspected = Inspected {
            id: container.name().to_owned(),
            state: State::default(),
            config: Config {
                tty: size.is_some(),
                open_stdin: true,
                stdin_once: true,
                ..Config::default()
            },
            host: model::Host::default(),
            mounts: None,
        };
        let attach = Attach {
            start: true,
            // What holds the command is to see the size before it is let go.
            size,
            streams: command.streams.clone(),
            cancel: command.cancel.clone(),
            ..Attach::default()
        };
        let vanishes = !self.options.keep;
        let mut process = container
            .join(&attach, &inspected, vanishes, true)
            .map_err(|error| self.of_command(error, command))?;
        if hold && let Some(terminal) = &process.terminal {
            crate::exec::type_line(terminal).map_err(|source| {
                self.failed(Error::Here { action: "wait until the command runs", source })
            })?;
        }
        if self.options.keep {
            guard.container = None;
        }
        process.control = Box::new(Ours { control: process.control, guard });
        Ok(process)
    }

    /// What the engine says of a program that it cannot start, as an error about that program.
    fn of_command(&self, error: There, command: &Command) -> There {
        let said = match &error {
            There::Enter { source, .. } => match source.downcast_ref::<Error>() {
                Some(Error::Refused { message, .. })
                    if crate::exec::is_about_the_program(message) =>
                {
                    message.clone()
                }
                _ => return error,
            },
            _ => return error,
        };
        crate::exec::refused(&self.place, &command.name().to_string_lossy(), &said)
    }
}

/// A container of its own for each command, which vanishes with it.
///
/// # Differences
/// - Its exit is always a code: the engine gives 128+n for signal n.
/// - Dropping the [`Process`] before its end removes the container; detaching lets it live until its end.
/// - What becomes of output and signals is as in a [`Container`] that is attached to.
impl Place for Image {
    fn spawn(&self, command: &Command) -> thither_place::Result<Process> {
        let cancel = command.cancel.as_ref().map(|cancel| cancel.as_fd());
        let config = self.config_of(cancel, &mut |_| {})?;
        record::sweep(&self.engine);
        let known = self.engine.version_or(cancel).map_err(|error| self.failed(error))?
            >= ApiVersion::CONSOLE_SIZE;
        let hold = terminal_size(command).is_some() && !known;
        match self.run(command, &config, hold) {
            // There is no shell to hold the command: the size comes when it comes. What is missing may be the command
            // itself, but then the second try says so.
            Err(There::Spawn { .. }) if hold && command.program != Program::LoginShell => {
                self.run(command, &config, false)
            }
            other => other,
        }
    }

    /// Of the image itself: nothing runs.
    fn get(&self, path: &Path) -> thither_place::Result<Archive> {
        let config = self.config_of(None, &mut |_| {})?;
        record::sweep(&self.engine);
        // An image without a command of its own needs one to be named.
        let command = Command::new("/").stdin(Stream::Null);
        let image =
            Image { options: Options { keep: false, ..self.options.clone() }, ..self.clone() };
        let (container, guard) = image.fresh(&command, &config, false)?;
        let download = container.download(path)?;
        Ok(Archive::from_tar(Files { download, _guard: guard }, named(path).name))
    }

    fn put(&self, _: Archive, _: &Path) -> thither_place::Result<()> {
        let hint = "copy into a container that stays, as in `docker:NAME`";
        Err(self.unsupported("keep what is copied there: it vanishes at once", hint))
    }
}

fn is_refusal(error: &There) -> bool {
    match error {
        There::Enter { source, .. } => {
            matches!(source.downcast_ref::<Error>(), Some(Error::Refused { .. }))
        }
        error => matches!(error, There::Unsupported { .. }),
    }
}

fn terminal_size(command: &Command) -> Option<WindowSize> {
    match &command.streams {
        Streams::Terminal(terminal) => Some(terminal.size),
        Streams::Separate { .. } => None,
    }
}

fn texts(command: &Command) -> impl Iterator<Item = String> {
    command.args.iter().map(|arg| arg.to_string_lossy().into_owned())
}

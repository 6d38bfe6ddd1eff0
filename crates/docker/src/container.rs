//! A container, and its main process in the user's terminal.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use thither_place::{Error as There, Exit, Process, Stream, Streams, WindowSize};

use crate::call::{Call, encoded};
use crate::control::{self, Held, What};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::exec::{of_container, terminal_process};
use crate::model::{Config, Inspected};
use crate::plumbing::Plumbing;
use crate::relay::{AtEnd, Format};
use crate::target::{Target, WaitFor, Waiting};

/// How often a new size is tried on a container that has just been started.
const RESIZES: usize = 10;

/// A container of an engine, by name or id. It need not exist before it is used.
#[derive(Clone, Debug)]
pub struct Container {
    engine: Engine,
    name: String,
    place: String,
    privileged: bool,
}

/// What is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attached {
    /// All output; input as well, if the container takes any.
    #[default]
    All,
    /// What it was made to have attached: its `AttachStdin`, `AttachStdout` and `AttachStderr`.
    AsCreated,
}

/// How to attach to a container's main process.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    /// Show what it has printed before.
    pub logs: bool,
    /// Leave its input alone.
    pub no_stdin: bool,
    /// Start it if it does not run.
    pub start: bool,
    /// Which of its streams.
    pub attached: Attached,
    /// The size of the user's terminal, if there is one. It matters only to a container that has one too.
    pub size: Option<WindowSize>,
    /// Where input comes from and output goes, without a terminal on either side; the caller's own three by default.
    pub streams: Streams,
    /// A stream of this container that is attached already, as [`Container::attach_socket`] gives one: nothing is attached
    /// again, and `logs` means nothing.
    pub socket: Option<Arc<OwnedFd>>,
    /// Readable once it is to be given up.
    pub cancel: Option<Arc<OwnedFd>>,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Container {
    /// The container of this name or id. Nothing is asked yet.
    #[must_use]
    pub fn new(engine: Engine, name: impl Into<String>) -> Container {
        let name = name.into();
        Container { engine, place: format!("docker:{name}"), name, privileged: false }
    }

    /// Whether its commands get all rights that the engine can give: `docker exec --privileged`.
    #[must_use]
    pub fn privileged(self, privileged: bool) -> Container {
        Container { privileged, ..self }
    }

    pub(crate) fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// The same, shown as this place in errors.
    pub(crate) fn shown_as(self, place: String) -> Container {
        Container { place, ..self }
    }

    /// Its engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its name or id, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn unsupported(&self, action: &str, cure: &str) -> There {
        There::Unsupported {
            action: action.to_owned(),
            place: self.place.clone(),
            hint: Some(cure.to_owned()),
        }
    }

    pub(crate) fn path(&self, verb: &str) -> String {
        format!("/containers/{}{verb}", encoded(&self.name))
    }

    pub(crate) fn inspect(&self, cancel: Option<BorrowedFd<'_>>) -> Result<Inspected> {
        self.check_name()?;
        self.engine.call(&Call::get(self.path("/json")).cancel(cancel))
    }

    /// No engine has containers of other names, and paths would be made of them.
    pub(crate) fn check_name(&self) -> Result<()> {
        let mut bytes = self.name.bytes();
        let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            true => Ok(()),
            false => {
                let message = format!("No such container: {}", self.name);
                Err(Error::Refused { status: 404, message })
            }
        }
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// When there is no such container, or the engine cannot be asked.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.inspect(None)?.state.running)
    }

    /// Whether it has a terminal: then its output is raw, else in frames.
    ///
    /// # Errors
    /// As [`is_running`](Container::is_running).
    pub fn has_terminal(&self) -> Result<bool> {
        Ok(self.inspect(None)?.config.tty)
    }

    /// How its main process ended, if it has run and ended.
    ///
    /// # Errors
    /// As [`is_running`](Container::is_running).
    pub fn exit(&self) -> Result<Option<Exit>> {
        let state = self.inspect(None)?.state;
        Ok((!state.running).then_some(Exit::Code(state.exit_code)))
    }

    /// Starts it. It is no error if it runs already.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<()> {
        self.start_or(None)
    }

    pub(crate) fn start_or(&self, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        self.engine.order(&Call::post(self.path("/start")).cancel(cancel))
    }

    /// Sends its main process a signal, by its Linux number. It is no error if it does not run.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.target().signal(signal)
    }

    /// Tells its terminal a new size.
    ///
    /// # Errors
    /// When it does not run, or has no terminal.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.resize_or(size, None)
    }

    fn resize_or(&self, size: WindowSize, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        self.target().resize(size, cancel)?.answer(cancel).map(drop)
    }

    /// Removes it, killing it if it runs, with its anonymous volumes. It is no error if it is gone, or going.
    ///
    /// # Errors
    /// When the engine cannot.
    pub fn remove(&self) -> Result<()> {
        let limit = self.engine.patience(None).limit;
        self.remove_within(limit)
    }

    pub(crate) fn remove_within(&self, limit: Duration) -> Result<()> {
        let call = Call::delete(self.path("")).query("force", "1").query("v", "1").limit(limit);
        match self.engine.order(&call) {
            Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(Error::Refused { status: 409, message }) if message.contains("in progress") => {
                Ok(())
            }
            other => other,
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::Container { engine: self.engine.clone(), id: self.name.clone() }
    }

    /// Attaches to its main process, and starts it if that is asked for.
    ///
    /// The wait for its end is registered first, then its streams are joined, and only then is it started: nothing
    /// that it prints, and no end, can be missed.
    ///
    /// # Errors
    /// When there is no such container, it is paused, or does not run and is not to be started.
    pub fn attach(&self, attach: &Attach) -> thither_place::Result<Process> {
        let cancel = attach.cancel.as_ref().map(|cancel| cancel.as_fd());
        let failed = |error: Error| error.at(&self.place, None);
        let inspected = self.inspect(cancel).map_err(failed)?;
        let state = &inspected.state;
        let trouble = match () {
            () if state.paused => Some(("it is paused", "`docker unpause` it")),
            () if state.restarting => Some(("it is restarting", "wait until it runs")),
            () if !state.running && !attach.start => {
                Some(("it is not running", "let it be started, too"))
            }
            () => None,
        };
        if let Some((what, cure)) = trouble {
            return Err(There::Enter {
                place: self.place.clone(),
                source: what.into(),
                hint: Some(cure.to_owned()),
            });
        }
        let container = Container { name: inspected.id.clone(), ..self.clone() };
        container.join(attach, &inspected, false, !state.running)
    }

    /// Attaches to its main process, started or not, and hands out the stream: raw bytes if it has a terminal, else
    /// [frames](crate::frame). The socket does not block. `streams` and `start` mean nothing here.
    ///
    /// # Errors
    /// As [`attach`](Container::attach).
    pub fn attach_socket(&self, attach: &Attach) -> thither_place::Result<OwnedFd> {
        let cancel = attach.cancel.as_ref().map(|cancel| cancel.as_fd());
        let failed = |error: Error| error.at(&self.place, None);
        let config = self.inspect(cancel).map_err(failed)?.config;
        self.hijack(attach.logs, wanted(attach, &config, [true; 3]), cancel).map_err(failed)
    }

    /// Attaches to a container of this id that was inspected; `vanishes` says whether it goes with its main process.
    pub(crate) fn join(
        &self,
        attach: &Attach,
        inspected: &Inspected,
        vanishes: bool,
        start: bool,
    ) -> thither_place::Result<Process> {
        let cancel = attach.cancel.as_ref().map(|cancel| cancel.as_fd());
        let failed = |error: Error| error.at(&self.place, None);
        let here = |source| {
            Error::Here { action: "join the streams", source }.at(&self.place, Some("attach"))
        };
        let config = &inspected.config;
        let size = attach.size.filter(|_| config.tty);
        let plumbing = match size {
            Some(_) => None,
            None => Some(Plumbing::open(&attach.streams).map_err(here)?),
        };
        let ours = plumbing.as_ref().map_or([true; 3], Plumbing::wanted);
        let wanted = wanted(attach, config, ours);

        let ask =
            |engine| Waiting::new(engine, &self.name, WaitFor::NextExit, cancel).map_err(failed);
        let early = self.engine.version_or(cancel).map_err(failed)?
            >= crate::engine::ApiVersion::WAIT_CONDITION;
        let mut waiting = (early || !start).then(|| ask(&self.engine)).transpose()?;
        let socket = match &attach.socket {
            Some(socket) => socket.as_fd().try_clone_to_owned().and_then(crate::dial::nonblocking),
            None => {
                // Asked for what nobody keeps, an engine complains in the place of output.
                let logs = attach.logs && inspected.host.log.driver != "none";
                Ok(self.hijack(logs, wanted, cancel).map_err(failed)?)
            }
        };
        let socket = socket.map_err(here)?;
        if start {
            self.start_or(cancel).map_err(failed)?;
        }
        if waiting.is_none() {
            waiting = Some(ask(&self.engine)?);
        }
        let target = self.target();
        let what = What { program: "the main process".into(), has_terminal: config.tty, vanishes };
        let process = match (size, plumbing) {
            (Some(size), _) => {
                self.fit(size, start, cancel);
                terminal_process(&self.place, target, socket, waiting, what)
            }
            (None, None) => unreachable!("without a terminal there are streams"),
            (None, Some(mut plumbing)) => {
                if !wanted[0] {
                    plumbing.without_input();
                }
                let format = if config.tty { Format::Raw } else { Format::Frames };
                let at_end = match (config.tty, config.stdin_once) {
                    (true, _) => AtEnd::Type,
                    (false, true) => AtEnd::HalfClose,
                    (false, false) => AtEnd::Nothing,
                };
                let joined =
                    plumbing.join(socket, format, target.clone(), |relay| relay.at_end(at_end));
                joined.and_then(|(driver, ends)| {
                    let streams = control::Streams::Relay(driver);
                    let held = Held::new(self.place.clone(), target, streams, waiting, what)?;
                    Ok(ends.attach(Process::new(Box::new(held))))
                })
            }
        };
        process.map(|process| of_container(process, true)).map_err(here)
    }

    fn hijack(
        &self,
        logs: bool,
        wanted: [bool; 3],
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd> {
        let flag = |wanted: bool| if wanted { "1" } else { "0" };
        let [stdin, stdout, stderr] = wanted.map(flag);
        let call = Call::post(self.path("/attach"))
            .query("stream", "1")
            .query("logs", flag(logs))
            .query("stdin", stdin)
            .query("stdout", stdout)
            .query("stderr", stderr)
            .query("detachKeys", crate::keys::NEVER_TYPED)
            .cancel(cancel);
        self.engine.hijack(&call)
    }

    /// Gives its terminal this size. One that ran already may have it: a line more and back makes its program draw the
    /// screen again.
    fn fit(&self, size: WindowSize, started: bool, cancel: Option<BorrowedFd<'_>>) {
        if !started {
            let taller = WindowSize { rows: size.rows.saturating_add(1), ..size };
            // It has ended, or says so by its streams.
            let _ = self.resize_or(taller, cancel);
        }
        for _ in 0..RESIZES {
            match self.resize_or(size, cancel) {
                // The engine says that it runs a moment before its runtime does.
                Err(Error::Refused { status: 500.., .. }) => {}
                _ => return,
            }
        }
    }
}

/// Which streams are attached to, where we have these.
fn wanted(attach: &Attach, config: &Config, ours: [bool; 3]) -> [bool; 3] {
    let theirs = match attach.attached {
        Attached::All => [config.open_stdin, true, true],
        Attached::AsCreated => [config.attach_stdin, config.attach_stdout, config.attach_stderr],
    };
    let mut wanted = std::array::from_fn(|i| ours[i] && theirs[i]);
    wanted[0] &= config.open_stdin && !attach.no_stdin;
    wanted
}

impl Attach {
    /// Sets where input comes from and output goes.
    #[must_use]
    pub fn streams(self, stdin: Stream, stdout: Stream, stderr: Stream) -> Attach {
        Attach { streams: Streams::Separate { stdin, stdout, stderr }, ..self }
    }
}

//! An exec: a command in a container, made and then started.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use thither_place::{Error as There, Exit, Process, Streams, WindowSize};

use crate::control::{self, Held, What};
use crate::engine::{ApiVersion, Engine};
use crate::error::{Error, Result};
use crate::model::ExecStart;
use crate::plumbing::Plumbing;
use crate::relay::{AtEnd, Format, Relay};
use crate::target::{self, Target};

/// A command in a container, known to the engine by an id; it is started once.
#[derive(Clone, Debug)]
pub struct Exec {
    pub(super) engine: Engine,
    pub(super) place: String,
    pub(super) container: String,
    pub(super) id: String,
    pub(super) terminal: bool,
    pub(super) program: String,
    pub(super) mark: Option<String>,
    pub(super) user: Option<String>,
    /// Whether a shell waits for a line before it becomes the program.
    pub(super) held: bool,
}

impl Exec {
    /// The exec of this id, made by whomever. Signals do not reach those that others have made.
    ///
    /// # Errors
    /// When there is none, or the engine cannot be asked.
    pub fn of(engine: Engine, id: impl Into<String>) -> Result<Exec> {
        let id = id.into();
        let state = target::exec_state(&engine, &id)?;
        Ok(Exec {
            place: format!("docker:{}", state.container),
            engine,
            container: state.container,
            id,
            terminal: state.process.tty,
            program: "the command".into(),
            mark: None,
            user: Some(state.process.user).filter(|user| !user.is_empty()),
            held: false,
        })
    }

    /// The engine's id of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it has a terminal: then its stream is raw, else in frames.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.terminal
    }

    /// How it ended, if it has run and ended.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub fn exit(&self) -> Result<Option<Exit>> {
        let state = target::exec_state(&self.engine, &self.id)?;
        Ok(state.exit_code.filter(|_| !state.running).map(Exit::Code))
    }

    /// Tells its terminal a new size. Waits until it runs, as engines do.
    ///
    /// # Errors
    /// When it has ended, or has no terminal.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.target().resize(size, None)?.answer(None).map(drop)
    }

    /// Sends it a signal, by its Linux number. It is no error if it has ended.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it cannot be delivered.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.target().signal(signal)
    }

    /// Starts it, and joins its streams to these.
    ///
    /// # Errors
    /// As [`Place::spawn`](thither_place::Place::spawn).
    pub fn start(&self, streams: &Streams) -> thither_place::Result<Process> {
        let plumbing = Plumbing::open(streams).map_err(|source| self.here(source))?;
        self.start_with(streams, plumbing, None)
    }

    /// Starts it, and hands out its stream: raw bytes if it has a terminal, else [frames](crate::frame). The socket does
    /// not block. At its end ask for the [`exit`](Exec::exit).
    ///
    /// # Errors
    /// As [`start`](Exec::start).
    pub fn start_socket(&self, size: Option<WindowSize>) -> thither_place::Result<OwnedFd> {
        self.hijack(size, None)
    }

    /// Joins the stream of this exec, which somebody has started, to these streams.
    ///
    /// # Errors
    /// When the descriptors cannot be used.
    pub fn join(&self, socket: OwnedFd, streams: &Streams) -> thither_place::Result<Process> {
        let plumbing = Plumbing::open(streams).map_err(|source| self.here(source))?;
        self.join_with(socket, streams, plumbing)
    }

    pub(super) fn target(&self) -> Target {
        Target::Exec {
            engine: self.engine.clone(),
            container: self.container.clone(),
            id: self.id.clone(),
            mark: self.mark.clone(),
            user: self.user.clone(),
        }
    }

    fn here(&self, source: io::Error) -> There {
        Error::Here { action: "join the command's streams", source }
            .at(&self.place, Some("start the command"))
    }

    fn failed(&self, error: Error) -> There {
        match &error {
            Error::Refused { message, .. } if super::is_about_the_program(message) => {
                super::refused(&self.place, &self.program, message)
            }
            _ => error.at(&self.place, None),
        }
    }

    fn hijack(
        &self,
        size: Option<WindowSize>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> thither_place::Result<OwnedFd> {
        let size = size.filter(|_| self.terminal && self.knows_size());
        let console_size = size.map(|size| [size.rows, size.cols]);
        let start = ExecStart { detach: false, tty: self.terminal, console_size };
        let call = target::exec_start(&self.id, &start).cancel(cancel);
        tracing::debug!(exec = %self.id, "start");
        self.engine.hijack_or_late(&call).map_err(|(error, late)| {
            // It is starting all the same.
            match late {
                Some(socket) if self.held => super::hold::give_up(&socket),
                Some(_) => drop(self.signal(rustix::process::Signal::KILL.as_raw())),
                None => {}
            }
            self.failed(error)
        })
    }

    /// Whether the engine can be told the size at the start.
    fn knows_size(&self) -> bool {
        self.engine.version().is_ok_and(|version| version >= ApiVersion::CONSOLE_SIZE)
    }

    pub(super) fn start_with(
        &self,
        streams: &Streams,
        plumbing: Plumbing,
        cancel: Option<BorrowedFd<'_>>,
    ) -> thither_place::Result<Process> {
        let size = match streams {
            Streams::Terminal(terminal) => Some(terminal.size),
            Streams::Separate { .. } => None,
        };
        let socket = self.hijack(size, cancel)?;
        if let Some(size) = size.filter(|_| self.held) {
            self.let_loose(&socket, size, cancel).inspect_err(|_| super::hold::give_up(&socket))?;
        }
        let mut process = self.join_with(socket, streams, plumbing)?;
        if let Some(size) = size.filter(|_| self.terminal && !self.held && !self.knows_size()) {
            process.resize(size)?;
        }
        Ok(process)
    }

    fn join_with(
        &self,
        socket: OwnedFd,
        streams: &Streams,
        plumbing: Plumbing,
    ) -> thither_place::Result<Process> {
        let what =
            What { program: self.program.clone(), has_terminal: self.terminal, vanishes: false };
        let target = self.target();
        let process = match (streams, self.terminal) {
            (Streams::Terminal(_), true) => {
                terminal_process(&self.place, target, socket, None, what)
                    .map(|process| of_container(process, true))
            }
            (Streams::Terminal(_), false) => {
                return Err(There::Unsupported {
                    action: "give a terminal to an exec that was made without".into(),
                    place: self.place.clone(),
                    hint: None,
                });
            }
            (Streams::Separate { .. }, terminal) => {
                let format = if terminal { Format::Raw } else { Format::Frames };
                let at_end = if terminal { AtEnd::Type } else { AtEnd::HalfClose };
                let prepare = |relay: Relay| relay.expect_refusal().at_end(at_end);
                let joined = plumbing.join(socket, format, target.clone(), prepare);
                joined.and_then(|(driver, ends)| {
                    let streams = control::Streams::Relay(driver);
                    let held = Held::new(self.place.clone(), target, streams, None, what)?;
                    let process = ends.attach(Process::new(Box::new(held)));
                    Ok(of_container(process, false))
                })
            }
        };
        process.map_err(|source| self.here(source))
    }
}

/// A process at a terminal whose socket is handed out.
pub(crate) fn terminal_process(
    place: &str,
    target: Target,
    socket: OwnedFd,
    waiting: Option<target::Waiting>,
    what: What,
) -> io::Result<Process> {
    let ours = control::Streams::Terminal(socket.try_clone()?);
    let held = Held::new(place.to_owned(), target, ours, waiting, what)?;
    let mut process = Process::new(Box::new(held));
    process.terminal = Some(socket);
    Ok(process)
}

pub(crate) fn of_container(mut process: Process, detachable: bool) -> Process {
    process.detachable = detachable;
    process.apart = true;
    process
}

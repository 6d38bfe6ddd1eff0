//! Commands in a container that runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use thither_place::{Command, Error as There, Process, Streams, WindowSize};
use thither_term::{Interest, poll};

use crate::container::Container;
use crate::control::{self, Held, What};
use crate::engine::{ApiVersion, Engine};
use crate::error::Error;
use crate::keys::NEVER_TYPED;
use crate::model::{ExecCreate, ExecStart, Made};
use crate::plumbing::Plumbing;
use crate::relay::{Format, Relay};
use crate::shim;
use crate::target::{self, MARK, Target};

/// How long a program that runs may take to say so.
const STARTING: Duration = Duration::from_secs(30);
/// How long the echo of what we have typed may take, which comes at once.
const ECHO: Duration = Duration::from_secs(2);

impl Container {
    /// Starts a command in it: `docker exec`. See [`Place::spawn`](thither_place::Place::spawn).
    ///
    /// # Errors
    /// As `Place::spawn`.
    pub fn exec(&self, command: &Command) -> thither_place::Result<Process> {
        Start { container: self, command }.start()
    }
}

/// A command about to start.
struct Start<'a> {
    container: &'a Container,
    command: &'a Command,
}

/// What the API made of it.
struct Exec {
    id: String,
    mark: String,
    held: bool,
}

impl Start<'_> {
    fn start(&self) -> thither_place::Result<Process> {
        match &self.command.streams {
            Streams::Terminal(terminal) => {
                let known = self.version()? >= ApiVersion::CONSOLE_SIZE;
                match self.terminal(terminal.size, !known) {
                    // There is no shell to hold the program: the size comes when it comes.
                    Err(There::Spawn { .. }) if !known && self.needs_no_shell() => {
                        self.terminal(terminal.size, false)
                    }
                    other => other,
                }
            }
            Streams::Separate { .. } => self.separate(),
        }
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

    fn here(&self, action: &'static str, source: io::Error) -> There {
        Error::Here { action, source }.at(self.place(), Some("start the command"))
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
        environment(self.command, &kept)
            .map_err(|action| self.container.unsupported(action, "set it in the command, by `sh -c`"))
    }

    fn create(&self, hold: bool, attach: [bool; 3], tty: bool) -> thither_place::Result<Exec> {
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
        Ok(Exec { id: made.id, mark, held: words.held })
    }

    fn target(&self, exec: &Exec) -> Target {
        Target::Exec {
            engine: self.engine().clone(),
            container: self.container.name().to_owned(),
            id: exec.id.clone(),
            mark: Some(exec.mark.clone()),
            user: self.command.user.clone(),
        }
    }

    fn hijack(
        &self,
        exec: &Exec,
        tty: bool,
        size: Option<WindowSize>,
    ) -> thither_place::Result<OwnedFd> {
        let console_size = size.map(|size| [size.rows, size.cols]);
        let start = ExecStart { detach: false, tty, console_size };
        let call = target::exec_start(&exec.id, &start).cancel(self.cancel());
        tracing::debug!(exec = %exec.id, "start");
        self.engine().hijack(&call).map_err(|error| self.failed(error))
    }

    fn separate(&self) -> thither_place::Result<Process> {
        let plumbing = Plumbing::open(&self.command.streams)
            .map_err(|source| self.here("open the command's streams", source))?;
        let exec = self.create(false, plumbing.wanted(), false)?;
        let socket = self.hijack(&exec, false, None)?;
        let target = self.target(&exec);
        let what = What { program: self.program(), has_terminal: false, vanishes: false };
        plumbing
            .join(socket, Format::Frames, target.clone(), Relay::expect_refusal)
            .and_then(|(driver, attach)| {
                let streams = control::Streams::Relay(driver);
                let held = Held::new(self.place().to_owned(), target, streams, None, what)?;
                Ok(attach.attach(Process::new(Box::new(held))))
            })
            .map(|process| of_container(process, false))
            .map_err(|source| self.here("join the command's streams", source))
    }

    fn terminal(&self, size: WindowSize, hold: bool) -> thither_place::Result<Process> {
        let exec = self.create(hold, [true; 3], true)?;
        let socket = self.hijack(&exec, true, (!hold).then_some(size).filter(|_| self.sized()))?;
        let target = self.target(&exec);
        if exec.held {
            self.let_loose(&target, &exec.id, &socket, size)?;
        }
        let what = What { program: self.program(), has_terminal: true, vanishes: false };
        let mut process = terminal_process(self.place(), target, socket, None, what)
            .map(|process| of_container(process, true))
            .map_err(|source| self.here("join the command's terminal", source))?;
        if !exec.held && !self.sized() {
            process.resize(size)?;
        }
        Ok(process)
    }

    fn sized(&self) -> bool {
        self.engine().version().is_ok_and(|version| version >= ApiVersion::CONSOLE_SIZE)
    }

    /// Applies the size, and then types the line that the shell waits for. The engine applies it once the shell runs.
    fn let_loose(
        &self,
        target: &Target,
        exec: &str,
        socket: &OwnedFd,
        size: WindowSize,
    ) -> thither_place::Result<()> {
        let resizing =
            target.resize(size, self.cancel()).map_err(|error| self.failed(error))?;
        let starting = "wait until the command runs";
        // What comes before the answer is why there is no shell, or its end.
        let cancel = self.cancel().map_or(Interest::Nothing, Interest::Read);
        let interests =
            [Interest::Read(resizing.as_fd()), Interest::Read(socket.as_fd()), cancel];
        let ready = poll(&interests, Some(STARTING)).map_err(|e| self.here(starting, e))?;
        match ready[..] {
            [resized, ..] if resized.now => {
                if let Err(error) = resizing.answer(self.cancel()) {
                    tracing::debug!(%error, "resize");
                }
            }
            [_, said, _] if said.now => {
                let state = target::exec_state(self.engine(), exec);
                let state = state.map_err(|error| self.failed(error))?;
                if !state.running && state.pid == 0 {
                    let said = said_at_start(socket);
                    return Err(refused(self.place(), "sh", &said));
                }
            }
            [_, _, cancel] if cancel.now => return Err(self.failed(Error::Cancelled)),
            _ => {
                let patience = self.engine().patience(None);
                let silent = self.engine().error(crate::http::Trouble::Silent, patience);
                return Err(self.failed(silent));
            }
        }
        type_line(socket).map_err(|source| self.here(starting, source))
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

/// Types an empty line and takes its echo away: the modes are the default ones, and nothing else has been printed.
pub(crate) fn type_line(socket: &OwnedFd) -> io::Result<()> {
    match rustix::net::send(socket, b"\n", rustix::net::SendFlags::NOSIGNAL) {
        // It has ended; its stream says so.
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {}
        Err(error) => return Err(error.into()),
    }
    let deadline = Instant::now() + ECHO;
    for expected in [b"\r", b"\n"] {
        loop {
            let mut byte = [0];
            match recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                // A terminal without ONLCR echoes the line end alone.
                Ok((1, _)) if byte == *expected || byte == *b"\n" => {
                    recv(socket, &mut byte, RecvFlags::DONTWAIT)?;
                    if byte == *b"\n" {
                        return Ok(());
                    }
                    break;
                }
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !poll(&[Interest::Read(socket.as_fd())], Some(left))?[0].now {
                        return Ok(());
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What the engine said in the place of output, as far as it has come.
fn said_at_start(socket: &OwnedFd) -> String {
    let mut bytes = [0; 4096];
    let n = recv(socket, &mut bytes, RecvFlags::DONTWAIT).map_or(0, |(n, _)| n);
    String::from_utf8_lossy(&bytes[..n]).trim().to_owned()
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

/// Whether an engine's words are about the program, and not about the container or the directory.
pub(crate) fn is_about_the_program(message: &str) -> bool {
    message.contains("OCI runtime exec failed") || message.contains("OCI runtime create failed")
        || message.contains("failed to create task for container")
}

/// The engine could not start the program; it says why in words alone.
pub(crate) fn refused(place: &str, program: &str, said: &str) -> There {
    let kinds = [
        ("executable file not found", io::ErrorKind::NotFound),
        // Of the program's path; a directory is named by `chdir`.
        ("no such file or directory", io::ErrorKind::NotFound),
        ("permission denied", io::ErrorKind::PermissionDenied),
        ("exec format error", io::ErrorKind::InvalidInput),
        ("is a directory", io::ErrorKind::IsADirectory),
    ];
    let place = place.to_owned();
    let said = said.trim_end_matches(": unknown").trim();
    if !said.contains("chdir")
        && let Some((_, kind)) = kinds.iter().find(|(words, _)| said.contains(words))
    {
        let source = match kind {
            io::ErrorKind::NotFound => io::Error::from_raw_os_error(2),
            io::ErrorKind::PermissionDenied => io::Error::from_raw_os_error(13),
            kind => io::Error::new(*kind, said.rsplit(": ").next().unwrap_or(said).to_owned()),
        };
        return There::Spawn { program: program.to_owned(), place, source, hint: None };
    }
    let words = said.strip_prefix("OCI runtime exec failed: ").unwrap_or(said);
    let source = Error::Refused { status: 0, message: words.to_owned() };
    let hint = said.contains("chdir").then(|| "name a directory that is there".to_owned());
    There::Place { action: "start the command".into(), place, source: Box::new(source), hint }
}

/// A random name: 64 bits in hexadecimal.
pub(crate) fn mark() -> String {
    let mut bytes = [0; 8];
    // The kernel's random numbers are there once it has started, and so few bytes are never cut short.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

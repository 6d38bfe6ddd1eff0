//! Python at a place.

mod files;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thither_place::error::quoted;
use thither_place::{Command, Error, Event, Exit, Place, Process, Stream};
use thither_python::{Host, Python, Start, Unanswered};

use crate::schemes::BoxError;

use files::OwnFiles;

/// The interpreters that are tried where none is named.
pub const INTERPRETERS: [&str; 2] = ["python3", "python"];

/// What the socket of a shared interpreter expects first. It is no secret: its file lets in its own user alone, in a folder of that
/// user's alone.
pub(crate) const TOKEN: &[u8; 32] = b"the interpreter that is shared  ";

/// Why there is no Python.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PythonError {
    /// None of these programs is there.
    #[error("no Python there: tried {}", listed(tried))]
    NotFound {
        /// What was tried.
        tried: Vec<OsString>,
        /// What was said of the last one.
        source: BoxError,
    },
    /// The place did not start it.
    #[error(transparent)]
    Place(Error),
    /// It was started and did not answer.
    #[error(transparent)]
    Python(thither_python::Error),
}

impl PythonError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            PythonError::NotFound { .. } => {
                Some("install Python 3.6 or newer there, or name the interpreter")
            }
            PythonError::Place(error) => error.hint(),
            PythonError::Python(error) => error.hint(),
        }
    }
}

fn listed(names: &[OsString]) -> String {
    names.iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// What a place can do with the help of other crates.
///
/// ```no_run
/// use thither::PlaceExt;
///
/// let py = thither::connect("docker:web")?.python()?;
/// let pid: u32 = py.import("os")?.call_method0("getpid")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PlaceExt: Place {
    /// Starts a Python interpreter there: `python3`, else `python`. It ends with the last handle of it. Where one runs already
    /// that all [share](Place::interpreter), it is that one, and stays.
    ///
    /// # Errors
    /// When there is none, and as [`spawn`](Place::spawn).
    fn python(&self) -> Result<Python, PythonError> {
        self.python_with(Command::new, &INTERPRETERS, Start::default())
    }

    /// The same, with the first of these interpreters that is there, run by a command as `of` makes it of their names
    /// (with a user, a directory, an environment), and with settings. Its files are copied by the place's own way if it
    /// [has one](Place::own_files), no user is named, and the settings name no other.
    ///
    /// # Errors
    /// As [`python`](PlaceExt::python).
    fn python_with<N: AsRef<OsStr>>(
        &self,
        of: impl Fn(OsString) -> Command,
        interpreters: &[N],
        mut start: Start,
    ) -> Result<Python, PythonError> {
        if is_any(&of, interpreters)
            && let Some(shared) = self.interpreter().map_err(PythonError::Place)?
        {
            return start.served(shared, TOKEN).map_err(PythonError::Python);
        }
        let mut missing = None;
        for name in interpreters {
            let command = of(name.as_ref().to_owned())
                .args(thither_python::arguments())
                .stdin(Stream::Piped)
                .stdout(Stream::Piped)
                .stderr(Stream::Piped);
            // What a user may do is not what the place may.
            let own = if command.user.is_none() { self.own_files() } else { None };
            let given = start.files.clone();
            start.files = given.clone().or_else(|| Some(Arc::new(OwnFiles(own?)) as _));
            match self.spawn(&command) {
                Ok(process) => match over(process, start) {
                    Ok(python) => return Ok(python),
                    Err(Unfound::Missing(why, settings)) => {
                        (missing, start) = (Some(why), *settings)
                    }
                    Err(Unfound::Other(error)) => return Err(PythonError::Python(error)),
                },
                Err(error @ Error::Spawn { .. }) if error.shell_code() == 127 => {
                    missing = Some(error.into());
                }
                Err(error) => return Err(PythonError::Place(error)),
            }
            start.files = given;
        }
        let tried = interpreters.iter().map(|name| name.as_ref().to_owned()).collect();
        let source = missing.unwrap_or_else(|| "no interpreter was named".into());
        Err(PythonError::NotFound { tried, source })
    }
}

impl<P: Place + ?Sized> PlaceExt for P {}

/// Whether any interpreter will do, as the place runs it by itself.
fn is_any<N: AsRef<OsStr>>(of: &impl Fn(OsString) -> Command, interpreters: &[N]) -> bool {
    let Command { args, env_clear, env, dir, user, .. } = of(INTERPRETERS[0].into());
    interpreters.iter().map(AsRef::as_ref).eq(INTERPRETERS.iter().map(OsStr::new))
        && args.is_empty()
        && !env_clear
        && env.is_empty()
        && dir.is_none()
        && user.is_none()
}

/// Why a process is no interpreter.
enum Unfound {
    /// The program is not there: a place that starts it by a shell over there cannot tell before.
    Missing(BoxError, Box<Start>),
    Other(thither_python::Error),
}

/// The agent over a process's pipes.
fn over(mut process: Process, mut start: Start) -> Result<Python, Unfound> {
    let streams = (process.stdout.take(), process.stdin.take(), process.stderr.take());
    let (Some(source), Some(sink), errors) = streams else {
        // What was asked for is piped.
        let why = "the place gave no pipes".into();
        return Err(Unfound::Other(thither_python::Error::Start { why, hint: None }));
    };
    let is_missing = Arc::new(AtomicBool::new(false));
    start.host = Box::new(Running { process: Some(process), is_missing: is_missing.clone() });
    start.try_over(source, sink, errors).map_err(|unanswered| {
        let Unanswered { error, start, .. } = *unanswered;
        match start.filter(|_| is_missing.load(Ordering::SeqCst)) {
            Some(start) => Unfound::Missing(error.into(), Box::new(start)),
            None => Unfound::Other(error),
        }
    })
}

/// The interpreter's process at a place.
struct Running {
    process: Option<Process>,
    /// Whether it has ended as a shell does that finds no program of a name (POSIX, XCU 2.8.2).
    is_missing: Arc<AtomicBool>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

impl Running {
    /// How it ended, if it does within that time.
    fn exit(&mut self, limit: Duration) -> Option<Result<Exit, Error>> {
        let process = self.process.as_mut()?;
        let deadline = Instant::now() + limit;
        loop {
            match process.control.event() {
                Ok(Some(Event::Exited(exit))) => return Some(Ok(exit)),
                Ok(Some(Event::Stopped(_)) | None) => {}
                Err(error) => return Some(Err(error)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::from_borrowed_fd(process.control.as_fd(), PollFlags::IN)];
            // A failure ends the wait, and the state is asked for again.
            let _ = poll(&mut fds, Some(&timeout));
        }
    }
}

impl Host for Running {
    fn ended(&mut self, limit: Duration) -> Option<String> {
        let exit = self.exit(limit)?;
        let is_missing = match &exit {
            Ok(exit) => *exit == Exit::Code(127),
            Err(error) => error.shell_code() == 127,
        };
        self.is_missing.store(is_missing, Ordering::SeqCst);
        Some(match exit {
            Ok(Exit::Code(code)) => format!("it ended with exit code {code}"),
            Ok(Exit::Signal(signal)) => format!("it was killed by signal {signal}"),
            Err(error) => error.to_string(),
        })
    }

    fn finish(&mut self) {
        if self.exit(Duration::from_secs(2)).is_none()
            && let Some(process) = &mut self.process
        {
            tracing::debug!("Python does not end");
            // It has been given its time; what cannot be killed is let go.
            let _ = process.signal(9);
            let _ = self.exit(Duration::from_secs(2));
        }
        self.process = None;
    }
}

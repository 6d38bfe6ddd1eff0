//! What runs over there: a container, or an exec in one.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use std::time::Duration;

use thither_place::{Exit, WindowSize};

use crate::answer::{Answer, Pending, REST};
use crate::call::{Call, encoded};
use crate::engine::{ApiVersion, Engine};
use crate::error::{Error, Result};
use crate::model::{ExecCreate, ExecStart, ExecState, Inspected, Made, Waited};

/// The variable that marks an exec, so that it is found among the processes of its container.
pub(crate) const MARK: &str = "THITHER_EXEC";

/// How long a signal may take. Whoever sends it waits, and at a dead engine has better things to do.
const SIGNALLING: Duration = Duration::from_secs(5);

/// Sends signal `$1` to the processes that no process of the container has started (an exec's first one has parent 0
/// in there) and whose environment has `$2`. Nothing but what a shell has itself.
const SIGNAL: &str = "\
for d in /proc/[0-9]*; do
  while read -r k v r; do [ \"$k\" = PPid: ] && break; done 2>/dev/null <\"$d/status\" || continue
  [ \"$v\" = 0 ] || continue
  while IFS= read -r e || [ -n \"$e\" ]; do
    case $e in *\"$2\"*) kill -\"$1\" \"${d#/proc/}\" && f=1; break ;; esac
  done 2>/dev/null <\"$d/environ\"
done
[ -n \"$f\" ]
";

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A container, by its id: its main process.
    Container { engine: Engine, id: String },
    /// A process in a container.
    Exec {
        engine: Engine,
        container: String,
        id: String,
        /// The value of [`MARK`], if it was us who made it.
        mark: Option<String>,
        /// Who it runs as, if not who the container does.
        user: Option<String>,
    },
}

impl Target {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Target::Container { engine, .. } | Target::Exec { engine, .. } => engine,
        }
    }

    /// Sends a new size of the terminal; the answer comes later.
    pub(crate) fn resize(
        &self,
        size: WindowSize,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Pending> {
        let path = match self {
            Target::Container { id, .. } => format!("/containers/{}/resize", encoded(id)),
            Target::Exec { id, .. } => format!("/exec/{}/resize", encoded(id)),
        };
        let call = Call::post(path)
            .query("h", size.rows.to_string())
            .query("w", size.cols.to_string())
            .cancel(cancel);
        // Whoever waits at a terminal has other things to do.
        self.engine().begin(&call.limit(SIGNALLING))
    }

    /// Whether there has been a process.
    pub(crate) fn was_started(&self) -> Result<bool> {
        match self {
            Target::Container { .. } => Ok(true),
            Target::Exec { engine, id, .. } => {
                let state: ExecState = engine.call(&exec_inspect(id).limit(SIGNALLING))?;
                Ok(state.pid != 0)
            }
        }
    }

    /// Whether the engine still has the container.
    pub(crate) fn exists(&self) -> Result<bool> {
        let (Target::Container { engine, id } | Target::Exec { engine, container: id, .. }) = self;
        match engine.call::<Inspected>(&Call::get(format!("/containers/{}/json", encoded(id)))) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal by its Linux number. It is no error if nothing runs any more.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        match self {
            Target::Container { engine, id } => {
                let path = format!("/containers/{}/kill", encoded(id));
                let call = Call::post(path).query("signal", signal.to_string()).limit(SIGNALLING);
                engine.order(&call).or_else(unless_it_runs_no_more)
            }
            Target::Exec { engine, container, mark, user, .. } => {
                let mark =
                    mark.as_ref().ok_or_else(|| unsignalled("it was made by another program"))?;
                let words =
                    ["sh", "-c", SIGNAL, "sh", &signal.to_string(), &format!("{MARK}={mark}")];
                let helper = ExecCreate {
                    attach_stdin: false,
                    attach_stdout: false,
                    attach_stderr: false,
                    tty: false,
                    cmd: words.map(str::to_owned).into(),
                    env: Vec::new(),
                    working_dir: None,
                    user: user.clone(),
                    detach_keys: None,
                    privileged: false,
                };
                start_helper(engine, container, &helper)
            }
        }
    }
}

/// Starts a helper and lets it do its work. Its end is not waited for: the engine reports the ends of a container's
/// execs one after the other, each once its output is read, and the output of the one that is signalled may be ours to
/// read.
fn start_helper(engine: &Engine, container: &str, helper: &ExecCreate) -> Result<()> {
    let made: Made = match engine.call(&exec_create(container, helper).limit(SIGNALLING)) {
        Err(error) => return unless_it_runs_no_more(error),
        Ok(made) => made,
    };
    let start = ExecStart { detach: true, tty: false, console_size: None };
    match engine.order(&exec_start(&made.id, &start).limit(SIGNALLING)) {
        Err(Error::Refused { message, .. }) if message.contains("executable file not found") => {
            Err(unsignalled("there is no `sh` in its container"))
        }
        Err(error) => unless_it_runs_no_more(error),
        Ok(()) => Ok(()),
    }
}

/// A container that does not run has nothing in it that runs. One that is paused has.
fn unless_it_runs_no_more(error: Error) -> Result<()> {
    match &error {
        Error::Refused { status: 404, .. } => Ok(()),
        Error::Refused { status: 409, message } if !message.contains("paused") => Ok(()),
        _ => Err(error),
    }
}

fn unsignalled(why: &str) -> Error {
    Error::Unsupported {
        action: format!("send a signal to an exec: {why}"),
        hint: Some("end it from within the container".into()),
    }
}

pub(crate) fn exec_create<'a>(container: &str, exec: &ExecCreate) -> Call<'a> {
    Call::post(format!("/containers/{}/exec", encoded(container))).body(exec)
}

pub(crate) fn exec_start<'a>(id: &str, start: &ExecStart) -> Call<'a> {
    Call::post(format!("/exec/{}/start", encoded(id))).body(start)
}

pub(crate) fn exec_state(engine: &Engine, id: &str) -> Result<ExecState> {
    engine.call(&exec_inspect(id))
}

/// The same question, to be answered later.
pub(crate) fn ask_exec_state(engine: &Engine, id: &str) -> Result<Pending> {
    engine.begin(&exec_inspect(id))
}

fn exec_inspect<'a>(id: &str) -> Call<'a> {
    Call::get(format!("/exec/{}/json", encoded(id)))
}

/// Asks to be told of the ends of a container's execs.
pub(crate) fn ask_exec_ends(engine: &Engine, container: &str) -> Result<Pending> {
    let filters = BTreeMap::from([("event", ["exec_die"]), ("container", [container])]);
    // A map of texts: it cannot fail.
    let filters = serde_json::to_string(&filters).unwrap_or_default();
    engine.begin(&Call::get("/events").query("filters", filters))
}

/// When a container's wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// At its next end.
    NextExit,
    /// When it is gone.
    Removed,
}

/// A container's end, waited for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The engine has begun to wait, so that no end is missed that comes after.
    Begun(Answer),
    /// The engine was asked; one before API 1.30 answers only at the end, and only of a container that runs.
    Asked(Pending),
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Waiting::Begun(answer) => answer.as_fd(),
            Waiting::Asked(pending) => pending.as_fd(),
        }
    }
}

impl Waiting {
    pub(crate) fn new(
        engine: &Engine,
        id: &str,
        until: WaitFor,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Waiting> {
        let call = Call::post(format!("/containers/{}/wait", encoded(id))).cancel(cancel);
        if engine.version()? < ApiVersion::WAIT_CONDITION {
            return engine.begin(&call).map(Waiting::Asked);
        }
        let condition = match until {
            WaitFor::NextExit => "next-exit",
            WaitFor::Removed => "removed",
        };
        engine.begin(&call.query("condition", condition))?.answer(cancel).map(Waiting::Begun)
    }

    /// How the container ended, once this is readable.
    pub(crate) fn exit(self) -> Result<Exit> {
        let answer = match self {
            Waiting::Begun(answer) => answer,
            Waiting::Asked(pending) => pending.within(REST, None)?,
        };
        let Waited { code, error } = answer.json()?;
        match error {
            Some(error) if !error.message.is_empty() => {
                Err(Error::Refused { status: 200, message: error.message })
            }
            _ => Ok(Exit::Code(code)),
        }
    }
}

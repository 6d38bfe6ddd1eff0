//! Python's prompt: lines are edited here, with a history of this machine's and the names over there, and run over there.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, thread};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use thither::error::printable;
use thither::python::{Error, PyErr, Python, Raise, Value};
use thither::{Command, PythonError, Signals};

use super::{NAMES, none};
use crate::args::There;
use crate::report::{self, Failure};
use crate::run::Joint;

/// The most lines that are remembered.
const REMEMBERED: usize = 1000;

/// What a session begins with, as Python's own does.
const STARTUP: &str = "\
import os as _os
_startup = _os.environ.get('PYTHONSTARTUP')
if _startup:
    with open(_startup, 'rb') as _file:
        _startup = compile(_file.read(), _startup, 'exec')
    del _file
    exec(_startup)
del _os, _startup
";

/// Reads, runs, prints, until the end of input or `exit()`; the exit code.
pub(super) fn prompt(there: &There, python: Option<OsString>) -> Result<u8, Failure> {
    let joint = Joint::new(there, Command::new(""))?;
    let interpreters = match python {
        Some(python) => vec![python],
        None => NAMES.map(OsString::from).into(),
    };
    let py = joint.python(&interpreters).map_err(|error| match error {
        PythonError::NotFound { .. } => none(&joint, &interpreters),
        PythonError::Place(error) => error.into(),
        PythonError::Python(error) => failed(error),
        other => Failure::new(other.to_string()),
    })?;
    converse(&py, &joint.address().to_string())
}

fn converse(py: &Python, place: &str) -> Result<u8, Failure> {
    let info = py.info();
    report::put_line(&format!(
        "Python {} on {}, {place}\nType \"help\", \"copyright\", \"credits\" or \"license\" for more information.",
        printable(&info.version.replace('\n', "")),
        printable(&info.platform)
    ));
    let interrupts = Interrupts::new(py)?;
    py.input_from(interrupts.reader()).map_err(failed)?;
    match py.exec(STARTUP, ()) {
        Err(Error::Python(error)) => report::put_line(error.traceback.trim_end()),
        other => other.map_err(failed)?,
    }
    let mut editor = editor(py)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    let code = read_and_run(py, &mut editor, &interrupts);
    if let Some(file) = &history
        && let Err(error) = editor.append_history(file)
    {
        report::say(&format!("the history is not kept: {error}"));
    }
    code
}

fn read_and_run(
    py: &Python,
    editor: &mut Editor<Names, FileHistory>,
    interrupts: &Interrupts,
) -> Result<u8, Failure> {
    let mut source = String::new();
    loop {
        let prompt = if source.is_empty() { ">>> " } else { "... " };
        match editor.readline(prompt) {
            Ok(line) => {
                // Nothing to remember of an empty one.
                let _ = editor.add_history_entry(&line);
                source += &line;
            }
            Err(ReadlineError::Interrupted) => {
                report::put_line("KeyboardInterrupt");
                source.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(0),
            Err(error) => {
                return Err(Failure::new(format!("cannot read from the terminal: {error}")));
            }
        }
        if source.trim().is_empty() {
            source.clear();
            continue;
        }
        interrupts.shared.running.store(true, Ordering::SeqCst);
        let result = py.interact(&source);
        interrupts.shared.running.store(false, Ordering::SeqCst);
        match result {
            Ok(true) => {
                source.push('\n');
                continue;
            }
            Ok(false) => {}
            Err(Error::Python(error)) if error.is_instance_of("SystemExit") => {
                return Ok(exit_code(&error));
            }
            Err(Error::Python(error)) => report::put_line(error.traceback.trim_end()),
            Err(error) => return Err(failed(error)),
        }
        source.clear();
    }
}

/// As Python's own `exit(x)`: a number, none for 0, and anything else is said and is 1.
fn exit_code(error: &PyErr) -> u8 {
    match error.args.first() {
        None | Some(Value::None) => 0,
        Some(Value::Int(code)) => (code & 0xFF) as u8,
        Some(Value::Bool(code)) => u8::from(*code),
        Some(_) => {
            report::put_line(&error.message);
            1
        }
    }
}

fn failed(error: Error) -> Failure {
    let hint = error.hint().map(str::to_owned);
    let failure = Failure::new(report::chain(&error));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn editor(py: &Python) -> Result<Editor<Names, FileHistory>, Failure> {
    let cannot = |error| Failure::new(format!("cannot edit lines here: {error}"));
    let mut editor = Editor::new().map_err(cannot)?;
    editor.set_max_history_size(REMEMBERED).map_err(cannot)?;
    editor.set_completion_type(rustyline::CompletionType::List);
    editor.set_helper(Some(Names { py: py.clone() }));
    Ok(editor)
}

/// In the folder for what a user's programs remember (XDG base directories); `None` without a home.
fn history_file() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("thither");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("python_history"))
}

/// Completes names that are known over there.
struct Names {
    py: Python,
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}

impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let is_of_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.');
        let begin = line[..at]
            .rfind(|char| !is_of_name(char))
            .map_or(0, |before| before + line[before..].chars().next().map_or(1, char::len_utf8));
        let name = &line[begin..at];
        if name.is_empty() {
            // What indents a block.
            return Ok((at, vec!["    ".into()]));
        }
        let py = self.py.clone().with_timeout(std::time::Duration::from_secs(2));
        // It is a help, no more.
        let mut found = py.complete(name).unwrap_or_default();
        found.dedup();
        Ok((begin, found))
    }
}

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Ends us on a signal, while another thread waits for the user or for Python.
#[expect(
    clippy::disallowed_methods,
    reason = "what is to be put back are the terminal's modes, and they are; Python ends with its input"
)]
fn leave(modes: Option<&Termios>, signal: i32) {
    if let Some(modes) = modes {
        // There is nobody left to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
    std::process::exit(128 + signal);
}

/// ^C while code runs over there; signals that end us.
struct Interrupts {
    shared: Arc<Shared>,
}

struct Shared {
    /// Code runs over there.
    running: AtomicBool,
    /// And reads from our input.
    reading: AtomicBool,
    /// Readable once that is to be given up.
    give_up: OwnedFd,
}

impl Interrupts {
    fn new(py: &Python) -> Result<Interrupts, Failure> {
        let cannot = |error: io::Error| Failure::new(format!("cannot wait for signals: {error}"));
        let give_up = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let give_up = give_up.map_err(|error| cannot(error.into()))?;
        let (running, reading) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { running, reading, give_up });
        let signals = Signals::on([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
        let modes = tcgetattr(io::stdin()).ok();
        let (heard, py) = (Arc::clone(&shared), py.clone());
        let watch = move || loop {
            let mut fds = [PollFd::new(&signals, PollFlags::IN)];
            // An interrupted wait looks, and waits again.
            let _ = poll(&mut fds, None);
            while let Some(received) = signals.next() {
                if received.signal != SIGINT {
                    leave(modes.as_ref(), received.signal);
                }
                if heard.reading.load(Ordering::SeqCst) {
                    let _ = rustix::io::write(&heard.give_up, &1_u64.to_ne_bytes());
                } else if heard.running.load(Ordering::SeqCst) {
                    // A connection that is lost is said by who waits for it.
                    let _ = py.interrupt();
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(watch).map_err(cannot)?;
        Ok(Interrupts { shared })
    }

    /// What `input()` over there reads from: our input, which ^C gives up.
    fn reader(&self) -> impl Fn(usize) -> Result<Vec<u8>, Raise> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |most| {
            shared.reading.store(true, Ordering::SeqCst);
            let read = shared.read(most.min(64 * 1024));
            shared.reading.store(false, Ordering::SeqCst);
            read
        }
    }
}

impl Shared {
    fn read(&self, most: usize) -> Result<Vec<u8>, Raise> {
        let stdin = io::stdin();
        loop {
            let mut fds =
                [PollFd::new(&self.give_up, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(io::Error::from)?,
            };
            if !fds[0].revents().is_empty() {
                let _ = rustix::io::read(&self.give_up, &mut [0; 8]);
                return Err(Raise::new("KeyboardInterrupt", ""));
            }
            let mut bytes = vec![0; most];
            let read = rustix::io::read(&stdin, &mut bytes)?;
            bytes.truncate(read);
            return Ok(bytes);
        }
    }
}

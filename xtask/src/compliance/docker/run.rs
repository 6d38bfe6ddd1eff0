//! How a check is run, and what is seen of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Container, DEADLINE, Engine, Marker, Modes, Session};

use super::check::{Check, How, NOT_RUN, Step};
use super::tool::{Programs, engine};
use crate::Result;
use crate::compliance::check::wait;

/// It did not end, and was killed.
const HANGS: &str = "it does not end\n";
/// What begins a line about processes of this machine.
const RUNNING: &str = "left running: ";
/// What begins a line about processes in the container.
const INSIDE: &str = "left inside: ";
/// How long what is expected to stay is given to go.
const SHORT: Duration = Duration::from_secs(4);
const SIZE: (u16, u16) = (80, 24);

/// Runs a check, and says what comes of it: lines of standard output or of the terminal after a `|` (after a `~` where
/// the line does not end); standard error; an exit code that is not 0; a terminal that is not as it was; what
/// became of the container; and who is left running, here and there.
pub(super) fn run(check: &Check, programs: &Programs) -> Result<String> {
    if check.expected(programs.tool) == NOT_RUN {
        return Ok(NOT_RUN.into());
    }
    let own = check.own_engine.then(Engine::own).transpose();
    let own = own.map_err(|reason| format!("cannot run here: {reason}"))?;
    let engine = match &own {
        Some(engine) => engine,
        None => engine()?,
    };
    let folder = TempDir::with_prefix("compliance-");
    let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
    let stage = Stage {
        engine,
        container: container(check, engine),
        expected: check.expected(programs.tool),
        path: format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.folder().display()),
        folder,
        marker: Marker::new(),
    };
    // What a tool does must not end the others' checks.
    let seen = catch_unwind(AssertUnwindSafe(|| match check.how {
        How::Script(script) => stage.script(script),
        How::Typed(acts) => {
            acts.iter().map(|(line, steps)| stage.typed(line, steps)).collect::<Result<_>>()
        }
        How::Counted(times, line, shown) => stage.counted(times, line, shown),
    }));
    let mut text = without_tracebacks(&seen.unwrap_or_else(|panic| Ok(sentence(panic.as_ref())))?);
    let running: BTreeSet<String> =
        stage.marker.survivors(stage.patience(RUNNING)).iter().map(|line| short(line)).collect();
    if !running.is_empty() {
        text += &format!("{RUNNING}{}\n", Vec::from_iter(running).join(", "));
    }
    // Of an engine that was ended nothing can be asked.
    if !check.own_engine {
        text += &stage.afterwards(check);
    }
    Ok(text.replace(stage.container.name(), "$C").replace(stage.container.id(), "$C"))
}

/// A container, and what is done to it.
struct Stage<'e> {
    engine: &'e Engine,
    container: Container<'e>,
    expected: &'static str,
    /// Where programs are looked for.
    path: String,
    folder: TempDir,
    marker: Marker,
}

fn container<'e>(check: &Check, engine: &'e Engine) -> Container<'e> {
    let main = check.container;
    let idle = ["sleep", "inf"];
    let script = main.script.map(|script| ["sh", "-c", script]);
    let mut new = engine.container(script.as_ref().map_or(&idle[..], |argv| &argv[..]));
    // As docker-py makes them: dockerpty attaches what was to be attached.
    new = new.with(json!({"AttachStdout": true, "AttachStderr": true}));
    if main.tty {
        new = new.tty();
    }
    if main.stdin {
        // The first who is attached and leaves ends it.
        new = new.stdin_open().with(json!({"StdinOnce": !main.tty}));
    }
    if !main.logging {
        new = new.with(json!({"HostConfig": {"LogConfig": {"Type": "none"}}}));
    }
    if main.started { new.start() } else { new.create() }
}

impl Stage<'_> {
    fn arrange(&self, command: &mut Command) {
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", &self.path).env("LC_ALL", "C").env("TERM", "xterm-256color");
        command.env("HOME", self.folder.path()).env("C", self.container.name());
        command.env("DOCKER_HOST", self.engine.host()).env("DOCKER_CONFIG", self.folder.path());
        self.marker.mark(command);
    }

    /// How long to wait for what may be expected to stay.
    fn patience(&self, what: &str) -> Duration {
        if self.expected.contains(what) { SHORT } else { DEADLINE }
    }

    fn script(&self, script: &str) -> Result<String> {
        let failed = |error: std::io::Error| format!("cannot run a script: {error}");
        // Files: what is left running would keep pipes open.
        let logs = TempDir::new().map_err(failed)?;
        let [out, err] = ["out", "err"].map(|name| logs.path().join(name));
        let mut sh = Command::new("sh");
        sh.args(["-c", script]);
        self.arrange(&mut sh);
        sh.stdout(File::create(&out).map_err(failed)?).stderr(File::create(&err).map_err(failed)?);
        let child = sh.spawn().map_err(failed)?;
        // A script may be many commands.
        let status = wait(child, 3 * self.patience(HANGS), &self.marker);
        let read = |path: &Path| fs::read(path).map_err(failed);
        let mut text = lines(&read(&out)?, "\n");
        text += &String::from_utf8_lossy(&read(&err)?);
        text += &end(status);
        Ok(text)
    }

    fn session(&self, line: &str) -> Session {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("exec {line}")]);
        self.arrange(&mut sh);
        Session::spawn(sh, SIZE)
    }

    fn typed(&self, line: &str, steps: &[Step]) -> Result<String> {
        let mut session = self.session(line);
        for step in steps {
            match *step {
                Step::Type(keys) => session.send(keys),
                Step::Paste(size) => {
                    let line = format!("{}\n", "v".repeat(63));
                    session.send(line.repeat(size / line.len()));
                }
                Step::Show(text) => drop(session.expect(text)),
                Step::Raw => session.until("a raw terminal", |session| session.modes().is_raw()),
                Step::Resize(cols, rows) => session.resize(cols, rows),
                Step::Signal(signal) => session.signal(signal),
                Step::Ended => drop(self.container.wait()),
                Step::Inside(script) => drop(self.container.exec(&["sh", "-c", script])),
                Step::KillEngine => self.engine.kill(),
                Step::Close => {
                    let shown = lines(session.transcript().as_bytes(), "\r\n");
                    session.close();
                    return Ok(shown);
                }
            }
        }
        let status = self.wait(&mut session);
        let mut text = lines(session.transcript().as_bytes(), "\r\n");
        text += &end(status);
        if status.is_some() && session.modes() != fresh() {
            text += "the terminal is not as it was\n";
        }
        Ok(text)
    }

    /// The status of a command at a terminal, or none if it had to be killed.
    fn wait(&self, session: &mut Session) -> Option<ExitStatus> {
        if self.expected.contains(HANGS) {
            let patience = Instant::now() + SHORT;
            let pid = session.pid();
            session.until("its end", |_| has_ended(pid) || Instant::now() >= patience);
            if !has_ended(pid) {
                let _ = self.marker.survivors(Duration::ZERO);
                return None;
            }
        }
        Some(session.wait())
    }

    fn counted(&self, times: usize, line: &str, shown: &str) -> Result<String> {
        let mut right = 0;
        for _ in 0..times {
            let mut session = self.session(line);
            self.wait(&mut session);
            right += usize::from(session.transcript() == shown);
        }
        Ok(format!("{right} of {times}\n"))
    }

    /// What became of the container.
    fn afterwards(&self, check: &Check) -> String {
        let state = || self.container.inspect()["State"].take();
        if check.container.script.is_none() {
            // It is the container's main process that is to be there.
            let end = Instant::now() + self.patience(INSIDE);
            // Its main process waits for nobody: zombies are as good as gone.
            let alive = || {
                let processes = self.container.processes();
                processes.into_iter().filter(|&pid| !has_ended(pid)).collect::<Vec<_>>()
            };
            let mut inside = alive();
            while inside.len() > 1 && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
                inside = alive();
            }
            return match inside.len() {
                0 => format!("container: {}\n", shown_state(&state())),
                1 => String::new(),
                _ => format!("{INSIDE}{}\n", inside.len() - 1),
            };
        }
        // The engine may need a moment to know of an end that the tool knows of.
        let runs = "container: running\n";
        let end = Instant::now() + self.patience(runs);
        while state()["Running"] == true && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            if self.expected.contains(runs) {
                break;
            }
        }
        format!("container: {}\n", shown_state(&state()))
    }
}

fn shown_state(state: &Value) -> String {
    match state["Status"].as_str() {
        Some("exited") => format!("exit {}", state["ExitCode"]),
        other => other.unwrap_or_default().to_owned(),
    }
}

/// The modes of a new terminal.
fn fresh() -> Modes {
    static FRESH: OnceLock<Modes> = OnceLock::new();
    FRESH.get_or_init(|| Session::spawn(Command::new("true"), SIZE).modes()).clone()
}

/// Whether a child has ended, waited for or not.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Bytes as lines, with all that cannot be seen escaped.
fn lines(bytes: &[u8], separator: &str) -> String {
    let shown = |line: &str| line.as_bytes().escape_ascii().to_string().replace("\\\'", "'");
    let text = String::from_utf8_lossy(bytes);
    let mut text: Vec<&str> = text.split(separator).collect();
    let last = text.pop().unwrap_or_default();
    let mut seen: String = text.iter().map(|line| format!("| {}\n", shown(line))).collect();
    if !last.is_empty() {
        seen += &format!("~ {}\n", shown(last));
    }
    seen
}

fn end(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(0), _) => String::new(),
            (Some(code), _) => format!("exit {code}\n"),
            (None, signal) => format!("signal {}\n", signal.unwrap_or_default()),
        },
        None => HANGS.into(),
    }
}

/// The first line of a panic.
fn sentence(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    format!("{}\n", text.replace('\n', "\n    "))
}

/// The same with a line for the tracebacks of Python: its last, which is the exception.
fn without_tracebacks(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let plain = |line: &str| line.trim_start_matches(['|', '~', ' ']).to_owned();
    let is_exception = |line: &&str| {
        let line = plain(line);
        let name = line.split(':').next().unwrap_or_default().rsplit('.').next();
        name.is_some_and(|name| name.ends_with("Error") || name == "KeyboardInterrupt")
    };
    let first = lines.iter().position(|line| line.contains("Traceback (most recent call last)"));
    let last = lines.iter().rposition(is_exception);
    let (Some(first), Some(last)) = (first, last) else { return text.to_owned() };
    let mut seen: Vec<String> = lines[..first].iter().map(|line| (*line).to_owned()).collect();
    seen.push(format!("a traceback: {}", plain(lines[last])));
    seen.extend(lines[last + 1..].iter().map(|line| (*line).to_owned()));
    seen.join("\n") + "\n"
}

/// The name of a process that was left; `line` is its id and its command line.
fn short(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').skip(1).take(2).collect();
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    match words[..] {
        [program, script] if name(program).starts_with("python") => name(script),
        [program, ..] => name(program),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_line_by_line() {
        assert_eq!(lines(b"a\r\nit's\x1b\r\nb", "\r\n"), "| a\n| it's\\x1b\n~ b\n");
        assert_eq!(lines(b"", "\n"), "");
    }

    #[test]
    fn of_a_traceback_there_is_the_exception() {
        let text = "| a\n| Traceback (most recent call last):\n|   File x\n| ValueError: y\n| b\n";
        assert_eq!(without_tracebacks(text), "| a\na traceback: ValueError: y\n| b\n");
        assert_eq!(without_tracebacks("| a\n"), "| a\n");
    }

    #[test]
    fn names_of_processes() {
        assert_eq!(short("12 /x/thither attach docker:y"), "thither");
        assert_eq!(short("12 /x/python3 /y/driver.py start"), "driver.py");
    }
}

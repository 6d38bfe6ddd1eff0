//! A command as data: the same value runs in any place.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thither_term::WindowSize;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program: a path if it has a slash, else a name looked up in the `PATH` of the command's environment,
    /// over there.
    Named(OsString),
    /// The login shell of the user over there, else `bash`, else `sh`; as a login shell.
    LoginShell,
    /// What the place runs by itself, as an image does; elsewhere the login shell.
    Default,
}

/// What `sh` over there runs for [`Program::LoginShell`], with further arguments as `"$@"`: the login shell of the user, else bash,
/// else sh. `id` is asked, as a shell knows no ids by itself (`$UID` is bash's); getent(1) knows users who are in no file. It is one
/// line, so that it can be quoted for every shell.
pub const LOGIN_SHELL: &str = "\
u=$(id -u 2>/dev/null) s=;\
while IFS=: read -r n p i g c h t;do [ \"$i\" = \"$u\" ]&&s=$t&&break;done 2>/dev/null </etc/passwd;\
[ -x \"$s\" ]||{ s=$(getent passwd \"$u\" 2>/dev/null);s=${s##*:};};\
[ -x \"$s\" ]||s=$(command -v bash)||s=sh;\
unset u n p i g c h t;exec \"$s\" -l \"$@\"";

/// What `sh` over there runs for Python where a place learns too late whether a program is there: the first of `python3` and `python`,
/// with the arguments in `"$@"`; `$0` is what is said, with exit code 127, if there is neither.
pub const FIRST_PYTHON: &str = "\
for thither_name in python3 python;do \
if command -v \"$thither_name\" >/dev/null 2>&1;then exec \"$thither_name\" \"$@\";fi;done;\
printf '%s\\n' \"$0\" >&2;exit 127";

/// Where one of the three standard streams goes.
#[derive(Clone, Debug, Default)]
pub enum Stream {
    /// The caller's own.
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// A new pipe; the other end is a field of [`Process`](crate::Process).
    Piped,
    /// This descriptor.
    Fd(Arc<OwnedFd>),
}

/// A terminal for the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The size that the program sees from its first instruction on.
    pub size: WindowSize,
    /// The value of `TERM` over there, unless the command's environment sets one.
    pub term: Option<OsString>,
}

/// Where the command's input comes from and its output goes.
#[derive(Clone, Debug)]
pub enum Streams {
    /// Three streams.
    Separate {
        /// Descriptor 0.
        stdin: Stream,
        /// Descriptor 1.
        stdout: Stream,
        /// Descriptor 2.
        stderr: Stream,
    },
    /// One terminal for all three, and the command's controlling terminal.
    Terminal(Terminal),
}

impl Default for Streams {
    /// The caller's own three.
    fn default() -> Streams {
        let own = || Stream::Inherit;
        Streams::Separate { stdin: own(), stdout: own(), stderr: own() }
    }
}

/// A command as data: program, arguments, environment, directory, user and streams.
///
/// ```
/// use thither_place::Command;
///
/// let make = Command::new("make").args(["-j4"]).env("CC", "clang").dir("/src");
/// assert_eq!(make.args.len(), 1);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until a place spawns it"]
pub struct Command {
    /// What to run.
    pub program: Program,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Start from an empty environment instead of the place's default.
    pub env_clear: bool,
    /// Variables to set, or with `None` to remove, in order; the last one of a name wins.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The working directory over there; `None` is the place's default.
    pub dir: Option<PathBuf>,
    /// A user's name or numeric id over there, optionally `user:group`; `None` is the place's default.
    pub user: Option<String>,
    /// Its streams.
    pub streams: Streams,
    /// Readable once the start is to be given up: for a place that takes its time, beyond a network say. Its
    /// [`spawn`](crate::Place::spawn) then returns [`Error::Cancelled`](crate::Error::Cancelled).
    pub cancel: Option<Arc<OwnedFd>>,
}

impl Command {
    /// A program with no arguments that inherits everything.
    pub fn new(program: impl Into<OsString>) -> Command {
        Command::of(Program::Named(program.into()))
    }

    /// The login shell of the user over there.
    pub fn login_shell() -> Command {
        Command::of(Program::LoginShell)
    }

    /// What the place runs by itself.
    pub fn default_program() -> Command {
        Command::of(Program::Default)
    }

    fn of(program: Program) -> Command {
        Command {
            program,
            args: Vec::new(),
            env_clear: false,
            env: Vec::new(),
            dir: None,
            user: None,
            streams: Streams::default(),
            cancel: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Command {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Command {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Command {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Command {
        self.env.push((name.into(), None));
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(mut self) -> Command {
        self.env_clear = true;
        self
    }

    /// Sets the working directory over there.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Command {
        self.dir = Some(dir.into());
        self
    }

    /// Runs as this user of the place: `name`, `uid`, `name:group` or `uid:gid`.
    pub fn user(mut self, user: impl Into<String>) -> Command {
        self.user = Some(user.into());
        self
    }

    /// Sets where descriptor 0 comes from; a terminal asked for before is given up.
    pub fn stdin(self, stream: Stream) -> Command {
        self.stream(|stdin, _, _| *stdin = stream)
    }

    /// Sets where descriptor 1 goes; a terminal asked for before is given up.
    pub fn stdout(self, stream: Stream) -> Command {
        self.stream(|_, stdout, _| *stdout = stream)
    }

    /// Sets where descriptor 2 goes; a terminal asked for before is given up.
    pub fn stderr(self, stream: Stream) -> Command {
        self.stream(|_, _, stderr| *stderr = stream)
    }

    /// Gives it a terminal of this size, with `TERM` as in the caller's environment.
    pub fn terminal(self, size: WindowSize) -> Command {
        let term = std::env::var_os("TERM");
        Command { streams: Streams::Terminal(Terminal { size, term }), ..self }
    }

    /// The program's name for messages.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        match &self.program {
            Program::Named(name) => name,
            Program::LoginShell => OsStr::new("the login shell"),
            Program::Default => OsStr::new("its own command"),
        }
    }

    /// The environment that results from `base`, the place's default, and this command's changes to it.
    ///
    /// A terminal's `TERM` comes before the command's own variables.
    pub fn environment(
        &self,
        base: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut result: Vec<(OsString, OsString)> = match self.env_clear {
            true => Vec::new(),
            false => base.into_iter().collect(),
        };
        let term = match &self.streams {
            Streams::Terminal(Terminal { term: Some(term), .. }) => Some(term),
            _ => None,
        };
        let term = term.map(|term| (OsString::from("TERM"), Some(term.clone())));
        for (name, value) in term.iter().chain(&self.env) {
            result.retain(|(other, _)| other != name);
            result.extend(value.iter().map(|value| (name.clone(), value.clone())));
        }
        result
    }

    /// The working directory, if one was asked for.
    #[must_use]
    pub fn working_dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    fn stream(mut self, set: impl FnOnce(&mut Stream, &mut Stream, &mut Stream)) -> Command {
        if let Streams::Terminal(_) = self.streams {
            self.streams = Streams::default();
        }
        if let Streams::Separate { stdin, stdout, stderr } = &mut self.streams {
            set(stdin, stdout, stderr);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: Command, expected: &[(&str, &str)]) {
        let base = [("A", "1"), ("B", "2")].map(|(n, v)| (n.into(), v.into()));
        let mut found = command.environment(base);
        found.sort();
        let expected: Vec<(OsString, OsString)> =
            expected.iter().map(|(n, v)| (n.into(), v.into())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn environments() {
        let c = || Command::new("x");
        check(c(), &[("A", "1"), ("B", "2")]);
        check(c().env("A", "3").env_remove("B"), &[("A", "3")]);
        check(c().env("A", "3").env("A", "4"), &[("A", "4"), ("B", "2")]);
        check(c().env_clear().env("C", ""), &[("C", "")]);
    }

    #[test]
    fn the_commands_own_term_wins() {
        let size = WindowSize { cols: 80, rows: 24 };
        let terminal = Streams::Terminal(Terminal { size, term: Some("vt100".into()) });
        let command = Command { streams: terminal, ..Command::new("x").env_clear() };
        check(command.clone(), &[("TERM", "vt100")]);
        check(command.env("TERM", "dumb"), &[("TERM", "dumb")]);
    }
}

//! The interpreters to test with.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use crate::common::{Test, output};

/// An interpreter of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interpreter {
    /// As in (3, 11).
    pub(crate) version: (u32, u32),
    pub(crate) path: PathBuf,
}

/// How a command ended and what it said: standard output and standard error.
pub(crate) type Said = (i32, String, String);

impl Interpreter {
    /// `None` if it is none, or one that is older than what thither is for.
    fn at(path: PathBuf) -> Option<Interpreter> {
        let code = "import sys; print('%d %d' % sys.version_info[:2]); print(sys.executable)";
        let output = Command::new(path).args(["-c", code]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (version, path) = text.trim_end().split_once('\n')?;
        let (major, minor) = version.split_once(' ')?;
        let version = (major.parse().ok()?, minor.parse().ok()?);
        (version >= (3, 6)).then(|| Interpreter { version, path: path.into() })
    }

    /// What the interpreter itself says.
    #[track_caller]
    pub(crate) fn says<A: AsRef<OsStr>>(&self, test: &Test, args: &[A], input: &[u8]) -> Said {
        let mut command = Command::new(&self.path);
        let like = test.thither([""]);
        command.args(args).env_clear().current_dir(test.dir());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        said(&mut command, input)
    }
}

/// What a command says to an input.
#[track_caller]
pub(crate) fn said(command: &mut Command, input: &[u8]) -> Said {
    let output = output(command, input);
    let text = |bytes: &[u8]| {
        let text = bytes.escape_ascii().to_string();
        text.replace("\\n", "\n").replace("\\'", "'").replace("\\\"", "\"")
    };
    let signal = || 128 + output.status.signal().unwrap_or_default();
    let code = output.status.code().unwrap_or_else(signal);
    (code, text(&output.stdout), text(&output.stderr))
}

/// One interpreter of each version: those on PATH and those of pyenv.
pub(crate) fn found() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
        let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from).or(home).unwrap_or_default();
        let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
        let of_pyenv = versions.map(|version| version.path().join("bin/python"));
        let on_path = env::var_os("PATH").unwrap_or_default();
        let on_path: Vec<PathBuf> =
            env::split_paths(&on_path).map(|folder| folder.join("python3")).collect();
        let candidates = of_pyenv.chain(on_path).filter(|path| path.exists());
        let mut found: Vec<Interpreter> = candidates.filter_map(Interpreter::at).collect();
        found.sort();
        found.dedup_by_key(|interpreter| interpreter.version);
        found
    })
}

/// The interpreters, or a skip.
macro_rules! interpreters {
    () => {
        match crate::interpreters::found() {
            [] => testkit::skip!("no Python 3.6 or newer on PATH or under pyenv"),
            some => some,
        }
    };
}

pub(crate) use interpreters;

/// A line of the matrix, also for a test that passes.
pub(crate) fn tell(Interpreter { version: (major, minor), path }: &Interpreter, what: &str) {
    let line = format!("Python {major}.{minor} ({}): {what}\n", path.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

//! The binary called by the name `pychroot`: that program's options, messages and exit codes, with our roots.
//!
//! What it got wrong is done right; docs/from-pychroot.md lists the differences.

mod options;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thither::chroot::{Chroot, Mount, Source};
use thither::error::printable;
use thither::interact::{Interact, interact, user_terminal};
use thither::{Command, Error};

pub(crate) use self::options::{EXIT_STATUS, command};
use self::options::{Options, Unusable};
use crate::report::{self, Failure};
use crate::run;

/// The exit code of its own failures.
const FAILED: u8 = 1;
/// That of a bad command line.
const MISUSED: u8 = 2;

/// Whether this is the name that the program was called by.
pub(crate) fn is_name(argv0: &OsStr) -> bool {
    Path::new(argv0).file_name() == Some(OsStr::new("pychroot"))
}

/// Runs it and gives the exit code.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(Unusable::Answered(text)) => {
            return report::write_stdout(text.as_bytes()).map_or_else(Failure::report, |()| 0);
        }
        Err(Unusable::Wrong(text)) => return complain(&text, None, MISUSED),
    };
    if let Some(why) = unmountable(&options) {
        return complain(&why, None, FAILED);
    }
    let (program, args) = match options.command.split_first() {
        Some((program, args)) => (program.clone(), args.to_vec()),
        None => (shell(), vec!["-i".into()]),
    };
    let mut command = Command::new(&program).args(args);
    if let Some(size) = user_terminal()
        && io::stdout().is_terminal()
        && io::stderr().is_terminal()
    {
        command = command.terminal(size);
    }
    // It has no escapes, and what runs in a root can be left by its own keys.
    let join = Interact { escape: false, ..Interact::default() };
    match interact(&root(&options), &command, &join) {
        Ok(ending) => run::exit_code(ending, &options.path.to_string_lossy()),
        Err(error) => complain(&message(&error, &program), hint(&error), FAILED),
    }
}

fn root(options: &Options) -> Chroot {
    let mut root = Chroot::new(&options.path).skip_chdir(options.skip_chdir);
    if options.no_mounts {
        root = root.mounts([]);
    }
    if let Some(name) = &options.hostname {
        root = root.hostname(name);
    }
    options.mounts.iter().cloned().fold(root, Chroot::mount)
}

/// What it would not even begin with, in its words and in its order.
fn unmountable(options: &Options) -> Option<String> {
    if !Path::new(&options.path).is_dir() {
        let path = repr(&options.path);
        return Some(format!("cannot change root directory to {path}: Not a directory"));
    }
    let undefined = |mount: &Mount| match &mount.source {
        Source::Variable(name) if env::var_os(name).is_none() => {
            let name = name.to_string_lossy();
            Some(format!("cannot mount undefined environment variable: ${name}"))
        }
        _ => None,
    };
    let missing = |mount: &Mount| {
        let path = match &mount.source {
            Source::Path(path) => path.clone(),
            Source::Variable(name) => env::var_os(name).unwrap_or_default().into(),
            Source::Proc | Source::Sysfs | Source::Tmpfs(_) => return None,
        };
        let absent = path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        // Without what makes no difference, as in `/x/` and `/./x`.
        let path: PathBuf = path.components().collect();
        let path = repr(path.as_os_str());
        absent.then(|| format!("cannot bind mount from {path}: No such file or directory"))
    };
    let mounts = || options.mounts.iter();
    mounts().find_map(undefined).or_else(|| mounts().find_map(missing))
}

/// The shell of the user's environment.
fn shell() -> OsString {
    env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into())
}

fn complain(text: &str, hint: Option<&str>, code: u8) -> u8 {
    let mut lines = format!("pychroot: error: {}", printable(text));
    if let Some(hint) = hint {
        lines += &format!("\nhint: {}", printable(hint));
    }
    report::put_line(&lines);
    code
}

fn message(error: &Error, program: &OsStr) -> String {
    match error {
        Error::Spawn { source, .. } => {
            let program = repr(program);
            let errno = source.raw_os_error().unwrap_or_default();
            let text = source.to_string();
            let text = text.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&text);
            format!("failed to run command {program}: [Errno {errno}] {text}: {program}")
        }
        error => report::chain(error),
    }
}

/// None where the message is pychroot's own, and none that names an option which it does not have.
fn hint(error: &Error) -> Option<&str> {
    match error {
        Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => None,
        error => error.hint().filter(|hint| !hint.contains("`--")),
    }
}

/// A name as Python's `repr` shows it: in quotes, with what cannot be seen escaped.
fn repr(name: &OsStr) -> String {
    let name = name.as_bytes();
    let quote = match (name.contains(&b'\''), name.contains(&b'"')) {
        (true, false) => '"',
        _ => '\'',
    };
    let mut text = String::from(quote);
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            let code = u32::from(char);
            match char {
                '\n' => text += "\\n",
                '\r' => text += "\\r",
                '\t' => text += "\\t",
                '\\' => text += "\\\\",
                _ if char == quote => text.extend(['\\', char]),
                _ if printable(char.encode_utf8(&mut [0; 4])).len() == char.len_utf8() => {
                    text.push(char);
                }
                _ if code <= 0xff => text += &format!("\\x{code:02x}"),
                _ if code <= 0xffff => text += &format!("\\u{code:04x}"),
                _ => text += &format!("\\U{code:08x}"),
            }
        }
        // Python's "surrogateescape".
        chunk.invalid().iter().for_each(|byte| text += &format!("\\udc{byte:02x}"));
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for yes in ["pychroot", "/usr/bin/pychroot", "./pychroot"] {
            assert!(is_name(OsStr::new(yes)), "{yes}");
        }
        for no in ["thither", "pychroot/thither", "pychroot2", "-pychroot", ""] {
            assert!(!is_name(OsStr::new(no)), "{no}");
        }
    }

    /// As Python 3.11 prints them.
    #[test]
    fn representations() {
        let check = |name: &[u8], text: &str| assert_eq!(repr(OsStr::from_bytes(name)), text);
        check(b"/srv/x", "'/srv/x'");
        check("Grüße".as_bytes(), "'Grüße'");
        check(b"it's", "\"it's\"");
        check(b"\"it's\"", "'\"it\\'s\"'");
        check(b"a\n\t\r\\", "'a\\n\\t\\r\\\\'");
        check(b"\x1b[2J\x7f", "'\\x1b[2J\\x7f'");
        check("\u{202e}\u{e0001}\u{ad}".as_bytes(), "'\\u202e\\U000e0001\\xad'");
        check(b"\xff", "'\\udcff'");
    }
}

//! What `execve` needs, made ready before the fork: a child must not allocate.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::process::Rlimit;

use crate::error::quoted;
use crate::users::Identity;

/// Where programs are looked for when the environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Strings for C: an array of pointers with a null at its end.
#[derive(Debug, Default)]
pub(super) struct CStrings {
    pointers: Vec<*const c_char>,
    /// The pointers point into these; a CString's bytes do not move when the vector does.
    _strings: Vec<CString>,
}

impl CStrings {
    fn new(strings: Vec<CString>) -> CStrings {
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        CStrings { pointers, _strings: strings }
    }

    /// The array, as `execve(2)` takes it.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// A program to execute, ready for `execve(2)`.
#[derive(Debug)]
pub struct Exec {
    /// The paths to try in order, as a search of `PATH` does.
    pub(super) candidates: Vec<CString>,
    /// Whether they come of a search.
    pub(super) searched: bool,
    pub(super) argv: CStrings,
    pub(super) envp: CStrings,
    pub(super) dir: Option<CString>,
    pub(super) identity: Option<Identity>,
    /// Whether it leads a session of its own.
    pub(super) session: bool,
    pub(super) fresh: Option<Fresh>,
    /// Descriptors besides the three streams that stay open.
    pub(super) kept: Vec<RawFd>,
}

impl Exec {
    /// Makes everything ready. `argv0` is what the program is told as its name.
    ///
    /// # Errors
    /// A string with a NUL, named in the error.
    pub fn new(
        program: &OsStr,
        argv0: &OsStr,
        args: &[OsString],
        env: &[(OsString, OsString)],
    ) -> io::Result<Exec> {
        let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let candidates = candidates(program, path.unwrap_or(OsStr::new(DEFAULT_PATH)))?;
        let argv = [argv0].into_iter().chain(args.iter().map(OsString::as_os_str));
        let argv = argv.map(|arg| c_string("argument", arg)).collect::<io::Result<_>>()?;
        let envp =
            env.iter().map(|(name, value)| variable(name, value)).collect::<io::Result<_>>()?;
        Ok(Exec {
            searched: !is_path(program),
            candidates,
            argv: CStrings::new(argv),
            envp: CStrings::new(envp),
            dir: None,
            identity: None,
            session: false,
            fresh: None,
            kept: Vec::new(),
        })
    }

    /// Changes to this directory before the program starts, as the user that it runs as.
    ///
    /// # Errors
    /// A path with a NUL.
    pub fn dir(mut self, dir: &Path) -> io::Result<Exec> {
        self.dir = Some(c_string("directory", dir.as_os_str())?);
        Ok(self)
    }

    /// Leaves these descriptors open, under their numbers, which have to be above 2. They are looked at when the
    /// command's process starts, and may be opened until then.
    #[must_use]
    pub fn keep(self, fds: impl IntoIterator<Item = RawFd>) -> Exec {
        Exec { kept: fds.into_iter().collect(), ..self }
    }

    /// Becomes this user before the program starts.
    #[must_use]
    pub fn identity(self, identity: Option<Identity>) -> Exec {
        Exec { identity, ..self }
    }

    /// Has nothing from whoever started us that a login would not have given it.
    #[must_use]
    pub fn fresh(self, fresh: Fresh) -> Exec {
        Exec { fresh: Some(fresh), ..self }
    }

    /// Without a terminal and without a supervisor: leads a session of its own, setsid(2), and so a process group whose
    /// number is its process id; and gets SIGHUP when *the thread that starts it* ends (prctl(2), `PR_SET_PDEATHSIG`), be it by
    /// the death of the whole program. So that thread has to live for as long as the command. The kernel tells
    /// set-user-id programs nothing.
    #[must_use]
    pub fn in_session(self) -> Exec {
        Exec { session: true, ..self }
    }
}

/// What a command does not have from us: signals that are ignored, as nohup(1) and a script's `&` leave them behind, and a
/// limit that was raised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    /// How many descriptors it may have open; `None` is as many as we.
    pub files: Option<Rlimit>,
}

/// `NAME=VALUE`, in one piece of memory: an environment has many.
fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
        text.extend_from_slice(part);
    }
    // The value may be a secret.
    CString::from_vec_with_nul(text)
        .map_err(|_| nul_error(format!("the variable {} or its value", quoted(name))))
}

/// Whether it is not looked up in `PATH`.
fn is_path(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/') || program.is_empty()
}

fn candidates(program: &OsStr, path: &OsStr) -> io::Result<Vec<CString>> {
    if is_path(program) {
        return Ok(vec![c_string("program", program)?]);
    }
    let program = c_string("program", program)?;
    let join = |dir: &[u8]| {
        // An empty part of PATH is the working directory (POSIX, 8.3).
        let dir = if dir.is_empty() { b"." } else { dir };
        c_string("PATH", &OsString::from_vec([dir, b"/", program.as_bytes()].concat()))
    };
    path.as_bytes().split(|&byte| byte == b':').map(join).collect()
}

/// A string for C, or an error that names what holds the NUL.
///
/// # Errors
/// `InvalidInput` when it has a NUL.
pub fn c_string(what: &str, text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| nul_error(format!("the {what} {}", quoted(text))))
}

fn nul_error(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what} has a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(program: &str, path: &str, expected: &[&str]) {
        let found = candidates(OsStr::new(program), OsStr::new(path)).unwrap();
        let found: Vec<_> = found.iter().map(|s| s.to_str().unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn searches_path_for_names_only() {
        check("ls", "/bin:/usr/bin", &["/bin/ls", "/usr/bin/ls"]);
        check("ls", ":/bin:", &["./ls", "/bin/ls", "./ls"]);
        check("./ls", "/bin", &["./ls"]);
        check("/x/ls", "/bin", &["/x/ls"]);
        check("", "/bin", &[""]);
    }

    #[test]
    fn a_nul_is_named() {
        let error = Exec::new("a".as_ref(), "a".as_ref(), &["b\0c".into()], &[]);
        assert_eq!(error.unwrap_err().to_string(), "the argument `b\\u{0}c` has a NUL byte");
        let env = [("A".into(), "secret\0".into())];
        let error = Exec::new("a".as_ref(), "a".as_ref(), &[], &env);
        let expected = "the variable `A` or its value has a NUL byte";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

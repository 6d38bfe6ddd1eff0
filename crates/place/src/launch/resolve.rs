//! From a command to what is executed: the login shell, the user and the environment, as the place has them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Step;
use super::exec::{DEFAULT_PATH, Exec};
use super::protocol::Failure;
use crate::users::{Account, Accounts, Entry, Identity, UserError};
use crate::{Command, Error, Program, Result};

const ONLY_ROOT: &str = "only root can become another user";

/// What a look at a path found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory,
    /// A file with an execute bit.
    Executable,
    /// A file without.
    Plain,
}

/// The files of a place, as far as they are needed before anything runs there.
pub trait Files {
    /// Its address, for messages.
    fn place(&self) -> &str;
    /// The whole of a small file.
    ///
    /// # Errors
    /// As `open(2)` and `read(2)`, and for one that is larger than any real one would be.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// What is at a path, its links followed inside the place.
    fn look(&self, path: &Path) -> Option<Found>;
    /// The user id that a command has if none is asked for.
    fn uid(&self) -> u32;
    /// Where a command starts if no directory is asked for; `None` is where we are.
    fn start(&self) -> Option<&Path>;

    /// The users and groups.
    fn accounts(&self) -> Accounts {
        let read = |path: &str| self.read(Path::new(path)).unwrap_or_default();
        Accounts { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }
}

/// A command with everything looked up.
#[derive(Debug)]
pub struct Resolved {
    /// A path, or a name to look up in `PATH`.
    pub program: OsString,
    /// What the program is told as its name: with a dash in front for a login shell (login(1)).
    pub argv0: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its directory, if one was asked for.
    pub dir: Option<PathBuf>,
    /// The user to become, if one was asked for.
    pub identity: Option<Identity>,
}

impl Resolved {
    /// Looks everything up. `base` is the environment that the command starts from.
    ///
    /// # Errors
    /// When the user is unknown over there.
    pub fn new(
        command: &Command,
        base: impl IntoIterator<Item = (OsString, OsString)>,
        files: &dyn Files,
    ) -> Result<Resolved> {
        let base: Vec<(OsString, OsString)> = base.into_iter().collect();
        let user = command.user.as_deref();
        let account = user.map(|user| account(files, user)).transpose()?;
        let mut changes: Vec<(OsString, OsString)> = Vec::new();
        // Ours say where we are, and not where the command starts (POSIX, 8.3).
        let mut stale: Vec<&str> = Vec::new();
        match command.dir.as_deref().or(files.start()) {
            Some(dir) if dir.is_absolute() => {
                changes.push(("PWD".into(), dir.into()));
                stale.push("OLDPWD");
            }
            Some(_) => stale.extend(["PWD", "OLDPWD"]),
            None => {}
        }
        if let Some(entry) = account.as_ref().and_then(|account| account.entry.as_ref()) {
            changes.extend(variables_of(entry));
        }
        let (program, argv0) = match &command.program {
            Program::Named(name) => (name.clone(), name.clone()),
            Program::LoginShell | Program::Default => {
                let shell = login_shell(files, account.as_ref());
                if account.is_none() {
                    changes.extend(home_over_there(&base, files));
                }
                changes.push(("SHELL".into(), shell.clone().into()));
                let mut argv0 = OsString::from("-");
                argv0.push(shell.file_name().unwrap_or_default());
                (shell.into(), argv0)
            }
        };
        let kept = base.into_iter().filter(|(name, _)| {
            !changes.iter().any(|(n, _)| n == name) && !stale.iter().any(|stale| name == stale)
        });
        let base: Vec<_> = kept.chain(changes.iter().cloned()).collect();
        Ok(Resolved {
            program,
            argv0,
            args: command.args.clone(),
            env: command.environment(base),
            dir: command.dir.clone(),
            identity: account.map(|account| account.identity),
        })
    }

    /// Ready for [`launch`](super::launch).
    ///
    /// # Errors
    /// A string with a NUL.
    pub fn exec(&self) -> io::Result<Exec> {
        let exec = Exec::new(&self.program, &self.argv0, &self.args, &self.env)?;
        let exec = match &self.dir {
            Some(dir) => exec.dir(dir)?,
            None => exec,
        };
        Ok(exec.identity(self.identity.clone()))
    }

    /// The error for a program that could not be executed.
    pub fn spawn_error(&self, source: io::Error, files: &dyn Files) -> Error {
        Error::Spawn {
            program: self.program.to_string_lossy().into_owned(),
            place: files.place().to_owned(),
            hint: self.hint(&source, files),
            source,
        }
    }

    /// The error for a step of the launch itself; `None` for a step of the place's own.
    pub fn step_error(&self, failure: Failure, files: &dyn Files) -> Option<Error> {
        let source = io::Error::from(failure.errno);
        let denied = failure.errno == rustix::io::Errno::PERM;
        let (action, hint) = match failure.step {
            Step::EXEC => return Some(self.spawn_error(source, files)),
            Step::SESSION => ("open a session".to_owned(), None),
            Step::FORK => ("make a process".to_owned(), None),
            Step::STREAMS => ("connect the command's streams".to_owned(), None),
            Step::DIRECTORY => {
                let dir = self.dir.as_deref().unwrap_or(Path::new("/"));
                (format!("change to the directory {}", crate::error::quoted(dir)), None)
            }
            Step::IDENTITY if denied => (self.become_user(), Some(ONLY_ROOT.to_owned())),
            Step::IDENTITY => (self.become_user(), None),
            Step::WATCH => ("watch over the command".to_owned(), None),
            _ => return None,
        };
        let place = files.place().to_owned();
        Some(Error::Place { action, place, source: Box::new(source), hint })
    }

    fn become_user(&self) -> String {
        match &self.identity {
            Some(identity) => format!("become user {} and group {}", identity.uid, identity.gid),
            None => "become the user".to_owned(),
        }
    }

    fn hint(&self, source: &io::Error, files: &dyn Files) -> Option<String> {
        let has_slash = self.program.as_bytes().contains(&b'/');
        let path = self.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
        let path = path.map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
        let found = match has_slash {
            true => files.look(Path::new(&self.program)),
            false if self.program.is_empty() => None,
            // A relative part of PATH is not ours to resolve.
            false => std::env::split_paths(path)
                .filter(|dir| dir.is_absolute())
                .find_map(|dir| files.look(&dir.join(&self.program))),
        };
        match (source.kind(), found) {
            (io::ErrorKind::NotFound, Some(_)) => Some(
                "the file is there; its interpreter or loader is not: see `file` or its `#!` line"
                    .into(),
            ),
            (io::ErrorKind::NotFound, None) if !has_slash && self.program.is_empty() => {
                Some("name a program".into())
            }
            (io::ErrorKind::NotFound, None) if !has_slash => {
                Some(format!("its PATH is {}", crate::error::quoted(path)))
            }
            (io::ErrorKind::PermissionDenied, Some(Found::Directory)) => {
                Some("it is a directory; to start a shell there: `--dir`".into())
            }
            (io::ErrorKind::PermissionDenied, Some(Found::Plain)) => Some(
                "it has no execute permission: `chmod +x` it, or start it by its interpreter"
                    .into(),
            ),
            _ if source.raw_os_error() == Some(libc::ENOEXEC) => Some(
                "it is neither a program for this machine nor a script with a `#!` line".into(),
            ),
            _ => None,
        }
    }
}

fn account(files: &dyn Files, user: &str) -> Result<Account> {
    files.accounts().resolve(user).map_err(|source: UserError| Error::Place {
        action: format!("become {}", crate::error::quoted(user)),
        place: files.place().to_owned(),
        hint: source.hint(),
        source: Box::new(source),
    })
}

/// What login(1) sets for a user.
fn variables_of(entry: &Entry) -> [(OsString, OsString); 4] {
    let shell = match entry.shell.as_os_str() {
        shell if shell.is_empty() => OsStr::new("/bin/sh"),
        shell => shell,
    };
    [
        ("HOME".into(), entry.home.clone().into()),
        ("USER".into(), entry.name.clone()),
        ("LOGNAME".into(), entry.name.clone()),
        ("SHELL".into(), shell.to_owned()),
    ]
}

/// The home of the user over there, if ours does not exist over there: a login shell starts by reading files in it.
fn home_over_there(
    base: &[(OsString, OsString)],
    files: &dyn Files,
) -> Option<(OsString, OsString)> {
    let ours = base.iter().find(|(name, _)| name == "HOME").map(|(_, home)| Path::new(home));
    if ours.is_some_and(|home| files.look(home) == Some(Found::Directory)) {
        return None;
    }
    let home = files.accounts().by_uid(files.uid())?.home;
    Some(("HOME".into(), home.into()))
}

fn login_shell(files: &dyn Files, account: Option<&Account>) -> PathBuf {
    let entry = match account {
        Some(account) => account.entry.clone(),
        None => files.accounts().by_uid(files.uid()),
    };
    let own = entry.map(|entry| entry.shell).filter(|shell| shell.is_absolute());
    let others = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"].map(PathBuf::from);
    let mut shells = own.into_iter().chain(others);
    let executable = |shell: &PathBuf| files.look(shell) == Some(Found::Executable);
    // If there is none, executing this one says what is missing.
    shells.find(executable).unwrap_or_else(|| "/bin/sh".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(&'static [(&'static str, Found)], &'static str);

    impl Files for Tree {
        fn place(&self) -> &str {
            "tree:"
        }
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            match path.to_str() {
                Some("/etc/passwd") => Ok(self.1.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
        fn look(&self, path: &Path) -> Option<Found> {
            self.0.iter().find(|(name, _)| Path::new(name) == path).map(|(_, found)| *found)
        }
        fn uid(&self) -> u32 {
            0
        }
        fn start(&self) -> Option<&Path> {
            None
        }
    }

    #[track_caller]
    fn check_shell(files: &[(&'static str, Found)], passwd: &'static str, expected: [&str; 2]) {
        let tree = Tree(files.to_vec().leak(), passwd);
        let resolved = Resolved::new(&Command::login_shell(), [], &tree).unwrap();
        assert_eq!([resolved.program, resolved.argv0], expected.map(OsString::from));
        assert!(resolved.env.contains(&("SHELL".into(), expected[0].into())));
    }

    #[test]
    fn login_shells() {
        use Found::{Executable, Plain};
        let root = "root:x:0:0::/root:/bin/zsh\n";
        check_shell(&[("/bin/zsh", Executable)], root, ["/bin/zsh", "-zsh"]);
        check_shell(
            &[("/bin/zsh", Plain), ("/bin/bash", Executable)],
            root,
            ["/bin/bash", "-bash"],
        );
        check_shell(&[("/usr/bin/sh", Executable)], "", ["/usr/bin/sh", "-sh"]);
        check_shell(&[], "", ["/bin/sh", "-sh"]);
        check_shell(&[("/bin/sh", Executable)], "root:x:0:0::/:relative\n", ["/bin/sh", "-sh"]);
    }

    #[test]
    fn a_user_brings_home_and_shell_but_the_command_has_the_last_word() {
        let tree = Tree(&[], "guest:x:7:8::/home/guest:\n");
        let base = [("HOME".into(), "/root".into()), ("LANG".into(), "C".into())];
        let command = Command::new("id").user("guest").env("USER", "other");
        let mut resolved = Resolved::new(&command, base, &tree).unwrap();
        resolved.env.sort();
        let expected = [
            ("HOME", "/home/guest"),
            ("LANG", "C"),
            ("LOGNAME", "guest"),
            ("SHELL", "/bin/sh"),
            ("USER", "other"),
        ];
        assert_eq!(resolved.env, expected.map(|(n, v)| (n.into(), v.into())));
        assert_eq!(resolved.identity.map(|identity| (identity.uid, identity.gid)), Some((7, 8)));
    }

    #[track_caller]
    fn check_env(command: Command, base: &[(&str, &str)], expected: &[(&str, &str)]) {
        let tree = Tree(&[("/home/me", Found::Directory)], "root:x:0:0::/root:/bin/sh\n");
        let owned = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let mut resolved = Resolved::new(&command, owned(base), &tree).unwrap();
        resolved.env.sort();
        assert_eq!(resolved.env, owned(expected));
    }

    #[test]
    fn the_directory_is_told_by_its_name_or_not_at_all() {
        let ours = [("OLDPWD", "/b"), ("PWD", "/a")];
        check_env(Command::new("x"), &ours, &ours);
        check_env(Command::new("x").dir("/c"), &ours, &[("PWD", "/c")]);
        check_env(Command::new("x").dir("c"), &ours, &[]);
        check_env(Command::new("x").dir("/c").env("PWD", "/d"), &ours, &[("PWD", "/d")]);
    }

    #[test]
    fn a_login_shell_has_a_home_that_exists() {
        let shell = ("SHELL", "/bin/sh");
        let at = |home| [("HOME", home), shell];
        check_env(Command::login_shell(), &[("HOME", "/home/me")], &at("/home/me"));
        check_env(Command::login_shell(), &[("HOME", "/home/you")], &at("/root"));
        check_env(Command::login_shell(), &[], &at("/root"));
        check_env(Command::new("x"), &[("HOME", "/home/you")], &[("HOME", "/home/you")]);
    }

    #[track_caller]
    fn check_hint(program: &str, errno: i32, expected: Option<&str>) {
        let tree =
            Tree(&[("/d", Found::Directory), ("/f", Found::Plain), ("/x", Found::Executable)], "");
        let resolved = Resolved::new(&Command::new(program), [], &tree).unwrap();
        let error = resolved.spawn_error(io::Error::from_raw_os_error(errno), &tree);
        match (error.hint(), expected) {
            (Some(hint), Some(part)) => assert!(hint.contains(part), "{hint}"),
            (hint, part) => assert_eq!(hint, part),
        }
    }

    #[test]
    fn hints() {
        check_hint("/d", libc::EACCES, Some("directory"));
        check_hint("/f", libc::EACCES, Some("chmod"));
        check_hint("/x", libc::EACCES, None);
        check_hint("/x", libc::ENOENT, Some("loader"));
        check_hint("/y", libc::ENOENT, None);
        check_hint("y", libc::ENOENT, Some("/usr/local/sbin"));
        check_hint("/x", libc::ENOEXEC, Some("#!"));
    }
}

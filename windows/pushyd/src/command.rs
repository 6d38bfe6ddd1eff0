//! From what a client wants to what Windows is told.

use std::io;
use std::os::windows::io::OwnedHandle;

use thither_place::wire::message::{Program, Spawn, Streams};
use thither_place::wire::{Reason, Refusal};

use crate::sys::process::{Child, Plan, is_dir, may_execute, start, system_directory};
use crate::sys::token::{Profile, Token};
use crate::{cmdline, program};

/// What can be started.
#[derive(Debug)]
pub struct Prepared {
    file: String,
    line: String,
    environment: Vec<u16>,
    dir: String,
}

/// A refusal without a system's error.
#[must_use]
pub fn refusal(reason: Reason, text: impl Into<String>, hint: &str) -> Refusal {
    Refusal { reason, errno: 0, text: text.into(), hint: hint.into() }
}

fn failed(action: &str, error: &io::Error) -> Refusal {
    refusal(Reason::Failed, format!("{action}: {error}"), "")
}

/// The number of an error of Windows as Linux has them, where it has one.
fn errno(error: &io::Error) -> Option<u32> {
    match error.raw_os_error()? {
        // ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_BAD_NETPATH, ERROR_INVALID_NAME
        2 | 3 | 53 | 123 => Some(2),
        // ERROR_NOT_ENOUGH_MEMORY
        8 => Some(12),
        // ERROR_ACCESS_DENIED, ERROR_VIRUS_INFECTED
        5 | 225 => Some(13),
        // ERROR_BAD_EXE_FORMAT
        193 => Some(8),
        // ERROR_FILENAME_EXCED_RANGE: its line is too long
        206 => Some(7),
        _ => None,
    }
}

fn spawn_failed(program: &str, error: &io::Error) -> Refusal {
    match errno(error) {
        Some(errno) => {
            Refusal { errno, ..refusal(Reason::Spawn, format!("run \"{program}\""), "") }
        }
        None => failed(&format!("run \"{program}\""), error),
    }
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String, Refusal> {
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(refusal(
            Reason::Unsupported,
            format!("take {what} that is not UTF-8, or has a zero"),
            "Windows knows text alone",
        )),
    }
}

/// The name of a program, for people and for the log.
#[must_use]
pub fn name(spawn: &Spawn) -> String {
    match &spawn.program {
        Program::Named(name) => String::from_utf8_lossy(name).escape_debug().take(200).collect(),
        Program::LoginShell | Program::Default => "the shell".into(),
    }
}

/// Finds out what is to be done for this user.
///
/// # Errors
/// What is not done here, and what the user has not or may not.
pub fn prepare(spawn: Spawn, user: &Token) -> Result<Prepared, Refusal> {
    check(&spawn, user)?;
    let own = user.environment().map_err(|e| failed("read the user's environment", &e))?;
    let mut environment = if spawn.env_clear { own.cleared() } else { own.clone() };
    for (at, (name, value)) in spawn.env.into_iter().enumerate() {
        let name = utf8(name, &format!("a variable's name (number {})", at + 1))?;
        let value = value.map(|value| utf8(value, &format!("a value of {name}"))).transpose()?;
        if !environment.change(&name, value.as_deref()) {
            let text = format!("set a variable with the name \"{name}\"");
            return Err(refusal(Reason::Unsupported, text, ""));
        }
    }
    let args = spawn.args.into_iter().enumerate();
    let args = args
        .map(|(at, arg)| utf8(arg, &format!("an argument (number {})", at + 1)))
        .collect::<Result<Vec<_>, _>>()?;
    let profile = user.profile().map_err(|e| failed("find the user's directory", &e))?;
    let acting = user.act().map_err(|e| failed("act as the user", &e))?;
    let dir = match spawn.dir {
        None if is_dir(&profile) => profile,
        None => system_directory().map_err(|e| failed("find a directory", &e))?,
        Some(dir) => {
            let dir = utf8(dir, "a directory")?;
            let absolute = program::absolute(&dir, &profile).filter(|dir| is_dir(dir));
            absolute.ok_or_else(|| {
                let text = format!("work in \"{dir}\": there is no such directory");
                refusal(Reason::Failed, text, "give a full path, as C:\\Users")
            })?
        }
    };
    let file = match spawn.program {
        Program::Named(name) => {
            let name = utf8(name, "a program's name")?;
            find(&name, environment.get("PATH").unwrap_or_default(), &dir)?
        }
        Program::LoginShell | Program::Default => match own.get("ComSpec") {
            Some(shell) if program::is_absolute(shell) => shell.to_owned(),
            _ => {
                format!(r"{}\cmd.exe", system_directory().map_err(|e| failed("find cmd.exe", &e))?)
            }
        },
    };
    drop(acting);
    let (file, line) = line(file, &args)?;
    Ok(Prepared { file, line, environment: environment.block(), dir })
}

/// What needs no looking.
fn check(spawn: &Spawn, user: &Token) -> Result<(), Refusal> {
    if let Streams::Terminal { .. } = spawn.streams {
        return Err(refusal(
            Reason::Unsupported,
            "give a command a terminal",
            "`thither run` without a terminal works; a terminal on Windows is not there yet",
        ));
    }
    let Some(wanted) = &spawn.user else { return Ok(()) };
    let name = user.name().map_err(|e| failed("find out who you are", &e))?;
    let wanted = String::from_utf8_lossy(wanted).to_lowercase();
    let lower = name.to_lowercase();
    if wanted == lower || lower.rsplit('\\').next() == Some(&wanted) {
        return Ok(());
    }
    let wanted: String = wanted.escape_debug().take(200).collect();
    let text = format!("run anything as \"{wanted}\": a command runs as who connected, {name}");
    Err(refusal(Reason::Denied, text, "log on as that user"))
}

/// The file that a name means, for whom this thread acts as.
fn find(name: &str, path: &str, dir: &str) -> Result<String, Refusal> {
    let mut denied = None;
    for candidate in program::candidates(name, path, dir).unwrap_or_default() {
        match may_execute(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if errno(&error) == Some(2) => {}
            Err(error) => denied = Some(error),
        }
    }
    let missing = || io::Error::from_raw_os_error(2);
    Err(spawn_failed(name, &denied.unwrap_or_else(missing)))
}

/// The file that is started, and its line.
fn line(file: String, args: &[String]) -> Result<(String, String), Refusal> {
    if !program::is_batch(&file) {
        let line = cmdline::join(&file, args);
        return Ok((file, line));
    }
    let system = system_directory().map_err(|e| failed("find cmd.exe", &e))?;
    let cmd = format!(r"{system}\cmd.exe");
    let line = cmdline::batch(&cmd, &file, args).map_err(|bad| {
        let text = format!("give a batch file \"{bad}\": cmd.exe would take it apart");
        refusal(Reason::Unsupported, text, "run cmd.exe /c with a line of your own")
    })?;
    Ok((cmd, line))
}

impl Prepared {
    /// Starts it with these streams.
    ///
    /// # Errors
    /// What Windows has against it.
    pub fn start(self, streams: [OwnedHandle; 3], user: &Token) -> Result<Child, Refusal> {
        let ours = is_ours(user).map_err(|e| failed("find out who we are", &e))?;
        let Prepared { file, line, environment, dir } = &self;
        let plan = Plan { file, line, environment, dir, streams };
        start(plan, user, ours).map_err(|error| match error.raw_os_error() {
            // ERROR_PRIVILEGE_NOT_HELD
            Some(1314) => refusal(
                Reason::Denied,
                "run a command as you: pushyd runs in the foreground, as somebody else",
                "install it as a service: `pushyd install`",
            ),
            _ => spawn_failed(file, &error),
        })
    }
}

/// The registry of a user who is not us, and is perhaps logged on nowhere. Without it the user has that of the default user.
#[must_use]
pub fn profile(user: &Token) -> Option<Profile> {
    match is_ours(user) {
        Ok(false) => Profile::load(user).ok(),
        _ => None,
    }
}

/// Whether this user is who we are, with the same rights.
fn is_ours(user: &Token) -> io::Result<bool> {
    let own = Token::own()?;
    Ok(own.sid()? == user.sid()? && own.is_elevated()? == user.is_elevated()?)
}

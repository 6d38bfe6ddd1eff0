//! From a command to the line that a server hands to the user's login shell.
//!
//! A script of ours goes around the command:
//!
//! - It stays until the command ends, so that a command that is killed by signal n is known as 128+n: a control master tells
//!   exit codes only.
//! - A *token* in its own command line makes its process group findable, for signals.
//! - Variables come as one line of its input, ahead of the command's own, since everybody over there can read a command line.
//!   It is read by the shell's own `read`, byte by byte (POSIX Shell, `read`), so nothing behind it is taken away.
//! - It has no newline, no `!` and no backslash of its own, which csh and fish would read differently.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use thither_place::command::LOGIN_SHELL;
use thither_place::{Command, Error, Program, Result, Streams};

use super::request::Request;
use super::windows::{self, Windows};
use super::words::push_word;

/// What is known of the user's login shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shell {
    /// It reads what POSIX says.
    Posix,
    /// It may be any, and `sh` is asked to be in between.
    #[default]
    Unknown,
    /// One of those of Windows.
    Windows(Windows),
}

/// Signals that are for the command and not for the script around it.
const HELD: &str = "trap : HUP INT QUIT PIPE ALRM TERM USR1 USR2;";
/// The same at a terminal: when that goes, the kernel tells the leader of its session alone, and the others when that ends.
const HELD_AT_TERMINAL: &str = "trap : INT QUIT PIPE ALRM TERM USR1 USR2;";
/// Reads and sets the variables.
const VARIABLES: &str = "IFS= read -r thither_env;eval \"unset thither_env;$thither_env\";";
/// The same on a terminal, which is neither canonical nor echoes until then. The `read` of bash would take there what follows as
/// well: it is read by its length, before this.
const VARIABLES_OF_TERMINAL: &str = ";stty icanon echo;eval \"unset thither_env;$thither_env\";";
/// The longest line, in bytes: Linux takes no longer word (`MAX_ARG_STRLEN`, execve(2)), and sshd hands it over as one.
const LONGEST_LINE: usize = 100 * 1024;

/// The request for a command. `token` is of letters and digits.
///
/// # Errors
/// For what cannot be said: a NUL, a variable whose name is none.
pub(crate) fn request(
    command: &Command,
    shell: Shell,
    token: &str,
    place: &str,
) -> Result<Request> {
    if let Shell::Windows(windows) = shell {
        return windows::request(command, windows, place);
    }
    check_variables(command, place)?;
    let mut words: Vec<&OsStr> = Vec::new();
    let login = match &command.program {
        Program::Named(name) => {
            words.push(name);
            false
        }
        Program::LoginShell | Program::Default => true,
    };
    words.extend(command.args.iter().map(OsString::as_os_str));
    let dir = command.dir.as_ref().map(|dir| dir.as_os_str());
    for text in words.iter().copied().chain(dir).chain(command.user.as_deref().map(OsStr::new)) {
        if text.as_bytes().contains(&0) {
            return Err(unsayable(place, "a NUL byte in a word of a command"));
        }
    }
    let is_plain = dir.is_none() && command.env.is_empty() && !command.env_clear;
    if login && is_plain && command.user.is_none() && command.args.is_empty() {
        return Ok(Request { line: None, preface: Vec::new(), token: String::new() });
    }
    let mut given = preface(command, &[]);
    let mut said = line(command, dir, &words, shell, token, given.len());
    if said.len() > LONGEST_LINE {
        given = preface(command, &words);
        said = line(command, dir, &[], shell, token, given.len());
    }
    Ok(Request { line: Some(said), preface: given, token: token.into() })
}

/// The line with these words. A [`preface`] of so many bytes follows.
fn line(
    command: &Command,
    dir: Option<&OsStr>,
    words: &[&OsStr],
    shell: Shell,
    token: &str,
    preface: usize,
) -> Vec<u8> {
    let script = script(command, dir, preface);
    let mut line = Vec::new();
    if command.env_clear {
        line.extend_from_slice(b"exec env -i sh -c ");
    } else if shell == Shell::Unknown {
        line.extend_from_slice(b"exec sh -c ");
    }
    if line.is_empty() {
        line.extend_from_slice(b": ");
        line.extend_from_slice(token.as_bytes());
        line.extend_from_slice(b";set --");
        words.iter().for_each(|text| push_spaced(&mut line, text));
        line.push(b';');
        line.extend_from_slice(&script);
    } else {
        push_word(&mut line, OsStr::from_bytes(&script));
        line.push(b' ');
        line.extend_from_slice(token.as_bytes());
        words.iter().for_each(|text| push_spaced(&mut line, text));
    }
    line
}

fn push_spaced(line: &mut Vec<u8>, text: &OsStr) {
    line.push(b' ');
    push_word(line, text);
}

/// What runs "$@" as the command wants it.
fn script(command: &Command, dir: Option<&OsStr>, preface: usize) -> Vec<u8> {
    let login = !matches!(command.program, Program::Named(_));
    let terminal = matches!(command.streams, Streams::Terminal(_));
    let read = match (preface, terminal) {
        (0, _) => String::new(),
        (_, false) => VARIABLES.to_owned(),
        (length, true) => {
            format!("thither_env=$(dd bs=1 count={length} 2>/dev/null){VARIABLES_OF_TERMINAL}")
        }
    };
    let mut enter = Vec::new();
    if let Some(dir) = dir {
        // A directory `-` would be the one before, and one that begins with `-` an option.
        let dir = if dir.as_bytes().starts_with(b"-") {
            [b"./", dir.as_bytes()].concat()
        } else {
            dir.as_bytes().to_vec()
        };
        enter.extend_from_slice(b"unset CDPATH;cd ");
        push_word(&mut enter, OsStr::from_bytes(&dir));
        enter.extend_from_slice(b"||exit 125;");
    }
    // What a shell called `sh` may set by itself.
    let tidy: &[u8] = if command.env_clear { b"unset PWD OLDPWD SHLVL;" } else { b"" };
    let is_option =
        matches!(&command.program, Program::Named(name) if name.as_bytes().starts_with(b"-"));
    let run: &[u8] = match (login, is_option) {
        (true, _) => LOGIN_SHELL.as_bytes(),
        // Always the program of this name, and never what the shell has of it.
        (false, false) => b"exec \"$@\"",
        // dash knows no `--` here, and needs none.
        (false, true) => b"(exec --) 2>/dev/null&&exec -- \"$@\";exec \"$@\"",
    };
    let mut script = if terminal { HELD_AT_TERMINAL } else { HELD }.as_bytes().to_vec();
    let inner = [&enter[..], tidy_before(tidy, &read).as_slice(), run].concat();
    // A shell says of a command that was killed that it was: not here, where the exit code says so. It may say so late, so this
    // lasts until its end.
    script.extend_from_slice(b"exec 3>&2 2>/dev/null;(");
    match &command.user {
        None => script.extend_from_slice(&inner),
        Some(user) => as_user(&mut script, user, &inner, login),
    }
    script.extend_from_slice(b") 2>&3 3>&-;exit $?");
    script
}

/// The shell's own variables go before those of the command come, which may have the same names.
fn tidy_before(tidy: &[u8], read: &str) -> Vec<u8> {
    [tidy, read.as_bytes()].concat()
}

/// Runs `inner` as another user, by sudo(8) without a question. That it is refused is told apart from what the command
/// returns by asking first.
fn as_user(script: &mut Vec<u8>, user: &str, inner: &[u8], login: bool) {
    let mut options = Vec::new();
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    // sudo takes an id with `#` before it.
    let id = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("#{text}"),
        false => text.to_owned(),
    };
    for (option, value) in [(" -u ", Some(name)), (" -g ", group)] {
        if let Some(value) = value {
            options.extend_from_slice(option.as_bytes());
            push_word(&mut options, id(value));
        }
    }
    script.extend_from_slice(b"sudo -n");
    script.extend_from_slice(&options);
    script.extend_from_slice(b" -l -- sh -c : >/dev/null||{ echo ");
    push_word(script, format!("thither: sudo does not let us be {user} here without a password"));
    script.extend_from_slice(b" >&2;exit 125;};exec sudo -n -H");
    script.extend_from_slice(&options);
    script.extend_from_slice(b" -- sh -c ");
    push_word(script, OsStr::from_bytes(inner));
    script.extend_from_slice(b" sh");
    if !login {
        script.extend_from_slice(b" \"$@\"");
    }
}

/// Refuses what cannot be said of variables.
fn check_variables(command: &Command, place: &str) -> Result<()> {
    for (name, value) in &command.env {
        let name = name.as_bytes();
        let is_name = name.first().is_some_and(|byte| !byte.is_ascii_digit())
            && name.iter().all(|&byte| byte == b'_' || byte.is_ascii_alphanumeric());
        if !is_name {
            return Err(unsayable(
                place,
                "a variable whose name is not of letters, digits and `_`",
            ));
        }
        if value.as_ref().is_some_and(|value| value.as_bytes().contains(&0)) {
            return Err(unsayable(place, "a NUL byte in the value of a variable"));
        }
    }
    Ok(())
}

/// The line by which the variables are set, and these words, if there are any. Its end is the only control character in it, since a
/// terminal may take one for something else: others are variables, `$thither_c10`.
fn preface(command: &Command, words: &[&OsStr]) -> Vec<u8> {
    if command.env.is_empty() && words.is_empty() {
        return Vec::new();
    }
    let values = command.env.iter().filter_map(|(_, value)| value.as_deref());
    let mut controls = [false; 256];
    for &byte in words.iter().copied().chain(values).flat_map(OsStrExt::as_bytes) {
        controls[usize::from(byte)] |= byte.is_ascii_control();
    }
    let controls: Vec<u8> = (1..128).filter(|&byte| controls[usize::from(byte)]).collect();
    let mut line = Vec::new();
    for byte in &controls {
        // A substitution loses newlines at its end.
        let name = format!("thither_c{byte}");
        line.extend_from_slice(
            format!("{name}=$(printf '\\{byte:03o}.');{name}=${{{name}%.}};").as_bytes(),
        );
    }
    if !words.is_empty() {
        line.extend_from_slice(b"set --");
        for word in words {
            line.push(b' ');
            push_controlled(&mut line, word);
        }
        line.push(b';');
    }
    for (name, value) in &command.env {
        line.extend_from_slice(if value.is_some() { b"export " } else { b"unset " });
        line.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            line.push(b'=');
            push_controlled(&mut line, value);
        }
        line.push(b';');
    }
    for byte in controls {
        line.extend_from_slice(format!("unset thither_c{byte};").as_bytes());
    }
    line.extend_from_slice(b":\n");
    line
}

/// A word with control characters.
fn push_controlled(line: &mut Vec<u8>, text: &OsStr) {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return push_word(line, text);
    }
    for part in bytes.chunk_by(|one, other| !one.is_ascii_control() && !other.is_ascii_control()) {
        match part {
            [byte] if byte.is_ascii_control() => {
                line.extend_from_slice(format!("\"$thither_c{byte}\"").as_bytes())
            }
            part => push_word(line, OsStr::from_bytes(part)),
        }
    }
}

fn unsayable(place: &str, what: &str) -> Error {
    Error::Unsupported { action: format!("pass on {what}"), place: place.into(), hint: None }
}

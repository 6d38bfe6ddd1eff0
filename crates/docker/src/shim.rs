//! What a shell over there does before it becomes the command: what the API cannot.
//!
//! - Before API 1.42 a program could look at its terminal before the engine was told the size (20 % to 50 % of the time
//!   it did). So a shell waits for a line at the terminal, which we send once the size is applied, and then becomes the
//!   program. It needs a `sh` over there; without one the size comes when it comes.
//! - The API cannot name the user's login shell, or hold arguments that are not UTF-8 (JSON).
//!
//! The shell reads the line with its own `read`, one byte at a time as POSIX wants it, so that nothing behind it is
//! taken away from the program.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use thither_place::command::LOGIN_SHELL;
use thither_place::{Command, Program};

/// How the shell is called, and its script, ahead of the command's own words.
const SHELL: [&str; 2] = ["sh", "-c"];

/// An empty line lets it go on. Any other, or the end of its input, ends it: a line stays in the terminal for whoever reads
/// it later, where a key that raises a signal is lost as long as there is nobody to get it.
const HOLD: &str = "read -r l && [ -z \"$l\" ] || exit\nunset l\n";

/// What the API is to run for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) words: Vec<String>,
    /// Whether they begin with a shell of ours.
    pub(crate) by_shell: bool,
    /// Whether that shell waits for a line at its terminal.
    pub(crate) held: bool,
}

/// The words for a command; `hold` says to wait for a line.
pub(crate) fn words(command: &Command, hold: bool) -> Words {
    let login = !matches!(command.program, Program::Named(_));
    let name = match &command.program {
        Program::Named(name) => Some(name),
        Program::LoginShell | Program::Default => None,
    };
    let all: Vec<&OsString> = name.into_iter().chain(&command.args).collect();
    let texts: Option<Vec<&str>> = all.iter().map(|word| word.to_str()).collect();
    let by_shell = login || hold || texts.is_none();
    if let (false, Some(texts)) = (by_shell, &texts) {
        let words = texts.iter().map(|&text| text.to_owned()).collect();
        return Words { words, by_shell, held: false };
    }
    let mut script = String::new();
    if hold {
        script += HOLD;
    }
    let mut arguments = Vec::new();
    match texts {
        Some(texts) => arguments.extend(texts.iter().map(|&text| text.to_owned())),
        None => {
            script += "set --\n";
            all.iter().for_each(|word| script += &append(word));
        }
    }
    script += if login { LOGIN_SHELL } else { "exec \"$@\"\n" };
    let mut words: Vec<String> = SHELL.map(str::to_owned).into();
    words.push(script);
    // The shell's name, for its own complaints.
    words.push("sh".to_owned());
    words.append(&mut arguments);
    Words { words, by_shell, held: hold }
}

/// The shell that waits for a line and then becomes the words behind it.
pub(crate) fn hold() -> Vec<String> {
    let script = format!("{HOLD}exec \"$@\"\n");
    [SHELL[0].to_owned(), SHELL[1].to_owned(), script, "sh".to_owned()].into()
}

/// Adds a word of any bytes but zero to the shell's arguments. The substitution cuts line ends off, hence the dot.
fn append(word: &OsStr) -> String {
    let mut octal = String::new();
    for byte in word.as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(octal, "\\{byte:03o}");
    }
    format!("_w=$(printf '{octal}.')\nset -- \"$@\" \"${{_w%.}}\"\nunset _w\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    #[test]
    fn most_commands_need_no_shell() {
        assert_eq!(words(&Command::new("ls").arg("-l"), false).words, ["ls", "-l"]);
    }

    #[track_caller]
    fn check(command: Command, hold: bool, input: &[u8], expected: &[u8]) {
        use std::io::Write;
        let words = words(&command, hold).words;
        let mut shell = process::Command::new(&words[0]);
        shell.args(&words[1..]).stdin(process::Stdio::piped()).stdout(process::Stdio::piped());
        let mut child = shell.spawn().unwrap();
        // One that has ended takes no more.
        let _ = child.stdin.take().unwrap().write_all(input);
        assert_eq!(child.wait_with_output().unwrap().stdout, expected);
    }

    #[test]
    fn nothing_behind_the_line_is_taken() {
        check(Command::new("cat"), true, b"\nrest\n", b"rest\n");
    }

    #[test]
    fn any_other_line_or_none_ends_it() {
        check(Command::new("cat"), true, b"q\nrest\n", b"");
        check(Command::new("echo").arg("no"), true, b"", b"");
    }

    #[test]
    fn arguments_of_any_bytes() {
        let word = OsStr::from_bytes(b"a'\xff\"$x\\ \n\n");
        let command = Command::new("printf").arg("%s|").arg(word).arg("").arg("end");
        check(command, false, b"", b"a'\xff\"$x\\ \n\n||end|");
    }
}

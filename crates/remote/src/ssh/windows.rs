//! Lines for the shells of Windows, cmd.exe and PowerShell, to which Microsoft's OpenSSH server hands what it is sent.
//!
//! Neither quotes as POSIX does, nor do they agree with each other, and a program splits its command line once more
//! ("Parsing C command-line arguments", Microsoft's C runtime). So only words are passed on that all of them read alike:
//! between double quotes, without any of `"`, `%`, `$`, `!`, `` ` `` and control characters. Code for Python goes as base64.

use std::ffi::OsStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thither_place::command::FIRST_PYTHON;
use thither_place::{Command, Error, Program, Result};

use super::request::Request;

/// The longest line that cmd.exe takes, in characters ("Command prompt line string limitation", Microsoft).
const LONGEST: usize = 8191;
/// What means something to one of them even between quotes.
const FORBIDDEN: &str = "\"%$!`";

/// Which of them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windows {
    /// The default of Microsoft's server.
    Cmd,
    /// What its administrator may have set, "DefaultShell".
    PowerShell,
}

/// The request for a command.
///
/// # Errors
/// For what cannot be said to them.
pub(crate) fn request(command: &Command, windows: Windows, place: &str) -> Result<Request> {
    let cannot = |action: &str, hint: Option<&str>| Error::Unsupported {
        action: action.into(),
        place: place.into(),
        hint: hint.map(str::to_owned),
    };
    if !command.env.is_empty() || command.env_clear {
        return Err(cannot("set variables on Windows: everybody there could read them", None));
    }
    if command.user.is_some() {
        return Err(cannot("be another user on Windows", Some("log in as that user")));
    }
    let Program::Named(name) = &command.program else {
        return Ok(Request::default());
    };
    let (name, args) = plain_python(name, &command.args);
    let mut words = program(name);
    words.extend(arguments(&words, args));
    let mut line = match (&command.dir, windows) {
        (None, _) => String::new(),
        (Some(dir), Windows::Cmd) => format!("cd /d {}&& ", word(dir.as_os_str(), place)?),
        (Some(dir), Windows::PowerShell) => {
            format!(
                "Set-Location -ErrorAction Stop -LiteralPath {};",
                word(dir.as_os_str(), place)?
            )
        }
    };
    // A quoted word is a text for PowerShell, unless it is told to call it.
    if windows == Windows::PowerShell {
        line += "& ";
    }
    for (nth, text) in words.iter().enumerate() {
        line += if nth == 0 { "" } else { " " };
        line += &word(text, place)?;
    }
    if windows == Windows::PowerShell {
        line += ";exit $LASTEXITCODE";
    }
    match line.chars().count() {
        length if length > LONGEST => Err(cannot(
            &format!("take a command line of {length} characters: 8191 are the most"),
            Some("put the arguments into a file"),
        )),
        _ => Ok(Request { line: Some(line.into_bytes()), ..Request::default() }),
    }
}

/// Where no shell chooses between interpreters: its launcher is the one Python of Windows.
fn plain_python<'a>(
    name: &'a OsStr,
    args: &'a [std::ffi::OsString],
) -> (&'a OsStr, &'a [std::ffi::OsString]) {
    match args {
        [option, script, _, args @ ..] if option == "-c" && script == FIRST_PYTHON => {
            (OsStr::new("python3"), args)
        }
        args => (name, args),
    }
}

/// The program, and words that belong to it: there is no `python3` on Windows, but a launcher.
fn program(name: &OsStr) -> Vec<std::ffi::OsString> {
    match name.to_str() {
        Some("python3") => vec!["py".into(), "-3".into()],
        _ => vec![name.to_owned()],
    }
}

fn is_python(words: &[std::ffi::OsString]) -> bool {
    let name = words.first().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.strip_suffix(".exe").unwrap_or(&name), "py" | "python")
}

/// The arguments, with Python's code in a form that every shell leaves alone.
fn arguments(
    program: &[std::ffi::OsString],
    args: &[std::ffi::OsString],
) -> Vec<std::ffi::OsString> {
    let mut args = args.to_vec();
    let code =
        args.iter().position(|arg| arg == "-c").map(|at| at + 1).filter(|&at| at < args.len());
    if let (true, Some(at)) = (is_python(program), code) {
        let body = STANDARD.encode(args[at].as_encoded_bytes());
        args[at] = format!("import base64;exec(base64.b64decode('{body}'))").into();
    }
    args
}

/// A word that both shells and the C runtime read as these characters.
fn word(text: &OsStr, place: &str) -> Result<String> {
    let bad = |what: String| Error::Unsupported {
        action: format!("pass on {what} in an argument: the shells of Windows would change it"),
        place: place.into(),
        hint: Some("put it into a file, or into Python's code".into()),
    };
    let text = text.to_str().ok_or_else(|| bad("bytes that are not UTF-8".into()))?;
    if let Some(char) = text.chars().find(|&char| FORBIDDEN.contains(char) || char.is_control()) {
        return Err(bad(format!("{:?}", char.to_string())));
    }
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:\\".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    // Backslashes before the closing quote would take it away.
    let slashes = text.len() - text.trim_end_matches('\\').len();
    Ok(format!("\"{text}{}\"", "\\".repeat(slashes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(command: Command, windows: Windows, expected: Expect) {
        let text = match request(&command, windows, "ssh:win") {
            Ok(request) => String::from_utf8(request.line.unwrap_or_default()).unwrap(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn lines() {
        let c = |name: &str, args: &[&str]| Command::new(name).args(args.iter().copied());
        check(c("ipconfig", &["/all"]), Windows::Cmd, expect!["ipconfig /all"]);
        check(
            c("ipconfig", &["/all"]),
            Windows::PowerShell,
            expect!["& ipconfig /all;exit $LASTEXITCODE"],
        );
        let spaced =
            c(r"C:\Program Files\x.exe", &["a b", "", r"C:\dir with\", "it's", "a&b|c<d>e^f"]);
        check(
            spaced.clone(),
            Windows::Cmd,
            expect![[r#""C:\Program Files\x.exe" "a b" "" "C:\dir with\\" "it's" "a&b|c<d>e^f""#]],
        );
        check(
            spaced,
            Windows::PowerShell,
            expect![[
                r#"& "C:\Program Files\x.exe" "a b" "" "C:\dir with\\" "it's" "a&b|c<d>e^f";exit $LASTEXITCODE"#
            ]],
        );
        check(c("dir", &[]).dir(r"C:\a b"), Windows::Cmd, expect![[r#"cd /d "C:\a b"&& dir"#]]);
        check(
            c("x", &[]).dir("C:/a"),
            Windows::PowerShell,
            expect!["Set-Location -ErrorAction Stop -LiteralPath C:/a;& x;exit $LASTEXITCODE"],
        );
    }

    #[test]
    fn what_cannot_be_said() {
        for char in ["\"", "%", "$", "!", "`", "\n", "\0"] {
            let error = request(&Command::new("x").arg(char), Windows::Cmd, "ssh:win").unwrap_err();
            assert!(error.to_string().contains("cannot pass on"), "{error}");
        }
        check(
            Command::new("x").env("A", "1"),
            Windows::Cmd,
            expect!["`ssh:win` cannot set variables on Windows: everybody there could read them; "],
        );
        check(
            Command::new("x").user("me"),
            Windows::Cmd,
            expect!["`ssh:win` cannot be another user on Windows; log in as that user"],
        );
        check(
            Command::new("x").arg("y".repeat(9000)),
            Windows::Cmd,
            expect![
                "`ssh:win` cannot take a command line of 9002 characters: 8191 are the most; put the arguments into a file"
            ],
        );
    }

    #[test]
    fn python() {
        let command = Command::new("python3").args(["-c", "print(\"a\\n\")\nx=1", "arg"]);
        check(
            command,
            Windows::Cmd,
            expect![[
                r#"py -3 -c "import base64;exec(base64.b64decode('cHJpbnQoImFcbiIpCng9MQ=='))" arg"#
            ]],
        );
        let first = Command::new("/bin/sh").args(["-c", FIRST_PYTHON, "none", "-m", "x"]);
        check(first, Windows::Cmd, expect!["py -3 -m x"]);
        check(
            Command::new(r"C:\Python\python.exe").args(["-c", "a"]),
            Windows::PowerShell,
            expect![[
                r#"& C:\Python\python.exe -c "import base64;exec(base64.b64decode('YQ=='))";exit $LASTEXITCODE"#
            ]],
        );
    }
}

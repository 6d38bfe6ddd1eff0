//! How the service is started over there.

use super::PROGRAM;
use super::svcctl::Settings;

/// The longest name of a pipe, in bytes.
const LONGEST_PIPE: usize = 64;
/// What a program of Windows begins with, and what a length of it is bounded by.
const MAGIC: &[u8] = b"MZ";
const LONGEST_PROGRAM: usize = 256 << 20;

/// Why there can be no such service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadService {
    /// The file is none that Windows can run.
    #[error("it is no program of Windows")]
    NoProgram,
    /// The pipe cannot have this name.
    #[error("a pipe has up to 64 letters, digits, `-`, `_` and `.` for a name")]
    NoPipe,
}

pub(super) fn check(program: &[u8], pipe: &str) -> Result<(), BadService> {
    if !program.starts_with(MAGIC) || program.len() > LONGEST_PROGRAM {
        return Err(BadService::NoProgram);
    }
    match is_name(pipe) {
        true => Ok(()),
        false => Err(BadService::NoPipe),
    }
}

/// Nothing that would have to be quoted.
fn is_name(pipe: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST_PIPE).contains(&pipe.len())
        && pipe.bytes().all(is_plain)
        // It is no option either.
        && !pipe.starts_with('-')
}

/// As the service manager takes it: variables are expanded, and quotes keep `C:\Some Folder` together.
pub(super) fn of(pipe: &str) -> String {
    format!(r#""%SystemRoot%\{PROGRAM}" service --pipe {pipe}"#)
}

/// Whether a service is what we make: with this pipe, or any. Windows may tell the folder by its own name.
pub(super) fn is_ours(settings: &Settings, pipe: Option<&str>) -> bool {
    let is_system =
        settings.account.is_empty() || settings.account.eq_ignore_ascii_case("LocalSystem");
    is_system && pipe_of(&settings.command).is_some_and(|of| pipe.is_none_or(|pipe| of == pipe))
}

/// The pipe of a command that is ours.
fn pipe_of(command: &str) -> Option<&str> {
    let (path, arguments) = command.strip_prefix('"')?.split_once('"')?;
    let (_, name) = path.rsplit_once('\\')?;
    let pipe = arguments.strip_prefix(" service --pipe ")?;
    (name.eq_ignore_ascii_case(PROGRAM) && is_name(pipe)).then_some(pipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(of("x"), "\"%SystemRoot%\\thither-pushyd.exe\" service --pipe x");
    }

    #[track_caller]
    fn check_name(pipe: &str, is_good: bool) {
        let expected = if is_good { Ok(()) } else { Err(BadService::NoPipe) };
        assert_eq!(check(b"MZ", pipe), expected, "{pipe}");
    }

    #[test]
    fn pipes_have_plain_names() {
        check_name("thither", true);
        check_name("a-b_c.1", true);
        check_name(&"x".repeat(64), true);
        check_name(&"x".repeat(65), false);
        check_name("", false);
        check_name("a b", false);
        check_name("a\\b", false);
        check_name("a\"", false);
        check_name("--x", false);
        check_name("é", false);
    }

    #[test]
    fn programs_are_those_of_windows() {
        assert_eq!(check(b"\x7fELF", "x"), Err(BadService::NoProgram));
        assert_eq!(check(b"", "x"), Err(BadService::NoProgram));
    }

    #[track_caller]
    fn check_ours(command: &str, account: &str, expected: bool) {
        let (command, account) = (command.into(), account.into());
        let settings = Settings { is_automatic: true, command, account };
        assert_eq!(is_ours(&settings, Some("x")), expected);
    }

    #[test]
    fn ours_is_known() {
        check_ours(&of("x"), "LocalSystem", true);
        check_ours(&of("x"), "", true);
        check_ours(r#""C:\WINDOWS\Thither-Pushyd.exe" service --pipe x"#, "localsystem", true);
        check_ours(&of("y"), "LocalSystem", false);
        check_ours(&of("x"), r".\ann", false);
        check_ours(r#""C:\other.exe" service --pipe x"#, "", false);
        check_ours(r"C:\thither-pushyd.exe service --pipe x", "", false);
        check_ours(r#""C:\thither-pushyd.exe" service --pipe x y"#, "", false);
        check_ours("", "", false);
    }
}

//! The project's own commands: `cargo xtask test`, `compliance`, `fuzz`, `bench` and `dist`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what these commands are for is text"
)]

mod bench;
mod cargo;
mod compliance;
mod dist;
mod dockerpty;
mod engine;
mod fuzz;
mod peers;
mod pychroot;
mod test;
mod windows;

use std::process::ExitCode;

/// A failure as the sentence to print; these commands are run by people who read it.
type Result<T> = std::result::Result<T, String>;

/// Whether what the command looked at is as it should be; if not, it has said why.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--strict] [--update-minimum] [FILTER...]
      Get the programs that tests need, run every test, and count what ran. --strict fails on a skip and when
      a suite ran fewer tests than xtask/minimum.txt says; --update-minimum rewrites that file.
  compliance [--against thither|pychroot|both] [--as root|user] [NAME...]
      Run the same checks against pychroot and against thither by that name, and show where they differ and why.
      A difference without a reason fails.
  compliance docker [--against thither|docker|dockerpty|all] [NAME...]
      The same for containers, against the docker CLI and dockerpty.
  fuzz [--seconds N] [TARGET...]
      Run the fuzz targets, N seconds each (60). A crash fails and leaves its input under fuzz/artifacts.
  bench [--runs N] [--check] [NAME...]
      Measure the release binary side by side with its peers, N runs each (60): chroot-root, chroot-user,
      call, local, memory, docker-exec, docker-stdout, docker-terminal, docker-memory, docker-cp, python-connect,
      python-calls, python-bytes, python-lists, python-iterate, python-many, python-memory, ssh-connect, ssh-stdout,
      ssh-python, ssh-copy, daemon-connect, daemon-stdout, daemon-many. --check fails when a target is missed or its
      peer did not run.
  dist windows [--tests]
      Cross-compile the service for Windows to target/dist/windows/pushyd.exe. --tests also makes the Windows, under
      Wine, that tests run it in.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, args)) => match command.as_str() {
            "test" => test::run(args),
            "compliance" => compliance::run(args),
            "fuzz" => fuzz::run(args),
            "dist" => dist::run(args),
            "bench" => bench::run(args),
            bench::MEASURE => bench::measure(),
            "help" | "--help" | "-h" => {
                print!("{USAGE}");
                Ok(Verdict::Good)
            }
            other => Err(format!("unknown command `{other}`\n{USAGE}")),
        },
        None => Err(format!("a command is missing\n{USAGE}")),
    };
    match result {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Takes `--name VALUE` out of the arguments.
fn option(args: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(None) };
    args.remove(at);
    match at < args.len() {
        true => Ok(Some(args.remove(at))),
        false => Err(format!("{name} needs a value")),
    }
}

/// Takes `--name N` out of the arguments.
fn number(args: &mut Vec<String>, name: &str) -> Result<Option<u32>> {
    let Some(value) = option(args, name)? else { return Ok(None) };
    match value.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(format!("{name} needs a number above 0")),
    }
}

/// Takes `--name` out of the arguments, and says whether it was there.
fn flag(args: &mut Vec<String>, name: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != name);
    args.len() < before
}

/// The arguments that are left, none of which may look like an option.
fn names(args: Vec<String>) -> Result<Vec<String>> {
    match args.iter().find(|arg| arg.starts_with('-')) {
        Some(option) => Err(format!("unknown option `{option}`\n{USAGE}")),
        None => Ok(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    #[test]
    fn options() {
        let mut given = args("a --runs 7 b --check");
        assert_eq!(number(&mut given, "--runs"), Ok(Some(7)));
        assert_eq!(number(&mut given, "--runs"), Ok(None));
        assert!(names(given.clone()).unwrap_err().starts_with("unknown option `--check`"));
        assert!(flag(&mut given, "--check"));
        assert!(!flag(&mut given, "--check"));
        assert_eq!(names(given), Ok(args("a b")));
        for wrong in ["--runs", "--runs 0", "--runs x"] {
            assert!(number(&mut args(wrong), "--runs").is_err(), "{wrong}");
        }
    }
}

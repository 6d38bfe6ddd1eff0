//! The command line.

use crate::admission::Admit;

/// What `--help` says.
pub const HELP: &str = "\
pushyd: runs commands for `thither` over SMB, each as the user who connected

  pushyd run     [--pipe NAME] [--admit WHO]...  in the foreground, until ^C
  pushyd install [--pipe NAME] [--admit WHO]...  as a service, which starts with Windows
  pushyd start | stop | delete                   that service
  pushyd service [--pipe NAME] [--admit WHO]...  what the service manager starts

  --pipe NAME   the pipe, `thither` unless given
  --admit WHO   admits an account besides administrators (`DOMAIN\\user`, `S-1-5-...`), or with
                `D:(A;;...)` exactly those of an access list";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To serve by hand.
    Run(Options),
    /// To serve as a service.
    Service(Options),
    /// To make the service.
    Install(Options),
    /// To start it.
    Start,
    /// To stop it.
    Stop,
    /// To remove it.
    Delete,
    /// To say how it is used.
    Help,
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The pipe's name, without `\\.\pipe\`.
    pub pipe: String,
    /// Who may come.
    pub admit: Vec<Admit>,
}

impl Options {
    /// The command line for them, behind the action.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let mut args = vec!["--pipe".into(), self.pipe.clone()];
        for admit in &self.admit {
            let (Admit::Account(text) | Admit::List(text)) = admit;
            args.extend(["--admit".into(), text.clone()]);
        }
        args
    }
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// What is wrong with them, and what to do.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Action, String> {
    let mut args = args.into_iter();
    let action = args.next().ok_or("say what to do: see `pushyd --help`")?;
    let mut options = Options { pipe: "thither".into(), admit: Vec::new() };
    while let Some(flag) = args.next() {
        if ["-h", "--help"].contains(&flag.as_str()) {
            return Ok(Action::Help);
        }
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (flag, args.next()),
        };
        let value = |what: &str| {
            value.clone().filter(|v| !v.is_empty()).ok_or_else(|| format!("{flag} needs {what}"))
        };
        match flag.as_str() {
            "--pipe" => options.pipe = pipe(value("the name of a pipe")?)?,
            "--admit" => options.admit.push(Admit::of(&value("an account or an access list")?)),
            _ => return Err(format!("there is no \"{flag}\": see `pushyd --help`")),
        }
    }
    let list = |admit: &&Admit| matches!(admit, Admit::List(_));
    if options.admit.iter().any(|admit| list(&admit)) && options.admit.len() > 1 {
        return Err("an access list of --admit stands alone: put all into it".into());
    }
    match action.as_str() {
        "run" => Ok(Action::Run(options)),
        "service" => Ok(Action::Service(options)),
        "install" => Ok(Action::Install(options)),
        "start" => Ok(Action::Start),
        "stop" => Ok(Action::Stop),
        "delete" => Ok(Action::Delete),
        "-h" | "--help" | "help" => Ok(Action::Help),
        _ => Err(format!("nobody knows \"{action}\": see `pushyd --help`")),
    }
}

fn pipe(name: String) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.len() <= 200 && name.chars().all(good) {
        return Ok(name);
    }
    Err(format!("\"{name}\" cannot be a pipe's name: use letters, digits, \"-\", \"_\" and \".\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Action, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn options(pipe: &str, admit: &[&str]) -> Options {
        Options { pipe: pipe.into(), admit: admit.iter().map(|text| Admit::of(text)).collect() }
    }

    #[test]
    fn actions() {
        assert_eq!(parsed("run"), Ok(Action::Run(options("thither", &[]))));
        assert_eq!(parsed("service --pipe=x"), Ok(Action::Service(options("x", &[]))));
        let all = options("x", &[r"D\me", "S-1-5-18"]);
        assert_eq!(
            parsed(r"install --admit D\me --pipe x --admit S-1-5-18"),
            Ok(Action::Install(all.clone()))
        );
        let again = std::iter::once("install".to_owned()).chain(all.args());
        assert_eq!(parse(again), Ok(Action::Install(all)));
        assert_eq!(parsed("stop"), Ok(Action::Stop));
        assert_eq!(parsed("run --help"), Ok(Action::Help));
    }

    #[test]
    fn what_is_wrong() {
        for (line, expected) in [
            ("", "say what to do"),
            ("fly", "nobody knows \"fly\""),
            ("run --x y", "there is no \"--x\""),
            ("run --pipe", "--pipe needs"),
            ("run --admit=", "--admit needs"),
            (r"run --pipe a\b", "cannot be a pipe's name"),
            ("run --admit D:(A;;GA;;;WD) --admit me", "stands alone"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}

//! `cargo xtask compliance`: the same checks against pychroot and against our binary by that name.
//!
//! A check is a script, and what comes of it: what is printed, the exit code, what is left in the root, mounted and
//! running. Where the two differ, the table has the reason; another difference is a failure.

mod check;
mod options;
mod mounts;
mod places;
mod life;
mod terminal;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::{PublicCopy, as_user, is_root};

use self::check::{Check, Says};
use crate::{Result, Verdict, cargo, names, option, peers, pychroot};

/// What the checks are run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Pychroot,
    Thither,
}

/// Who runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    User,
}

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let tools: &[Tool] = match option(&mut args, "--against")?.as_deref() {
        Some("pychroot") => &[Tool::Pychroot],
        Some("thither") => &[Tool::Thither],
        None | Some("both") => &[Tool::Pychroot, Tool::Thither],
        Some(other) => return Err(format!("--against needs thither, pychroot or both: {other}")),
    };
    let everyone: &[Who] = match option(&mut args, "--as")?.as_deref() {
        Some("root") => &[Who::Root],
        Some("user") => &[Who::User],
        None if is_root() => &[Who::Root, Who::User],
        None => {
            println!("Cannot run here: the checks of root, as we are not.");
            &[Who::User]
        }
        Some(other) => return Err(format!("--as needs root or user: {other}")),
    };
    let wanted = names(args)?;
    peers::prepare(peers::FOR_COMPLIANCE)?;

    let ours = PublicCopy::of(binary()?).map_err(|error| format!("cannot copy it: {error}"))?;
    let by_name = ours.path().with_file_name("pychroot");
    std::os::unix::fs::symlink("thither", &by_name).map_err(|error| format!("no link: {error}"))?;
    let mut paths: Vec<(Tool, PathBuf)> = Vec::new();
    for &tool in tools {
        let path = match tool {
            Tool::Thither => by_name.clone(),
            Tool::Pychroot => pychroot::install().map_err(|why| format!("no pychroot: {why}"))?,
        };
        println!("{}", peers::version(&[&path.to_string_lossy(), "--version"]));
        paths.push((tool, path));
    }
    let mut tally = Tally::default();
    for &who in everyone {
        can_run(who, &paths)?;
        for check in checks() {
            let is_wanted = wanted.is_empty() || wanted.iter().any(|name| check.name.contains(name));
            if is_wanted && check.is_for(who) {
                tally.one(&check, who, &paths)?;
            }
        }
    }
    let Tally { same, different, unexpected } = tally;
    println!("{same} the same, {different} different with a reason, {unexpected} unexpected");
    match same + different + unexpected {
        0 => Err("no check has such a name".into()),
        _ => Ok(if unexpected == 0 { Verdict::Good } else { Verdict::Bad }),
    }
}

fn checks() -> impl Iterator<Item = Check> {
    let all = [options::CHECKS, mounts::CHECKS, places::CHECKS, life::CHECKS, terminal::CHECKS];
    all.into_iter().flatten().copied()
}

/// How the checks went.
#[derive(Default)]
struct Tally {
    same: u32,
    different: u32,
    unexpected: u32,
}

impl Tally {
    /// Runs a check against each and prints its line.
    fn one(&mut self, check: &Check, who: Who, paths: &[(Tool, PathBuf)]) -> Result<()> {
        let mut wrong = Vec::new();
        for (tool, path) in paths {
            let (seen, expected) = (check.run(*tool, path, who)?, check.expected(*tool));
            if seen != expected {
                wrong.push(format!("{tool:?} was to say\n{expected}but says\n{seen}"));
            }
        }
        let who = if who == Who::Root { "root" } else { "user" };
        let name = check.name;
        match check.says {
            _ if !wrong.is_empty() => {
                self.unexpected += 1;
                println!("{who}  {name}: UNEXPECTED\n{}", indented(&wrong.join("")));
            }
            Says::Same(_) => {
                self.same += 1;
                println!("{who}  {name}: the same");
            }
            Says::Differ { why, .. } => {
                self.different += 1;
                println!("{who}  {name}: DIFFERENT: {why}");
                for (tool, _) in paths {
                    println!("      {tool:?}:\n{}", indented(check.expected(*tool)));
                }
            }
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("        {line}")).collect();
    lines.join("\n")
}

/// Whether this user can run these programs in namespaces at all; if not, why.
fn can_run(who: Who, paths: &[(Tool, PathBuf)]) -> Result<()> {
    if who == Who::Root {
        return if is_root() { Ok(()) } else { Err("cannot run here: we are not root".into()) };
    }
    let works = |command: &mut Command| {
        command.stdin(Stdio::null()).current_dir("/");
        as_user(command).output().is_ok_and(|output| output.status.success())
    };
    if !works(Command::new("unshare").args(["--user", "--map-root-user", "true"])) {
        return Err("cannot run here: an ordinary user can make no user namespace".into());
    }
    match paths.iter().find(|(_, path)| !works(Command::new(path).arg("--version"))) {
        Some((_, path)) => Err(format!("cannot run here: {} is out of reach", path.display())),
        None => Ok(()),
    }
}

fn binary() -> Result<PathBuf> {
    let built = cargo::build(cargo::cargo().args(["build", "--package", "thither-cli"]))?;
    let thither =
        built.into_iter().find(|artifact| artifact.kind == "bin" && artifact.name == "thither");
    thither.and_then(|artifact| artifact.executable).ok_or("cargo built no binary `thither`".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_differences_real() {
        let mut names = BTreeSet::new();
        for check in checks() {
            assert!(names.insert(check.name), "{}", check.name);
            if let Says::Differ { pychroot, thither, why } = check.says {
                assert!(pychroot != thither && !why.is_empty(), "{}", check.name);
            }
        }
    }

    #[test]
    fn an_unexpected_outcome_counts() {
        let ls = [(Tool::Thither, PathBuf::from("ls"))];
        let who = if is_root() { Who::Root } else { Who::User };
        let mut tally = Tally::default();
        tally.one(&Check::same("x", "echo a", "| a\n"), who, &ls).unwrap();
        tally.one(&Check::differ("x", "echo a", "| b\n", "| a\n", "why"), who, &ls).unwrap();
        assert_eq!((tally.same, tally.different, tally.unexpected), (1, 1, 0));
        tally.one(&Check::same("x", "echo a", "| b\n"), who, &ls).unwrap();
        tally.one(&Check::differ("x", "echo a", "| a\n", "| b\n", "why"), who, &ls).unwrap();
        tally.one(&Check::same("x", "exit 3", ""), who, &ls).unwrap();
        tally.one(&Check::same("x", "touch $R/x", ""), who, &ls).unwrap();
        assert_eq!(tally.unexpected, 4);
    }
}

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
mod docker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

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

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    if let Some(("docker", args)) = args.split_first().map(|(first, args)| (first.as_str(), args)) {
        return docker::run(args);
    }
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
    everyone.iter().try_for_each(|&who| can_run(who, &paths))?;
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let todo: Vec<(Who, Check)> = everyone
        .iter()
        .flat_map(|&who| checks().map(move |check| (who, check)))
        .filter(|(who, check)| check.is_for(*who) && is_wanted(check.name))
        .collect();
    let mut tally = Tally::default();
    for ((who, check), seen) in todo.iter().zip(run_all(&todo, &paths)) {
        tally.one(check, *who, &seen?);
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

/// What each tool says to a check.
type Seen = Vec<(Tool, String)>;

/// Runs the checks, several at a time, since each has its own folders and mostly waits.
fn run_all(todo: &[(Who, Check)], paths: &[(Tool, PathBuf)]) -> Vec<Result<Seen>> {
    let next = AtomicUsize::new(0);
    let all: Vec<OnceLock<Result<Seen>>> = todo.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        while let Some(index) = Some(next.fetch_add(1, Relaxed)).filter(|&index| index < todo.len())
        {
            let (who, check) = &todo[index];
            let run = |(tool, path): &(Tool, PathBuf)| Ok((*tool, check.run(*tool, path, *who)?));
            // Nobody else has this index.
            let _ = all[index].set(paths.iter().map(run).collect());
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 * thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    all.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// How the checks went.
#[derive(Default)]
struct Tally {
    same: u32,
    different: u32,
    unexpected: u32,
}

impl Tally {
    /// Prints the line of a check.
    fn one(&mut self, check: &Check, who: Who, seen: &[(Tool, String)]) {
        let mut wrong = Vec::new();
        for (tool, seen) in seen {
            let expected = check.expected(*tool);
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
                for (tool, _) in seen {
                    println!("      {tool:?}:\n{}", indented(check.expected(*tool)));
                }
            }
        }
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("        {line}")).collect();
    lines.join("\n")
}

/// Whether this user can run these programs in namespaces at all; if not, why.
fn can_run(who: Who, paths: &[(Tool, PathBuf)]) -> Result<()> {
    if paths.iter().any(|(tool, _)| *tool == Tool::Pychroot) && !Path::new(RESOLV_CONF).exists() {
        return Err(format!("cannot run here: pychroot needs {RESOLV_CONF}"));
    }
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
        let tally = |check: Check| {
            let mut tally = Tally::default();
            for seen in run_all(&[(who, check)], &ls) {
                tally.one(&check, who, &seen.unwrap());
            }
            [tally.same, tally.different, tally.unexpected]
        };
        assert_eq!(tally(Check::same("x", "echo a", "| a\n")), [1, 0, 0]);
        assert_eq!(tally(Check::same("x", "echo a", "| b\n")), [0, 0, 1]);
        assert_eq!(tally(Check::differ("x", "echo a", "| b\n", "| a\n", "why")), [0, 1, 0]);
        assert_eq!(tally(Check::differ("x", "echo a", "| a\n", "| b\n", "why")), [0, 0, 1]);
        for script in ["exit 3", "echo a >&2", "touch $R/x", "rmdir $R/proc", "kill -KILL $$"] {
            assert_eq!(tally(Check::same("x", script, "")), [0, 0, 1], "{script}");
        }
        let left = Check::same("x", "sleep 1000 &", "left running: sleep 1000\n");
        assert_eq!(tally(left), [1, 0, 0]);
        assert_eq!(tally(Check::same("x", "sleep 1000", "it does not end\n")), [1, 0, 0]);
    }
}

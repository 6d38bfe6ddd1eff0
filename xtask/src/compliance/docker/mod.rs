//! `cargo xtask compliance docker`: the same checks against dockerpty, the docker CLI and ours.
//!
//! They are what dockerpty's own scenarios are about, at real terminals, and what goes wrong for users of today's
//! tools. Where a peer does otherwise, the table has the reason; another difference is a failure.

mod check;
mod tool;
mod run;
mod terminal;
mod streams;
mod faults;
mod known;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;

use self::check::{Check, matches};
use self::tool::{ALL, Programs, Tool};
use super::indented;
use crate::{Result, Verdict, names, option, peers};

/// How many are run at a time: each mostly waits for the engine.
const AT_A_TIME: usize = 6;

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<Verdict> {
    let mut args = args.to_vec();
    let tools: &[Tool] = match option(&mut args, "--against")?.as_deref() {
        Some("thither") => &[Tool::Thither],
        Some("docker") => &[Tool::Docker],
        Some("dockerpty") => &[Tool::Dockerpty],
        None | Some("all") => &ALL,
        Some(other) => {
            return Err(format!("--against needs thither, docker, dockerpty or all: {other}"));
        }
    };
    let wanted = names(args)?;
    peers::prepare(peers::FOR_DOCKER_COMPLIANCE)?;
    let engine = tool::engine()?;
    println!("Docker Engine {}", engine.get("/version")["Version"]);
    let programs = tools.iter().map(|&tool| Programs::new(tool)).collect::<Result<Vec<_>>>()?;
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let todo: Vec<Check> = checks().filter(|check| is_wanted(check.name)).collect();
    let tally = run_all(&todo, &programs)?;
    let Tally { same, different, unexpected } = tally;
    println!("{same} the same, {different} different with a reason, {unexpected} unexpected");
    match same + different + unexpected {
        0 => Err("no check has such a name".into()),
        _ => Ok(if unexpected == 0 { Verdict::Good } else { Verdict::Bad }),
    }
}

fn checks() -> impl Iterator<Item = Check> {
    let all = [terminal::CHECKS, streams::CHECKS, faults::CHECKS, known::CHECKS];
    all.into_iter().flatten().copied()
}

/// Runs the checks, several at a time, since each has its own container, and prints each as soon as those before it are
/// done.
fn run_all(todo: &[Check], programs: &[Programs]) -> Result<Tally> {
    let next = AtomicUsize::new(0);
    let each = |at| programs.iter().map(move |one| (at, one));
    let jobs: Vec<(usize, &Programs)> = (0..todo.len()).flat_map(each).collect();
    let (sender, receiver) = channel();
    let work = || {
        let sender = sender.clone();
        while let Some(&(at, programs)) = jobs.get(next.fetch_add(1, Relaxed)) {
            // Who has failed listens no more.
            let _ = sender.send((at, programs.tool, run::run(&todo[at], programs)));
        }
    };
    let mut tally = Tally::default();
    let mut seen: Vec<Vec<(Tool, String)>> = todo.iter().map(|_| Vec::new()).collect();
    let mut done = 0;
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
        for (at, tool, said) in receiver.iter().take(jobs.len()) {
            seen[at].push((tool, said?));
            while done < todo.len() && seen[done].len() == programs.len() {
                tally.one(&todo[done], &seen[done]);
                done += 1;
            }
        }
        Ok(tally)
    })
}

/// How the checks went.
#[derive(Default)]
struct Tally {
    same: u32,
    different: u32,
    unexpected: u32,
}

impl Tally {
    /// Prints the lines of a check.
    fn one(&mut self, check: &Check, seen: &[(Tool, String)]) {
        let name = check.name;
        let wrong: Vec<String> = seen
            .iter()
            .map(|(tool, seen)| (tool, check.expected(*tool), seen))
            .filter(|(_, expected, seen)| !matches(expected, seen))
            .map(|(tool, expected, seen)| {
                format!("{tool:?} was to say\n{expected}but says\n{seen}")
            })
            .collect();
        if !wrong.is_empty() {
            self.unexpected += 1;
            println!("{name}: UNEXPECTED\n{}", indented(&wrong.join("")));
            return;
        }
        let differences: Vec<_> = seen
            .iter()
            .filter_map(|(tool, seen)| Some((tool, seen, check.difference(*tool)?.why)))
            .collect();
        if differences.is_empty() {
            self.same += 1;
            println!("{name}: the same");
            return;
        }
        self.different += 1;
        println!("{name}: DIFFERENT");
        for (tool, seen, why) in differences {
            println!("      {tool:?}: {why}\n{}", indented(seen));
        }
    }
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
            for tool in [Tool::Docker, Tool::Dockerpty] {
                let Some(difference) = check.difference(tool) else { continue };
                let differs = check.expected(tool) != check.expected(Tool::Thither);
                assert!(differs && !difference.why.is_empty(), "{}: {tool:?}", check.name);
            }
        }
    }

    #[test]
    fn an_unexpected_outcome_counts() {
        const CHECK: Check = check::Check::new("x", check::IDLE, check::How::Script(""), "| a\n")
            .docker("| b\n", "why");
        let tally = |tool, seen: &str| {
            let mut tally = Tally::default();
            tally.one(&CHECK, &[(tool, seen.to_owned())]);
            [tally.same, tally.different, tally.unexpected]
        };
        assert_eq!(tally(Tool::Thither, "| a\n"), [1, 0, 0]);
        assert_eq!(tally(Tool::Thither, "| b\n"), [0, 0, 1]);
        assert_eq!(tally(Tool::Docker, "| b\n"), [0, 1, 0]);
        assert_eq!(tally(Tool::Docker, "| a\n"), [0, 0, 1]);
        assert_eq!(tally(Tool::Dockerpty, "| a\n"), [1, 0, 0]);
    }
}

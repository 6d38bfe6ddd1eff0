//! The checks that pychroot and our binary by that name are compared by, against each.

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One at a time: each is as much as this machine can do, and what hangs is known by the time that it takes.
static TURN: Mutex<()> = Mutex::new(());

/// Runs the checks against a tool.
///
/// # Errors
/// The reason for a skip.
#[track_caller]
fn check(tool: &str, who: &str) -> Result<(), String> {
    let _turn = TURN.lock();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["compliance", "--against", tool, "--as", who])
        .stdin(Stdio::null())
        .output()
        .expect("xtask runs");
    let [said, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let reasons = ["error: no pychroot: ", "error: cannot run here: "];
    if let Some(reason) =
        errors.lines().find(|line| reasons.iter().any(|why| line.starts_with(why)))
    {
        return Err(reason.into());
    }
    assert!(output.status.success(), "{said}\n{errors}");
    // As many as there are, or nothing was checked.
    let last = said.lines().last().unwrap_or_default();
    let same = last.split(' ').next().and_then(|count| count.parse::<u32>().ok());
    assert!(same.is_some_and(|same| same > 40) && last.ends_with(" 0 unexpected"), "{said}");
    Ok(())
}

#[test]
fn ours_as_root() {
    if let Err(reason) = check("thither", "root") {
        testkit::skip!("{reason}");
    }
}

#[test]
fn ours_as_a_user() {
    if let Err(reason) = check("thither", "user") {
        testkit::skip!("{reason}");
    }
}

#[test]
fn pychroot_as_root() {
    if let Err(reason) = check("pychroot", "root") {
        testkit::skip!("{reason}");
    }
}

#[test]
fn pychroot_as_a_user() {
    if let Err(reason) = check("pychroot", "user") {
        testkit::skip!("{reason}");
    }
}

//! The checks that pychroot and our binary by that name are compared by, and those that dockerpty, the docker CLI and ours
//! are, against each.

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One at a time: each is as much as this machine can do, and what hangs is known by the time that it takes.
static TURN: Mutex<()> = Mutex::new(());

/// Runs the checks against a tool.
///
/// # Errors
/// The reason for a skip.
#[track_caller]
fn check(args: &[&str]) -> Result<(), String> {
    let _turn = TURN.lock();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("compliance")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("xtask runs");
    let [said, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let reasons = ["error: no pychroot: ", "error: no dockerpty: ", "error: cannot run here: "];
    if let Some(reason) =
        errors.lines().find(|line| reasons.iter().any(|why| line.starts_with(why)))
    {
        return Err(reason.into());
    }
    assert!(output.status.success(), "{said}\n{errors}");
    // As many as there are, or nothing was checked.
    let last = said.lines().last().unwrap_or_default();
    let counts = last.split(", ").filter_map(|part| part.split(' ').next()?.parse::<u32>().ok());
    assert!(counts.sum::<u32>() > 60 && last.ends_with(" 0 unexpected"), "{said}");
    Ok(())
}

#[test]
fn ours_as_root() {
    if let Err(reason) = check(&["--against", "thither", "--as", "root"]) {
        testkit::skip!("{reason}");
    }
}

#[test]
fn ours_as_a_user() {
    if let Err(reason) = check(&["--against", "thither", "--as", "user"]) {
        testkit::skip!("{reason}");
    }
}

#[test]
fn pychroot_as_root() {
    if let Err(reason) = check(&["--against", "pychroot", "--as", "root"]) {
        testkit::skip!("{reason}");
    }
}

#[test]
fn pychroot_as_a_user() {
    if let Err(reason) = check(&["--against", "pychroot", "--as", "user"]) {
        testkit::skip!("{reason}");
    }
}

#[test]
fn docker_ours() {
    if let Err(reason) = check(&["docker", "--against", "thither"]) {
        testkit::skip!("{reason}");
    }
}

/// What others' tools do on a busy machine is a matter of chance in more checks than are known: news is what is unexpected
/// twice.
fn check_twice(args: &[&str]) -> Result<(), String> {
    std::panic::catch_unwind(|| check(args)).unwrap_or_else(|_| check(args))
}

#[test]
fn docker_cli() {
    if let Err(reason) = check_twice(&["docker", "--against", "docker"]) {
        testkit::skip!("{reason}");
    }
}

#[test]
fn dockerpty() {
    if let Err(reason) = check_twice(&["docker", "--against", "dockerpty"]) {
        testkit::skip!("{reason}");
    }
}

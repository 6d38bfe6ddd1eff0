//! The same at every kind of place.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use testkit::{BusyboxRoot, Engine, skip};

use crate::common::Test;
use crate::there::There;
use crate::way::way;

const BY_SHA256SUM: &str = "by sha256sum over there";
const READ_BACK: &str = "by reading back";

#[test]
fn this_machine() {
    let test = Test::new();
    std::fs::create_dir(test.dir().join("there")).expect("a folder");
    let folder = format!("{}/there", test.dir().display());
    for folder in [folder.clone(), format!("local:::{folder}")] {
        std::fs::remove_dir_all(test.dir()).expect("a folder");
        std::fs::create_dir_all(test.dir().join("there")).expect("a folder");
        let command = |args: &[&OsStr]| test.thither(args);
        let owners = testkit::is_root();
        let there = There { test: &test, command: &command, folder, owners, sums: READ_BACK };
        there.check_all();
        there.check_gnu();
    }
}

#[test]
fn a_root() {
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => skip!("{reason}"),
    };
    let test = Test::new();
    let folder = format!("chroot:{}::/root", root.path().display());
    let command = |args: &[&OsStr]| test.thither(args);
    let owners = testkit::is_root();
    let there = There { test: &test, command: &command, folder, owners, sums: READ_BACK };
    there.check_all();
    there.check_gnu();
}

#[test]
fn a_root_by_commands() {
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => skip!("{reason}"),
    };
    if !testkit::is_root() {
        skip!("only root can be another user in a root of root's");
    }
    let test = Test::new();
    let folder = format!("chroot:{}?user=guest::/home/guest", root.path().display());
    let command = |args: &[&OsStr]| test.thither(args);
    std::os::unix::fs::chown(root.path().join("home/guest"), Some(1000), Some(1000))
        .expect("chown");
    let there = There { test: &test, command: &command, folder, owners: false, sums: BY_SHA256SUM };
    there.check_all();
    there.check_no_gnu();
}

fn engine() -> Result<&'static Engine, String> {
    Engine::shared()
}

#[test]
fn containers() {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(reason) => skip!("{reason}"),
    };
    let test = Test::new();
    let command = |args: &[&OsStr]| {
        let mut command = test.thither(args);
        command.env("DOCKER_HOST", engine.host());
        command
    };
    let container = engine.container(&["sleep", "1000"]).start();
    let folder = format!("docker:{}::/root", container.name());
    let there = There { test: &test, command: &command, folder, owners: true, sums: BY_SHA256SUM };
    there.check_all();
    there.check_no_gnu();
    let test = Test::new();
    let command = |args: &[&OsStr]| {
        let mut command = test.thither(args);
        command.env("DOCKER_HOST", engine.host());
        command
    };
    let stopped = engine.container(&["sleep", "1000"]).create();
    let folder = format!("docker:{}::/root", stopped.name());
    let there = There { test: &test, command: &command, folder, owners: true, sums: READ_BACK };
    there.check_all();
}

#[test]
fn a_container_with_gnu_tar() {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(reason) => skip!("{reason}"),
    };
    let root = match BusyboxRoot::new() {
        Ok(root) => root.with("/usr/bin/tar"),
        Err(reason) => skip!("{reason}"),
    };
    let mut tar = Command::new("tar")
        .args(["-C", root.path().to_str().expect("a plain path"), "-cf", "-", "."])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar");
    let stream = tar.stdout.take().expect("a pipe");
    let import = engine.command().args(["import", "-", "thither-gnu-tar"]).stdin(stream).output();
    assert!(import.expect("docker").status.success());
    assert!(tar.wait().expect("tar").success());
    let container = engine.container(&["/bin/sleep", "1000"]).image("thither-gnu-tar").start();
    let test = Test::new();
    let command = |args: &[&OsStr]| {
        let mut command = test.thither(args);
        command.env("DOCKER_HOST", engine.host());
        command
    };
    let folder = format!("docker:{}::/root", container.name());
    let there = There { test: &test, command: &command, folder, owners: true, sums: BY_SHA256SUM };
    there.check_gnu();
}

#[test]
fn a_host() {
    let way = way!();
    let command = |args: &[&OsStr]| way.command(args);
    std::fs::create_dir(way.test.dir().join("there")).expect("a folder");
    let folder = format!("ssh:a::{}/there", way.test.dir().display());
    let there =
        There { test: &way.test, command: &command, folder, owners: true, sums: BY_SHA256SUM };
    there.check_all();
    there.check_gnu();
}

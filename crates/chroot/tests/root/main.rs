//! Another root, against the real kernel: as root, and as an ordinary user.

mod enter;
mod errors;
mod faults;
mod hostile;
mod many;
mod mount_points;
mod mounts;
mod overlay;
mod read_only;
mod network;
mod names;
mod ids;
mod command;
mod files;
mod escape;
mod records;
mod at_once;

use std::path::{Path, PathBuf};

use testkit::{BusyboxRoot, within_deadline};
use thither_chroot::Chroot;
use thither_place::{Command, Exit, Output, Place, Process};

/// The root file system that a test needs, or a skip of it.
macro_rules! busybox_root {
    () => {
        match testkit::BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

/// Goes on as an ordinary user, in a process of its own.
macro_rules! as_ordinary_user {
    () => {
        testkit::own_process!(|program| {
            let mut command = std::process::Command::new(program);
            testkit::as_user(&mut command);
            command
        });
        if rustix::process::geteuid().is_root() {
            testkit::skip!("root in a place without other users");
        }
    };
}

/// Skips what only root can do.
macro_rules! only_root {
    () => {
        if !testkit::is_root() {
            testkit::skip!("it is about root");
        }
    };
}

/// Tests of a root file system, as whoever runs them and as an ordinary user.
macro_rules! as_both {
    ($($name:ident,)*) => {$(
        mod $name {
            #[test]
            fn as_whoever() {
                super::$name(&crate::busybox_root!());
            }

            #[test]
            fn as_a_user() {
                crate::as_ordinary_user!();
                super::$name(&crate::busybox_root!());
            }
        }
    )*};
}

/// Goes on in a process of its own, as root or as an ordinary user, with mounts of its own: a script has made them as
/// root before, and `/mnt` is an empty tmpfs that all can write to.
macro_rules! with_mounts {
    (user, $script:expr) => {
        if std::env::var_os("THITHER_OWN_MOUNTS").is_none() {
            crate::only_root!();
        }
        testkit::own_process!(|_| crate::in_own_mounts(true, $script));
    };
    (root, $script:expr) => {
        crate::only_root!();
        testkit::own_process!(|_| crate::in_own_mounts(false, $script));
    };
}

pub(crate) use {as_both, as_ordinary_user, busybox_root, only_root, with_mounts};

/// The command for [`with_mounts`].
fn in_own_mounts(user: bool, script: &str) -> std::process::Command {
    let become_user = match user {
        true => format!("setpriv --reuid {0} --regid {0} --clear-groups", testkit::USER),
        false => String::new(),
    };
    // The user may be unable to reach the program by its path, but not by its descriptor.
    let script = format!(
        "set -e; mount -t tmpfs -o mode=1777 thither-test /mnt; {script}
        exec {become_user} /proc/self/fd/9 \"$@\" 9<\"$0\""
    );
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    unshare.arg(std::env::current_exe().unwrap()).env("THITHER_OWN_MOUNTS", "1");
    unshare
}

fn sh(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script])
}

#[track_caller]
fn spawn(root: &BusyboxRoot, command: Command) -> Process {
    let place = Chroot::new(root.path());
    within_deadline("the command's start", move || place.spawn(&command)).unwrap()
}

#[track_caller]
fn wait(mut process: Process) -> Exit {
    within_deadline("the command's end", move || process.wait()).unwrap()
}

#[track_caller]
fn output(root: &BusyboxRoot, command: Command) -> Output {
    let place = Chroot::new(root.path());
    within_deadline("the command's output", move || place.output(&command)).unwrap()
}

/// What a script prints that succeeds and prints nothing on standard error.
#[track_caller]
fn printed(root: &BusyboxRoot, script: &str) -> String {
    let output = output(root, sh(script));
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.exit, &*stderr), (Exit::Code(0), ""), "after {text:?}");
    text
}

/// The output of a command in a root that has more to it than a path.
#[track_caller]
fn output_in(root: &Chroot, command: Command) -> Output {
    let place = root.clone();
    within_deadline("the command's output", move || place.output(&command)).unwrap()
}

/// As [`printed`].
#[track_caller]
fn printed_in(root: &Chroot, script: &str) -> String {
    let output = output_in(root, sh(script));
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.exit, &*stderr), (Exit::Code(0), ""), "after {text:?}");
    text
}

/// What is said about a command that cannot be started, its cause and the hint, with the root's name replaced.
#[track_caller]
fn refusal(root: &Chroot, command: Command) -> String {
    let place = root.clone();
    let spawned = within_deadline("a refusal", move || place.spawn(&command));
    let error = spawned.expect_err("it runs");
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        text += &format!(": {cause}");
    }
    if let Some(hint) = error.hint() {
        text += &format!("\nhint: {hint}");
    }
    text.replace(root.path().to_str().unwrap(), "ROOT")
}

/// A line of a process's output, read byte by byte.
#[track_caller]
fn line(process: &Process) -> String {
    let stdout = process.stdout.as_ref().unwrap().try_clone().unwrap();
    within_deadline("a line", move || {
        let mut line = Vec::new();
        let mut byte = [0];
        while rustix::io::read(&stdout, &mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    })
}

/// The record of a root's mount points.
fn record(root: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(root).unwrap();
    let folder = match testkit::is_root() {
        true => PathBuf::from("/run/thither"),
        false => match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(folder) => Path::new(&folder).join("thither"),
            None => format!("/tmp/thither-{}", rustix::process::geteuid().as_raw()).into(),
        },
    };
    folder.join(format!("root-{:x}-{:x}", metadata.dev(), metadata.ino()))
}

/// Every path below a folder with its kind, in order; links are not followed.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let letter = match kind {
                _ if kind.is_dir() => "folder",
                _ if kind.is_symlink() => "link",
                _ => "file",
            };
            found.push(format!("{} {letter}", entry.path().display()));
            if kind.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The lines of our mount table that name a path or something below it.
fn mounts_below(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    testkit::mounts().into_iter().filter(|line| line.contains(path)).collect()
}

/// Nothing is left of uses of this root: no mount, no record, and only these paths.
#[track_caller]
fn assert_clean(root: &Path, before: &[String]) {
    let after = listing(root);
    let more: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
    let less: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
    assert!(more.is_empty() && less.is_empty(), "left behind: {more:?}; removed: {less:?}");
    assert_eq!(mounts_below(root), [""; 0]);
    assert!(!record(root).exists(), "{:?} is left", record(root));
}

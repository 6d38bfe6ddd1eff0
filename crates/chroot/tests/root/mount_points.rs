//! Mount points that the root lacks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::as_user;
use thither_chroot::Chroot;
use thither_place::{Command, Exit, Place, Process, Stream};

use crate::{
    as_ordinary_user, assert_clean, busybox_root, line, listing, printed, record, sh, spawn, wait,
};

/// The default mount points, and those of [`made`].
pub(crate) const ALL: [&str; 4] = ["proc", "sys", "dev", "etc/resolv.conf"];

/// Runs a command until its input ends, and is inside when this returns.
#[track_caller]
pub(crate) fn waiting(root: &testkit::BusyboxRoot) -> Process {
    let command = sh("ls -d /proc/self >/dev/null && echo inside; read line; exit 0");
    let process = spawn(root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&process), "inside");
    process
}

#[track_caller]
pub(crate) fn made(root: &Path) -> [bool; 4] {
    ALL.map(|path| root.join(path).exists())
}

#[test]
fn missing_ones_are_made_and_removed() {
    let root = busybox_root!().without(&ALL);
    let before = listing(root.path());
    let process = waiting(&root);
    assert_eq!(made(root.path()), [true; 4]);
    assert!(record(root.path()).exists());
    assert_eq!(wait(process), Exit::Code(0));
    assert_clean(root.path(), &before);
}

#[test]
fn missing_ones_are_removed_after_a_drop_and_after_a_failure() {
    let root = busybox_root!().without(&ALL);
    let before = listing(root.path());
    drop(waiting(&root));
    assert_clean(root.path(), &before);
    Chroot::new(root.path()).spawn(&Command::new("/no/such/program")).unwrap_err();
    assert_clean(root.path(), &before);
}

#[test]
fn a_users_are_removed_too() {
    as_ordinary_user!();
    let root = busybox_root!().without(&ALL);
    let before = listing(root.path());
    assert_eq!(printed(&root, "echo $$"), "2\n");
    assert_clean(root.path(), &before);
}

#[test]
fn those_that_were_there_stay() {
    let root = busybox_root!().without(&["sys"]);
    fs::create_dir(root.path().join("dev/shm")).unwrap();
    let before = listing(root.path());
    assert_eq!(printed(&root, "echo $$"), "2\n");
    assert_clean(root.path(), &before);
}

#[test]
fn parents_that_were_missing_are_removed_and_others_stay() {
    let root = busybox_root!().without(&["etc"]);
    let before = listing(root.path());
    assert_eq!(printed(&root, "[ -f /etc/resolv.conf ] && echo there"), "there\n");
    assert_clean(root.path(), &before);
    fs::create_dir(root.path().join("etc")).unwrap();
    let before = listing(root.path());
    printed(&root, ":");
    assert_clean(root.path(), &before);
}

#[test]
fn the_last_of_several_removes_them() {
    let root = busybox_root!().without(&ALL);
    let before = listing(root.path());
    let [first, second, third] = [(); 3].map(|()| waiting(&root));
    wait(first);
    assert_eq!(made(root.path()), [true; 4]);
    drop(third);
    assert_eq!(made(root.path()), [true; 4]);
    // A newcomer finds them and leaves them too.
    assert_eq!(printed(&root, "ls -d /proc/self"), "/proc/self\n");
    assert_eq!(made(root.path()), [true; 4]);
    assert_eq!(wait(second), Exit::Code(0));
    assert_clean(root.path(), &before);
}

#[test]
fn the_second_keeps_its_mounts_when_the_first_ends() {
    let root = busybox_root!().without(&ALL);
    let first = waiting(&root);
    let command = sh("echo inside; read line; ls -d /proc/self /sys/kernel /dev/null; echo end");
    let second = spawn(&root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&second), "inside");
    wait(first);
    rustix::io::write(second.stdin.as_ref().unwrap(), b"\n").unwrap();
    let output = testkit::within_deadline("output", move || second.wait_with_output()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "/dev/null\n/proc/self\n/sys/kernel\nend\n");
}

#[test]
fn what_was_written_to_meanwhile_stays() {
    let root = busybox_root!().without(&["etc/resolv.conf", "sys", "proc"]);
    let process = waiting(&root);
    fs::write(root.path().join("etc/resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    fs::write(root.path().join("sys/file"), "").unwrap();
    wait(process);
    assert_eq!(
        fs::read_to_string(root.path().join("etc/resolv.conf")).unwrap(),
        "nameserver 192.0.2.1\n"
    );
    assert!(root.path().join("sys/file").exists());
    assert!(!root.path().join("proc").exists());
    assert!(!record(root.path()).exists());
}

#[test]
fn what_was_replaced_meanwhile_stays() {
    let root = busybox_root!().without(&["sys"]);
    let process = waiting(&root);
    fs::rename(root.path().join("sys"), root.path().join("moved")).unwrap();
    fs::create_dir(root.path().join("sys")).unwrap();
    wait(process);
    assert!(root.path().join("sys").exists(), "a folder of someone else was removed");
}

#[test]
fn an_empty_root_stays_and_its_empty_parents() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("empty/root");
    fs::create_dir_all(&root).unwrap();
    Chroot::new(&root).spawn(&sh("")).unwrap_err();
    assert_clean(
        folder.path(),
        &[
            format!("{}/empty folder", folder.path().display()),
            format!("{} folder", root.display()),
        ],
    );
    assert!(!record(&root).exists());
}

#[test]
fn mount_points_with_odd_names() {
    use std::os::unix::ffi::OsStrExt;
    let root = busybox_root!().without(&["sys"]);
    let target = std::ffi::OsStr::from_bytes(b"/a\nb/\xff c/made 1 1 1 ");
    std::os::unix::fs::symlink(target, root.path().join("sys")).unwrap();
    let before = listing(root.path());
    let process = waiting(&root);
    assert_eq!(listing(root.path()).len(), before.len() + 3);
    wait(process);
    assert_clean(root.path(), &before);
}

#[test]
fn a_user_who_may_not_write_to_the_root() {
    as_ordinary_user!();
    let root = busybox_root!().without(&["proc"]);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let error = Chroot::new(root.path()).spawn(&sh("")).unwrap_err();
    let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    let path = root.path().to_str().unwrap();
    let said = said.replace(path, "ROOT");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    expect_test::expect![
        "cannot make the missing mount point `ROOT/proc` in `chroot:ROOT`: Permission denied (os error 13)"
    ]
    .assert_eq(&said);
    assert!(!record(root.path()).exists());
}

#[test]
fn what_is_made_is_for_all_to_use_whatever_the_umask() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "umask 077; exec \"$0\" \"$@\""])
            .arg(std::fs::read_link(program).unwrap());
        command
    });
    let root = busybox_root!().without(&["proc", "etc"]);
    let modes = printed(&root, "stat -c %a /etc; stat -c %a /etc/resolv.conf");
    assert_eq!(modes.lines().next(), Some("755"), "{modes}");
    assert_clean(root.path(), &listing(root.path()));
}

#[test]
fn a_runtime_folder_of_someone_else_is_not_used() {
    testkit::own_process!(|program| {
        // As `su` leaves it.
        let mut command = std::process::Command::new(program);
        as_user(&mut command).env("XDG_RUNTIME_DIR", "/run");
        command
    });
    if testkit::is_root() {
        testkit::skip!("root in a place without other users");
    }
    let root = busybox_root!();
    assert_eq!(printed(&root, "echo $$"), "2\n");
}

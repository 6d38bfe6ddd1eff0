//! Records of mount points that a killed program has left.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::{BusyboxRoot, Marker, Who, own_records, within_deadline};
use thither_chroot::Chroot;
use thither_place::{Exit, Place};

use crate::mount_points::{ALL, made, waiting};
use crate::{busybox_root, listing, mounts_below, only_root, printed, record, sh, wait};

/// Tests as whoever runs them and as an ordinary user, each with records of its own.
macro_rules! both {
    ($($name:ident,)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn as_whoever() {
                own_records!(Who::Same);
                super::$name(busybox_root!().without(&ALL));
            }

            #[test]
            fn as_a_user() {
                own_records!(Who::User);
                super::$name(busybox_root!().without(&ALL));
            }
        }
    )*};
}

both! {
    the_next_one_sweeps,
    the_next_one_in_another_root_sweeps,
    one_whose_users_live_is_not_swept,
    what_somebody_uses_meanwhile_stays,
    one_of_another_boot_is_not_believed,
    garbage_is_not_believed,
    one_whose_root_is_gone_goes_too,
    one_whose_root_is_another_now_goes_too,
    one_of_a_root_with_an_odd_path,
    other_files_in_the_folder_stay,
}

/// Runs in a process of its own for the tests here, until it is killed.
#[test]
fn helper_that_is_killed() {
    let Some(root) = std::env::var_os("THITHER_KILLED_ROOT") else { return };
    let command = sh("echo inside; setsid sleep 1000 & sleep 1000");
    let mut process = Chroot::new(root).spawn(&command).unwrap();
    process.wait().unwrap();
}

/// Kills a program that has entered a root without mount points.
#[track_caller]
fn killed(root: &Path) {
    let marker = Marker::new();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "records::helper_that_is_killed", "--nocapture"]);
    command.env("THITHER_KILLED_ROOT", root).stdout(Stdio::piped());
    let mut child = marker.mark(&mut command).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    within_deadline("the helper's command", move || {
        assert!(BufReader::new(stdout).lines().any(|line| line.unwrap() == "inside"));
    });
    child.kill().unwrap();
    child.wait().unwrap();
    marker.assert_gone();
    let there = ALL.map(|path| root.join(path).symlink_metadata().is_ok());
    assert_eq!(there, [true; 4], "nobody was left to remove them");
    assert!(record(root).exists());
}

/// Enters another root, which has all mount points.
#[track_caller]
fn sweep() {
    let other = BusyboxRoot::new().unwrap();
    printed(&other, ":");
}

#[track_caller]
fn assert_swept(root: &Path, record: &Path, before: &[String]) {
    assert_eq!(listing(root), before);
    assert!(!record.exists());
}

fn the_next_one_sweeps(root: BusyboxRoot) {
    let before = listing(root.path());
    killed(root.path());
    assert_eq!(mounts_below(root.path()), [""; 0]);
    assert_eq!(printed(&root, "ls -d /proc/self"), "/proc/self\n");
    assert_swept(root.path(), &record(root.path()), &before);
}

fn the_next_one_in_another_root_sweeps(root: BusyboxRoot) {
    let before = listing(root.path());
    let second = busybox_root!().without(&ALL);
    let second_before = listing(second.path());
    killed(root.path());
    killed(second.path());
    sweep();
    assert_swept(root.path(), &record(root.path()), &before);
    assert_swept(second.path(), &record(second.path()), &second_before);
}

fn one_whose_users_live_is_not_swept(root: BusyboxRoot) {
    let before = listing(root.path());
    killed(root.path());
    let process = waiting(&root);
    sweep();
    assert_eq!(made(root.path()), [true; 4]);
    assert_eq!(printed(&root, "ls -d /proc/self /sys/kernel"), "/proc/self\n/sys/kernel\n");
    assert_eq!(wait(process), Exit::Code(0));
    assert_swept(root.path(), &record(root.path()), &before);
}

fn what_somebody_uses_meanwhile_stays(root: BusyboxRoot) {
    killed(root.path());
    fs::write(root.path().join("etc/resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    fs::write(root.path().join("sys/file"), "").unwrap();
    fs::remove_dir(root.path().join("dev")).unwrap();
    fs::create_dir(root.path().join("dev")).unwrap();
    sweep();
    // ALL is proc, sys, dev, etc/resolv.conf.
    assert_eq!(made(root.path()), [false, true, true, true]);
    assert!(root.path().join("sys/file").exists());
    assert!(!record(root.path()).exists());
}

fn one_of_another_boot_is_not_believed(root: BusyboxRoot) {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim_ascii_end();
    for by_another in [true, false] {
        killed(root.path());
        let path = record(root.path());
        let mut text = fs::read(&path).unwrap();
        let at: Vec<usize> = (0..text.len()).filter(|&at| text[at..].starts_with(boot)).collect();
        assert!(!at.is_empty(), "{text:?}");
        for at in at {
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        }
        fs::write(&path, &text).unwrap();
        match by_another {
            true => sweep(),
            false => drop(printed(&root, ":")),
        }
        assert_eq!(made(root.path()), [true; 4], "{by_another}");
        assert!(!path.exists());
        ALL.iter().for_each(|path| {
            let path = root.path().join(path);
            fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        });
    }
}

fn garbage_is_not_believed(root: BusyboxRoot) {
    killed(root.path());
    let path = record(root.path());
    for garbage in [&b"garbage"[..], b"", b"\0\0\0", &[0xff; 5000]] {
        for run in [&sweep as &dyn Fn(), &|| drop(printed(&root, ":"))] {
            let mut folder = fs::DirBuilder::new();
            folder.recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
            fs::write(&path, garbage).unwrap();
            run();
            assert!(!path.exists());
        }
    }
    assert_eq!(made(root.path()), [true; 4]);
}

fn one_whose_root_is_gone_goes_too(root: BusyboxRoot) {
    // Made before, as it may get the number of the one that is removed.
    let other = busybox_root!();
    killed(root.path());
    let path = record(root.path());
    drop(root);
    printed(&other, ":");
    assert!(!path.exists());
}

fn one_whose_root_is_another_now_goes_too(root: BusyboxRoot) {
    killed(root.path());
    let path = record(root.path());
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("moved");
    fs::rename(root.path(), &moved).unwrap();
    fs::create_dir(root.path()).unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    // Even what was made, if somebody has put it there.
    fs::rename(moved.join("sys"), root.path().join("sys")).unwrap();
    let before = listing(root.path());
    sweep();
    assert_swept(root.path(), &path, &before);
    assert_eq!(made(&moved), [true, false, true, true]);
}

fn one_of_a_root_with_an_odd_path(root: BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join(OsStr::from_bytes(b"a\nb \xff\x01")).join(" ");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(root.path(), &moved).unwrap();
    let target = OsStr::from_bytes(b"/x\ny/\xfe made 1 1 1 /etc\n");
    std::os::unix::fs::symlink(target, moved.join("proc")).unwrap();
    let before = listing(&moved);
    killed(&moved);
    assert_eq!(listing(&moved).len(), before.len() + 6);
    let path = record(&moved);
    sweep();
    assert_swept(&moved, &path, &before);
}

fn other_files_in_the_folder_stay(root: BusyboxRoot) {
    killed(root.path());
    let path = record(root.path());
    let folder = path.parent().unwrap();
    let others: [PathBuf; 4] =
        ["note", "root-", "root-1-x", "root-1-2-3"].map(|name| folder.join(name));
    others.iter().for_each(|path| fs::write(path, "").unwrap());
    // Of the right name, and no file.
    fs::create_dir(folder.join("root-1-2")).unwrap();
    sweep();
    assert!(!path.exists());
    assert!(others.iter().all(|path| path.exists()));
    assert!(folder.join("root-1-2").exists());
}

#[test]
fn one_whose_root_cannot_be_reached_waits() {
    own_records!(Who::User);
    if testkit::is_root() {
        testkit::skip!("root in a place without other users: nothing keeps it out of a folder");
    }
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("root");
    let root = busybox_root!().without(&ALL);
    fs::rename(root.path(), &moved).unwrap();
    let before = listing(&moved);
    killed(&moved);
    let path = record(&moved);
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(folder.path(), 0o000);
    sweep();
    assert!(path.exists());
    set_mode(folder.path(), 0o700);
    assert_eq!(made(&moved), [true; 4]);
    // What is in it cannot be removed now.
    set_mode(&moved, 0o555);
    sweep();
    assert!(path.exists());
    set_mode(&moved, 0o755);
    sweep();
    assert_swept(&moved, &path, &before);
}

#[test]
fn root_believes_nobody_elses() {
    only_root!();
    own_records!(Who::Same);
    let root = busybox_root!().without(&ALL);
    killed(root.path());
    let path = record(root.path());
    let folder = path.parent().unwrap();
    let said = |root: &BusyboxRoot| {
        let error = Chroot::new(root.path()).spawn(&sh("")).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let lacking = busybox_root!().without(&["sys"]);
    std::os::unix::fs::chown(folder, Some(testkit::USER), None).unwrap();
    // What needs no record is no concern of it.
    sweep();
    assert!(said(&lacking).contains("is not ours alone"), "{}", said(&lacking));
    std::os::unix::fs::chown(folder, Some(0), None).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(said(&lacking).contains("is not ours alone"), "{}", said(&lacking));
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    let moved = folder.with_file_name("moved");
    fs::rename(folder, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, folder).unwrap();
    assert!(said(&lacking).contains("is not ours alone"), "{}", said(&lacking));
    assert_eq!(made(root.path()), [true; 4]);
    fs::remove_file(folder).unwrap();
    fs::rename(&moved, folder).unwrap();
    sweep();
    assert_eq!(made(root.path()), [false; 4]);
}

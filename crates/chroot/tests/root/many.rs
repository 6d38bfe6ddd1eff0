//! Many at once and many in a row leave nothing behind.

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use testkit::{BusyboxRoot, Marker, descriptors};
use thither_chroot::Chroot;
use thither_place::{Command, Exit, Place};

use crate::{as_ordinary_user, assert_clean, busybox_root, listing, sh};

/// Does something in the root, alone in this process, and finds nothing of it left.
#[track_caller]
fn check_clean(root: &BusyboxRoot, work: impl FnOnce(&Marker)) {
    let marker = Marker::new();
    let before = (listing(root.path()), descriptors(std::process::id()), testkit::mounts());
    work(&marker);
    assert_eq!(marker.processes(), [0u32; 0]);
    assert_eq!(wait(WaitOptions::NOHANG).map(drop), Err(Errno::CHILD), "a child is left");
    assert_eq!(descriptors(std::process::id()), before.1);
    assert_eq!(testkit::mounts(), before.2);
    assert_clean(root.path(), &before.0);
}

/// Runs `threads` times `runs` commands, which leave a process behind each.
#[track_caller]
fn check(root: &BusyboxRoot, threads: usize, runs: usize) {
    let run = |marker: &Marker, number: usize| {
        let code = i32::try_from(number % 256).unwrap();
        let script = format!("sleep 1000 & echo {code} $(ls -d /proc/self); exit {code}");
        let (name, value) = marker.variable();
        let output = Chroot::new(root.path()).output(&sh(&script).env(name, value)).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.exit, &*text), (Exit::Code(code), &*format!("{code} /proc/self\n")));
    };
    check_clean(root, |marker| {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || (0..runs).for_each(|n| run(marker, thread * runs + n)));
            }
        });
    });
}

/// Runs `/bin/true` one time after the other.
#[track_caller]
fn check_row(root: &BusyboxRoot, runs: usize) {
    check_clean(root, |marker| {
        let (name, value) = marker.variable();
        let (place, command) =
            (Chroot::new(root.path()), Command::new("/bin/true").env(name, value));
        for _ in 0..runs {
            assert_eq!(place.status(&command).unwrap(), Exit::Code(0));
        }
    });
}

const MOUNT_POINTS: [&str; 4] = ["proc", "sys", "dev", "etc/resolv.conf"];

#[test]
fn eight_threads_in_one_root_without_mount_points() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let root = busybox_root!().without(&MOUNT_POINTS);
    check(&root, 8, 25);
}

#[test]
fn eight_threads_of_a_user() {
    as_ordinary_user!();
    let root = busybox_root!().without(&MOUNT_POINTS);
    check(&root, 8, 10);
}

#[test]
fn ten_thousand_in_a_row() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let root = busybox_root!().without(&MOUNT_POINTS);
    check_row(&root, 10_000);
}

#[test]
fn ten_thousand_in_a_row_of_a_user() {
    as_ordinary_user!();
    let root = busybox_root!().without(&MOUNT_POINTS);
    check_row(&root, 10_000);
}

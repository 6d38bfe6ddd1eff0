//! Many at once and many in a row leave nothing behind.

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use testkit::{BusyboxRoot, Marker, descriptors};
use thither_chroot::Chroot;
use thither_place::{Exit, Place};

use crate::{as_ordinary_user, assert_clean, busybox_root, listing, sh};

/// Runs `threads` times `runs` commands in the root, alone in this process.
#[track_caller]
fn check(root: &BusyboxRoot, threads: usize, runs: usize) {
    let marker = Marker::new();
    let (name, value) = marker.variable();
    let before = (listing(root.path()), descriptors(std::process::id()), testkit::mounts());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for run in 0..runs {
                    let code = i32::try_from((thread * runs + run) % 256).unwrap();
                    // A process that nobody waits for, too.
                    let script =
                        format!("sleep 1000 & echo {code} $(ls -d /proc/self); exit {code}");
                    let command = sh(&script).env(name, value);
                    let output = Chroot::new(root.path()).output(&command).unwrap();
                    let text = String::from_utf8_lossy(&output.stdout);
                    assert_eq!(
                        (output.exit, &*text),
                        (Exit::Code(code), &*format!("{code} /proc/self\n"))
                    );
                }
            });
        }
    });
    assert_eq!(marker.processes(), [0u32; 0]);
    assert_eq!(wait(WaitOptions::NOHANG).map(drop), Err(Errno::CHILD), "a child is left");
    assert_eq!(descriptors(std::process::id()), before.1);
    assert_eq!(testkit::mounts(), before.2);
    assert_clean(root.path(), &before.0);
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
fn five_hundred_in_a_row() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let root = busybox_root!().without(&MOUNT_POINTS);
    check(&root, 1, 500);
}

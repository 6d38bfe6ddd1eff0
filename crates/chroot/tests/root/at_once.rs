//! Many programs enter one root at the same time.

use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use testkit::{Who, own_records, within_deadline};
use thither_chroot::Chroot;
use thither_place::Place;

use crate::mount_points::ALL;
use crate::{assert_clean, busybox_root, listing, record, sh};

const INSTANCES: usize = 200;

/// Runs in processes of its own for the tests below: waits for the end of its input, and enters the root.
#[test]
fn helper_that_is_one_of_many() {
    let Some(root) = std::env::var_os("THITHER_ONE_OF_MANY") else { return };
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let output = Chroot::new(root).output(&sh("ls -d /proc/self /dev/null /sys/kernel")).unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "/dev/null\n/proc/self\n/sys/kernel\n", "{output:?}");
}

fn start(root: &std::path::Path, gate: &PipeReader) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "at_once::helper_that_is_one_of_many", "--nocapture"]);
    command.env("THITHER_ONE_OF_MANY", root).stdin(OwnedFd::from(gate.try_clone().unwrap()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn check(root: &testkit::BusyboxRoot) {
    let before = listing(root.path());
    let (gate, closed) = std::io::pipe().unwrap();
    let children: Vec<Child> = (0..INSTANCES).map(|_| start(root.path(), &gate)).collect();
    // All of them wait for that.
    drop(closed);
    for child in children {
        let output = within_deadline("one of many", move || child.wait_with_output()).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }
    assert_clean(root.path(), &before);
    assert!(!record(root.path()).parent().unwrap().exists(), "the folder of records is left");
}

#[test]
fn two_hundred() {
    own_records!(Who::Same);
    check(&busybox_root!().without(&ALL));
}

#[test]
fn two_hundred_of_a_user() {
    own_records!(Who::User);
    check(&busybox_root!().without(&ALL));
}

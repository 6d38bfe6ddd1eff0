//! The ids that an ordinary user has inside.

use std::fs;
use std::os::unix::fs::MetadataExt;

use expect_test::{Expect, expect};
use thither_chroot::{Chroot, Ids};

use crate::{
    as_ordinary_user, busybox_root, only_root, output, printed_in, refusal, sh, with_mounts,
};

/// Skips what asks newuidmap(1) for ids.
macro_rules! newuidmap {
    () => {
        for program in ["newuidmap", "newgidmap"] {
            if let Err(reason) = testkit::find_program(program) {
                testkit::skip!("{reason}");
            }
        }
    };
}

/// Makes `/etc/subuid` and `/etc/subgid` grant this to the user, who has a name, as newuidmap(1) asks for; in the test's own mounts, so for nobody else.
macro_rules! granted {
    ($uids:literal, $gids:literal) => {
        concat!(
            "echo ",
            $uids,
            " >/mnt/subuid; echo ",
            $gids,
            " >/mnt/subgid; chmod 644 /mnt/sub*
            mount --bind /mnt/subuid /etc/subuid; mount --bind /mnt/subgid /etc/subgid
            cp /etc/passwd /mnt/passwd; echo tester:x:12345:12345::/tmp:/bin/sh >>/mnt/passwd
            mount --bind /mnt/passwd /etc/passwd;"
        )
    };
}

#[test]
fn subordinate_ones() {
    newuidmap!();
    with_mounts!(user, granted!("12345:200000:65536", "12345:300000:65536"));
    let root = busybox_root!().with("/usr/bin/setpriv");
    let place = Chroot::new(root.path()).ids(Ids::Subordinate);
    let script = "id -u; id -g; touch /tmp/1 /tmp/last /tmp/none; chown 1:1 /tmp/1
        chown 65536:65536 /tmp/last; stat -c %u:%g /tmp/1 /tmp/last
        chown 65537 /tmp/none 2>/dev/null || echo no such id; cat /proc/self/setgroups
        /usr/bin/setpriv --reuid 1000 --regid 1000 --groups 1000 id; stat -c %u /home/guest";
    let guest = "uid=1000(guest) gid=1000(guest) groups=1000(guest)\n";
    let expected = format!("0\n0\n1:1\n65536:65536\nno such id\nallow\n{guest}0\n");
    assert_eq!(printed_in(&place, script), expected);
    let owner = |path: &str| {
        let metadata = fs::metadata(root.path().join(path)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("tmp/1"), (200_000, 300_000));
    assert_eq!(owner("tmp/last"), (265_535, 365_535));
    // Without them there is one.
    let one = Chroot::new(root.path());
    assert_eq!(printed_in(&one, "chown 1 /tmp/none 2>/dev/null || echo no"), "no\n");
}

#[test]
fn another_user_takes_them() {
    newuidmap!();
    with_mounts!(user, granted!("tester:200000:65536", "tester:300000:65536"));
    let root = busybox_root!();
    let place = Chroot::new(root.path()).user("guest");
    let script = "id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status; touch /tmp/mine";
    let expected = "1000\n1000\n1000\n/home/guest\nCapEff:\t0000000000000000\n";
    assert_eq!(printed_in(&place, script), expected);
    let metadata = fs::metadata(root.path().join("tmp/mine")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (200_999, 300_999));
    // As every process inside, it ends with the command, though another user's.
    let marker = testkit::Marker::new();
    let (name, value) = marker.variable();
    let command = sh("sleep 1000 & echo $!").env(name, value);
    assert_eq!(crate::output_in(&place, command).exit.shell_code(), 0);
    marker.assert_gone();
}

#[track_caller]
fn check_refused(place: &Chroot, expected: Expect) {
    expected.assert_eq(&refusal(place, sh("")));
}

#[test]
fn groups_that_are_not_granted() {
    with_mounts!(user, granted!("12345:200000:65536", "1:1:1"));
    let root = busybox_root!();
    check_refused(
        &Chroot::new(root.path()).ids(Ids::Subordinate),
        expect![[r#"
            cannot have more ids than yours in `chroot:ROOT`: /etc/subgid grants no ids to user 12345, tester
            hint: as root: `usermod --add-subuids 265536-331071 --add-subgids 265536-331071 USER`; or run this as root"#]],
    );
}

#[test]
fn a_grant_that_the_kernel_refuses() {
    newuidmap!();
    // The user's own id is among them, and would be there twice.
    with_mounts!(user, granted!("12345:12340:10", "12345:300000:65536"));
    let root = busybox_root!();
    let before = crate::listing(root.path());
    let said = refusal(&Chroot::new(root.path()).ids(Ids::Subordinate), sh(""));
    let start = "cannot have more ids than yours in `chroot:ROOT`: newuidmap: ";
    assert!(said.starts_with(start) && said.contains("Invalid argument"), "{said}");
    crate::assert_clean(root.path(), &before);
}

#[test]
fn without_newuidmap() {
    // Inside, as a user, it is hidden.
    if testkit::is_root() {
        newuidmap!();
    }
    with_mounts!(
        user,
        concat!(
            granted!("12345:200000:65536", "12345:300000:65536"),
            // A whiteout: what is below it is not to be seen.
            "mkdir /mnt/upper /mnt/work; mknod /mnt/upper/newuidmap c 0 0
            mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/upper,workdir=/mnt/work x /usr/bin;"
        )
    );
    let root = busybox_root!();
    check_refused(
        &Chroot::new(root.path()).ids(Ids::Subordinate),
        expect![[r#"
            cannot have more ids than yours in `chroot:ROOT`: newuidmap is not installed
            hint: install it (Debian: the package uidmap), or run this as root"#]],
    );
}

#[test]
fn one_without_a_name() {
    newuidmap!();
    with_mounts!(
        user,
        concat!(granted!("12345:200000:65536", "12345:300000:65536"), "umount /etc/passwd;")
    );
    let root = busybox_root!();
    check_refused(
        &Chroot::new(root.path()).ids(Ids::Subordinate),
        expect![[r#"
            cannot have more ids than yours in `chroot:ROOT`: newuidmap: Cannot determine your user name.
            hint: give the user a name in the passwd file, or run this as root"#]],
    );
}

#[test]
fn one_without_a_grant() {
    as_ordinary_user!();
    let root = busybox_root!();
    let said = refusal(&Chroot::new(root.path()).ids(Ids::Subordinate), sh(""));
    let start =
        "cannot have more ids than yours in `chroot:ROOT`: /etc/subuid grants no ids to user";
    if rustix::process::geteuid().as_raw() != testkit::USER {
        testkit::skip!("this user may have a grant");
    }
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn root_has_them_all() {
    only_root!();
    let root = busybox_root!();
    let place = Chroot::new(root.path()).ids(Ids::Subordinate);
    assert_eq!(
        printed_in(&place, "touch /tmp/x; chown 4242424 /tmp/x; stat -c %u /tmp/x"),
        "4242424\n"
    );
    assert_eq!(output(&root, sh("id -u").user("guest")).stdout, b"1000\n");
}

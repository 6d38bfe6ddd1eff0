//! A root that is read-only.

use std::fs;

use testkit::BusyboxRoot;
use thither_chroot::{Chroot, Mount, Overlay};

use crate::{
    as_both, as_ordinary_user, assert_clean, busybox_root, listing, printed_in, with_mounts,
};

as_both! {
    the_root_is_and_its_mounts_are_not,
    mount_points_are_made_all_the_same,
    the_overlay_is_too,
}

const WRITE: &str = "write() { (echo x >$1) 2>&1 | grep -o 'Read-only file system'; };";

fn the_root_is_and_its_mounts_are_not(root: &BusyboxRoot) {
    let (folder, before) = (tempfile::tempdir().unwrap(), listing(root.path()));
    let place = Chroot::new(root.path())
        .read_only(true)
        .mount(Mount::bind(folder.path()).at("/srv/rw"))
        .mount(Mount::bind(folder.path()).at("/srv/ro").read_only())
        .mount(Mount::tmpfs("/tmp"));
    let script = format!(
        "{WRITE} write /new; write /etc/passwd; write /srv/new; write /srv/ro/new; (rm /bin/busybox) 2>&1
        echo x >/srv/rw/x && echo x >/tmp/x && echo x >/dev/shm/x && cat /srv/ro/x"
    );
    let expected = [
        "Read-only file system\n".repeat(4),
        "rm: can't remove '/bin/busybox': Read-only file system\n".to_owned(),
        "x\n".to_owned(),
    ];
    assert_eq!(printed_in(&place, &script), expected.concat());
    assert_eq!(fs::read_to_string(folder.path().join("x")).unwrap(), "x\n");
    assert_clean(root.path(), &before);
    // Nor is it that for others.
    let place = place.read_only(false);
    assert_eq!(printed_in(&place, "echo x >/new; cat /new"), "x\n");
}

fn mount_points_are_made_all_the_same(root: &BusyboxRoot) {
    for name in ["proc", "sys", "dev"] {
        fs::remove_dir(root.path().join(name)).unwrap();
    }
    let before = listing(root.path());
    let place = Chroot::new(root.path()).read_only(true);
    let text = printed_in(&place, &format!("{WRITE} ls -d /proc/self /sys/kernel; write /new"));
    assert_eq!(text, "/proc/self\n/sys/kernel\nRead-only file system\n");
    assert_clean(root.path(), &before);
}

fn the_overlay_is_too(root: &BusyboxRoot) {
    fs::remove_dir(root.path().join("proc")).unwrap();
    let before = listing(root.path());
    let place = Chroot::new(root.path()).read_only(true).overlay(Overlay::Vanish);
    let text =
        printed_in(&place, &format!("{WRITE} ls -d /proc/self; write /new; echo x >/dev/shm/x"));
    assert_eq!(text, "/proc/self\nRead-only file system\n");
    assert_clean(root.path(), &before);
}

/// A root with something mounted below it. An ordinary user may not unmount that, nor change its flags.
const BELOW: &str = "mkdir /mnt/root; mount -t tmpfs x /mnt/root; mkdir /mnt/root/below
    mount -t tmpfs -o nosuid,nodev x /mnt/root/below; mkdir /mnt/root/below/again
    mount -t tmpfs x /mnt/root/below/again; chown -R 12345 /mnt/root;";

#[track_caller]
fn check_below(root: &BusyboxRoot) {
    let mut cp = std::process::Command::new("cp");
    let copied = cp.arg("-a").arg(root.path().join(".")).arg("/mnt/root").status().unwrap();
    assert!(copied.success());
    let script =
        format!("{WRITE} for folder in '' /below /below/again; do write $folder/new; done");
    let place = Chroot::new("/mnt/root").read_only(true);
    assert_eq!(printed_in(&place, &script), "Read-only file system\n".repeat(3));
    assert_eq!(printed_in(&place.read_only(false), &script.replace("write ", "echo x >")), "");
    assert_eq!(fs::read_to_string("/mnt/root/below/again/new").unwrap(), "x\n");
}

#[test]
fn what_is_mounted_below_is_too() {
    with_mounts!(root, BELOW);
    check_below(&busybox_root!());
}

#[test]
fn what_is_mounted_below_a_users_is_too() {
    with_mounts!(user, BELOW);
    check_below(&busybox_root!());
}

#[test]
fn root_of_a_user_namespace_cannot_change_that() {
    as_ordinary_user!();
    let root = busybox_root!();
    let shown = tempfile::tempdir().unwrap();
    let script = "for at in / /mnt; do
            mount -o remount,bind,rw $at; mount -o remount,rw $at; umount $at; touch $at/made
        done 2>/dev/null; touch /dev/shm/x; id -u; echo $$";
    let mount = Mount::bind(shown.path()).at("/mnt").read_only();
    for read_only in [true, false] {
        let place = Chroot::new(root.path()).read_only(read_only).mount(mount.clone().recursive());
        assert_eq!(printed_in(&place, script), "0\n2\n");
        assert_eq!(listing(shown.path()), [""; 0]);
        assert_eq!(root.path().join("made").exists(), !read_only);
    }
}

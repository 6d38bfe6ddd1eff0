//! An overlay: the root stays as it is, and what is written goes elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use expect_test::expect;
use testkit::{BusyboxRoot, Marker, as_user, within_deadline};
use thither_chroot::{Chroot, Mount, Overlay};
use thither_place::{Exit, Place, Stream};

use crate::{
    as_both, as_ordinary_user, busybox_root, line, listing, mounts_below, only_root, output_in,
    printed_in, record, refusal, sh, wait, with_mounts,
};

as_both! {
    nothing_reaches_the_root,
    what_is_kept_is_there_the_next_time,
    a_directory_that_is_made_again_is_empty,
    one_command_at_a_time,
    a_directory_in_the_root,
    a_directory_that_cannot_be_made,
    odd_paths,
    mount_points_are_not_made_in_the_root,
    links_in_the_root_are_followed_inside,
    mounts_are_writable,
}

fn vanishing(root: &BusyboxRoot) -> Chroot {
    Chroot::new(root.path()).overlay(Overlay::Vanish)
}

fn keeping(root: &BusyboxRoot, dir: &Path) -> Chroot {
    Chroot::new(root.path()).overlay(Overlay::Keep(dir.to_owned()))
}

/// Every path with all that writing would change: mode, owner, size and times but that of reading.
fn state(folder: &Path) -> Vec<String> {
    let all = listing(folder).into_iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
    all.chain([folder.to_str().unwrap().to_owned()])
        .map(|path| {
            let m = fs::symlink_metadata(&path).unwrap();
            let owner = (m.uid(), m.gid());
            let times = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
            format!("{path} {:o} {owner:?} {} {times:?}", m.mode(), m.size())
        })
        .collect()
}

/// The root is as it was, byte for byte, and nothing else is left.
#[track_caller]
fn assert_untouched(root: &Path, before: &[String]) {
    assert_eq!(state(root), before);
    assert_eq!(mounts_below(root), [""; 0]);
    assert!(!record(root).exists());
}

const CHANGES: &str =
    "echo new >/new; rm /etc/passwd; mkdir /etc/folder /srv; chmod 700 /home/guest
    echo more >>/etc/group; mv /home/guest /home/moved; ln -s x /tmp/link; rm -r /root; touch /
    touch /bin/busybox;";

const LOOK: &str = "cat /new; ls -d /etc/passwd /etc/folder /srv /home/guest /home/moved /root 2>&-
    stat -c %a /home/*; cat /etc/group; readlink /tmp/link";

const CHANGED: &str =
    "new\n/etc/folder\n/home/moved\n/srv\n700\nroot:x:0:\nguest:x:1000:\nmore\nx\n";

fn nothing_reaches_the_root(root: &BusyboxRoot) {
    let before = state(root.path());
    let place = vanishing(root);
    assert_eq!(printed_in(&place, &format!("{CHANGES} {LOOK}")), CHANGED);
    assert_untouched(root.path(), &before);
    let text = printed_in(&place, "ls -d /new 2>&- || cat /etc/group; stat -c %a /home/guest");
    assert_eq!(text, "root:x:0:\nguest:x:1000:\n755\n");
    assert_untouched(root.path(), &before);
}

fn what_is_kept_is_there_the_next_time(root: &BusyboxRoot) {
    let before = state(root.path());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kept");
    let place = keeping(root, &dir);
    printed_in(&place, CHANGES);
    assert_untouched(root.path(), &before);
    assert_eq!(fs::read_to_string(dir.join("upper/new")).unwrap(), "new\n");
    assert_eq!(printed_in(&place, LOOK), CHANGED);
    // Elsewhere, the root is what it was.
    assert_eq!(printed_in(&vanishing(root), "ls -d /new /root 2>&- || :"), "/root\n");
    assert_untouched(root.path(), &before);
}

/// For which the kernel sets a mark that an ordinary user may not set by its usual name.
fn a_directory_that_is_made_again_is_empty(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    let place = keeping(root, folder.path());
    let script = "rm -r /home && mkdir /home && ls -A /home";
    assert_eq!(printed_in(&place, script), "");
    assert_eq!(printed_in(&place, "ls -A /home"), "");
    assert_eq!(printed_in(&vanishing(root), "ls /home"), "guest\n");
}

fn one_command_at_a_time(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    let place = keeping(root, folder.path());
    let command = || sh("echo inside; read line; :").stdin(Stream::Piped).stdout(Stream::Piped);
    let first = place.spawn(&command()).unwrap();
    assert_eq!(line(&first), "inside");
    let said = refusal(&place, sh("")).replace(folder.path().to_str().unwrap(), "DIR");
    expect!["cannot keep what is written in `DIR` in `chroot:ROOT`: another command has it"]
        .assert_eq(&said);
    // Others can be had meanwhile.
    assert_eq!(printed_in(&vanishing(root), "echo $$"), "2\n");
    assert_eq!(wait(first), Exit::Code(0));
    assert_eq!(printed_in(&place, "echo $$"), "2\n");
    // Also after one that was given up.
    drop(place.spawn(&command()).unwrap());
    assert_eq!(printed_in(&place, "echo $$"), "2\n");
}

fn a_directory_in_the_root(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(root.path().join("home"), &link).unwrap();
    let before = listing(root.path());
    let inside = ["", "home", "tmp/kept"].map(|path| root.path().join(path));
    for dir in inside.iter().chain([&link]) {
        let said = refusal(&keeping(root, dir), sh(""));
        assert!(said.starts_with("cannot plan the overlay in `chroot:ROOT`: "), "{said}");
        assert!(said.ends_with("is in the root"), "{said}");
        assert_eq!(listing(root.path()), before);
    }
    // Nor may the root be in what is kept.
    let upper = folder.path().join("kept/upper");
    fs::create_dir_all(&upper).unwrap();
    let moved = upper.join("root");
    fs::rename(root.path(), &moved).unwrap();
    let place = Chroot::new(&moved).overlay(Overlay::Keep(folder.path().join("kept")));
    let said = refusal(&place, sh(""));
    fs::rename(&moved, root.path()).unwrap();
    expect![[r#"
        cannot lay an overlay over the root `ROOT` in `chroot:ROOT`: Too many levels of symbolic links (os error 40)
        hint: the directory where it is to be kept and the root may not be in each other: take another directory"#]].assert_eq(&said);
}

fn a_directory_that_cannot_be_made(root: &BusyboxRoot) {
    let before = state(root.path());
    expect!["cannot keep what is written in `/no/such/dir` in `chroot:ROOT`: No such file or directory (os error 2)"]
        .assert_eq(&refusal(&keeping(root, "/no/such/dir".as_ref()), sh("")));
    expect![
        "cannot keep what is written in `/dev/null` in `chroot:ROOT`: Not a directory (os error 20)"
    ]
    .assert_eq(&refusal(&keeping(root, "/dev/null".as_ref()), sh("")));
    assert_untouched(root.path(), &before);
}

fn odd_paths(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    for name in crate::mounts::names() {
        let odd = folder.path().join(name);
        fs::create_dir(&odd).unwrap();
        let (inside, kept) = (odd.join(name), odd.join("kept"));
        fs::rename(root.path(), &inside).unwrap();
        let place = Chroot::new(&inside).overlay(Overlay::Vanish);
        let vanished = output_in(&place, sh("echo x >/x; ls -d /x /proc/self"));
        let place = Chroot::new(&inside).overlay(Overlay::Keep(kept.clone()));
        let kept_there = output_in(&place, sh("echo x >/x; ls -d /x /proc/self"));
        fs::rename(&inside, root.path()).unwrap();
        for output in [vanished, kept_there] {
            assert_eq!(output.stdout, b"/proc/self\n/x\n", "{name:?}: {output:?}");
        }
        assert_eq!(fs::read_to_string(kept.join("upper/x")).unwrap(), "x\n");
        assert!(!root.path().join("x").exists());
    }
}

fn mount_points_are_not_made_in_the_root(root: &BusyboxRoot) {
    for name in ["proc", "sys", "dev"] {
        fs::remove_dir(root.path().join(name)).unwrap();
    }
    fs::remove_file(root.path().join("etc/resolv.conf")).unwrap();
    let (before, folder) = (state(root.path()), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file"), "file\n").unwrap();
    let place = vanishing(root)
        .mount(Mount::bind(folder.path()).at("/new/a/folder"))
        .mount(Mount::bind(folder.path().join("file")).at("/new/a/file"))
        .mount(Mount::bind(folder.path().join("file")).at("/etc/file"));
    let script =
        "ls -d /proc/self; cat /new/a/folder/file /new/a/file /etc/file; stat -c %a /new /new/a
        ls -d /etc/passwd /sys/kernel; echo inside; read line; :";
    let process = place.spawn(&sh(script).stdin(Stream::Piped).stdout(Stream::Piped)).unwrap();
    let lines: Vec<String> = (0..9).map(|_| line(&process)).collect();
    let expected = "/proc/self file file file 755 755 /etc/passwd /sys/kernel inside";
    assert_eq!(lines.join(" "), expected);
    // Not even for a moment.
    assert_untouched(root.path(), &before);
    assert_eq!(wait(process), Exit::Code(0));
    assert_untouched(root.path(), &before);
    let refused = vanishing(root).mount(Mount::bind(folder.path()).at("/new").create(false));
    assert!(refusal(&refused, sh("")).contains("missing mount point"));
}

fn links_in_the_root_are_followed_inside(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    fs::remove_file(root.path().join("etc/resolv.conf")).unwrap();
    symlink("../run/x/resolv.conf", root.path().join("etc/resolv.conf")).unwrap();
    fs::remove_dir(root.path().join("sys")).unwrap();
    symlink(folder.path(), root.path().join("sys")).unwrap();
    let (before, before_outside) = (state(root.path()), state(folder.path()));
    let text = printed_in(&vanishing(root), "cut -d ' ' -f 2 /proc/mounts");
    assert!(text.lines().any(|point| point == "/run/x/resolv.conf"), "{text}");
    assert!(text.lines().any(|point| Path::new(point) == folder.path()), "{text}");
    assert_untouched(root.path(), &before);
    assert_eq!(state(folder.path()), before_outside);
}

fn mounts_are_writable(root: &BusyboxRoot) {
    let folder = tempfile::tempdir().unwrap();
    let place = vanishing(root)
        .mount(Mount::bind(folder.path()).at("/rw"))
        .mount(Mount::bind(folder.path()).at("/ro").read_only());
    let text =
        printed_in(&place, "echo x >/rw/x; cat /ro/x; (echo y >/ro/x) 2>/dev/null || echo no");
    assert_eq!(text, "x\nno\n");
    assert_eq!(fs::read_to_string(folder.path().join("x")).unwrap(), "x\n");
}

#[test]
fn a_root_without_write_permission() {
    as_ordinary_user!();
    let root = busybox_root!().without(&["proc", "etc/resolv.conf"]);
    let all = [root.path().to_owned(), root.path().join("etc")];
    let set = |mode| {
        for path in &all {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    let before = state(root.path());
    let text = printed_in(&vanishing(&root), "ls -d /proc/self; echo x >/tmp/x; cat /tmp/x");
    assert_untouched(root.path(), &before);
    set(0o755);
    assert_eq!(text, "/proc/self\nx\n");
}

#[test]
fn a_root_that_is_mounted_read_only() {
    with_mounts!(root, "");
    let root = busybox_root!().without(&["proc", "etc/resolv.conf"]);
    mount(&["--bind"], root.path());
    mount(&["-o", "remount,bind,ro"], root.path());
    let said = refusal(&Chroot::new(root.path()), sh(""));
    expect![[r#"
        cannot make the missing mount point `ROOT/proc` in `chroot:ROOT`: Read-only file system (os error 30)
        hint: make it where the root can be written to, or lay an overlay over the root"#]]
    .assert_eq(&said);
    let text = printed_in(&vanishing(&root), "ls -d /proc/self; echo x >/x; cat /x");
    assert_eq!(text, "/proc/self\nx\n");
    unmount(root.path());
}

/// Mounts on itself or anew.
fn mount(args: &[&str], point: &Path) {
    let mut command = std::process::Command::new("mount");
    if args == ["--bind"] {
        command.arg("--bind").arg(point);
    } else {
        command.args(args);
    }
    assert!(command.arg(point).status().unwrap().success());
}

fn unmount(point: &Path) {
    let status = std::process::Command::new("umount").arg("-l").arg(point).status();
    assert!(status.unwrap().success());
}

const TMPFS: [&str; 4] = ["-t", "tmpfs", "-o", "mode=777"];

#[test]
fn what_is_mounted_below_the_root() {
    with_mounts!(root, "");
    let root = busybox_root!();
    let at = |path: &str| root.path().join(path);
    let points = ["srv", "srv/a b", "data"];
    for point in points {
        fs::create_dir(at(point)).unwrap();
        mount(&[&TMPFS[..], &["x"]].concat(), &at(point));
        fs::write(at(point).join("file"), format!("{point}\n")).unwrap();
    }
    // What is covered by a mount of the list is not wanted.
    mount(&[&TMPFS[..], &["x"]].concat(), &at("sys"));
    let place = vanishing(&root).mount(Mount::tmpfs("/data"));
    let script = "cat /srv/file '/srv/a b/file'; ls /data; ls -d /sys/kernel
        for folder in /srv '/srv/a b'; do
            (echo x >\"$folder/new\") 2>&1 | grep -c 'Read-only file system'
        done; echo x >/data/new; echo x >/new; grep -c ' /sys ' /proc/mounts";
    assert_eq!(printed_in(&place, script), "srv\nsrv/a b\n/sys/kernel\n1\n1\n1\n");
    assert!(points.iter().all(|point| !at(point).join("new").exists()));
    // One that lies below a mount over it is not to be had, and so not missed.
    let outer = at("srv/outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    mount(&[&TMPFS[..], &["x"]].concat(), &outer.join("inner"));
    mount(&[&TMPFS[..], &["x"]].concat(), &outer);
    assert_eq!(printed_in(&vanishing(&root), "ls /srv/outer; echo listed"), "listed\n");
    unmount(&at("srv"));
    unmount(&at("data"));
    unmount(&at("sys"));
}

#[test]
fn a_root_that_was_mounted_over() {
    with_mounts!(root, "");
    let root = busybox_root!();
    // What was mounted below it is below the mount, and only its folder is seen.
    fs::create_dir(root.path().join("data")).unwrap();
    mount(&[&TMPFS[..], &["x"]].concat(), &root.path().join("data"));
    mount(&["--bind"], root.path());
    assert_eq!(printed_in(&vanishing(&root), "echo x >/data/x; cat /data/x"), "x\n");
    unmount(root.path());
    unmount(&root.path().join("data"));
}

#[test]
fn what_is_mounted_below_the_root_of_a_user() {
    with_mounts!(
        user,
        "mkdir /mnt/root; mount -t tmpfs x /mnt/root; mkdir -p /mnt/root/below
        mount -t tmpfs x /mnt/root/below; chown -R 12345 /mnt/root;"
    );
    let said = refusal(&Chroot::new("/mnt/root").overlay(Overlay::Vanish).mounts([]), sh(""));
    expect![[r#"
        cannot lay an overlay over the root `ROOT` in `chroot:ROOT`: Invalid argument (os error 22)
        hint: an ordinary user can have no overlay of a root that something is mounted below, and no one an overlay whose directory is on another overlay: take another root or directory, or run this as root"#]]
    .assert_eq(&said);
}

#[test]
fn this_machines_root() {
    only_root!();
    let place = Chroot::new("/").overlay(Overlay::Vanish);
    let name = format!("/thither-overlay-{}", std::process::id());
    let text = printed_in(&place, &format!("echo x >{name}; cat {name}; ls -d /proc/self"));
    assert_eq!(text, "x\n/proc/self\n");
    assert!(!Path::new(&name).exists());
}

#[test]
fn the_umask_is_not_that_of_the_root() {
    only_root!();
    let kept = PathBuf::from(format!("/tmp/thither-kept-{}", std::process::id()));
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).env("THITHER_KEPT", &kept);
        command.arg(fs::read_link(program).unwrap());
        command
    });
    let kept = PathBuf::from(std::env::var_os("THITHER_KEPT").unwrap());
    let root = busybox_root!().without(&["proc", "dev"]);
    for place in [vanishing(&root), keeping(&root, &kept)] {
        let place = place.user("guest").mount(Mount::tmpfs("/new/tmpfs"));
        let script =
            "stat -c %a / /new; ls /etc/passwd; echo x >/tmp/x; umask; cat /proc/self/comm";
        let text = printed_in(&place, script);
        assert_eq!(text, "755\n755\n/etc/passwd\n0077\ncat\n");
    }
    fs::remove_dir_all(&kept).unwrap();
}

/// Runs in a process of its own for the test below, until it is killed.
#[test]
fn helper_that_is_killed() {
    let Some(root) = std::env::var_os("THITHER_KILLED_ROOT") else { return };
    let kept = std::env::var_os("THITHER_KEPT").unwrap();
    let place = Chroot::new(root).overlay(Overlay::Keep(kept.into()));
    let mut process = place.spawn(&sh("echo x >/x; echo inside; sleep 1000")).unwrap();
    process.wait().unwrap();
}

#[track_caller]
fn check_killed(user: bool) {
    let root = match BusyboxRoot::new() {
        Ok(root) => root.without(&["proc"]),
        Err(reason) => testkit::skip!("{reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    if user {
        for path in [root.path(), folder.path()] {
            let owner = format!("{0}:{0}", testkit::USER);
            let status =
                std::process::Command::new("chown").args(["-R", &owner]).arg(path).status();
            assert!(status.unwrap().success());
        }
    }
    let before = state(root.path());
    let marker = Marker::new();
    for _ in 0..2 {
        let mut command = std::process::Command::new("/proc/self/exe");
        command.args(["--exact", "overlay::helper_that_is_killed", "--nocapture"]);
        command.env("THITHER_KILLED_ROOT", root.path()).env("THITHER_KEPT", &kept);
        marker.mark(command.current_dir("/").stdout(Stdio::piped()));
        if user {
            as_user(&mut command);
        }
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        within_deadline("the helper's command", move || {
            use std::io::{BufRead, BufReader};
            assert!(BufReader::new(stdout).lines().any(|line| line.unwrap() == "inside"));
        });
        child.kill().unwrap();
        child.wait().unwrap();
        marker.assert_gone();
        // With the processes all is gone that was there for them; what they wrote is kept, and can be had again.
        assert_untouched(root.path(), &before);
        assert_eq!(mounts_below(&kept), [""; 0]);
        assert_eq!(fs::read_to_string(kept.join("upper/x")).unwrap(), "x\n");
    }
}

#[test]
fn a_killed_one_leaves_nothing() {
    only_root!();
    check_killed(false);
}

#[test]
fn a_killed_one_of_a_user_leaves_nothing() {
    only_root!();
    check_killed(true);
}

#[test]
fn nothing_lies_under_or_over_the_new_root() {
    only_root!();
    // Where the root is this machine's own, a forgotten mount on `/` would be a way back to it.
    let script = "awk '$5 == \"/\"' /proc/self/mountinfo | wc -l";
    for overlay in [None, Some(Overlay::Vanish)] {
        for root in ["/", busybox_root!().path().to_str().unwrap()] {
            let mut place = Chroot::new(root);
            if let Some(overlay) = &overlay {
                place = place.overlay(overlay.clone());
            }
            let output = place.command("sh").args(["-c", script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{root} {overlay:?}");
        }
    }
}

#[test]
fn a_directory_that_is_no_such_thing() {
    let (root, folder) = (busybox_root!(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("upper"), "").unwrap();
    let place = Chroot::new(root.path()).overlay(Overlay::Keep(folder.path().into()));
    let error = place.status(&sh("")).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.ends_with("/upper` is no directory"), "{cause}");
}

#[test]
fn a_stranger_who_locks_the_directory_keeps_nobody_out() {
    let (root, folder) = (busybox_root!(), tempfile::tempdir().unwrap());
    let lock = fs::File::open(folder.path()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let place = Chroot::new(root.path()).overlay(Overlay::Keep(folder.path().into()));
    assert_eq!(printed_in(&place, "echo in"), "in\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(folder.path().join("work")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0);
}

//! Roots that are made to lead out: whatever a link in them says, nothing is made or mounted outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::CWD;
use testkit::{BusyboxRoot, within_deadline};
use thither_chroot::{Chroot, Mount};
use thither_place::{Exit, Place};

use crate::{assert_clean, busybox_root, listing, mounts_below, sh};

/// Enters a root whose paths were replaced by links, and looks at what is outside. Says whether it could be entered.
#[track_caller]
fn enter(root: &BusyboxRoot, links: &[(&str, &str)]) -> Result<String, String> {
    // A sibling that a link reaches by going up, and by its absolute path.
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("proc/run")).unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    let outside_path = outside.path().to_str().unwrap();
    for (path, target) in links {
        let path = root.path().join(path);
        let target = target.replace("OUTSIDE", outside_path);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path).unwrap(),
            Ok(_) => fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
        symlink(target, path).unwrap();
    }
    let before = (listing(outside.path()), listing(root.path()), testkit::mounts());
    let place = Chroot::new(root.path());
    let entered = within_deadline("the output", move || place.output(&sh("cat /proc/mounts")));
    assert_eq!(listing(outside.path()), before.0, "something was made outside");
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "outside");
    assert_eq!(mounts_below(outside.path()), [""; 0], "something was mounted outside");
    assert_clean(root.path(), &before.1);
    assert_eq!(testkit::mounts(), before.2);
    match entered {
        Ok(output) => {
            assert_eq!((output.exit, &*output.stderr), (Exit::Code(0), &b""[..]));
            Ok(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => Err(format!("{error}: {}", std::error::Error::source(&error).unwrap())),
    }
}

/// It can be entered, and the mount is at this place inside.
#[track_caller]
fn check(root: &BusyboxRoot, links: &[(&str, &str)], point: &str) {
    let text = enter(root, links).unwrap();
    assert!(text.lines().any(|line| line.split(' ').nth(1) == Some(point)), "no {point}: {text}");
}

#[track_caller]
fn check_refused(root: &BusyboxRoot, links: &[(&str, &str)], part: &str) {
    let error = enter(root, links).unwrap_err();
    assert!(error.to_lowercase().contains(part), "{error}");
}

#[test]
fn a_mount_point_that_leads_up() {
    let root = busybox_root!();
    check(&root, &[("sys", "../../../../../../tmp")], "/tmp");
}

#[test]
fn a_mount_point_that_leads_to_the_root() {
    let root = busybox_root!();
    // Mounted on the root of the place itself, or refused: in no case on this machine's.
    let _either = enter(&root, &[("sys", "/")]);
    let _either = enter(&root, &[("sys", "..")]);
}

#[test]
fn a_mount_point_with_an_absolute_link() {
    let root = busybox_root!();
    check(&root, &[("sys", "/home/guest")], "/home/guest");
}

#[test]
fn a_mount_point_with_a_link_to_a_folder_outside() {
    let root = busybox_root!();
    // The same path inside: there is none yet, so it is made there, and removed again.
    let text = enter(&root, &[("sys", "OUTSIDE")]).unwrap();
    assert!(text.lines().any(|line| line.contains(" sysfs ")), "{text}");
}

#[test]
fn a_link_on_the_way_to_a_mount_point() {
    let root = busybox_root!();
    fs::remove_dir_all(root.path().join("etc")).unwrap();
    enter(&root, &[("etc", "OUTSIDE")]).unwrap();
    enter(&root, &[("etc", "../../..")]).unwrap();
    // Through a link of proc that leads anywhere: refused by the kernel (openat2(2), RESOLVE_NO_MAGICLINKS).
    check_refused(&root, &[("etc", "/proc/self/root/etc")], "invalid cross-device link");
}

#[test]
fn dangling_links() {
    let root = busybox_root!();
    check(&root, &[("etc/resolv.conf", "../run/x/y")], "/run/x/y");
    check(&root, &[("etc/resolv.conf", "/nowhere")], "/nowhere");
    check(&root, &[("etc/resolv.conf", "../../../../../../nowhere/else")], "/nowhere/else");
    check(&root, &[("sys", "a/b/../c")], "/a/c");
    check(&root, &[("etc/resolv.conf", "OUTSIDE/file/../x"), ("sys", "run")], "/run");
}

#[test]
fn links_upwards_while_something_is_renamed() {
    let root = busybox_root!();
    let folder = tempfile::tempdir().unwrap();
    let names = ["a", "b"].map(|name| folder.path().join(name));
    fs::write(&names[0], "").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Anywhere on this machine: the kernel gives up on `..` then (EAGAIN of openat2(2)).
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&names[0], &names[1]).unwrap();
                fs::rename(&names[1], &names[0]).unwrap();
            }
        });
        let stopped = StopAtEnd(&stop);
        for _ in 0..50 {
            check(&root, &[("etc/resolv.conf", "../run/x/y")], "/run/x/y");
        }
        drop(stopped);
    });
}

/// Ends a loop of another thread, also if the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn loops_of_links() {
    let root = busybox_root!();
    check_refused(&root, &[("sys", "sys")], "too many levels of symbolic links");
    check_refused(&root, &[("sys", "loop"), ("loop", "sys")], "too many levels of symbolic links");
    let root = busybox_root!();
    // One mount is optional.
    enter(&root, &[("etc/resolv.conf", "resolv.conf")]).unwrap();
}

#[test]
fn a_file_where_a_directory_is_needed() {
    let root = busybox_root!().without(&["sys"]);
    fs::write(root.path().join("sys"), "mine").unwrap();
    check_refused(&root, &[], "not a directory");
    check_refused(&root, &[("sys", "etc/passwd")], "not a directory");
    check_refused(&root, &[("sys", "etc/passwd/x")], "not a directory");
}

#[test]
fn a_directory_where_a_file_is_needed() {
    let root = busybox_root!().without(&["etc/resolv.conf"]);
    fs::create_dir(root.path().join("etc/resolv.conf")).unwrap();
    let text = enter(&root, &[]).unwrap();
    assert!(!text.contains("resolv.conf "), "{text}");
}

#[test]
fn special_files_where_the_root_has_its_accounts() {
    let root = busybox_root!().without(&["etc/passwd", "etc/group"]);
    let fifo = root.path().join("etc/passwd");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    symlink("/dev/zero", root.path().join("etc/group")).unwrap();
    // Neither is waited for, nor read without end.
    let place = Chroot::new(root.path());
    let error = within_deadline("an answer", move || place.spawn(&sh("").user("guest")));
    let error = error.unwrap_err();
    assert!(error.to_string().starts_with("cannot become `guest`"), "{error}");
}

#[test]
fn accounts_are_the_roots_and_no_others() {
    let root = busybox_root!().without(&["etc/passwd"]);
    // This machine's file has a user daemon.
    symlink("/../../../../etc/passwd", root.path().join("etc/passwd")).unwrap();
    let place = Chroot::new(root.path());
    let error = within_deadline("an answer", move || place.spawn(&sh("").user("daemon")));
    let error = error.unwrap_err();
    assert!(error.to_string().starts_with("cannot become `daemon`"), "{error}");
}

#[test]
fn the_root_through_a_link() {
    let root = busybox_root!();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(root.path(), &link).unwrap();
    let before = listing(root.path());
    let place = Chroot::new(&link);
    let output = within_deadline("the output", move || place.output(&sh("echo $$"))).unwrap();
    assert_eq!(output.stdout, b"2\n");
    assert_clean(root.path(), &before);
    assert_eq!(listing(folder.path()).len(), 1);
}

#[test]
fn a_root_that_is_replaced_again_and_again() {
    let root = busybox_root!();
    let other = tempfile::tempdir().unwrap();
    for name in ["proc", "dev", "etc"] {
        fs::create_dir_all(other.path().join(name)).unwrap();
    }
    let before = [listing(root.path()), listing(other.path())];
    let exchange = || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, root.path(), CWD, other.path(), flags).unwrap();
    };
    let stop = AtomicBool::new(false);
    let (mut entered, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange();
                exchange();
            }
        });
        let _stopped = StopAtEnd(&stop);
        let end = std::time::Instant::now() + testkit::DEADLINE;
        while entered < 10 || refused < 10 {
            assert!(std::time::Instant::now() < end, "{entered} times in, {refused} times refused");
            // Whichever it finds, it is that one as a whole, or a refusal. Only one of them has a /bin/sh, and a /sys.
            let place = Chroot::new(root.path());
            let output = within_deadline("the output", move || {
                place.output(&sh("[ -e /etc/passwd ] && [ -e /sys/kernel ]"))
            });
            match output {
                Ok(output) => {
                    assert_eq!(output.exit, Exit::Code(0));
                    entered += 1;
                }
                Err(error) if error.to_string().contains("replaced") => refused += 1,
                Err(error) => {
                    assert!(error.to_string().starts_with("cannot run `/bin/sh`"), "{error}")
                }
            }
        }
    });
    assert_eq!([listing(root.path()), listing(other.path())], before);
}

#[test]
fn a_mount_point_that_becomes_a_link_again_and_again() {
    // CVE-2021-30465: between a look at a path and its use, a folder becomes a link that leads out.
    let root = busybox_root!();
    let (outside, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(source.path().join("shown"), "").unwrap();
    let [point, trap] = ["mnt", "trap"].map(|name| root.path().join(name));
    fs::create_dir(&point).unwrap();
    symlink(outside.path(), &trap).unwrap();
    let exchange = || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, &point, CWD, &trap, flags).unwrap();
    };
    let stop = AtomicBool::new(false);
    let mut entered = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange();
            }
        });
        let _stopped = StopAtEnd(&stop);
        let end = std::time::Instant::now() + testkit::DEADLINE;
        let mount = Mount::bind(source.path()).at("/mnt/a/b");
        let place = Chroot::new(root.path()).mount(mount);
        while entered < 100 {
            assert!(std::time::Instant::now() < end, "only {entered} times in");
            let place = place.clone();
            // Wherever it is by now, it is inside.
            let script = "[ -e /mnt/a/b/shown ] || [ -e /trap/a/b/shown ] || ls -R / >/dev/null";
            entered += u32::from(
                within_deadline("the output", move || place.output(&sh(script)))
                    .is_ok_and(|output| output.exit == Exit::Code(0)),
            );
            assert_eq!(listing(outside.path()), [""; 0], "something was made outside");
        }
    });
    assert_eq!(mounts_below(outside.path()), [""; 0], "something was mounted outside");
}

//! Ways out of a root that were ways out of others.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Stdio;

use expect_test::expect;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use testkit::{BusyboxRoot, DEADLINE, PublicCopy, wait_until};
use thither_chroot::{Chroot, Mount, default_mounts};
use thither_place::{Command, Exit, Place, Stream};

use crate::{
    as_both, as_ordinary_user, busybox_root, line, only_root, output_in, printed_in, refusal, sh,
    wait, with_mounts,
};

as_both! {
    a_second_chroot,
    what_pid_1_has_open,
    a_directory_that_is_a_link_to_a_descriptor,
    a_program_that_is_a_link_to_a_descriptor,
    processes_of_this_machine,
    this_program_is_not_written_to,
}

const PROGRAM: &str = "/bin/test-program";

/// Inside, this program does what the test below says; as it is linked statically it needs nothing of the root. The
/// copy is one that every user can reach.
fn inside(root: &BusyboxRoot, what: &str) -> (PublicCopy, Chroot, Command) {
    let copy = PublicCopy::of(format!("/proc/{}/exe", std::process::id())).unwrap();
    let place = Chroot::new(root.path()).mount(Mount::bind(copy.path()).at(PROGRAM));
    let command = Command::new(PROGRAM).args(["--exact", "escape::helper_inside", "--nocapture"]);
    (copy, place, command.env("THITHER_INSIDE", what))
}

/// Run inside by the tests here; otherwise there is nothing to do.
#[test]
fn helper_inside() {
    let Some(what) = std::env::var_os("THITHER_INSIDE") else { return };
    let said = match what.to_str().unwrap() {
        "chroot" => second_chroot(),
        "getfd" => take_from_pid_1(),
        _ => unreachable!(),
    };
    rustix::io::write(rustix::stdio::stdout(), format!("\ninside: {said}\n").as_bytes()).unwrap();
}

#[track_caller]
fn said_inside(root: &BusyboxRoot, what: &str) -> String {
    let (_copy, place, command) = inside(root, what);
    let output = output_in(&place, command);
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().find_map(|line| line.strip_prefix("inside: "));
    said.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

fn identity(path: impl AsRef<Path>) -> String {
    let metadata = fs::metadata(path).unwrap();
    format!("{}:{}", metadata.dev(), metadata.ino())
}

/// The classic one: a root directory below the working directory, which `..` then no longer stops at. Says where it
/// got to, by working directory and by descriptor.
fn second_chroot() -> String {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let before = rustix::fs::open("/", flags, Mode::empty()).unwrap();
    fs::create_dir_all("/tmp/jail").unwrap();
    rustix::process::chdir("/").unwrap();
    rustix::process::chroot("/tmp/jail").unwrap();
    let up = || {
        (0..64).for_each(|_| rustix::process::chdir("..").unwrap());
        identity(".")
    };
    let by_directory = up();
    rustix::process::fchdir(&before).unwrap();
    let by_descriptor = up();
    rustix::process::chroot(".").unwrap();
    format!("{by_directory} {by_descriptor} {}", identity("/"))
}

fn a_second_chroot(root: &BusyboxRoot) {
    let this = identity(root.path());
    assert_eq!(said_inside(root, "chroot"), format!("{this} {this} {this}"));
}

fn what_pid_1_has_open(root: &BusyboxRoot) {
    let place = Chroot::new(root.path());
    // Once it has closed what it needed to start the command; an ordinary user is never let look.
    let script = "[ $(readlink /proc/1/fd/2) ] && until [ $(ls /proc/1/fd | wc -l) = 2 ]; do :; done
        for file in /proc/1/fd/* /proc/1/cwd /proc/1/root; do readlink $file; done
        ls -di / /proc/1/root/ /proc/1/cwd/ 2>/dev/null | sed 's/^ *//' | cut -d ' ' -f 1 | uniq | wc -l";
    let text = printed_in(&place, &format!("{script} 2>/dev/null"));
    let is_harmless = |line: &str| {
        ["/", "1"].contains(&line) || line.starts_with("socket:") || line == "anon_inode:[signalfd]"
    };
    assert!(text.lines().all(is_harmless), "{text}");
    assert_eq!(text.lines().last(), Some("1"));
}

/// Whatever a descriptor leads to that is open while a command starts, its directory is one of the root (CVE-2024-21626).
fn a_directory_that_is_a_link_to_a_descriptor(root: &BusyboxRoot) {
    // One that another part of a caller's program leaks; the library has some of its own.
    let this = rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap();
    for fd in 3..64 {
        let link = root.path().join("work");
        symlink(format!("/proc/self/fd/{fd}"), &link).unwrap();
        let place = Chroot::new(root.path());
        // `..` of the old root's directory is this machine's.
        let spawned = place.spawn(
            &sh("cd -P .; pwd; ls -id . ../../../../../../../.. | sed 's/^ *//'")
                .dir("/work")
                .stdout(Stream::Piped),
        );
        fs::remove_file(&link).unwrap();
        let Ok(process) = spawned else { continue };
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        panic!("descriptor {fd} leads to {text}");
    }
    drop(this);
}

fn a_program_that_is_a_link_to_a_descriptor(root: &BusyboxRoot) {
    let busybox = root.path().join("bin/busybox");
    let leaked = fs::File::open(&busybox).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    for fd in 3..64 {
        let link = root.path().join("bin/evil");
        symlink(format!("/proc/self/fd/{fd}"), &link).unwrap();
        let spawned = Chroot::new(root.path()).spawn(&Command::new("/bin/evil").arg("true"));
        fs::remove_file(&link).unwrap();
        if let Ok(process) = spawned {
            panic!("descriptor {fd} was executed: {:?}", wait(process));
        }
    }
}

/// Takes a descriptor of pid 1, which wants the rights of ptrace(2).
fn take_from_pid_1() -> String {
    let pid_1 = Pid::from_raw(1).unwrap();
    let pidfd = rustix::process::pidfd_open(pid_1, PidfdFlags::empty()).unwrap();
    let taken = rustix::process::pidfd_getfd(pidfd, 0, PidfdGetfdFlags::empty());
    format!("{:?}", taken.map(drop))
}

#[test]
fn tracing_of_pid_1_by_a_user() {
    as_ordinary_user!();
    assert_eq!(
        said_inside(&busybox_root!(), "getfd"),
        "Err(Os { code: 1, kind: PermissionDenied, message: \"Operation not permitted\" })"
    );
}

#[test]
fn tracing_of_pid_1_by_a_user_of_roots() {
    only_root!();
    let root = busybox_root!();
    let (_copy, place, command) = inside(&root, "getfd");
    let output = output_in(&place, command.user("guest"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("inside: Err("), "{output:?}");
}

fn processes_of_this_machine(root: &BusyboxRoot) {
    let other = std::process::Command::new("cat").stdin(Stdio::piped()).spawn();
    let mut other = Ended(other.unwrap());
    let pid = other.0.id();
    let script = format!("kill -0 {pid}; ls -d /proc/{pid}; kill -KILL -1; echo alive");
    let output = output_in(&Chroot::new(root.path()), sh(&script));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, b"alive\n", "{output:?}");
    assert!(stderr.contains("No such process") && stderr.contains("No such file"), "{stderr}");
    // Nothing has ended it: it waits for its input still.
    assert!(other.0.try_wait().unwrap().is_none());
}

/// A process that is ended with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CVE-2019-5736.
fn this_program_is_not_written_to(root: &BusyboxRoot) {
    let state = || {
        let metadata = fs::metadata("/proc/self/exe").unwrap();
        (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
    };
    let before = state();
    let script = "(: >>/proc/1/exe) 2>&1; dd if=/bin/busybox of=/proc/1/exe conv=notrunc 2>&1
        exec 3</proc/1/exe; (: >>/proc/self/fd/3) 2>&1; echo tried";
    let place = Chroot::new(root.path());
    let output = output_in(&place, sh(script));
    assert_eq!(state(), before, "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let refused =
        text.matches("Text file busy").count() + text.matches("Permission denied").count();
    assert!(refused >= 2, "{output:?}");
}

#[test]
fn settings_of_this_machine_are_not_a_users() {
    as_ordinary_user!();
    let root = busybox_root!();
    let files = ["sys/kernel/core_pattern", "sys/vm/swappiness", "sys/fs/file-max"];
    for file in files {
        let script = format!("(echo 1 >/proc/{file}) 2>&1");
        let text = output_in(&Chroot::new(root.path()), sh(&script));
        let said = String::from_utf8_lossy(&text.stdout);
        assert!(said.contains("Permission denied"), "{file}: {text:?}");
    }
    // What is its own it may set.
    printed_in(&Chroot::new(root.path()), "echo 63 >/proc/sys/net/ipv4/ip_default_ttl");
}

#[test]
fn groups_cannot_be_given_up_by_a_user() {
    as_ordinary_user!();
    let root = busybox_root!().with("/usr/bin/setpriv");
    let script = "/usr/bin/setpriv --clear-groups id; cat /proc/self/setgroups";
    let output = output_in(&Chroot::new(root.path()), sh(script));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, b"deny\n", "{stderr}");
    assert!(stderr.contains("Operation not permitted"), "{stderr}");
}

#[test]
fn parts_of_proc_that_are_covered() {
    with_mounts!(user, "mount -t tmpfs x /proc/tty;");
    let root = busybox_root!();
    let said = refusal(&Chroot::new(root.path()), sh(""));
    expect![[r#"
        cannot mount `proc` on `/proc` in `chroot:ROOT`: Operation not permitted (os error 1)
        hint: parts of this machine's own /proc are covered, as in a container, and the kernel keeps a new one from showing them: run this outside, or leave the mount out"#]]
    .assert_eq(&said);
    let mounts = default_mounts().into_iter().filter(|mount| *mount != Mount::proc());
    assert_eq!(printed_in(&Chroot::new(root.path()).mounts(mounts), "echo $$"), "2\n");
}

#[test]
fn a_mount_made_outside_shows_inside_and_none_the_other_way() {
    only_root!();
    // Propagation is slave: what is plugged in later can be used.
    testkit::own_process!(|_| {
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--mount", "--propagation", "shared"]).arg(std::env::current_exe().unwrap());
        unshare
    });
    let root = busybox_root!();
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    fs::create_dir(&point).unwrap();
    let place = Chroot::new(root.path()).mount(Mount::bind(folder.path()).at("/media").recursive());
    let script = "mount -t tmpfs x /media && mkdir /media/own && umount /media
        echo inside; until [ -e /media/point/file ]; do :; done; mount -t tmpfs x /media/point
        echo seen; read line; :";
    let process = place.spawn(&sh(script).stdin(Stream::Piped).stdout(Stream::Piped)).unwrap();
    assert_eq!(line(&process), "inside");
    let before = testkit::mounts();
    let status =
        std::process::Command::new("mount").args(["-t", "tmpfs", "x"]).arg(&point).status();
    assert!(status.unwrap().success());
    fs::write(point.join("file"), "").unwrap();
    assert_eq!(line(&process), "seen");
    assert_eq!(testkit::mounts().len(), before.len() + 1);
    assert!(point.join("file").exists());
    assert_eq!(wait(process), Exit::Code(0));
    // It is not busy for what was inside.
    wait_until(DEADLINE, "an unmount", || {
        std::process::Command::new("umount").arg(&point).status().unwrap().success()
    });
}

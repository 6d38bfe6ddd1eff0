//! What it is like inside.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use testkit::{BusyboxRoot, Marker, descriptors, skip};
use thither_chroot::{Chroot, Mount, Overlay};
use thither_place::{Command, Exit, Place, Stream, WindowSize};

use crate::{as_ordinary_user, busybox_root, line, only_root, output, printed, sh, spawn, wait};

#[track_caller]
fn check_ids(root: &BusyboxRoot) {
    assert_eq!(printed(root, "id -u; id -g; whoami; pwd"), "0\n0\nroot\n/\n");
}

/// Mount point, file system type and flags of `/proc/mounts`, the flags that the kernel adds by itself left out.
fn mounts_inside(root: &BusyboxRoot) -> Vec<(String, String, String)> {
    let text = printed(root, "cat /proc/mounts");
    let fields = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let flags: Vec<&str> = fields[3]
            .split(',')
            .filter(|flag| ["ro", "rw", "nosuid", "nodev", "noexec"].contains(flag))
            .collect();
        (fields[1].to_owned(), fields[2].to_owned(), flags.join(","))
    };
    text.lines().map(fields).collect()
}

#[track_caller]
fn check_mounts(root: &BusyboxRoot) {
    let mounts = mounts_inside(root);
    let points: Vec<&str> = mounts.iter().map(|(point, ..)| &**point).collect();
    // /dev comes with what is mounted below it on this machine, whatever that is.
    let below_dev = testkit::mounts()
        .iter()
        .filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with("/dev/")))
        .count();
    assert_eq!(points.iter().filter(|point| point.starts_with("/dev/")).count(), below_dev + 1);
    let others: Vec<_> = points.iter().filter(|point| !point.starts_with("/dev/")).collect();
    assert_eq!(others, [&"/", &"/dev", &"/proc", &"/sys", &"/etc/resolv.conf"]);
    let last = |wanted: &str| {
        let found = mounts.iter().rev().find(|(point, ..)| point == wanted).unwrap();
        (&*found.1, &*found.2)
    };
    assert_eq!(last("/proc"), ("proc", "rw,nosuid,nodev,noexec"));
    assert_eq!(last("/sys"), ("sysfs", "rw,nosuid,nodev,noexec"));
    assert_eq!(last("/dev/shm"), ("tmpfs", "rw,nosuid,nodev"));
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap();
    assert_eq!(printed(root, "cat /etc/resolv.conf"), resolv);
    assert_eq!(
        printed(root, "stat -c %a /dev/shm; [ -c /dev/null ] && echo x >/dev/null"),
        "1777\n"
    );
}

#[track_caller]
fn check_processes(root: &BusyboxRoot) {
    // pid 1 is this program; no process of this machine is seen.
    let own = fs::read_to_string("/proc/thread-self/comm").unwrap();
    let text = printed(root, "echo $$; echo /proc/[0-9]*; cat /proc/1/comm");
    assert_eq!(text, format!("2\n/proc/1 /proc/2\n{own}"));
    let ps = printed(root, "ps -o pid");
    assert_eq!(ps.split_whitespace().collect::<Vec<_>>(), ["PID", "1", "2"]);
}

#[track_caller]
fn check_namespaces(root: &BusyboxRoot, new: &[&str]) {
    for name in ["mnt", "pid", "uts", "ipc", "user", "net", "cgroup", "time"] {
        let inside = printed(root, &format!("readlink /proc/self/ns/{name}"));
        let here = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        let same = Path::new(inside.trim_end()) == here;
        assert_eq!(same, !new.contains(&name), "{name}: {inside} inside, {here:?} here");
    }
}

#[track_caller]
fn check_loopback(root: &BusyboxRoot) {
    let script =
        "ip -o addr show lo | grep -c 'inet 127.0.0.1/8'; ip link show lo | grep -c '[<,]UP[,>]'
        ip -o link | wc -l; ping -c 1 -w 10 127.0.0.1 >/dev/null && echo answered";
    assert_eq!(printed(root, script), "1\n1\n1\nanswered\n");
}

#[track_caller]
fn check_nothing_leaks_in(root: &BusyboxRoot) {
    let _leak = rustix::io::dup(fs::File::open("/").unwrap()).unwrap();
    let marker = Marker::new();
    let (name, value) = marker.variable();
    let command = sh("echo ready; read line").env(name, value);
    let process = spawn(root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&process), "ready");
    let pids = marker.processes();
    assert_eq!(pids.len(), 1);
    let open: Vec<i32> = descriptors(pids[0]).into_iter().map(|(fd, _)| fd).collect();
    assert_eq!(open, [0, 1, 2]);
    // pid 1 keeps its channel and what tells it of children.
    assert_eq!(wait(process), Exit::Code(1));
}

#[track_caller]
fn check_the_old_root_is_gone(root: &BusyboxRoot) {
    // The root's own path is no path inside, and nothing of this machine's root is: no mount, no way up, and
    // pid 1 stands in the new root too.
    let text = printed(root, "echo /*; cd ..; pwd; ls -id / /.. | awk '{print $1}' | uniq | wc -l");
    let names = text.lines().next().unwrap();
    assert!(names.contains("/bin") && !names.contains("/usr"), "{text}");
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["/", "1"]);
    let inside = root.path().to_str().unwrap();
    assert_eq!(printed(root, &format!("ls -d {inside} 2>/dev/null || echo none")), "none\n");
}

#[track_caller]
fn check_all(root: &BusyboxRoot) {
    check_ids(root);
    check_mounts(root);
    check_processes(root);
    check_nothing_leaks_in(root);
    check_the_old_root_is_gone(root);
}

#[test]
fn as_root() {
    only_root!();
    let root = busybox_root!();
    check_all(&root);
    check_namespaces(&root, &["mnt", "pid", "uts", "ipc"]);
}

#[test]
fn as_a_user() {
    as_ordinary_user!();
    let root = busybox_root!();
    check_all(&root);
    check_namespaces(&root, &["mnt", "pid", "uts", "ipc", "user", "net"]);
    check_loopback(&root);
    let uid = geteuid().as_raw();
    let text = printed(&root, "tr -s ' ' </proc/self/uid_map; cat /proc/self/setgroups");
    assert_eq!(text, format!(" 0 {uid} 1\ndeny\n"));
}

#[test]
fn a_user_in_a_root_of_someone_else() {
    only_root!();
    let root = busybox_root!();
    let path = root.path().to_owned();
    // The root is made here, as root; it is entered as a user, who cannot write to it.
    let mut command = std::process::Command::new("/proc/self/exe");
    testkit::as_user(&mut command);
    command.args(["--exact", "enter::helper_in_a_given_root", "--nocapture"]).current_dir("/");
    command.env("THITHER_GIVEN_ROOT", path);
    let output = testkit::within_deadline("the helper", move || command.output()).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("given root: 0\n"), "{output:?}");
}

/// Run by the test above in a process of another user; otherwise there is no root given.
#[test]
fn helper_in_a_given_root() {
    let Some(path) = std::env::var_os("THITHER_GIVEN_ROOT") else { return };
    let command = sh("echo given root: $(id -u)");
    let output = Chroot::new(path).output(&command).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    rustix::io::write(rustix::stdio::stdout(), &output.stdout).unwrap();
}

#[test]
fn environment_and_directory() {
    let root = busybox_root!();
    let command = || sh("echo $THITHER_X $HOME; pwd").env("THITHER_X", "a b").env("HOME", "/h");
    assert_eq!(output(&root, command()).stdout, b"a b /h\n/\n");
    assert_eq!(output(&root, command().dir("/home/guest")).stdout, b"a b /h\n/home/guest\n");
    let cleared = Command::new("/bin/env").env_clear().env("A", "");
    assert_eq!(output(&root, cleared).stdout, b"A=\n");
}

#[test]
fn a_mount_made_inside_does_not_show_outside() {
    only_root!();
    // Where mounts are shared, as systemd has them: in a private namespace this could not fail.
    testkit::own_process!(|_| {
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--mount", "--propagation", "shared"]).arg(std::env::current_exe().unwrap());
        unshare
    });
    assert!(
        testkit::mounts().iter().any(|line| line.contains(" / / ") && line.contains(" shared:"))
    );
    let root = busybox_root!();
    let command = sh("mount -t tmpfs x /tmp && touch /tmp/inside && echo mounted; read line");
    let process = spawn(&root, command.stdin(Stream::Piped).stdout(Stream::Piped));
    assert_eq!(line(&process), "mounted");
    assert_eq!(crate::mounts_below(root.path()), [""; 0]);
    assert!(!root.path().join("tmp/inside").exists());
    wait(process);
}

#[test]
fn a_host_name_set_inside_does_not_show_outside() {
    let root = busybox_root!();
    let before = rustix::system::uname().nodename().to_owned();
    assert_eq!(printed(&root, "hostname thither-inside; hostname"), "thither-inside\n");
    assert_eq!(rustix::system::uname().nodename(), &*before);
}

#[test]
fn as_another_user_of_the_root() {
    only_root!();
    let root = busybox_root!();
    let script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL; cat /proc/self/status";
    let output = output(&root, sh(script).user("guest"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1000\n1000\n1000\n/home/guest guest guest /bin/sh\n"), "{text}");
    assert!(text.contains("CapEff:\t0000000000000000\n"), "{text}");
}

#[test]
fn the_login_shell_is_the_roots() {
    let root = busybox_root!();
    let script = ["-c", "echo $0 $SHELL"];
    let shell = || Command::login_shell().args(script);
    assert_eq!(output(&root, shell()).stdout, b"-sh /bin/sh\n");
    let passwd = "root:x:0:0:root:/root:/bin/ash\n";
    fs::write(root.path().join("etc/passwd"), passwd).unwrap();
    assert_eq!(output(&root, shell()).stdout, b"-ash /bin/ash\n");
    // What is not there does not count.
    fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/zsh\n").unwrap();
    assert_eq!(output(&root, shell()).stdout, b"-sh /bin/sh\n");
}

#[test]
fn a_terminal() {
    let root = busybox_root!();
    let size = WindowSize { cols: 61, rows: 17 };
    let command = sh("stty size; echo through >/dev/tty; exit 3").terminal(size);
    let process = spawn(&root, command);
    let terminal = process.terminal.as_ref().unwrap().try_clone().unwrap();
    let text = testkit::within_deadline("the end of the terminal", move || {
        let mut text = Vec::new();
        let mut bytes = [0; 256];
        while let Ok(n) = rustix::io::read(&terminal, &mut bytes) {
            text.extend_from_slice(&bytes[..n]);
        }
        String::from_utf8(text).unwrap()
    });
    assert_eq!(text, "17 61\r\nthrough\r\n");
    assert_eq!(wait(process), Exit::Code(3));
}

#[test]
fn the_root_of_this_machine() {
    if fs::metadata("/bin/sh").is_err() {
        skip!("no /bin/sh");
    }
    let place = Chroot::new("/");
    let output =
        testkit::within_deadline("the output", move || place.output(&sh("echo $$; id -u")));
    let output = output.unwrap();
    assert_eq!((output.exit, &*output.stdout), (Exit::Code(0), &b"2\n0\n"[..]), "{output:?}");
}

#[test]
fn pid_1_is_protected_from_root_of_a_user_namespace() {
    as_ordinary_user!();
    let root = busybox_root!();
    let script = "for file in exe cwd root; do readlink /proc/1/$file; done
        cat /proc/1/mem; cat /proc/1/environ; ls /proc/1/fd; true >/proc/1/mem
        cp /bin/busybox /proc/1/exe; kill -KILL 1; kill -STOP 1; echo still here";
    let output = output(&root, sh(script));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stdout, "still here\n", "{stderr}");
    assert!(stderr.matches("Permission denied").count() >= 4, "{stderr}");
}

#[track_caller]
fn check_start(place: &Chroot, expected: &str) {
    let text = crate::printed_in(place, "echo $PWD; cd -P .; pwd");
    assert_eq!(text, expected);
}

/// What the environment of a command says of where it is, if anything.
#[track_caller]
fn check_pwd(place: &Chroot, expected: Option<&str>) {
    let place = place.clone().env_clear().env("PATH", "/bin").env("PWD", "/wrong");
    let output = crate::output_in(&place, Command::new("env"));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("PWD="));
    assert_eq!((lines.next(), lines.next()), (expected, None));
}

#[track_caller]
fn check_skip_chdir() {
    let root = busybox_root!();
    let place = Chroot::new(root.path());
    let stay = place.clone().skip_chdir(true);
    std::env::set_current_dir(root.path().join("home/guest")).unwrap();
    check_start(&place, "/\n/\n");
    check_start(&stay, "/home/guest\n/home/guest\n");
    check_pwd(&stay, Some("/home/guest"));
    check_pwd(&place, Some("/"));
    check_start(&stay.clone().overlay(Overlay::Vanish), "/home/guest\n/home/guest\n");
    // One that was asked for wins.
    check_start(&stay.clone().dir("/etc"), "/etc\n/etc\n");
    let output = crate::output_in(&stay, sh("pwd").dir("/tmp"));
    assert_eq!(output.stdout, b"/tmp\n");
    std::env::set_current_dir(root.path()).unwrap();
    check_start(&stay, "/\n/\n");
    check_start(&stay.clone().overlay(Overlay::Vanish), "/\n/\n");
    // What was covered by a mount is not to be had.
    std::env::set_current_dir(root.path().join("home")).unwrap();
    let covered = stay.clone().mount(Mount::tmpfs("/home"));
    assert_eq!(crate::printed_in(&covered, "cd -P .; pwd; ls"), "/home\n");
    // Outside, by definition a hole.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outside"), "").unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    assert_eq!(crate::printed_in(&stay, "ls"), "outside\n");
    check_pwd(&stay, None);
    assert_eq!(crate::printed_in(&stay.overlay(Overlay::Vanish), "ls"), "outside\n");
    // A name that begins as the root's does not make it the root's.
    let sibling = PathBuf::from(format!("{}-sibling", root.path().display()));
    fs::create_dir(&sibling).unwrap();
    std::env::set_current_dir(&sibling).unwrap();
    let text = crate::printed_in(&place.clone().skip_chdir(true), "ls -id . | sed 's/^ *//'");
    fs::remove_dir(&sibling).unwrap();
    assert_ne!(
        text.split(' ').next(),
        crate::printed_in(&place, "ls -id / | sed 's/^ *//'").split(' ').next()
    );
}

#[test]
fn staying_where_the_caller_is() {
    testkit::own_process!(|program| std::process::Command::new(program));
    check_skip_chdir();
}

#[test]
fn staying_where_a_user_is() {
    as_ordinary_user!();
    check_skip_chdir();
}

#[test]
fn staying_in_this_machines_root() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let place = Chroot::new("/").skip_chdir(true);
    let path = folder.path().display();
    check_start(&place, &format!("{path}\n{path}\n"));
    std::env::set_current_dir("/").unwrap();
    check_start(&place, "/\n/\n");
}

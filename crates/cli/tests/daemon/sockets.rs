//! The sockets that a daemon has: those that were asked for, and no others.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Daemon, Folders, prints};

/// What a process has open: `tcp PORT`, `unix PATH`, and so on, of those that listen or could be sent to.
fn sockets(pid: u32) -> BTreeSet<String> {
    let inodes: BTreeSet<String> = testkit::descriptors(pid)
        .into_iter()
        .filter_map(|(_, target)| {
            let target = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(target.to_owned())
        })
        .collect();
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    // Columns as of proc_pid_net(5): the local address and the inode; a Unix socket's inode and path.
    for (kind, address, inode) in
        [("tcp", 1, 9), ("tcp6", 1, 9), ("udp", 1, 9), ("udp6", 1, 9), ("unix", 7, 6)]
    {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.get(inode).is_some_and(|inode| inodes.contains(*inode)) {
                continue;
            }
            known.insert(words[inode].to_owned());
            let address = words.get(address).copied().unwrap_or("unnamed");
            let address = match address.rsplit_once(':') {
                Some((_, port)) if kind != "unix" => {
                    u16::from_str_radix(port, 16).unwrap().to_string()
                }
                _ => address.to_owned(),
            };
            found.insert(format!("{kind} {address}"));
        }
    }
    // Of another kind, or closed since.
    found.extend(inodes.difference(&known).map(|inode| format!("unknown {inode}")));
    found
}

#[track_caller]
fn check(daemon: &Daemon, expected: &[String]) {
    let expected: BTreeSet<String> = expected.iter().cloned().collect();
    let mut found = BTreeSet::new();
    // Before and after a client was there: a connection takes a moment to end.
    for _ in 0..2 {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            testkit::wait_until(testkit::DEADLINE, "the sockets that were asked for", || {
                found = sockets(daemon.pid);
                found == expected
            });
        }));
        assert!(waited.is_ok(), "{found:?} instead of {expected:?}");
        daemon.works();
    }
}

fn port(daemon: &Daemon) -> &str {
    daemon.place.rsplit_once(':').unwrap().1
}

#[test]
fn a_unix_socket() {
    let daemon = Daemon::unix(&[]);
    check(&daemon, &[format!("unix {}", daemon.folders.socket().display())]);
}

#[test]
fn tcp() {
    let daemon = Daemon::tcp(&[]);
    check(&daemon, &[format!("tcp {}", port(&daemon))]);
}

#[test]
fn both() {
    let folders = Folders::new();
    let socket = folders.socket();
    let args = ["--socket", socket.to_str().unwrap()];
    let daemon = Daemon::tcp_at("[::1]:0", folders, &args);
    let port = port(&daemon);
    check(&daemon, &[format!("tcp6 {port}"), format!("unix {}", socket.display())]);
}

#[test]
fn the_default() {
    testkit::own_records!(testkit::Who::Same);
    let run = std::env::var_os("XDG_RUNTIME_DIR").unwrap();
    let folders = Folders::new();
    let mut command = folders.there(["serve", "--allow-root", "--log", "json"]);
    command.env("XDG_RUNTIME_DIR", &run);
    let daemon = Daemon::of(folders, command);
    let path = daemon.place.trim_start_matches("daemon:").to_owned();
    assert!(path.ends_with("/thither/daemon.sock"), "{path}");
    assert_eq!(sockets(daemon.pid), [format!("unix {path}")].into());
    let mut client = daemon.here(["run", "daemon:", "echo", "here"]);
    assert_eq!(prints(client.env("XDG_RUNTIME_DIR", run)), "here\n");
}

#[test]
fn shared_python() {
    testkit::own_records!(testkit::Who::Same);
    let run = std::env::var_os("XDG_RUNTIME_DIR").unwrap();
    let folders = Folders::new();
    let socket = folders.socket();
    let args = ["serve", "--allow-root", "--log", "json", "--python", "--socket"];
    let mut command = folders.there(args);
    command.arg(&socket).env("XDG_RUNTIME_DIR", run);
    let daemon = Daemon::of(folders, command);
    check(&daemon, &[format!("unix {}", socket.display())]);
    let children = || {
        let folder = format!("/proc/{}/task", daemon.pid);
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
        let texts = fs::read_dir(folder).unwrap().flatten().filter_map(|task| of(task).ok());
        let pids: Vec<u32> = texts
            .flat_map(|text| text.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
            .collect();
        pids
    };
    assert!(children().is_empty(), "it is started when it is wanted");
    let py = crate::shared::connect(&daemon.place);
    let pids = children();
    assert_eq!(pids.len(), 1);
    let of = sockets(pids[0]);
    let named: Vec<&String> = of.iter().filter(|name| *name != "unix unnamed").collect();
    let [one] = named[..] else { panic!("{of:?}") };
    let path = one.strip_prefix("unix ").unwrap();
    assert!(path.ends_with(&format!("daemon-python-{}.sock", daemon.pid)), "{path}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(py);
}

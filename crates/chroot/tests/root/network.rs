//! The network inside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use testkit::{BusyboxRoot, within_deadline};
use thither_chroot::{Chroot, Network};

use crate::{as_both, as_ordinary_user, busybox_root, only_root, printed, printed_in};

as_both! {
    none_has_a_loopback_that_is_up,
    none_does_not_reach_this_machine,
    the_hosts_is_this_machines,
}

/// The names of the interfaces in `/proc/net/dev`, in order.
fn interfaces(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut names: Vec<_> = lines.map(|(name, _)| name.trim().to_owned()).collect();
    names.sort();
    names
}

fn of_this_machine() -> Vec<String> {
    // Of this thread's network namespace.
    interfaces(&fs::read_to_string("/proc/thread-self/net/dev").unwrap())
}

#[track_caller]
fn check(place: &Chroot, same: bool) {
    let inside = printed_in(place, "readlink /proc/self/ns/net");
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(inside.trim_end() == here.to_str().unwrap(), same, "{inside} inside, {here:?} here");
    let expected = if same { of_this_machine() } else { vec!["lo".to_owned()] };
    assert_eq!(interfaces(&printed_in(place, "cat /proc/self/net/dev")), expected);
    let mut shown: Vec<String> =
        printed_in(place, "ls /sys/class/net").lines().map(str::to_owned).collect();
    // A file, where there is the module.
    shown.retain(|name| name != "bonding_masters");
    assert_eq!(shown, expected, "in /sys");
    assert_eq!(printed_in(place, "ls -d /sys/kernel; echo /sys/bus/*").lines().count(), 2);
}

fn none_has_a_loopback_that_is_up(root: &BusyboxRoot) {
    let place = Chroot::new(root.path()).network(Network::None);
    check(&place, false);
    let script = "nc -l -p 4711 -e echo welcome &
        until nc 127.0.0.1 4711 2>/dev/null; do :; done";
    assert_eq!(printed_in(&place, script), "welcome\n");
}

fn none_does_not_reach_this_machine(root: &BusyboxRoot) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("nc 127.0.0.1 {port} </dev/null 2>&1 || echo no");
    let text = printed_in(&Chroot::new(root.path()).network(Network::None), &script);
    assert!(text.contains("Connection refused") && text.ends_with("no\n"), "{text}");
}

fn the_hosts_is_this_machines(root: &BusyboxRoot) {
    let place = Chroot::new(root.path()).network(Network::Host);
    check(&place, true);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // It ends with us, so it has to be heard first.
        let mut heard = [0; 6];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"welcome\n").unwrap();
        heard
    });
    let text = printed_in(&place, &format!("echo hello | nc 127.0.0.1 {port}"));
    assert_eq!(text, "welcome\n");
    assert_eq!(within_deadline("a peer", || peer.join().unwrap()), *b"hello\n");
}

#[test]
fn roots_is_the_hosts_by_default() {
    only_root!();
    check(&Chroot::new(busybox_root!().path()), true);
}

#[test]
fn a_users_is_none_by_default() {
    as_ordinary_user!();
    let root = busybox_root!();
    check(&Chroot::new(root.path()), false);
    // Its sysfs is a new one, of that network.
    assert_eq!(printed(&root, "grep -c ' /sys sysfs ' /proc/mounts"), "1\n");
}

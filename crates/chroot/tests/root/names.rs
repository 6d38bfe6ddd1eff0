//! The host name inside, and the domain.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use expect_test::{Expect, expect};
use testkit::BusyboxRoot;
use thither_chroot::Chroot;

use crate::{as_both, assert_clean, listing, printed_in, refusal, sh};

as_both! {
    host_and_domain,
    a_host_without_a_domain,
    without_a_name_they_are_this_machines,
    the_longest_ones,
    bad_ones,
}

const SHOW: &str = "hostname; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; uname -n";

/// The host name and the domain of this machine.
fn here() -> [String; 2] {
    ["hostname", "domainname"]
        .map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap())
}

#[track_caller]
fn check(root: &BusyboxRoot, name: Option<&str>, host: &str, domain: &str) {
    let before = here();
    let place = Chroot::new(root.path());
    let place = match name {
        Some(name) => place.hostname(name),
        None => place,
    };
    assert_eq!(printed_in(&place, SHOW), format!("{host}\n{host}\n{domain}\n{host}\n"));
    assert_eq!(here(), before);
}

fn host_and_domain(root: &BusyboxRoot) {
    check(root, Some("web.example.org"), "web", "example.org");
    check(root, Some("web.example.org."), "web", "example.org");
}

fn a_host_without_a_domain(root: &BusyboxRoot) {
    check(root, Some("web"), "web", here()[1].trim_end());
}

fn without_a_name_they_are_this_machines(root: &BusyboxRoot) {
    let [host, domain] = here();
    check(root, None, host.trim_end(), domain.trim_end());
}

fn the_longest_ones(root: &BusyboxRoot) {
    let (host, domain) = ("h".repeat(64), "d".repeat(64));
    check(root, Some(&format!("{host}.{domain}")), &host, &domain);
}

#[track_caller]
fn check_bad(root: &BusyboxRoot, name: &OsStr, expected: Expect) {
    let before = (here(), listing(root.path()));
    expected.assert_eq(&refusal(&Chroot::new(root.path()).hostname(name), sh("")));
    assert_eq!(here(), before.0);
    assert_clean(root.path(), &before.1);
}

fn bad_ones(root: &BusyboxRoot) {
    fs::remove_dir(root.path().join("proc")).unwrap();
    let check = |name: &str, expected| check_bad(root, name.as_ref(), expected);
    check("", expect!["cannot set the host name `` in `chroot:ROOT`: a part of it is empty"]);
    check(
        "a..b",
        expect!["cannot set the host name `a..b` in `chroot:ROOT`: a part of it is empty"],
    );
    check(
        "a\nb",
        expect![
            "cannot set the host name `a\\nb` in `chroot:ROOT`: `\\n` cannot be in a host name"
        ],
    );
    check_bad(
        root,
        OsStr::from_bytes(b"\xff"),
        expect![
            "cannot set the host name `\\xff` in `chroot:ROOT`: `\\xff` cannot be in a host name"
        ],
    );
    let long = refusal(&Chroot::new(root.path()).hostname("x".repeat(65)), sh(""));
    assert!(long.ends_with(": the host name is longer than 64 bytes"), "{long}");
}

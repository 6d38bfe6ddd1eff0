//! Roots entered from within namespaces, and where there may be none.

mod common;

use std::process::Command;

use common::said;
use expect_test::expect;
use testkit::{BusyboxRoot, PublicCopy, as_user, find_program, skip};

/// What a line of shell says, as whoever runs the tests and as an ordinary user; `$T` is the program, `$R` a root that
/// holds it as well.
#[track_caller]
fn check(line: &str, expected: expect_test::Expect) {
    for ordinary in [false, true] {
        let root = match BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => skip!("{reason}"),
        };
        for program in ["unshare", "setpriv"] {
            if let Err(reason) = find_program(program) {
                skip!("{reason}");
            }
        }
        let copy = PublicCopy::of(env!("CARGO_BIN_EXE_thither")).expect("a copy of the program");
        std::fs::copy(copy.path(), root.path().join("bin/thither")).expect("a copy of the program");
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("T", copy.path()).env("R", root.path()).current_dir("/");
        if ordinary {
            as_user(&mut command);
        }
        expected.assert_eq(&said(&mut command));
    }
}

#[test]
fn a_root_in_a_root() {
    // The root inside is not this machine's: it has no /etc/shadow.
    check(
        "$T run chroot:$R -- thither run chroot:/ -- sh -c 'echo $$; ls /etc; exit 5'",
        expect![[r#"
            | 2
            | group
            | passwd
            | resolv.conf
            exit 5
        "#]],
    );
}

#[test]
fn a_root_in_a_user_namespace() {
    check(
        "unshare -Ur $T run chroot:$R -- sh -c 'id -u; ls -d /sys/kernel /dev/shm /proc/self'",
        expect![[r#"
            | 0
            | /dev/shm
            | /proc/self
            | /sys/kernel
        "#]],
    );
}

#[test]
fn user_namespaces_that_are_switched_off() {
    check(
        "unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && \
         setpriv --bounding-set=-all --inh-caps=-all $T run chroot:/ true'",
        expect![[r#"
            error: cannot make new namespaces in `chroot:/`: no space left on device
            hint: the kernel setting user.max_user_namespaces is 0: `sysctl -w user.max_user_namespaces=10000` as root, or run this as root
            exit 125
        "#]],
    );
}

#[test]
fn a_plain_chroot_is_no_place_to_enter_roots_from() {
    check(
        "unshare -Ur chroot $R thither run chroot:/ true",
        expect![[r#"
            error: cannot make the mount namespace private in `chroot:/`: invalid argument
            hint: the root that this program itself is in is no mount point, as after chroot(1): enter that one with thither too, or bind-mount it on itself before
            exit 125
        "#]],
    );
}

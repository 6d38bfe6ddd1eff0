//! Other users on this machine.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use testkit::{USER, as_user, is_root, skip};
use thither_place::{Command, Local, Place, Stream, WindowSize};

use crate::term::Term;
use crate::{printed, sh};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

#[track_caller]
fn check_refused(user: &str, expected: expect_test::Expect) {
    let command = Command::new("true").user(user).stdin(Stream::Null);
    let said = |command: &Command| {
        let error = Local.spawn(command).expect_err("it runs");
        let source = std::error::Error::source(&error).unwrap();
        format!("{} {error}: {source}\nhint: {:?}", error.shell_code(), error.hint())
    };
    let without = said(&command);
    expected.assert_eq(&without);
    assert_eq!(said(&command.terminal(SIZE)), without, "with a terminal");
}

#[test]
fn unknown_ones() {
    check_refused(
        "no-such-user",
        expect![[r#"
        125 cannot become `no-such-user` in `local:`: no user `no-such-user` in its passwd file
        hint: Some("a numeric id, as `1000:1000`, needs no entry")"#]],
    );
    check_refused(
        "4000000000",
        expect![[r#"
        125 cannot become `4000000000` in `local:`: user 4000000000 has no entry in its passwd file, so its group is unknown
        hint: Some("name the group too: `4000000000:4000000000`")"#]],
    );
    check_refused(
        "0:no-such-group",
        expect![[r#"
        125 cannot become `0:no-such-group` in `local:`: no group `no-such-group` in its group file
        hint: None"#]],
    );
}

#[test]
fn oneself_is_no_change() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        as_user(&mut command);
        command
    });
    let [uid, gid] = ["-u", "-g"].map(|flag| printed(Command::new("id").arg(flag)));
    let own = format!("{}:{}", uid.trim_end(), gid.trim_end());
    assert_eq!(printed(Command::new("id").arg("-u").user(&own)), uid);
    let mut term = Term::start(Command::new("id").arg("-u").user(own).terminal(SIZE));
    assert_eq!(term.rest().trim_end(), uid.trim_end());
}

#[test]
fn an_ordinary_user_cannot_become_root() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        as_user(&mut command);
        command
    });
    if is_root() {
        skip!("root in a place without other users");
    }
    check_refused(
        "root",
        expect![[r#"
            125 cannot become user 0 and group 0 in `local:`: Operation not permitted (os error 1)
            hint: Some("only root can become another user")"#]],
    );
}

#[test]
fn root_becomes_another_user() {
    if !is_root() {
        skip!("only root can become another user");
    }
    let script = "id -u; id -g; id -G; grep -E '^(Cap(Prm|Eff)|NoNewPrivs)' /proc/self/status";
    let command = sh(script).user(format!("{USER}:{USER}"));
    let expected = format!(
        "{USER}\n{USER}\n{USER}\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n"
    );
    assert_eq!(printed(command.clone()), expected);
    let mut term = Term::start(command.terminal(SIZE));
    assert_eq!(term.rest().replace('\r', ""), expected);
}

#[test]
fn becoming_another_user_changes_nothing_for_the_caller() {
    if !is_root() {
        skip!("only root can become another user");
    }
    testkit::own_process!(|program| std::process::Command::new(program));
    let status = || {
        let wanted =
            |line: &&str| ["Uid", "Gid", "Groups", "CapEff"].iter().any(|w| line.starts_with(w));
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let lines: Vec<String> = text.lines().filter(wanted).map(String::from).collect();
        (lines, rustix::process::dumpable_behavior().unwrap())
    };
    let before = status();
    let command = Command::new("true").user(format!("{USER}:{USER}"));
    for command in [command.clone().stdin(Stream::Null), command.terminal(SIZE)] {
        assert!(crate::wait(Local.spawn(&command).unwrap()).success());
        assert_eq!(status(), before);
    }
}

#[test]
fn a_named_user_brings_home_and_shell() {
    if !is_root() {
        skip!("only root can become another user");
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("daemon:")).expect("a user daemon");
    let fields: Vec<&str> = line.split(':').collect();
    let command = sh("echo $HOME $USER $LOGNAME $SHELL; id -u").user("daemon");
    let expected = format!("{} daemon daemon {}\n{}\n", fields[5], fields[6], fields[2]);
    assert_eq!(printed(command), expected);
}

#[test]
fn the_directory_is_entered_as_the_user() {
    if !is_root() {
        skip!("only root can become another user");
    }
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let command = Command::new("true").user(format!("{USER}:{USER}")).dir(inner);
    for command in [command.clone().stdin(Stream::Null), command.terminal(SIZE)] {
        let error =
            Local.spawn(&command).expect_err("it runs in a folder that the user cannot reach");
        assert!(error.to_string().starts_with("cannot change to the directory"), "{error}");
    }
}

#[test]
fn a_directory_that_may_be_entered_but_not_listed() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        as_user(&mut command);
        command
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o311)).unwrap();
    assert_eq!(printed(Command::new("true").dir(folder.path())), "");
}

//! What is said about a root or a command that cannot be had.

use std::fs;

use expect_test::{Expect, expect};
use testkit::within_deadline;
use thither_chroot::Chroot;
use thither_place::{Command, Error, Place};

use crate::{as_ordinary_user, busybox_root, sh};

/// The error as a user gets it, with the root's name replaced.
#[track_caller]
fn check(root: &std::path::Path, command: Command, expected: Expect) {
    let place = Chroot::new(root);
    let spawned = within_deadline("a start", move || place.spawn(&command));
    let error: Error = spawned.expect_err("it runs");
    let mut text = format!("{} {error}", error.shell_code());
    if let Some(cause) = std::error::Error::source(&error) {
        text += &format!(": {cause}");
    }
    if let Some(hint) = error.hint() {
        text += &format!("\nhint: {hint}");
    }
    expected.assert_eq(&text.replace(root.to_str().unwrap(), "ROOT"));
}

#[test]
fn a_missing_root() {
    check(
        "/no/such/root".as_ref(),
        sh(""),
        expect![[r#"
        125 cannot enter `chroot:ROOT`: No such file or directory (os error 2)
        hint: name a directory that holds a root file system"#]],
    );
}

#[test]
fn a_file_as_root() {
    let file = tempfile::NamedTempFile::new().unwrap();
    check(
        file.path(),
        sh(""),
        expect![[r#"
        125 cannot enter `chroot:ROOT`: Not a directory (os error 20)
        hint: a root is a directory; unpack an archive or mount an image first"#]],
    );
}

#[test]
fn a_root_out_of_reach() {
    as_ordinary_user!();
    let folder = tempfile::tempdir().unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(folder.path(), mode(0)).unwrap();
    check(
        &folder.path().join("root"),
        sh(""),
        expect!["125 cannot enter `chroot:ROOT`: Permission denied (os error 13)"],
    );
    fs::set_permissions(folder.path(), mode(0o700)).unwrap();
}

#[test]
fn an_empty_root() {
    let folder = tempfile::tempdir().unwrap();
    check(
        folder.path(),
        sh(""),
        expect![
            "127 cannot run `/bin/sh` in `chroot:ROOT`: No such file or directory (os error 2)"
        ],
    );
    check(
        folder.path(),
        Command::login_shell(),
        expect![
            "127 cannot run `/bin/sh` in `chroot:ROOT`: No such file or directory (os error 2)"
        ],
    );
}

#[test]
fn programs_that_cannot_run() {
    let root = busybox_root!();
    let command = |name: &str| Command::new(name).env("PATH", "/bin:/sbin");
    check(
        root.path(),
        command("/no/such/program"),
        expect![
            "127 cannot run `/no/such/program` in `chroot:ROOT`: No such file or directory (os error 2)"
        ],
    );
    check(
        root.path(),
        command("nix-da"),
        expect![[r#"
        127 cannot run `nix-da` in `chroot:ROOT`: No such file or directory (os error 2)
        hint: its PATH is `/bin:/sbin`"#]],
    );
    check(
        root.path(),
        command("/etc/passwd"),
        expect![[r#"
        126 cannot run `/etc/passwd` in `chroot:ROOT`: Permission denied (os error 13)
        hint: it has no execute permission: `chmod +x` it, or start it by its interpreter"#]],
    );
    check(
        root.path(),
        command("/etc"),
        expect![[r#"
        126 cannot run `/etc` in `chroot:ROOT`: Permission denied (os error 13)
        hint: it is a directory; to start a shell there: `--dir`"#]],
    );
    testkit::write_program(&root.path().join("bin/script"), "#!/usr/bin/nix-da\n");
    check(
        root.path(),
        command("script"),
        expect![[r#"
            127 cannot run `script` in `chroot:ROOT`: No such file or directory (os error 2)
            hint: the file is there; its interpreter or loader is not: see `file` or its `#!` line"#]],
    );
    check(
        root.path(),
        command("/bin/script"),
        expect![[r#"
        127 cannot run `/bin/script` in `chroot:ROOT`: No such file or directory (os error 2)
        hint: the file is there; its interpreter or loader is not: see `file` or its `#!` line"#]],
    );
    testkit::write_program(&root.path().join("bin/text"), "hello\n");
    check(
        root.path(),
        command("/bin/text"),
        expect![[r#"
        126 cannot run `/bin/text` in `chroot:ROOT`: Exec format error (os error 8)
        hint: it is neither a program for this machine nor a script with a `#!` line"#]],
    );
}

#[test]
fn directories_that_cannot_be_entered() {
    let root = busybox_root!();
    // It is there on this machine, not in the root.
    check(
        root.path(),
        sh("").dir("/usr/share"),
        expect![
            "125 cannot change to the directory `/usr/share` in `chroot:ROOT`: No such file or directory (os error 2)"
        ],
    );
    check(
        root.path(),
        sh("").dir("/etc/passwd"),
        expect![
            "125 cannot change to the directory `/etc/passwd` in `chroot:ROOT`: Not a directory (os error 20)"
        ],
    );
}

#[test]
fn users_that_are_none() {
    let root = busybox_root!();
    check(
        root.path(),
        sh("").user("nobody-here"),
        expect![[r#"
        125 cannot become `nobody-here` in `chroot:ROOT`: no user `nobody-here` in its passwd file
        hint: a numeric id, as `1000:1000`, needs no entry"#]],
    );
    check(
        root.path(),
        sh("").user("4242"),
        expect![[r#"
        125 cannot become `4242` in `chroot:ROOT`: user 4242 has no entry in its passwd file, so its group is unknown
        hint: name the group too: `4242:4242`"#]],
    );
}

#[test]
fn a_user_is_root_inside_without_becoming_it() {
    as_ordinary_user!();
    let root = busybox_root!();
    // Who one is already.
    assert_eq!(crate::output(&root, sh("id -u").user("root")).stdout, b"0\n");
}

#[test]
fn a_folder_for_records_that_others_can_write_to() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        let folder = std::env::temp_dir().join(format!("thither-runtime-{}", std::process::id()));
        fs::create_dir_all(folder.join("thither")).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.join("thither"), open).unwrap();
        if testkit::is_root() {
            for path in [&folder, &folder.join("thither")] {
                std::os::unix::fs::chown(path, Some(testkit::USER), Some(testkit::USER)).unwrap();
            }
        }
        testkit::as_user(&mut command).env("XDG_RUNTIME_DIR", folder);
        command
    });
    let folder = std::path::PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
    let root = busybox_root!();
    // Where nothing has to be made there is nothing to record.
    assert_eq!(crate::output(&root, sh("echo x")).stdout, b"x\n");
    let root = root.without(&["proc"]);
    let error = Chroot::new(root.path()).spawn(&sh("")).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    fs::remove_dir_all(&folder).unwrap();
    assert!(cause.contains("is not ours alone"), "{cause}");
    assert!(!root.path().join("proc").exists());
}

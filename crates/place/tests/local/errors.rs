//! What cannot be run, and what is said about it: the same with a terminal and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::{Expect, expect};
use tempfile::TempDir;
use testkit::within_deadline;
use thither_place::{Command, Error, Local, Place, Stream, WindowSize};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// The error as a user gets it, with the name of a temporary folder replaced.
fn report(error: &Error, folder: &str) -> String {
    let mut text = format!("{} {error}", error.shell_code());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        text += &format!("\nhint: {hint}");
    }
    text.replace(folder, "FOLDER")
}

#[track_caller]
fn check(command: Command, expected: Expect) {
    check_in("no folder", command, expected);
}

#[track_caller]
fn check_in(folder: &str, command: Command, expected: Expect) {
    let said = |command: Command| {
        let spawned = within_deadline("a start", move || Local.spawn(&command));
        report(&spawned.expect_err("it runs"), folder)
    };
    let without = said(command.clone().stdin(Stream::Null));
    expected.assert_eq(&without);
    assert_eq!(said(command.terminal(SIZE)), without, "with a terminal");
}

/// A folder, and a command whose program is a file in it with this content and mode.
fn file(content: &str, mode: u32) -> (TempDir, String, Command) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    testkit::write_program(&path, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let name = folder.path().to_str().unwrap().to_owned();
    (folder, name, Command::new(path))
}

#[test]
fn a_missing_program() {
    check(
        Command::new("/no/such/program"),
        expect![
            "127 cannot run `/no/such/program` in `local:`: No such file or directory (os error 2)"
        ],
    );
    check(
        Command::new("nix-da").env("PATH", "/nowhere:/bin"),
        expect![[r#"
        127 cannot run `nix-da` in `local:`: No such file or directory (os error 2)
        hint: its PATH is `/nowhere:/bin`"#]],
    );
    check(
        Command::new("nix-da").env_remove("PATH"),
        expect![[r#"
        127 cannot run `nix-da` in `local:`: No such file or directory (os error 2)
        hint: its PATH is `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`"#]],
    );
    check(
        Command::new(""),
        expect![[r#"
        127 cannot run `` in `local:`: No such file or directory (os error 2)
        hint: name a program"#]],
    );
    check(
        Command::new("a\u{1b}[2Jb").env("PATH", "/nowhere"),
        expect![[r#"
        127 cannot run `a\u{1b}[2Jb` in `local:`: No such file or directory (os error 2)
        hint: its PATH is `/nowhere`"#]],
    );
}

#[test]
fn not_executable() {
    let (_folder, name, command) = file("#!/bin/sh\n", 0o644);
    check_in(
        &name,
        command,
        expect![[r#"
        126 cannot run `FOLDER/file` in `local:`: Permission denied (os error 13)
        hint: it has no execute permission: `chmod +x` it, or start it by its interpreter"#]],
    );
    check(
        Command::new("/usr"),
        expect![[r#"
        126 cannot run `/usr` in `local:`: Permission denied (os error 13)
        hint: it is a directory; to start a shell there: `--dir`"#]],
    );
}

#[test]
fn not_executable_in_the_path_but_executable_further_on() {
    let (folder, _, _) = file("", 0o644);
    fs::rename(folder.path().join("file"), folder.path().join("true")).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    assert_eq!(crate::printed(Command::new("true").env("PATH", &path)), "");
    fs::rename(folder.path().join("true"), folder.path().join("nix-da")).unwrap();
    check_in(
        folder.path().to_str().unwrap(),
        Command::new("nix-da").env("PATH", path),
        expect![[r#"
            126 cannot run `nix-da` in `local:`: Permission denied (os error 13)
            hint: it has no execute permission: `chmod +x` it, or start it by its interpreter"#]],
    );
}

#[test]
fn a_missing_interpreter() {
    let (_folder, name, command) = file("#!/no/such/interpreter\n", 0o755);
    check_in(
        &name,
        command,
        expect![[r#"
        127 cannot run `FOLDER/file` in `local:`: No such file or directory (os error 2)
        hint: the file is there; its interpreter or loader is not: see `file` or its `#!` line"#]],
    );
}

#[test]
fn neither_a_program_nor_a_script() {
    let (_folder, name, command) = file("echo hello\n", 0o755);
    check_in(
        &name,
        command.clone(),
        expect![[r#"
        126 cannot run `FOLDER/file` in `local:`: Exec format error (os error 8)
        hint: it is neither a program for this machine nor a script with a `#!` line"#]],
    );
    if testkit::is_root() {
        // No sh comes in between for another user either.
        fs::set_permissions(&name, fs::Permissions::from_mode(0o755)).unwrap();
        check_in(
            &name,
            command.user("12345:12345"),
            expect![[r#"
            126 cannot run `FOLDER/file` in `local:`: Exec format error (os error 8)
            hint: it is neither a program for this machine nor a script with a `#!` line"#]],
        );
    }
}

#[test]
fn a_path_through_a_file() {
    let (_folder, name, _) = file("", 0o755);
    check_in(
        &name,
        Command::new(format!("{name}/file/x")),
        expect!["126 cannot run `FOLDER/file/x` in `local:`: Not a directory (os error 20)"],
    );
}

#[test]
fn a_directory_that_is_none() {
    let (_folder, name, _) = file("", 0o644);
    check_in(
        &name,
        Command::new("true").dir(format!("{name}/missing")),
        expect![
            "125 cannot change to the directory `FOLDER/missing` in `local:`: No such file or directory (os error 2)"
        ],
    );
    check_in(
        &name,
        Command::new("true").dir(format!("{name}/file")),
        expect![
            "125 cannot change to the directory `FOLDER/file` in `local:`: Not a directory (os error 20)"
        ],
    );
}

#[test]
fn strings_with_a_nul() {
    check(
        Command::new("a\0b"),
        expect![[r#"126 cannot run `a\u{0}b` in `local:`: the program `a\u{0}b` has a NUL byte"#]],
    );
    check(
        Command::new("true").arg("a\0b"),
        expect![[r#"126 cannot run `true` in `local:`: the argument `a\u{0}b` has a NUL byte"#]],
    );
    check(
        Command::new("true").env("A", "a\0b"),
        expect!["126 cannot run `true` in `local:`: the variable `A` or its value has a NUL byte"],
    );
    check(
        Command::new("true").dir("a\0b"),
        expect![[r#"126 cannot run `true` in `local:`: the directory `a\u{0}b` has a NUL byte"#]],
    );
}

#[test]
fn a_failed_start_leaves_nothing() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let before = testkit::descriptors(std::process::id());
    for _ in 0..20 {
        Local.spawn(&Command::new("true").dir("/no/such/dir")).unwrap_err();
        Local.spawn(&Command::new("/no/such/program").terminal(SIZE)).unwrap_err();
    }
    assert_eq!(testkit::descriptors(std::process::id()), before);
    crate::isolation::assert_no_children();
}

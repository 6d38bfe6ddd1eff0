//! What the tool says when it is used wrongly.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use common::{Test, output};
use expect_test::{Expect, expect};

/// Arguments are separated by spaces; `''` is an empty one.
#[track_caller]
fn check(lines: &[&str], expected: Expect) {
    Test::new().says(lines, expected);
}

#[test]
fn verbs_and_flags() {
    check(
        &[
            "",
            "frobnicate",
            "shel local:",
            "chroot:/",
            "run",
            "run local:",
            "run local: --",
            "run --xyzzy local: true",
            "run --no-stdn local: true",
            "run local: -x",
            "run -tn local: true",
            "run --tty=yes local: true",
            "run --dir",
            "run --dir=/ --dir=/ local: true",
            "-v -v shell local:",
            "shell",
            "generate",
            "generate bsh",
            "generate powershell",
            "generate bash x",
        ],
        expect![[r#"
            $ thither 
            error: no verb
            hint: it is one of `shell`, `run`, `python`, `attach`, `list`, `cp`, `serve`, `pair`, `smb`, `generate`, `help`
            exit 125
            $ thither frobnicate
            error: unknown verb `frobnicate`
            hint: see `thither --help`
            exit 125
            $ thither shel local:
            error: unknown verb `shel`
            hint: did you mean `shell`?
            exit 125
            $ thither chroot:/
            error: no verb before the place
            hint: write `thither shell PLACE` or `thither run PLACE COMMAND`
            exit 125
            $ thither run
            error: missing `PLACE`
            hint: usage: thither run <PLACE> [COMMAND]...
            exit 125
            $ thither run local:
            error: missing `COMMAND`
            hint: usage: thither run <PLACE> <COMMAND>...
            exit 125
            $ thither run local: --
            error: missing `COMMAND`
            hint: usage: thither run <PLACE> <COMMAND>...
            exit 125
            $ thither run --xyzzy local: true
            error: unexpected argument `--xyzzy`
            hint: usage: thither run [OPTIONS] <PLACE> [COMMAND]...
            exit 125
            $ thither run --no-stdn local: true
            error: unexpected argument `--no-stdn`
            hint: did you mean `--no-stdin`?
            exit 125
            $ thither run local: -x
            error: unexpected argument `-x`
            hint: usage: thither run [OPTIONS] <PLACE> [COMMAND]...
            exit 125
            $ thither run -tn local: true
            error: `--tty` and `--no-stdin` exclude each other
            hint: usage: thither run --tty <PLACE> <COMMAND>...
            exit 125
            $ thither run --tty=yes local: true
            error: `--tty` takes no value
            hint: usage: thither run --tty <PLACE> [COMMAND]...
            exit 125
            $ thither run --dir
            error: `--dir <DIR>` needs a value
            hint: see `thither --help`
            exit 125
            $ thither run --dir=/ --dir=/ local: true
            error: `--dir <DIR>` is given twice
            hint: usage: thither run [OPTIONS] <PLACE> [COMMAND]...
            exit 125
            $ thither -v -v shell local:
            error: `--verbose` is given twice
            hint: usage: thither [OPTIONS] <VERB>
            exit 125
            $ thither shell
            error: missing `PLACE`
            hint: usage: thither shell <PLACE> [COMMAND]...
            exit 125
            $ thither generate
            error: missing `WHAT`
            hint: usage: thither generate <WHAT>
            exit 125
            $ thither generate bsh
            error: bad value `bsh` for `WHAT`
            hint: did you mean `bash`?
            exit 125
            $ thither generate powershell
            error: bad value `powershell` for `WHAT`
            hint: it is one of `man`, `bash`, `zsh`, `fish`, `pychroot-man`
            exit 125
            $ thither generate bash x
            error: unexpected argument `x`
            hint: usage: thither generate [OPTIONS] <WHAT>
            exit 125
        "#]],
    );
}

#[test]
fn addresses() {
    check(
        &[
            "run '' true",
            "run chrot:/ true",
            "run http://host/ true",
            "run ./root true",
            "run web true",
            "run me@host true",
            "run ssh:host:http true",
            "run ssh://me@host:22/ true",
            "run chroot:/a\tb true",
            "run chroot:/100% true",
            "run local true",
            "run local:foo true",
            "run local:::/x true",
            "run docker:web true",
            "run smb:bastion|docker:web true",
            "run local:|daemon:x true",
            "run lo\x1b[2Jcal: true",
        ],
        expect![[r#"
            $ thither run '' true
            error: bad address: the text is empty (at byte 0)
            hint: name a place, as in `local:` or `chroot:/srv/root`
            exit 125
            $ thither run chrot:/ true
            error: unknown scheme `chrot`
            hint: did you mean `chroot:`?
            exit 125
            $ thither run http://host/ true
            error: unknown scheme `http`
            hint: places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            exit 125
            $ thither run ./root true
            error: bad address: the name `./root` is neither `scheme:target` nor a word (at byte 0)
            hint: a root is written `chroot:./root`
            exit 125
            $ thither run web true
            error: no place is named `web`
            hint: places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            exit 125
            $ thither run me@host true
            error: bad address: the name `me@host` is neither `scheme:target` nor a word (at byte 0)
            hint: a host over ssh is written `ssh:me@host`
            exit 125
            $ thither run ssh:host:http true
            error: bad address: the port `http` is not a number from 1 to 65535 (at byte 9)
            exit 125
            $ thither run ssh://me@host:22/ true
            error: bad address: the `//` does not belong there (at byte 4)
            hint: write `ssh:me@host:22`
            exit 125
            $ thither run chroot:/a\tb true
            error: bad address: the character `\t` must be percent-encoded (at byte 9)
            hint: write `%09`
            exit 125
            $ thither run chroot:/100% true
            error: bad address: the escape `%` is not `%` and two hexadecimal digits (at byte 11)
            hint: write `%25` for a percent sign
            exit 125
            $ thither run local true
            error: bad address: the scheme `local` has no colon of its own (at byte 0)
            hint: write `local:`
            exit 125
            $ thither run local:foo true
            error: bad address: the target `foo` does not belong after `local:` (at byte 6)
            hint: write `local:`; another root is `chroot:PATH`
            exit 125
            $ thither run local:::/x true
            error: bad address: the `::` begins a path, and only a place can stand here (at byte 6)
            hint: a place has no path; to start in a directory: `--dir /x`
            exit 125
            $ thither run docker:web true
            error: cannot enter `docker:web`: cannot reach the engine at `unix:///var/run/docker.sock`: no such file or directory
            hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
            exit 125
            $ thither run smb:bastion|docker:web true
            error: cannot enter `docker:web`: cannot reach the engine at `smb:bastion|unix:///var/run/docker.sock`: cannot enter `smb:bastion`: no password is given, and Kerberos is not supported
            hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
            exit 125
            $ thither run local:|daemon:x true
            error: cannot enter `daemon:x`: this machine is not paired with it
            hint: run `thither serve pair` there, and here `thither pair x`
            exit 125
            $ thither run lo\x1b[2Jcal: true
            error: bad address: the scheme `lo\u{1b}[2Jcal` is no lower-case word (at byte 0)
            hint: places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            exit 125
        "#]],
    );
}

/// Neither the address's parser, nor clap, nor a step shown repeats a password.
#[test]
fn passwords() {
    check(
        &["run ssh:me:SECRET@host true"],
        expect![[r#"
        $ thither run ssh:me:SECRET@host true
        error: bad address: a password does not belong in an address (at byte 7)
        hint: leave it out, as in `ssh:user@host`: addresses are shown, logged and kept
        exit 125
    "#]],
    );
    let test = Test::new();
    for line in [
        "-v run ssh:me:SECRET@host true",
        "-v shell ssh:me:SECRET@host",
        "-v run http://me:SECRET@host true",
        "-v run chroot:/?password=SECRET true",
        "-v run local:?env==SECRET true",
        "-v run local:?env=A=SECRET&clear-env=SECRET true",
        "ssh:me:SECRET@host",
        "run ssh:me:SECRET@host",
        "run ssh:me:SECRET@host --frob true",
        "run --frob ssh:me:SECRET@host true",
    ] {
        let output = output(&mut test.thither(line.split(' ')), b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout), (Some(125), vec![]), "{line}");
        assert!(stderr.starts_with("error: ") && !stderr.contains("SECRET"), "{line}: {stderr}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    let test = Test::new();
    let lines: [&[u8]; 3] =
        [b"run chroot:/nowhere/\xff true", b"run \xff: true", b"run --user=\xff local: true"];
    test.says(
        &lines.map(OsStr::from_bytes),
        expect![[r#"
            $ thither run chroot:/nowhere/\xff true
            error: cannot enter `chroot:/nowhere/�`: no such file or directory
            hint: name a directory that holds a root file system
            exit 125
            $ thither run \xff: true
            error: bad address: the scheme `\xff` is no lower-case word (at byte 0)
            hint: places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`
            exit 125
            $ thither run --user=\xff local: true
            error: bad `--user`: `\xff` is not UTF-8
            exit 125
        "#]],
    );
}

#[test]
fn roots() {
    let test = Test::new();
    test.file("file", "");
    let file = format!("run chroot:{}/file true", test.dir().display());
    test.says(
        &["run chroot:/nowhere/at/all true", &file, "shell chroot:nowhere"],
        expect![[r#"
        $ thither run chroot:/nowhere/at/all true
        error: cannot enter `chroot:/nowhere/at/all`: no such file or directory
        hint: name a directory that holds a root file system
        exit 125
        $ thither run chroot:[DIR]/file true
        error: cannot enter `chroot:[DIR]/file`: not a directory
        hint: a root is a directory; unpack an archive or mount an image first
        exit 125
        $ thither shell chroot:nowhere
        error: cannot enter `chroot:nowhere`: no such file or directory
        hint: name a directory that holds a root file system
        exit 125
    "#]],
    );
}

#[test]
fn commands() {
    let test = Test::new();
    let script = test.file("script", "#!/bin/sh\n");
    let run_script = format!("run local: {}", script.display());
    test.says(
        &[
            "run local: no-such-command",
            "run local: /no/such/command",
            "run local: -- -x",
            "run local: ''",
            "run local: /",
            &run_script,
            "shell local: no-such-command",
        ],
        expect![[r#"
            $ thither run local: no-such-command
            error: cannot run `no-such-command` in `local:`: no such file or directory
            hint: its PATH is `/usr/bin:/bin`
            exit 127
            $ thither run local: /no/such/command
            error: cannot run `/no/such/command` in `local:`: no such file or directory
            exit 127
            $ thither run local: -- -x
            error: cannot run `-x` in `local:`: no such file or directory
            hint: its PATH is `/usr/bin:/bin`
            exit 127
            $ thither run local: ''
            error: cannot run `` in `local:`: no such file or directory
            hint: name a program
            exit 127
            $ thither run local: /
            error: cannot run `/` in `local:`: permission denied
            hint: it is a directory; to start a shell there: `--dir`
            exit 126
            $ thither run local: [DIR]/script
            error: cannot run `[DIR]/script` in `local:`: permission denied
            hint: it has no execute permission: `chmod +x` it, or start it by its interpreter
            exit 126
            $ thither shell local: no-such-command
            error: cannot run `no-such-command` in `local:`: no such file or directory
            hint: its PATH is `/usr/bin:/bin`
            exit 127
        "#]],
    );
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    test.says(
        &[&run_script],
        expect![[r#"
        $ thither run local: [DIR]/script
        error: cannot run `[DIR]/script` in `local:`: no such file or directory
        hint: the file is there; its interpreter or loader is not: see `file` or its `#!` line
        exit 127
    "#]],
    );
}

#[test]
fn where_and_as_what() {
    check(
        &[
            "run -t local: true",
            "run --env UNSET local: true",
            "run --env =x local: true",
            "run --env '' local: true",
            "run --dir /no/such/dir local: true",
            "run --dir /dev/null local: true",
            "run --dir '' local: true",
            "run --user no-such-user local: true",
            "run --user '' local: true",
        ],
        expect![[r#"
            $ thither run -t local: true
            error: `-t` needs a terminal, and standard input is none
            hint: leave `-t` out, or run it from a terminal
            exit 125
            $ thither run --env UNSET local: true
            error: bad `--env`: `UNSET` is not set here
            hint: give a value, as in `--env UNSET=VALUE`
            exit 125
            $ thither run --env =x local: true
            error: bad `--env`: `=x` has no name
            hint: write `--env NAME=VALUE`, or `--env NAME` for the value that it has here
            exit 125
            $ thither run --env '' local: true
            error: bad `--env`: `` has no name
            hint: write `--env NAME=VALUE`, or `--env NAME` for the value that it has here
            exit 125
            $ thither run --dir /no/such/dir local: true
            error: cannot change to the directory `/no/such/dir` in `local:`: no such file or directory
            exit 125
            $ thither run --dir /dev/null local: true
            error: cannot change to the directory `/dev/null` in `local:`: not a directory
            exit 125
            $ thither run --dir '' local: true
            error: cannot change to the directory `` in `local:`: no such file or directory
            exit 125
            $ thither run --user no-such-user local: true
            error: cannot become `no-such-user` in `local:`: no user `no-such-user` in its passwd file
            hint: a numeric id, as `1000:1000`, needs no entry
            exit 125
            $ thither run --user '' local: true
            error: cannot become `` in `local:`: no user `` in its passwd file
            hint: name a user
            exit 125
        "#]],
    );
}

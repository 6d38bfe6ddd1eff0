//! The ways to say what is to be run, and where.

use std::os::unix::fs::symlink;

use expect_test::expect;
use testkit::{BusyboxRoot, skip};

use crate::common::Test;
use crate::interpreters::{Interpreter, interpreters, said, tell};

/// Checks that all interpreters, asked by us, do as they do by themselves.
#[track_caller]
fn check(args: &[&str], input: &str) {
    let test = Test::new();
    for interpreter in interpreters!() {
        let Interpreter { path, .. } = interpreter;
        let ours = ["python", "--python", path.to_str().expect("a plain path"), "local:"];
        let ours = said(&mut test.thither([&ours[..], args].concat()), input.as_bytes());
        assert_eq!(ours, interpreter.says(&test, args, input.as_bytes()), "{path:?} {args:?}");
    }
}

#[test]
fn code() {
    check(&["-c", "import sys; print(sys.argv)", "a", "", "-c", "--", "--help", "-v"], "");
    check(&["-cimport sys; print(sys.argv)", "a", "-x"], "");
    check(&["-c", ""], "");
    check(&["-c", "def f():\n    1/0\nf()"], "");
    check(&["-c", "x = = 1"], "");
    check(&["-c", "raise SystemExit(3)"], "");
    check(&["-c", "raise SystemExit('text')"], "");
    check(&["-c", "raise KeyboardInterrupt"], "");
    check(&["-c", "import os; os.abort()"], "");
    check(&["-c", "print(ascii(input())); print(ascii(input()))"], "a\nb");
}

#[test]
fn modules() {
    check(&["-m", "json.tool", "--sort-keys"], r#"{"b": 1, "a": 2}"#);
    check(&["-m", "json.tool"], "{");
    check(&["-m", "nonesuch", "-x"], "");
    check(&["-m", "calendar", "--help"], "");
}

#[test]
fn standard_input() {
    check(&[], "import sys; print(sys.argv)\n1/0\n");
    check(&["-", "-a", "-"], "import sys; print(sys.argv)\nsys.exit(4)\n");
    check(&[], "x = = 1");
}

#[test]
fn no_input() {
    let test = Test::new();
    for interpreter in interpreters!() {
        let path = interpreter.path.to_str().expect("a plain path");
        let args = ["python", "-n", "--python", path, "local:"];
        let code = ["-c", "import sys; print(sys.stdin.read())"];
        let silent = said(&mut test.thither([&args[..], &code].concat()), b"text");
        assert_eq!(silent, (0, "\n".into(), String::new()));
        assert_eq!(said(&mut test.thither(args), b"1/0"), (0, String::new(), String::new()));
    }
}

#[test]
fn there() {
    let test = Test::new();
    let [interpreter, ..] = interpreters!() else { unreachable!("one at least") };
    let path = interpreter.path.to_str().expect("a plain path");
    let code = "import os; print(os.getcwd(), os.environ['A'])";
    let flags = ["python", "--dir", "/usr", "--env", "A=1", "--python", path, "local:"];
    let said = said(&mut test.thither([&flags[..], &["-c", code]].concat()), b"");
    assert_eq!(said, (0, "/usr 1\n".into(), String::new()));
}

#[test]
fn names_that_are_tried() {
    let test = Test::new();
    let [oldest, .., newest] = interpreters!() else { skip!("one version of Python alone") };
    let folder = |name: &str, programs: &[(&str, &Interpreter)]| {
        let folder = test.dir().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        for (program, interpreter) in programs {
            // Through a link it would not find its own library.
            let script = format!("#!/bin/sh\nexec {} \"$@\"\n", interpreter.path.display());
            testkit::write_program(&folder.join(program), &script);
        }
        format!("local:?env=PATH={}", folder.display())
    };
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    let check = |place: &str, expected: &Interpreter| {
        let said = said(&mut test.thither(["python", place, "-c", code]), b"");
        let (major, minor) = expected.version;
        assert_eq!(said, (0, format!("{major}.{minor}\n"), String::new()));
        tell(expected, place);
    };
    check(&folder("both", &[("python3", newest), ("python", oldest)]), newest);
    check(&folder("new", &[("python3", newest)]), newest);
    let old = folder("old", &[("python", oldest)]);
    check(&old, oldest);
    // One that is there and does not run is no reason to try another.
    test.file("old/python3", "text");
    let (code, _, error) = said(&mut test.thither(["python", &old, "-c", code]), b"");
    assert_eq!(code, 126);
    assert!(error.starts_with("error: cannot run `python3` in `local:`: "), "{error}");
}

#[test]
fn a_root_with_python_alone() {
    let test = Test::new();
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => skip!("{reason}"),
    };
    testkit::write_program(&root.path().join("bin/python"), "#!/bin/sh\necho \"$@\"\nexit 127\n");
    let place = format!("chroot:{}", root.path().display());
    let said = said(&mut test.thither(["python", &place, "-c", "1", "x"]), b"");
    assert_eq!(said, (127, "-c 1 x\n".into(), String::new()));
}

#[test]
fn no_python() {
    let test = Test::new();
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => skip!("{reason}"),
    };
    let link = test.dir().join("root");
    symlink(root.path(), &link).expect("a link");
    std::fs::create_dir(test.dir().join("python3")).expect("a folder");
    test.says(
        &[
            "python local:?env=PATH=/nonexistent -c 1",
            &format!("python chroot:{} -m x", link.display()),
            "python --python python4 local:?env=PATH=/nonexistent -c 1",
            "python --python ./python3 local: -c 1",
            "python --dir /nonexistent local: -c 1",
        ],
        expect![[r#"
            $ thither python local:?env=PATH=/nonexistent -c 1
            error: no Python in `local:`: tried `python3`, `python`
            hint: name the interpreter over there by `--python PATH`
            exit 127
            $ thither python chroot:[DIR]/root -m x
            error: no Python in `chroot:[DIR]/root`: tried `python3`, `python`
            hint: name the interpreter over there by `--python PATH`
            exit 127
            $ thither python --python python4 local:?env=PATH=/nonexistent -c 1
            error: cannot run `python4` in `local:`: no such file or directory
            hint: its PATH is `/nonexistent`
            exit 127
            $ thither python --python ./python3 local: -c 1
            error: cannot run `./python3` in `local:`: permission denied
            hint: it is a directory; to start a shell there: `--dir`
            exit 126
            $ thither python --dir /nonexistent local: -c 1
            error: cannot change to the directory `/nonexistent` in `local:`: no such file or directory
            exit 125
        "#]],
    );
}

#[test]
fn what_is_no_script() {
    let test = Test::new();
    test.file("long", &"#".repeat(768 * 1024 + 1));
    test.file("nul", "print(1)\0");
    test.says(
        &[
            "python local: nonesuch.py",
            "python local: .",
            "python local: long",
            "python local: nul",
            "python local: -c",
            "python local: -m",
            "python",
            "python local: -u long",
            "python nowhere: long",
        ],
        expect![[r#"
            $ thither python local: nonesuch.py
            error: cannot read the script `nonesuch.py`: no such file or directory
            hint: a script is a file of this machine; `thither run` has one of over there
            exit 125
            $ thither python local: .
            error: cannot read the script `.`: is a directory
            hint: a script is a file of this machine; `thither run` has one of over there
            exit 125
            $ thither python local: long
            error: `long` is too long to be sent along: 786432 bytes are the most
            hint: copy it there with `thither cp`, and run it by `thither run`
            exit 125
            $ thither python local: nul
            error: `nul` is no script: there are NUL bytes in it
            hint: copy it there with `thither cp`, and run it by `thither run`
            exit 125
            $ thither python local: -c
            error: `-c <CODE> [ARG]...` needs a value
            hint: see `thither --help`
            exit 125
            $ thither python local: -m
            error: `-m <MODULE> [ARG]...` needs a value
            hint: see `thither --help`
            exit 125
            $ thither python
            error: missing `PLACE`
            hint: usage: thither python [OPTIONS] <PLACE> [-c <CODE> | -m <MODULE> | <SCRIPT> | -] [ARG]...
            exit 125
            $ thither python local: -u long
            error: unexpected argument `-u`
            hint: usage: thither python [OPTIONS] <PLACE> [-c <CODE> | -m <MODULE> | <SCRIPT> | -] [ARG]...
            exit 125
            $ thither python nowhere: long
            error: `long` is too long to be sent along: 786432 bytes are the most
            hint: copy it there with `thither cp`, and run it by `thither run`
            exit 125
        "#]],
    );
}

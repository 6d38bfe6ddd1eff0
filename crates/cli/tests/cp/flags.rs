//! What the flags say of themselves.

use std::fs;

use expect_test::expect;

use crate::common::Test;

#[test]
fn what_makes_no_sense() {
    let test = Test::new();
    test.file("f", "x");
    test.says(
        &[
            "cp --exclude [a f g",
            "cp --exclude !a f g",
            "cp --exclude '' f g",
            "cp --preserve mode f g",
            "cp --preserve= f g",
            "cp --verify f -",
            "cp --preserve owner f -",
            "cp -n f -",
            "cp -n f g h",
            "cp -n f f",
        ],
        expect![[r#"
            $ thither cp --exclude [a f g
            error: bad pattern `[a`: it has a `[` without its `]`
            exit 125
            $ thither cp --exclude !a f g
            error: bad pattern `!a`: nothing is included again; write `\!` for a name that begins so
            exit 125
            $ thither cp --exclude '' f g
            error: bad pattern ``: it names nothing
            exit 125
            $ thither cp --preserve mode f g
            error: bad value `mode` for `--preserve <WHAT>`
            hint: it is one of `owner`, `xattr`, `sparse`
            exit 125
            $ thither cp --preserve= f g
            error: `--preserve <WHAT>` needs a value
            hint: it is one of `owner`, `xattr`, `sparse`
            exit 125
            $ thither cp --verify f -
            error: standard output takes the content of a file and nothing else
            hint: name a file or a folder to copy to
            exit 125
            $ thither cp --preserve owner f -
            error: standard output takes the content of a file and nothing else
            hint: name a file or a folder to copy to
            exit 125
            $ thither cp -n f -
            error: standard output takes the content of a file and nothing else
            hint: name a file or a folder to copy to
            exit 125
            $ thither cp -n f g h
            error: cannot copy to `h/`: no such file or directory
            exit 125
            $ thither cp -n f f
            error: cannot copy to `f`: it is the same file
            exit 125
        "#]],
    );
    assert_eq!(fs::read_dir(test.dir()).expect("a folder").count(), 1);
}

#[test]
fn names_are_escaped() {
    let test = Test::new();
    fs::create_dir(test.dir().join("d")).expect("a folder");
    fs::write(test.dir().join("d/a\n\u{1b}[2J"), "x").expect("a file");
    std::os::unix::fs::symlink("to\n", test.dir().join("d/l")).expect("a link");
    fs::hard_link(test.dir().join("d/a\n\u{1b}[2J"), test.dir().join("d/m")).expect("a link");
    test.says(
        &["cp -rn d e", "cp -n -x l d/l ."],
        expect![[r#"
        $ thither cp -rn d e
        |            - `d`/
        |            1 `d/a\n\u{1b}[2J`
        |            - `d/l` -> `to\n`
        |            - `d/m` = `d/a\n\u{1b}[2J`
        $ thither cp -n -x l d/l .
        error: cannot copy from `d/l`: cannot read `to\n`: no such file or directory
        exit 125
    "#]],
    );
}

#[test]
fn standard_input() {
    let test = Test::new();
    let mut command = test.thither(["cp", "-n", "-", "f"]);
    let output = crate::common::output(&mut command, b"12345");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "           5 `-`\n");
    assert!(!test.dir().join("f").exists());
    let mut command = test.thither(["cp", "--verify", "-", "f"]);
    let output = crate::common::output(&mut command, b"12345");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "thither: verified 1 file by reading back\n");
}

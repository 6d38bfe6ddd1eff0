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
        expect![[""]],
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
    test.says(&["cp -rn d e", "cp -n -x l d/l ."], expect![[""]]);
}

#[test]
fn standard_input() {
    let test = Test::new();
    let mut command = test.thither(["cp", "-n", "-", "f"]);
    let output = crate::common::output(&mut command, b"12345");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "           5 `.`\n");
    assert!(!test.dir().join("f").exists());
    let mut command = test.thither(["cp", "--verify", "-", "f"]);
    let output = crate::common::output(&mut command, b"12345");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "thither: verified 1 file by reading back\n");
}

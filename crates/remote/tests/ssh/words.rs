//! Every byte of a command's words arrives, whatever the login shell makes of them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use thither_place::Command;
use thither_remote::Ssh;

use crate::common::{host, output, prints};

/// What means something to some shell, and what is no text.
const SPECIAL: [&[u8]; 28] = [
    b"'",
    b"\"",
    b"\\",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"!",
    b"$(id)",
    b"`id`",
    b"$HOME",
    b"~",
    b"=",
    b"-",
    b"--",
    b"*",
    b"{a,b}",
    b"%",
    b"#",
    b";",
    b"&",
    b"|",
    b"<(id)",
    b"\xff",
    b"\xc3",
    b"\xf0\x9f\xa6\x80",
    b"\xef\x98\x80",
    b"^",
];

fn word() -> impl Strategy<Value = Vec<u8>> {
    let byte = (1..=255_u8).prop_map(|byte| vec![byte]);
    let piece =
        prop_oneof![2 => prop::sample::select(SPECIAL.map(<[u8]>::to_vec).to_vec()), 1 => byte];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// As [`word`], but what may be a file's name.
fn name() -> impl Strategy<Value = Vec<u8>> {
    word()
        .prop_map(|mut word| {
            word.retain(|&byte| byte != b'/');
            word.truncate(200);
            word
        })
        .prop_filter("a name", |word| !matches!(&word[..], b"" | b"." | b".."))
}

#[track_caller]
fn for_any<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value)) {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let tried = TestRunner::new(config).run(&strategy, |value| {
        check(value);
        Ok::<(), TestCaseError>(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// `printf`, the program and not the shell's own, ends each word with a NUL.
#[track_caller]
fn check(place: &Ssh, words: &[Vec<u8>]) {
    let args = words.iter().map(|word| OsStr::from_bytes(word));
    let found = prints(place, &Command::new("/usr/bin/printf").arg("%s\\0").args(args));
    let expected: Vec<u8> = words.iter().flat_map(|word| [&word[..], b"\0"].concat()).collect();
    assert!(found == expected, "{}\n{}", expected.escape_ascii(), found.escape_ascii());
}

fn hard_words() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (1..=255).collect();
    let mut words: Vec<Vec<u8>> = SPECIAL.map(<[u8]>::to_vec).to_vec();
    words.extend([
        vec![],
        b"-n".to_vec(),
        b"A=b".to_vec(),
        b"~root".to_vec(),
        b"=ls".to_vec(),
        b"!!".to_vec(),
    ]);
    words.extend([
        all.clone(),
        b"\n".repeat(3),
        b"a\\\nb".to_vec(),
        b"\\n".to_vec(),
        b"'\\''".to_vec(),
    ]);
    words.push(vec![b'x'; 100_000]);
    words
}

macro_rules! shells {
    ($check:ident: $($test:ident $shell:literal)*) => {
        $(#[test]
        fn $test() {
            let host = host!($shell);
            $check(&host.place());
        })*
    };
}

fn arguments(place: &Ssh) {
    check(place, &hard_words());
    for_any(100, prop::collection::vec(word(), 1..6), |words| check(place, &words));
}

shells!(arguments:
    arguments_by_sh "sh" arguments_by_dash "dash" arguments_by_bash "bash" arguments_by_zsh "zsh" arguments_by_fish "fish");

/// A program is never what the shell has of the same name.
fn programs(place: &Ssh) {
    let zeros = |args: &[&str]| prints(place, &Command::new(args[0]).args(&args[1..]));
    assert_eq!(zeros(&["echo", "-n", "a\\tb"]), b"a\\tb");
    assert_eq!(zeros(&["printf", "%d", "0x10"]), b"16");
    assert_eq!(output(place, &Command::new("cd").arg("/")).exit, thither_place::Exit::Code(127));
    // Only the program knows this one: shells' own know nothing of it.
    assert!(zeros(&["echo", "--version"]).starts_with(b"echo (GNU coreutils)"));
    assert!(zeros(&["test", "--version"]).is_empty());
    assert!(zeros(&["kill", "--version"]).starts_with(b"kill"));
    let folder = folder();
    for_any(40, name(), |name| {
        let path = folder.path().join(OsStr::from_bytes(&name));
        symlink("/usr/bin/printf", &path).unwrap();
        let named = Command::new(OsString::from_vec(name.clone()))
            .env("PATH", folder.path())
            .arg("%s")
            .arg("here");
        for command in [Command::new(&path).arg("%s").arg("here"), named] {
            assert_eq!(prints(place, &command), b"here", "{}", name.escape_ascii());
        }
        std::fs::remove_file(path).unwrap();
    });
}

shells!(programs:
    programs_by_dash "dash" programs_by_bash "bash" programs_by_zsh "zsh" programs_by_fish "fish");

/// One that every user can enter.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn directories(place: &Ssh) {
    let folder = folder();
    let lies = |dir: PathBuf, expected: PathBuf| {
        let found =
            prints(place, &Command::new("readlink").args(["-z", "/proc/self/cwd"]).dir(dir));
        assert_eq!(
            found.escape_ascii().to_string(),
            [expected.as_os_str().as_bytes(), b"\0"].concat().escape_ascii().to_string()
        );
    };
    for_any(40, name(), |name| {
        let path = folder.path().join(OsStr::from_bytes(&name));
        std::fs::create_dir(&path).unwrap();
        lies(path.clone(), path.canonicalize().unwrap());
        std::fs::remove_dir(path).unwrap();
    });
    lies("/".into(), "/".into());
    lies("..".into(), "/home".into());
}

shells!(directories:
    directories_by_dash "dash" directories_by_bash "bash" directories_by_zsh "zsh" directories_by_fish "fish");

#[test]
fn more_than_a_line_holds() {
    let host = host!("bash");
    let place = host.place();
    // Half a megabyte, and quotes, which are longer when they are quoted; a line of sshd holds 128 KiB.
    check(&place, &vec![vec![b'y'; 60_000]; 8]);
    check(&place, &[vec![b'\''; 60_000]]);
    let zsh = testkit::ssh_user("fish").map(|user| Ssh::new("thither-test").user(user));
    check(&zsh.unwrap_or(place), &vec![b"it's\n".repeat(10_000); 4]);
}

#[test]
fn what_cannot_be_said() {
    let host = host!("sh");
    let place = host.place();
    let says = |command: &Command| crate::common::told(&crate::common::error(&place, command));
    let address = format!("ssh:{}@thither-test", host.user);
    let nul = || OsString::from("a\0b");
    let expected =
        format!("`{address}` cannot pass on a NUL byte in a word of a command; exit code 125");
    for command in
        [Command::new(nul()), Command::new("true").arg(nul()), Command::new("true").dir(nul())]
    {
        assert_eq!(says(&command), expected);
    }
    let expected =
        format!("`{address}` cannot pass on a NUL byte in the value of a variable; exit code 125");
    assert_eq!(says(&Command::new("true").env("A", nul())), expected);
    let bad = "a variable whose name is not of letters, digits and `_`";
    for name in ["", "1A", "A B", "A-B", "A;id"] {
        assert_eq!(
            says(&Command::new("true").env(name, "")),
            format!("`{address}` cannot pass on {bad}; exit code 125")
        );
    }
}

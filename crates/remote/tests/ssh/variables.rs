//! Variables arrive, and nobody over there can read them in a command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use thither_place::{Command, Place, Stream};
use thither_remote::Ssh;

use crate::common::{host, line, prints, read_all, says, sh, wait};

#[track_caller]
fn check(place: &Ssh, value: &[u8]) {
    let command = Command::new("printenv").args(["-0", "V"]).env("V", OsStr::from_bytes(value));
    let found = prints(place, &command);
    assert!(found == [value, b"\0"].concat(), "{}\n{}", value.escape_ascii(), found.escape_ascii());
}

fn values(place: &Ssh) {
    let all: Vec<u8> = (1..=255).collect();
    for value in
        [&b""[..], b"\n", b"\n\n", b"a\nb", b"'", b"\\", b"\\\n", b"$(id)", b"  a  ", b"\r\n", &all]
    {
        check(place, value);
    }
    check(place, &b"long and 'quoted'\n".repeat(5_000));
    check(place, &[b'x'; 100_000]);
    let bytes = prop_oneof![1..=255_u8, prop::sample::select(b"\n'\\\"$`! \xff".to_vec())];
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&prop::collection::vec(bytes, 0..40), |value| {
        check(place, &value);
        Ok::<(), TestCaseError>(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

macro_rules! shells {
    ($($test:ident $shell:literal)*) => {
        $(#[test]
        fn $test() {
            let host = host!($shell);
            values(&host.place());
        })*
    };
}

shells!(values_by_sh "sh" values_by_bash "bash" values_by_zsh "zsh" values_by_fish "fish");

#[test]
fn a_megabyte_of_them() {
    let host = host!("sh");
    let value = "x".repeat(100_000);
    let command = (0..10)
        .fold(sh("printf %s $V0$V9 | wc -c"), |command, n| command.env(format!("V{n}"), &value));
    assert_eq!(says(&host.place(), &command), "200000\n");
}

#[test]
fn names_that_the_shell_has() {
    let host = host!("bash");
    let place = host.place();
    for name in
        ["PATH", "IFS", "HOME", "PWD", "PS1", "LANG", "TERM", "_x", "thither_env", "s", "t", "ENV"]
    {
        let value = if name == "PATH" { "/usr/bin:/bin:/x" } else { "/x y" };
        let command = Command::new("/usr/bin/printenv").arg(name).env(name, value);
        assert_eq!(says(&place, &command), format!("{value}\n"), "{name}");
    }
    let both = Command::new("env").env("A", "1").env("A", "2").env_remove("A").env("A", "3");
    assert!(says(&place, &both).lines().any(|line| line == "A=3"));
}

#[test]
fn an_empty_environment() {
    testkit::own_ssh!();
    for_each_shell(|place| {
        let all = |command: &Command| {
            let mut lines: Vec<String> = says(place, command).lines().map(String::from).collect();
            lines.sort();
            // What every sh tells of itself: bash adds `_`.
            lines.retain(|line| !line.starts_with("_="));
            lines
        };
        assert_eq!(all(&Command::new("/usr/bin/env").env_clear()), [""; 0]);
        assert_eq!(
            all(&Command::new("/usr/bin/env").env_clear().env("A", "1").env("PWD", "2")),
            ["A=1", "PWD=2"]
        );
        let left = all(&Command::new("env").env_remove("HOME"));
        assert!(!left.is_empty() && !left.iter().any(|line| line.starts_with("HOME=")), "{left:?}");
        assert!(!left.iter().any(|line| line.starts_with("thither")), "{left:?}");
    });
}

fn for_each_shell(check: impl Fn(&Ssh)) {
    for shell in ["sh", "bash", "zsh", "fish"] {
        match crate::common::Host::new(shell, "") {
            Ok(host) => check(&host.place()),
            Err(reason) => testkit::skip!("{reason}"),
        }
    }
}

#[test]
fn they_are_in_no_command_line() {
    let host = host!("bash");
    let secret = "Gauß'\nQuatsch 4711";
    let command = sh("printf '%s\\n' \"$SECRET\"; cat").env("SECRET", secret);
    let command = command.stdin(Stream::Piped).stdout(Stream::Piped);
    let process = host.place().spawn(&command).unwrap();
    let stdout = process.stdout.as_ref().unwrap();
    assert_eq!([line(stdout), line(stdout)].join("\n"), secret);
    for entry in std::fs::read_dir("/proc").unwrap() {
        let file = entry.unwrap().path().join("cmdline");
        let text = std::fs::read(file).unwrap_or_default();
        assert!(!text.windows(4).any(|window| window == b"4711"), "{}", text.escape_ascii());
    }
    let log = host.sshd.log();
    assert!(!log.contains("4711"), "{log}");
    wait(process).unwrap();
}

#[test]
fn the_input_behind_them_is_the_commands() {
    let host = host!("bash");
    let command = Command::new("cat").env("A", "1\n2").stdin(Stream::Piped).stdout(Stream::Piped);
    let mut process = host.place().spawn(&command).unwrap();
    let input = b"first\nsecond\\n\xff\0\n".repeat(50_000);
    let mut stdin = std::fs::File::from(process.stdin.take().unwrap());
    let sent = input.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &sent));
    let found = read_all(process.stdout.take().unwrap());
    writer.join().unwrap().unwrap();
    assert!(found == input, "{} of {}", found.len(), input.len());
    wait(process).unwrap();
    let none = Command::new("cat").env("A", "1").stdin(Stream::Null);
    assert_eq!(prints(&host.place(), &none), b"");
}

#[test]
fn ssh_config_may_send_some() {
    let host = host!("sh");
    host.configure("SendEnv LC_*\nSetEnv LC_SET=1");
    let found = says(&host.place(), &sh("echo $LC_SET"));
    assert_eq!(found, "1\n");
    // This process has none that begins so.
    let other = OsString::from_vec(b"LC_\xff".to_vec());
    assert!(std::env::var_os(other).is_none());
}

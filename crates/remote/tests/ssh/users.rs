//! Another user over there, by sudo(8).

use expect_test::expect;
use testkit::SudoRule;
use thither_place::{Command, Exit, Place, Stream};

use crate::common::{ends, host, line, lives, output, prints, says, sh, started, wait};

/// A rule by which the host's user may be everybody, or a skip.
macro_rules! sudo {
    ($host:expr) => {
        match SudoRule::new(&$host.user) {
            Ok(rule) => rule,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

#[test]
fn names_and_ids() {
    let host = host!("bash");
    let _rule = sudo!(host);
    let place = host.place();
    for (user, expected) in [
        ("root", "0 0 root /root\n"),
        ("0", "0 0 root /root\n"),
        ("daemon", "1 1 daemon /usr/sbin\n"),
        ("daemon:root", "1 0 daemon /usr/sbin\n"),
        ("1:0", "1 0 daemon /usr/sbin\n"),
    ] {
        let command = sh("echo $(id -u) $(id -g) $(id -un) $HOME").user(user);
        assert_eq!(says(&place, &command), expected, "{user}");
    }
}

#[test]
fn words_variables_and_directories() {
    testkit::own_ssh!();
    for_each_shell(|host| {
        let place = host.place();
        let _rule = SudoRule::new(&host.user).unwrap();
        let words = ["", "a b", "it's", "\\", "$(id)", "-u", "A=b", "\n", "!", "~", "{}", "*"];
        let command = Command::new("/usr/bin/printf").arg("%s\\0").args(words).user("daemon");
        let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
        assert_eq!(prints(&place, &command), expected.as_bytes());
        let env =
            sh("printf '%s|%s' \"$A\" \"$PWD\"").env("A", "x\n'y'").dir("/proc").user("daemon");
        assert_eq!(says(&place, &env), "x\n'y'|/proc");
        assert_eq!(
            says(&place, &Command::new("env").env_clear().env("A", "1").user("daemon"))
                .matches("A=1")
                .count(),
            1
        );
    });
}

fn for_each_shell(check: impl Fn(&crate::common::Host)) {
    for shell in ["sh", "bash", "zsh", "fish"] {
        match crate::common::Host::new(shell, "") {
            Ok(host) => check(&host),
            Err(reason) => testkit::skip!("{reason}"),
        }
    }
}

#[test]
fn codes_and_signals() {
    let host = host!("sh");
    let _rule = sudo!(host);
    let place = host.place();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 125", 125), ("exit 255", 255)] {
        let output = output(&place, &sh(script).user("daemon"));
        assert_eq!((output.exit, &output.stderr[..]), (Exit::Code(code), &b""[..]), "{script}");
    }
    for signal in [1, 2, 6, 9, 11, 13, 15] {
        let output = output(&place, &sh(&format!("ulimit -c 0; kill -{signal} $$")).user("daemon"));
        assert_eq!(
            (output.exit, &output.stderr[..]),
            (Exit::Code(128 + signal), &b""[..]),
            "{signal}"
        );
    }
    let missing = output(&place, &Command::new("no-such-program").user("daemon"));
    assert_eq!(missing.exit, Exit::Code(127));
    let dir = output(&place, &Command::new("true").user("daemon").dir("/root"));
    assert_eq!(dir.exit, Exit::Code(125));
}

#[test]
fn one_that_is_refused() {
    let host = host!("sh");
    if let Err(reason) = testkit::find_program("sudo") {
        testkit::skip!("{reason}");
    }
    let said = |user: &str| {
        let output = output(&host.place(), &Command::new("true").user(user));
        assert_eq!(output.exit, Exit::Code(125));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    expect![[r#"
        sudo: a password is required
        thither: sudo does not let us be root here without a password
    "#]]
    .assert_eq(&said("root"));
    let _rule = sudo!(host);
    expect![[r#"
        sudo: unknown user no'such
        sudo: error initializing audit plugin sudoers_audit
        thither: sudo does not let us be no'such here without a password
    "#]]
    .assert_eq(&said("no'such"));
}

#[test]
fn signals_reach_it() {
    let host = host!("bash");
    let _rule = sudo!(host);
    let place = host.place();
    for (signal, script, expected) in [
        (15, "echo $$; exec sleep 1000", 143),
        (2, "echo $$; exec sleep 1000", 130),
        (15, "trap 'exit 9' TERM; echo $$; while :; do sleep 0.05; done", 9),
    ] {
        let mut started = started(&place, sh(script).user("daemon"));
        started.process.signal(signal).unwrap();
        assert_eq!(wait(started.process).unwrap(), Exit::Code(expected), "{signal} {script}");
        ends(started.pid, "what got a signal");
    }
}

#[test]
fn it_ends_with_us() {
    let host = host!("bash");
    let _rule = sudo!(host);
    let script = "trap '' HUP TERM; echo $$; while :; do sleep 0.05; done";
    for script in ["echo $$; exec sleep 1000", script] {
        let started = started(&host.place(), sh(script).user("daemon"));
        assert!(lives(started.pid));
        drop(started.process);
        ends(started.pid, script);
    }
}

#[test]
fn it_has_a_terminal() {
    let host = host!("bash");
    let _rule = sudo!(host);
    let size = thither_place::WindowSize { cols: 91, rows: 17 };
    let command = sh("stty size; id -un; echo $A").user("daemon").env("A", "x").terminal(size);
    let mut process = host.place().spawn(&command).unwrap();
    let shown = crate::common::Screen::of(&mut process).rest();
    assert_eq!(
        (shown.as_str(), wait(process).unwrap()),
        ("17 91\r\ndaemon\r\nx\r\n", Exit::Code(0))
    );
    let piped = Command::new("cat").user("daemon").stdin(Stream::Piped).stdout(Stream::Piped);
    let process = host.place().spawn(&piped).unwrap();
    rustix::io::write(process.stdin.as_ref().unwrap(), b"line\n").unwrap();
    assert_eq!(line(process.stdout.as_ref().unwrap()), "line");
    wait(process).unwrap();
}

//! A password that is asked for at the terminal.

mod common;

use testkit::{PasswordUser, Session, Sshd};

use common::Test;

/// Types a password, and looks for what the command prints and what becomes of the terminal.
#[track_caller]
fn check(native: bool) {
    let user = match PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let sshd = match Sshd::options("PasswordAuthentication yes") {
        Ok(sshd) => sshd,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let test = Test::new();
    let config = test.file(
        "config",
        "Host *\n UserKnownHostsFile /dev/null\n IdentityFile /dev/null\n IdentityAgent none\n",
    );
    let wrapper = test.dir().join("ssh");
    testkit::write_program(
        &wrapper,
        &format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display()),
    );
    let address = format!("ssh:{}@127.0.0.1:{}", user.name(), sshd.port());
    let command = |question: &str, answer: &[u8], expected: &str, code: i32| {
        let native = format!("--use-native={native}");
        let mut thither = test.thither([
            "run",
            "--ask-password",
            "--missing-host-key-policy=warning",
            &native,
            &address,
            "--",
            "sh",
            "-c",
            "echo I am $(id -un)",
        ]);
        // A home without keys.
        thither.env("THITHER_SSH", &wrapper).env("HOME", test.dir()).env_remove("SSH_AUTH_SOCK");
        let mut session = Session::spawn(thither, (120, 24));
        session.expect(question);
        let before = session.modes();
        session.send(answer);
        session.expect(expected);
        let code_found = session.wait().code();
        assert_eq!(code_found, Some(code), "{}", session.transcript());
        let transcript = session.transcript();
        assert!(!transcript.contains(user.password()), "{transcript}");
        (before, session.modes())
    };
    let question = format!("Password of {address}: ");
    let right = [user.password().as_bytes(), b"\n"].concat();
    // First: a connection that is there is used, whatever the password.
    command(&question, b"wrong\n", "ermission denied", 125);
    let (_, after_abort) = command(&question, b"half\x03", "interrupted", 125);
    let (silent, after) = command(&question, &right, &format!("I am {}", user.name()), 0);
    assert_ne!(silent, after);
    // What is taken back, and a line that is.
    let corrected = [b"x\x7fwrong\x15", &right[..]].concat();
    command(&question, &corrected, &format!("I am {}", user.name()), 0);
    assert_eq!(after, after_abort);
}

#[test]
fn for_the_one_that_is_built_in() {
    check(false);
}

#[test]
fn for_the_users_own() {
    check(true);
}

#[test]
fn a_passphrase_by_the_users_own() {
    let test = Test::new();
    // Whatever root's own shell would read here.
    let sshd = match Sshd::options(&format!("SetEnv HOME={}", test.dir().display())) {
        Ok(sshd) => sshd,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let key = test.dir().join("key");
    std::fs::copy(sshd.identity(), &key).unwrap();
    let locked = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(locked.status.success(), "{locked:?}");
    let config = format!(
        "Host there\n HostName 127.0.0.1\n Port {}\n User root\n IdentitiesOnly yes\n IdentityAgent none\n \
         UserKnownHostsFile {}\n",
        sshd.port(),
        sshd.known_hosts().display()
    );
    let config = test.file("config", &config);
    let wrapper = test.dir().join("ssh");
    testkit::write_program(
        &wrapper,
        &format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display()),
    );
    let mut thither = test.thither(["run", "--identity"]);
    thither.arg(&key).args(["ssh:there", "--", "sh", "-c", "echo it is $((40 + 2))"]);
    thither.env("THITHER_SSH", &wrapper);
    let mut session = Session::spawn(thither, (120, 24));
    session.expect("Enter passphrase for key");
    session.line("open sesame");
    session.expect("it is 42");
    assert_eq!(session.wait().code(), Some(0));
    assert!(!session.transcript().contains("sesame"));
}

/// A key, and then a code that the host asks for by a question of its own (RFC 4256): here PAM asks for the user's password.
#[test]
fn a_code_by_the_users_own() {
    let user = match PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let sshd = match Sshd::options(
        "UsePAM yes\nKbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive",
    ) {
        Ok(sshd) => sshd,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let test = Test::new();
    let config = format!(
        "Host there\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
         UserKnownHostsFile {}\n",
        sshd.port(),
        user.name(),
        sshd.identity().display(),
        sshd.known_hosts().display()
    );
    let config = test.file("config", &config);
    let wrapper = test.dir().join("ssh");
    testkit::write_program(
        &wrapper,
        &format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display()),
    );
    let mut thither = test.thither(["run", "ssh:there", "--", "sh", "-c", "echo I am $(id -un)"]);
    thither.env("THITHER_SSH", &wrapper);
    let mut session = Session::spawn(thither, (120, 24));
    session.expect("Password:");
    session.line(user.password());
    session.expect(format!("I am {}", user.name()));
    assert_eq!(session.wait().code(), Some(0));
    assert!(!session.transcript().contains(user.password()));
}

/// What is asked for once counts for the hops behind it, too.
#[test]
fn a_password_of_a_hop_before() {
    let user = match PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let test = Test::new();
    let home = format!("SetEnv HOME={}", test.dir().display());
    let [before, behind] = match ["PasswordAuthentication yes", &home].map(Sshd::options) {
        [Ok(before), Ok(behind)] => [before, behind],
        [Err(reason), _] | [_, Err(reason)] => testkit::skip!("{reason}"),
    };
    let any = "missing-host-key-policy=warning";
    let first = format!("ssh:{}@127.0.0.1:{}", user.name(), before.port());
    let address = format!(
        "{first}?ask-password&{any}|ssh:root@127.0.0.1:{}?identity={}&{any}",
        behind.port(),
        behind.identity().display()
    );
    let mut thither = test.thither(["run", &address, "--", "sh", "-c", "echo it is $((40 + 2))"]);
    thither.env_remove("SSH_AUTH_SOCK");
    let mut session = Session::spawn(thither, (120, 24));
    session.expect(format!("Password of {first}: "));
    session.line(user.password());
    session.expect("it is 42");
    assert_eq!(session.wait().code(), Some(0));
}

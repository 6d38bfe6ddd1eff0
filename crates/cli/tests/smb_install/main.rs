//! `thither smb`: over a real smbd, with a service manager behind it.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use common::{Test, said};
use expect_test::{Expect, expect};
use serde_json::Value;
use testkit::{Services, Session, Smbd};

/// A host, its service manager, and who administers it.
struct Windows {
    test: Test,
    smbd: Smbd,
    services: Services,
}

/// One of the test's own, or a skip.
macro_rules! windows {
    () => {
        match Windows::new() {
            Ok(windows) => windows,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

impl Windows {
    fn new() -> Result<Windows, String> {
        let smbd = Smbd::windows()?;
        let services = smbd.services()?;
        let test = Test::new();
        test.file("password", smbd.password());
        test.file("pushyd.exe", "MZ and so on");
        Ok(Windows { test, smbd, services })
    }

    /// The tool with these words, each of which may name the host as `HOST`.
    fn thither(&self, line: &str) -> Command {
        let port = self.smbd.port();
        let host = format!("smb:{}@127.0.0.1:{port}?password-file=password", self.smbd.user());
        let words = line.split(' ').map(|word| word.replace("HOST", &host));
        self.test.thither(words)
    }

    fn says(&self, line: &str) -> String {
        let said = said(&mut self.thither(line));
        let said = said.replace(self.smbd.user(), "USER");
        said.replace(&self.smbd.port().to_string(), "PORT")
    }

    #[track_caller]
    fn check(&self, line: &str, expected: Expect) {
        expected.assert_eq(&self.says(line));
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.smbd.share()).unwrap().flatten();
        files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_service_comes_and_goes() {
    let mut windows = windows!();
    windows.check("smb install --yes --program pushyd.exe HOST", expect![[r#"
        thither: on smb:USER@127.0.0.1:PORT:
          1. copy `pushyd.exe` (12 bytes) to ADMIN$\thither-pushyd.exe
          2. make the service thither of it, which starts with the host: "%SystemRoot%\thither-pushyd.exe" service --pipe thither
          3. start it, as LocalSystem, on the pipe thither
        thither: copied the program to ADMIN$\thither-pushyd.exe
        thither: made the service thither
        thither: started the service thither
    "#]]);
    assert_eq!(windows.files(), ["thither-pushyd.exe"]);
    windows.check(
        "smb status --program pushyd.exe HOST",
        expect![[r#"
        | program: ADMIN$\thither-pushyd.exe, 12 bytes, the same as here
        | service: thither, running: `"%SystemRoot%\\thither-pushyd.exe" service --pipe thither`
        | pipe thither: none
    "#]],
    );
    windows.check("smb install --yes --program pushyd.exe --pipe other HOST", expect![[r#"
        thither: on smb:USER@127.0.0.1:PORT:
          1. copy `pushyd.exe` (12 bytes) to ADMIN$\thither-pushyd.exe
          2. make the service thither of it, which starts with the host: "%SystemRoot%\thither-pushyd.exe" service --pipe other
          3. start it, as LocalSystem, on the pipe other
        error: cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: there is a service of that name that runs `"%SystemRoot%\\thither-pushyd.exe" service --pipe thither`
        hint: look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`
        exit 125
    "#]]);
    windows.check(
        "smb uninstall --yes HOST",
        expect![[r#"
        thither: on smb:USER@127.0.0.1:PORT:
          1. stop the service thither, with all that runs by it
          2. delete the service thither
          3. remove ADMIN$\thither-pushyd.exe
        thither: stopped the service thither
        thither: deleted the service thither
        thither: removed ADMIN$\thither-pushyd.exe
    "#]],
    );
    assert_eq!(windows.files(), [""; 0]);
    assert_eq!(windows.services.all(), "{}");
    windows.check(
        "smb status HOST",
        expect![[r#"
        | program: none
        | service: none
        | pipe thither: none
    "#]],
    );
    windows.check(
        "smb uninstall -y HOST",
        expect![[r#"
        thither: on smb:USER@127.0.0.1:PORT:
          1. stop the service thither, with all that runs by it
          2. delete the service thither
          3. remove ADMIN$\thither-pushyd.exe
        thither: there is no service thither
        thither: there is no ADMIN$\thither-pushyd.exe
    "#]],
    );
}

#[test]
fn the_status_for_programs() {
    let windows = windows!();
    let status = || -> Value {
        let said = windows.says("smb status --json --program pushyd.exe HOST");
        serde_json::from_str(said.trim_start_matches("| ")).unwrap()
    };
    expect![[
        r#"{"pipe":{"name":"thither","state":"none","why":null},"program":null,"service":null}"#
    ]]
    .assert_eq(&status().to_string());
    windows.says("smb install --yes --program pushyd.exe HOST");
    expect![[r#"{"pipe":{"name":"thither","state":"none","why":null},"program":{"same":true,"size":12},"service":{"account":"LocalSystem","automatic":true,"command":"\"%SystemRoot%\\thither-pushyd.exe\" service --pipe thither","ours":true,"state":"running"}}"#]].assert_eq(&status().to_string());
}

#[test]
fn a_step_that_fails_leaves_nothing() {
    let mut windows = windows!();
    windows.services.tell(r#"{"fail": {"19": 1053}}"#);
    windows.check("smb install --yes --program pushyd.exe HOST", expect![[r#"
        thither: on smb:USER@127.0.0.1:PORT:
          1. copy `pushyd.exe` (12 bytes) to ADMIN$\thither-pushyd.exe
          2. make the service thither of it, which starts with the host: "%SystemRoot%\thither-pushyd.exe" service --pipe thither
          3. start it, as LocalSystem, on the pipe thither
        thither: copied the program to ADMIN$\thither-pushyd.exe
        thither: made the service thither
        error: cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: it did not respond (ERROR_SERVICE_REQUEST_TIMEOUT)
        hint: look at the event log over there
        exit 125
    "#]]);
    assert_eq!((windows.files().len(), windows.services.all()), (0, "{}".into()));
}

/// It waits for a service that never runs.
#[test]
fn an_interrupted_installation_leaves_nothing() {
    let mut windows = windows!();
    windows.services.tell(r#"{"slow": true}"#);
    let command = windows.thither("smb install --yes --program pushyd.exe HOST");
    let mut session = Session::spawn(command, (200, 24));
    session.expect("made the service thither");
    session.send("\x03");
    session.expect("interrupted; nothing of it is left over there");
    assert_eq!(ExitStatusExt::signal(&session.wait()), Some(2));
    assert_eq!((windows.files().len(), windows.services.all()), (0, "{}".into()));
}

/// Nobody is reached.
#[track_caller]
fn check(line: &str, expected: Expect) {
    let test = Test::new();
    test.file("pushyd.exe", "MZ");
    test.file("other", "#!/bin/sh");
    expected.assert_eq(&said(&mut test.thither(line.split(' '))));
}

#[test]
fn what_cannot_be_is_refused_before_anybody_is_asked() {
    check(
        "smb install --program pushyd.exe files",
        expect![[r#"
        error: there is no terminal to ask at
        hint: say `--yes`
        exit 125
    "#]],
    );
    check(
        "smb uninstall files",
        expect![[r#"
        error: there is no terminal to ask at
        hint: say `--yes`
        exit 125
    "#]],
    );
    check(
        "smb install --yes --program none.exe files",
        expect![[r#"
        error: cannot read `none.exe`: no such file or directory
        exit 125
    "#]],
    );
    check(
        "smb install --yes --program other files",
        expect![[r#"
        error: cannot install `other`: it is no program of Windows
        exit 125
    "#]],
    );
    check(
        "smb install --yes --program pushyd.exe --pipe a/b files",
        expect![[r#"
        error: bad `--pipe`: a pipe has up to 64 letters, digits, `-`, `_` and `.` for a name
        exit 125
    "#]],
    );
    check(
        "smb install --yes --program pushyd.exe ssh:files",
        expect![[r#"
        error: `ssh:files` is no host over SMB
        hint: write `HOST`, `\\HOST` or `smb:HOST`
        exit 125
    "#]],
    );
    check(
        "smb install --yes --program pushyd.exe --encrypt maybe files",
        expect![[r#"
        error: bad value `maybe` for `--encrypt <HOW>`
        hint: it is one of `require`, `prefer`, `off`
        exit 125
    "#]],
    );
    check(
        "smb",
        expect![[r#"
        error: no verb
        hint: it is one of `install`, `status`, `uninstall`, `help`
        exit 125
    "#]],
    );
    check(
        "smb status",
        expect![[r#"
        error: missing `HOST`
        hint: usage: thither smb status <HOST>
        exit 125
    "#]],
    );
    let test = Test::new();
    let missing = said(&mut test.thither(["smb", "install", "--yes", "files"]));
    assert!(missing.contains("the program is missing: there is neither `"), "{missing}");
    assert!(missing.contains("/../lib/thither/pushyd.exe`"), "{missing}");
}

#[test]
fn hosts_have_names_and_addresses() {
    let said = |host: &str| {
        let test = Test::new();
        test.file("pushyd.exe", "MZ");
        test.file("password", "secret");
        let flags = "smb install --yes --timeout 0.1 --program pushyd.exe --password-file password --username ann";
        let words = flags.split(' ').chain([host]);
        said(&mut test.thither(words)).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(said("192.0.2.1"), "thither: on smb:192.0.2.1:");
    assert_eq!(said("no-such-host.invalid"), "thither: on smb:no-such-host.invalid:");
    assert_eq!(said(r"\\192.0.2.1"), "thither: on smb:192.0.2.1:");
    assert_eq!(said(r"\\192.0.2.1\pipe\x"), "thither: on smb:192.0.2.1:");
    assert_eq!(said("smb:192.0.2.1:4450"), "thither: on smb:192.0.2.1:4450:");
}

/// What is done after the question is answered with this.
#[track_caller]
fn check_answer(answer: &str, code: i32, is_done: bool) {
    let mut windows = windows!();
    let command = windows.thither("smb install --program pushyd.exe HOST");
    let mut session = Session::spawn(command, (80, 24));
    session.expect("Go on? [y/N] ");
    session.send(answer);
    let status = session.wait();
    let ended = ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    assert_eq!(status.code().or(ended), Some(code), "{}", session.transcript());
    assert_eq!(windows.files().is_empty(), !is_done);
    assert_eq!(windows.services.calls().is_empty(), !is_done);
}

#[test]
fn the_question() {
    check_answer("y\r", 0, true);
    check_answer("n\r", 125, false);
    check_answer("\r", 125, false);
    check_answer("\x04", 125, false);
    check_answer("\x03", 130, false);
}

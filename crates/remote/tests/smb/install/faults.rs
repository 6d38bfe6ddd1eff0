//! Steps that fail leave nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::{Expect, expect};

use super::windows;
use crate::common::host;

/// What an installation says when this is told to the service manager; nothing stays.
#[track_caller]
fn check(wishes: &str, expected: Expect) {
    let mut windows = windows!();
    let before = windows.there();
    windows.services.tell(wishes);
    let said = windows.install();
    windows.services.tell(r#"{"fail": {}}"#);
    expected.assert_eq(&said);
    assert_eq!(windows.there(), before);
}

#[test]
fn who_is_no_administrator_is_refused() {
    check(
        r#"{"fail": {"15": 5}}"#,
        expect![[r#"
        cannot call the service manager in `smb:USER@127.0.0.1:PORT`: access is denied (ERROR_ACCESS_DENIED); hint: log on as an administrator: an account of the domain, or the built-in Administrator; UAC filters other local accounts
    "#]],
    );
    check(
        r#"{"fail": {"12": 5}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: access is denied (ERROR_ACCESS_DENIED); hint: log on as an administrator: an account of the domain, or the built-in Administrator; UAC filters other local accounts
    "#]],
    );
}

#[test]
fn a_service_that_cannot_be_made() {
    check(
        r#"{"fail": {"12": 1072}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: it is marked for deletion (ERROR_SERVICE_MARKED_FOR_DELETE); hint: close what shows services over there, or restart the host
    "#]],
    );
    check(
        r#"{"fail": {"12": 1073}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: there is one (ERROR_SERVICE_EXISTS); hint: look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`
    "#]],
    );
    check(
        r#"{"fail": {"12": 4711}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: error 4711 of Windows
    "#]],
    );
    check(
        r#"{"fail": {"12": "fault"}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: the service manager answers a fault, nca_unk_if (0x1c010003)
    "#]],
    );
}

#[test]
fn a_service_that_does_not_start() {
    check(
        r#"{"fail": {"19": 1053}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        made the service thither
        cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: it did not respond (ERROR_SERVICE_REQUEST_TIMEOUT); hint: look at the event log over there
    "#]],
    );
    check(
        r#"{"fail": {"19": 1058}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        made the service thither
        cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: it is disabled (ERROR_SERVICE_DISABLED); hint: enable the service over there, or remove it
    "#]],
    );
    check(
        r#"{"fail": {"19": 2}}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        made the service thither
        cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: a file is not there (ERROR_FILE_NOT_FOUND)
    "#]],
    );
    check(
        r#"{"crash": true}"#,
        expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        made the service thither
        cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: it stopped again; hint: look at the event log over there
    "#]],
    );
}

/// The call was done, and nobody here knows.
#[test]
fn a_connection_that_ends_in_a_call() {
    for opnum in [15, 16, 12, 6, 19] {
        let mut windows = windows!();
        let before = windows.there();
        windows.services.tell(&format!(r#"{{"fail": {{"{opnum}": "drop"}}}}"#));
        let said = windows.install();
        assert!(said.contains("the service manager ended the connection"), "{opnum}: {said}");
        assert_eq!(windows.there(), before, "{opnum}: {said}");
    }
}

#[test]
fn what_cannot_be_undone_is_told() {
    let mut windows = windows!();
    windows.services.tell(r#"{"fail": {"19": 1053, "2": 5}}"#);
    expect![[r#"
        copied the program to ADMIN$\thither-pushyd.exe
        made the service thither
        cannot start the service `thither` in `smb:USER@127.0.0.1:PORT`: it did not respond (ERROR_SERVICE_REQUEST_TIMEOUT); left over there: the service `thither` (access is denied (ERROR_ACCESS_DENIED)); hint: look at the event log over there
    "#]].assert_eq(&windows.install());
    let there = windows.there();
    assert!(there.starts_with("[] "), "{there}");
    windows.services.tell(r#"{"fail": {}}"#);
    expect![[r#"
        deleted the service thither
        there is no ADMIN$\thither-pushyd.exe
    "#]]
    .assert_eq(&windows.uninstall());
}

#[test]
fn a_share_that_cannot_be_written() {
    let mut windows = windows!();
    let before = windows.there();
    let mode = |mode| {
        let folder = windows.smbd.share();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o555);
    let said = windows.install();
    expect![[r#"
        cannot copy the program to `ADMIN$\\thither-pushyd.exe` in `smb:USER@127.0.0.1:PORT`: `USER` may not do that; hint: log on as an administrator: an account of the domain, or the built-in Administrator; UAC filters other local accounts
    "#]].assert_eq(&said);
    assert_eq!(windows.there(), before);
}

#[test]
fn a_host_without_the_share() {
    let host = host!();
    let place = host.place();
    let result = testkit::within_deadline("a refusal", move || {
        super::install(&place, &super::service(), None, &mut |_| {})
    });
    let told = crate::common::told(&result.unwrap_err());
    let told =
        told.replace(host.smbd.user(), "USER").replace(&host.smbd.port().to_string(), "PORT");
    expect!["cannot enter `smb:USER@127.0.0.1:PORT`: there is no share `ADMIN$`; hint: only Windows has the share, where administrators' shares are not switched off"].assert_eq(&told);
}

#[test]
fn another_file_is_left_alone() {
    let mut windows = windows!();
    fs::write(windows.smbd.share().join("thither-pushyd.exe"), "other").unwrap();
    let before = windows.there();
    expect![[r#"
        cannot copy the program to `ADMIN$\\thither-pushyd.exe` in `smb:USER@127.0.0.1:PORT`: there is another file of that name, of 5 bytes; hint: look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`
    "#]].assert_eq(&windows.install());
    assert_eq!(windows.there(), before);
}

#[test]
fn another_service_is_left_alone() {
    let mut windows = windows!();
    windows.services.tell(
        r#"{"services": {"thither": {"display": "x", "type": 16, "start": 2, "error": 1, "command": "C:\\other.exe",
            "account": "LocalSystem", "state": 4}}}"#
            .replace('\n', " ")
            .as_str(),
    );
    let before = windows.there();
    expect![[r#"
        cannot make the service `thither` in `smb:USER@127.0.0.1:PORT`: there is a service of that name that runs `C:\\other.exe`; hint: look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`
    "#]].assert_eq(&windows.install());
    expect![[r#"
        cannot delete the service `thither` in `smb:USER@127.0.0.1:PORT`: there is a service of that name that runs `C:\\other.exe`; hint: look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`
    "#]].assert_eq(&windows.uninstall());
    assert_eq!(windows.there(), before);
}

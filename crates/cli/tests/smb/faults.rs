//! Hosts that cannot be entered, or no more: what is said, and the code.

use std::net::TcpListener;
use std::process::Child;

use expect_test::{Expect, expect};
use testkit::{Network, Smbd};

use crate::common::finish;
use crate::harness::{lives, says};
use crate::host::{Host, host};

/// What is said at the usual address with a part of it replaced.
#[track_caller]
fn check(host: &Host, part: &str, instead: &str, expected: Expect) {
    assert!(host.daemon.place.contains(part), "{part}");
    let place = host.daemon.place.replacen(part, instead, 1);
    expected.assert_eq(&host.fails(&place));
}

#[test]
fn who_is_not_known() {
    let host = host!();
    let user = host.smbd.user().to_owned();
    host.file("wrong", "nonsense\n");
    check(
        &host,
        "here/password",
        "here/wrong",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: `[USER]` cannot log on: the user or the password is wrong
        hint: check the user, the password and the domain, as in username=DOMAIN\USER
    "#]],
    );
    check(
        &host,
        &user,
        "nobody-knows",
        expect![[r#"
        error: cannot enter `smb:nobody-knows@127.0.0.1:[PORT]`: `nobody-knows` cannot log on: the user or the password is wrong
        hint: check the user, the password and the domain, as in username=DOMAIN\USER
    "#]],
    );
    check(
        &host,
        &format!("{user}@"),
        "guest@",
        expect![[r#"
        error: cannot enter `smb:guest@127.0.0.1:[PORT]`: the user `guest` is a guest's
        hint: name a user of its own with the right password
    "#]],
    );
    host.file("empty", "");
    check(
        &host,
        "here/password",
        "here/empty",
        expect![[r#"
        error: bad option `password-file` of `smb:[USER]@127.0.0.1:[PORT]`: `[HOME]/empty`: it holds no password
        hint: write `password-file=FILE`
    "#]],
    );
}

/// A server of its own ignores a domain that it does not know, as Windows does: the user is looked for in its own accounts.
#[test]
fn domains() {
    let host = host!();
    let place = format!("{}&domain=NOWHERE", host.daemon.place);
    let said = says(&mut host.daemon.here(["run", &place, "--", "id", "-un"]));
    expect![[r#"("[USER]\n", "", 0)"#]].assert_eq(&host.plain(&format!("{said:?}")));
    let place = format!("{}&domain=NOWHERE", host.daemon.place.replacen(host.smbd.user(), "x", 1));
    expect![[r#"
        error: cannot enter `smb:x@127.0.0.1:[PORT]`: `x` cannot log on: the user or the password is wrong
        hint: check the user, the password and the domain, as in username=DOMAIN\USER
    "#]].assert_eq(&host.fails(&place));
}

#[test]
fn no_password() {
    let host = host!();
    expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: no password is given, and Kerberos is not supported
        hint: give one by the option ask-password or password-file=FILE
    "#]].assert_eq(&host.fails(&host.bare()));
    expect![[r#"
        error: `smb:[USER]@127.0.0.1:[PORT]` has no option `kerberos`
        hint: known options: `username`, `domain`, `port`, `password-file`, `password-fd`, `ask-password`, `pipe`, `compat`, `encrypt`, `timeout`, `user`, `dir`, `env`, `clear-env`
    "#]].assert_eq(&host.fails(&format!("{}?kerberos", host.bare())));
    let realm = format!("smb:127.0.0.1:{}?username=ann@OFFICE.EXAMPLE", host.smbd.port());
    expect![[r#"
        error: cannot enter `smb:ann@OFFICE.EXAMPLE@127.0.0.1:[PORT]`: no password is given, and Kerberos is not supported
        hint: give one by the option ask-password or password-file=FILE
    "#]].assert_eq(&host.fails(&realm));
}

#[test]
fn pipes() {
    let host = host!();
    check(
        &host,
        "?",
        "?pipe=nothing&",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: there is no pipe `nothing`
        hint: start the service there, or name its pipe by the option pipe=NAME
    "#]],
    );
    // The daemon's pipe does not speak pushy's protocol.
    let place = format!("{}&compat=pushy&pipe=thither", host.daemon.place);
    let (out, err, code) = says(&mut host.daemon.here(["run", &place, "--", "true"]));
    assert_eq!(code, 125, "{out} {err}");
}

#[test]
fn a_user_who_is_not_admitted() {
    let smbd = match Smbd::start() {
        Ok(smbd) => smbd,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let mut host = Host::of(smbd, "nobody");
    expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: this user may not use the pipe
        hint: its administrator names users by --samba-user
    "#]]
    .assert_eq(&host.fails(&host.daemon.place));
    let logged = host.daemon.event("denied").to_string();
    assert!(logged.contains("it is not on the list of users"), "{logged}");
}

#[test]
fn a_server_that_cannot_encrypt() {
    let host = host!("server smb encrypt = off");
    check(
        &host,
        "?",
        "?",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: it cannot encrypt
        hint: enable encryption there, or do without by the option encrypt=prefer
    "#]],
    );
    for wish in ["prefer", "off"] {
        let place = format!("{}&encrypt={wish}", host.daemon.place);
        assert_eq!(says(&mut host.daemon.here(["run", &place, "--", "true"])).2, 0, "{wish}");
    }
}

#[test]
fn a_server_that_is_too_old() {
    let host = host!("server max protocol = SMB2_10");
    check(
        &host,
        "?",
        "?",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: it does not speak SMB 3.1.1
        hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3
    "#]],
    );
    check(
        &host,
        "?",
        "?encrypt=off&",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: it does not speak SMB 3.1.1
        hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3
    "#]],
    );
}

#[test]
fn nothing_listens() {
    let mut host = host!();
    host.smbd.kill();
    check(
        &host,
        "?",
        "?",
        expect![[r#"
        error: cannot enter `smb:[USER]@127.0.0.1:[PORT]`: nothing listens on port [PORT]
        hint: check the port, and that an SMB server listens there
    "#]],
    );
}

#[test]
fn hosts_that_do_not_answer() {
    let host = host!();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let place = format!("smb:ann@127.0.0.1:{port}?timeout=1&{}", host.password());
    expect![[r#"
        error: cannot enter `smb:ann@127.0.0.1:[PORT]`: no answer within 1 s
        hint: check that the host is up and reachable
    "#]]
    .assert_eq(&host.fails(&place).replace(&port.to_string(), "[PORT]"));
    let network = match Network::new() {
        Ok(network) => network,
        Err(reason) => testkit::skip!("{reason}"),
    };
    network.cut();
    let address = network.address().to_string();
    let place = format!("smb:ann@{address}?timeout=1&{}", host.password());
    expect![[r#"
        error: cannot enter `smb:ann@[ADDRESS]`: no answer within 1 s
        hint: check that the host is up and reachable
    "#]]
    .assert_eq(&host.fails(&place).replace(&address, "[ADDRESS]"));
}

/// What the tool says of a server that goes while it runs this.
#[track_caller]
fn goes(script: &str, how: impl Fn(&mut Host, &mut Child)) {
    let mut host = match Host::new("") {
        Ok(host) => host,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let (mut child, pid) = host.daemon.running(&["sh", "-c", script]);
    how(&mut host, &mut child);
    let output = finish(child, Child::wait_with_output);
    let err = host.plain(&String::from_utf8_lossy(&output.stderr));
    let said = (err.as_str(), output.status.code());
    let expected = "error: connection to `smb:[USER]@127.0.0.1:[PORT]` lost\n";
    assert_eq!(said, (expected, Some(125)), "{script}");
    testkit::wait_until(testkit::DEADLINE, "the end of the command there", || {
        !lives(pid.parse().unwrap())
    });
}

#[test]
fn a_server_that_is_killed() {
    goes("echo $$; exec sleep 1000", |host, _| host.smbd.kill());
    goes("echo $$; exec yes", |host, child| {
        // In the middle of its output.
        std::io::copy(
            &mut std::io::Read::take(child.stdout.as_mut().unwrap(), 1 << 20),
            &mut std::io::sink(),
        )
        .unwrap();
        host.smbd.kill();
    });
}

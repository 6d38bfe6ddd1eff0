//! A host that cannot be reached: exact words.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use expect_test::{Expect, expect};
use testkit::SshHome;
use thither_place::Command;
use thither_remote::Ssh;
use thither_remote::ssh::HostKeys;

use crate::common::{Host, error, host, null, output, told};

#[track_caller]
fn fails(place: &Ssh, expected: &Expect) {
    let text = told(&error(place, &null(Command::new("true"))));
    // What differs from run to run: ports and folders.
    let folder = SshHome::folder();
    let text = text.replace(folder.to_str().unwrap(), "[HOME]");
    let mut plain = String::new();
    for part in text.split_inclusive(|char: char| !char.is_ascii_digit()) {
        let digits = part.trim_end_matches(|char: char| !char.is_ascii_digit());
        match digits.len() >= 4 {
            true => plain += &format!("[PORT]{}", &part[digits.len()..]),
            false => plain += part,
        }
    }
    expected.assert_eq(&plain);
    assert!(SshHome::masters().is_empty());
}

fn ends_with_known(host: &Host, text: &str) {
    std::fs::write(host.sshd.known_hosts(), text).unwrap();
}

#[test]
fn an_unknown_key() {
    let host = host!("sh");
    ends_with_known(&host, "");
    fails(
        &host.place(),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test`: No ED[PORT] host key is known for [127.0.0.1]:[PORT] and you have requested strict checking.; exit code 125; hint: compare its key with what its owner says, then connect once with the option missing-host-key-policy=autoadd"
        ],
    );
    // The user's own choice to be asked is no choice where nobody can be: it is refused all the same.
    host.configure("StrictHostKeyChecking ask");
    fails(
        &host.place(),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test`: No ED[PORT] host key is known for [127.0.0.1]:[PORT] and you have requested strict checking.; exit code 125; hint: compare its key with what its owner says, then connect once with the option missing-host-key-policy=autoadd"
        ],
    );
    let place = host.place().host_keys(HostKeys::AutoAdd);
    assert_eq!(output(&place, &Command::new("true")).exit.shell_code(), 0);
    let known = std::fs::read_to_string(host.sshd.known_hosts()).unwrap();
    assert!(known.contains("ssh-ed25519"), "{known}");
}

#[test]
fn a_changed_key() {
    let host = host!("sh");
    let other = host.sshd.host_key();
    let mut bytes: Vec<char> = other.chars().collect();
    let at = bytes.iter().position(|&char| char == ' ').unwrap() + 40;
    bytes[at] = if bytes[at] == 'A' { 'B' } else { 'A' };
    let other: String = bytes.into_iter().collect();
    ends_with_known(&host, &format!("[127.0.0.1]:{} {other}", host.sshd.port()));
    let changed = expect![[
        r#"cannot enter `ssh:thither-test-sh@thither-test`: the key of the host has changed: somebody may be listening in; exit code 125; hint: its key is another one than before: if that is right, forget the old one with `ssh-keygen -R HOST`"#
    ]];
    for place in [host.place(), host.place().host_keys(HostKeys::AutoAdd)] {
        fails(&place, &changed);
    }
    let place = host.place().host_keys(HostKeys::Warning);
    assert_eq!(output(&place, &Command::new("true")).exit.shell_code(), 0);
}

#[test]
fn a_wrong_key() {
    let host = host!("sh");
    host.configure("");
    let identity = SshHome::folder().join("id_other");
    let keygen = std::process::Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(&identity)
        .status();
    assert!(keygen.unwrap().success());
    let config = std::fs::read_to_string(host.sshd.ssh_config()).unwrap();
    let config = config.replace(host.sshd.identity().to_str().unwrap(), identity.to_str().unwrap());
    std::fs::write(SshHome::config(), config).unwrap();
    fails(
        &host.place(),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test`: thither-test-sh@127.0.0.1: Permission denied (publickey).; exit code 125; hint: see which keys and passwords it takes with `ssh -v HOST`; `ssh-add -l` lists the agent's"
        ],
    );
    // Named, it counts.
    let place = host.place().identity(host.sshd.identity());
    assert_eq!(output(&place, &Command::new("true")).exit.shell_code(), 0);
}

#[test]
fn no_such_host() {
    let _host = host!("sh");
    fails(
        &Ssh::new("nosuchhost.invalid"),
        &expect![
            "cannot enter `ssh:nosuchhost.invalid`: Could not resolve hostname nosuchhost.invalid: Name or service not known; exit code 125; hint: check the name"
        ],
    );
}

#[test]
fn a_closed_port() {
    let host = host!("sh");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    fails(
        &host.place().port(port),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test:[PORT]`: connect to host 127.0.0.1 port [PORT]: Connection refused; exit code 125; hint: check the port, and that an ssh server listens there"
        ],
    );
}

/// A server that answers each connection so.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    port
}

/// Closes it without a reset, which would come when something is left to read.
fn hang_up(mut stream: TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn one_that_says_nothing() {
    let host = host!("sh");
    let port = server(std::mem::forget);
    let place = host.place().port(port).timeout(Duration::from_secs(1));
    fails(
        &place,
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test:[PORT]`: Connection to 127.0.0.1 port [PORT] timed out; exit code 125; hint: check that the host is up and reachable"
        ],
    );
}

#[test]
fn one_that_says_something_else() {
    let host = host!("sh");
    let port = server(|mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hang_up(stream);
    });
    fails(
        &host.place().port(port),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test:[PORT]`: Connection closed by 127.0.0.1 port [PORT]; exit code 125; hint: check that an ssh server listens on that port"
        ],
    );
    let port = server(hang_up);
    fails(
        &host.place().port(port),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test:[PORT]`: Connection closed by 127.0.0.1 port [PORT]; exit code 125; hint: check that an ssh server listens on that port"
        ],
    );
    let port = server(|mut stream| {
        let mut bytes = b"SSH-2.0-\x1b[31mEvil\r\n".to_vec();
        bytes.extend((0..40_000_u32).map(|n| (n * 7) as u8));
        let _ = std::io::Write::write_all(&mut stream, &bytes);
    });
    let text = told(&error(&host.place().port(port), &null(Command::new("true"))));
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_bad_line_in_ssh_config() {
    let host = host!("sh");
    host.configure("NoSuchOption yes");
    fails(
        &host.place(),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test`: [HOME]/config: line 1: Bad configuration option: nosuchoption; exit code 125; hint: correct the line in ssh_config"
        ],
    );
}

#[test]
fn a_quiet_one() {
    let host = host!("sh");
    host.configure("LogLevel QUIET");
    ends_with_known(&host, "");
    fails(
        &host.place(),
        &expect![
            "cannot enter `ssh:thither-test-sh@thither-test`: ssh ended without a word; exit code 125"
        ],
    );
}

#[test]
fn no_such_user() {
    let host = host!("sh");
    fails(
        &Ssh::new("thither-test").user("nobody-of-this-name"),
        &expect![
            "cannot enter `ssh:nobody-of-this-name@thither-test`: nobody-of-this-name@127.0.0.1: Permission denied (publickey).; exit code 125; hint: see which keys and passwords it takes with `ssh -v HOST`; `ssh-add -l` lists the agent's"
        ],
    );
    fails(
        &host.place().user("-oProxyCommand=id"),
        &expect![
            "cannot enter `ssh:-oProxyCommand=id@thither-test`: remote username contains invalid characters; exit code 125"
        ],
    );
    fails(
        &Ssh::new("-oProxyCommand=id"),
        &expect!["cannot enter `ssh:-oProxyCommand=id`: this is no name of a host; exit code 125"],
    );
    fails(&Ssh::new(""), &expect!["cannot enter `ssh:`: this is no name of a host; exit code 125"]);
}

#[test]
fn a_login_shell_that_is_missing() {
    let host = host!("sh", "ForceCommand /no/such/shell");
    let output = output(&host.place(), &Command::new("true"));
    assert_eq!(output.exit.shell_code(), 127);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/shell"));
}

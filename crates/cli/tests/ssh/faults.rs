//! A host that cannot be reached, or no more.

use std::net::TcpListener;
use std::process::Stdio;

use expect_test::{Expect, expect};
use testkit::{PasswordUser, Proxy, SshHome};

use crate::tool::{Host, User, code, failure, host, kill, line, says};

#[track_caller]
fn fails(host: &Host, place: &str, expected: &Expect) {
    let said = failure(says(&mut host.thither(["run", place, "true"])));
    let said = said.replace(host.folder().to_str().unwrap(), "[HOME]");
    expected.assert_eq(&said.replace(&format!("{}", host.sshd.port()), "[PORT]"));
}

#[test]
fn exact_words() {
    let host = host!("sh");
    fails(
        &host,
        "ssh:nosuchhost.invalid",
        &expect![[r#"
        error: cannot enter `ssh:nosuchhost.invalid`: Could not resolve hostname nosuchhost.invalid: Name or service not known
        hint: check the name
    "#]],
    );
    std::fs::write(host.sshd.known_hosts(), "").unwrap();
    fails(
        &host,
        &host.place(),
        &expect![[r#"
        error: cannot enter `ssh:thither-test-sh@thither-test`: No ED25519 host key is known for [127.0.0.1]:[PORT] and you have requested strict checking.
        hint: compare its key with what its owner says, then connect once with the option missing-host-key-policy=autoadd
    "#]],
    );
    let place = format!("{}?missing-host-key-policy=autoadd", host.place());
    assert_eq!(says(&mut host.thither(["run", &place, "true"])).2, 0);
    let (_, err, code) =
        says(&mut host.thither(["run", &format!("{}?timeout=x", host.place()), "true"]));
    assert!(code == 125 && err.contains("it is no number of seconds"), "{err}");
}

#[test]
fn no_ssh_program() {
    let host = host!("sh");
    let place = format!("{}?use-native=true", host.place());
    let said =
        failure(says(host.thither(["run", &place, "true"]).env("THITHER_SSH", "/nonexistent")));
    let expected = format!("error: cannot enter `{}`: cannot run `/nonexistent`: ", host.place());
    assert!(said.to_lowercase().starts_with(&expected) && said.contains("THITHER_SSH"), "{said}");
    // pushy's name for it counts as well.
    let mut command = host.run(&["true"]);
    let ssh = std::env::var_os("THITHER_SSH").unwrap();
    command.env_remove("THITHER_SSH").env("PUSHY_NATIVE_SSH", ssh);
    assert_eq!(says(&mut command).2, 0);
}

#[test]
fn a_server_that_does_not_answer() {
    let host = host!("sh");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = format!("{}:{port}?timeout=1", host.place());
    let said = failure(says(&mut host.thither(["run", &place, "true"])));
    expect![[r#"
        error: cannot enter `ssh:thither-test-sh@thither-test:[PORT]`: Connection to 127.0.0.1 port [PORT] timed out
        hint: check that the host is up and reachable
    "#]].assert_eq(&said.replace(&port.to_string(), "[PORT]"));
}

#[test]
fn passwords() {
    let user = match PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let host = host!("sh", "PasswordAuthentication yes");
    host.configure("PubkeyAuthentication no");
    let place = |file: &str| {
        format!("ssh:{}@thither-test?use-native=true&password-file={file}", user.name())
    };
    let file = |name: &str, text: &str| {
        let path = host.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let wrong = file("wrong", "nonsense\n");
    let said = failure(says(&mut host.thither(["run", &place(&wrong), "true"])));
    expect![[r#"
        error: cannot enter `ssh:[USER]@thither-test`: [USER]@127.0.0.1: Permission denied (publickey,password).
        hint: see which keys and passwords it takes with `ssh -v HOST`; `ssh-add -l` lists the agent's
    "#]].assert_eq(&said.replace(user.name(), "[USER]"));
    let right = file("right", &format!("{}\n", user.password()));
    let mut child = host.thither(["run", &place(&right), "sh", "-c", "id -un; cat"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(line(&mut child), user.name());
    // It is in no command line and no environment, neither here nor there.
    for entry in std::fs::read_dir("/proc").unwrap() {
        let folder = entry.unwrap().path();
        for name in ["cmdline", "environ"] {
            let text = std::fs::read(folder.join(name)).unwrap_or_default();
            let needle = user.password().as_bytes();
            assert!(
                !text.windows(needle.len()).any(|window| window == needle),
                "{folder:?} {}",
                text.escape_ascii()
            );
        }
    }
    drop(child.stdin.take());
    assert_eq!(code(child), Some(0));
    let without = format!("ssh:{}@thither-test?use-native=true", user.name());
    host.configure("PubkeyAuthentication no\nUser x");
    let said = failure(says(&mut host.thither(["run", &without, "true"])));
    assert!(said.contains("Permission denied"), "{said}");
}

/// A host behind a proxy.
fn behind(host: &Host) -> (Proxy, String) {
    let proxy = Proxy::tcp_to_tcp(host.sshd.address());
    host.configure(&format!("HostKeyAlias [127.0.0.1]:{}", host.sshd.port()));
    let place = format!("{}:{}?keep-alive=1", host.place(), proxy.address().port());
    (proxy, place)
}

#[test]
fn a_lost_connection() {
    let host = host!("bash");
    for how in ["cut", "stall", "master", "server"] {
        let (proxy, place) = behind(&host);
        let mut child = host.thither(["run", &place, "sh", "-c", "echo go; exec sleep 1000"]);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(line(&mut child), "go");
        match how {
            "cut" => proxy.cut(),
            "stall" => proxy.stall(),
            "master" => SshHome::masters().into_iter().for_each(|pid| kill(pid, "KILL")),
            _ => host.sshd.kill_sessions(),
        }
        let output = crate::common::finish(child, std::process::Child::wait_with_output);
        let said = (
            String::new(),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code().unwrap(),
        );
        let expected =
            format!("error: connection to `{}` lost\n", place.split('?').next().unwrap());
        assert_eq!(failure(said), expected, "{how}");
    }
}

#[test]
fn a_lost_connection_restores_the_terminal() {
    let host = host!("bash");
    let (proxy, place) = behind(&host);
    let mut user = User::of(&host);
    for terminal in [true, false] {
        let flag = if terminal { "-t" } else { "" };
        user.shell.line(&format!(
            "$T run {flag} '{place}' sh -c 'printf \"\\033[?1049h\"; echo g\"\"o; exec sleep 1000'"
        ));
        user.shell.expect("go");
        proxy.cut();
        user.shell.expect("connection to");
        user.shell.expect("lost");
        user.shell.expect_prompt();
        user.back_with(125);
    }
}

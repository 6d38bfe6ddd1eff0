//! Where the password comes from, and that nobody else sees it.

use std::process::{Command, Stdio};

use testkit::Session;

use crate::harness::{THITHER, code, is_shown, line, prints, says};
use crate::host::{Host, host};

const SCRIPT: &str = "id -un; read -r _";

/// Waits for who it is over there, and looks for the password while it runs.
#[track_caller]
fn check(host: &Host, mut command: Command) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(line(&mut child), host.smbd.user());
    assert!(!is_shown(host.smbd.password()), "the password is shown");
    drop(child.stdin.take());
    assert_eq!(code(child), Some(1));
}

#[test]
fn in_a_file() {
    let host = host!();
    check(&host, host.daemon.run(&["sh", "-c", SCRIPT]));
    // By a flag, and with a user of a domain.
    let file = host.file("flagged", host.smbd.password());
    let place = format!("smb:127.0.0.1:{}", host.smbd.port());
    let user = format!(r"THITHERTEST\{}", host.smbd.user());
    let words = ["run", "--password-file", file.to_str().unwrap(), "--username", &user, &place];
    check(&host, host.daemon.here([&words[..], &["--", "sh", "-c", SCRIPT]].concat()));
}

#[test]
fn by_a_descriptor() {
    let host = host!();
    let file = host.file("other", host.smbd.password());
    let mut command = Command::new("sh");
    host.daemon.folders.at("here", command.env_clear());
    let script = "exec 7<\"$1\"; shift; exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(file).args([THITHER, "run", "--password-fd=7"]);
    command.args([&host.bare(), "--", "sh", "-c", SCRIPT]);
    check(&host, command);
}

#[test]
fn asked_for_at_the_terminal() {
    let host = host!();
    let place = host.bare();
    let start = || {
        let mut command = host.daemon.here(["run", "--ask-password", &place, "--"]);
        command.args(["sh", "-c", "echo I am $(id -un); read -r _; exit 4"]);
        let mut session = Session::spawn(command, (120, 24));
        session.expect(format!("Password of {place}: "));
        session
    };
    let mut session = start();
    let silent = session.modes();
    session.line(host.smbd.password());
    session.expect(format!("I am {}", host.smbd.user()));
    assert!(!is_shown(host.smbd.password()), "the password is shown");
    session.send("\r");
    assert_eq!(session.wait().code(), Some(4));
    assert_ne!(session.modes(), silent);
    assert!(!session.transcript().contains(host.smbd.password()));

    let mut session = start();
    session.line("wrong");
    session.expect("the user or the password is wrong");
    assert_eq!(session.wait().code(), Some(125));
    let mut session = start();
    session.send("half\x03");
    session.expect("interrupted");
    assert_eq!(session.wait().code(), Some(125));
}

#[test]
fn it_is_in_no_record_of_steps() {
    let host = host!();
    let place = host.daemon.place.clone();
    let (out, err, code) = says(&mut host.daemon.here(["run", "-v", &place, "--", "true"]));
    assert_eq!((&*out, code), ("", 0), "{err}");
    assert!(err.contains("the pipe is open") && !err.contains(host.smbd.password()), "{err}");
    let user = prints(&mut host.daemon.run(&["id", "-un"]));
    assert_eq!(user, format!("{}\n", host.smbd.user()));
}

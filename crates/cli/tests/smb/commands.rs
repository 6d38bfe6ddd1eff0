//! Commands: what they are given, what they say, how they end.

use std::io::Write;
use std::process::Stdio;

use crate::harness::{code, ends, kill, line, prints, rest, says, says_to};
use crate::host::host;

#[test]
fn output_errors_and_code() {
    let host = host!();
    let script = "echo out; echo err >&2; id -un; pwd; exit 7";
    let said = says(&mut host.daemon.run(&["sh", "-c", script]));
    let user = host.smbd.user();
    assert_eq!(said, (format!("out\n{user}\n/home/{user}\n"), "err\n".into(), 7));
    let said = says(&mut host.daemon.run(&["no-such-program"]));
    assert_eq!((&*said.0, said.2), ("", 127), "{}", said.1);
}

#[test]
fn input_and_its_end() {
    let host = host!();
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let said = crate::common::output(&mut host.daemon.run(&["cat"]), &input);
    assert_eq!(said.status.code(), Some(0));
    assert!(said.stdout == input, "{} bytes", said.stdout.len());
    let said = says_to(&mut host.daemon.run(&["sh", "-c", "cat; echo end; exit 3"]), b"in ");
    assert_eq!(said, ("in end\n".into(), String::new(), 3));
    // As it is said.
    let mut child = host.daemon.run(&["cat"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for word in ["one", "two"] {
        writeln!(stdin, "{word}").unwrap();
        assert_eq!(line(&mut child), word);
    }
    drop(stdin);
    assert_eq!(code(child), Some(0));
}

#[test]
fn signals() {
    let host = host!();
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)] {
        let (child, pid) =
            host.daemon.running(&["sh", "-c", "ulimit -c 0; echo $$; exec sleep 1000"]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(128 + number), "{signal}");
        ends(pid.parse().unwrap(), signal);
        let trap = format!("trap 'exit 9' {signal}; echo $$; while :; do sleep 0.05; done");
        let (child, _) = host.daemon.running(&["sh", "-c", &trap]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(9), "{signal}");
    }
}

#[test]
fn a_client_that_is_killed() {
    let mut host = host!();
    let before = host.daemon.size();
    for script in ["echo $$; exec sleep 1000", "trap '' HUP TERM; echo $$; while :; do :; done"] {
        let (child, pid) = host.daemon.running(&["sh", "-c", script]);
        kill(child.id(), "KILL");
        assert_eq!(code(child), None);
        ends(pid.parse().unwrap(), script);
        assert_eq!(host.daemon.event("end")["why"], "the client is gone");
    }
    host.daemon.shrinks_to(before);
}

#[test]
fn network_paths() {
    let host = host!();
    let password = host.file("password", host.smbd.password());
    let options = format!("port={}&password-file={}", host.smbd.port(), password.display());
    let user = host.smbd.user();
    for path in [r"\\127.0.0.1", r"\\127.0.0.1\pipe\thither", r"\\127.0.0.1\pipe\THITHER"] {
        for name in [user.to_owned(), format!(r"THITHERTEST\{user}")] {
            let place = format!("{path}?{options}&username={name}");
            let said = prints(&mut host.daemon.here(["run", &place, "--", "id", "-un"]));
            assert_eq!(said, format!("{user}\n"), "{place}");
        }
    }
}

#[test]
fn beyond_another_hop() {
    let host = host!();
    let place = format!("chroot:/|{}", host.daemon.place);
    let said = prints(&mut host.daemon.here(["run", &place, "--", "id", "-un"]));
    assert_eq!(said, format!("{}\n", host.smbd.user()));
}

#[test]
fn what_the_daemon_logs() {
    let mut host = host!();
    prints(&mut host.daemon.run(&["true"]));
    let started = host.daemon.event("run").to_string();
    let client = format!(r"smb THITHERTEST\\{} from 127.0.0.1 (", host.smbd.user());
    assert!(started.contains(&client), "{started}");
    assert!(!host.daemon.said().contains(host.smbd.password()));
}

#[test]
fn a_daemon_that_is_killed() {
    let mut host = host!();
    let (child, pid) = host.daemon.running(&["sh", "-c", "echo $$; exec sleep 1000"]);
    host.daemon.signal("KILL");
    host.daemon.ends();
    let (_, err, code) = rest(child);
    assert_eq!(
        (host.plain(&err).as_str(), code),
        ("error: connection to `smb:[USER]@127.0.0.1:[PORT]` lost\n", 125)
    );
    ends(pid.parse().unwrap(), "a command of a daemon that was killed");
}

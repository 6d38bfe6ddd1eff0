//! Daemons over TCP: every verb once, and those who may not.

use std::fs;
use std::process::Stdio;

use crate::harness::{Daemon, Folders, User, ends, failure, prints, rest, says, says_to};

#[test]
fn every_verb() {
    let daemon = Daemon::tcp(&[]);
    let place = &*daemon.place;
    let said = says_to(&mut daemon.run(&["sh", "-c", "cat; echo err >&2; exit 3"]), b"in");
    assert_eq!(said, ("in".into(), "err\n".into(), 3));
    assert_eq!(says(&mut daemon.run(&["no-such-program"])).2, 127);
    assert_eq!(says(&mut daemon.run(&["sh", "-c", "kill -9 $$"])).2, 137);
    let said = says_to(&mut daemon.here(["shell", place]), b"pwd; exit 6\n");
    assert_eq!(said.2, 6, "{said:?}");
    assert_eq!(prints(&mut daemon.here(["python", place, "-c", "print(6 * 7)"])), "42\n");
    fs::write(daemon.folders.path("here").join("up"), "text").unwrap();
    assert_eq!(prints(&mut daemon.here(["cp", "up", &format!("{place}::down")])), "");
    assert_eq!(prints(&mut daemon.here(["cp", &format!("{place}::down"), "back"])), "");
    assert_eq!(fs::read(daemon.folders.path("here").join("back")).unwrap(), b"text");
    let (child, pid) = daemon.running(&["sh", "-c", "echo $$; exec sleep 1000"]);
    crate::harness::kill(child.id(), "TERM");
    assert_eq!(rest(child).2, 143);
    ends(pid.parse().unwrap(), "it was ended");
}

#[test]
fn sixty_four_mib_both_ways_at_once() {
    crate::unix::both_ways_at_once(&Daemon::tcp(&[]));
}

#[test]
fn a_client_that_is_not_paired() {
    let daemon = Daemon::tcp(&[]);
    let other = Folders::new();
    let said = failure(says(&mut other.here(["run", &daemon.place, "true"])));
    let port = daemon.place.trim_start_matches("daemon:");
    assert!(said.contains("this machine is not paired with it"), "{said}");
    let hint = format!("run `thither serve pair` there, and here `thither pair {port}`");
    assert!(said.contains(&hint), "{said}");
    // It knows the daemon, but not the other way round.
    fs::create_dir_all(other.keys("here")).unwrap();
    for name in ["config/thither", "config/thither/daemon"] {
        use std::os::unix::fs::PermissionsExt;
        let path = other.path("here").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let servers = "config/thither/daemon/servers";
    fs::copy(daemon.folders.path("here").join(servers), other.path("here").join(servers)).unwrap();
    let said = failure(says(&mut other.here(["run", &daemon.place, "true"])));
    assert!(said.contains("your key is not authorised, or was revoked"), "{said}");
    assert!(said.contains("hint: pair with it"), "{said}");
}

#[test]
fn a_daemon_whose_key_is_another() {
    let daemon = Daemon::tcp(&[]);
    let place = daemon.place.trim_start_matches("daemon:").to_owned();
    let folders = Folders::new();
    // The same host and port, another key: as after an installation from scratch, or somebody in between.
    let servers = daemon.folders.keys("here");
    folders.token();
    let client = folders.path("here").join("config/thither");
    let copied = std::process::Command::new("cp")
        .args(["-a", servers.parent().unwrap().to_str().unwrap(), client.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    drop(daemon);
    let other = Daemon::start(folders, &["--listen", &place]);
    let said = failure(says(&mut other.run(&["true"])));
    assert!(said.contains("key") && said.contains("hint: "), "{said}");
    assert!(!said.contains("malformed"), "{said}");
}

#[test]
fn revoked_while_it_runs() {
    let mut daemon = Daemon::tcp(&[]);
    for how in ["revoke", "move", "drain"] {
        let (child, pid) =
            daemon.running(&["sh", "-c", "trap '' TERM HUP; echo $$; while :; do sleep 0.1; done"]);
        let keys = daemon.folders.keys("there");
        let list = prints(&mut daemon.folders.there(["serve", "list", "--json"]));
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        if how == "drain" {
            daemon.signal("TERM");
            daemon.event("ending");
        }
        if how == "move" {
            fs::rename(keys.join("authorized"), keys.join("away")).unwrap();
        } else {
            let key = list[0]["fingerprint"].as_str().unwrap();
            assert_eq!(says(&mut daemon.folders.there(["serve", "revoke", key])).2, 0);
        }
        daemon.event("revoked");
        ends(pid.parse().unwrap(), how);
        let said = failure(rest(child));
        assert!(said.contains("lost"), "{said}");
        if how == "drain" {
            assert_eq!(daemon.ends(), Some(0));
            return;
        }
        let said = failure(says(&mut daemon.run(&["true"])));
        assert!(said.contains("not authorised, or was revoked"), "{said}");
        let token = daemon.folders.token();
        let mut pair = daemon.here(["pair", &daemon.place]);
        assert_eq!(says_to(pair.stdin(Stdio::null()), token.as_bytes()).2, 0);
    }
}

#[test]
fn keys_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::tcp(&[]);
    let set = |side: &str, name: &str, mode: u32| {
        let path = daemon.folders.keys(side).join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set("here", "client.key", 0o644);
    let said = failure(says(&mut daemon.run(&["true"])));
    assert!(said.contains("others can read it") && said.contains("hint: `chmod 600"), "{said}");
    set("here", "client.key", 0o600);
    set("there", "authorized", 0o666);
    let said = failure(says(&mut daemon.run(&["true"])));
    assert!(said.contains("its keys cannot be read"), "{said}");
    set("there", "authorized", 0o600);
    daemon.works();
}

#[test]
fn at_the_terminal() {
    let daemon = Daemon::tcp(&[]);
    let mut user = User::of(&daemon);
    user.shell.line("$T run -t $P sh -c 'echo g\"\"o; exec sleep 1000'");
    user.shell.expect("go");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(130);
}

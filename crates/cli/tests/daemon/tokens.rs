//! Pairing: tokens that are good, and all the others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Daemon, Folders, User, failure, is_shown, kill, prints, says, says_to};

/// `thither pair` with a token.
#[track_caller]
fn pair(daemon: &Daemon, token: &str) -> crate::harness::Said {
    says_to(&mut daemon.here(["pair", &daemon.place]), token.as_bytes())
}

#[test]
fn nobody_could_get_in() {
    let folders = Folders::new();
    let listen = ["serve", "--allow-root", "--listen", "127.0.0.1:0"];
    let said = failure(says(&mut folders.there(listen)));
    assert_eq!(
        said,
        "error: no key is authorised, so nobody may get in over TCP\n\
         hint: first run `thither serve pair`, here\n"
    );
    // A token that is too old is none.
    folders.token();
    old(&folders);
    let said = failure(says(&mut folders.there(listen)));
    assert!(said.contains("no key is authorised"), "{said}");
}

/// Makes all tokens of the daemon as old as they may not be.
fn old(folders: &Folders) {
    for entry in fs::read_dir(folders.keys("there").join("tokens")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let boot = text.split(' ').next().unwrap();
        fs::write(path, format!("{boot} 0 1\n")).unwrap();
    }
}

#[test]
fn once_and_no_more() {
    let folders = Folders::new();
    let token = folders.token();
    assert!(token.starts_with("thither-pair-") && token.len() == 84, "{token}");
    let keys = folders.keys("there");
    let mode = |name: &str| fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("server.key"), mode("tokens")), (0o700, 0o600, 0o700));
    let mut daemon = Daemon::start(folders, &["--listen", "127.0.0.1:0"]);
    let place = daemon.place.clone();
    let said = pair(&daemon, &token);
    assert_eq!(said, (String::new(), format!("thither: paired with `{place}`\n"), 0));
    let paired = daemon.event("paired");
    assert!(paired["name"].as_str().unwrap().starts_with("tester@"), "{paired}");
    assert_eq!(mode("authorized"), 0o600);
    let here = daemon.folders.keys("here").join("client.key");
    assert_eq!(fs::metadata(here).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.works();
    let replayed = failure(pair(&daemon, &token));
    assert!(replayed.contains("this token is not known: it was used, or is too old"), "{replayed}");
    assert!(replayed.contains("hint: make another one there: `thither serve pair`"), "{replayed}");
    // That takes nothing from who is paired.
    daemon.works();
    let expired = daemon.folders.token();
    old(&daemon.folders);
    assert_eq!(failure(pair(&daemon, &expired)), replayed, "nobody is told which of them it is");
    let log = daemon.said();
    assert!(!log.contains(token.trim()) && !log.contains(expired.trim()), "{log}");
}

#[test]
fn what_is_no_token() {
    let daemon = Daemon::tcp(&[]);
    let token = daemon.folders.token();
    let token = token.trim();
    let other = Folders::new().token();
    let swapped: String = token[..40].chars().chain(token[40..].chars().rev()).collect();
    for (wrong, why) in [
        ("", "that is no token"),
        ("nonsense", "that is no token"),
        (&token[..60], "characters after"),
        (&swapped, "checksum"),
        (&token.replace("pair-", "pair-~"), "wrong character in column 14"),
        (&other, "key"),
    ] {
        let said = failure(pair(&daemon, wrong));
        assert!(said.contains(why) && said.contains("hint: "), "{wrong}: {said}");
        assert!(wrong.len() < 20 || !said.contains(&wrong[13..]), "it repeats it: {said}");
    }
    // It is still good after all that.
    assert_eq!(pair(&daemon, &format!("  {token}\r\n\n")).2, 0);
}

#[test]
fn asked_for_at_the_terminal() {
    let folders = Folders::new();
    let token = folders.token();
    let daemon = Daemon::start(folders, &["--listen", "127.0.0.1:0"]);
    let mut user = User::of(&daemon);
    let host = daemon.place.trim_start_matches("daemon:");
    user.shell.line(&format!("$T pair {host}"));
    user.shell.expect("Token of 127.0.0.1: ");
    assert!(!is_shown(token.trim()));
    user.shell.line(token.trim());
    user.shell.expect("paired with");
    user.shell.expect_prompt();
    user.back_with(0);
    assert!(!user.shell.transcript().contains(&token[20..80]));
    // ^C at the question leaves the terminal as it was.
    user.shell.line("$T pair $P");
    user.shell.expect("Token of 127.0.0.1: ");
    user.shell.send("\x03");
    user.shell.expect_prompt();
    user.back_with(130);
    user.shell.line("$T pair $P");
    user.shell.expect("Token of 127.0.0.1: ");
    kill(user.tool(), "TERM");
    user.shell.expect_prompt();
    // Who restores the terminal then is another process.
    user.restored();
    user.back_with(143);
}

#[test]
fn lists() {
    let daemon = Daemon::tcp(&[]);
    let table = prints(&mut daemon.folders.there(["serve", "list"]));
    assert!(table.contains("tester@"), "{table}");
    let json = prints(&mut daemon.folders.there(["serve", "list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json[0]["name"].as_str().unwrap().starts_with("tester@"), "{json}");
    assert!(table.contains(json[0]["fingerprint"].as_str().unwrap()), "{table}");
    assert_eq!(prints(&mut daemon.here(["serve", "list", "--json"])).trim(), "[]");
}

#[test]
fn revoked_by() {
    let daemon = Daemon::tcp(&[]);
    let revoke = |who: &str| says(&mut daemon.folders.there(["serve", "revoke", who]));
    let said = failure(revoke("nobody"));
    assert!(said.contains("nobody"), "{said}");
    let again = |name: &str| {
        let token = daemon.folders.token();
        let mut command = daemon.here(["pair", "--name", name, &daemon.place]);
        assert_eq!(says_to(&mut command, token.as_bytes()).2, 0);
        let json = prints(&mut daemon.folders.there(["serve", "list", "--json"]));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json[0]["fingerprint"].as_str().unwrap().to_owned()
    };
    let fingerprint = again("my laptop");
    assert_eq!(revoke("my laptop").1, format!("thither: revoked {fingerprint} my laptop\n"));
    for prefix in [&fingerprint[..fingerprint.len() - 4], &fingerprint] {
        again("x");
        assert_eq!(revoke(prefix).1, format!("thither: revoked {fingerprint} x\n"), "{prefix}");
    }
    // Two of one name.
    again("twin");
    let authorized = daemon.folders.keys("there").join("authorized");
    let line = fs::read_to_string(&authorized).unwrap();
    let mut other: Vec<char> = line.chars().collect();
    let at = line.find(&fingerprint).unwrap() + 10;
    other[at] = if other[at] == 'a' { 'b' } else { 'a' };
    fs::write(&authorized, line + &other.iter().collect::<String>()).unwrap();
    let said = failure(revoke("twin"));
    assert!(said.contains("twin") && said.contains("hint: "), "{said}");
}

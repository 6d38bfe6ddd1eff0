//! A host beyond a host: the connection is made here, over a stream from there.

use crate::way::way;

#[test]
fn a_host_beyond_a_host() {
    let way = way!();
    let line = "printf '%s.' \"$@\"; cat; exit 7";
    let hostile = "a b'c\"$(id)\\\n*";
    let (said, complaints, code) =
        way.says(&["run", "ssh:a|ssh:b", "--", "sh", "-c", line, "sh", hostile, ""], b"input");
    assert_eq!((said, complaints.as_str(), code), (format!("{hostile}..input"), "", 7));
    way.check(&["run", "ssh:a|ssh:b", "--", "true"], "", 0);
    // Beyond two.
    way.check(
        &["run", "ssh:a|ssh:b|ssh:user-of-a", "--env", "A=1 2", "--", "sh", "-c", "echo $A"],
        "1 2\n",
        0,
    );
}

#[test]
fn python_and_files_beyond_two() {
    let way = way!();
    let place = "ssh:a|ssh:b";
    way.check(&["python", place, "-c", "print(6 * 7)"], "42\n", 0);
    let there = way.test.dir().join("there");
    let there = there.to_str().unwrap();
    let file = way.test.file("file", "content");
    way.check(&["cp", file.to_str().unwrap(), &format!("{place}::{there}")], "", 0);
    assert_eq!(std::fs::read_to_string(there).unwrap(), "content");
    let (said, _, code) = way.says(&["cp", &format!("{place}::{there}"), "-"], b"");
    assert_eq!(code, 0);
    assert!(said.contains("content"));
}

#[test]
fn the_hop_that_failed_is_named() {
    let way = way!();
    way.check_fails(
        &["run", "ssh:nowhere.invalid|ssh:b", "--", "true"],
        &["ssh:nowhere.invalid"],
        125,
    );
    way.check_fails(
        &["run", "ssh:a|ssh:nowhere.invalid", "--", "true"],
        &["`ssh:nowhere.invalid`"],
        125,
    );
    way.check_fails(&["run", "ssh:a|chroot:/none?plain", "--", "true"], &["/none"], 125);
    way.check_fails(&["run", "local:|ssh:a|smb:x", "--", "true"], &["smb:x"], 125);
}

#[test]
fn this_place_again() {
    let way = way!();
    way.check(&["run", "ssh:a|local:?dir=/usr", "--", "pwd"], "/usr\n", 0);
    let line = "test -n \"$SSH_CONNECTION\" && exit 3";
    way.check(&["run", "local:|ssh:a|local:", "--", "sh", "-c", line], "", 3);
}

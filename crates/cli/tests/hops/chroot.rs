//! A root beyond a host: by `thither` there, by a script, and by chroot(1) alone.

use std::fs;
use std::path::Path;

use testkit::BusyboxRoot;

use crate::way::{Way, way};

macro_rules! root {
    () => {
        match BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

fn place(host: &str, root: &BusyboxRoot, options: &str) -> String {
    format!("ssh:{host}|chroot:{}{options}", root.path().display())
}

/// What holds whoever does it.
#[track_caller]
fn both(way: &Way, root: &BusyboxRoot, options: &str) {
    let place = place("a", root, options);
    let hostile = "a b'c\"$(id)\\\n*";
    let line = "printf '%s.' \"$@\"; cat; echo \"$A\"; exit 9";
    let args = ["run", &place, "--env", "A=x  y\n'z", "--", "sh", "-c", line, "sh", hostile];
    let said = way.says(&args, b"in");
    assert_eq!(said, (format!("{hostile}.inx  y\n'z\n"), String::new(), 9));
    way.check(&["run", &place, "--dir", "/bin", "--", "pwd"], "/bin\n", 0);
    let path =
        ["run", &place, "--env", "PATH=/bin:/odd", "--", "sh", "-c", "echo $PATH$THITHER_PATH"];
    way.check(&path, "/bin:/odd\n", 0);
    let (said, ..) = way.says(&["run", &place, "--clear-env", "--env", "A=1", "--", "env"], b"");
    assert!(said.lines().any(|line| line == "A=1"), "{said}");
    assert!(!said.contains("SSH_CONNECTION"), "{said}");
}

#[test]
fn by_a_script() {
    let (way, root) = (way!(), root!());
    both(&way, &root, "");
    let here = place("a", &root, "");
    // Its own processes, and nothing left mounted.
    let (said, complaints, code) =
        way.says(&["run", &here, "--", "sh", "-c", "echo /proc/[0-9]*"], b"");
    assert_eq!((complaints.as_str(), code), ("", 0));
    assert!(said.split_whitespace().count() <= 4, "{said}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(root.path().to_str().unwrap()));
    let named = place("a", &root, "?hostname=there&net=none");
    way.check(&["run", &named, "--", "hostname"], "there\n", 0);
    let overlay = place("a", &root, "?overlay");
    way.check_fails(&["run", &overlay, "--", "true"], &["`overlay`", "install thither there"], 125);
    let missing = place("a", &root, "?bind=/usr:/not-there");
    way.check_fails(&["run", &missing, "--", "true"], &["no mount point /not-there"], 125);
}

#[test]
fn a_mount_point_that_is_a_link_is_not_followed() {
    let (way, root) = (way!(), root!());
    let outside = way.test.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.path().join("link")).unwrap();
    let place = place("a", &root, "?bind=/usr:/link");
    way.check_fails(&["run", &place, "--", "true"], &["no mount point /link"], 125);
}

#[test]
fn as_an_ordinary_user_by_a_script() {
    let (way, root) = (way!(), root!());
    let id = ["run", &place("user-of-a", &root, ""), "--", "id", "-u"];
    way.check(&id, "0\n", 0);
}

#[test]
fn by_chroot_alone() {
    let (way, root) = (way!(), root!());
    both(&way, &root, "?plain");
    let here = place("a", &root, "?plain");
    way.check(&["run", &here, "--", "sh", "-c", "ls /proc | wc -l"], "0\n", 0);
    let more = place("a", &root, "?plain&net=none");
    way.check_fails(&["run", &more, "--", "true"], &["net", "plain"], 125);
    let first = format!("chroot:{}?plain", root.path().display());
    way.check_fails(&["run", &first, "--", "true"], &["beyond another hop"], 125);
}

#[test]
fn by_thither_there() {
    let bin = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_thither"), bin.path().join("thither")).unwrap();
    let (way, root) = (way!("", &format!("PATH={}:/usr/bin:/bin", show(bin.path()))), root!());
    both(&way, &root, "");
    // What a script cannot: it leaves no trace.
    let overlay = place("a", &root, "?overlay");
    way.check(&["run", &overlay, "--", "touch", "/new"], "", 0);
    assert!(!root.path().join("new").exists());
    way.check(&["run", &overlay, "--user", "12:34", "--", "id", "-u"], "12\n", 0);
}

fn show(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn files_in_a_root_beyond() {
    let (way, root) = (way!(), root!());
    let file = way.test.file("file", "content");
    let place = place("a", &root, "?plain");
    way.check(&["cp", show(&file), &format!("{place}::/tmp/copied")], "", 0);
    assert_eq!(fs::read_to_string(root.path().join("tmp/copied")).unwrap(), "content");
}

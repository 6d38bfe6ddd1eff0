//! Files by commands over there: what goes wrong.

use thither_place::{Command, Process, Result};

use super::put::{ByCommand, made};
use super::*;

/// This machine with another PATH, as a place that lacks something.
pub(crate) struct With(pub(crate) TempDir);

impl With {
    /// With these programs, which are scripts of shell, and `sh`.
    fn programs(programs: &[(&str, &str)]) -> With {
        let folder = TempDir::new().unwrap();
        for (name, text) in programs {
            testkit::write_program(&folder.path().join(name), &format!("#!/bin/sh\n{text}\n"));
        }
        With(folder)
    }
}

impl Place for With {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let mut command = command.clone();
        if command.name() == "sh" {
            command.program = thither_place::Program::Named("/bin/sh".into());
        }
        Local.spawn(&command.env("PATH", self.0.path()))
    }
}

#[track_caller]
fn check(place: &dyn Place, get: &str, put: &str) {
    let folder = made("touch a; mkdir d");
    let got = place.get(&folder.path().join("a")).map(|mut archive| {
        let error = loop {
            match archive.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => return "nothing is wrong".to_owned(),
                Err(error) => break error,
            }
        };
        said(&error)
    });
    assert_eq!(got.unwrap_or_else(|error| said(&error)), get);
    let archive = Local.get(&folder.path().join("a")).unwrap();
    let error = place.put(archive, &folder.path().join("d")).unwrap_err();
    let said = said(&error).replace(folder.path().to_str().unwrap(), "F");
    assert_eq!(said, put);
    assert_eq!(names(folder.path()), ["a 644 \"\" x1", "d/ 755"]);
}

#[test]
fn without_tar() {
    let place = With::programs(&[]);
    check(
        &place,
        "there is neither `tar` nor Python over there, and no `cat` to do without",
        "cannot copy to `F/d`: there is neither `tar` nor Python over there, and no `chmod` to do without",
    );
    let folder = made("touch a");
    let archive = Local.get(&folder.path().join("a")).unwrap();
    let error = place.put(archive, folder.path()).unwrap_err();
    assert_eq!(error.hint(), Some("install tar over there"));
}

#[test]
fn a_tar_that_fails() {
    let rest = [
        ("mkdir", "exec /bin/mkdir \"$@\""),
        ("rm", "exec /bin/rm \"$@\""),
        ("chmod", "exec /bin/chmod \"$@\""),
    ];
    let tar = ("tar", "case $1 in --version) exit;; esac; echo some; echo oops >&2; exit 3");
    let place = With::programs(&[&rest[..], &[tar]].concat());
    check(&place, "oops", "cannot copy to `F/d`: oops");
    // One that fails after it has written everything.
    let tar = ("tar", "/bin/tar \"$@\"; case $1 in --version) exit;; esac; echo late >&2; exit 3");
    let place = With::programs(&[&rest[..], &[tar]].concat());
    check(&place, "late", "cannot copy to `F/d`: late");
    // One that says much, and reads nothing.
    let much = "i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i + 1)); done; exit 3";
    let tar = format!("case $1 in --version) exit;; esac; {much}");
    let place = With::programs(&[&rest[..], &[("tar", &tar)]].concat());
    let folder = made("head -c 3000000 /dev/zero > a; mkdir d");
    let archive = Local.get(&folder.path().join("a")).unwrap();
    let put = place.put(archive, &folder.path().join("d")).unwrap_err();
    assert!(said(&put).ends_with(": 0123456789"), "{}", said(&put));
    assert_eq!(names(&folder.path().join("d")), [""; 0]);
}

#[test]
fn what_is_not_there() {
    let mut archive = ByCommand.get("/no/such/file".as_ref()).unwrap();
    let error = archive.root().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn names_that_look_like_options() {
    let folder = made("mkdir -- -d; echo x > ./-d/-f; echo y > ./-f");
    let path = |name: &str| folder.path().join(name);
    ByCommand.put(ByCommand.get(&path("-d")).unwrap(), &path("-n")).unwrap();
    ByCommand.put(ByCommand.get(&path("-f")).unwrap(), &path("-n")).unwrap();
    assert_eq!(names(&path("-n")), ["-f 644 \"y\\\\n\" x1"]);
}

#[test]
fn times_are_exact() {
    let folder = made("echo x > f; touch -d '2001-02-03 04:05:06.789012345' f");
    let path = |name: &str| folder.path().join(name);
    ByCommand.put(ByCommand.get(&path("f")).unwrap(), &path("g")).unwrap();
    let time = |name: &str| fs::metadata(path(name)).unwrap().modified().unwrap();
    assert_eq!(time("f"), time("g"));
}

#[test]
fn a_path_through_a_link_is_not_sent() {
    let folder = made("mkdir d e");
    let link = folder.path().join("e");
    let parts =
        [directory(b"r/"), symlink(b"r/l", link.as_os_str().as_bytes()), file(b"r/l/f", b"x")];
    let error = ByCommand.put(archive(tar(&parts)), &folder.path().join("d")).unwrap_err();
    assert!(
        said(&error).ends_with("leads through a symbolic link of the archive"),
        "{}",
        said(&error)
    );
    assert_eq!(names(folder.path()), ["d/ 755", "e/ 755"]);
}

/// This machine as if it had Python and no `tar`.
fn with_python() -> std::result::Result<With, String> {
    let folder = TempDir::new().unwrap();
    let needed = ["cat", "chmod", "id", "ls", "mkdir", "mv", "rm", "rmdir", "sh", "stat"];
    for name in needed.into_iter().chain(["python3"]) {
        // Not a version manager's.
        let program = std::path::Path::new("/usr/bin").join(name);
        if !program.exists() {
            return Err(format!("there is no {}", program.display()));
        }
        std::os::unix::fs::symlink(program, folder.path().join(name)).unwrap();
    }
    Ok(With(folder))
}

#[test]
fn by_python_where_there_is_no_tar() {
    let place = match with_python() {
        Ok(place) => place,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let folder = made(
        "mkdir from to; cd from; echo text >a; chmod 640 a; ln -s a l; ln a h; mkdir -p d/e; chmod 2750 d; \
         head -c 300000 /dev/zero >d/big; printf x >\"$(printf 'd/\\377 \\n')\"; touch -d @1000000000 a d/big; \
         touch -d @1100000000 d/e d .",
    );
    let there = folder.path().join("to");
    place.put(Local.get(&folder.path().join("from")).unwrap(), &there).unwrap();
    let expected = names(&folder.path().join("from"));
    assert!(expected.len() >= 7, "{expected:?}");
    // Set-id bits do not travel.
    let expected: Vec<String> = expected.iter().map(|line| line.replace("2750", "750")).collect();
    assert_eq!(names(&there.join("from")), expected);
    let modified = |path: &str| {
        let metadata = std::fs::metadata(there.join("from").join(path)).unwrap();
        std::os::unix::fs::MetadataExt::mtime(&metadata)
    };
    assert_eq!(
        [modified("a"), modified("d/big"), modified("d/e"), modified("d")],
        [1_000_000_000, 1_000_000_000, 1_100_000_000, 1_100_000_000]
    );
    Local.put(place.get(&there.join("from")).unwrap(), &folder.path().join("back")).unwrap();
    assert_eq!(names(&folder.path().join("back")), expected);
}

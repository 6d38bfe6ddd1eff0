//! Where things come to be: as with cp(1), all of it or nothing. Each test is of both ways: by the file system, and by
//! commands.

use std::os::unix::fs::symlink as make_link;

use thither_place::{Command, Process, Result};

use super::*;

/// This machine as any other place: by commands alone.
pub(crate) struct ByCommand;

impl Place for ByCommand {
    fn spawn(&self, command: &Command) -> Result<Process> {
        Local.spawn(command)
    }
}

pub(crate) const WAYS: [(&str, &dyn Place); 2] = [("files", &Local), ("commands", &ByCommand)];

/// A folder with what a script of shell makes in it.
pub(crate) fn made(script: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    run(&folder, script);
    folder
}

#[track_caller]
fn run(folder: &TempDir, script: &str) {
    let mut command = std::process::Command::new("sh");
    command.args(["-euc", &format!("umask 022; {script}")]).current_dir(folder.path());
    assert!(command.status().unwrap().success(), "{script}");
}

/// Copies `from` to `to` in a folder that a script made, and compares what is there then, or the end of what is said:
/// that leaves all as it was.
#[track_caller]
fn check(script: &str, from: &str, to: &str, expected: &[&str]) {
    for (way, place) in WAYS {
        let folder = made(script);
        let before = shown(folder.path());
        // `join` would take a slash at the end away from nothing.
        let path =
            |name: &str| std::path::PathBuf::from(format!("{}/{name}", folder.path().display()));
        let result = place.get(&path(from)).and_then(|archive| place.put(archive, &path(to)));
        let found = match &result {
            Ok(()) => names(folder.path()),
            Err(error) => {
                assert_eq!(untimed(&shown(folder.path())), untimed(&before), "{way}");
                let said = said(error);
                let end = expected[0];
                assert!(
                    said.ends_with(end) || expected[1..].iter().any(|end| said.ends_with(end)),
                    "{way}: {said}"
                );
                continue;
            }
        };
        assert_eq!(found, expected, "{way}");
    }
}

/// Without the times of directories, in which something was and is no more.
fn untimed(text: &str) -> Vec<String> {
    let lines = text.lines();
    lines.map(|line| line.split(" @").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_file() {
    let script = "echo new > a; mkdir d; echo old > b; echo old > d/a";
    check(
        script,
        "a",
        "c",
        &[
            "a 644 \"new\\\\n\" x1",
            "b 644 \"old\\\\n\" x1",
            "c 644 \"new\\\\n\" x1",
            "d/ 755",
            "d/a 644 \"old\\\\n\" x1",
        ],
    );
    check(
        script,
        "a",
        "b",
        &["a 644 \"new\\\\n\" x1", "b 644 \"new\\\\n\" x1", "d/ 755", "d/a 644 \"old\\\\n\" x1"],
    );
    check(
        script,
        "a",
        "d",
        &["a 644 \"new\\\\n\" x1", "b 644 \"old\\\\n\" x1", "d/ 755", "d/a 644 \"new\\\\n\" x1"],
    );
    check(
        script,
        "a",
        "d/",
        &["a 644 \"new\\\\n\" x1", "b 644 \"old\\\\n\" x1", "d/ 755", "d/a 644 \"new\\\\n\" x1"],
    );
    check(
        script,
        "a",
        "d/c",
        &[
            "a 644 \"new\\\\n\" x1",
            "b 644 \"old\\\\n\" x1",
            "d/ 755",
            "d/a 644 \"old\\\\n\" x1",
            "d/c 644 \"new\\\\n\" x1",
        ],
    );
}

#[test]
fn a_directory() {
    let script = "mkdir -p a/s d; echo x > a/s/x; chmod 711 a";
    check(
        script,
        "a",
        "b",
        &[
            "a/ 711",
            "a/s/ 755",
            "a/s/x 644 \"x\\\\n\" x1",
            "b/ 711",
            "b/s/ 755",
            "b/s/x 644 \"x\\\\n\" x1",
            "d/ 755",
        ],
    );
    check(
        script,
        "a",
        "d",
        &[
            "a/ 711",
            "a/s/ 755",
            "a/s/x 644 \"x\\\\n\" x1",
            "d/ 755",
            "d/a/ 711",
            "d/a/s/ 755",
            "d/a/s/x 644 \"x\\\\n\" x1",
        ],
    );
}

#[test]
fn a_directory_into_one_of_its_name() {
    let script = "mkdir -p a/s a/n d/a/s; echo new > a/s/x; echo new > a/n/y; ln -s x a/l; touch d/a/l; chmod 700 a a/n; \
                  echo old > d/a/s/x; echo old > d/a/s/z; chmod 750 d/a/s";
    check(
        script,
        "a",
        "d",
        &[
            "a/ 700",
            "a/l -> x",
            "a/n/ 700",
            "a/n/y 644 \"new\\\\n\" x1",
            "a/s/ 755",
            "a/s/x 644 \"new\\\\n\" x1",
            "d/ 755",
            "d/a/ 755",
            "d/a/l -> x",
            "d/a/n/ 700",
            "d/a/n/y 644 \"new\\\\n\" x1",
            "d/a/s/ 750",
            "d/a/s/x 644 \"new\\\\n\" x1",
            "d/a/s/z 644 \"old\\\\n\" x1",
        ],
    );
    // What cannot be is seen before anything is changed.
    let conflict = "mkdir -p a d/a; touch a/1 a/x d/a/1; mkdir d/a/x; echo 1 > a/1";
    check(
        conflict,
        "a",
        "d",
        &["cannot replace `x`: Is a directory (os error 21)", "/x: it is a directory"],
    );
    let conflict = "mkdir -p a/x d/a; touch a/1 d/a/x; echo 1 > a/1";
    check(
        conflict,
        "a",
        "d",
        &["cannot replace `x`: Not a directory (os error 20)", "/x: it is no directory"],
    );
}

#[test]
fn links_that_are_there_are_not_followed() {
    let script = "mkdir -p a/l e d/a; touch a/l/x; ln -s ../../e d/a/l";
    check(
        script,
        "a",
        "d",
        &["cannot replace `l`: Not a directory (os error 20)", "/l: it is no directory"],
    );
    let script = "mkdir a e; echo x > f; ln -s e l; ln -s nowhere m; ln -s f n";
    check(
        script,
        "f",
        "m",
        &["a/ 755", "e/ 755", "f 644 \"x\\\\n\" x1", "l -> e", "m 644 \"x\\\\n\" x1", "n -> f"],
    );
    // But the user's own path is.
    check(
        script,
        "f",
        "l",
        &[
            "a/ 755",
            "e/ 755",
            "e/f 644 \"x\\\\n\" x1",
            "f 644 \"x\\\\n\" x1",
            "l -> e",
            "m -> nowhere",
            "n -> f",
        ],
    );
    check(
        script,
        "a",
        "n",
        &["cannot replace `n`: Not a directory (os error 20)", "/n: it is no directory"],
    );
    check(
        script,
        "l",
        "n",
        &["a/ 755", "e/ 755", "f 644 \"x\\\\n\" x1", "l -> e", "m -> nowhere", "n -> e"],
    );
}

#[test]
fn what_cannot_be() {
    let script = "mkdir -p a d/a f; touch f/a b";
    check(script, "b", "a/b/c", &["No such file or directory (os error 2)"]);
    check(script, "b", "c/", &["No such file or directory (os error 2)"]);
    check(script, "b", "f/a/", &["Not a directory (os error 20)", "it is no directory"]);
    check(
        script,
        "b",
        "f/a/c",
        &["Not a directory (os error 20)", "No such file or directory (os error 2)"],
    );
    check(
        script,
        "a",
        "f",
        &["cannot replace `a`: Not a directory (os error 20)", "/a: it is no directory"],
    );
    check(
        script,
        "a",
        "b",
        &["cannot replace `b`: Not a directory (os error 20)", "/b: it is no directory"],
    );
    check(script, "nothing", "c", &["No such file or directory (os error 2)"]);
    let script = "touch a; mkdir -p d/a";
    check(
        script,
        "a",
        "d",
        &["cannot replace `a`: Is a directory (os error 21)", "/a: it is a directory"],
    );
}

#[test]
fn what_cp_would_write_to() {
    let script = "mkdir -p a d/a; touch f a/x; mkfifo p d/a/x";
    check(script, "f", "p", &["cannot replace `p`: it is a fifo", "/p: it is no regular file"]);
    check(script, "a", "d", &["cannot replace `x`: it is a fifo", "/x: it is no regular file"]);
}

#[test]
fn onto_or_into_itself() {
    let folder = made("mkdir -p a/b/c; touch f; ln f g");
    let before = shown(folder.path());
    let path = |name: &str| folder.path().join(name);
    let into = "a directory cannot be copied into itself";
    for (from, to, expected) in [
        ("f", "f", "it is the same file"),
        ("f", "g", "it is the same file"),
        ("f", ".", "it is the same file"),
        ("a", ".", "it is the same file"),
        ("a", "a", into),
        ("a", "a/b", into),
        ("a", "a/b/c/d", into),
        ("a/.", "a", "it is the same file"),
        ("a/.", "a/b", into),
    ] {
        let error = Local.put(Local.get(&path(from)).unwrap(), &path(to)).unwrap_err();
        assert!(said(&error).ends_with(expected), "{from} {to}: {}", said(&error));
        assert_eq!(untimed(&shown(folder.path())), untimed(&before));
    }
}

#[test]
fn a_cut_stream_leaves_all_as_it_was() {
    for (way, place) in WAYS {
        let folder = made("mkdir -p d/r; echo old > d/r/a");
        let before = untimed(&shown(folder.path()));
        let parts = [directory(b"r/"), file(b"r/a", b"new"), directory(b"r/b")];
        let whole = tar(&parts);
        // In the midst of a file, between two entries, and before the end of the archive.
        for length in [1200, 1024 + 512, whole.len() - 1024, whole.len() - 512] {
            let archive = Archive::from_tar(Cursor::new(whole[..length].to_vec()), "r");
            let error = place.put(archive, &folder.path().join("d")).unwrap_err();
            let said = said(&error);
            assert!(said.ends_with("the stream ended before the archive did"), "{way}: {said}");
            assert_eq!(untimed(&shown(folder.path())), before, "{way}");
        }
    }
}

#[test]
fn a_stream_cut_between_two_entries_over_there_leaves_all_as_it_was() {
    let folder = made("mkdir -p d/r; echo old > d/r/a");
    let before = untimed(&shown(folder.path()));
    // As much as is sent at once: the tar over there sees an archive that just ends, and is content.
    let parts = [directory(b"r/"), file(b"r/a", &vec![7; 256 * 1024 - 1024])];
    let archive = Archive::from_tar(Cursor::new(parts.concat()), "r");
    let error = ByCommand.put(archive, &folder.path().join("d")).unwrap_err();
    assert!(said(&error).ends_with("the stream ended before the archive did"), "{}", said(&error));
    assert_eq!(untimed(&shown(folder.path())), before);
}

#[test]
fn who_watches_can_end_it() {
    for (way, place) in WAYS {
        let folder = made("mkdir d; head -c 3000000 /dev/zero > f");
        let archive = place.get(&folder.path().join("f")).unwrap();
        let archive = archive.watched(|event| match event {
            Event::Content(_) => Err(io::Error::other("enough")),
            _ => Ok(()),
        });
        let error = place.put(archive, &folder.path().join("d")).unwrap_err();
        assert!(said(&error).ends_with("enough"), "{way}: {}", said(&error));
        assert_eq!(names(folder.path()), ["d/ 755", "f 644 \"3000000 bytes\" x1"], "{way}");
    }
}

#[test]
fn a_panic_leaves_nothing() {
    let folder = made("head -c 3000000 /dev/zero > f; mkdir d");
    let archive = Local.get(&folder.path().join("f")).unwrap();
    let archive = archive.watched(|event| match event {
        Event::Content(_) => panic!("on purpose"),
        _ => Ok(()),
    });
    let to = folder.path().join("d");
    let put = std::panic::AssertUnwindSafe(|| Local.put(archive, &to));
    assert!(std::panic::catch_unwind(put).is_err());
    assert_eq!(names(folder.path()), ["d/ 755", "f 644 \"3000000 bytes\" x1"]);
}

#[test]
fn the_umask_does_not_matter() {
    // Root could write to what nobody may.
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        testkit::as_user(&mut command);
        command
    });
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
    let parts = [directory(b"r/"), directory(b"r/d"), file(b"r/d/f", b"x"), file(b"r/i/f", b"x")];
    let folder = testkit_folder();
    Local.put(archive(tar(&parts)), &folder.path().join("new")).unwrap();
    let expected =
        ["new/ 755", "new/d/ 755", "new/d/f 755 \"x\" x1", "new/i/ 755", "new/i/f 755 \"x\" x1"];
    assert_eq!(names(folder.path()), expected);
}

/// A folder made under any umask.
fn testkit_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_user_with_directories_that_cannot_be_written() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        testkit::as_user(&mut command);
        command
    });
    if rustix::process::geteuid().is_root() {
        testkit::skip!("root in a place without other users");
    }
    // A refusal and a success, in a directory that has its final mode by then.
    let script = "mkdir -p a/s d/a/s; touch a/s/f; chmod 555 a/s a; chmod 555 d/a/s";
    let folder = made(script);
    let path = |name: &str| folder.path().join(name);
    Local.put(Local.get(&path("a")).unwrap(), &path("b")).unwrap();
    let error = Local.put(Local.get(&path("a")).unwrap(), &path("d")).unwrap_err();
    assert!(
        said(&error).ends_with("cannot write into `s`: Permission denied (os error 13)"),
        "{}",
        said(&error)
    );
    let all = [
        "a/ 555",
        "a/s/ 555",
        "a/s/f 644 \"\" x1",
        "b/ 555",
        "b/s/ 555",
        "b/s/f 644 \"\" x1",
        "d/ 755",
        "d/a/ 755",
        "d/a/s/ 555",
    ];
    assert_eq!(names(folder.path()), all);
    ByCommand.put(ByCommand.get(&path("a")).unwrap(), &path("c")).unwrap();
    assert_eq!(names(&path("c")), ["s/ 555", "s/f 644 \"\" x1"]);
    run(&folder, "chmod -R u+w .");
    make_link("x", path("link")).unwrap();
}

#[test]
fn a_set_group_id_folder_passes_its_bit_on() {
    let folder = made("mkdir d; chmod 2775 d; mkdir -p a/b");
    let path = |name: &str| folder.path().join(name);
    Local.put(Local.get(&path("a")).unwrap(), &path("d")).unwrap();
    let expected = ["a/ 755", "a/b/ 755", "d/ 2775", "d/a/ 2755", "d/a/b/ 2755"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_full_disk() {
    if !testkit::is_root() {
        testkit::skip!("only root can mount a small file system");
    }
    testkit::own_process!(|_| {
        let script = "mount -t tmpfs -o size=1m none /mnt && exec \"$0\" \"$@\"";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap());
        command
    });
    for (way, place) in WAYS {
        let full = Path::new("/mnt");
        fs::create_dir_all(full.join("r")).unwrap();
        fs::write(full.join("r/a"), "old").unwrap();
        let before = untimed(&shown(full));
        for content in [vec![7; 3_000_000], vec![7; 1_040_000]] {
            let parts = [
                directory(b"r/"),
                file(b"r/a", b"new"),
                file(b"r/b", &content),
                file(b"r/c", &[7; 100_000]),
            ];
            let archive = Archive::from_tar(Cursor::new(tar(&parts)), "r");
            let error = place.put(archive, full).unwrap_err();
            let said = said(&error).to_lowercase();
            assert!(said.contains("no space left on device") || way == "commands", "{way}: {said}");
            assert_eq!(untimed(&shown(full)), before, "{way}");
        }
    }
}

//! Where things come to be: as with cp(1), all of it or nothing. The cases are those of `place`'s own tests.

use std::os::unix::process::CommandExt;

use super::*;

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// Copies `from` to `to` in a folder that a script made, and compares what is there then, or the end of what is said:
/// that leaves all as it was.
#[track_caller]
fn check(script: &str, from: &str, to: &str, expected: &[&str]) {
    for (way, place) in WAYS {
        let folder = made(script);
        let before = names(folder.path());
        // `join` would take a slash at the end away from nothing.
        let path = |name: &str| PathBuf::from(format!("{}/{name}", folder.path().display()));
        let result = place.get(&path(from)).and_then(|archive| place.put(archive, &path(to)));
        match &result {
            Ok(()) => assert_eq!(names(folder.path()), expected, "{way}"),
            Err(error) => {
                assert_eq!(names(folder.path()), before, "{way}");
                let said = said(error);
                assert!(said.ends_with(expected[0]), "{way}: {said}");
            }
        }
    }
}

#[test]
fn a_file() {
    need_server!();
    let script = "echo new > a; mkdir d; echo old > b; echo old > d/a";
    let all = |b: &str, d: &str| {
        vec![r"a 644 new\n x1".to_owned(), b.to_owned(), "d/ 755".to_owned(), d.to_owned()]
    };
    let check = |to: &str, expected: Vec<String>| {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(script, "a", to, &expected);
    };
    check("b", all(r"b 644 new\n x1", r"d/a 644 old\n x1"));
    check("d", all(r"b 644 old\n x1", r"d/a 644 new\n x1"));
    check("d/", all(r"b 644 old\n x1", r"d/a 644 new\n x1"));
    let mut more = all(r"b 644 old\n x1", r"d/a 644 old\n x1");
    more.insert(2, r"c 644 new\n x1".into());
    check("c", more);
    let mut more = all(r"b 644 old\n x1", r"d/a 644 old\n x1");
    more.push(r"d/c 644 new\n x1".into());
    check("d/c", more);
}

#[test]
fn a_directory() {
    need_server!();
    let script = "mkdir -p a/s d; echo x > a/s/x; chmod 711 a";
    let ours = ["a/ 711", "a/s/ 755", r"a/s/x 644 x\n x1"];
    let new = ["b/ 711", "b/s/ 755", r"b/s/x 644 x\n x1", "d/ 755"];
    check(script, "a", "b", &[&ours[..], &new].concat());
    let new = ["d/ 755", "d/a/ 711", "d/a/s/ 755", r"d/a/s/x 644 x\n x1"];
    check(script, "a", "d", &[&ours[..], &new].concat());
}

#[test]
fn a_directory_into_one_of_its_name() {
    need_server!();
    let script = "mkdir -p a/s a/n d/a/s; echo new > a/s/x; echo new > a/n/y; ln -s x a/l; touch d/a/l; chmod 700 a a/n; \
                  echo old > d/a/s/x; echo old > d/a/s/z; chmod 750 d/a/s";
    let all = [
        "a/ 700",
        "a/l -> x",
        "a/n/ 700",
        r"a/n/y 644 new\n x1",
        "a/s/ 755",
        r"a/s/x 644 new\n x1",
        "d/ 755",
        "d/a/ 755",
        "d/a/l -> x",
        "d/a/n/ 700",
        r"d/a/n/y 644 new\n x1",
        "d/a/s/ 750",
        r"d/a/s/x 644 new\n x1",
        r"d/a/s/z 644 old\n x1",
    ];
    check(script, "a", "d", &all);
    // What cannot be is seen before anything is changed.
    let conflict = "mkdir -p a d/a; touch a/1 a/x d/a/1; mkdir d/a/x; echo 1 > a/1";
    check(conflict, "a", "d", &["cannot replace `x`: Is a directory (os error 21)"]);
    let conflict = "mkdir -p a/x d/a; touch a/1 d/a/x; echo 1 > a/1";
    check(conflict, "a", "d", &["cannot replace `x`: Not a directory (os error 20)"]);
}

#[test]
fn links_that_are_there_are_not_followed() {
    need_server!();
    let script = "mkdir -p a/l e d/a; touch a/l/x; ln -s ../../e d/a/l";
    check(script, "a", "d", &["cannot replace `l`: Not a directory (os error 20)"]);
    let script = "mkdir a e; echo x > f; ln -s e l; ln -s nowhere m; ln -s f n";
    let f = r"f 644 x\n x1";
    check(script, "f", "m", &["a/ 755", "e/ 755", f, "l -> e", r"m 644 x\n x1", "n -> f"]);
    // But the user's own path is.
    let e = r"e/f 644 x\n x1";
    check(script, "f", "l", &["a/ 755", "e/ 755", e, f, "l -> e", "m -> nowhere", "n -> f"]);
    check(script, "a", "n", &["cannot replace `n`: Not a directory (os error 20)"]);
    check(script, "l", "n", &["a/ 755", "e/ 755", f, "l -> e", "m -> nowhere", "n -> e"]);
}

#[test]
fn what_cannot_be() {
    need_server!();
    let script = "mkdir -p a d/a f; touch f/a b";
    let nothing = ": No such file or directory (os error 2)";
    check(script, "b", "a/b/c", &[nothing]);
    check(script, "b", "c/", &[nothing]);
    check(script, "b", "f/a/", &[": Not a directory (os error 20)"]);
    check(script, "b", "f/a/c", &[nothing]);
    check(script, "a", "f", &["cannot replace `a`: Not a directory (os error 20)"]);
    check(script, "a", "b", &["cannot replace `b`: Not a directory (os error 20)"]);
    check(
        script,
        "nothing",
        "c",
        &["cannot read `nothing`: No such file or directory (os error 2)"],
    );
    let script = "touch a; mkdir -p d/a";
    check(script, "a", "d", &["cannot replace `a`: Is a directory (os error 21)"]);
    let script = "mkdir -p a d/a; touch f a/x; mkfifo p d/a/x";
    check(script, "f", "p", &["cannot replace `p`: it is a fifo"]);
    check(script, "a", "d", &["cannot replace `x`: it is a fifo"]);
    check(script, "p", "q", &["cannot read `p`: it is a fifo, which is not copied"]);
}

#[test]
fn a_cut_stream_leaves_all_as_it_was() {
    need_server!();
    for (way, place) in WAYS {
        let folder = made("mkdir -p d/r; echo old > d/r/a");
        let before = names(folder.path());
        let parts = [directory(b"r/"), file(b"r/a", b"new"), directory(b"r/b")];
        let whole = [parts.concat(), vec![0; 1024]].concat();
        for length in [1200, 1024 + 512, whole.len() - 1024, whole.len() - 512] {
            let archive = Archive::from_tar(Cursor::new(whole[..length].to_vec()), "r");
            let error = place.put(archive, &folder.path().join("d")).unwrap_err();
            let said = said(&error);
            assert!(said.ends_with("the stream ended before the archive did"), "{way}: {said}");
            assert_eq!(names(folder.path()), before, "{way}");
        }
        // So much that most of it is there before the end is missed.
        let parts = [directory(b"r/"), file(b"r/a", &[7; 10_000_000])];
        let archive = Archive::from_tar(Cursor::new(parts.concat()), "r");
        let error = place.put(archive, &folder.path().join("d")).unwrap_err();
        assert!(said(&error).ends_with("the stream ended before the archive did"), "{way}");
        assert_eq!(names(folder.path()), before, "{way}");
    }
}

#[test]
fn who_watches_can_end_it() {
    need_server!();
    let folder = made("mkdir d; head -c 20000000 /dev/zero > f");
    let watched = |fails: fn() -> io::Result<()>| {
        let archive = FULL.get(&folder.path().join("f")).unwrap();
        let mut moved = 0;
        archive.watched(move |event| match event {
            Event::Content(more) => {
                moved += more;
                // Much of it is there by then.
                if moved > 15_000_000 { fails() } else { Ok(()) }
            }
            _ => Ok(()),
        })
    };
    let left = ["d/ 755", "f 644 20000000 bytes x1"];
    let to = folder.path().join("d");
    let error = FULL.put(watched(|| Err(io::Error::other("enough"))), &to).unwrap_err();
    assert!(said(&error).ends_with(": enough"), "{}", said(&error));
    assert_eq!(names(folder.path()), left);
    let archive = watched(|| panic!("on purpose"));
    let put = std::panic::AssertUnwindSafe(|| FULL.put(archive, &to));
    assert!(std::panic::catch_unwind(put).is_err());
    assert_eq!(names(folder.path()), left);
}

#[test]
fn a_user_with_directories_that_cannot_be_written() {
    need_server!();
    testkit::own_process!(|program| {
        let mut command = Command::new(program);
        if testkit::is_root() {
            // The server wants a user with a name.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    });
    if rustix::process::geteuid().is_root() {
        testkit::skip!("root in a place without other users");
    }
    let folder = made("mkdir -p a/s d/a/s; touch a/s/f; chmod 555 a/s a; chmod 555 d/a/s");
    let path = |name: &str| folder.path().join(name);
    for (way, place) in WAYS {
        place.put(place.get(&path("a")).unwrap(), &path("b")).unwrap();
        let error = place.put(place.get(&path("a")).unwrap(), &path("d")).unwrap_err();
        let said = said(&error);
        let end = "cannot write into `s`: Permission denied (os error 13)";
        assert!(said.ends_with(end), "{way}: {said}");
        let a = ["a/ 555", "a/s/ 555", "a/s/f 644  x1"];
        let new = ["b/ 555", "b/s/ 555", "b/s/f 644  x1", "d/ 755", "d/a/ 755", "d/a/s/ 555"];
        assert_eq!(names(folder.path()), [&a[..], &new].concat());
        run(&folder, "chmod -R u+w b; rm -r b");
    }
    run(&folder, "chmod -R u+w .");
}

#[test]
fn a_set_group_id_folder_passes_its_bit_on() {
    need_server!();
    let folder = made("mkdir d; chmod 2775 d; mkdir -p a/b");
    let path = |name: &str| folder.path().join(name);
    FULL.put(Local.get(&path("a")).unwrap(), &path("d")).unwrap();
    let expected = ["a/ 755", "a/b/ 755", "d/ 2775", "d/a/ 2755", "d/a/b/ 2755"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_full_disk() {
    need_server!();
    if !testkit::is_root() {
        testkit::skip!("only root can mount a small file system");
    }
    testkit::own_process!(|_| {
        let script = "mount -t tmpfs -o size=1m none /mnt && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap());
        command
    });
    let full = Path::new("/mnt");
    for (way, place) in WAYS {
        fs::create_dir_all(full.join("r")).unwrap();
        fs::write(full.join("r/a"), "old").unwrap();
        let before = names(full);
        for content in [vec![7; 3_000_000], vec![7; 1_040_000]] {
            let more = file(b"r/c", &[7; 100_000]);
            let parts = [directory(b"r/"), file(b"r/a", b"new"), file(b"r/b", &content), more];
            let error = place.put(archive(&parts), full).unwrap_err();
            let said = said(&error);
            // The server itself says no more.
            let reason = match way {
                "sftp" => "No space left on device (os error 28)",
                _ => "the sftp server says: Failure",
            };
            assert!(said.ends_with(reason), "{way}: {said}");
            assert_eq!(names(full), before, "{way}");
        }
    }
}

/// Puts an archive at `new` of an empty folder, and compares what is there then, or what is said.
#[track_caller]
fn check_archive(parts: &[Vec<u8>], expected: &str) {
    for (way, place) in WAYS {
        let folder = TempDir::new().unwrap();
        let parts = [&[directory(b"r/")], parts].concat();
        let put = place.put(archive(&parts), &folder.path().join("new"));
        let said = match put {
            Ok(()) => names(&folder.path().join("new")).join(", "),
            Err(error) => {
                assert_eq!(names(folder.path()), [""; 0], "{way}");
                said(&error).split(": ").skip(1).collect::<Vec<_>>().join(": ")
            }
        };
        // Without the extension there are copies instead of links.
        let expected = if way == "sftp" { expected.into() } else { expected.replace("x2", "x1") };
        assert_eq!(said, expected, "{way}");
    }
}

#[test]
fn odd_archives() {
    need_server!();
    let one = |content: &[u8]| file(b"r/a", content);
    check_archive(&[one(b"1"), one(b"2")], "a 755 2 x1");
    let link = || hard_link(b"r/b", b"r/a");
    check_archive(&[one(b"1"), link()], "a 755 1 x2, b 755 1 x2");
    check_archive(&[one(b"1"), link(), one(b"2")], "a 755 2 x1, b 755 1 x1");
    check_archive(&[symlink(b"r/a", b"t"), link()], "a -> t, b -> t");
    check_archive(&[symlink(b"r/a", b"../.."), one(b"x")], "a 755 x x1");
    check_archive(&[file(b"r/i/j/f", b"x")], "i/ 755, i/j/ 755, i/j/f 755 x x1");
    check_archive(&[directory(b"r/a"), directory(b"r/a")], "a/ 755");
    check_archive(&[link()], "cannot write `r/b`: No such file or directory (os error 2)");
    let twice = "bad archive: `a` is a directory and then something else";
    check_archive(&[directory(b"r/a"), one(b"1")], twice);
    let twice = "bad archive: `a` is something else and then a directory";
    check_archive(&[one(b"1"), directory(b"r/a")], twice);
    let through = "bad archive: `a` leads through a symbolic link of the archive";
    for target in [&b"../.."[..], b"/tmp", b".", b"a"] {
        check_archive(&[symlink(b"r/a", target), file(b"r/a/precious", b"x")], through);
        check_archive(&[symlink(b"r/a", target), hard_link(b"r/b", b"r/a/x")], through);
    }
    let below = "bad archive: `a` is no directory, yet the archive has more below it";
    check_archive(&[one(b"1"), file(b"r/a/b", b"x")], below);
    let mut set_id = header(b"r/s", b'0', b"", 0);
    set_id[100..108].copy_from_slice(b"0007755\0");
    set_id[148..156].fill(b' ');
    let sum: u32 = set_id.iter().map(|&byte| u32::from(byte)).sum();
    set_id[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    check_archive(&[set_id], "s 1755  x1");
}

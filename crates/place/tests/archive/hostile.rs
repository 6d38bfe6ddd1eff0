//! Archives from an enemy: nothing is ever touched outside of the destination, and a refused one leaves nothing.

use super::*;

/// Puts an archive at `new/` of a folder beside which lies something precious, and compares what is said; a refusal
/// leaves the folder as it was.
#[track_caller]
fn check(bytes: Vec<u8>, expected: &str) {
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("into");
    fs::create_dir(&into).unwrap();
    fs::write(folder.path().join("precious"), "precious").unwrap();
    let before = shown(folder.path());
    let result = Local.put(archive(bytes), &into.join("new"));
    fs::write(folder.path().join("precious"), fs::read(folder.path().join("precious")).unwrap())
        .unwrap();
    let precious = fs::read_to_string(folder.path().join("precious")).unwrap();
    assert_eq!(precious, "precious");
    let said = match result {
        Ok(()) => format!("{:?}", names(&into)),
        Err(error) => {
            let without_time = |text: &str| -> Vec<String> {
                text.lines().map(|line| line.split(" @").next().unwrap().to_owned()).collect()
            };
            assert_eq!(without_time(&shown(folder.path())), without_time(&before));
            said(&error).split(": ").skip(1).collect::<Vec<_>>().join(": ")
        }
    };
    assert_eq!(said, expected);
}

/// The same in a directory `r`.
#[track_caller]
fn check_in(parts: &[Vec<u8>], expected: &str) {
    check(tar(&[vec![directory(b"r/")], parts.to_vec()].concat().to_vec()), expected);
}

#[test]
fn absolute_names() {
    check(tar(&[file(b"/precious", b"x")]), "bad archive: `/precious` is an absolute name");
    check_in(&[file(b"/precious", b"x")], "bad archive: `/precious` is an absolute name");
    check_in(&[hard_link(b"r/a", b"/precious")], "bad archive: `/precious` is an absolute name");
}

#[test]
fn names_that_go_up() {
    check(tar(&[file(b"..", b"x")]), "bad archive: `..` has `..` in its name");
    check(tar(&[file(b"../precious", b"x")]), "bad archive: `../precious` has `..` in its name");
    check_in(
        &[file(b"r/../../precious", b"x")],
        "bad archive: `r/../../precious` has `..` in its name",
    );
    check_in(&[file(b"r/a/..", b"x")], "bad archive: `r/a/..` has `..` in its name");
    check_in(
        &[file(b"precious", b"x")],
        "bad archive: `precious` is outside of the archive's root",
    );
    check_in(
        &[hard_link(b"r/a", b"r/../../precious")],
        "bad archive: `r/../../precious` has `..` in its name",
    );
    check_in(
        &[hard_link(b"r/a", b"precious")],
        "bad archive: `precious` is outside of the archive's root",
    );
}

#[test]
fn a_file_through_a_link() {
    let through = "bad archive: `a` leads through a symbolic link of the archive";
    for target in [&b"../.."[..], b"/tmp", b".", b"a"] {
        check_in(&[symlink(b"r/a", target), file(b"r/a/precious", b"x")], through);
        check_in(&[symlink(b"r/a", target), directory(b"r/a/precious")], through);
        check_in(&[symlink(b"r/a", target), symlink(b"r/a/precious", b"x")], through);
        check_in(&[symlink(b"r/a", target), hard_link(b"r/b", b"r/a/precious")], through);
    }
    // Another name of a link is a link.
    check_in(
        &[symlink(b"r/a", b"../.."), hard_link(b"r/b", b"r/a"), file(b"r/b/precious", b"x")],
        "bad archive: `b` leads through a symbolic link of the archive",
    );
    check_in(
        &[directory(b"r/a"), symlink(b"r/a/b", b"../.."), file(b"r/a/b/c/precious", b"x")],
        "bad archive: `a/b/c` leads through a symbolic link of the archive",
    );
}

#[test]
fn a_root_that_is_a_link_and_more() {
    let more = "bad archive: `r/precious` comes after a root that is no directory, or again as one";
    check(tar(&[symlink(b"r", b".."), file(b"r/precious", b"x")]), more);
    check(tar(&[symlink(b"r", b".."), directory(b"r")]), &more.replace("r/precious", "r"));
    check(tar(&[file(b"r", b"y"), file(b"r", b"x")]), &more.replace("r/precious", "r"));
    check_in(&[symlink(b"r", b"..")], &more.replace("r/precious", "r"));
    check(tar(&[hard_link(b"r", b"precious")]), "bad archive: `r` is a link to itself");
}

#[test]
fn a_file_over_a_link_replaces_the_link() {
    let parts = [symlink(b"r/a", b"../../precious"), file(b"r/a", b"x")];
    check_in(&parts, r#"["new/ 755", "new/a 755 \"x\" x1"]"#);
}

#[test]
fn duplicates() {
    let one = |content: &[u8]| file(b"r/a", content);
    check_in(&[one(b"1"), one(b"2")], r#"["new/ 755", "new/a 755 \"2\" x1"]"#);
    // The name that was linked before keeps what it had.
    check_in(
        &[one(b"1"), hard_link(b"r/b", b"r/a"), one(b"2")],
        r#"["new/ 755", "new/a 755 \"2\" x1", "new/b 755 \"1\" x1"]"#,
    );
    check_in(&[directory(b"r/a"), directory(b"r/a")], r#"["new/ 755", "new/a/ 755"]"#);
    check_in(
        &[directory(b"r/a"), one(b"1")],
        "bad archive: `a` is a directory and then something else",
    );
    check_in(
        &[directory(b"r/a"), symlink(b"r/a", b"x")],
        "bad archive: `a` is a directory and then something else",
    );
    check_in(
        &[one(b"1"), directory(b"r/a")],
        "bad archive: `a` is something else and then a directory",
    );
    check_in(
        &[symlink(b"r/a", b".."), directory(b"r/a")],
        "bad archive: `a` is something else and then a directory",
    );
    check_in(
        &[one(b"1"), file(b"r/a/b", b"x")],
        "bad archive: `a` is no directory, yet the archive has more below it",
    );
}

#[test]
fn devices_are_left_out() {
    let parts = [
        header(b"r/null", b'3', b"", 0),
        header(b"r/disk", b'4', b"", 0),
        header(b"r/fifo", b'6', b"", 0),
    ];
    check_in(&parts, r#"["new/ 755"]"#);
    check(
        tar(&[header(b"r", b'3', b"", 0)]),
        "bad archive: `r` is a character device, which is not copied",
    );
    check_in(&[header(b"r/x", b'Z', b"", 0)], "bad archive: `r/x` is of an unknown kind");
}

#[test]
fn links_to_what_is_not_there() {
    check_in(
        &[hard_link(b"r/a", b"r/b")],
        "cannot write `root/a`: No such file or directory (os error 2)",
    );
    check_in(&[hard_link(b"r/a", b"r")], "cannot write `root/a`: Invalid argument (os error 22)");
    check_in(
        &[directory(b"r/d"), hard_link(b"r/a", b"r/d")],
        "cannot write `root/a`: Operation not permitted (os error 1)",
    );
    check_in(&[symlink(b"r/a", b"")], "bad archive: `r/a` is a symbolic link with a bad text");
    check_in(&[symlink(b"r/a", b"nowhere")], r#"["new/ 755", "new/a -> nowhere"]"#);
}

#[test]
fn sizes_that_nobody_can_keep() {
    // 8 GiB less one byte, of which nothing comes.
    check(header(b"r", b'0', b"", 0o77777777777), "the stream ended before the archive did");
    let mut huge = header(b"r", b'0', b"", 0);
    huge[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    check(checked(huge.clone()), "bad archive: a size is too great");
    huge[128] = 0x01;
    check(checked(huge.clone()), "the stream ended before the archive did");
    huge[124] = 0xff;
    check(checked(huge), "bad archive: a size is no number");
    check(tar(&[header(b"L", b'L', b"", 1 << 30)]), "bad archive: an extension is too long");
    check(tar(&[header(b"x", b'x', b"", 1 << 30)]), "bad archive: an extension is too long");
    check(header(b"x", b'x', b"", 1 << 20), "the stream ended before the archive did");
    check_in(&[header(b"r/a", b'S', b"", 1 << 40)], SPARSE);
    let sparse = with_content(header(b"x", b'x', b"", 22), b"22 GNU.sparse.major=1\n");
    check_in(&[sparse, file(b"r/a", b"")], SPARSE);
}

const SPARSE: &str = "bad archive: `r/a` is stored as a sparse file, which is not supported: pack it without `--sparse`";

fn long_name(name: &[u8]) -> Vec<u8> {
    with_content(header(b"././@LongLink", b'L', b"", name.len() as u64), name)
}

#[test]
fn names_of_any_kind() {
    check_in(
        &[file(b"r/\x1b[2J\n\xff", b"x")],
        r#"["new/ 755", "new/\\x1b[2J\\n\\xff 755 \"x\" x1"]"#,
    );
    let record = b"17 path=r/a\0/../b\n";
    let pax = with_content(header(b"x", b'x', b"", record.len() as u64), record);
    check_in(&[pax, file(b"r/a", b"")], "bad archive: an extended header is malformed");
    let record = b"13 path=r/\0b\n";
    let pax = with_content(header(b"x", b'x', b"", record.len() as u64), record);
    check_in(&[pax, file(b"r/a", b"")], "bad archive: `r/\\u{0}b` has a NUL in its name");
    // NAME_MAX is the kernel's to say.
    let name = [b"r/", &[b'n'; 256][..]].concat();
    let text = "cannot write `root/NAME`: File name too long (os error 36)";
    check_in(&[long_name(&name), file(b"r/a", b"x")], &text.replace("NAME", &"n".repeat(256)));
    let name = [b"r/", &b"n/".repeat(2040)[..], b"x"].concat();
    check_in(
        &[long_name(&[b'n'; 5000]), file(b"r/a", b"x")],
        "bad archive: an extension is too long",
    );
    let deep = tar(&[directory(b"r/"), long_name(&name), file(b"r/a", b"x")]);
    let folder = TempDir::new().unwrap();
    // Made or refused, and in either case nothing else is left.
    if let Err(error) = Local.put(archive(deep), &folder.path().join("new")) {
        assert_eq!(names(folder.path()), [""; 0], "{error}");
    }
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name == "new"));
}

#[test]
fn many_extensions_of_nothing() {
    let pax = with_content(header(b"x", b'x', b"", 10), b"10 path=r\n");
    let parts: Vec<_> = (0..100).map(|_| pax.clone()).chain([file(b"r", b"")]).collect();
    check(tar(&parts), "bad archive: too many extensions of one entry");
    let global = with_content(header(b"g", b'g', b"", 10), b"10 path=r\n");
    check(
        tar(&[global, file(b"r", b"")]),
        "bad archive: it has a global header that renames or resizes",
    );
}

#[test]
fn set_id_bits_are_taken_off() {
    let with_mode = |mut block: Vec<u8>| {
        block[100..108].copy_from_slice(b"0007755\0");
        checked(block)
    };
    let parts = [with_mode(directory(b"r/d")), with_mode(file(b"r/f", b"x"))];
    let parts = [vec![directory(b"r")], parts.to_vec()].concat();
    check(tar(&parts), r#"["new/ 755", "new/d/ 1755", "new/f 1755 \"x\" x1"]"#);
}

#[test]
fn a_name_that_was_not_asked_for_is_not_used() {
    let folder = TempDir::new().unwrap();
    Local.put(archive(tar(&[file(b".bashrc", b"x")])), folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["root 755 \"x\" x1"]);
}

#[test]
fn endings() {
    let whole = tar(&[directory(b"r/"), file(b"r/a", &[7; 1000])]);
    // Cut anywhere, at the borders of blocks too, nothing of it arrives.
    for length in (0..whole.len()).step_by(256) {
        check(whole[..length].to_vec(), "the stream ended before the archive did");
    }
    let arrived = r#"["new/ 755", "new/a 755 \"1000 bytes\" x1"]"#;
    check(whole.clone(), arrived);
    check([whole.clone(), vec![0; 9000]].concat(), arrived);
    check(
        [whole.clone(), vec![0; 5 << 20]].concat(),
        "bad archive: its stream goes on after its end",
    );
    let mut lone = whole[..whole.len() - 512].to_vec();
    lone.extend_from_slice(&file(b"r/b", b"x"));
    check(lone, "bad archive: a single block of zeros is in its midst");
}

#[test]
fn an_error_at_the_very_end_is_one() {
    struct Fails(Cursor<Vec<u8>>);
    impl Read for Fails {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(io::Error::other("lost")),
                read => Ok(read),
            }
        }
    }
    let folder = TempDir::new().unwrap();
    let tar = Fails(Cursor::new(tar(&[file(b"r", b"x")])));
    let error = Local.put(Archive::from_tar(tar, "root"), folder.path()).unwrap_err();
    assert!(said(&error).ends_with(": lost"), "{}", said(&error));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn every_changed_byte_leaves_nothing_outside() {
    let whole = tar(&[
        directory(b"r/"),
        symlink(b"r/l", b"../.."),
        with_content(header(b"x", b'x', b"", 12), b"12 path=r/p\n"),
        file(b"r/f", b"x"),
        hard_link(b"r/h", b"r/f"),
    ]);
    let folder = TempDir::new().unwrap();
    // The bytes that are something, and one after each of them.
    for at in (0..whole.len()).filter(|&at| whole[at] != 0 || at > 0 && whole[at - 1] != 0) {
        for value in [[0, b'/'], [b'.', 0xff]][at % 2] {
            let mut changed = whole.clone();
            changed[at] = value;
            let block = at / 512 * 512;
            if changed[block + 257..block + 262] == *b"ustar" {
                let sealed = checked(changed[block..block + 512].to_vec());
                changed[block..block + 512].copy_from_slice(&sealed);
            }
            let _ = Local.put(archive(changed), &folder.path().join("into"));
            let _ = fs::remove_dir_all(folder.path().join("into"));
            let _ = fs::remove_file(folder.path().join("into"));
            assert_eq!(names(folder.path()), [""; 0], "byte {at} as {value}");
        }
    }
}

//! Files with holes, on request.

use std::fs::File;
use std::os::unix::fs::FileExt;

use thither_place::archive::{Preserve, get_preserving};

use super::put::{ByCommand, made};
use super::*;

const SPARSE: Preserve = Preserve { owner: false, xattr: false, sparse: true };

/// How a file's content ends and how much of the disk it takes, in KiB.
fn used(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() / 2
}

/// Files of all sorts with holes: at the beginning, in the midst, at the end, or nothing else.
fn holes() -> TempDir {
    let folder = made("mkdir a");
    let make = |name: &str, size: u64, data: &[(u64, &[u8])]| {
        let file = File::create(folder.path().join("a").join(name)).unwrap();
        for (offset, bytes) in data {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file.set_len(size).unwrap();
    };
    make("nothing", 5_000_000, &[]);
    make("end", 5_000_003, &[(0, b"begin")]);
    make("midst", 9_000_003, &[(0, b"begin"), (9_000_000, b"end")]);
    make("small", 100_000, &[(70_000, b"x")]);
    make("plain", 8192, &[(0, &[1; 8192])]);
    let long = "n".repeat(120);
    make(&long, 3_000_000, &[(2_000_000, b"long")]);
    folder
}

#[test]
fn holes_stay_holes() {
    let ways: [(&str, &dyn Place, &dyn Place); 4] = [
        ("files", &Local, &Local),
        ("to tar", &Local, &ByCommand),
        ("from tar", &ByCommand, &Local),
        ("from tar to tar", &ByCommand, &ByCommand),
    ];
    for (way, from, to) in ways {
        let folder = holes();
        let path = |name: &str| folder.path().join(name);
        // By our own hands, too: whoever wants to see what passes keeps the kernel from doing it.
        for (new, tapped) in [("new", false), ("tapped", true)] {
            let mut archive = get_preserving(from, &path("a"), SPARSE).unwrap();
            if tapped {
                archive = archive.tapped(|_| ());
            }
            to.put(archive, &path(new)).unwrap();
            for entry in fs::read_dir(path("a")).unwrap() {
                let name = entry.unwrap().file_name();
                let (old, new) = (path("a").join(&name), path(new).join(&name));
                assert!(fs::read(&old).unwrap() == fs::read(&new).unwrap(), "{way} {name:?}");
                assert!(used(&new) <= used(&old) + 8, "{way} {name:?} {}", used(&new));
            }
        }
    }
}

#[test]
fn a_huge_one_takes_no_time() {
    let ways: [(&str, &'static dyn Place, &'static dyn Place); 3] = [
        ("files", &Local, &Local),
        ("to tar", &Local, &ByCommand),
        ("from tar", &ByCommand, &Local),
    ];
    for (way, from, to) in ways {
        let folder = made("mkdir a");
        let path = |name: &str| folder.path().join(name);
        let file = File::create(path("a/huge")).unwrap();
        file.write_all_at(b"x", 5 << 40).unwrap();
        drop(file);
        let (a, new) = (path("a"), path("new"));
        // To read it all would take hours.
        testkit::within_deadline("a copy of a huge file", move || {
            let archive = get_preserving(from, &a, SPARSE).unwrap();
            to.put(archive, &new).unwrap();
        });
        let mut end = [0; 1];
        let copied = File::open(path("new/huge")).unwrap();
        copied.read_exact_at(&mut end, 5 << 40).unwrap();
        assert_eq!((end, copied.metadata().unwrap().len()), (*b"x", (5 << 40) + 1), "{way}");
    }
}

#[test]
fn every_format_of_gnus() {
    let Ok(gnu) = testkit::find_program("tar") else { testkit::skip!("tar is missing") };
    for (version, is_read) in [("1.0", true), ("0.1", true), ("0.0", false)] {
        let folder = holes();
        let output = std::process::Command::new(&gnu)
            .args(["--format=posix", "-cSf", "-", &format!("--sparse-version={version}"), "a"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let read = |archive: Archive| Local.put(archive, &folder.path().join("new"));
        let refused = read(archive(output.stdout.clone())).unwrap_err();
        assert!(said(&refused).contains("is stored as a sparse file"), "{}", said(&refused));
        match read(archive(output.stdout).preserving(SPARSE)) {
            Ok(()) => {
                assert!(is_read, "{version}");
                for entry in fs::read_dir(folder.path().join("a")).unwrap() {
                    let name = entry.unwrap().file_name();
                    let of = |dir: &str| fs::read(folder.path().join(dir).join(&name)).unwrap();
                    assert!(of("a") == of("new"), "{version} {name:?}");
                }
            }
            Err(error) => assert!(!is_read, "{version}: {}", said(&error)),
        }
    }
}

/// A file that its records say to be sparse, with this content.
fn sparse(records: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
        text.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    let extended = with_content(header(b"x", b'x', b"", text.len() as u64), &text);
    [directory(b"r/"), extended, file(b"r/GNUSparseFile.0/f", content)].concat()
}

#[test]
fn hostile_maps() {
    let one = |map: &str, data: &[u8]| {
        let mut content = map.as_bytes().to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        content.extend_from_slice(data);
        content
    };
    let version =
        [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "r/f")];
    let check = |size: &str, content: &[u8], expected: &str| {
        let folder = TempDir::new().unwrap();
        let records = [&version[..], &[("GNU.sparse.realsize", size)]].concat();
        let stream = tar(&[sparse(&records, content)]);
        let result = Local.put(archive(stream).preserving(SPARSE), &folder.path().join("new"));
        let text = match &result {
            Ok(()) => format!("{:?}", fs::metadata(folder.path().join("new/f")).unwrap().len()),
            Err(error) => said(error).rsplit(": ").next().unwrap().to_owned(),
        };
        assert_eq!(text, expected);
        assert_eq!(result.is_ok(), !names(folder.path()).is_empty());
    };
    check("9", &one("1\n4\n1\n", b"x"), "9");
    check("9", &one("0\n", b""), "9");
    let wrong = "`r/f` is a sparse file whose map is wrong";
    check("4", &one("1\n4\n1\n", b"x"), wrong);
    check("9", &one("1\n4\n1\n", b"xy"), wrong);
    check("9", &one("1\n4\n2\n", b"x"), wrong);
    check("9", &one("2\n4\n1\n0\n1\n", b"xy"), wrong);
    check("9", &one("1\n18446744073709551615\n1\n", b"x"), wrong);
    check("9", &one("99999999\n", b"x"), "a sparse file has too many parts");
    check("9", &one("1\n4", b""), "the map of a sparse file is malformed");
    check("9", &one("x\n", b""), "the map of a sparse file is malformed");
    check("9", b"1\n4\n1\n", "the map of a sparse file is cut short");
    check("9", &[b'1'; 512], "the map of a sparse file is malformed");
    check("99999999999999999999", &one("0\n", b""), "a number of a sparse file is none");
    // Larger than any file may be.
    check("9223372036854775807", &one("0\n", b""), "File too large (os error 27)");
}

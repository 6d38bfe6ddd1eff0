//! Copies that succeed.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use testkit::within_deadline;

use thither_python::Python;

use crate::{WAYS, content, names, python, silent};

/// There and here, with mode and time.
#[track_caller]
fn check(python: fn() -> Python, length: usize, mode: u32) {
    within_deadline("a copy each way", move || {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, third] = ["a", "b", "c"].map(|name| folder.path().join(name));
        fs::write(&first, content(length)).unwrap();
        fs::set_permissions(&first, Permissions::from_mode(mode)).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_001, 987_654_321);
        File::open(&first).unwrap().set_modified(changed).unwrap();
        let py = python();
        for (put, from, to) in [(true, &first, &second), (false, &first, &third)] {
            let mut seen = Vec::new();
            match put {
                true => py.putfile(from, to, &mut |at| seen.push((at.done, at.total))),
                false => py.getfile(from, to, &mut |at| seen.push((at.done, at.total))),
            }
            .unwrap();
            assert!(fs::read(to).unwrap() == content(length), "{length}: another content");
            let about = fs::metadata(to).unwrap();
            assert_eq!(about.mode() & 0o7777, mode & 0o777, "{length}");
            assert_eq!(about.modified().unwrap(), changed, "{length}");
            let total = (length > 0).then_some(length as u64);
            assert_eq!(seen.last(), Some(&(length as u64, total)), "{length}");
            assert!(seen.is_sorted() && seen.len() <= length / (1 << 20) + 1, "{seen:?}");
        }
        assert_eq!(names(folder.path()), ["a", "b", "c"]);
    });
}

#[test]
fn of_every_length() {
    for length in [0, 1, 65535, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (9 << 20) + 5] {
        for python in WAYS {
            check(python, length, 0o640);
        }
    }
}

#[test]
fn modes_are_kept_without_set_id_bits() {
    for mode in [0o4755, 0o2777, 0o1400, 0o600] {
        for python in WAYS {
            check(python, 3 << 20, mode);
        }
    }
}

#[test]
fn names_that_are_not_utf8() {
    within_deadline("a name of any bytes", || {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("here");
        fs::write(&here, content(2 << 20)).unwrap();
        let mut long = vec![0xff; 255];
        long[0] = b'a';
        for name in [&b"caf\xe9 \x80"[..], "é".as_bytes(), &long] {
            let there = folder.path().join(OsStr::from_bytes(name));
            let back = folder.path().join(OsStr::from_bytes(&[&name[1..], b"z"].concat()));
            for python in WAYS {
                let py = python();
                py.putfile(&here, &there, &mut silent).unwrap();
                assert!(fs::read(&there).unwrap() == content(2 << 20));
                py.getfile(&there, &back, &mut silent).unwrap();
                assert!(fs::read(&back).unwrap() == content(2 << 20));
            }
        }
    });
}

#[test]
fn a_file_that_does_not_say_its_size() {
    within_deadline("/proc", || {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("status");
        let py = python();
        let mut total = Some(1);
        py.getfile("/proc/self/status", &here, &mut |at| total = at.total).unwrap();
        assert_eq!(total, None);
        let text = fs::read_to_string(&here).unwrap();
        assert!(text.contains(&format!("\nPid:\t{}\n", py.info().pid)), "{text}");
        py.putfile("/proc/self/status", folder.path().join("b"), &mut silent).unwrap();
        let text = fs::read_to_string(folder.path().join("b")).unwrap();
        assert!(text.contains(&format!("\nPid:\t{}\n", std::process::id())), "{text}");
    });
}

#[test]
fn a_file_and_a_link_are_replaced() {
    within_deadline("both ways", || {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("new"), content(2 << 20)).unwrap();
        for (put, python) in WAYS.into_iter().flat_map(|way| [(true, way), (false, way)]) {
            let py = python();
            fs::write(at("old"), "old").unwrap();
            for (text, name) in [("old", "link"), ("nowhere", "dangling")] {
                let _ = fs::remove_file(at(name));
                symlink(at(text), at(name)).unwrap();
                match put {
                    true => py.putfile(at("new"), at(name), &mut silent),
                    false => py.getfile(at("new"), at(name), &mut silent),
                }
                .unwrap();
                assert!(fs::symlink_metadata(at(name)).unwrap().is_file(), "{name}");
                assert!(fs::read(at(name)).unwrap() == content(2 << 20));
            }
            assert_eq!(fs::read(at("old")).unwrap(), b"old");
        }
        assert_eq!(names(folder.path()), ["dangling", "link", "new", "old"]);
    });
}

/// What the copy has when the file is changed in the midst of it: the whole of its beginning, and no error.
#[track_caller]
fn check_changed(python: fn() -> Python, put: bool, change: fn(&File)) {
    within_deadline("a file that changes", move || {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let before = content(20 << 20);
        fs::write(&from, &before).unwrap();
        let file = File::options().write(true).open(&from).unwrap();
        let py = python();
        let mut changed = false;
        let mut progress = |_| {
            if !std::mem::replace(&mut changed, true) {
                change(&file);
            }
        };
        match put {
            true => py.putfile(&from, &to, &mut progress),
            false => py.getfile(&from, &to, &mut progress),
        }
        .unwrap();
        let (after, source) = (fs::read(&to).unwrap(), fs::read(&from).unwrap());
        let common = after.len().min(source.len());
        assert!(after[..common] == source[..common] && common >= 10 << 20, "{}", after.len());
        assert_eq!(fs::metadata(&to).unwrap().len(), after.len() as u64);
        assert_eq!(names(folder.path()), ["from", "to"]);
    });
}

#[test]
fn a_file_that_grows_or_shrinks_meanwhile() {
    for put in [true, false] {
        for python in WAYS {
            check_changed(python, put, |file| file.set_len(25 << 20).unwrap());
            check_changed(python, put, |file| file.set_len(10 << 20).unwrap());
        }
    }
}

#[test]
fn a_relative_name_is_one_of_the_working_folder_over_there() {
    within_deadline("a relative name", || {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("here");
        fs::write(&here, content(2 << 20)).unwrap();
        for python in WAYS {
            let py = python();
            py.get("os.chdir").unwrap().call1::<()>((folder.path(),)).unwrap();
            py.putfile(&here, "there", &mut silent).unwrap();
            assert_eq!(names(folder.path()), ["here", "there"]);
            py.getfile("there", folder.path().join("back"), &mut silent).unwrap();
            assert!(fs::read(folder.path().join("back")).unwrap() == content(2 << 20));
            fs::remove_file(folder.path().join("there")).unwrap();
            fs::remove_file(folder.path().join("back")).unwrap();
        }
    });
}

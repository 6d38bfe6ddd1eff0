//! What is left out on request.

use thither_place::archive::Patterns;

use super::put::{ByCommand, made};
use super::*;

/// What is copied of `a` without what these patterns match, from the file system and from a stream.
#[track_caller]
fn check(script: &str, patterns: &[&[u8]], expected: &[&str]) {
    let folder = made(script);
    let path = |name: &str| folder.path().join(name);
    let patterns = patterns.iter().map(|pattern| std::ffi::OsStr::from_bytes(pattern));
    let patterns = Patterns::new(patterns).unwrap();
    for (name, place) in [("new", &Local as &dyn Place), ("other", &ByCommand)] {
        let patterns = patterns.clone();
        let archive = place.get(&path("a")).unwrap();
        let archive = archive.filtered(move |path, dir| !patterns.match_path(path, dir));
        Local.put(archive, &path(name)).unwrap();
        assert_eq!(names(&path(name)), expected, "{name}");
    }
}

#[test]
fn names_and_folders() {
    let script = "mkdir -p a/b/c a/d a/e/d; touch a/b/x.o a/b/c/y.o a/b/c/z a/d/z a/e/d/z a/f; ln -s f a/l.o";
    check(
        script,
        &[b"*.o", b"/d"],
        &[
            "b/ 755",
            "b/c/ 755",
            "b/c/z 644 \"\" x1",
            "e/ 755",
            "e/d/ 755",
            "e/d/z 644 \"\" x1",
            "f 644 \"\" x1",
        ],
    );
    check(script, &[b"d/", b"b/c", b"[f-l]*"], &["b/ 755", "b/x.o 644 \"\" x1", "e/ 755"]);
    check(script, &[b"**"], &[]);
    let odd = "mkdir a; cd a; touch \"$(printf '\\377\\n')\" \"$(printf 'b\\377\\n')\"";
    check(odd, &[b"\xff*"], &["b\\xff 644 \"\" x1"]);
}

#[test]
fn what_is_left_out_is_not_read() {
    let folder = made("mkdir -p a/secret; head -c 300000 /dev/zero > a/large; echo x > a/f");
    let read = |patterns: &[&str]| {
        let patterns = Patterns::new(patterns).unwrap();
        let archive = Local.get(&folder.path().join("a")).unwrap();
        let mut told = 0;
        let (sender, receiver) = std::sync::mpsc::channel();
        let archive = archive.watched(move |event| {
            if let Event::Content(bytes) = event {
                sender.send(bytes).map_err(io::Error::other)?;
            }
            Ok(())
        });
        let archive = archive.filtered(move |path, dir| !patterns.match_path(path, dir));
        let mut bytes = Vec::new();
        archive.into_tar().read_to_end(&mut bytes).unwrap();
        told += receiver.iter().sum::<u64>();
        told
    };
    assert_eq!(read(&[]), 300_002);
    assert_eq!(read(&["large"]), 2);
}

#[test]
fn a_folder_that_is_left_out_is_not_opened() {
    let folder = made("mkdir -p a/b; touch a/f");
    // It goes while it is looked at: whoever opened it would know.
    let archive = Local.get(&folder.path().join("a")).unwrap();
    let b = folder.path().join("a/b");
    let archive = archive.watched(|event| match event {
        Event::LeftOut { what, .. } => Err(io::Error::other(what)),
        _ => Ok(()),
    });
    let archive = archive.filtered(move |path, dir| {
        if path == Path::new("b") && dir {
            fs::remove_dir(&b).unwrap();
        }
        path != Path::new("b")
    });
    Local.put(archive, &folder.path().join("new")).unwrap();
    assert_eq!(names(&folder.path().join("new")), ["f 644 \"\" x1"]);
}

#[test]
fn another_name_of_what_is_left_out() {
    let folder = made("mkdir a; echo x > a/b; ln a/b a/c; ln a/b a/d");
    let path = |name: &str| folder.path().join(name);
    let without_b = |archive: Archive| archive.filtered(|path, _| path != Path::new("b"));
    Local.put(without_b(Local.get(&path("a")).unwrap()), &path("new")).unwrap();
    assert_eq!(names(&path("new")), ["c 644 \"x\\\\n\" x2", "d 644 \"x\\\\n\" x2"]);
    let parts = [directory(b"a/"), file(b"a/b", b"x"), hard_link(b"a/c", b"a/b")];
    let error = Local.put(without_b(archive(tar(&parts))), &path("other")).unwrap_err();
    let said = said(&error);
    let text = "`c` is another name of `b`, which is left out, and has no content of its own";
    assert!(said.ends_with(text), "{said}");
    assert!(!path("other").exists());
}

#[test]
fn a_stream_without_the_folders_of_what_it_has() {
    let folder = made("");
    let parts = [file(b"a/b/x", b"x"), file(b"a/c", b"y")];
    let archive = archive(tar(&parts)).filtered(|path, _| path != Path::new("b/x"));
    Local.put(archive, &folder.path().join("new")).unwrap();
    assert_eq!(names(&folder.path().join("new")), ["c 755 \"y\" x1"]);
}

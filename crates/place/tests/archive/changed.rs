//! What changes while it is read.

use std::fs::OpenOptions;
use std::io::Write;

use super::put::made;
use super::*;

/// Copies `a/f` while this happens to it, once so many bytes of it were read.
#[track_caller]
fn check(size: usize, tapped: bool, change: fn(&Path), expected: &str) {
    let folder = made("mkdir a; echo x > a/e");
    let path = folder.path().join("a/f");
    fs::write(&path, vec![7; size]).unwrap();
    let changed = path.clone();
    let mut changed = Some(changed);
    let archive = Local.get(&folder.path().join("a")).unwrap();
    let archive = archive.watched(move |event| {
        if let Event::Content(1000..) = event
            && let Some(path) = changed.take()
        {
            change(&path);
        }
        Ok(())
    });
    let archive = if tapped { archive.tapped(|_| ()) } else { archive };
    let found = match Local.put(archive, &folder.path().join("new")) {
        Ok(()) => "done".to_owned(),
        Err(error) => {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            said(&error).split_once(": ").unwrap().1.to_owned()
        }
    };
    assert_eq!(found, expected);
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap();
}

/// In the same second, but for certain at another time.
fn touch(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.set_modified(before + std::time::Duration::from_nanos(1)).unwrap();
}

#[test]
fn a_large_file() {
    for tapped in [false, true] {
        let changed = if tapped { "read" } else { "copy" };
        let changed = format!("cannot {changed} `a/f`: it changed while it was read");
        // Whoever copies it says so; the file is the same.
        let changed = changed.replace("copy", "read");
        check(20_000_000, tapped, append, &changed);
        check(20_000_000, tapped, touch, &changed);
        check(20_000_000, tapped, |_| (), "done");
    }
}

#[test]
fn a_file_that_becomes_shorter() {
    let shorter = |path: &Path| {
        OpenOptions::new().write(true).open(path).unwrap().set_len(1000).unwrap();
    };
    let text = "cannot read `a/f`: it became shorter while it was read";
    check(20_000_000, true, shorter, text);
}

#[test]
fn by_tar_over_there() {
    let folder = made("mkdir a; echo x > a/e; echo y > a/f");
    let programs = TempDir::new().unwrap();
    // As GNU's tar says of it, at its end.
    let script = "#!/bin/sh
/bin/tar \"$@\" || exit
case \"$*\" in *-cf*) echo 'tar: ./a/f: file changed as we read it' >&2; exit 1 ;; esac\n";
    testkit::write_program(&programs.path().join("tar"), script);
    struct Changing(TempDir);
    impl Place for Changing {
        fn spawn(
            &self,
            command: &thither_place::Command,
        ) -> thither_place::Result<thither_place::Process> {
            let path = format!("{}:/usr/bin:/bin", self.0.path().display());
            Local.spawn(&command.clone().env("PATH", path))
        }
    }
    let place = Changing(programs);
    let archive = place.get(&folder.path().join("a")).unwrap();
    let error = Local.put(archive, &folder.path().join("new")).unwrap_err();
    let text = said(&error);
    assert!(text.ends_with(": tar: ./a/f: file changed as we read it"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

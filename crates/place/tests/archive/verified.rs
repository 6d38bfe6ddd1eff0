//! What has arrived, compared with what was read.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use thither_place::archive::{Preserve, Sums, Verified, verify};
use thither_place::{Command, Process, Result};

use super::put::{ByCommand, made};
use super::*;

/// This machine by commands, with other programs and without those that it has.
struct With(TempDir);

impl With {
    fn programs(programs: &[(&str, &str)]) -> With {
        let folder = TempDir::new().unwrap();
        for (name, text) in programs {
            testkit::write_program(&folder.path().join(name), &format!("#!/bin/sh\n{text}\n"));
        }
        With(folder)
    }

    /// Only these of the machine's own.
    fn only(names: &[&str]) -> std::result::Result<With, String> {
        let folder = TempDir::new().unwrap();
        let basic = ["sh", "tar", "mkdir", "rm", "mv", "chmod", "printf", "echo"];
        for name in basic.iter().chain(names) {
            let program = match *name {
                // What is on the PATH may be a script that needs more of it.
                "python3" => python()?,
                name => testkit::find_program(name)?,
            };
            std::os::unix::fs::symlink(program, folder.path().join(name)).unwrap();
        }
        Ok(With(folder))
    }
}

fn python() -> std::result::Result<PathBuf, String> {
    let python = testkit::find_program("python3")?;
    let print = ["-c", "import sys; print(sys.executable, end='')"];
    let output = std::process::Command::new(python).args(print).output().unwrap();
    Ok(String::from_utf8(output.stdout).unwrap().into())
}

impl Place for With {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let own = self.0.path().join("sh").exists();
        let rest = if own { "" } else { ":/usr/bin:/bin" };
        let path = format!("{}{rest}", self.0.path().display());
        Local.spawn(&command.clone().env("PATH", path))
    }
}

/// A place that changes a byte of what is put there.
struct Tampering<P>(P, &'static str);

impl<P: Place> Place for Tampering<P> {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.0.spawn(command)
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.0.get(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        let mut tar = Vec::new();
        archive.into_tar().read_to_end(&mut tar).unwrap();
        let marked = self.1.as_bytes();
        if let Some(at) = tar.windows(marked.len()).position(|bytes| bytes == marked) {
            tar[at] ^= 1;
        }
        self.0.put(self::archive(tar).renamed(path.file_name().unwrap()), path)
    }
}

fn sample() -> TempDir {
    made(
        "mkdir -p a/s; printf precious > a/f; printf other > a/s/g; ln a/f a/s/twin; ln -s f a/l; : > a/empty
         head -c 300000 /dev/zero > a/large; printf odd > \"$(printf 'a/o\\nd\\\\d\\377')\"; chmod 0 a/s/g",
    )
}

fn copied(place: &dyn Place, folder: &Path) -> Result<Verified> {
    let sums = Sums::default();
    let archive = sums.of(Local.get(&folder.join("a")).unwrap());
    place.put(archive, &folder.join("new"))?;
    verify(place, &folder.join("new"), &sums, &mut || Ok(()))
}

#[track_caller]
fn check(place: &dyn Place, by: Option<&str>) {
    let folder = sample();
    fs::remove_file(folder.path().join(Path::new(std::ffi::OsStr::from_bytes(b"a/o\nd\\d\xff"))))
        .unwrap();
    let verified = copied(place, folder.path()).unwrap();
    assert_eq!(verified, Verified { files: 5, by: by.map(str::to_owned) });
}

#[test]
fn ways() {
    check(&Local, None);
    check(&ByCommand, Some("sha256sum"));
    for (program, needs) in [
        ("shasum", &["shasum", "xargs", "perl"][..]),
        ("openssl", &["openssl", "xargs"]),
        ("python3", &["python3"]),
    ] {
        match With::only(needs) {
            Ok(place) => check(&place, Some(program)),
            Err(reason) => testkit::skip!("{reason}"),
        }
    }
    check(&With::only(&[]).unwrap(), None);
    check(&With::programs(&[("sha256sum", "exit 1")]), None);
}

#[test]
fn names_that_programs_print_otherwise() {
    let folder = sample();
    let verified = copied(&ByCommand, folder.path()).unwrap();
    assert_eq!(verified, Verified { files: 6, by: None });
}

#[test]
fn what_was_tampered_with() {
    for place in [&Tampering(Local, "precious") as &dyn Place, &Tampering(ByCommand, "precious")] {
        let folder = sample();
        let error = copied(place, folder.path()).unwrap_err();
        let text = said(&error).replace(folder.path().to_str().unwrap(), "F");
        let what = "its content is another than was read, and so it is with 1 more";
        assert_eq!(text, format!("cannot verify `F/new/f`: {what}"));
    }
    let folder = sample();
    let error = copied(&Tampering(ByCommand, "odd"), folder.path()).unwrap_err();
    assert!(said(&error).ends_with("its content is another than was read"));
}

#[test]
fn what_is_not_there() {
    let folder = sample();
    let sums = Sums::default();
    let path = |name: &str| folder.path().join(name);
    Local.put(sums.of(Local.get(&path("a")).unwrap()), &path("new")).unwrap();
    fs::remove_file(path("new/s/g")).unwrap();
    let error = verify(&ByCommand, &path("new"), &sums, &mut || Ok(())).unwrap_err();
    let text = said(&error).replace(folder.path().to_str().unwrap(), "F");
    assert_eq!(text, "cannot verify `F/new/s/g`: it is not there");
}

#[test]
fn what_was_there_before_is_not_read() {
    /// This machine, which tells what is read of it.
    struct Telling(Arc<Mutex<Vec<PathBuf>>>);
    impl Place for Telling {
        fn spawn(&self, command: &Command) -> Result<Process> {
            Local.spawn(command)
        }

        fn get(&self, path: &Path) -> Result<Archive> {
            let told = self.0.clone();
            Ok(Local.get(path)?.watched(move |event| {
                if let Event::Entry(entry) = event {
                    told.lock().unwrap().push(entry.path.clone());
                }
                Ok(())
            }))
        }
    }
    let folder = made("mkdir -p a/s new/deep; echo x > a/s/f; echo y > new/deep/large");
    let sums = Sums::default();
    let path = |name: &str| folder.path().join(name);
    Local.put(sums.of(Local.get(&path("a/.")).unwrap()), &path("new")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let verified = verify(&Telling(told.clone()), &path("new"), &sums, &mut || Ok(())).unwrap();
    assert_eq!(verified.files, 1);
    assert_eq!(*told.lock().unwrap(), ["", "s", "s/f"].map(PathBuf::from));
}

#[test]
fn holes_count_as_zeros() {
    let folder = made("mkdir a");
    let path = |name: &str| folder.path().join(name);
    fs::File::create(path("a/f")).unwrap().set_len(3_000_000).unwrap();
    let preserve = Preserve { sparse: true, ..Preserve::default() };
    for (new, place) in [("new", &Local as &dyn Place), ("other", &ByCommand)] {
        let sums = Sums::default();
        let archive = sums.of(Local.get(&path("a")).unwrap().preserving(preserve));
        place.put(archive, &path(new)).unwrap();
        assert_eq!(verify(place, &path(new), &sums, &mut || Ok(())).unwrap().files, 1);
    }
}

/// What is said of a copy to a place, which may go on for ever.
fn said_by(program: &'static str, idle: fn() -> io::Result<()>) -> String {
    testkit::within_deadline("sums", move || {
        let folder = sample();
        let sums = Sums::default();
        let path = |name: &str| folder.path().join(name);
        Local.put(sums.of(Local.get(&path("a")).unwrap()), &path("new")).unwrap();
        let place = With::programs(&[("sha256sum", program)]);
        said(&verify(&place, &path("new"), &sums, &mut || idle()).unwrap_err())
    })
}

#[test]
fn whoever_prints_too_much() {
    let said = said_by("while :; do echo too much; done", || Ok(()));
    assert!(said.ends_with("prints more than it should"), "{said}");
}

#[test]
fn whoever_waits_may_end_it() {
    let said = said_by("exec sleep 1000", || Err(io::Error::other("enough")));
    assert!(said.ends_with(": enough"), "{said}");
}

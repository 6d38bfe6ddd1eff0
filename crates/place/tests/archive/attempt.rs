//! Archives to commands over there: what each tar makes of the stream, and places that have another way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thither_place::archive::{Attempt, Attempted, try_put_by_command};
use thither_place::{Command, Process, Result};

use super::put::{ByCommand, made};
use super::*;

/// This machine with other programs before those of its own.
struct Before(TempDir);

impl Before {
    fn programs(programs: &[(&str, &str)]) -> Before {
        let folder = TempDir::new().unwrap();
        for (name, text) in programs {
            testkit::write_program(&folder.path().join(name), &format!("#!/bin/sh\n{text}\n"));
        }
        Before(folder)
    }
}

impl Place for Before {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        Local.spawn(&command.clone().env("PATH", path))
    }
}

/// A tar's name, and this machine with it.
type Tar = (&'static str, Box<dyn Place>);

/// GNU's tar, and busybox's if there is one.
fn tars() -> std::result::Result<[Tar; 2], String> {
    let busybox = testkit::find_program("busybox")?;
    let tar = format!("exec {} tar \"$@\"", busybox.display());
    Ok([("GNU", Box::new(ByCommand)), ("busybox", Box::new(Before::programs(&[("tar", &tar)])))])
}

macro_rules! tars {
    () => {
        match tars() {
            Ok(tars) => tars,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

/// Modes and whole seconds of what is in a folder.
fn times(folder: &Path) -> Vec<String> {
    let text = shown(folder);
    let without_fractions = |line: &str| line.rsplit_once('.').unwrap().0.to_owned();
    text.lines().skip(1).map(without_fractions).collect()
}

#[test]
fn directories_keep_their_times() {
    for (tar, place) in tars!() {
        let folder = made(
            "mkdir -p a/b/c a/d; echo x > a/b/c/x; echo y > a/d/y; ln -s b a/l; ln -s /etc a/d/l; ln a/d/y a/b/c/y; chmod 1711 a/d
             chmod 555 a/b; chmod 500 a/b/c
             touch -d @4000 a/d; touch -d @3000 a/b/c; touch -d @2000 a/b; touch -d @1000.5 a
             touch -h -d @5000 a/l a/d/l a/b/c/x a/d/y",
        );
        let path = |name: &str| folder.path().join(name);
        place.put(Local.get(&path("a")).unwrap(), &path("new")).unwrap();
        let expected = [
            "b/ 555 @2000",
            "b/c/ 500 @3000",
            "b/c/x 644 \"x\\\\n\" x1 @5000",
            "b/c/y 644 \"y\\\\n\" x2 @5000",
            "d/ 1711 @4000",
            "d/l -> /etc @5000",
            "d/y 644 \"y\\\\n\" x2 @5000",
            "l -> b @5000",
        ];
        assert_eq!(times(&path("a")), expected);
        // busybox's sets no times of links.
        let is_kept = |line: &&str| tar != "busybox" || !line.contains(" -> ");
        let new = times(&path("new"));
        let kept = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            lines.filter(is_kept).map(str::to_owned).collect()
        };
        let new = kept(&mut new.iter().map(String::as_str));
        assert_eq!(new, kept(&mut expected.into_iter()), "{tar}");
        assert_eq!(fs::metadata(path("new")).unwrap().mtime(), 1000, "{tar}");
    }
}

#[test]
fn a_directory_that_becomes_a_link_is_not_led_through() {
    for (tar, place) in tars!() {
        let folder = made("mkdir d e; touch -d @1000 e; chmod 700 e");
        let link = folder.path().join("e");
        let link = symlink(b"r/a", link.as_os_str().as_bytes());
        let parts = [directory(b"r/"), directory(b"r/a/"), link, file(b"r/f", b"x")];
        let to = folder.path().join("d");
        let error = place.put(archive(self::tar(&parts)), &to).unwrap_err();
        let said = said(&error);
        assert!(said.ends_with("leads through a symbolic link of the archive"), "{tar}: {said}");
        assert_eq!(names(&to), [""; 0], "{tar}");
        assert_eq!(times(folder.path())[1..], ["e/ 700 @1000"], "{tar}");
    }
}

#[test]
fn what_gnu_tar_says_of_a_failure_is_found() {
    let tar = "/bin/tar \"$@\"
case $1 in -x) ;; *) exit ;; esac
echo 'tar: root/f: Cannot write: No space left on device' >&2
echo 'tar: Exiting with failure status due to previous errors' >&2; exit 2";
    let folder = made("mkdir a; touch a/f");
    let place = Before::programs(&[("tar", tar)]);
    let from = Local.get(&folder.path().join("a")).unwrap();
    let error = place.put(from, &folder.path().join("b")).unwrap_err();
    assert!(said(&error).ends_with(": tar: root/f: Cannot write: No space left on device"));
    assert_eq!(names(folder.path()), ["a/ 755", "a/f 644 \"\" x1"]);
}

#[test]
fn what_is_said_over_there_is_escaped_and_bounded() {
    let tar = "case $1 in -x) ;; *) exit ;; esac
i=0; while [ $i -lt 2000 ]; do printf 'a\\033[31m' >&2; i=$((i + 1)); done; exit 1";
    let folder = made("mkdir a");
    let place = Before::programs(&[("tar", tar)]);
    let from = Local.get(&folder.path().join("a")).unwrap();
    let error = place.put(from, &folder.path().join("b")).unwrap_err();
    let said = said(&error);
    assert!(said.ends_with("a\\u{1b}[31m") && !said.contains('\x1b'), "{said}");
    // The last 8192 bytes, escaped.
    assert!(said.len() < 20_000, "{}", said.len());
}

fn never() -> io::Result<()> {
    Ok(())
}

const PATIENT: Attempt<'_> =
    Attempt { whole_seconds: true, silence: Duration::from_secs(60), still_there: &never };

/// Tries to copy `a` to `to`, and compares what is there, or what is said. An attempt that was not possible has left all
/// as it was, and the archive whole.
#[track_caller]
fn check(place: &dyn Place, to: &str, expected: &str) {
    let folder = made("mkdir -p a/s d e/a; echo x > a/s/x; echo f > f; touch -d @1000.5 a");
    let before = names(folder.path());
    let path = |name: &str| folder.path().join(name);
    let attempt = try_put_by_command(place, Local.get(&path("a")).unwrap(), &path(to), PATIENT);
    let found = match attempt {
        Ok(Attempted::Done) => "done".to_owned(),
        Ok(Attempted::Impossible(archive)) => {
            assert_eq!(names(folder.path()), before);
            Local.put(archive, &path("again")).unwrap();
            assert_eq!(names(&path("again")), names(&path("a")));
            "impossible".to_owned()
        }
        Err(error) => {
            assert_eq!(names(folder.path()), before);
            said(&error).replace(folder.path().to_str().unwrap(), "F")
        }
    };
    assert_eq!(found, expected);
    if found == "done" {
        let new = if path(to).join("a").exists() { path(to).join("a") } else { path(to) };
        assert_eq!(names(&new), names(&path("a")));
        let time = fs::metadata(&new).unwrap();
        // A directory that was there before keeps no time.
        assert!(to == "e" || (time.mtime(), time.mtime_nsec()) == (1000, 0));
    }
}

#[test]
fn attempts() {
    check(&ByCommand, "new", "done");
    check(&ByCommand, "d", "done");
    check(&ByCommand, "e", "done");
    let whole = "cannot copy to `F/f`: cannot replace F/f: it is no directory";
    check(&ByCommand, "f", whole);
    // What the other way says of it.
    check(&ByCommand, "nowhere/a", "impossible");
    check(&ByCommand, "new/", "impossible");
    check(&Before::programs(&[("mkdir", "exit 1")]), "new", "impossible");
    check(&Before::programs(&[("mkdir", "kill -9 $PPID")]), "new", "impossible");
    check(
        &Before::programs(&[("tar", "echo 'applet not found' >&2; exit 127")]),
        "new",
        "impossible",
    );
}

/// Without a shell, or with one that is none.
struct Strange(&'static str);

impl Place for Strange {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let program = thither_place::Program::Named(self.0.into());
        Local.spawn(&Command { program, ..command.clone() })
    }
}

/// With a variable that GNU's tar takes options from.
struct Optional;

impl Place for Optional {
    fn spawn(&self, command: &Command) -> Result<Process> {
        Local.spawn(&command.clone().env("TAR_OPTIONS", "--exclude=x"))
    }
}

#[test]
fn options_of_others_do_not_count() {
    check(&Optional, "new", "done");
    let folder = made("mkdir a; touch a/x");
    let path = |name: &str| folder.path().join(name);
    Local.put(Optional.get(&path("a")).unwrap(), &path("b")).unwrap();
    assert_eq!(names(&path("b")), ["x 644 \"\" x1"]);
}

#[test]
fn what_is_no_shell() {
    check(&Strange("/no/such/shell"), "new", "impossible");
    check(&Strange("/bin/true"), "new", "impossible");
    // It prints its arguments.
    check(&Strange("/bin/echo"), "new", "impossible");
}

#[test]
fn a_lost_place_is_an_error_at_once() {
    struct Lost;
    impl Place for Lost {
        fn spawn(&self, _: &Command) -> Result<Process> {
            Err(thither_place::Error::Disconnected { place: "there".into() })
        }
    }
    check(&Lost, "new", "connection to `there` lost");
}

#[test]
fn whoever_stands_still_is_asked_after() {
    let folder = made("mkdir a b; head -c 3000000 /dev/zero > a/x");
    let go = folder.path().join("go");
    // It takes nothing until it may end.
    let wait = format!(
        "case $1 in -x) ;; *) exit ;; esac; until [ -e {} ]; do sleep 0.01; done; exit 1",
        go.display()
    );
    let place = Before::programs(&[("tar", &wait)]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let still_there = move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => {
            fs::write(&go, "")?;
            Err(io::Error::other("it is gone"))
        }
    };
    let from = Local.get(&folder.path().join("a")).unwrap();
    let to = folder.path().join("b");
    let destination = to.clone();
    let result = testkit::within_deadline("an end", move || {
        let (silence, still_there) = (Duration::from_millis(1), &still_there);
        let attempt = Attempt { silence, still_there, ..PATIENT };
        try_put_by_command(&place, from, &destination, attempt).map(drop)
    });
    let error = result.unwrap_err();
    assert!(said(&error).ends_with(": it is gone"), "{}", said(&error));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(names(&to), [""; 0]);
}

#[test]
fn whoever_watches_ends_it_before_it_begins() {
    let folder = made("mkdir a b; touch a/x");
    let go = folder.path().join("go");
    let wait = format!("until [ -e {} ]; do sleep 0.01; done; exit 1", go.display());
    let place = Before::programs(&[("tar", &wait)]);
    let watcher = move |event: Event<'_>| match event {
        Event::Idle => {
            fs::write(&go, "")?;
            Err(io::Error::other("enough"))
        }
        _ => Ok(()),
    };
    let from = Local.get(&folder.path().join("a")).unwrap().watched(watcher);
    let to = folder.path().join("b");
    let destination = to.clone();
    let result = testkit::within_deadline("an end", move || {
        try_put_by_command(&place, from, &destination, PATIENT).map(drop)
    });
    let error = result.unwrap_err();
    assert!(said(&error).ends_with(": enough"), "{}", said(&error));
    assert_eq!(names(&to), [""; 0]);
}

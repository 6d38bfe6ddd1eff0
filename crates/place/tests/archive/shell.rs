//! Files where there is neither tar nor Python: by `sh` and a few programs.

use std::os::unix::fs::symlink as make_link;

use thither_place::{Command, Process, Program, Result};

use super::put::made;
use super::*;

/// What a place has: GNU's coreutils, or busybox; the shells of both sorts; `stat`, or `ls` alone.
struct Bare {
    folder: TempDir,
    shell: &'static [&'static str],
}

/// All that is needed of a place.
const NEEDED: [&str; 9] = ["cat", "chmod", "dd", "ln", "ls", "mkdir", "mv", "readlink", "rm"];

impl Bare {
    fn new(
        shell: &'static [&'static str],
        programs: &str,
        more: &[&str],
    ) -> std::result::Result<Bare, String> {
        testkit::find_program(shell[0])?;
        let folder = TempDir::new().unwrap();
        for name in NEEDED.iter().chain(more) {
            let program = match programs {
                "" => testkit::find_program(name)?,
                busybox => testkit::find_program(busybox)?,
            };
            make_link(program, folder.path().join(name)).unwrap();
        }
        Ok(Bare { folder, shell })
    }

    /// With another one in the place of a program.
    fn with(self, name: &str, script: &str) -> Bare {
        let path = self.folder.path().join(name);
        fs::remove_file(&path).unwrap();
        testkit::write_program(&path, &format!("#!/bin/sh\n{script}\n"));
        self
    }
}

impl Place for Bare {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let mut command = command.clone();
        if command.name() == "sh" {
            let program = testkit::find_program(self.shell[0]).unwrap();
            command.program = Program::Named(program.into());
            let words = self.shell[1..].iter().map(|word| (*word).into());
            command.args.splice(..0, words);
        }
        Local.spawn(&command.env("PATH", self.folder.path()))
    }
}

/// Runs for each of the places that there can be here.
macro_rules! for_each {
    ($check:expr) => {
        for (shell, programs, more) in [
            (&["dash"][..], "", &["stat", "touch"][..]),
            (&["bash"], "", &["stat", "touch"]),
            (&["bash"], "", &[]),
            (&["busybox", "sh"], "busybox", &["stat", "touch"]),
            (&["busybox", "sh"], "busybox", &[]),
        ] {
            match Bare::new(shell, programs, more) {
                Ok(place) => $check(&place, !more.is_empty(), programs.is_empty()),
                Err(reason) => testkit::skip!("{reason}"),
            }
        }
    };
}

const TREE: &str = r#"
    mkdir from to; cd from
    echo text >a; chmod 640 a; ln -s a l; ln -s '../no
    such ' 'li
nk'; : >empty; chmod 600 empty
    mkdir -p d/e .hidden ..more 'sp ace' "$(printf '*')"; chmod 2750 d; echo x >.hidden/.x; echo y >..more/..y; chmod 1777 .hidden
    head -c 5242883 /dev/urandom >d/big; chmod 755 d/big; printf x >"$(printf 'd/\377 \201\210\n')"
    printf y >d/"it's \"\$x\" \\ \`id\`"; printf z >./-n; printf 'a\0b\n' >"$(printf '*/?')"
    i=0; while [ $i -lt 200 ]; do echo $i >d/e/$i; i=$((i + 1)); done
    chmod 500 d/e; touch -d '2001-02-03 04:05:06.789012345' a d/big; touch -h -d @1000000000 l; touch -d @1100000000 d/e d .
"#;

/// Modes, contents and, if they are kept, times of what is in a folder. Set-id bits do not travel.
fn lines(folder: &Path, has_times: bool, has_fractions: bool) -> Vec<String> {
    let text = shown(folder).replace("2750", "750");
    let line = |line: &str| match (has_times, has_fractions) {
        (true, true) => line.to_owned(),
        (true, false) => line.rsplit_once('.').unwrap().0.to_owned(),
        (false, _) => line.rsplit_once(" @").unwrap().0.to_owned(),
    };
    text.lines().skip(1).map(line).collect()
}

#[test]
fn there_and_back() {
    for_each!(|place: &Bare, has_times, has_fractions| {
        let folder = made(TREE);
        let path = |name: &str| folder.path().join(name);
        let seen = |name: &str| lines(&path(name), has_times, has_fractions);
        place.put(Local.get(&path("from")).unwrap(), &path("to")).unwrap();
        let expected = seen("from");
        assert!(expected.len() > 200, "{expected:?}");
        assert_eq!(seen("to/from"), expected, "{:?}", place.shell);
        Local.put(place.get(&path("to/from")).unwrap(), &path("back")).unwrap();
        assert_eq!(seen("back"), expected, "{:?}", place.shell);
        assert_eq!(fs::read(path("back/d/big")).unwrap(), fs::read(path("from/d/big")).unwrap());
        for one in ["a", "empty", "d/big"] {
            place.put(place.get(&path("from").join(one)).unwrap(), &path("one")).unwrap();
            let [from, to] = [path("from").join(one), path("one")];
            assert_eq!(fs::read(from).ok(), fs::read(to).ok(), "{one}");
        }
        // Nothing is left under a temporary name.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    });
}

/// A place as of UBI-micro.
macro_rules! bare {
    () => {
        match Bare::new(&["bash"], "", &["stat", "touch"]) {
            Ok(place) => place,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

/// What is wrong with an archive of this; all of it is read.
#[track_caller]
fn wrong(place: &dyn Place, path: &Path) -> String {
    let mut archive = place.get(path).unwrap();
    loop {
        match archive.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => return "nothing".to_owned(),
            Err(error) => return said(&error),
        }
    }
}

#[test]
fn a_file_that_changes() {
    let changed = "it, or one that is read with it, changed while it was read";
    for (script, expected) in [
        ("/bin/cat \"$@\"; echo more >>\"$1\"", changed),
        ("echo more >>\"$1\"; /bin/cat \"$@\"", changed),
        ("printf . >\"$1\"; /bin/cat \"$@\"", ""),
        ("/bin/cat \"$@\"; touch -d @1 \"$1\"", changed),
        ("/bin/cat \"$@\"", "nothing"),
        ("/bin/cat \"$@\"; echo oops >&2; exit 1", "oops"),
    ] {
        let place = bare!().with("cat", &format!("PATH=/usr/bin:/bin; {script}"));
        let folder = made("mkdir d; echo text >d/a; echo text >d/b; echo text >d/c");
        let found = wrong(&place, &folder.path().join("d"));
        match expected {
            // What follows is taken for its content, and then nothing is where it should be.
            "" => assert!(found.contains("changed") || found.contains("ended"), "{found}"),
            expected => assert!(found.ends_with(expected), "{script}: {found}"),
        }
    }
}

#[test]
fn what_is_left_out() {
    let place = bare!();
    let folder = made("mkdir d; mkfifo d/f; echo x >d/x; ln -s /dev/null d/null");
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let also = told.clone();
    let archive = place.get(&folder.path().join("d")).unwrap().watched(move |event| {
        if let Event::LeftOut { path, what } = event {
            also.lock().unwrap().push(format!("{} {what}", path.display()));
        }
        Ok(())
    });
    Local.put(archive, &folder.path().join("e")).unwrap();
    assert_eq!(*told.lock().unwrap(), ["f a fifo"]);
    assert_eq!(names(&folder.path().join("e")), ["null -> /dev/null", "x 644 \"x\\\\n\" x1"]);
    let missing = place.get(&folder.path().join("no")).unwrap().root().unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_fails_leaves_all_as_it_was() {
    let folder = made(
        "mkdir from to; echo text >from/a; chmod 755 from/a; echo b >from/b; echo old >to/old",
    );
    let path = |name: &str| folder.path().join(name);
    let check = |place: Bare, expected: &str| {
        let error = place.put(Local.get(&path("from")).unwrap(), &path("to")).unwrap_err();
        assert!(said(&error).ends_with(expected), "{}", said(&error));
        assert_eq!(names(&path("to")), ["old 644 \"old\\\\n\" x1"]);
    };
    check(bare!().with("chmod", "echo no >&2; exit 1"), "no");
    let dd = "case $* in *bs=5*) echo full >&2; exit 1;; esac; exec /bin/dd \"$@\"";
    check(bare!().with("dd", dd), "full");
    // A stream that is cut short: what there is of it arrives and is removed.
    let cut = [directory(b"r/"), file(b"r/a", b"x"), header(b"r/b", b'0', b"", 9)].concat();
    let error = bare!().put(archive(cut), &path("to")).unwrap_err();
    assert!(said(&error).ends_with("the stream ended before the archive did"), "{}", said(&error));
    assert_eq!(names(&path("to")), ["old 644 \"old\\\\n\" x1"]);
    // As elsewhere, a directory does not replace a file.
    let error = bare!().put(Local.get(&path("from")).unwrap(), &path("to/old")).unwrap_err();
    assert!(said(&error).ends_with("it is no directory"), "{}", said(&error));
    // A path through a link is not even sent.
    let parts = [directory(b"r/"), symlink(b"r/l", b"/tmp"), file(b"r/l/f", b"x")];
    let error = bare!().put(super::archive(tar(&parts)), &path("to")).unwrap_err();
    assert!(said(&error).ends_with("leads through a symbolic link of the archive"));
    assert_eq!(names(&path("to")), ["old 644 \"old\\\\n\" x1"]);
}

#[test]
fn what_a_tar_may_hold() {
    let place = bare!();
    let folder = made("mkdir to");
    // Other names, the same name twice, and a file in the place of a link.
    let parts = [
        directory(b"r/"),
        file(b"r/a", b"one"),
        hard_link(b"r/h", b"r/a"),
        file(b"r/b", b"first"),
        file(b"r/b", b"second"),
        symlink(b"r/l", b"a"),
        file(b"r/l", b"link"),
    ];
    place.put(archive(tar(&parts)), &folder.path().join("to")).unwrap();
    let expected =
        ["a 755 \"one\" x2", "b 755 \"second\" x1", "h 755 \"one\" x2", "l 755 \"link\" x1"];
    assert_eq!(names(&folder.path().join("to/root")), expected);
}

#[test]
fn more_is_not_kept() {
    let place = bare!();
    let folder = made("mkdir d e; echo x >d/x");
    for preserve in [
        thither_place::archive::Preserve { owner: true, ..Default::default() },
        thither_place::archive::Preserve { xattr: true, ..Default::default() },
    ] {
        let archive = Local.get(&folder.path().join("d")).unwrap().preserving(preserve);
        let error = place.put(archive, &folder.path().join("e")).unwrap_err();
        assert_eq!(error.hint(), Some("install tar over there, or keep less"));
        let got =
            thither_place::archive::get_preserving(&place, &folder.path().join("d"), preserve);
        let error = got.unwrap().next_entry().unwrap_err();
        assert!(said(&error).contains("without `tar`"), "{}", said(&error));
    }
    assert_eq!(names(folder.path()), ["d/ 755", "d/x 644 \"x\\\\n\" x1", "e/ 755"]);
}

/// A place that tells what it likes: `ROOT` and `TOKEN` in it are what it was asked with.
struct Liar(&'static str);

impl Place for Liar {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let args: Vec<String> =
            command.args.iter().map(|arg| arg.to_str().unwrap().into()).collect();
        let told =
            self.0.replace("ROOT", &format!("{}/{}", args[3], args[4])).replace("TOKEN", &args[6]);
        let mut shell = command.clone();
        shell.args = ["-c", "printf \"$1\"", "sh", &told].map(Into::into).into();
        Local.spawn(&shell)
    }
}

#[test]
fn hostile_tellers() {
    // `\0` is spelled so that no digit behind it is taken for one of its own.
    let check = |told: &'static str, expected: &str| {
        let folder = made("mkdir d");
        let result = Liar(told)
            .get("/some/r".as_ref())
            .and_then(|archive| Local.put(archive, &folder.path().join("d")));
        let found = result.map_or_else(|error| said(&error), |()| "nothing".to_owned());
        assert!(found.ends_with(expected), "{told}: {found}");
        match expected {
            "nothing" => assert!(!names(folder.path()).is_empty()),
            _ => assert_eq!(names(folder.path()), ["d/ 755"], "{told}"),
        }
    };
    const D: &str = "\\000d\\000ROOT\\000\\000drwxr-xr-x 1 1\n\\000";
    let told = |rest: &str| -> &'static str { Box::leak(format!("{D}{rest}").into_boxed_str()) };
    let file = |name: &str, line: &str, rest: &str| {
        told(&format!("f\\000{name}\\000\\000{line}\n\\000{rest}"))
    };
    check(told("e\\000"), "nothing");
    check(told(""), "the stream ended before the archive did");
    check("\\000e\\000", "the stream ended before the archive did");
    check("\\000", "the stream ended before the archive did");
    check(told("e\\000e\\000"), "its stream goes on after its end");
    let line = "-rw-r--r-- 1 1";
    let good = file("ROOT/a", line, "xTOKEN\\000-rw-r--r-- 1 1\n\\000e\\000");
    check(good, "nothing");
    let short = file("ROOT/a", "-rw-r--r-- 3 1", "xTOKEN\\000-rw-r--r-- 3 1\n\\000e\\000");
    check(short, "changed while it was read");
    check(file("ROOT/a", "-rw-r--r-- 1000 1", "x"), "the stream ended before the archive did");
    check(file("ROOT/../a", line, "x"), "is no path below the root");
    check(file("ROOT//a", line, "x"), "is no path below the root");
    check(file("/etc/a", line, "x"), "the shell over there tells of something else");
    check(file("ROOTa", line, "x"), "the shell over there tells of something else");
    check(file("ROOT/a", "-rw-r--r-- -1 1", "x"), "tells what makes no sense");
    check(file("ROOT/a", "-rw-r--r-- 99999999999999999999 1", "x"), "tells what makes no sense");
    check(file("ROOT/a", "-rw-r--r-- 18446744073709551615 1", "x"), "a size that is too great");
    check(file("ROOT/a", "lrw-r--r-- 1 1", "x"), "changed while it was read");
    check(file("ROOT/a", "-rw", "x"), "tells what makes no sense");
    check(file("ROOT/a\\000ROOT/b", line, "x"), "tells what makes no sense");
    check(file("ROOT/d", "-rwsr-xr-x 0 1", "TOKEN\\000\\000e\\000"), "changed while it was read");
    check(
        told("l\\000ROOT/l\\000\\000lrwxrwxrwx 1 1\n\\000\n\\000e\\000"),
        "a symbolic link with a bad text",
    );
    check(
        told(
            "l\\000ROOT/l\\000\\000lrwxrwxrwx 1 1\n\\000/tmp\n\\000f\\000ROOT/l/f\\000\\000-rw-r--r-- 0 1\n\\000",
        ),
        "leads through a symbolic link of the archive",
    );
    check(told("z\\000ROOT/l\\000\\000-rwxrwxrwx 1 1\n\\000"), "tells what makes no sense");
    let many = told(&format!("f{}", "\\000ROOT/a".repeat(200)));
    check(many, "tells too much at once");
    check(told(Box::leak("x".repeat(100_000).into_boxed_str())), "is too long");
}

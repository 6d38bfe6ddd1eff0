//! Copies that fail leave nothing, and say what was wrong.

use std::fs::{self, File};
use std::path::Path;

use testkit::within_deadline;
use thither_python::{Cancel, Error, Python};

use crate::{WAYS, content, names, python, silent};

/// What both ways say of a source and a destination; `DIR` is the folder they are in, where nothing may be left.
#[track_caller]
fn check(from: &'static str, to: &'static str, expected: [&str; 2]) {
    for python in WAYS {
        let said = within_deadline("two copies", move || {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| match name.is_empty() {
                true => Path::new("").to_owned(),
                false => Path::new(&format!("{}/{name}", folder.path().display())).to_owned(),
            };
            fs::write(at("file"), content(2 << 20)).unwrap();
            fs::create_dir(at("folder")).unwrap();
            std::os::unix::fs::symlink("folder", at("link")).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                at("fifo"),
                rustix::fs::FileType::Fifo,
                0o600.into(),
                0,
            )
            .unwrap();
            let before = names(folder.path());
            let py = python();
            let said = [
                py.putfile(at(from), at(to), &mut silent),
                py.getfile(at(from), at(to), &mut silent),
            ]
            .map(|copied| {
                chain(&copied.unwrap_err()).replace(folder.path().to_str().unwrap(), "DIR")
            });
            assert_eq!(names(folder.path()), before);
            assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
            said
        });
        assert_eq!(said, expected);
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[test]
fn sources() {
    check(
        "missing",
        "new",
        [
            "cannot read \"DIR/missing\": No such file or directory (os error 2)",
            "FileNotFoundError: [Errno 2] No such file or directory: 'DIR/missing'",
        ],
    );
    check(
        "folder",
        "new",
        [
            "cannot read \"DIR/folder\": is a directory",
            "IsADirectoryError: [Errno 21] Is a directory: 'DIR/folder'",
        ],
    );
    check(
        "fifo",
        "new",
        [
            "cannot read \"DIR/fifo\": not a regular file",
            "OSError: [Errno 22] Not a regular file: 'DIR/fifo'",
        ],
    );
}

#[test]
fn destinations() {
    for folder in ["folder", "link", "folder/", "new/"] {
        let said = [
            format!("IsADirectoryError: [Errno 21] Is a directory: 'DIR/{folder}'"),
            format!("cannot write \"DIR/{folder}\": is a directory"),
        ];
        check("file", folder, [&said[0], &said[1]]);
    }
    check(
        "file",
        "fifo",
        [
            "FileExistsError: [Errno 17] Not a regular file, and so not replaced: 'DIR/fifo'",
            "cannot write \"DIR/fifo\": not a regular file, and so not replaced",
        ],
    );
    check(
        "file",
        "missing/new",
        [
            "FileNotFoundError: [Errno 2] No such file or directory: 'DIR/missing/new'",
            "cannot write \"DIR/missing/new\": No such file or directory (os error 2)",
        ],
    );
    check(
        "file",
        "file/new",
        [
            "NotADirectoryError: [Errno 20] Not a directory: 'DIR/file/new'",
            "cannot write \"DIR/file/new\": Not a directory (os error 20)",
        ],
    );
    check(
        "file",
        "",
        [
            "FileNotFoundError: [Errno 2] No such file or directory: ''",
            "cannot write \"\": entity not found",
        ],
    );
}

#[test]
fn what_may_not_be_read() {
    testkit::own_process!(|program| {
        let mut command = std::process::Command::new(program);
        testkit::as_user(&mut command);
        // That one may be where only root can go.
        command.env_remove("THITHER_TEST_PYTHON");
        command
    });
    within_deadline("a file of root's", || {
        let py = python();
        let folder = tempfile::tempdir().unwrap();
        let error = py.getfile("/proc/1/mem", folder.path().join("a"), &mut silent).unwrap_err();
        assert!(error.is_instance_of("PermissionError"), "{error}");
        assert!(error.to_string().contains("'/proc/1/mem'"), "{error}");
        let error = py.putfile("/proc/self/status", "/new", &mut silent).unwrap_err();
        assert_eq!(error.to_string(), "PermissionError: [Errno 13] Permission denied: '/new'");
    });
}

#[test]
fn no_space() {
    within_deadline("a limit of sizes", || {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, content(9 << 20)).unwrap();
        fs::write(&to, "old").unwrap();
        let py = python();
        // A file that may not grow: Python ignores SIGXFSZ, and writing fails.
        py.exec(
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))",
            (),
        )
        .unwrap();
        let error = py.putfile(&from, &to, &mut silent).unwrap_err();
        let said = error.to_string();
        assert_eq!(said, format!("OSError: [Errno 27] File too large: '{}'", to.display()));
        assert_eq!(names(folder.path()), ["from", "to"]);
        assert_eq!(fs::read(&to).unwrap(), b"old");
    });
}

/// What becomes of a copy that something is done to after its first part.
#[track_caller]
fn check_stopped(python: fn() -> Python, put: bool, stop: fn(&Python, &Cancel)) -> Error {
    within_deadline("a copy that is stopped", move || {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&to, "old").unwrap();
        File::create(&from).unwrap().set_len(64 << 20).unwrap();
        let cancel = Cancel::new();
        let py = python();
        let copier = py.clone().with_cancel(&cancel);
        let mut progress = |_| stop(&py, &cancel);
        let error = match put {
            true => copier.putfile(&from, &to, &mut progress),
            false => copier.getfile(&from, &to, &mut progress),
        }
        .unwrap_err();
        // Over there it goes when the interpreter does, if that was killed by nobody.
        drop(copier);
        let limit = testkit::DEADLINE;
        let left = || names(folder.path());
        testkit::wait_until(limit, "nothing of it", || left() == ["from", "to"]);
        assert_eq!(fs::read(&to).unwrap(), b"old");
        error
    })
}

#[test]
fn a_copy_that_is_cancelled_leaves_nothing() {
    for (put, python) in WAYS.into_iter().flat_map(|way| [(true, way), (false, way)]) {
        let error = check_stopped(python, put, |_, cancel| cancel.cancel());
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
}

#[test]
fn a_copy_whose_connection_is_lost_leaves_nothing() {
    for (put, python) in WAYS.into_iter().flat_map(|way| [(true, way), (false, way)]) {
        let error = check_stopped(python, put, |py, _| drop(py.clone().close()));
        assert!(matches!(error, Error::Closed { .. }), "{error}");
    }
}

#[test]
fn a_copy_whose_progress_panics_leaves_nothing() {
    within_deadline("a panic", || {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, content(3 << 20)).unwrap();
        for (put, python) in WAYS.into_iter().flat_map(|way| [(true, way), (false, way)]) {
            let py = python();
            let copy = || match put {
                true => py.putfile(&from, &to, &mut |_| std::panic::panic_any(7)),
                false => py.getfile(&from, &to, &mut |_| std::panic::panic_any(7)),
            };
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(copy));
            assert!(panic.unwrap_err().is::<i32>());
            assert_eq!(names(folder.path()), ["from"]);
            assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
        }
    });
}

//! Modules of this side.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use testkit::within_deadline;
use thither_python::{Error, Python};

use crate::python;

/// An interpreter that has the modules of a folder of these files.
fn with(files: &[(&str, &str)]) -> (Python, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in files {
        let file = folder.path().join("modules").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, source).unwrap();
    }
    let py = python();
    py.add_modules(folder.path().join("modules")).unwrap();
    (py, folder)
}

fn error_of(py: &Python, code: &str) -> Error {
    py.exec(code, ()).unwrap_err()
}

#[test]
fn packages_submodules_and_relative_imports() {
    within_deadline("imports", || {
        let (py, _folder) = with(&[
            ("thither_one.py", "x = 1\n"),
            ("thither_pkg/__init__.py", "from .a import y\nfrom . import b\n"),
            ("thither_pkg/a.py", "import thither_one\ny = thither_one.x + 1\n"),
            ("thither_pkg/b.py", "from .sub.c import z\n"),
            ("thither_pkg/sub/__init__.py", ""),
            ("thither_pkg/sub/c.py", "from ..a import y\nz = y + 1\n"),
            ("thither_space/inner/d.py", "w = __name__\n"),
            ("thither_latin.py", "# coding: latin-1\nname = 'caf\u{e9}'\n"),
        ]);
        let z: i64 = py.get("thither_pkg.b.z").unwrap().extract().unwrap();
        assert_eq!(z, 3);
        let w: String = py.get("thither_space.inner.d.w").unwrap().extract().unwrap();
        assert_eq!(w, "thither_space.inner.d");
        let package = py.import("thither_pkg").unwrap();
        assert_eq!(package.getattr("__path__").unwrap().extract::<Vec<String>>().unwrap(), [""; 0]);
        // The file is UTF-8, and says another encoding.
        let name: String = py.get("thither_latin.name").unwrap().extract().unwrap();
        assert_eq!(name, "caf\u{c3}\u{a9}");
        let error = error_of(&py, "import thither_pkg.missing");
        assert!(error.is_instance_of("ModuleNotFoundError"), "{error}");
        let error = error_of(&py, "import missing_altogether");
        assert_eq!(error.to_string(), "ModuleNotFoundError: No module named 'missing_altogether'");
    });
}

#[test]
fn what_exists_over_there_wins() {
    within_deadline("an import", || {
        let (py, _folder) = with(&[("json.py", "mine = 1\n"), ("colorsys.py", "mine = 1\n")]);
        for name in ["json", "colorsys"] {
            let module = py.import(name).unwrap();
            assert!(!module.hasattr("mine").unwrap(), "{name}");
        }
    });
}

#[test]
fn sources_and_tracebacks() {
    within_deadline("a traceback", || {
        let source = "def f(n):\n    return 1 // n  # here\n";
        let (py, folder) = with(&[
            ("thither_f.py", source),
            ("thither_bad.py", "import thither_f\nthither_f.f(0)\n"),
            ("thither_syntax.py", "x = = 1\n"),
        ]);
        py.exec("import inspect, thither_f", ()).unwrap();
        let path = |name: &str| folder.path().join("modules").join(name).display().to_string();
        // What a file of that name says over there does not matter.
        fs::write(path("thither_f.py"), "another\n".repeat(9)).unwrap();
        let text: String = py.eval("inspect.getsource(thither_f.f)", ()).unwrap();
        assert_eq!(text, source);
        let file: String = py.eval("thither_f.__file__", ()).unwrap();
        assert_eq!(file, path("thither_f.py"));
        let error = error_of(&py, "import thither_bad");
        let error = error.python().unwrap();
        // Newer versions mark the place under a line.
        let is_mark = |line: &&str| line.chars().all(|char| " ~^".contains(char));
        let lines: Vec<&str> = error.traceback.lines().filter(|line| !is_mark(line)).collect();
        let (bad, f) = (path("thither_bad.py"), path("thither_f.py"));
        // As of a file: no line of the machinery of imports.
        assert_eq!(
            lines[lines.len() - 5..].join("\n"),
            format!(
                "  File \"{bad}\", line 2, in <module>\n    thither_f.f(0)\n  File \"{f}\", line 2, in f\n    \
                 return 1 // n  # here\n{}",
                lines[lines.len() - 1]
            )
        );
        assert!(!error.traceback.contains("importlib") && !error.traceback.contains("<thither>"));
        assert_eq!(error.kind, "ZeroDivisionError");
        let error = error_of(&py, "import thither_syntax");
        let text = &error.python().unwrap().traceback;
        assert!(error.is_instance_of("SyntaxError") && text.contains("x = = 1"), "{text}");
    });
}

#[test]
fn nothing_is_written_over_there() {
    within_deadline("an import", || {
        let (py, folder) = with(&[("thither_m.py", "")]);
        py.import("thither_m").unwrap();
        let entries = fs::read_dir(folder.path().join("modules")).unwrap();
        assert_eq!(entries.count(), 1);
    });
}

/// What the other side is given when it asks for a name by hand, as an enemy would.
#[track_caller]
fn check_asked(py: &Python, name: &str, expected: &str) {
    let ask = "import sys\nsaid = ''\ntry:\n    said = repr(sys.meta_path[-1].source_of(name) is not None)\n\
               except Exception as error:\n    said = type(error).__name__\n";
    let mut names = thither_python::locals! { name: name };
    py.exec(ask, &mut names).unwrap();
    assert_eq!(names.get::<String>("said").unwrap(), expected, "{name}");
}

#[test]
fn nothing_outside_of_the_folder() {
    within_deadline("questions", || {
        let (py, folder) = with(&[("inside.py", "x = 1\n"), ("pkg/__init__.py", "")]);
        let at = |name: &str| folder.path().join(name);
        fs::write(at("secret.py"), "x = 1\n").unwrap();
        fs::create_dir(at("modules.d")).unwrap();
        fs::write(at("modules.d/near.py"), "x = 1\n").unwrap();
        let link = |text: &Path, name: &str| symlink(text, at("modules").join(name)).unwrap();
        link(&at("secret.py"), "leading_out.py");
        link(folder.path(), "up");
        link(&at("modules.d"), "near");
        link(Path::new("/proc/self"), "pkg/process");
        link(&at("modules/inside.py"), "alias.py");
        for name in ["inside", "pkg", "alias"] {
            check_asked(&py, name, "True");
        }
        for name in ["leading_out", "up", "up.secret", "near.near", "pkg.process"] {
            check_asked(&py, name, "ImportError");
        }
        for name in
            ["..secret", "../secret", "/etc/passwd", ".", "", "secret", "inside\0", "pkg/__init__"]
        {
            check_asked(&py, name, "False");
        }
        let error = error_of(&py, "import leading_out");
        assert!(error.to_string().contains("leads out of the client's folder"), "{error}");
    });
}

#[test]
fn a_folder_that_is_none() {
    within_deadline("an error", || {
        let py = python();
        let error = py.add_modules("/missing").unwrap_err();
        assert_eq!(error.to_string(), "cannot have modules of \"/missing\"");
        assert!(py.add_modules("/proc/self/status").is_err());
    });
}

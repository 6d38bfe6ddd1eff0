//! In containers.

use testkit::Engine;

use crate::common::Test;
use crate::interpreters::{Said, said};

fn says(engine: &Engine, test: &Test, args: &[&str]) -> Said {
    said(test.thither(args).env("DOCKER_HOST", engine.host()), b"")
}

macro_rules! engine {
    () => {
        match Engine::own() {
            Ok(engine) => engine,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

#[test]
fn an_image_without_python_leaves_nothing() {
    let engine = engine!();
    let test = Test::new();
    let (code, out, error) = says(&engine, &test, &["python", "image:busybox", "-c", "1"]);
    assert_eq!((code, &*out), (127, ""), "{error}");
    let expected = "error: no Python in `image:busybox`: tried `python3`, `python`\n";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(engine.docker(&["ps", "-aq"]), "");
}

#[test]
fn an_image_with_python_alone() {
    let engine = engine!();
    let test = Test::new();
    testkit::write_program(&test.dir().join("python"), "#!/bin/sh\necho \"$@\"\nexit 127\n");
    let volume = format!("{}:/bin/python", test.dir().join("python").display());
    let args = ["python", "--volume", &volume, "image:busybox", "-c", "1", "x"];
    assert_eq!(says(&engine, &test, &args), (127, "-c 1 x\n".into(), String::new()));
}

#[test]
fn a_script_of_several_pieces() {
    let engine = engine!();
    let test = Test::new();
    let script = format!("import sys\n{}print(sys.argv)\n1/0\n", "# filler\n".repeat(30_000));
    test.file("long.py", &script);
    // The machine's own Python and libraries.
    let volumes = ["/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64"];
    let volumes = volumes.iter().flat_map(|volume| ["--volume", volume]);
    let place = ["image:busybox", "long.py", "--help"];
    let args: Vec<&str> = ["python"].into_iter().chain(volumes).chain(place).collect();
    let traceback = "Traceback (most recent call last):\n  File \"long.py\", line 30003, in <module>\n    1/0\n";
    let (code, out, error) = says(&engine, &test, &args);
    assert!(error.starts_with(traceback), "{error}");
    assert_eq!((code, &*out), (1, "['long.py', '--help']\n"));
}

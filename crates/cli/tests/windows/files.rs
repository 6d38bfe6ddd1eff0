//! `thither cp` to a Windows and back: by Python alone, as there is no shell.

use std::fs;
use std::path::Path;

use crate::common::output;
use crate::host::{Host, host};

/// Runs `thither cp`, where `there:` begins a path over there.
#[track_caller]
fn copy(host: &Host<'_>, args: &[&str]) -> (i32, String) {
    let args = args.iter().map(|arg| match arg.strip_prefix("there:") {
        Some(path) => format!("{}::{path}", host.address),
        None => (*arg).to_owned(),
    });
    let output = output(&mut host.test.thither([String::from("cp")].into_iter().chain(args)), b"");
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).expect("text").replace(&host.address, "ADDRESS");
    (output.status.code().expect("it is not killed"), said)
}

#[track_caller]
fn copies(host: &Host<'_>, args: &[&str]) {
    assert_eq!(copy(host, args), (0, String::new()), "{args:?}; {}", host.service.log());
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

#[test]
fn there_and_back() {
    host!(host);
    let dir = host.test.dir();
    let bytes: Vec<u8> =
        (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(dir.join("file"), &bytes).expect("a file");
    fs::create_dir_all(dir.join("tree/sub folder")).expect("a folder");
    for (name, text) in [("tree/\u{fc}", "one\r\n"), ("tree/sub folder/two", "two\n")] {
        fs::write(dir.join(name), text).expect("a file");
    }
    copies(&host, &["file", "there:C:/windows/temp/"]);
    copies(&host, &["file", "there:C:/windows/temp/other name"]);
    let verified = copy(&host, &["--verify", "file", "there:C:/windows/temp/verified"]);
    assert_eq!(verified, (0, "thither: verified 1 file by reading back\n".into()));
    copies(&host, &["there:C:/windows/temp/file", "back"]);
    assert!(read(&dir.join("back")) == bytes);
    copies(&host, &["there:C:/windows/temp/other name", "."]);
    assert!(read(&dir.join("other name")) == bytes);
    // A folder, and merged into what is there.
    copies(&host, &["-r", "tree", "there:C:/windows/temp"]);
    fs::write(dir.join("tree/three"), "three").expect("a file");
    copies(&host, &["-r", "tree", "there:C:/windows/temp"]);
    copies(&host, &["-r", "there:C:/windows/temp/tree", "again"]);
    for (name, text) in [("\u{fc}", "one\r\n"), ("sub folder/two", "two\n"), ("three", "three")] {
        assert_eq!(String::from_utf8_lossy(&read(&dir.join("again").join(name))), text);
    }
    // Nothing under a temporary name is left.
    let (_, list, _) =
        host.says("run", &["--", "cmd", "/c", "dir", "/a", "/b", r"C:\windows\temp"], b"");
    assert!(list.contains("tree\r\n") && !list.contains(".thither-"), "{list}");
}

#[test]
fn what_cannot_be() {
    host!(host);
    let dir = host.test.dir();
    fs::write(dir.join("file"), "text").expect("a file");
    let check = |args: &[&str], expected: &str| {
        let (code, said) = copy(&host, args);
        assert_eq!(code, 125, "{said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    };
    check(&["there:C:/no such file", "."], "no such file");
    check(&["file", "there:C:/no such folder/file"], "no such file");
    check(&["file", "there:C:/windows/notepad.exe/"], "directory");
    check(&["-r", "there:C:/windows/temp", "file"], "directory");
    // On Windows this would be beside the folder.
    fs::create_dir(dir.join("tree")).expect("a folder");
    fs::write(dir.join("tree/..\\evil"), "text").expect("a file");
    check(&["-r", "tree", "there:C:/windows/temp/tree"], "no name for Windows");
    let (_, list, _) =
        host.says("run", &["--", "cmd", "/c", "dir", "/a", "/b", r"C:\windows\temp"], b"");
    assert!(!list.contains("evil") && !list.contains("tree"), "{list}");
}

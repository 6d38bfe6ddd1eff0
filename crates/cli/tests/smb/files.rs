//! Files and Python by the tool.

use std::fs;
use std::path::Path;

use crate::harness::{prints, says, says_to};
use crate::host::{Host, host};

/// In bytes.
const MUCH: usize = 8 << 20;

/// Bytes that differ wherever one is lost or swapped.
pub(crate) fn bytes() -> Vec<u8> {
    let mut state = 7_u64;
    let next = || {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes())
    };
    std::iter::from_fn(next).take(MUCH / 8).flatten().collect()
}

fn copy(host: &Host, from: &Path, to: &str) {
    let said = says(&mut host.daemon.here(["cp", "-r", from.to_str().unwrap(), to]));
    assert_eq!((&*said.1, said.2), ("", 0));
}

#[test]
fn files_go_there_and_come_back() {
    let host = host!();
    let here = host.daemon.folders.path("here");
    let (sent, back) = (here.join("sent"), here.join("back"));
    fs::write(&sent, bytes()).unwrap();
    let there = format!("{}::/home/{}/file", host.daemon.place, host.smbd.user());
    copy(&host, &sent, &there);
    let owner = prints(&mut host.daemon.run(&["stat", "-c", "%U %s", "file"]));
    assert_eq!(owner, format!("{} {MUCH}\n", host.smbd.user()));
    copy(&host, Path::new(&there), back.to_str().unwrap());
    assert!(fs::read(&back).unwrap() == bytes(), "what came back differs");
}

#[test]
fn folders_too() {
    let host = host!();
    let here = host.daemon.folders.path("here");
    fs::create_dir_all(here.join("tree/deep")).unwrap();
    fs::write(here.join("tree/deep/a file"), "text").unwrap();
    std::os::unix::fs::symlink("deep/a file", here.join("tree/link")).unwrap();
    let home = format!("{}::/home/{}", host.daemon.place, host.smbd.user());
    let tree = here.join("tree");
    copy(&host, &tree, &format!("{home}/tree"));
    let there = prints(&mut host.daemon.run(&["sh", "-c", "cat tree/link; readlink tree/link"]));
    assert_eq!(there, "textdeep/a file\n");
    copy(&host, Path::new(&format!("{home}/tree")), here.join("back").to_str().unwrap());
    assert_eq!(fs::read(here.join("back/deep/a file")).unwrap(), b"text");
    assert_eq!(fs::read_link(here.join("back/link")).unwrap(), Path::new("deep/a file"));
}

#[test]
fn what_may_not_be_written_there() {
    let host = host!();
    let file = host.file("file", "text");
    let to = format!("{}::/etc/thither-test", host.daemon.place);
    let (out, err, code) = says(&mut host.daemon.here(["cp", file.to_str().unwrap(), &to]));
    assert_eq!((out.as_str(), code), ("", 125), "{err}");
    assert!(err.to_lowercase().contains("permission denied"), "{err}");
    assert!(!Path::new("/etc/thither-test").exists());
}

#[test]
fn python_code_and_scripts() {
    let host = host!();
    let python = |words: &[&str]| {
        let place = host.daemon.place.clone();
        host.daemon.here([&["python", &place], words].concat())
    };
    let code =
        "import os, sys; print(os.getcwd(), sys.argv); print('err', file=sys.stderr); sys.exit(5)";
    let home = format!("/home/{}", host.smbd.user());
    let said = says(&mut python(&["-c", code, "a b"]));
    assert_eq!(said, (format!("{home} ['-c', 'a b']\n"), "err\n".into(), 5));
    let said = says_to(&mut python(&["-c", "print(input() + '!')"]), b"hello\n");
    assert_eq!(said, ("hello!\n".into(), String::new(), 0));
    // A script of the user here.
    let script = host
        .file("script.py", "import getpass, sys\nprint(getpass.getuser(), sys.argv[1:])\n1/0\n");
    let (out, err, code) = says(&mut python(&[script.to_str().unwrap(), "-x"]));
    assert_eq!((out, code), (format!("{} ['-x']\n", host.smbd.user()), 1), "{err}");
    assert!(err.ends_with("ZeroDivisionError: division by zero\n"), "{err}");
}

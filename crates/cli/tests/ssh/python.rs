//! Python over ssh.

use std::ffi::OsStr;

use crate::files::host_with;
use crate::tool::{host, says, says_to};

#[test]
fn code_and_files() {
    let host = host!("bash", "Banner /etc/passwd");
    let place = host.place();
    let code = "import os, sys; print(os.getuid() != 0, sys.argv[1:]); sys.exit(4)";
    let said = says(&mut host.thither(["python", &place, "-c", code, "it's", "$x"]));
    assert_eq!(said, ("True [\"it's\", '$x']\n".into(), String::new(), 4));
    let said = says_to(&mut host.thither(["python", &place]), b"print(6 * 7)\n");
    assert_eq!(said, ("42\n".into(), String::new(), 0));
}

#[test]
fn interpreters_that_are_tried() {
    drop(host!("sh"));
    let code = "import os, sys; print(os.path.basename(sys.argv[1])); sys.exit(127)";
    for (names, expected) in [(&["python3", "python"][..], 127), (&["python"], 127), (&[], 0)] {
        let needed = |name: &OsStr| "sh dash cat env id sleep".split(' ').any(|it| name == it);
        let host = host_with(needed, "");
        let place = host.place();
        for name in names {
            let python = std::path::Path::new("/usr/bin/python3");
            std::os::unix::fs::symlink(python, host.folder().join("bin").join(name)).unwrap();
        }
        if expected == 0 {
            let said = says(&mut host.thither(["python", &place, "-c", "1"]));
            let error = format!("error: no Python in `{place}`: tried `python3`, `python`\n");
            let hint = "hint: name the interpreter over there by `--python PATH`\n";
            assert_eq!(said, (String::new(), error + hint, 127));
            let named = ["python", "--python", "python4", &place, "-c", "1"];
            let (out, err, code) = says(&mut host.thither(named));
            assert!(out.is_empty() && err.contains("python4") && code == 127, "{err}");
            continue;
        }
        // A code of its own is no other interpreter's affair.
        let said = says(&mut host.thither(["python", &place, "-c", code, "it's/$x 'y"]));
        assert_eq!(said, ("$x 'y\n".into(), String::new(), 127));
        let path = format!("PATH={}", host.folder().join("bin").display());
        let with_path = ["python", "--env", &path, &place, "-c", "print(1)"];
        assert_eq!(says(&mut host.thither(with_path)), ("1\n".into(), String::new(), 0));
        let said = says_to(&mut host.thither(["python", &place]), b"import sys; sys.exit(3)\n");
        assert_eq!(said, (String::new(), String::new(), 3));
        let said = says(&mut host.thither(["python", &place, "-m", "base64", "-h"]));
        assert!(said.1.is_empty() || said.2 != 127, "{said:?}");
        std::fs::write(host.folder().join("script.py"), "print('script')").unwrap();
        let said = says(&mut host.thither(["python", &place, "script.py"]));
        assert_eq!(said, ("script\n".into(), String::new(), 0));
    }
}

#[test]
fn a_shell_that_talks_first() {
    let user = match testkit::PasswordUser::new() {
        Ok(user) => user,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let host = host!("sh");
    let shell = std::process::Command::new("chsh").args(["-s", "/bin/bash", user.name()]).status();
    assert!(shell.unwrap().success());
    let rc = std::path::Path::new("/home").join(user.name()).join(".bashrc");
    std::fs::write(rc, "echo welcome\n").unwrap();
    let place = format!("ssh:{}@thither-test", user.name());
    let (out, err, code) = says(&mut host.thither(["python", &place, "-c", "print(42)"]));
    // What comes before the agent is what `ssh` would print as well.
    assert!(out == "welcome\n42\n" && code == 0, "{out} {err} {code}");
}

//! Python over ssh.

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

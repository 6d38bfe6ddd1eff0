//! Containers and images by names of one's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::tool::{Tool, User, engine};

/// Writes the user's configuration.
fn configure(home: &Path, text: &str) {
    let folder = home.join(".config/thither");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("thither.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_container_and_an_image() {
    let engine = engine!(shared);
    let container = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    let text = format!(
        "[place.web]\naddress = 'docker:{}'\nuser = '7:8'\ndir = '/tmp'\nenv = {{ A = 'one' }}\n\
         [place.box]\naddress = 'image:busybox?entrypoint=env'\nenv = {{ B = '2' }}\n",
        container.name()
    );
    configure(tool.test.dir(), &text);
    let says = |args: &[&str]| tool.says_to(&mut tool.command(args));
    let script = "id -u; id -g; pwd; echo $A";
    let expected = |text: &str| (text.to_owned(), String::new(), 0);
    assert_eq!(says(&["run", "web", "sh", "-c", script]), expected("7\n8\n/tmp\none\n"));
    assert_eq!(
        says(&["run", "--user", "0:0", "web?dir=/&env=A=2", "sh", "-c", script]),
        expected("0\n0\n/\n2\n")
    );
    // An image needs no command.
    let (variables, said, code) = says(&["run", "box"]);
    assert!(code == 0 && variables.lines().any(|line| line == "B=2"), "{variables}{said}");
    tool.test.file("new", "text\n");
    assert_eq!(says(&["cp", "new", "web::"]), expected(""));
    assert_eq!(says(&["cp", "web::/tmp/new", "-"]), expected("text\n"));
}

#[test]
fn detach_keys() {
    let engine = engine!(shared);
    let container = engine.container(&["cat"]).tty().stdin_open().create();
    let mut user = User::with(&engine.host(), |home| {
        let address = format!("docker:{}", container.name());
        configure(home, &format!("[place.cat]\naddress = '{address}'\ndetach-keys = 'ctrl-e,e'\n"));
    });
    let mut check = |line: &str, keys: &str, shown: &str| {
        user.shell.line(line);
        user.shell.until("raw mode", |shell| shell.modes().is_raw());
        // Others are the program's.
        user.shell.send("\x10\x11one\r");
        user.shell.expect("one\r\n");
        user.shell.send(keys);
        user.shell.expect(shown);
        user.shell.expect_prompt();
        user.back_with(0);
        assert!(container.is_running());
    };
    check("$T attach cat", "\x05e", "thither: detached\r\n");
    check("$T attach 'cat?detach-keys=ctrl-f'", "\x06", "thither: detached\r\n");
}

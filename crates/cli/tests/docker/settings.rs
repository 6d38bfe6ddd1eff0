//! Engines and keys as the user has set them.

use std::fs;
use std::path::Path;

use crate::tool::{Tool, User, engine};

/// A Docker context of this name, as the docker CLI keeps it.
fn context(home: &Path, name: &str, host: &str) {
    let id = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" | sha256sum | cut -d' ' -f1", "sh", name])
        .output()
        .expect("sha256sum")
        .stdout;
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    let folder = home.join(".docker/contexts/meta").join(id);
    fs::create_dir_all(&folder).unwrap();
    let meta = format!(
        r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
    );
    fs::write(folder.join("meta.json"), meta).unwrap();
}

#[test]
fn where_the_engine_is() {
    let engine = engine!(shared);
    let tool = Tool::at("unix:///nonexistent");
    let home = tool.test.dir();
    context(home, "mine", &engine.host());
    let asked = |line: &str, change: &dyn Fn(&mut std::process::Command)| {
        let mut command = tool.command(line.split(' '));
        change(&mut command);
        let (_, said, code) = tool.says_to(&mut command);
        (code, said)
    };
    let unset = |command: &mut std::process::Command| {
        command.env_remove("DOCKER_HOST");
    };
    assert_eq!(asked("list docker:", &|_| {}).0, 125);
    let list = format!("list docker:?engine={}", engine.host().replace('/', "%2F"));
    assert_eq!(asked(&list, &|_| {}), (0, String::new()));
    assert_eq!(asked("list docker:?context=mine", &|_| {}), (0, String::new()));
    let by_variable = asked("list docker:", &|command| {
        unset(command);
        command.env("DOCKER_CONTEXT", "mine");
    });
    assert_eq!(by_variable, (0, String::new()));
    fs::write(home.join(".docker/config.json"), r#"{"currentContext": "mine"}"#).unwrap();
    assert_eq!(asked("list docker:", &unset), (0, String::new()));
    // DOCKER_HOST goes before.
    assert_eq!(asked("list docker:", &|_| {}).0, 125);
    let other = asked("list docker:", &|command| {
        unset(command);
        command.env("DOCKER_CONTEXT", "none");
    });
    assert!(other.0 == 125 && other.1.contains("none"), "{other:?}");
    let flags = format!("run --engine {} docker:none true", engine.host());
    assert!(asked(&flags, &|_| {}).1.contains("No such container"));
    assert!(asked("run --context mine docker:none true", &|_| {}).1.contains("No such container"));
}

#[test]
fn detach_keys_of_the_settings() {
    let engine = engine!(shared);
    let container = engine.container(&["cat"]).tty().stdin_open().create();
    let mut user = User::with(&engine.host(), |home| {
        fs::create_dir(home.join(".docker")).unwrap();
        fs::write(home.join(".docker/config.json"), r#"{"detachKeys": "ctrl-e,e"}"#).unwrap();
    });
    user.shell.line(&format!("$T attach docker:{}", container.name()));
    user.shell.until("raw mode", |shell| shell.modes().is_raw());
    user.shell.send("\x10\x11one\r");
    user.shell.expect("one\r\n");
    user.shell.send("\x05e");
    user.shell.expect("thither: detached\r\n");
    user.shell.expect_prompt();
    user.back_with(0);
    assert!(container.is_running());
    let bad = Tool::new(engine);
    fs::create_dir(bad.test.dir().join(".docker")).unwrap();
    bad.test.file(".docker/config.json", r#"{"detachKeys": "ctrl-1"}"#);
    bad.fails(&format!("attach docker:{}", container.name()));
}

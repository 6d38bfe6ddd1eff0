//! Images that are not here yet.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use testkit::{Engine, Registry, skip};

use crate::tool::{Tool, engine};

macro_rules! registry {
    () => {
        match Registry::start() {
            Ok(registry) => registry,
            Err(reason) => skip!("{reason}"),
        }
    };
}

/// A tool whose user has this `config.json`.
fn with(engine: &Engine, config: &str) -> Tool {
    let tool = Tool::new(engine);
    std::fs::create_dir(tool.test.dir().join(".docker")).unwrap();
    tool.test.file(".docker/config.json", config);
    tool
}

#[test]
fn credentials_of_every_kind() {
    let engine = engine!(own);
    let registry = registry!();
    let image = registry.push(&engine, "busybox", "some/name:tag");
    let address = registry.address();
    let line = format!("run image:{image} echo pulled");
    let forget = || drop(engine.request("DELETE", &format!("/images/{image}?force=1"), None));

    // user:secret
    let auths = format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#);
    let said = with(&engine, &auths).says(&line);
    assert_eq!(said, ("pulled\n".into(), String::new(), 0));
    forget();

    for config in [
        r#"{"credsStore": "tests"}"#.to_owned(),
        format!(r#"{{"credHelpers": {{"{address}": "tests"}}}}"#),
    ] {
        let tool = with(&engine, &config);
        let answer = format!(r#"{{"ServerURL":"{address}","Username":"user","Secret":"secret"}}"#);
        let helper = tool.test.file(
            "docker-credential-tests",
            &format!("#!/bin/sh\nread -r server; [ \"$server\" = {address} ] && [ \"$1\" = get ] && echo '{answer}'\n"),
        );
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = tool.command(line.split(' '));
        command.env("PATH", format!("{}:/usr/bin:/bin", tool.test.dir().display()));
        assert_eq!(tool.says_to(&mut command), ("pulled\n".into(), String::new(), 0), "{config}");
        forget();
        // The helper is not there.
        let said = tool.fails(&line);
        assert!(said.contains("docker-credential-tests"), "{said}");
    }

    // user:wrong, and nothing.
    let wrong = format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjp3cm9uZw=="}}}}}}"#);
    for config in [&*wrong, "{}"] {
        let said = with(&engine, config).fails(&line);
        assert!(!said.contains("wrong") && !said.contains("dXNlcj"), "a secret: {said}");
    }
    let missing = format!("run image:{address}/some/name:none true");
    let said = with(&engine, &auths).fails(&missing);
    assert!(said.contains("none"), "{said}");
    let said = with(&engine, "{nonsense").fails(&line);
    assert!(said.contains("config.json"), "{said}");
}

#[test]
fn progress_is_for_terminals() {
    let engine = engine!(own);
    let registry = registry!();
    let image = registry.push(&engine, "busybox", "x:y");
    let auths =
        format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#, registry.address());
    let tool = with(&engine, &auths);
    let mut command = tool.command(["run", &format!("image:{image}"), "echo", "pulled"]);
    command.env("TERM", "xterm").stdin(Stdio::null());
    let mut session = testkit::Session::spawn(command, (80, 24));
    assert!(session.wait().success());
    let shown = session.transcript();
    assert!(shown.contains("layers") && shown.contains("\x1b[K"), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[Kpulled\r\n"), "{shown:?}");
}

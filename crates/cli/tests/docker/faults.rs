//! Every fault: its own error in one line, code 125, in time, and a terminal as it was.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use expect_test::expect;
use testkit::{Proxy, PublicCopy, as_user, is_root, skip};

use crate::common::Test;
use crate::tool::{Tool, User, code, engine, failure, ready};

#[test]
fn no_engine() {
    let test = Test::new();
    let host = |name: &str| format!("unix://{}", test.dir().join(name).display());
    test.file("plain", "");
    let mut text = String::new();
    for (host, line) in [
        (host("no"), "run docker:web true"),
        (host("no"), "attach docker:web"),
        (host("no"), "list docker:"),
        (host("no"), "run image:busybox true"),
        (host("plain"), "run docker:web true"),
        ("tcp://127.0.0.1:1".into(), "run docker:web true"),
        ("tcp://192.0.2.1:2375".into(), "run docker:web true"),
        ("ftp://x".into(), "run docker:web true"),
    ] {
        text += &format!("$ thither {line}\n{}", Tool::at(host).fails(line));
    }
    expect![[r#"
        $ thither run docker:web true
        error: cannot enter `docker:web`: cannot reach the engine at `unix://[DIR]/no`: no such file or directory
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither attach docker:web
        error: cannot enter `docker:web`: cannot reach the engine at `unix://[DIR]/no`: no such file or directory
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither list docker:
        error: cannot enter `docker:`: cannot reach the engine at `unix://[DIR]/no`: no such file or directory
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither run image:busybox true
        error: cannot enter `image:busybox`: cannot reach the engine at `unix://[DIR]/no`: no such file or directory
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither run docker:web true
        error: cannot enter `docker:web`: cannot reach the engine at `unix://[DIR]/plain`: connection refused
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither run docker:web true
        error: cannot enter `docker:web`: cannot reach the engine at `tcp://127.0.0.1:1`: connection refused
        hint: start it, or say where it is by DOCKER_HOST or DOCKER_CONTEXT
        $ thither run docker:web true
        error: `DOCKER_HOST` is `tcp://192.0.2.1:2375`, which is neither encrypted nor on this machine
        hint: set `DOCKER_TLS_VERIFY=1` and `DOCKER_CERT_PATH`, or ask for it with the option `plain-tcp`
        $ thither run docker:web true
        error: `DOCKER_HOST` is `ftp://x`, no address of a Docker engine: its scheme is unknown
        hint: write `unix:///PATH` or `tcp://HOST:PORT`
    "#]].assert_eq(&text.replace(test.dir().to_str().unwrap(), "[DIR]"));
}

#[test]
fn no_permission() {
    if !is_root() {
        skip!("only root can become somebody else");
    }
    let engine = engine!(shared);
    let copy = PublicCopy::of(crate::tool::THITHER).expect("a copy of the program");
    let folder = copy.path().parent().unwrap();
    // It is the socket that refuses, and no folder.
    let socket = folder.join("sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = std::process::Command::new(copy.path());
    command.args(["run", "docker:web", "true"]).env_clear().current_dir("/");
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).stdin(Stdio::null());
    as_user(&mut command);
    let said = failure(Tool::new(engine).says_to(&mut command));
    assert!(said.contains(": permission denied\nhint: join the group"), "{said}");
}

#[test]
fn containers() {
    let engine = engine!(shared);
    let _created = engine.container(&["sleep", "inf"]).name("tests-cli-created").create();
    let paused = engine.container(&["sleep", "inf"]).name("tests-cli-paused").start();
    paused.pause();
    let _bad = engine.container(&["/no/such"]).name("tests-cli-bad").create();
    let tool = Tool::new(engine);
    let mut text = String::new();
    for line in [
        "run docker:tests-cli-none true",
        "shell docker:tests-cli-none",
        "attach docker:tests-cli-none",
        "run docker:tests-cli-paused true",
        "attach docker:tests-cli-paused",
        "run -t docker:tests-cli-paused true",
        "run docker:a%1b%0ab true",
        "attach --detach-keys ctrl-1 docker:tests-cli-paused",
        "attach local:",
        "attach image:busybox",
        "run --user nobody-here image:busybox true",
        "run --dir relative image:busybox true",
        "run --name a/b image:busybox true",
        "run --network no-such image:busybox true",
        "run --volume a/b:/x image:busybox true",
        "run --publish 0 image:busybox true",
        "run image:Not-A-Name true",
    ] {
        text += &format!("$ thither {line}\n{}", tool.fails(line));
    }
    paused.unpause();
    expect![[r#"
        $ thither run docker:tests-cli-none true
        error: cannot enter `docker:tests-cli-none`: the engine says: No such container: tests-cli-none
        hint: `thither list docker:` shows which there are
        $ thither shell docker:tests-cli-none
        error: cannot enter `docker:tests-cli-none`: the engine says: No such container: tests-cli-none
        hint: `thither list docker:` shows which there are
        $ thither attach docker:tests-cli-none
        error: cannot enter `docker:tests-cli-none`: the engine says: No such container: tests-cli-none
        hint: `thither list docker:` shows which there are
        $ thither run docker:tests-cli-paused true
        error: cannot enter `docker:tests-cli-paused`: the engine says: Container tests-cli-paused is paused, unpause the container before exec
        hint: `docker unpause` it
        $ thither attach docker:tests-cli-paused
        error: cannot enter `docker:tests-cli-paused`: it is paused
        hint: `docker unpause` it
        $ thither run -t docker:tests-cli-paused true
        error: `-t` needs a terminal, and standard input is none
        hint: leave `-t` out, or run it from a terminal
        $ thither run docker:a%1b%0ab true
        error: bad address: the target `a%1b%0ab` is not a name (at byte 7)
        $ thither attach --detach-keys ctrl-1 docker:tests-cli-paused
        error: bad `--detach-keys`: `ctrl-1` are no detach keys: `ctrl-1` is no key
        hint: write them as in `ctrl-p,ctrl-q`
        $ thither attach local:
        error: `local:` has no main process to attach to
        hint: attach to a container, as in `docker:web`; `thither shell` starts a command
        $ thither attach image:busybox
        error: `image:busybox` has no main process to attach to
        hint: attach to a container, as in `docker:web`; `thither shell` starts a command
        $ thither run --user nobody-here image:busybox true
        error: cannot enter `image:busybox`: the engine says: unable to find user nobody-here: no matching entries in passwd file
        $ thither run --dir relative image:busybox true
        error: cannot enter `image:busybox`: the engine says: the working directory 'relative' is invalid, it needs to be an absolute path
        $ thither run --name a/b image:busybox true
        error: cannot enter `image:busybox`: the engine says: Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed
        $ thither run --network no-such image:busybox true
        error: cannot enter `image:busybox`: the engine says: network no-such not found
        $ thither run --volume a/b:/x image:busybox true
        error: cannot enter `image:busybox`: the engine says: create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path
        $ thither run --publish 0 image:busybox true
        error: bad `--publish`: `0` is no port: 1 to 65535
        hint: write `--publish=[[ADDRESS:]PORT:]PORT[/PROTOCOL]`
        $ thither run image:Not-A-Name true
        error: cannot enter `image:Not-A-Name`: the engine says: no such image: Not-A-Name: invalid reference format: repository name must be lowercase
    "#]].assert_eq(&text);
    let (_, said, _) = tool.says("run docker:tests-cli-created true");
    assert!(said.contains("is not running\nhint: start it"), "{said}");
    let (_, said, code) = tool.says("attach docker:tests-cli-bad");
    assert!([125, 127].contains(&code), "{said} {code}");
}

#[test]
fn an_engine_that_dies() {
    let engine = engine!(own);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let main = engine.container(&["sh", "-c", "echo x; exec sleep inf"]).create();
    let tool = Tool::new(&engine);
    let script = "echo x; exec sleep inf";
    let place = format!("docker:{}", sleeper.name());
    let main = format!("docker:{}", main.name());
    let lines = [
        vec!["run", &place, "sh", "-c", script],
        vec!["attach", &main],
        vec!["run", "image:busybox", "sh", "-c", script],
    ];
    let mut children: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut command = tool.command(line);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            ready(&mut child);
            child
        })
        .collect();
    let mut user = User::new(&engine.host());
    user.shell.line(&format!("$T shell {place} sh -c 'echo re\"\"ady; exec sleep inf'"));
    user.shell.expect("ready");
    engine.kill();
    user.shell.expect("lost");
    user.shell.expect_prompt();
    user.back_with(125);
    for child in children.drain(..) {
        let found = crate::common::finish(child, |child| child.wait_with_output());
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        failure((String::new(), said, found.status.code().unwrap_or(-1)));
    }
}

#[test]
fn an_engine_that_says_nothing_or_nonsense() {
    let engine = engine!(shared);
    let proxy = Proxy::unix(engine.socket());
    let tool = Tool::at(proxy.host());
    proxy.garbage(b"220 ftp.example.org ready\r\n");
    for line in ["run docker:web true", "attach docker:web", "list docker:", "run image:x true"] {
        let said = tool.fails(line);
        assert!(said.contains("is no engine") && said.contains("\nhint: "), "{said}");
    }
    proxy.forward();
    proxy.stall();
    let said = tool.fails("run docker:web true");
    assert!(said.contains("did not answer within 10s") && said.contains("\nhint: "), "{said}");
}

#[test]
fn a_dead_engine_can_be_left() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = Proxy::unix(engine.socket());
    let mut user = User::new(&proxy.host());
    user.shell.line(&format!("$T shell docker:{} sh -c 'echo re\"\"ady; cat'", sleeper.name()));
    user.shell.expect("ready");
    user.shell.send("one\r");
    user.shell.expect("one\r\none\r\n");
    proxy.stall();
    user.shell.send("\r~.");
    user.shell.expect("left docker:");
    user.shell.expect_prompt();
    user.back_with(125);
    proxy.resume();
}

#[test]
fn an_engine_that_stalls_can_be_interrupted() {
    let engine = engine!(shared);
    let proxy = Proxy::unix(engine.socket());
    let tool = Tool::at(proxy.host());
    proxy.stall();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = format!("docker:{}", sleeper.name());
    for (line, signal) in [
        (vec!["run", &*place, "true"], "TERM"),
        (vec!["attach", &*place], "TERM"),
        (vec!["run", "image:busybox", "true"], "TERM"),
    ] {
        let before = proxy.connections();
        let child = tool.command(&line).spawn().unwrap();
        testkit::wait_until(testkit::DEADLINE, "a connection", || proxy.connections() > before);
        crate::tool::kill(child.id(), signal);
        let code = code(child);
        assert!([None, Some(143)].contains(&code), "{line:?}: {code:?}");
    }
}

#[test]
fn a_terminal_that_is_none() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).name("tests-cli-tty").start();
    let tool = Tool::new(engine);
    let said = tool.fails("run -t docker:tests-cli-tty true");
    let expected = "error: `-t` needs a terminal, and standard input is none\n\
                    hint: leave `-t` out, or run it from a terminal\n";
    assert_eq!(said, expected);
    let said = tool.says("shell docker:tests-cli-tty tty");
    assert_eq!((&*said.0, said.2), ("not a tty\n", 1));
    drop(sleeper);
}

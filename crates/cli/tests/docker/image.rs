//! Fresh containers: how they are made.

use std::process::Stdio;

use serde_json::Value;
use testkit::{DEADLINE, Engine, Setup, skip, wait_until};

use crate::tool::{Tool, code, engine, ready};

/// What the engine says of the container `made`, while the command runs.
#[track_caller]
fn inspected(engine: &Engine, tool: &Tool, flags: &[&str]) -> Value {
    let line =
        [&["run", "--name", "made"], flags, &["image:busybox", "sh", "-c", "echo x; read -r x"]];
    let mut command = tool.command(line.concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    let found = engine.get("/containers/made/json");
    drop(child.stdin.take());
    assert_eq!(code(child), Some(1));
    let gone = || engine.request("GET", "/containers/made/json", None).status == 404;
    wait_until(DEADLINE, "it is removed", gone);
    found
}

#[test]
fn its_options() {
    let engine = engine!(own);
    let tool = Tool::new(&engine);
    tool.test.file("env", "# words\nA=1\nB=b c\n");
    let plain = inspected(&engine, &tool, &[]);
    assert_eq!(plain["HostConfig"]["AutoRemove"], true);
    assert_eq!(plain["HostConfig"]["Privileged"], false);
    assert_eq!(plain["Config"]["Tty"], false);
    assert!(plain["Config"]["Labels"]["thither"].is_string());
    let dir = tool.test.dir().display().to_string();
    let volume = format!("{dir}:/data:ro");
    let made = inspected(
        &engine,
        &tool,
        &[
            "--volume",
            &volume,
            "--volume",
            "/own",
            "--volume",
            ".:/here",
            "--network",
            "none",
            "--env-file",
            "env",
            "--env",
            "C=3",
            "--privileged",
            "--user",
            "1000",
            "--dir",
            "/bin",
            "--publish",
            "8080:80",
        ],
    );
    let binds: Vec<&str> =
        made["HostConfig"]["Binds"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(binds.len(), 2, "{binds:?}");
    assert_eq!(binds[0], volume);
    assert!(binds[1].ends_with(":/here") && binds[1].starts_with('/'), "{binds:?}");
    assert!(made["Config"]["Volumes"]["/own"].is_object());
    assert_eq!(made["HostConfig"]["NetworkMode"], "none");
    assert_eq!(made["HostConfig"]["Privileged"], true);
    assert_eq!(made["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
    assert_eq!(
        (&made["Config"]["User"], &made["Config"]["WorkingDir"]),
        (&"1000".into(), &"/bin".into())
    );
    let env = made["Config"]["Env"].to_string();
    for variable in ["\"A=1\"", "\"B=b c\"", "\"C=3\""] {
        assert!(env.contains(variable), "{env}");
    }
    // No anonymous volume is left.
    assert_eq!(engine.docker(&["volume", "ls", "-q"]), "");
}

#[test]
fn entrypoints_and_what_is_kept() {
    let engine = engine!(own);
    let tool = Tool::new(&engine);
    let said = tool.says("run --entrypoint=basename image:busybox a/b");
    assert_eq!(said, ("b\n".into(), String::new(), 0));
    let said = tool.says("run --entrypoint image:busybox echo x");
    assert_eq!(said, ("x\n".into(), String::new(), 0));
    let said = tool.says("run --keep --name kept image:busybox sh -c true");
    assert_eq!(said, (String::new(), String::new(), 0));
    assert_eq!(engine.docker(&["inspect", "-f", "{{.State.Status}}", "kept"]), "exited\n");
    let said = tool.fails("run --name kept image:busybox true");
    assert!(said.contains("is already in use") && said.contains("\nhint: "), "{said}");
    engine.docker(&["rm", "kept"]);
    let said = tool.fails("run --platform linux/s390x image:busybox true");
    assert!(!said.contains("exit"), "{said}");
    for bad in ["--platform nonsense/", "--env-file missing", "--publish 80:http"] {
        tool.fails(&format!("run {bad} image:busybox true"));
    }
    assert_eq!(engine.docker(&["ps", "-aq"]), "");
}

#[test]
fn a_port_is_served() {
    let engine = match Engine::with(Setup { bridge: true, ..Setup::default() }) {
        Ok(engine) => engine,
        Err(reason) => skip!("{reason}"),
    };
    let tool = Tool::new(&engine);
    let script = "echo x; echo hello | nc -l -p 80";
    let mut command = tool.command([
        "run",
        "--publish",
        "127.0.0.1:8081:80",
        "image:busybox",
        "sh",
        "-c",
        script,
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    let asked = || {
        let mut ask = engine.enter_network("busybox");
        let found = ask.args(["nc", "-w", "2", "127.0.0.1", "8081"]).stdin(Stdio::null()).output();
        found.expect("nc").stdout == b"hello\n"
    };
    wait_until(DEADLINE, "its answer", asked);
    assert_eq!(code(child), Some(0));
}

//! The engine itself.

use std::process::{Command, Stdio};

use super::*;
use crate::{Marker, wait_until};

/// How many containers run, as the docker CLI sees it.
fn running(engine: &Engine) -> usize {
    engine.docker(&["ps", "-q"]).lines().count()
}

#[test]
fn the_cli_reaches_it() {
    let engine = match Engine::shared() {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    assert_eq!(engine.request("GET", "/nonsense", None).status, 404);
    let said = engine.docker(&["run", "--rm", "busybox", "echo", "hello"]);
    assert_eq!(said, "hello\n");
    let images = engine.docker(&["images", "--format", "{{.Repository}}"]);
    assert!(images.contains("busybox") && images.contains("empty"), "{images}");
    let again = Engine::at(&engine.host()).unwrap();
    assert_eq!(again.socket(), engine.socket());
    assert!(Engine::at("unix:///nonexistent").is_err() && Engine::at("tcp://x").is_err());
}

#[test]
fn it_is_killed_paused_and_restarted() {
    let mut engine = match Engine::own() {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    let id = engine.container(&["sleep", "inf"]).name("sleeper");
    // What dockerd ends at its start, it asks first, and waits for 10 seconds.
    let id = id.with(serde_json::json!({"StopSignal": "SIGKILL"})).start();
    let processes = id.processes();
    assert_eq!((processes.len(), running(&engine)), (1, 1));
    std::mem::forget(id);

    engine.pause();
    let short = Duration::from_millis(100);
    assert!(engine.send("GET", "/_ping", None, short).is_err());
    engine.resume();
    assert_eq!(engine.request("GET", "/_ping", None).text(), "OK");

    engine.kill();
    assert!(!answers(engine.socket()));
    assert!(Path::new("/proc").join(processes[0].to_string()).exists());
    engine.restart();
    assert_eq!(running(&engine), 0);
    let sleeper = Container::adopt(&engine, "sleeper");
    sleeper.start();
    sleeper.remove();
    engine.stop();
    assert!(!answers(engine.socket()));
    engine.restart();
    assert_eq!(engine.docker(&["ps", "-aq"]), "");
}

#[test]
fn it_ends_with_its_containers() {
    let engine = match Engine::own() {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    // It ignores SIGTERM, as pid 1 does by default.
    let container = engine.container(&["sh", "-c", "sleep inf & sleep inf & wait"]).start();
    wait_until(DEADLINE, "two processes more", || container.processes().len() == 3);
    let mut processes = container.processes();
    std::mem::forget(container);
    processes.push(engine.keeper().pid());
    let folder = engine.keeper().path().to_path_buf();
    let name = folder.file_name().unwrap().to_owned();
    let cgroup = ["/sys/fs/cgroup/devices", "/sys/fs/cgroup"].map(|it| Path::new(it).join(&name));
    assert!(cgroup.iter().any(|it| it.exists()));
    // What it puts there vanishes with its mount namespace.
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", processes[3])).unwrap();
    assert!(mounts.contains(" /run/containerd ") && mounts.contains(" /run/docker "), "{mounts}");
    engine.pause();
    drop(engine);
    for pid in processes {
        assert!(!Path::new("/proc").join(pid.to_string()).exists(), "{pid}");
    }
    assert!(!folder.exists() && !cgroup.iter().any(|it| it.exists()));
}

/// Run by the test below in a process of its own.
#[test]
fn one_that_starts_an_engine_and_waits() {
    let Some(file) = std::env::var_os("TESTKIT_ENGINE_FILE") else { return };
    let engine = Engine::own().unwrap();
    let _container = engine.container(&["sleep", "inf"]).start();
    fs::write(Path::new(&file).with_extension("new"), engine.host()).unwrap();
    fs::rename(Path::new(&file).with_extension("new"), file).unwrap();
    wait_until(DEADLINE * 10, "the end by a signal", || false);
}

#[test]
fn it_ends_with_a_process_that_is_killed() {
    if let Err(reason) = Engine::shared() {
        crate::skip!("{reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host");
    let marker = Marker::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "engine::tests::one_that_starts_an_engine_and_waits";
    command.args(["--exact", test]).env("TESTKIT_ENGINE_FILE", &file).stdout(Stdio::null());
    let mut child = marker.mark(&mut command).spawn().unwrap();
    wait_until(DEADLINE, "an engine in another process", || file.exists());
    // The test, the keeper's three, dockerd with its shell, containerd and a shim.
    assert!(marker.processes().len() >= 8, "{:?}", marker.processes());
    child.kill().unwrap();
    child.wait().unwrap();
    marker.assert_gone();
    let host = fs::read_to_string(file).unwrap();
    let socket = Path::new(host.strip_prefix("unix://").unwrap());
    wait_until(DEADLINE, "the folder's end", || !socket.parent().unwrap().exists());
}

#[test]
fn tls_asks_for_a_certificate() {
    let engine = match Engine::with(Setup { tls: true, ..Setup::default() }) {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    let tls = engine.tls().unwrap();
    let folder = tls.certificates().path();
    let version = |certificate: bool| {
        let mut docker = engine.command();
        docker.env("DOCKER_HOST", tls.host());
        match certificate {
            true => docker.env("DOCKER_CERT_PATH", folder).arg("--tlsverify"),
            false => docker.args(["--tls", "--tlscacert"]).arg(folder.join("ca.pem")),
        };
        docker.args(["version", "--format", "{{.Server.APIVersion}}"]);
        let output = docker.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(version(true).starts_with("1."), "{:?}", version(true));
    assert!(version(false).contains("certificate"), "{}", version(false));
}

#[test]
fn a_bridge_publishes() {
    let engine = match Engine::with(Setup { bridge: true, ..Setup::default() }) {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    assert_ne!(network(&engine.keeper().pid().to_string()), network("self"));
    let ports = serde_json::json!({
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
    });
    let serve = ["nc", "-ll", "-p", "80", "-e", "echo", "served"];
    let _container = engine.container(&serve).with(ports).start();
    let busybox = find_program("busybox").unwrap();
    let mut said = String::new();
    wait_until(DEADLINE, "an answer of the published port", || {
        let mut client = engine.enter_network(busybox.to_str().unwrap());
        client.args(["nc", "127.0.0.1", "8080"]).stdin(Stdio::null());
        said = String::from_utf8(client.output().unwrap().stdout).unwrap();
        said == "served\n"
    });
}

#[test]
fn without_cgroups_it_says_so() {
    if find_program("unshare").is_err() || !crate::is_root() {
        crate::skip!("only root can hide the cgroups");
    }
    crate::own_process!(|program| {
        let mut command = Command::new("unshare");
        let hide = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";
        command.args(["--mount", "sh", "-c", hide, "sh"]);
        command.arg(fs::canonicalize(program).unwrap());
        command
    });
    let expected = "no cgroups are mounted at /sys/fs/cgroup";
    assert_eq!(may_start(), Err(expected.into()));
}

#[test]
fn podman_serves_the_same() {
    let engine = match Engine::podman() {
        Ok(engine) => engine,
        Err(reason) => crate::skip!("{reason}"),
    };
    let answer = engine.get("/version");
    assert_eq!(answer["Components"][0]["Name"], "Podman Engine", "{answer}");
    let container = engine.container(&["sh", "-c", "echo hello; exec sleep inf"]).tty().start();
    wait_until(DEADLINE, "its output", || container.logs() == "hello\r\n");
    assert_eq!(container.exec(&["sh", "-c", "echo out; exit 3"]), (3, "out\n".into()));
    assert_eq!(running(&engine), 1);
    let marks = container.processes();
    let groups = container_cgroups(container.id());
    assert!(!marks.is_empty() && !groups.is_empty());
    let id = container.id().to_owned();
    std::mem::forget(container);
    drop(engine);
    assert!(!marks.iter().any(|pid| Path::new("/proc").join(pid.to_string()).exists()));
    assert_eq!(container_cgroups(&id), [""; 0]);
}

/// The cgroups that bear a container's id.
fn container_cgroups(id: &str) -> Vec<String> {
    let mut find = Command::new("find");
    find.args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("*{id}*")]);
    let found = String::from_utf8(find.output().unwrap().stdout).unwrap();
    found.lines().map(String::from).collect()
}

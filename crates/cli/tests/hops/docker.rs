//! A container of an engine beyond a host.

use testkit::Engine;

use crate::way::{Way, way};

macro_rules! engine {
    () => {
        match Engine::shared() {
            Ok(engine) => engine,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

fn place(engine: &Engine, name: &str) -> String {
    format!("ssh:a|docker:{name}?engine={}", engine.host())
}

fn all(way: &Way, engine: &Engine, name: &str) {
    let place = place(engine, name);
    let line = "cat; echo err >&2; exit 9";
    let said = way.says(&["run", &place, "--", "sh", "-c", line], b"in");
    assert_eq!(said, ("in".into(), "err\n".into(), 9));
    let file = way.test.file("file", "content");
    way.check(&["cp", file.to_str().unwrap(), &format!("{place}::/tmp/copied")], "", 0);
    let said = way.says(&["run", &place, "--", "cat", "/tmp/copied"], b"");
    assert_eq!(said, ("content".into(), String::new(), 0));
    way.check_fails(&["run", &place, "--", "nope"], &["nope"], 127);
}

#[test]
fn by_the_engines_socket() {
    let (way, engine) = (way!(), engine!());
    let container = engine.container(&["sleep", "600"]).start();
    all(&way, engine, container.name());
    let lost = format!("ssh:a|docker:nobody?engine={}", engine.host());
    way.check_fails(&["run", &lost, "--", "true"], &["nobody"], 125);
}

#[test]
fn a_main_process() {
    let (way, engine) = (way!(), engine!());
    let container = engine.container(&["sh", "-c", "echo main; exit 6"]).create();
    way.check(&["attach", "-n", &place(engine, container.name())], "main\n", 6);
    let image = format!("ssh:a|image:busybox?engine={}", engine.host());
    way.check(&["run", &image, "--", "sh", "-c", "exit 4"], "", 4);
}

#[test]
fn where_the_server_forwards_nothing() {
    let (way, engine) = (way!("DisableForwarding yes", ""), engine!());
    let container = engine.container(&["sleep", "600"]).start();
    all(&way, engine, container.name());
}

#[test]
fn no_engine_there() {
    let way = way!();
    let args = ["run", "ssh:a|docker:web?engine=unix:///none/docker.sock", "--", "true"];
    way.check_fails(&args, &["ssh:a|unix:///none/docker.sock"], 125);
    let args = ["run", "ssh:a|docker:web?context=x", "--", "true"];
    way.check_fails(&args, &["context"], 125);
}

//! Signals to the tool.

use std::process::{Child, Stdio};

use testkit::{DEADLINE, wait_until};

use crate::tool::{Tool, code, engine, kill, ready};

const SIGNALS: [(&str, i32); 4] = [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)];

#[track_caller]
fn start(tool: &Tool, line: &[&str]) -> Child {
    let mut child = tool.command(line).stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    child
}

#[test]
fn a_command_gets_them() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", sleeper.name());
    for (signal, number) in SIGNALS {
        for verb in ["run", "shell"] {
            let child = start(&tool, &[verb, &place, "sh", "-c", "echo x; exec sleep 1000"]);
            kill(child.id(), signal);
            assert_eq!(code(child), Some(128 + number), "{verb} {signal}");
        }
        let trap = format!("trap 'exit 33' {signal}; echo x; while :; do sleep 0.05; done");
        let child = start(&tool, &["run", &place, "sh", "-c", &trap]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(33), "{signal}");
    }
    let gone = || !sleeper.exec(&["ps"]).1.contains("1000");
    wait_until(DEADLINE, "nothing runs on", gone);
}

#[test]
fn one_that_ignores_them_is_killed() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", sleeper.name());
    let script = "trap '' TERM; echo x; while :; do sleep 0.0777; done";
    let child = start(&tool, &["run", &place, "sh", "-c", script]);
    kill(child.id(), "TERM");
    assert_eq!(code(child), Some(143));
    let gone = || !sleeper.exec(&["ps"]).1.contains("0.0777");
    wait_until(DEADLINE, "it is gone", gone);
}

#[test]
fn a_fresh_container_goes_with_them() {
    let engine = engine!(own);
    let tool = Tool::new(&engine);
    let left = || engine.docker(&["ps", "-aq", "--filter", "label=thither"]);
    for (signal, number) in SIGNALS {
        // The first process of a container ignores what it has no handler for.
        let script = "trap 'exit 44' TERM INT HUP QUIT; echo x; while :; do sleep 0.05; done";
        let child = start(&tool, &["run", "image:busybox", "sh", "-c", script]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(44), "{signal}");
        wait_until(DEADLINE, "it is removed", || left().is_empty());
        let _ = number;
    }
    let child = start(&tool, &["run", "image:busybox", "sh", "-c", "echo x; exec sleep 1000"]);
    kill(child.id(), "TERM");
    assert_eq!(code(child), Some(143));
    wait_until(DEADLINE, "it is removed", || left().is_empty());
}

#[test]
fn the_main_process_gets_them_or_not() {
    let engine = engine!(shared);
    let script = "trap 'exit 55' TERM INT QUIT; echo x; while :; do sleep 0.05; echo x; done";
    let tool = Tool::new(engine);
    for signal in ["TERM", "INT", "QUIT"] {
        let container = engine.container(&["sh", "-c", script]).create();
        let place = format!("docker:{}", container.name());
        let child = start(&tool, &["attach", &place]);
        kill(child.id(), signal);
        assert_eq!(code(child), Some(55), "{signal}");
    }
    for (signal, number) in SIGNALS {
        let container = engine.container(&["sh", "-c", script]).create();
        let place = format!("docker:{}", container.name());
        let child = start(&tool, &["attach", "--sig-proxy=false", &place]);
        kill(child.id(), signal);
        let code = code(child);
        assert!(code.is_none() || code == Some(128 + number), "{signal}: {code:?}");
        assert!(container.is_running(), "{signal}");
    }
    // A HUP is our terminal's affair, and not the container's.
    let container = engine.container(&["sh", "-c", script]).create();
    let child = start(&tool, &["attach", &format!("docker:{}", container.name())]);
    kill(child.id(), "HUP");
    let code = code(child);
    assert!(code.is_none() || code == Some(129), "{code:?}");
    assert!(container.is_running());
}

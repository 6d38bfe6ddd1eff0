//! Without a terminal: pipes, files, codes.

use std::io::Read;
use std::process::Stdio;

use crate::common::{finish, output};
use crate::tool::{Tool, engine, failure, to};

#[test]
fn output_errors_and_the_code() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    for verb in ["run", "shell"] {
        let place = format!("docker:{}", sleeper.name());
        let mut command =
            tool.command([verb, &place, "sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!(tool.says_to(&mut command), ("out\n".into(), "err\n".into(), 7));
        let mut command = tool.command([verb, &place, "sh", "-c", "kill -9 $$"]);
        assert_eq!(tool.says_to(&mut command), (String::new(), String::new(), 137));
        let (_, said, code) = tool.says(&format!("{verb} {place} no-such"));
        assert_eq!((said.lines().count(), code), (1, 127), "{said}");
        let (_, said, code) = tool.says(&format!("{verb} {place} /etc"));
        assert_eq!((said.lines().count(), code), (1, 126), "{said}");
    }
}

#[test]
fn what_is_set_over_there() {
    let engine = engine!(shared);
    let container = engine.container(&["sleep", "inf"]).env("OWN", "1").start();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", container.name());
    let flags = ["run", "--env", "A=b c", "--dir", "/bin", "--user", "1000:1001", &place];
    let script = "echo $OWN-$A-$(pwd)-$(id -u):$(id -g)";
    let mut command = tool.command(flags.into_iter().chain(["sh", "-c", script]));
    assert_eq!(tool.says_to(&mut command).0, "1-b c-/bin-1000:1001\n");
    let said = tool.says(&format!("run --clear-env {place} sh -c export")).0;
    assert!(!said.contains("OWN"), "{said}");
    let said = tool.says(&format!("run {place}?user=1000&dir=/bin id -u"));
    assert_eq!(said, ("1000\n".into(), String::new(), 0));
    // All rights, and not.
    let status = |flags: &str| {
        let line = format!("run{flags} {place} grep CapBnd /proc/self/status");
        tool.says(&line).0
    };
    assert_ne!(status(""), status(" --privileged"));
}

#[test]
fn input_is_passed_on_or_left_alone() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", sleeper.name());
    let input = vec![b'x'; 4 << 20];
    let found = output(&mut tool.command(["run", &place, "wc", "-c"]), &input);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), (4 << 20).to_string());
    let found = output(&mut tool.command(["run", "-n", &place, "wc", "-c"]), &input);
    assert_eq!(found.stdout, b"0\n");
    // Nobody reads it.
    let found = output(&mut tool.command(["run", &place, "true"]), &input);
    assert_eq!((found.status.code(), &*found.stderr), (Some(0), &b""[..]));
    // A closed standard input.
    let mut closed = std::process::Command::new("sh");
    closed.args(["-c", "exec \"$@\" <&-", "sh", crate::tool::THITHER, "run", &place, "cat"]);
    closed.env("DOCKER_HOST", engine.host());
    assert_eq!(output(&mut closed, b"").status.code(), Some(0));
    // A shell reads its script.
    let found = output(&mut tool.command(["shell", &place]), b"echo script; exit 5\n");
    assert_eq!((found.status.code(), &*found.stdout), (Some(5), &b"script\n"[..]));
}

#[test]
fn a_full_disk_and_a_closed_pipe() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let chatter = engine.container(&["yes"]).create();
    let tool = Tool::new(engine);
    let lines = [
        vec!["run".to_owned(), format!("docker:{}", sleeper.name()), "yes".into()],
        vec!["run".to_owned(), "image:busybox".into(), "yes".into()],
        vec!["attach".to_owned(), format!("docker:{}", chatter.name())],
    ];
    for line in &lines {
        let child = tool.command(line).stdout(to("/dev/full")).stderr(Stdio::piped()).spawn();
        let found = finish(child.unwrap(), |child| child.wait_with_output());
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        let said = failure((String::new(), said, found.status.code().unwrap_or(-1)));
        assert_eq!(
            said, "error: cannot write to standard output: no space left on device\n",
            "{line:?}"
        );

        let mut command = tool.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 2]).unwrap();
        drop(stdout);
        let found = finish(child, |child| child.wait_with_output());
        // A command dies of it, as a local one does; a container's first process is immune, and nobody looks any more.
        let expected = if line[1] == lines[0][1] { 141 } else { 0 };
        assert_eq!((found.status.code(), &*found.stderr), (Some(expected), &b""[..]), "{line:?}");
    }
}

#[test]
fn the_main_process() {
    let engine = engine!(shared);
    let script = "echo before; cat; echo err >&2; exit 9";
    let container = engine.container(&["sh", "-c", script]).stdin_open();
    let container = container.with(serde_json::json!({"StdinOnce": true})).create();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", container.name());
    for _ in 0..2 {
        let found = output(&mut tool.command(["attach", &place]), b"in\n");
        assert_eq!(found.stdout, b"before\nin\n");
        assert_eq!((&*found.stderr, found.status.code()), (&b"err\n"[..], Some(9)));
    }
    let quiet = engine.container(&["sh", "-c", "echo once; exit 3"]).create();
    let place = format!("docker:{}", quiet.name());
    assert_eq!(tool.says(&format!("attach {place}")), ("once\n".into(), String::new(), 3));
    let found = tool.says(&format!("attach --logs -n {place}"));
    assert_eq!(found, ("once\nonce\n".into(), String::new(), 3));
}

#[test]
fn sixty_four_mib() {
    let engine = engine!(shared);
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tool = Tool::new(engine);
    let place = format!("docker:{}", sleeper.name());
    let script = format!(
        "head -c 67108864 /dev/urandom >in; {} run {place} cat <in >out; cmp in out",
        crate::tool::THITHER
    );
    let mut sh = std::process::Command::new("sh");
    sh.args(["-ec", &script]).current_dir(tool.test.dir()).env("DOCKER_HOST", engine.host());
    let found = output(&mut sh, b"");
    assert!(found.status.success(), "{found:?}");
}

//! `thither list docker:`.

use crate::tool::{Tool, engine, to};

#[test]
fn a_table_and_json() {
    let engine = engine!(own);
    let tool = Tool::new(&engine);
    assert_eq!(tool.says("list docker:").0, "NAME  STATE  IMAGE  STATUS\n");
    assert_eq!(tool.says("list --json docker:").0, "[]\n");
    let _one = engine.container(&["sleep", "inf"]).name("web").start();
    let _two = engine.container(&["sleep", "inf"]).name("a_much-longer.name").create();
    let (table, said, code) = tool.says("list docker:");
    assert_eq!((&*said, code), ("", 0));
    let mut rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(rows.remove(0), ["NAME", "STATE", "IMAGE"]);
    rows.sort();
    assert_eq!(rows, [["a_much-longer.name", "created", "busybox"], ["web", "running", "busybox"]]);
    let column = |line: &str| line.find("busybox");
    let columns: Vec<_> = table.lines().skip(1).map(column).collect();
    assert_eq!(columns[0], columns[1], "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&tool.says("list --json docker:").0).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    let web = json.as_array().unwrap().iter().find(|one| one["name"] == "web").unwrap();
    assert_eq!((&web["state"], &web["image"]), (&"running".into(), &"busybox".into()));
    assert_eq!(web["id"].as_str().unwrap().len(), 64);
}

#[test]
fn what_cannot_be_listed_or_written() {
    let engine = engine!(shared);
    let tool = Tool::new(engine);
    for line in ["list local:", "list docker:web", "list chroot:/", "list docker:?nonsense"] {
        tool.fails(line);
    }
    let mut command = tool.command(["list", "docker:"]);
    command.stdout(to("/dev/full"));
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let found = crate::common::finish(child, |child| child.wait_with_output());
    assert_eq!(found.status.code(), Some(125));
    assert_eq!(found.stderr, b"error: cannot write to standard output: no space left on device\n");
}

#[test]
fn names_that_a_terminal_would_obey() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // No engine takes such names, so it is none.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    let ping = String::from_utf8_lossy(&bytes[..n]).contains("/_ping");
                    let body = match ping {
                        true => "OK",
                        false => {
                            r#"[{"Id": "0f", "Names": ["/a\u001b[2J\nb\u202e"], "Image": "x\ty", "State": "\u0007", "Status": "\r"}]"#
                        }
                    };
                    let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length:";
                    let _ = write!(stream, "{head} {}\r\n\r\n{body}", body.len());
                }
            });
        }
    });
    let tool = Tool::at(format!("unix://{}", path.display()));
    for line in ["list docker:", "list --json docker:"] {
        let (out, err, code) = tool.says(line);
        assert_eq!((&*err, code), ("", 0));
        let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!out.contains(bad), "{out:?}");
        assert_eq!(out.lines().count(), if line.contains("json") { 3 } else { 2 }, "{out:?}");
    }
}

/// What bash offers for a line, sorted.
fn completed(tool: &Tool, line: &str) -> String {
    let script = "\
        eval \"$($T generate bash)\"; PATH=${T%/*}:$PATH; COMP_LINE=$1; COMP_POINT=${#1}
        read -ra COMP_WORDS <<<\"$1\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _thither_places thither \"${COMP_WORDS[-1]##*:}\" \"${COMP_WORDS[-2]}\" 2>/dev/null
        printf '%s\\n' \"${COMPREPLY[@]}\" | sort";
    let program = tool.command(["x"]).get_program().to_owned();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", script, "bash", line]).env("T", program).env("DOCKER_HOST", tool.host());
    tool.says_to(&mut bash).0
}

#[test]
fn names_are_completed() {
    let engine = engine!(own);
    let tool = Tool::new(&engine);
    let _one = engine.container(&["sleep", "inf"]).name("web-1").create();
    let _two = engine.container(&["sleep", "inf"]).name("web-2").create();
    let _other = engine.container(&["sleep", "inf"]).name("db").create();
    assert_eq!(completed(&tool, "thither shell docker:web"), "web-1\nweb-2\n");
    assert_eq!(completed(&tool, "thither attach docker:d"), "db\n");
    assert_eq!(completed(&tool, "thither run dock"), "docker:\n");
    assert_eq!(completed(&tool, "thither run --netw"), "--network\n");
}

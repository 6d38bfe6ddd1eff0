//! Engines that break the protocol: each an error of its own, in bounded memory, and at once.

use std::time::Duration;

use expect_test::{Expect, expect};
use testkit::within_deadline;
use thither_docker::{Attach, Container, Image};
use thither_place::{Exit, Place, Stream, WindowSize};

use crate::common::{null, piped, read_all, sh, told};
use crate::fake::{Fake, PROMISE, answer, ping};

fn asked(container: Container) -> String {
    let result = within_deadline("an answer", move || container.is_running());
    match result {
        Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        Ok(answer) => answer.to_string(),
    }
}

/// What becomes of this answer to the first request of all.
#[track_caller]
fn check_ping(bytes: impl Into<Vec<u8>>, expected: Expect) {
    let bytes = bytes.into();
    let fake = Fake::new(move |_| bytes.clone());
    expected.assert_eq(&asked(fake.container()));
}

/// What becomes of this answer to `GET /containers/web/json`.
#[track_caller]
fn check_json(bytes: impl Into<Vec<u8>>, expected: Expect) {
    let bytes = bytes.into();
    let fake = Fake::new(move |line| match line.ends_with("/_ping") {
        true => ping("1.41"),
        false => bytes.clone(),
    });
    expected.assert_eq(&asked(fake.container()));
}

fn body(text: &str) -> Vec<u8> {
    answer("200 OK", text)
}

fn chunked(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}").into_bytes()
}

#[test]
fn what_is_no_engine() {
    check_ping("", expect!["the connection to the engine at `unix:///fake` was lost; "]);
    check_ping(
        "SSH-2.0-OpenSSH_9.6\r\n",
        expect![
            "what answers at `unix:///fake` is no engine: it does not speak HTTP (invalid HTTP version); check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_ping(
        b"\x15\x03\x01\0\x02\x02\x16".to_vec(),
        expect![
            "what answers at `unix:///fake` is no engine: it does not speak HTTP (invalid HTTP version); check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_ping(
        body("<html>hello</html>"),
        expect![
            "what answers at `unix:///fake` is no engine: it answers a ping by something else; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_ping(
        answer("503 Busy", "{\"message\": \"come back later\"}"),
        expect!["the engine says: come back later; "],
    );
    check_ping(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Le",
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
    check_ping(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nO",
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
    check_ping(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: -2\r\n\r\nOK",
        expect![[
            r#"what answers at `unix:///fake` is no engine: a content length of "-2"; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"#
        ]],
    );
    check_ping(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: gzip\r\n\r\nOK",
        expect![[
            r#"what answers at `unix:///fake` is no engine: an answer in the transfer coding "gzip"; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"#
        ]],
    );
    check_ping(
        format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000)),
        expect![
            "what answers at `unix:///fake` is no engine: a head without end; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_ping(
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(500)),
        expect![
            "what answers at `unix:///fake` is no engine: it does not speak HTTP (too many headers); check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
}

#[test]
fn answers_that_are_not_as_documented() {
    check_json(
        body(""),
        expect![
            "what answers at `unix:///fake` is no engine: an answer that is not as documented: EOF while parsing a value at line 1 column 0; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        body("{}"),
        expect![
            "what answers at `unix:///fake` is no engine: an answer that is not as documented: missing field `Id` at line 1 column 2; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        body("[1, 2"),
        expect![
            "what answers at `unix:///fake` is no engine: an answer that is not as documented: invalid type: integer `1`, expected a string at line 1 column 2; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        body(&"[".repeat(100_000)),
        expect![
            "what answers at `unix:///fake` is no engine: an answer that is not as documented: invalid type: sequence, expected a string at line 1 column 1; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        body(r#"{"Id": 1, "State": {}, "Config": {}}"#),
        expect![
            "what answers at `unix:///fake` is no engine: an answer that is not as documented: invalid type: integer `1`, expected a string at line 1 column 8; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        answer("500 No", &"x".repeat(1000)),
        expect![
            "the engine says: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx (HTTP status 500); "
        ],
    );
    check_json(
        answer("404 No", "\x1b[2J\x07evil\r\nsecond"),
        expect!["the engine says: [2Jevil (HTTP status 404); "],
    );
    check_json(
        answer("404 No", r#"{"message": "a\u001b[2Jb\nc"}"#),
        expect![[r#"
        the engine says: a[2Jb
        c; "#]],
    );
    check_json(answer("500 No", ""), expect!["the engine says: HTTP status 500; "]);
    check_json(answer("302 Found", ""), expect!["the engine says: HTTP status 302; "]);
    check_json(answer("101 Switching", ""), expect!["the engine says: HTTP status 101; "]);
}

#[test]
fn chunks() {
    let good = r#"{"Id": "x", "State": {"Running": true}, "Config": {}}"#;
    check_json(chunked(&format!("{:x}\r\n{good}\r\n0\r\n\r\n", good.len())), expect!["true"]);
    check_json(
        chunked(&format!("{:x};a=b\r\n{good}\r\n0\r\nT: x\r\n\r\n", good.len())),
        expect!["true"],
    );
    check_json(
        chunked(&format!("{:x}\r\n{good}\r\n0\r\n\r\n", good.len() - 1)),
        expect![
            "what answers at `unix:///fake` is no engine: a chunk longer than announced; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        chunked(&format!("{:x}\r\n{good}", good.len() + 9)),
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
    check_json(
        chunked("ffffffffffffffff\r\nx"),
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
    check_json(
        chunked("fffffffffffffffff\r\nx"),
        expect![[
            r#"what answers at `unix:///fake` is no engine: a chunk of length "fffffffffffffffff"; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"#
        ]],
    );
    check_json(
        chunked("-1\r\nx"),
        expect![[
            r#"what answers at `unix:///fake` is no engine: a chunk of length "-1"; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"#
        ]],
    );
    check_json(
        chunked("+1\r\n{\r\n"),
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
    check_json(
        chunked("\r\n"),
        expect![[
            r#"what answers at `unix:///fake` is no engine: a chunk of length ""; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"#
        ]],
    );
    check_json(
        chunked(&"1".repeat(100_000)),
        expect![
            "what answers at `unix:///fake` is no engine: a chunk's line without end; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_json(
        chunked(&format!("{:x}\r\n{good}\r\n0\r\n{}", good.len(), "T: x\r\n".repeat(1000))),
        expect![
            "what answers at `unix:///fake` is no engine: trailers without end; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
}

#[test]
fn an_answer_without_end_is_not_kept() {
    let huge = 40 * 1024 * 1024;
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {huge}\r\n\r\n{}", " ".repeat(huge));
    check_json(
        text,
        expect![
            "what answers at `unix:///fake` is no engine: an answer of more than 8388608 bytes; check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    let length = u64::MAX;
    check_json(
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nx"),
        expect!["the connection to the engine at `unix:///fake` was lost; "],
    );
}

/// An engine whose exec 0f says these bytes as its stream.
fn says(bytes: &'static [u8]) -> Fake {
    Fake::new(move |line| match line {
        _ if line.ends_with("/_ping") => ping("1.41"),
        _ if line.ends_with("/exec") => answer("201 Created", r#"{"Id": "0f"}"#),
        _ if line.ends_with("/exec/0f/start") => {
            let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            [head.as_bytes(), bytes].concat()
        }
        _ if line.ends_with("/exec/0f/json") => {
            answer("200 OK", r#"{"Running": false, "ExitCode": 0, "Pid": 7}"#)
        }
        _ => answer("404 Not Found", r#"{"message": "no"}"#),
    })
}

#[track_caller]
fn check_frames(bytes: &'static [u8], expected: Expect) {
    let fake = says(bytes);
    let mut process = fake.container().spawn(&piped(sh("x"))).unwrap();
    let [out, err] =
        [process.stdout.take(), process.stderr.take()].map(|end| read_all(end.unwrap()));
    let [out, err] = [out, err].map(|text| text.escape_ascii().to_string());
    let end = match crate::common::wait(process) {
        Ok(exit) => format!("{exit:?}"),
        Err(error) => told(&error),
    };
    expected.assert_eq(&format!("{out} {err}; {end}"));
    // The same in the caller's own loop.
    let fake = says(bytes);
    let process = fake.container().spawn(&null(sh("x"))).unwrap();
    let again = match crate::common::wait(process) {
        Ok(exit) => format!("{exit:?}"),
        Err(error) => told(&error),
    };
    assert_eq!(again, end);
}

#[test]
fn frames() {
    check_frames(b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x02ho", expect!["hi ho; Code(0)"]);
    check_frames(b"\0\0\0\0\0\0\0\x02hi\x03\0\0\0\0\0\0\x02ho", expect!["hi ho; Code(0)"]);
    check_frames(b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", expect![" ; Code(0)"]);
    check_frames(b"", expect![" ; Code(0)"]);
    check_frames(
        b"\x04\0\0\0\0\0\0\x02hi",
        expect![
            " ; cannot read the command's output in `docker:web`: what answers at `unix:///fake` is no engine: a frame that begins with [04, 00, 00, 00]; exit code 125; hint: check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_frames(
        b"\x01\0\0\x01\0\0\0\x02hi",
        expect![
            " ; cannot read the command's output in `docker:web`: what answers at `unix:///fake` is no engine: a frame that begins with [01, 00, 00, 01]; exit code 125; hint: check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_frames(
        b"plain text, no frames",
        expect![
            " ; cannot read the command's output in `docker:web`: what answers at `unix:///fake` is no engine: a frame that begins with [70, 6c, 61, 69]; exit code 125; hint: check DOCKER_HOST; an engine that wants TLS needs DOCKER_TLS_VERIFY=1"
        ],
    );
    check_frames(
        b"\x01\0\0\0\0\0\0\x09hi",
        expect!["hi ; connection to `docker:web` lost; exit code 125"],
    );
    check_frames(
        b"\x01\0\0\0\xff\xff\xff\xffhi",
        expect!["hi ; connection to `docker:web` lost; exit code 125"],
    );
    check_frames(b"\x01\0\0", expect![" ; connection to `docker:web` lost; exit code 125"]);
}

#[test]
fn an_exec_that_nobody_knows_any_more() {
    let fake = Fake::new(|line| match line {
        _ if line.ends_with("/_ping") => ping("1.41"),
        _ if line.ends_with("/exec") => answer("201 Created", r#"{"Id": "../../x?y"}"#),
        _ if line.ends_with("/start") => b"HTTP/1.1 101 UPGRADED\r\n\r\n".to_vec(),
        _ => answer("404 Not Found", r#"{"message": "no such exec"}"#),
    });
    let process = fake.container().spawn(&null(sh("x"))).unwrap();
    let said = told(&crate::common::wait(process).unwrap_err());
    assert!(said.contains("no such exec"), "{said}");
    // The id is theirs: it stays one part of the path.
    assert!(fake.requests().iter().any(|line| line.contains("/exec/..%2F..%2Fx%3Fy/start")));
}

#[test]
fn a_container_whose_end_nobody_tells() {
    let inspected = r#"{"Id": "0f", "State": {"Running": true}, "Config": {}}"#;
    for (wait, expected) in [
        ("", Err("connection to `docker:web` lost; exit code 125")),
        ("{\"StatusCode\": 3}", Ok(Exit::Code(3))),
        ("{\"StatusCode\": 1, \"Error\": {\"Message\": \"gone\"}}", Err("gone")),
        ("{\"StatusCode\": 99999999999}", Err("not as documented")),
        ("{}", Err("not as documented")),
    ] {
        let fake = Fake::new(move |line| match line {
            _ if line.ends_with("/_ping") => ping("1.41"),
            // Its end is that of the connection.
            _ if line.contains("/wait") => format!("HTTP/1.1 200 OK\r\n\r\n{wait}").into_bytes(),
            _ if line.contains("/attach") => b"HTTP/1.1 101 UPGRADED\r\n\r\n".to_vec(),
            _ => answer("200 OK", inspected),
        });
        let attach = Attach::default().streams(Stream::Null, Stream::Null, Stream::Null);
        let process = fake.container().attach(&attach).unwrap();
        match (crate::common::wait(process), expected) {
            (Ok(exit), Ok(expected)) => assert_eq!(exit, expected),
            (Err(error), Err(words)) => assert!(told(&error).contains(words), "{error:?}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }
}

/// dockerd finds the container, removes it, and only then begins to wait for its removal: it says so, and waits for ever.
#[test]
fn a_removal_that_nobody_tells() {
    let fake = Fake::new(|line| match line {
        _ if line.ends_with("/_ping") => ping("1.41"),
        _ if line.ends_with("/containers/create") => answer("201 Created", r#"{"Id": "0f"}"#),
        _ if line.contains("condition=removed") => PROMISE.to_vec(),
        _ if line.contains("/wait") => answer("200 OK", r#"{"StatusCode": 3}"#),
        _ if line.contains("/attach") => b"HTTP/1.1 101 UPGRADED\r\n\r\n".to_vec(),
        _ if line.ends_with("/containers/0f/json") => answer("404 Not Found", "{}"),
        _ => answer("200 OK", r#"{"Id": "1f", "Config": {}}"#),
    });
    let image = Image::new(fake.engine(), "busybox", Default::default());
    let process = image.spawn(&null(sh("exit 3"))).unwrap();
    assert_eq!(crate::common::wait(process).unwrap(), Exit::Code(3));
    assert!(fake.requests().iter().any(|line| line.contains("condition=removed")));
}

#[test]
fn a_terminal_whose_engine_says_no_to_resizes() {
    let fake = Fake::new(|line| match line {
        _ if line.ends_with("/_ping") => ping("1.44"),
        _ if line.ends_with("/exec") => answer("201 Created", r#"{"Id": "0f"}"#),
        _ if line.ends_with("/start") => b"HTTP/1.1 101 UPGRADED\r\n\r\nhello".to_vec(),
        _ if line.ends_with("/json") => {
            answer("200 OK", r#"{"Running": false, "ExitCode": 4, "Pid": 7}"#)
        }
        _ => answer("500 No", r#"{"message": "no resize"}"#),
    });
    let size = WindowSize { cols: 80, rows: 24 };
    let mut process = fake.container().spawn(&sh("x").terminal(size)).unwrap();
    for _ in 0..10 {
        process.resize(size).unwrap();
    }
    assert_eq!(crate::common::Screen::of(&mut process).rest(), "hello");
    assert_eq!(crate::common::wait(process).unwrap(), Exit::Code(4));
}

#[test]
fn lists_of_hostile_names() {
    let list = r#"[{"Id": "0f", "Names": ["/a\u001b[2Jb", "/x/y"], "Image": null}]"#;
    let list = list.replace("null", r#""i\nmage""#);
    let fake = Fake::new(move |line| match line.ends_with("/_ping") {
        true => ping("1.41"),
        false => answer("200 OK", &list),
    });
    let engine = fake.engine().limit(Duration::from_secs(5));
    let found = within_deadline("a list", move || engine.containers(None)).unwrap();
    assert_eq!(found[0].name, "a\x1b[2Jb");
    assert_eq!(found[0].id, "0f");
}

#[test]
fn a_connection_that_the_engine_closes_is_not_used_again() {
    let inspected = r#"{"Id": "0f", "State": {"Running": true}, "Config": {}}"#;
    for close in ["Connection: close\r\n", "connection: Close\r\n", ""] {
        let fake = Fake::new(move |line| match line.ends_with("/_ping") {
            true => ping("1.41"),
            false => format!(
                "HTTP/1.1 200 OK\r\n{close}Content-Length: {}\r\n\r\n{inspected}",
                inspected.len()
            )
            .into_bytes(),
        });
        let container = fake.container();
        for _ in 0..50 {
            assert!(container.is_running().unwrap());
        }
    }
}

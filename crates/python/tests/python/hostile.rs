//! The other side is an enemy: it greets as the agent does, and then sends what it likes.

use std::time::Duration;

use testkit::within_deadline;
use thither_python::{Error, Object, Python, Value, locals};

use crate::{program, quiet};

/// Finds the marker, greets, and waits for the first call; then `sent` runs.
const FAKE: &str = r#"#!PYTHON
import os, sys, struct, marshal
def read(n):
    b = b''
    while len(b) < n:
        c = os.read(0, n - len(b))
        if not c: os._exit(0)
        b += c
    return b
def frame(kind, payload=b'', flags=0, id=0, within=0, length=None):
    return struct.pack('<IBBHII', len(payload) if length is None else length, kind, flags, 0, id, within) + payload
def dumps(*v): return marshal.dumps(v, 2)
def write(b):
    while b: b = b[os.write(1, b):]
def call():
    length, kind, flags, tag, id, within = struct.unpack('<IBBHII', read(16))
    read(length)
    return kind, id
info = dumps(('3.6', (3, 6, 0), 1, 'linux', '', 'little'), ())
head = read(64)
read(int(head[32:48]))
REPLY, ERROR, CALLBACK, RETURN, RAISE, CANCEL, DROP, OUTPUT, LOG, HELLO = range(1, 11)
"#;

fn fake(code: &str) -> Result<Python, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fake");
    let text = FAKE.replace("PYTHON", program()) + code;
    testkit::write_program(&path, &text);
    quiet().local(path.to_str().unwrap())
}

/// A greeting, and what is sent when the first call has come.
fn greeted(sent: &str) -> Python {
    let code = format!(
        "write(head[:32] + frame(HELLO, info, flags=1))\nkind, id = call()\n{sent}\nwhile True: call()\n"
    );
    fake(&code).unwrap_or_else(|error| panic!("{sent}: {error}"))
}

#[test]
fn greetings() {
    #[track_caller]
    fn check(code: &str) {
        let name = code.to_string();
        let code = format!("{code}\nwhile True: read(1)\n");
        let error = within_deadline(&name, move || fake(&code).unwrap_err());
        assert!(
            matches!(error, Error::Start { .. } | Error::Protocol { .. } | Error::Decode(_)),
            "{name}: {error}"
        );
    }
    check("write(head[:32] + b'garbage' * 100)");
    check("write(head[:32] + frame(HELLO, info, flags=99))");
    check("write(head[:32] + frame(HELLO, info, flags=1, length=0xffffffff))");
    check("write(head[:32] + frame(HELLO, b'', flags=1))");
    check("write(head[:32] + frame(HELLO, dumps(1, 2, 3), flags=1))");
    check("write(head[:32] + frame(HELLO, b'c' * 100, flags=1))");
    check("write(head[:32] + frame(HELLO, b'(' + b'\\xff' * 50, flags=1))");
    check("write(head[:32] + frame(OUTPUT, b'x', flags=1))");
    check("write(head[:31]); os._exit(0)");
    check("write(head[:32]); os._exit(0)");
}

/// The first call fails, without a panic and within the time; `sent` is what comes instead of the reply.
#[track_caller]
fn check(sent: &str) {
    let name = sent.to_string();
    let sent = name.clone();
    let error = within_deadline(&name, move || {
        let py = greeted(&sent).with_timeout(Duration::from_secs(5));
        let got = py.eval::<Value>("1", ());
        let error = got.expect_err(&sent);
        // Whatever it was, it ends.
        let _ = py.eval::<Object>("1", ());
        py.close().unwrap();
        error
    });
    assert!(!matches!(error, Error::Python(_) | Error::TimedOut { .. }), "{name}: {error}");
}

#[test]
fn frames() {
    check("write(b'garbage' * 1000)");
    check("write(b'\\0' * 100000)");
    check("write(os.urandom(100000))");
    check("write(frame(77, b''))");
    check("write(frame(0, b'x'))");
    check("write(frame(HELLO, info))");
    check("write(frame(REPLY, dumps(1, ()), id=id + 1))");
    check("write(frame(REPLY, dumps(1, ()), id=0))");
    check("write(frame(REPLY, length=0xffffffff, id=id)); os._exit(0)");
    check("write(frame(REPLY, length=1000, id=id) + b'x'); os._exit(0)");
    check("write(frame(REPLY, dumps(1, ()), id=id)[:10]); os._exit(0)");
    check("write(frame(RETURN, dumps(1, ()), id=id))");
    check("os._exit(0)");
    check("os.close(1)");
    check("os.close(0); os.close(1); os._exit(0)");
}

#[test]
fn payloads() {
    for payload in [
        "b''",
        "b'N'",
        "b'x' * 10",
        "dumps(1)",
        "dumps(1, 2)",
        "dumps(1, (1,))",
        "dumps(1, ((1, 2, 3),))",
        "dumps(1, ((9, 1),))",
        "dumps(1, ((0, -1),))",
        "dumps(StopIteration, ())",
        "dumps(StopIteration, ((0, 1 << 40),))",
        "dumps(StopIteration, ((1, 5),))",
        "dumps(StopIteration, ((2, -5),))",
        "dumps([StopIteration] * 3, ((0, 1),))",
        "dumps(compile('1', '', 'eval'), ())",
        "marshal.dumps((1, ()), 4)",
        "b'\\xa8' + dumps(1, ())",
        "dumps(1, ())[:-1]",
        "b'(' + b'\\xff' * 4",
        "b'(\\2\\0\\0\\0[\\xff\\xff\\xff\\x7f'",
        "b'(\\2\\0\\0\\0' + b'[\\1\\0\\0\\0' * 100000",
        "b'{' * 100000",
        "b'l\\xff\\xff\\xff\\x7f'",
    ] {
        check(&format!("write(frame(REPLY, {payload}, id=id))"));
    }
    // As an exception: it is one, or it is none.
    for payload in [
        "b''",
        "dumps(1, ())",
        "dumps(('a',), ())",
        "dumps((1, 2, 3, 4, 5), ())",
        "dumps(('E', ('E',), StopIteration, '', ''), ())",
    ] {
        check(&format!("write(frame(ERROR, {payload}, id=id))"));
    }
}

/// Ignored, or the end: no panic.
#[test]
fn beside_a_reply() {
    for sent in [
        "write(frame(CALLBACK, b'garbage', id=1, within=id))",
        "write(frame(CALLBACK, dumps(99, (), {}, ()), id=1, within=id))",
        "write(frame(CALLBACK, dumps(-1, (), {}, ()), id=1))",
        "write(frame(CALLBACK, dumps(2, (), {}, ((0, 7),)), id=1))",
        "write(frame(DROP, b'garbage'))",
        "write(frame(DROP, dumps(((2, 1 << 70), (-1, -1)), ())))",
        "write(frame(OUTPUT, b'x' * 100000, flags=200))",
        "write(frame(LOG, b'garbage'))",
        "write(frame(OUTPUT))",
        "write(frame(DROP))",
        "write(frame(LOG))",
    ] {
        let code = format!("{sent}\nwrite(frame(REPLY, dumps(5, ()), id=id))");
        let name = code.clone();
        within_deadline(&name, move || {
            let py = greeted(&code);
            let f = py.callback(|(): ()| Ok(()));
            let got = py.eval::<i64>("1", locals! { f: &f });
            assert!(matches!(got, Ok(5) | Err(Error::Protocol { .. })), "{code}: {got:?}");
        });
    }
}

/// Resident memory of this process, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// What is announced is not allocated, what nobody has asked for is not kept.
#[test]
fn memory_exhaustion_by_announced_size() {
    testkit::own_process!(|program| std::process::Command::new(program));
    within_deadline("a flood", || {
        for sent in [
            "write(frame(REPLY, length=(1 << 30) - 1, id=id)); write(b'x' * 1000)",
            "write(frame(REPLY, dumps(StopIteration, ((2, (1 << 30) - 100),)), id=id)); write(b'x' * 1000)",
            "write(frame(REPLY, dumps((StopIteration,) * 1000, ((2, 1 << 20),) * 1000), id=id)); write(b'x' * 1000)",
            "write(frame(OUTPUT, length=(1 << 30) - 1)); write(b'x' * 1000)",
            "write(frame(REPLY, dumps(StopIteration, ((2, 1 << 62),)), id=id)); write(bytes(300 << 20))",
            "for n in range(20000): write(frame(CALLBACK, dumps(99, (), {}, ()), id=n, within=0))",
            "for n in range(200000): write(frame(CALLBACK, dumps(99, (), {}, ()), id=n, within=id))",
            "for n in range(2000): write(frame(REPLY, dumps((StopIteration,) * 500, ((0, 5),) * 500), id=12345))",
            "for n in range(100000): write(frame(OUTPUT, b'x' * 100))",
        ] {
            let py = greeted(sent).with_timeout(Duration::from_millis(700));
            let before = memory();
            assert!(py.eval::<Value>("1", ()).is_err(), "{sent}");
            let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
            assert!(threads < 600, "{sent}: {threads} threads");
            assert!(memory() < before + 100_000, "{sent}: {} KiB", memory() - before);
            py.close().unwrap();
        }
    });
}

//! The ways to an engine.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use testkit::{Certificates, Engine as Real, Proxy, Setup, skip};
use thither_docker::settings::Selection;
use thither_docker::{Container, Dial, Engine};
use thither_place::{Command, Exit, Place, WindowSize};

use crate::common::{Screen, handle, in_threads, output, piped, read_all, says, sh, shared, wait};

/// All that a way has to do: answers, streams both ways with a half-close, and a terminal.
#[track_caller]
fn check(engine: Engine, name: &str) {
    let place = Container::new(engine, name);
    assert!(place.is_running().unwrap());
    let found = output(&place, &sh("echo out; echo err >&2; exit 7"));
    assert_eq!(
        (found.exit, &*found.stdout, &*found.stderr),
        (Exit::Code(7), &b"out\n"[..], &b"err\n"[..])
    );
    let mut process = place.spawn(&piped(sh("md5sum"))).unwrap();
    let input = std::fs::File::from(process.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        let mut input = input;
        (0..64).try_for_each(|_| std::io::Write::write_all(&mut input, &[b'x'; 64 * 1024]))
    });
    // md5sum of 4 MiB of `x`.
    let sum = read_all(process.stdout.take().unwrap());
    assert_eq!(String::from_utf8_lossy(&sum), "44981362d3ba9b5bacaf017c2f29d355  -\n");
    writer.join().unwrap().unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
    let size = WindowSize { cols: 99, rows: 33 };
    let mut process = place.spawn(&sh("stty size; read -r x; exit 6").terminal(size)).unwrap();
    let mut screen = Screen::of(&mut process);
    screen.expect("33 99\r\n");
    screen.send("\r");
    screen.rest();
    assert_eq!(wait(process).unwrap(), Exit::Code(6));
}

fn of(variables: &[(&str, &str)]) -> Result<Engine, String> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    let settings = Selection::default().of(variable, None).map_err(|error| error.to_string())?;
    Engine::of(&settings).map_err(|error| error.to_string())
}

#[test]
fn a_unix_socket() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    check(of(&[("DOCKER_HOST", &engine.host())]).unwrap(), sleeper.name());
}

#[test]
fn tcp() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = Proxy::tcp(engine.socket());
    check(of(&[("DOCKER_HOST", &proxy.host())]).unwrap(), sleeper.name());
}

#[test]
fn a_stream_handed_in() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let path = engine.socket().to_path_buf();
    let open = move || UnixStream::connect(&path).map(Into::into);
    check(Engine::new("handed in", Dial::Stream(Arc::new(open))), sleeper.name());
}

fn with_tls() -> Result<Real, String> {
    Real::with(Setup { tls: true, ..Setup::default() })
}

#[test]
fn tls() {
    let engine = match with_tls() {
        Ok(engine) => engine,
        Err(reason) => skip!("{reason}"),
    };
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let tls = engine.tls().expect("it was asked for");
    let reach = |folder: &Path| {
        let folder = folder.to_str().unwrap();
        let variables = [
            ("DOCKER_HOST", &*tls.host()),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", folder),
        ];
        of(&variables)
    };
    check(reach(tls.certificates().path()).unwrap(), sleeper.name());

    let asked = |engine: Engine| {
        let engine = engine.limit(std::time::Duration::from_secs(5));
        let error = Container::new(engine, sleeper.name()).is_running().unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        (text, error.hint())
    };
    let others = Certificates::new().unwrap();
    let (said, hint) = asked(reach(others.path()).unwrap());
    assert!(said.starts_with("cannot speak TLS with the engine at") && hint.is_some(), "{said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tls.certificates().path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    let (said, hint) = asked(reach(folder.path()).unwrap());
    assert!(
        said.contains("Certificate") && hint.is_some(),
        "no client certificate: {said} {hint:?}"
    );
    // One that wants TLS, and is spoken to without.
    let (said, hint) = asked(of(&[("DOCKER_HOST", &tls.host())]).unwrap());
    assert!(hint.is_some_and(|hint| hint.contains("DOCKER_TLS_VERIFY")), "{said}");
    // One that knows no TLS, and is spoken to with it.
    let proxy = Proxy::tcp(engine.socket());
    let folder = tls.certificates().path().to_str().unwrap();
    let variables =
        [("DOCKER_HOST", &*proxy.host()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", folder)];
    let (said, _) = asked(of(&variables).unwrap());
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("unix://{}/no", folder.path().display());
    let plain = format!("unix://{}/plain", folder.path().display());
    std::fs::write(folder.path().join("plain"), "").unwrap();
    for host in [&*missing, &*plain, "tcp://127.0.0.1:1"] {
        let engine = of(&[("DOCKER_HOST", host)]).unwrap();
        let error = Container::new(engine, "x").is_running().unwrap_err();
        assert!(error.to_string().starts_with("cannot reach the engine at"), "{error}");
        assert!(error.hint().is_some());
    }
    let error = of(&[("DOCKER_HOST", "tcp://192.0.2.1:2375")]).unwrap_err();
    assert!(error.contains("neither encrypted"), "{error}");
}

#[test]
fn many_threads_share_an_engine() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = Container::new(handle(engine), sleeper.name());
    in_threads(32, 96, |n| {
        assert_eq!(says(&place, &Command::new("echo").arg(n.to_string())), format!("{n}\n"));
    });
}

#[test]
fn a_connection_is_kept_and_one_that_was_closed_is_not_used() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = Proxy::unix(engine.socket());
    let place = Container::new(crate::common::through(&proxy), sleeper.name());
    for _ in 0..5 {
        assert!(place.is_running().unwrap());
    }
    assert_eq!(proxy.connections(), 1);
    proxy.cut();
    assert!(place.is_running().unwrap());
    assert_eq!(proxy.connections(), 2);
}

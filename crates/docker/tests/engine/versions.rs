//! Other versions of the API. The installed engine speaks 1.41: what only newer ones take is asserted as it is sent,
//! and was not run.

use serde_json::Value;
use testkit::Proxy;
use thither_docker::{ApiVersion, Attach, Image};
use thither_place::{Command, Exit, Place, Stream, WindowSize};

use crate::common::{output, sh, shared, there, through, wait};
use crate::fake::{Fake, answer, ping};

const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// The body of the first request whose line has this.
#[track_caller]
fn sent(fake: &Fake, line: &str) -> Value {
    let requests = fake.requests();
    let found = requests.iter().find(|request| request.contains(line));
    let found = found.unwrap_or_else(|| panic!("no {line} in {requests:?}"));
    let body = found.find('{').map_or("null", |at| &found[at..]);
    serde_json::from_str(body).unwrap()
}

/// It answers as an engine of this version, and says no to what starts something.
fn of_version(version: &'static str) -> Fake {
    Fake::new(move |line| match line {
        _ if line.ends_with("/_ping") => ping(version),
        _ if line.contains("/images/") => answer("200 OK", r#"{"Config": {}}"#),
        _ if line.contains("/exec/") || line.ends_with("/start") => {
            answer("500 No", r#"{"message": "enough"}"#)
        }
        _ if line.contains("/wait") || line.contains("/attach") => answer("200 OK", ""),
        _ => answer("201 Created", r#"{"Id": "0f"}"#),
    })
}

#[test]
fn since_1_42_the_size_goes_with_the_start() {
    for version in ["1.42", "1.47", "1.99", "2.0"] {
        let fake = of_version(version);
        let error = fake.container().spawn(&Command::new("top").terminal(SIZE)).unwrap_err();
        assert!(crate::common::told(&error).contains("enough"), "{error:?}");
        let start = sent(&fake, "/exec/0f/start");
        assert_eq!(start["ConsoleSize"], serde_json::json!([24, 80]), "{start}");
        assert_eq!(start["Tty"], true);
        // Nothing holds the program.
        let create = sent(&fake, "/containers/web/exec");
        assert_eq!(create["Cmd"], serde_json::json!(["top"]));

        let fake = of_version(version);
        let image = Image::new(fake.engine(), "x", Default::default());
        let error = image.spawn(&Command::new("top").terminal(SIZE)).unwrap_err();
        assert!(crate::common::told(&error).contains("enough"), "{error:?}");
        let create = sent(&fake, "/containers/create");
        assert_eq!(create["HostConfig"]["ConsoleSize"], serde_json::json!([24, 80]));
        assert_eq!(create["Cmd"], serde_json::json!(["top"]));
    }
}

#[test]
fn before_it_does_not_and_the_program_is_held() {
    let fake = of_version("1.41");
    fake.container().spawn(&Command::new("top").terminal(SIZE)).unwrap_err();
    assert_eq!(sent(&fake, "/exec/0f/start").get("ConsoleSize"), None);
    assert_eq!(sent(&fake, "/containers/web/exec")["Cmd"][0], "sh");
    let fake = of_version("1.41");
    let image = Image::new(fake.engine(), "x", Default::default());
    image.spawn(&Command::new("top").terminal(SIZE)).unwrap_err();
    assert_eq!(sent(&fake, "/containers/create")["HostConfig"].get("ConsoleSize"), None);
}

#[test]
fn the_lower_version_is_spoken() {
    for (theirs, spoken) in [
        ("1.24", "v1.24"),
        ("1.41", "v1.41"),
        ("1.47", "v1.47"),
        ("1.99", "v1.47"),
        ("2.1", "v1.47"),
    ] {
        let fake = of_version(theirs);
        fake.container().is_running().unwrap_err();
        let requests = fake.requests();
        assert_eq!(
            requests,
            ["GET /_ping".to_owned(), format!("GET /{spoken}/containers/web/json")]
        );
    }
}

#[test]
fn a_version_that_is_none_or_too_old() {
    for (version, expected) in [
        ("1.23", "the engine at `unix:///fake` speaks the API up to 1.23, and we from 1.24 on"),
        ("0.9", "the engine at `unix:///fake` speaks the API up to 0.9, and we from 1.24 on"),
        ("one", "what answers at `unix:///fake` is no engine: its API version is \"one\""),
        ("1", "what answers at `unix:///fake` is no engine: its API version is \"1\""),
        (
            "1.99999999999",
            "what answers at `unix:///fake` is no engine: its API version is \"1.99999999999\"",
        ),
        ("", "what answers at `unix:///fake` is no engine: its API version is \"\""),
    ] {
        let error = of_version(version).container().is_running().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// The real engine, which takes requests of 1.24 too, and is made to say that it knows no more.
fn old(engine: &testkit::Engine) -> Proxy {
    let proxy = Proxy::unix(engine.socket());
    proxy.on("GET /_ping");
    proxy.garbage(&ping("1.24"));
    proxy
}

#[test]
fn all_of_it_with_the_oldest() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = old(engine);
    let handle = through(&proxy);
    assert_eq!(handle.version().unwrap(), ApiVersion(1, 24));
    let place = thither_docker::Container::new(handle.clone(), sleeper.name());
    let found = output(&place, &sh("echo out; exit 3"));
    assert_eq!((found.exit, &*found.stdout), (Exit::Code(3), &b"out\n"[..]));
    let mut process = place.spawn(&sh("stty size").terminal(SIZE)).unwrap();
    assert_eq!(crate::common::Screen::of(&mut process).rest(), "24 80\r\n");
    assert_eq!(wait(process).unwrap(), Exit::Code(0));

    let short = engine.container(&["sh", "-c", "echo short; exit 4"]).create();
    let attach = Attach { start: true, ..Attach::default() };
    let attach = attach.streams(Stream::Null, Stream::Piped, Stream::Null);
    let container = thither_docker::Container::new(handle.clone(), short.name());
    let mut process = container.attach(&attach).unwrap();
    let said = crate::common::read_all(process.stdout.take().unwrap());
    assert_eq!((&*said, wait(process).unwrap()), (&b"short\n"[..], Exit::Code(4)));

    let image = Image::new(handle, "busybox", Default::default());
    for code in [0, 5, 0, 6] {
        let found = output(&image, &sh(&format!("echo x; exit {code}")));
        assert_eq!((found.exit, &*found.stdout), (Exit::Code(code), &b"x\n"[..]));
    }
    assert!(proxy.requests().iter().all(|request| {
        let line = String::from_utf8_lossy(request).into_owned();
        line.contains(" /v1.24/") || line.contains(" /_ping")
    }));
    drop(there(engine, &sleeper));
}

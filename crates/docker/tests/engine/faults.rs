//! Engines that die, stall, or are cut off, in the middle of things.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Proxy, within_deadline};
use thither_docker::{Attach, Container, Image};
use thither_place::{Command, Error, Place, Process, Stream, WindowSize};

use crate::common::{Screen, handle, null, own, piped, sh, shared, there, through, told, wait};

const SHORT: Duration = Duration::from_millis(300);
const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

/// Waits until the process has said something, on a pipe or its terminal.
#[track_caller]
fn hear(process: &mut Process) -> Option<Screen> {
    if process.terminal.is_some() {
        let mut screen = Screen::of(process);
        screen.expect("x");
        return Some(screen);
    }
    let mut byte = [0];
    let stdout = process.stdout.as_ref().expect("a pipe");
    assert_eq!(rustix::io::read(stdout, &mut byte).unwrap(), 1);
    None
}

#[track_caller]
fn check_lost(process: Process) {
    let error = wait(process).expect_err("its engine is gone");
    assert_eq!(error.shell_code(), 125, "{error:?}");
    let said = told(&error);
    assert!(said.contains("lost") || said.contains("cannot reach the engine"), "{said}");
}

#[test]
fn an_engine_that_dies() {
    let engine = own!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let main = engine.container(&["sh", "-c", "echo x; exec sleep inf"]).create();
    let place = there(&engine, &sleeper);
    let command = || sh("echo x; exec sleep inf");
    let attach = Attach { start: true, ..Attach::default() };
    let attach = attach.streams(Stream::Piped, Stream::Piped, Stream::Piped);
    let image = Image::new(handle(&engine), "busybox", Default::default());
    let mut all = vec![
        place.spawn(&piped(command())).unwrap(),
        place.spawn(&command().terminal(SIZE)).unwrap(),
        there(&engine, &main).attach(&attach).unwrap(),
        image.spawn(&piped(command())).unwrap(),
    ];
    let _screens: Vec<_> = all.iter_mut().map(hear).collect();
    engine.kill();
    all.into_iter().for_each(check_lost);
    let error = crate::common::error(&place, &null(Command::new("true")));
    assert!(told(&error).contains("cannot reach the engine"), "{error:?}");
}

#[test]
fn an_engine_that_says_nothing() {
    let engine = own!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let patient = handle(&engine).limit(SHORT);
    let place = Container::new(patient.clone(), sleeper.name());
    assert!(place.is_running().unwrap());
    engine.pause();
    let error = crate::common::error(&place, &null(Command::new("true")));
    assert!(told(&error).contains("did not answer within 300ms"), "{}", told(&error));
    assert!(error.hint().is_some());
    let fresh = Container::new(handle(&engine).limit(SHORT), sleeper.name());
    let silent = within_deadline("an answer", move || fresh.is_running()).unwrap_err();
    assert!(matches!(silent, thither_docker::Error::Silent { .. }), "{silent:?}");
    let image = Image::new(patient, "busybox", Default::default());
    let error = crate::common::error(&image, &null(Command::new("true")));
    assert!(told(&error).contains("did not answer"), "{}", told(&error));
    engine.resume();
    assert!(place.is_running().unwrap());
}

#[test]
fn a_start_is_given_up() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = Proxy::unix(engine.socket());
    for needle in ["/_ping", "/exec", "/start", "/resize"] {
        let place = Container::new(through(&proxy), sleeper.name());
        if needle != "/_ping" {
            assert!(place.is_running().unwrap());
        }
        proxy.on(needle);
        proxy.stall();
        let (cancel, end) = std::io::pipe().unwrap();
        let mut command = match needle {
            "/resize" => sh("exit 3").terminal(SIZE),
            _ => null(sh("exit 3")),
        };
        command.cancel = Some(Arc::new(cancel.into()));
        let before = proxy.requests().len();
        let spawning = std::thread::spawn(move || place.spawn(&command));
        // The request is on its way, and nobody answers it.
        testkit::wait_until(testkit::DEADLINE, "a request", || {
            proxy.requests()[before.min(proxy.requests().len())..]
                .iter()
                .any(|request| String::from_utf8_lossy(request).contains(needle))
        });
        drop(end);
        let result = within_deadline("the end of the start", || spawning.join().unwrap());
        assert!(matches!(result, Err(Error::Cancelled { .. })), "{needle}: {result:?}");
        proxy.resume();
        proxy.on("");
    }
}

#[test]
fn a_connection_that_is_cut_between_frames() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let proxy = Proxy::unix(engine.socket());
    let place = Container::new(through(&proxy), sleeper.name());
    let mut process = place.spawn(&piped(sh("echo x; read -r x; exit 3"))).unwrap();
    hear(&mut process);
    proxy.cut();
    // That is how a stream ends; and the engine, which lives, says how the command does.
    assert_eq!(wait(process).unwrap(), thither_place::Exit::Code(3));
}

#[test]
fn a_stream_that_ends_within_a_frame() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    // The answer's head is about 110 bytes.
    for cut in [true, false] {
        let proxy = Proxy::unix(engine.socket());
        let place = Container::new(through(&proxy), sleeper.name());
        assert!(place.is_running().unwrap());
        proxy.on("/start");
        match cut {
            true => proxy.after(5000),
            false => proxy.truncate(5000),
        }
        let command = sh("head -c 100000 /dev/zero; exit 3");
        let process = place.spawn(&piped(command)).unwrap();
        check_lost(process);
    }
}

#[test]
fn an_engine_that_comes_back() {
    let mut engine = own!();
    let name = {
        let stop = serde_json::json!({"StopSignal": "SIGKILL"});
        let sleeper = engine.container(&["sleep", "inf"]).with(stop).start();
        let name = sleeper.name().to_owned();
        std::mem::forget(sleeper);
        name
    };
    let place = Container::new(handle(&engine), &name);
    assert!(place.is_running().unwrap());
    engine.kill();
    place.is_running().unwrap_err();
    engine.restart();
    place.start().unwrap();
    assert_eq!(crate::common::says(&place, &sh("echo back")), "back\n");
}

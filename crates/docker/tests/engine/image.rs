//! Fresh containers of an image.

use std::sync::Mutex;

use testkit::{DEADLINE, wait_until};
use thither_docker::Image;
use thither_docker::image::Options;
use thither_place::{Command, Error, Exit, Place, WindowSize};

use crate::common::{handle, in_threads, null, output, own, piped, says, sh, shared};

fn busybox(engine: &testkit::Engine) -> Image {
    Image::new(handle(engine), "busybox", Default::default())
}

/// How many containers of ours there are, running or not.
fn ours(engine: &testkit::Engine) -> usize {
    engine.docker(&["ps", "-aq", "--filter", "label=thither"]).lines().count()
}

#[test]
fn two_hundred_short_lives_have_their_code_and_their_output() {
    let engine = own!();
    let image = busybox(&engine);
    let wrong = Mutex::new(Vec::new());
    in_threads(8, 200, |n| {
        let code = i32::try_from(n % 125).unwrap();
        let found = image.output(&sh(&format!("echo {n}; exit {code}")));
        match found {
            Ok(found)
                if found.exit == Exit::Code(code)
                    && found.stdout == format!("{n}\n").as_bytes() => {}
            other => wrong.lock().unwrap().push((n, format!("{other:?}"))),
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of 200: {wrong:?}", wrong.len());
    wait_until(DEADLINE, "no container is left", || ours(&engine) == 0);
}

#[test]
fn its_own_command_and_entrypoint() {
    let engine = own!();
    let base = engine.container(&["true"]).name("base").create();
    for (change, name) in
        [("CMD [\"echo\", \"own\"]", "cmd"), ("ENTRYPOINT [\"echo\", \"entry\"]", "entry")]
    {
        let _ =
            engine.docker(&["commit", "--change", "CMD []", "--change", change, base.name(), name]);
    }
    let image = |name: &str, entrypoint: Option<&str>| {
        let entrypoint = entrypoint.map(str::to_owned);
        let options = Options { entrypoint, ..Options::default() };
        Image::new(handle(&engine), name, Default::default()).options(options)
    };
    let own = Command::default_program;
    assert_eq!(says(&image("cmd", None), &own()), "own\n");
    assert_eq!(says(&image("cmd", None), &Command::new("echo").arg("x")), "x\n");
    assert_eq!(says(&image("entry", None), &own()), "entry\n");
    assert_eq!(says(&image("entry", None), &Command::new("x")), "entry x\n");
    assert_eq!(says(&image("entry", Some("")), &Command::new("echo").arg("y")), "y\n");
    assert_eq!(says(&image("cmd", Some("basename")), &Command::new("a/b")), "b\n");
    // The same at a terminal, where a shell holds the command.
    let size = WindowSize { cols: 80, rows: 24 };
    for (name, command, expected) in [
        ("cmd", own(), "own\r\n"),
        ("entry", own(), "entry\r\n"),
        ("entry", Command::new("x"), "entry x\r\n"),
    ] {
        let mut process = image(name, None).spawn(&command.terminal(size)).unwrap();
        assert_eq!(crate::common::Screen::of(&mut process).rest(), expected);
        assert_eq!(crate::common::wait(process).unwrap(), Exit::Code(0));
    }
}

#[test]
fn it_vanishes_when_it_is_dropped() {
    let engine = own!();
    let image = busybox(&engine);
    let process = image.spawn(&null(Command::new("sleep").arg("1000"))).unwrap();
    assert_eq!(ours(&engine), 1);
    drop(process);
    wait_until(DEADLINE, "it is removed", || ours(&engine) == 0);
    let mut process = image.spawn(&null(Command::new("sleep").arg("1000"))).unwrap();
    process.control.detach();
    drop(process);
    assert_eq!(ours(&engine), 1);
}

#[test]
fn a_missing_program_or_image() {
    let engine = own!();
    let image = busybox(&engine);
    for name in ["no-such", "/no/such", "/etc"] {
        let error = crate::common::error(&image, &null(Command::new(name)));
        assert!(matches!(&error, Error::Spawn { program, .. } if program == name), "{error:?}");
    }
    assert_eq!(ours(&engine), 0);
    let missing = Image::new(handle(&engine), "127.0.0.1:1/no/such", Default::default());
    let error = crate::common::error(&missing, &null(Command::new("true")));
    assert!(matches!(&error, Error::Enter { .. }), "{error:?}");
    let bad = Image::new(handle(&engine), "Not A Name", Default::default());
    let error = crate::common::error(&bad, &null(Command::new("true")));
    assert!(matches!(&error, Error::Enter { .. }), "{error:?}");
}

#[test]
fn input_is_half_closed() {
    let engine = shared!();
    let mut process = busybox(engine).spawn(&piped(sh("cat; echo end; exit 9"))).unwrap();
    let stdin = process.stdin.take().unwrap();
    rustix::io::write(&stdin, b"in\n").unwrap();
    drop(stdin);
    assert_eq!(crate::common::read_all(process.stdout.take().unwrap()), b"in\nend\n");
    assert_eq!(crate::common::wait(process).unwrap(), Exit::Code(9));
    let found = output(&busybox(engine), &sh("echo err >&2; read -r x || exit 5"));
    assert_eq!((found.exit, &*found.stderr), (Exit::Code(5), &b"err\n"[..]));
}

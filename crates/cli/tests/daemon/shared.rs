//! One interpreter for all.

use testkit::within_deadline;
use thither::PlaceExt;
use thither::python::Python;

use crate::harness::{Daemon, Folders, ends, kill, lives, prints};

/// A library's connection to the daemon's Python.
#[track_caller]
pub(crate) fn connect(place: &str) -> Python {
    let place = place.to_owned();
    within_deadline("Python of a daemon", move || {
        thither::connect(&place).unwrap().python().unwrap()
    })
}

fn run(py: &Python, code: &str) {
    let (py, code) = (py.clone(), code.to_owned());
    within_deadline("a statement", move || py.exec(&code, ()).unwrap());
}

fn value(py: &Python, code: &str) -> i64 {
    let (py, code) = (py.clone(), code.to_owned());
    within_deadline("a value", move || py.eval(&code, ()).unwrap())
}

fn pid(py: &Python) -> u32 {
    u32::try_from(value(py, "__import__('os').getpid()")).unwrap()
}

fn shared() -> Daemon {
    let folders = Folders::new();
    let socket = folders.socket();
    Daemon::start(folders, &["--python", "--socket", socket.to_str().unwrap()])
}

#[test]
fn what_one_leaves_another_finds() {
    let mut daemon = shared();
    let (one, two) = (connect(&daemon.place), connect(&daemon.place));
    run(&one, "x = 42");
    assert_eq!(value(&two, "x"), 42);
    assert_eq!(pid(&one), pid(&two));
    // Keys typed at the daemon's terminal are not for it.
    assert_eq!(value(&one, "__import__('os').getsid(0)"), i64::from(pid(&one)));
    drop((one, two));
    let three = connect(&daemon.place);
    assert_eq!(value(&three, "x"), 42);
    // A script is the caller's own.
    let own = ["python", &daemon.place, "-c", "print('x' in globals())"];
    assert_eq!(prints(&mut daemon.here(own)), "False\n");
    let before = pid(&three);
    kill(before, "KILL");
    // With all of its threads, which a zombie does not have any more: until then its socket listens.
    testkit::wait_until(testkit::DEADLINE, "the end of the interpreter", || {
        let threads = std::fs::read_dir(format!("/proc/{before}/task"));
        !lives(before) && threads.map_or(0, Iterator::count) <= 1
    });
    let place = daemon.place.clone();
    let four = connect(&place);
    assert_ne!(pid(&four), before);
    assert_eq!(value(&four, "int('x' in globals())"), 0);
    let last = pid(&four);
    drop((three, four));
    daemon.signal("TERM");
    assert_eq!(daemon.ends(), Some(0));
    ends(last, "the interpreter of a daemon that has ended");
}

#[test]
fn it_ends_with_a_daemon_that_is_killed() {
    let mut daemon = shared();
    let py = connect(&daemon.place);
    let pid = pid(&py);
    daemon.signal("KILL");
    daemon.ends();
    ends(pid, "the interpreter of a daemon that was killed");
}

#[test]
fn own_interpreters() {
    let daemon = Daemon::unix(&[]);
    let (one, two) = (connect(&daemon.place), connect(&daemon.place));
    run(&one, "x = 42");
    assert_eq!(value(&two, "int('x' in globals())"), 0);
    assert_ne!(pid(&one), pid(&two));
}

/// What is no interpreter holds up nobody but who asks for it.
#[test]
fn no_interpreter() {
    for (program, why) in [("/no/such", "o such file"), ("/bin/true", "")] {
        let folders = Folders::new();
        let socket = folders.socket();
        let python = format!("--python={program}");
        let daemon = Daemon::start(folders, &[&python, "--socket", socket.to_str().unwrap()]);
        let place = daemon.place.clone();
        let error = within_deadline("an error", move || {
            let error = thither::connect(&place).unwrap().python().unwrap_err();
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text += &format!(": {cause}");
                source = cause.source();
            }
            text
        });
        assert!(error.contains("interpreter") && error.contains(why), "{error}");
        daemon.works();
    }
}

//! Python at every kind of place.

#[path = "../examples/own_place.rs"]
mod own_place;

use std::time::Duration;

use testkit::{BusyboxRoot, DEADLINE, Engine, wait_until, within_deadline};
use thither::python::Python;
use thither::{PlaceExt, PythonError, locals};

/// What an interpreter is to be able to do, wherever it is.
#[track_caller]
fn check_python(py: &Python) {
    let os = py.import("os").unwrap();
    assert_eq!(os.call_method0::<u32>("getpid").unwrap(), py.info().pid);
    let twice = py.callback(|(n,): (i64,)| Ok(n * 2));
    let found: Vec<i64> = py.eval("[f(n) for n in range(3)]", locals! { f: twice }).unwrap();
    assert_eq!(found, [0, 2, 4]);
    let error = py.eval::<i64>("1 // 0", ()).unwrap_err();
    assert!(error.is_instance_of("ZeroDivisionError"), "{error}");
    let long: serde_bytes::ByteBuf = py.eval("bytes(1 << 20)", ()).unwrap();
    assert_eq!(long.len(), 1 << 20);
}

#[track_caller]
fn check(address: &str) {
    let address = address.to_owned();
    within_deadline(&address.clone(), move || {
        let py = thither::connect(&address).expect(&address).python().expect(&address);
        check_python(&py);
        py.close().expect(&address);
    });
}

#[test]
fn here_and_in_another_root() {
    check("local:");
    check("local:?env=PYTHONHASHSEED=0&dir=/");
    check("chroot:/");
    check("chroot:/?tmpfs=/mnt&read-only&net=none");
}

#[test]
fn a_place_of_ones_own() {
    own_place::main().expect("the example works");
    check("umask:027");
    within_deadline("its mask", || {
        let py = thither::connect("umask:027").unwrap().python().unwrap();
        assert_eq!(py.eval::<u32>("__import__('os').umask(0)", ()).unwrap(), 0o27);
    });
}

#[test]
fn where_there_is_none() {
    let root = match BusyboxRoot::new() {
        Ok(root) => root,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let place = thither::connect(format!("chroot:{}", root.path().display())).unwrap();
    let error = place.python().expect_err("no Python is there");
    assert!(matches!(&error, PythonError::NotFound { tried, .. } if tried.len() == 2), "{error}");
    assert_eq!(error.to_string(), "no Python there: tried `python3`, `python`");
    assert!(error.hint().is_some());
}

/// The machine's own Python and libraries.
const VOLUMES: &str = "volume=/usr:/usr&volume=/usr/lib:/lib&volume=/usr/lib64:/lib64";

#[test]
fn in_containers() {
    let engine = match Engine::own() {
        Ok(engine) => engine,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let host = engine.host();
    check(&format!("image:busybox?engine={host}&{VOLUMES}"));
    let volumes = ["/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64"];
    let volumes = volumes.iter().flat_map(|volume| ["--volume", volume]);
    let run: Vec<&str> = ["run", "-d", "--name", "py"]
        .into_iter()
        .chain(volumes)
        .chain(["busybox", "sleep", "1000"])
        .collect();
    engine.docker(&run);
    let address = format!("docker:py?engine={host}");
    check(&address);
    // Several in one container, and one whose container is killed.
    within_deadline("a killed container", move || {
        let place = thither::connect(&address).unwrap();
        let other = place.python().unwrap();
        let py = place.python().unwrap();
        check_python(&py);
        check_python(&other);
        let late = py.clone().with_timeout(Duration::from_secs(15));
        let pending = late.start_eval::<()>("__import__('time').sleep(1000)", ()).unwrap();
        assert_eq!(other.eval::<i64>("1 + 1", ()).unwrap(), 2);
        engine.docker(&["kill", "py"]);
        let error = pending.wait().expect_err("it was killed");
        assert!(error.to_string().contains("lost"), "{error}");
        drop((py, other));
        engine.docker(&["rm", "-f", "py"]);
        wait_until(DEADLINE, "nothing is left", || engine.docker(&["ps", "-aq"]).is_empty());
    });
}

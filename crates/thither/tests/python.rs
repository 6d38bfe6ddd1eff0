//! Python at every kind of place.

#[path = "../examples/own_place.rs"]
mod own_place;

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use testkit::{
    BusyboxRoot, DEADLINE, Engine, SshHome, Sshd, ssh_user, wait_until, within_deadline,
};
use thither::python::{Python, Start};
use thither::{Archive, Command, Local, Place, PlaceExt, Process, Program, PythonError, locals};

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
    check_files(&address, "/tmp", 3);
    // In memory the engine does not look: a command does.
    check_files(&address, "/dev", 3);
    check_files(&format!("{address}&user=12"), "/tmp", 0);
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

/// A place that starts everything by a shell, as over ssh: what is missing ends with 127. The names that it was asked for.
struct Shell {
    path: PathBuf,
    asked: Mutex<Vec<OsString>>,
}

impl Place for Shell {
    fn spawn(&self, command: &Command) -> thither::Result<Process> {
        self.asked.lock().unwrap().push(command.name().to_owned());
        let mut words = command.clone();
        words.args = ["-c", "exec \"$@\"", "sh"].map(OsString::from).into();
        words.args.push(command.name().to_owned());
        words.args.extend(command.args.iter().cloned());
        words.program = Program::Named("/bin/sh".into());
        Local.spawn(&words.env("PATH", &self.path))
    }
}

/// A folder in which Python has only this name; it says so.
fn folder_with(name: &str, script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    testkit::write_program(&folder.path().join(name), script);
    folder
}

/// One with an interpreter that is called this, whatever else is in the PATH.
fn folder_with_python(name: &str, python: &str) -> TempDir {
    folder_with(name, &format!("#!/bin/sh\nexec {python} \"$@\"\n"))
}

#[test]
fn a_place_that_knows_it_only_at_the_end() {
    within_deadline("both names", || {
        let python = Local.python().unwrap().info().executable.clone();
        let folder = folder_with_python("python", &python);
        let place = Shell { path: folder.path().to_owned(), asked: Mutex::default() };
        let mut start = Start::default();
        start.window = 7;
        let py = place.python_with(Command::new, &thither::INTERPRETERS, start).unwrap();
        check_python(&py);
        assert_eq!(*place.asked.lock().unwrap(), ["python3", "python"]);
    });
}

#[test]
fn a_place_that_has_none_says_so_at_the_end() {
    within_deadline("no name", || {
        let folder = tempfile::tempdir().unwrap();
        let place = Shell { path: folder.path().to_owned(), asked: Mutex::default() };
        let error = place.python().unwrap_err();
        assert_eq!(error.to_string(), "no Python there: tried `python3`, `python`");
        let source = error.source().unwrap().to_string();
        assert!(
            source.contains("exit code 127") && source.contains("python: not found"),
            "{source}"
        );
        assert_eq!(*place.asked.lock().unwrap(), ["python3", "python"]);
    });
}

/// One that is there and does not work is not passed over.
#[test]
fn one_that_fails_is_an_error() {
    within_deadline("a bad one", || {
        let folder = folder_with("python3", "#!/bin/sh\necho broken >&2\nexit 3\n");
        let place = Shell { path: folder.path().to_owned(), asked: Mutex::default() };
        let error = place.python().unwrap_err();
        let said = "no Python has answered: it ended with exit code 3; it said: broken";
        assert_eq!(error.to_string(), said);
        assert_eq!(*place.asked.lock().unwrap(), ["python3"]);
    });
}

/// One that every user can run.
const SYSTEM: &str = "/usr/bin/python3";

#[test]
fn over_ssh_the_name_that_is_there() {
    testkit::own_ssh!();
    if let Err(reason) = testkit::find_program(SYSTEM) {
        testkit::skip!("{reason}");
    }
    let (sshd, user) = match (Sshd::start(), ssh_user("sh")) {
        (Ok(sshd), Ok(user)) => (sshd, user),
        (Err(reason), _) | (_, Err(reason)) => testkit::skip!("{reason}"),
    };
    SshHome::knows(&sshd, "");
    within_deadline("ssh", move || {
        let place = thither::connect(format!("ssh:{user}@thither-test")).unwrap();
        let none = ["thither-none-3", "thither-none"];
        let error = place.python_with(Command::new, &none, Start::default()).unwrap_err();
        assert_eq!(error.to_string(), "no Python there: tried `thither-none-3`, `thither-none`");
        let folder = folder_with_python("python", SYSTEM);
        // Only what is needed to start a command is there but it.
        for name in ["sh", "env"] {
            symlink(format!("/bin/{name}"), folder.path().join(name)).unwrap();
        }
        let path = format!("PATH={}", folder.path().display());
        let place = thither::connect(format!("ssh:{user}@thither-test?env={path}")).unwrap();
        let error = place.python_with(Command::new, &["python3"], Start::default()).unwrap_err();
        assert_eq!(error.to_string(), "no Python there: tried `python3`");
        check_python(&place.python().unwrap());
    });
}

/// A place whose own way for files is counted.
struct Counted {
    place: Arc<dyn Place>,
    copies: Arc<AtomicUsize>,
}

impl Place for Counted {
    fn spawn(&self, command: &Command) -> thither::Result<Process> {
        self.place.spawn(command)
    }

    fn get(&self, path: &Path) -> thither::Result<Archive> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        self.place.get(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> thither::Result<()> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        self.place.put(archive, path)
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        let place = self.place.own_files()?;
        Some(Arc::new(Counted { place, copies: Arc::clone(&self.copies) }))
    }
}

/// A copy there and back; how often the place's own way was taken: to look and to put, and to get.
#[track_caller]
fn check_files(address: &str, folder_there: &'static str, expected: usize) {
    let address = address.to_owned();
    within_deadline(&address.clone(), move || {
        let copies = Arc::new(AtomicUsize::new(0));
        let place = thither::connect(&address).expect(&address).into();
        let place = Counted { place, copies: Arc::clone(&copies) };
        let py = place.python().unwrap();
        drop(place);
        let here = tempfile::tempdir().unwrap();
        let [from, back] = ["from", "back"].map(|name| here.path().join(name));
        let content: Vec<u8> = (0..(3_u32 << 18) + 1).flat_map(u32::to_be_bytes).collect();
        fs::write(&from, &content).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_001, 987_654_321);
        fs::File::open(&from).unwrap().set_modified(changed).unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o640)).unwrap();
        let folder: String =
            py.get("tempfile.mkdtemp").unwrap().call1(("", "thither", folder_there)).unwrap();
        let there = format!("{folder}/there");
        let mut seen = Vec::new();
        py.putfile(&from, &there, &mut |at| seen.push(at.done)).unwrap();
        py.getfile(&there, &back, &mut |at| seen.push(at.done)).unwrap();
        let steps = [1 << 20, 2 << 20, 3 << 20, content.len() as u64];
        assert_eq!(seen, [steps, steps].concat(), "{address}");
        assert!(fs::read(&back).unwrap() == content, "{address}");
        let about = fs::metadata(&back).unwrap();
        assert_eq!(about.permissions().mode() & 0o7777, 0o640, "{address}");
        assert_eq!(about.modified().unwrap(), changed, "{address}");
        let owner: (u32, u32) = py
            .eval(
                "(lambda s: (s.st_uid, os.geteuid()))(os.stat(p))",
                locals! { p: &there, os: py.import("os").unwrap() },
            )
            .unwrap();
        assert_eq!(owner.0, owner.1, "{address}");
        let left: Vec<String> = py.get("os.listdir").unwrap().call1((&folder,)).unwrap();
        assert_eq!(left, ["there"], "{address}");
        py.get("shutil.rmtree").unwrap().call1::<()>((&folder,)).unwrap();
        assert_eq!(copies.load(Ordering::SeqCst), expected, "{address}");
    });
}

#[test]
fn files_by_the_places_own_way() {
    check_files("local:", "/tmp", 3);
    check_files("local:?dir=/&env=A=1", "/tmp", 3);
    check_files("local:|local:", "/tmp", 3);
    check_files("chroot:/", "/tmp", 3);
    // What is there in its memory alone is looked for, and goes through the interpreter.
    check_files("chroot:/?tmpfs=/mnt", "/mnt", 2);
    check_files("umask:022", "/tmp", 0);
}

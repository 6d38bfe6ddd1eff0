//! A daemon on a Unix socket: what a user gets by each verb.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;

use testkit::{PublicCopy, is_root, within_deadline};

use crate::harness::{Daemon, Folders, THITHER, code, failure, kill, prints, says, says_to};

#[test]
fn codes_and_streams() {
    let daemon = Daemon::unix(&[]);
    let said = says(&mut daemon.run(&["sh", "-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!(said, ("out\n".into(), "err\n".into(), 3));
    for code in [0, 1, 2, 125, 126, 127, 128, 130, 254, 255] {
        let script = format!("exit {code}");
        let said = says(&mut daemon.run(&["sh", "-c", &script]));
        assert_eq!(said, (String::new(), String::new(), code));
    }
    for signal in [1, 2, 3, 6, 9, 13, 15] {
        let script = format!("ulimit -c 0; kill -{signal} $$");
        let said = says(&mut daemon.run(&["sh", "-c", &script]));
        assert_eq!(said, (String::new(), String::new(), 128 + signal));
    }
    assert_eq!(says_to(&mut daemon.run(&["cat"]), b"a\0b\nc").0, "a\0b\nc");
    let mut without = daemon.here(["run", "-n", &daemon.place, "cat"]);
    assert_eq!(says_to(&mut without, b"not read"), Default::default());
}

#[test]
fn programs_that_are_not() {
    let daemon = Daemon::unix(&[]);
    for (program, code, why) in [
        ("no-such-program", 127, "cannot run `no-such-program`"),
        ("/no/such", 127, "no such file or directory"),
        ("/etc", 126, "permission denied"),
        ("/etc/passwd", 126, "permission denied"),
        ("", 127, "cannot run"),
    ] {
        let (out, err, got) = says(&mut daemon.run(&[program]));
        assert!(out.is_empty() && err.starts_with("error: ") && got == code, "{err} {got}");
        assert!(err.to_lowercase().contains(why), "{err}");
    }
    let mut command = daemon.here(["run", "--dir", "/no/such", &daemon.place, "true"]);
    let said = failure(says(&mut command));
    assert!(said.contains("/no/such") && said.contains("o such file or directory"), "{said}");
}

#[test]
fn where_it_starts_and_with_what() {
    let daemon = Daemon::unix(&[]);
    let home = daemon.folders.path("there");
    assert_eq!(prints(&mut daemon.run(&["pwd"])), format!("{}\n", home.display()));
    fs::create_dir(home.join("sub")).unwrap();
    let place = &*daemon.place;
    let words = ["run", "--dir", "sub", "--env", "A=it's\nhere", "--env", "B=", place];
    let mut command =
        daemon.here([&words[..], &["sh", "-c", "echo \"<$A|$B|$HOME>\"; pwd"]].concat());
    let expected = format!("<it's\nhere||{home}>\n{home}/sub\n", home = home.display());
    assert_eq!(prints(&mut command), expected);
    let words = ["run", "--clear-env", "--env", "A=1", place, "/usr/bin/env"];
    let said = prints(&mut daemon.here(words));
    assert!(said.contains("A=1\n") && !said.contains("XDG"), "{said}");
    // What we have here stays here.
    let mut command = daemon.run(&["sh", "-c", "echo \"<$SECRET>\""]);
    assert_eq!(prints(command.env("SECRET", "x")), "<>\n");
}

/// The daemon's own user alone may come in, and may not become another.
#[test]
fn an_ordinary_user() {
    let copy = PublicCopy::of(THITHER).unwrap();
    let folders = Folders::new();
    let mut command = std::process::Command::new(copy.path());
    command.args(["serve", "--log", "json"]).stdin(Stdio::null());
    let run = as_user_with(&folders, &mut command);
    let mut daemon = Daemon::of(folders, command);
    assert_eq!(daemon.place, format!("daemon:{}", run.join("thither/daemon.sock").display()));
    let mode = |path: &str| fs::metadata(run.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("thither"), mode("thither/daemon.sock")), (0o700, 0o600));
    let user = |words: &[&str]| {
        let mut command = std::process::Command::new(copy.path());
        command.args(words).stdin(Stdio::null());
        as_user_with(&daemon.folders, &mut command);
        command
    };
    // The same by the short address.
    assert_eq!(prints(&mut user(&["run", "daemon:", "echo", "here"])), "here\n");
    assert_eq!(prints(&mut user(&["run", &daemon.place, "echo", "here"])), "here\n");
    let said = failure(says(&mut user(&["run", "--user", "root", "daemon:", "true"])));
    assert!(said.contains("user"), "{said}");
    if is_root() {
        let said = failure(says(&mut daemon.run(&["true"])));
        assert!(said.contains("who listens there is user 12345, neither we nor root"), "{said}");
        // Root gets no answer from itself, but the daemon would have let it in.
        let open = fs::Permissions::from_mode(0o666);
        fs::set_permissions(run.join("thither/daemon.sock"), open).unwrap();
    }
    daemon.signal("TERM");
    assert_eq!(daemon.ends(), Some(0));
    let said = failure(says(&mut user_of(&copy, &daemon)));
    assert!(said.contains("hint: start one: `thither serve`"), "{said}");
}

fn user_of(copy: &PublicCopy, daemon: &Daemon) -> std::process::Command {
    let mut command = std::process::Command::new(copy.path());
    command.args(["run", "daemon:", "true"]).stdin(Stdio::null());
    as_user_with(&daemon.folders, &mut command);
    command
}

/// Makes a command that of an ordinary user; gives its folder at run time.
fn as_user_with(folders: &Folders, command: &mut std::process::Command) -> std::path::PathBuf {
    testkit::as_user(command).current_dir("/").env_remove("XDG_CONFIG_HOME");
    let run = folders.path("user");
    if !run.exists() {
        fs::create_dir(&run).unwrap();
        if is_root() {
            // TempDir's mode is 0700.
            fs::set_permissions(folders.path(""), fs::Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(&run, Some(testkit::USER), Some(testkit::USER)).unwrap();
        }
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
    }
    command.env("XDG_RUNTIME_DIR", &run);
    run
}

#[test]
fn roots_daemon_lets_nobody_else_in() {
    if !is_root() {
        testkit::skip!("only root can become another user");
    }
    let copy = PublicCopy::of(THITHER).unwrap();
    let mut daemon = Daemon::unix(&[]);
    daemon.event("root");
    let socket = daemon.folders.socket();
    for folder in ["", "there"] {
        fs::set_permissions(daemon.folders.path(folder), fs::Permissions::from_mode(0o755))
            .unwrap();
    }
    let user = || {
        let mut command = std::process::Command::new(copy.path());
        command.args(["run", &daemon.place, "id"]).stdin(Stdio::null());
        testkit::as_user(&mut command).current_dir("/");
        failure(says(&mut command))
    };
    let said = user();
    assert!(said.contains("ermission denied"), "{said}");
    // Even a socket that somebody has opened for all does.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let said = user();
    assert!(said.contains("this daemon is another user's"), "{said}");
    let denied = daemon.event("denied");
    assert!(denied["peer"].as_str().unwrap().starts_with("uid 12345 pid "), "{denied}");
    let mut command = daemon.here(["run", "--user", "daemon", &daemon.place, "id", "-un"]);
    assert_eq!(prints(&mut command), "daemon\n");
    let mut command = daemon.here(["run", "--user", "no-such-user", &daemon.place, "true"]);
    let said = failure(says(&mut command));
    assert!(said.contains("no-such-user"), "{said}");
}

/// Bytes that no compression and no text conversion leaves as they are.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(step).collect()
}

pub(crate) fn both_ways_at_once(daemon: &Daemon) {
    let mut command = daemon.run(&["cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes = noise(64 << 20);
    let sent = bytes.clone();
    let writer = thread::spawn(move || stdin.write_all(&sent));
    let mut got = Vec::with_capacity(bytes.len());
    let end = thread::spawn(move || stdout.read_to_end(&mut got).map(|_| got));
    let child = crate::common::finish(child, move |mut child| {
        writer.join().unwrap()?;
        let got = end.join().unwrap()?;
        Ok((got, child.wait()?))
    });
    assert!(child.0 == bytes, "{} bytes came back of {}", child.0.len(), bytes.len());
    assert_eq!(child.1.code(), Some(0));
}

#[test]
fn sixty_four_mib_both_ways_at_once() {
    both_ways_at_once(&Daemon::unix(&[]));
}

#[test]
fn an_output_that_nobody_reads() {
    let daemon = Daemon::unix(&[]);
    let script = "echo $$; exec yes";
    let (mut child, pid) = daemon.running(&["sh", "-c", script]);
    drop(child.stdout.take());
    // The program over there gets a PIPE, as a local one would.
    assert_eq!(code(child), Some(141));
    crate::harness::ends(pid.parse().unwrap(), "yes");
    // An output that is full holds up no signal.
    let (child, pid) = daemon.running(&["sh", "-c", script]);
    kill(child.id(), "INT");
    crate::harness::ends(pid.parse().unwrap(), "one whose output is not read");
    assert_eq!(crate::harness::rest(child).2, 130);
}

#[test]
fn files() {
    let daemon = Daemon::unix(&[]);
    let there = |name: &str| format!("{}::{name}", daemon.place);
    let source = daemon.folders.path("here").join("source");
    fs::create_dir(&source).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff\n");
    fs::write(source.join(odd), "odd").unwrap();
    fs::write(source.join("big"), noise(5 << 20)).unwrap();
    std::os::unix::fs::symlink("big", source.join("link")).unwrap();
    fs::set_permissions(source.join("big"), fs::Permissions::from_mode(0o751)).unwrap();
    let same = |folder: &std::path::Path| {
        assert_eq!(fs::read(folder.join(odd)).unwrap(), b"odd");
        assert!(fs::read(folder.join("big")).unwrap() == noise(5 << 20));
        assert_eq!(fs::read_link(folder.join("link")).unwrap(), std::path::Path::new("big"));
    };
    assert_eq!(prints(&mut daemon.here(["cp", "-r", "source", &there("copy")])), "");
    same(&daemon.folders.path("there").join("copy"));
    assert_eq!(prints(&mut daemon.here(["cp", "-r", &there("copy"), "back"])), "");
    same(&daemon.folders.path("here").join("back"));
    assert_eq!(prints(&mut daemon.here(["cp", "source/big", &there("one")])), "");
    let mode = fs::metadata(daemon.folders.path("there").join("one")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o751);
    let said = says(&mut daemon.here(["cp", &there("no-such"), "x"]));
    assert!(said.1.contains("no-such") && said.2 != 0, "{said:?}");
}

#[test]
fn python() {
    let daemon = Daemon::unix(&[]);
    let code = "import os, sys; print(os.getcwd(), sys.argv[1:]); sys.exit(4)";
    let said = says(&mut daemon.here(["python", &daemon.place, "-c", code, "it's", "$x"]));
    let home = daemon.folders.path("there");
    assert_eq!(said, (format!("{} [\"it's\", '$x']\n", home.display()), String::new(), 4));
    let said = says_to(&mut daemon.here(["python", &daemon.place]), b"print(6 * 7)\n");
    assert_eq!(said, ("42\n".into(), String::new(), 0));
    fs::write(daemon.folders.path("here").join("script.py"), "import sys\nprint(sys.argv)\n")
        .unwrap();
    let said = prints(&mut daemon.here(["python", &daemon.place, "script.py", "a"]));
    assert_eq!(said, "['script.py', 'a']\n");
}

#[test]
fn a_library_connects() {
    let daemon = Daemon::unix(&[]);
    let place = daemon.place.clone();
    let folder = daemon.folders.path("here");
    within_deadline("the library", move || {
        use thither::PlaceExt;
        let py = thither::connect(&place).unwrap().python().unwrap();
        let home: String = py.import("os").unwrap().call_method0("getcwd").unwrap();
        fs::write(folder.join("up"), "text").unwrap();
        py.putfile(folder.join("up"), "down", &mut |_| {}).unwrap();
        assert_eq!(fs::read(std::path::Path::new(&home).join("down")).unwrap(), b"text");
        py.getfile("down", folder.join("again"), &mut |_| {}).unwrap();
        assert_eq!(fs::read(folder.join("again")).unwrap(), b"text");
    });
}

#[test]
fn what_is_asked_for_is_logged_and_no_secrets() {
    let mut daemon = Daemon::unix(&[]);
    let words = ["run", "--env", "A=s3cret", &daemon.place, "sh", "-c", ": s3cret; exit 3"];
    assert_eq!(says(&mut daemon.here(words)).2, 3);
    let run = daemon.event("run");
    assert_eq!((&run["program"], &run["arguments"]), (&"sh".into(), &2.into()), "{run}");
    assert_eq!(daemon.event("end")["code"], 3);
    let log = daemon.said();
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn a_log_that_cannot_be_written() {
    let folders = Folders::new();
    let socket = folders.socket();
    let mut command =
        folders.there(["serve", "--allow-root", "--socket", socket.to_str().unwrap()]);
    command.stdout(Stdio::null()).stderr(File::options().write(true).open("/dev/full").unwrap());
    let child = Killed::start(&mut command);
    let place = format!("daemon:{}", socket.display());
    testkit::wait_until(testkit::DEADLINE, "the socket", || {
        says(&mut folders.here(["run", &place, "true"])).2 == 0
    });
    child.terminate();
    // Nor one that nobody reads: a terminal that is stopped, or a pager.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command =
        folders.there(["serve", "--allow-root", "--socket", socket.to_str().unwrap()]);
    let child = Killed::start(command.stdout(Stdio::null()).stderr(writer));
    drop(command);
    testkit::wait_until(testkit::DEADLINE, "the socket", || socket.exists());
    // Each says more than a page of it, and a pipe holds 16.
    let long = "x".repeat(1000);
    for _ in 0..100 {
        let said = says(&mut folders.here(["run", "--dir", &long, &place, "true"]));
        assert!(said.2 == 125, "{said:?}");
    }
    child.terminate();
    drop(reader);
}

/// A daemon whose log is not read here.
struct Killed(Option<std::process::Child>);

impl Killed {
    fn start(command: &mut std::process::Command) -> Killed {
        Killed(Some(command.spawn().unwrap()))
    }

    #[track_caller]
    fn terminate(mut self) {
        let child = self.0.take().unwrap();
        kill(child.id(), "TERM");
        assert_eq!(code(child), Some(0));
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! How an interpreter is started, and what stands in the way.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_python::{Error, Python, Start, arguments};

use crate::{assert_alive, matrix, program, quiet};

/// A program of the test's own, instead of Python.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(lines: &str) -> Script {
        let folder = tempfile::tempdir().unwrap();
        let text = lines.replace("PYTHON", program());
        testkit::write_program(&folder.path().join("python"), &format!("#!/bin/sh\n{text}\n"));
        Script { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    fn start(&self, start: Start) -> Result<Python, Error> {
        start.local(self.path().to_str().unwrap())
    }

    /// Why it does not start.
    #[track_caller]
    fn why(&self, start: Start) -> String {
        match self.start(start) {
            Err(Error::Start { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_banner_breaks_the_start() {
    within_deadline("a banner", || {
        let py = Script::new("echo Welcome; echo 'stty: not a tty' >&2; exec PYTHON \"$@\"")
            .start(quiet())
            .unwrap();
        assert_alive(&py);
        let py =
            Script::new("head -c 100000 /dev/urandom; exec PYTHON \"$@\"").start(quiet()).unwrap();
        assert_alive(&py);
        let py = Script::new("head -c 100000 /dev/zero; echo; exec PYTHON \"$@\"")
            .start(quiet())
            .unwrap();
        assert_alive(&py);
    });
}

#[test]
fn a_banner_without_end() {
    within_deadline("a banner", || {
        let why = Script::new("exec yes welcome").why(quiet());
        assert!(why.contains("without end") && why.contains("welcome"), "{why}");
    });
}

#[test]
fn connecting_hangs_for_ever() {
    within_deadline("a start", || {
        let mut start = quiet();
        start.timeout = Duration::from_millis(300);
        let why = Script::new("echo One moment; exec sleep 1000").why(start);
        assert!(why.contains("within 0.3 s") && why.contains("One moment"), "{why}");
    });
}

/// And no zombie.
#[test]
fn what_does_not_answer_is_not_left_behind() {
    within_deadline("a start", || {
        for last in ["exec sleep 1000", "exit 1", "trap '' TERM HUP PIPE; exec sleep 1000 >&- 2>&-"]
        {
            let script = Script::new(&format!("echo $$ > \"${{0%/*}}/pid\"; {last}"));
            let mut start = quiet();
            start.timeout = Duration::from_millis(300);
            script.why(start);
            let pid = fs::read_to_string(script.folder.path().join("pid")).unwrap();
            let entry = Path::new("/proc").join(pid.trim());
            wait_until(DEADLINE, last, || !entry.exists());
        }
    });
}

#[test]
fn no_python_there() {
    within_deadline("no Python", || {
        let error = quiet().local("/no/such/python").unwrap_err();
        assert!(error.to_string().contains("/no/such/python"), "{error}");
        let source = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(source.contains("No such file"), "{source}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(quiet().local(file.to_str().unwrap()).is_err());
    });
}

#[test]
fn a_misleading_error_and_stderr_lost() {
    within_deadline("errors", || {
        let why = Script::new("echo 'python3: command not found' >&2; exit 127").why(quiet());
        assert!(why.contains("python3: command not found") && why.contains("127"), "{why}");
        let why = Script::new("echo 'This account is not available.'; exit 1").why(quiet());
        assert!(why.contains("This account is not available."), "{why}");
        let why = Script::new("kill -9 $$").why(quiet());
        assert!(why.contains("SIGKILL"), "{why}");
        // Not what a terminal would do.
        let why = Script::new("printf '\\033[31mred\\007\\n'; exit 1").why(quiet());
        assert!(!why.contains('\x1b') && why.contains("red"), "{why}");
        let why = Script::new("exec PYTHON -c 'import no_such_module'").why(quiet());
        assert!(why.contains("No module named 'no_such_module'"), "{why}");
        // The program ends, and a child of it holds the pipes.
        let why = Script::new("echo broken >&2; exit 3").why(quiet());
        assert!(why.contains("broken") && why.contains('3'), "{why}");
    });
}

#[test]
fn an_old_python() {
    let old = matrix::pyenv()
        .into_iter()
        .map(|folder| folder.join("python2.7"))
        .find(|path| path.exists());
    let Some(old) = old.or_else(|| testkit::find_program("python2.7").ok()) else {
        testkit::skip!("no Python 2.7 here");
    };
    within_deadline("Python 2.7", move || {
        let error = quiet().local(old.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("Python 2.7 is too old, 3.6 is wanted"), "{error}");
    });
}

#[test]
fn a_full_stderr_pipe() {
    within_deadline("stderr", || {
        let py =
            Script::new("head -c 500000 /dev/zero >&2; exec PYTHON \"$@\"").start(quiet()).unwrap();
        py.exec("import sys\nfor _ in range(100): sys.stderr.write('x' * 10000)", ()).unwrap();
        py.exec("import os\nfor _ in range(100): os.write(2, b'x' * 10000)", ()).unwrap();
        assert_alive(&py);
        // Beyond what is read of it.
        let why =
            Script::new("head -c 5000000 /dev/zero >&2; echo the end >&2; exit 1").why(quiet());
        assert!(why.contains("exit status: 1"), "{why}");
    });
}

/// One started by hand, with its pipes.
fn spawn(stdin: Stdio, stdout: Stdio) -> Child {
    Command::new(program()).args(arguments()).stdin(stdin).stdout(stdout).spawn().unwrap()
}

#[test]
fn a_non_blocking_stdin() {
    within_deadline("stdin", || {
        // The flag is the pipe end's, so our child has it.
        let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let flags = rustix::fs::fcntl_getfl(&theirs).unwrap();
        rustix::fs::fcntl_setfl(&theirs, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut child = spawn(theirs.into(), Stdio::piped());
        // It reads before there is anything: then it waits as the kernel says, or is gone.
        let entry = std::path::Path::new("/proc").join(child.id().to_string());
        wait_until(DEADLINE, "a wait for input", || {
            let waits_in = fs::read_to_string(entry.join("wchan")).unwrap_or_default();
            waits_in.contains("poll") || child.try_wait().unwrap().is_some()
        });
        let out: OwnedFd = child.stdout.take().unwrap().into();
        let py = quiet().over(out, ours).unwrap();
        assert_alive(&py);
        let len: usize = py.get("len").unwrap().call1(("é".repeat(3_000_000),)).unwrap();
        assert_eq!(len, 3_000_000);
        py.close().unwrap();
        child.wait().unwrap();
    });
}

/// Non-blocking for both sides, as a socket's other end that is shared can be.
#[test]
fn a_non_blocking_stdout() {
    within_deadline("stdout", || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs: OwnedFd = theirs.into();
        let mut child = spawn(theirs.try_clone().unwrap().into(), theirs.into());
        let ours: OwnedFd = ours.into();
        let py = quiet().over(ours.try_clone().unwrap(), ours).unwrap();
        for size in [1 << 16, 1 << 22] {
            let back: String = py.eval(format!("'x' * {size}"), ()).unwrap();
            assert_eq!(back.len(), size);
            let view = format!("memoryview(__import__('array').array('i', range({size})))");
            assert_eq!(py.eval::<serde_bytes::ByteBuf>(view, ()).unwrap().len(), size * 4);
        }
        py.close().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn over_any_streams() {
    within_deadline("streams", || {
        let mut child = spawn(Stdio::piped(), Stdio::piped());
        let py = quiet()
            .over_streams(child.stdout.take().unwrap(), child.stdin.take().unwrap())
            .unwrap();
        assert_alive(&py);
        assert_eq!(py.eval::<String>("'x' * 1000000", ()).unwrap().len(), 1_000_000);
        assert_eq!(py.info().pid, child.id());
        py.close().unwrap();
        assert!(child.wait().unwrap().success());
        // The end, seen by the pumps.
        let mut child = spawn(Stdio::piped(), Stdio::piped());
        let py = quiet()
            .over_streams(child.stdout.take().unwrap(), child.stdin.take().unwrap())
            .unwrap();
        let error = py.exec("import os; os._exit(0)", ()).unwrap_err();
        assert!(matches!(error, Error::Closed { .. }), "{error}");
        child.wait().unwrap();
    });
}

//! How a connection ends: closed, killed, stopped, left.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use testkit::{DEADLINE, within_deadline};
use thither_python::{Error, Output, Python, Start, locals};

use crate::{assert_alive, program, python, raised};

fn pid(py: &Python) -> Pid {
    Pid::from_raw(py.info().pid.cast_signed()).unwrap()
}

#[track_caller]
fn closed<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Closed { how }) => how,
        other => panic!("not closed: {other:?}"),
    }
}

#[test]
fn killed() {
    within_deadline("an end", || {
        let py = python();
        let how = closed(py.exec("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", ()));
        assert!(how.contains("SIGKILL"), "{how}");
        assert_eq!(closed(py.eval::<i64>("1", ())), how);
        let py = python();
        let sleeps = py.start_eval::<()>("__import__('time').sleep(1000)", ()).unwrap();
        let other = py.start_eval::<()>("1", ()).unwrap();
        kill_process(pid(&py), Signal::KILL).unwrap();
        assert!(closed(sleeps.wait()).contains("SIGKILL"));
        assert!(closed(other.wait()).contains("SIGKILL"));
        py.close().unwrap();
    });
}

/// Neither a limit nor an interval is too long.
#[test]
fn for_ever() {
    within_deadline("calls", || {
        let mut start = Start::default();
        start.output = Output::Null;
        start.timeout = Duration::MAX;
        start.gc_interval = Duration::MAX;
        let py = start.local(program()).unwrap().with_timeout(Duration::MAX);
        drop(py.eval::<thither_python::Object>("object()", ()).unwrap());
        assert_alive(&py);
        let (mut out, input) = py.tunnel(&["cat"]).unwrap();
        drop(input);
        assert_eq!(std::io::Read::read(&mut out, &mut [0]).unwrap(), 0);
        py.close().unwrap();
    });
}

#[test]
fn os_exit() {
    within_deadline("an end", || {
        let py = python();
        let how = closed(py.exec("import os; os._exit(3)", ()));
        assert!(how.contains("exit status: 3"), "{how}");
        // While a callback runs: its answer goes nowhere.
        let py = python();
        let f = py.callback(|(): ()| Ok(1));
        py.exec("import os, threading", ()).unwrap();
        closed(py.exec(
            "threading.Timer(.05, os._exit, (0,)).start()\nwhile True: f()",
            &locals! { f: &f },
        ));
    });
}

#[test]
fn sys_exit_in_the_remote() {
    within_deadline("an end", || {
        let py = python();
        for (code, kind) in [
            ("sys.exit(3)", "SystemExit"),
            ("exit()", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ] {
            let error = raised(py.exec(format!("import sys\n{code}"), ()));
            assert_eq!(error.kind, kind);
            assert!(!error.is_instance_of("Exception"));
            assert_alive(&py);
        }
    });
}

#[test]
fn closing_lets_python_clean_up() {
    within_deadline("a close", || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cleaned");
        let py = python();
        py.exec("import time, threading\nbegun = threading.Event()", ()).unwrap();
        let code = "def f(file):\n  begun.set()\n  try: time.sleep(1000)\n  finally: open(file, 'w').close()";
        py.exec(code, ()).unwrap();
        let runs = py.get("f").unwrap().start1::<()>((&file,)).unwrap();
        let waits = py.clone();
        thread::spawn(move || waits.get("begun.wait").unwrap().call0::<()>())
            .join()
            .unwrap()
            .unwrap();
        py.close().unwrap();
        assert!(file.exists());
        assert!(closed(runs.wait()).contains("closed"));
    });
}

#[test]
fn hang_on_close() {
    within_deadline("closes", || {
        // What does not want to end: threads, loops that swallow, a child that holds the pipes.
        for code in [
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()",
            "import atexit, time\natexit.register(time.sleep, 1000)",
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
            "import subprocess\nsubprocess.Popen(['sleep', '5'])",
        ] {
            let py = python();
            py.exec(code, ()).unwrap();
            py.close().unwrap_or_else(|error| panic!("{code}: {error}"));
        }
        let py = python();
        let code = "while True:\n  try:\n    while True: pass\n  except BaseException: pass";
        let runs = py.clone();
        let runs = thread::spawn(move || runs.exec(code, ()));
        py.close().unwrap();
        closed(runs.join().unwrap());
    });
}

#[test]
fn stopped() {
    within_deadline("a stopped one", || {
        let py = python();
        kill_process(pid(&py), Signal::STOP).unwrap();
        let late = py.clone().with_timeout(Duration::from_millis(50));
        for _ in 0..3 {
            assert!(matches!(late.eval::<i64>("1", ()), Err(Error::TimedOut { .. })));
        }
        kill_process(pid(&py), Signal::CONT).unwrap();
        assert_alive(&py);
        kill_process(pid(&py), Signal::STOP).unwrap();
        py.close().unwrap();
    });
}

#[test]
fn stopped_while_others_wait() {
    within_deadline("a stopped one", || {
        let py = python();
        let other = py.clone();
        let waits = thread::spawn(move || other.eval::<()>("__import__('time').sleep(1000)", ()));
        assert_alive(&py);
        kill_process(pid(&py), Signal::STOP).unwrap();
        py.close().unwrap();
        closed(waits.join().unwrap());
    });
}

#[test]
fn stopped_while_more_is_sent_than_pipes_hold() {
    within_deadline("a stopped one", || {
        let py = python();
        kill_process(pid(&py), Signal::STOP).unwrap();
        let bytes = serde_bytes::ByteBuf::from(vec![0; 16 << 20]);
        let late = py.clone().with_timeout(Duration::from_millis(50));
        let error = late.get("len").unwrap().call1::<usize>((&bytes,)).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        // Another call's time is not that one's.
        assert!(matches!(late.eval::<i64>("1", ()), Err(Error::TimedOut { .. })));
        kill_process(pid(&py), Signal::CONT).unwrap();
        assert_alive(&py);
        kill_process(pid(&py), Signal::STOP).unwrap();
        let other = py.clone();
        let sends = thread::spawn(move || other.get("len").unwrap().call1::<usize>((&bytes,)));
        py.close().unwrap();
        closed(sends.join().unwrap());
    });
}

#[test]
fn zombies_and_leaked_threads() {
    testkit::own_process!(|program| Command::new(program));
    within_deadline("connections", || {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let (fds, before) = (testkit::descriptors(std::process::id()), threads());
        for n in 0..20 {
            let py = python();
            assert_alive(&py);
            let f = py.callback(|(): ()| Ok(()));
            py.globals().unwrap().set_item("f", &f).unwrap();
            match n % 3 {
                0 => drop(py),
                1 => py.close().unwrap(),
                _ => drop(py.exec("import os; os._exit(1)", ())),
            }
        }
        testkit::wait_until(DEADLINE, "no threads", || threads() == before);
        assert_eq!(testkit::descriptors(std::process::id()), fds);
        let children =
            std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
        assert_eq!(children.unwrap_or_default(), "");
    });
}

/// What the program of the next test does. It does nothing where nobody asks.
#[test]
fn one_that_is_killed() {
    let Some(code) = std::env::var_os("THITHER_VICTIM") else { return };
    let mut start = Start::default();
    start.output = Output::Inherit;
    let py = start.local(program()).unwrap();
    let waits = py.callback(|(): ()| {
        loop {
            thread::park()
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    let code = code.into_string().unwrap();
    py.exec("import os, time\ndef ready(): print('ready', os.getpid(), flush=True)", ()).unwrap();
    py.globals().unwrap().set_item("waits", &waits).unwrap();
    match code.as_str() {
        "" => py.exec("ready()", ()).unwrap(),
        code => py.exec(code, ()).unwrap(),
    }
    loop {
        thread::park();
    }
}

/// The interpreter would go on for longer than the test waits.
#[test]
fn the_remote_survives_the_clients_death() {
    for code in [
        "",
        "ready(); time.sleep(1000)",
        "ready()\nwhile True: pass",
        "ready()\nwhile True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "ready(); waits()",
        "import threading\nthreading.Thread(target=time.sleep, args=(1000,)).start(); ready()",
        "ready()\nwhile True: print('x' * 1000)",
        "import sys; sys.stdout.write('x'); ready(); os.system('tail --pid=$PPID -f /dev/null')",
    ] {
        let name = "ends::one_that_is_killed";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", name, "--nocapture"])
            .env("THITHER_VICTIM", code)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let out = client.stdout.take().unwrap();
        let remote = within_deadline("a ready one", move || {
            let mut lines = BufReader::new(out).lines().map_while(Result::ok);
            let pid =
                lines.find_map(|line| line.split_once("ready ")?.1.trim().parse::<i32>().ok());
            // What comes behind it is not read: the pipe is full, then.
            (pid.expect("a pid"), lines)
        });
        let pidfd = pidfd_open(Pid::from_raw(remote.0).unwrap(), PidfdFlags::empty()).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let deadline =
            rustix::event::Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
        let ended = poll(&mut fds, Some(&deadline)).unwrap();
        if ended == 0 {
            kill_process(Pid::from_raw(remote.0).unwrap(), Signal::KILL).unwrap();
        }
        assert_eq!(ended, 1, "{code:?} goes on");
    }
}

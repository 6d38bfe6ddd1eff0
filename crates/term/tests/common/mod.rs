//! Processes of their own for tests of what belongs to a whole process: signals, sessions, process groups.
#![expect(unsafe_code, reason = "fork(2), signal(2)")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, set_parent_process_death_signal, waitpid,
};
use thither_term::{Interest, Pty, WindowSize, poll};

/// What nothing here comes near, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// The same for a whole process, so that what hangs in it fails first, and says so.
const PROCESS_DEADLINE: Duration = Duration::from_secs(60);

/// Runs `work` in a child process, and fails with its message if it panics or doesn't end.
#[track_caller]
pub(crate) fn in_child(work: impl FnOnce()) {
    // One at a time: a child forked meanwhile would hold the writer of another's pipe open.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut reader, writer) = io::pipe().unwrap();
    let report = writer.try_clone().unwrap();
    let child = fork(|| {
        default_signals();
        // Its own children inherit this.
        set_hook(Box::new(move |panic| drop((&report).write_all(panic.to_string().as_bytes()))));
        work();
    });
    drop(writer);

    let deadline = Instant::now() + PROCESS_DEADLINE;
    let mut message = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !poll(&[Interest::Read(reader.as_fd())], Some(left)).unwrap()[0].now {
            kill_process(child, Signal::KILL).unwrap();
            wait(child);
            panic!(
                "still running after {PROCESS_DEADLINE:?}; {}",
                String::from_utf8_lossy(&message)
            );
        }
        let mut chunk = [0; 4096];
        match reader.read(&mut chunk).unwrap() {
            0 => break,
            n => message.extend(&chunk[..n]),
        }
    }
    let status = wait(child);
    let ok = status.exit_status() == Some(0);
    assert!(ok, "{status:?}: {}", String::from_utf8_lossy(&message));
}

/// Forgets what whoever started the tests ignores: a shell without job control, SIGINT in the background.
fn default_signals() {
    for signal in
        (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE].contains(signal))
    {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A child process that runs `work`, fails if that panics, and dies with its parent.
pub(crate) fn fork(work: impl FnOnce()) -> Pid {
    // SAFETY: glibc's allocator works in the child of a threaded process; no lock of ours is held by another
    // thread, since only children run the code under test; the child ends by _exit.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            let result = catch_unwind(AssertUnwindSafe(|| {
                set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
                work();
            }));
            let code = i32::from(result.is_err());
            // SAFETY: ends the process at once; nothing of the parent's is run twice.
            unsafe { libc::_exit(code) }
        }
        child => Pid::from_raw(child).unwrap(),
    }
}

/// Waits until a child stops or ends.
pub(crate) fn wait(child: Pid) -> WaitStatus {
    let found = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::UNTRACED));
    found.unwrap().expect("it was waited for").1
}

/// Makes us the leader of a new session at a new terminal, which is open until we end: closing it would hang up on
/// us.
pub(crate) fn session() -> &'static Pty {
    rustix::process::setsid().unwrap();
    let pty = Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap();
    rustix::process::ioctl_tiocsctty(&pty.follower).unwrap();
    Box::leak(Box::new(pty))
}

//! Raw mode in the foreground and in the background of a session, as under a shell with job control.
#![expect(unsafe_code, reason = "signal(2)")]

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use common::{fork, in_child, session, wait};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_process, setpgid,
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr, tcsetpgrp};
use thither_term::{Interest, Keeper, Pty, RawMode, poll};

/// A job of the shell that we are: a child in a process group of its own, in the background.
fn job(work: impl FnOnce()) -> Pid {
    fork(|| {
        setpgid(None, None).unwrap();
        work();
    })
}

fn stop_self() {
    kill_process(getpid(), Signal::STOP).unwrap();
}

fn foreground(tty: &OwnedFd, group: Pid) {
    tcsetpgrp(tty, group).unwrap();
}

fn modes(tty: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(tty).unwrap())
}

fn is_raw(tty: &OwnedFd) -> bool {
    !tcgetattr(tty).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ISIG)
}

/// Ignores what keeps a background process from its terminal, as a shell does.
fn be_a_shell() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
}

/// Modes as a shell's line editor sets them for itself.
fn set_shell_modes(tty: &OwnedFd) {
    let mut modes = tcgetattr(tty).unwrap();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(tty, OptionalActions::Now, &modes).unwrap();
}

#[test]
fn entering_in_the_background_waits_for_the_foreground() {
    in_child(|| {
        let Pty { follower, .. } = session();
        let cooked = tcgetattr(follower).unwrap();
        set_shell_modes(follower);
        let job = job(|| {
            let _raw = RawMode::enter(follower).unwrap();
            stop_self();
        });
        assert_eq!(wait(job).stopping_signal(), Some(libc::SIGTTOU));
        assert!(!is_raw(follower));

        tcsetattr(follower, OptionalActions::Now, &cooked).unwrap();
        foreground(follower, job);
        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
        assert!(is_raw(follower));

        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).exit_status(), Some(0));
        // Not the shell's modes, that were set when the job first tried.
        assert_eq!(modes(follower), format!("{cooked:?}"));
    });
}

#[test]
fn restoring_from_the_background_is_skipped() {
    in_child(|| {
        let Pty { follower, .. } = session();
        let job = job(|| {
            stop_self();
            let mut raw = RawMode::enter(follower).unwrap();
            stop_self();
            raw.suspend().unwrap();
        });
        assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
        foreground(follower, job);
        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
        assert!(is_raw(follower));

        be_a_shell();
        foreground(follower, getpgrp());
        set_shell_modes(follower);
        let shells = modes(follower);
        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).exit_status(), Some(0), "it was neither stopped nor failed");
        assert_eq!(modes(follower), shells);
    });
}

#[test]
fn entering_where_nobody_can_continue_us_is_an_error() {
    in_child(|| {
        // The group of a session's leader is orphaned: its parent is in another session.
        let Pty { follower, .. } = session();
        let job = job(stop_self);
        assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
        foreground(follower, job);
        let error = RawMode::enter(follower).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).exit_status(), Some(0));
    });
}

/// Waits until the terminal has these modes, which gives no event.
fn wait_for_modes(tty: &OwnedFd, wanted: &str) {
    let deadline = std::time::Instant::now() + common::DEADLINE;
    while modes(tty) != wanted {
        assert!(std::time::Instant::now() < deadline, "found {}", modes(tty));
        std::thread::yield_now();
    }
}

/// A job in the foreground in raw mode, with a keeper, that stops itself.
fn kept(follower: &'static OwnedFd) -> Pid {
    let job = job(|| {
        stop_self();
        let raw = RawMode::enter(follower).unwrap();
        let mut keeper = Keeper::start(&raw, follower).unwrap();
        keeper.remember(b"first");
        keeper.remember(b"undo");
        stop_self();
    });
    assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
    foreground(follower, job);
    kill_process(job, Signal::CONT).unwrap();
    assert_eq!(wait(job).stopping_signal(), Some(libc::SIGSTOP));
    assert!(is_raw(follower));
    job
}

#[test]
fn a_keeper_restores_the_terminal_after_a_kill() {
    in_child(|| {
        let Pty { leader, follower } = session();
        let cooked = modes(follower);
        let job = kept(follower);
        kill_process(job, Signal::KILL).unwrap();
        assert_eq!(wait(job).terminating_signal(), Some(libc::SIGKILL));
        wait_for_modes(follower, &cooked);
        let mut shown = [0; 64];
        let n = rustix::io::read(leader, &mut shown).unwrap();
        assert_eq!(&shown[..n], b"undo");
    });
}

#[test]
fn a_keeper_that_is_slower_than_the_shell_still_restores_what_the_shell_leaves() {
    in_child(|| {
        let Pty { follower, .. } = session();
        let cooked = modes(follower);
        let job = kept(follower);
        be_a_shell();
        // As after the job's end, but surely before the keeper knows of it.
        foreground(follower, getpgrp());
        kill_process(job, Signal::KILL).unwrap();
        assert_eq!(wait(job).terminating_signal(), Some(libc::SIGKILL));
        wait_for_modes(follower, &cooked);
    });
}

#[test]
fn a_keeper_that_is_sent_home_writes_nothing() {
    in_child(|| {
        let Pty { leader, follower } = session();
        let cooked = modes(follower);
        let job = kept(follower);
        kill_process(job, Signal::CONT).unwrap();
        assert_eq!(wait(job).exit_status(), Some(0));
        // By the guard, that is.
        assert_eq!(modes(follower), cooked);
        assert!(!has_output(leader));
    });
}

#[test]
fn a_keeper_leaves_a_terminal_alone_that_somebody_has_taken_care_of() {
    in_child(|| {
        let Pty { leader, follower } = session();
        let job = kept(follower);
        be_a_shell();
        // Not raw mode: ^C is a signal.
        let mut other = tcgetattr(follower).unwrap();
        other.local_modes.insert(LocalModes::ISIG);
        tcsetattr(follower, OptionalActions::Now, &other).unwrap();
        let shells = modes(follower);
        adopt_orphans();
        kill_process(job, Signal::KILL).unwrap();
        assert_eq!(wait(job).terminating_signal(), Some(libc::SIGKILL));
        // The keeper is ours now, and has done what it does when it has ended.
        assert_eq!(wait_for_any().exit_status(), Some(0));
        assert_eq!(modes(follower), shells);
        assert!(!has_output(leader));
    });
}

fn has_output(leader: &OwnedFd) -> bool {
    poll(&[Interest::Read(leader.as_fd())], Some(Duration::ZERO)).unwrap()[0].now
}

/// Makes us the parent of orphans below us.
fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(getpid())).unwrap();
}

/// Waits until some child ends.
fn wait_for_any() -> WaitStatus {
    let found = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::empty()));
    found.unwrap().expect("it was waited for").1
}

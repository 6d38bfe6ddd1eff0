//! Raw mode in the foreground and in the background of a session, as under a shell with job control.
#![expect(unsafe_code, reason = "signal(2)")]

mod common;

use std::os::fd::OwnedFd;

use common::{fork, in_child, session, wait};
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, setpgid};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr, tcsetpgrp};
use thither_term::{Pty, RawMode};

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

        // SAFETY: ignoring a signal runs no code of ours. It lets a shell in the background take its terminal.
        unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
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

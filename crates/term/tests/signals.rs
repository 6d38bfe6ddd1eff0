//! Signals, each test in a process of its own: dispositions belong to the whole process.
#![expect(unsafe_code, reason = "signal(2), raise(3), errno")]

mod common;

use std::io::{Write, pipe};
use std::os::fd::AsFd;
use std::time::Duration;

use common::{DEADLINE, fork, in_child, session, wait};
use libc::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH};
use rustix::process::{Signal, getpid, kill_process, setpgid};
use thither_term::{Interest, Received, Sender, Signals, WindowSize, poll, reraise, suspend_self};

fn raise(signal: i32) {
    // SAFETY: raise(3) has no preconditions; a handler is the code under test.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn ignore(signal: i32) {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn is_readable(signals: &Signals, timeout: Duration) -> bool {
    poll(&[Interest::Read(signals.as_fd())], Some(timeout)).unwrap()[0].now
}

fn all(signals: &Signals) -> Vec<i32> {
    std::iter::from_fn(|| signals.next()).map(|received| received.signal).collect()
}

/// Whether this process dies of `signal` now: tried in a child.
fn is_fatal(signal: i32) -> bool {
    let child = fork(|| raise(signal));
    wait(child).terminating_signal() == Some(signal)
}

#[test]
fn a_signal_of_a_process_names_it() {
    in_child(|| {
        let signals = Signals::on([SIGUSR1]).unwrap();
        assert_eq!(signals.next(), None);
        assert!(!is_readable(&signals, Duration::ZERO));

        let us = getpid().as_raw_nonzero().get();
        let child = fork(move || {
            kill_process(rustix::process::Pid::from_raw(us).unwrap(), Signal::USR1).unwrap();
        });
        assert!(is_readable(&signals, DEADLINE));
        let sender = Sender::Process(child.as_raw_nonzero().get() as u32);
        assert_eq!(signals.next(), Some(Received { signal: SIGUSR1, sender }));
        assert_eq!(signals.next(), None);
        assert!(!is_readable(&signals, Duration::ZERO));
        wait(child);
    });
}

#[test]
fn a_signal_of_the_terminal_is_the_kernels() {
    in_child(|| {
        let pty = session();
        let signals = Signals::on([SIGINT, SIGWINCH]).unwrap();
        let check = |signal| {
            assert!(is_readable(&signals, DEADLINE), "no signal {signal}");
            assert_eq!(signals.next(), Some(Received { signal, sender: Sender::Kernel }));
        };
        rustix::io::write(&pty.leader, b"\x03").unwrap();
        check(SIGINT);
        WindowSize { cols: 132, rows: 50 }.set(&pty.leader).unwrap();
        check(SIGWINCH);
    });
}

#[test]
fn a_process_is_reported_where_the_kernel_sent_it_too() {
    in_child(|| {
        let pty = session();
        let signals = Signals::on([SIGWINCH]).unwrap();
        raise(SIGWINCH);
        // Handled before the call returns, as we are the only thread.
        WindowSize { cols: 132, rows: 50 }.set(&pty.leader).unwrap();
        let sender = Sender::Process(std::process::id());
        assert_eq!(signals.next(), Some(Received { signal: SIGWINCH, sender }));
        assert_eq!(signals.next(), None);
    });
}

#[test]
fn none_of_many_is_lost() {
    in_child(|| {
        let wanted = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, libc::SIGRTMAX()];
        let signals = Signals::on(wanted).unwrap();
        for _ in 0..10_000 {
            wanted.into_iter().for_each(raise);
        }
        // Readable until the last of them was asked for.
        for _ in wanted {
            assert!(is_readable(&signals, Duration::ZERO));
            assert!(signals.next().is_some());
        }
        assert_eq!(all(&signals), []);
        wanted.into_iter().for_each(raise);
        assert_eq!(all(&signals), wanted);
    });
}

#[test]
fn dropping_restores() {
    in_child(|| {
        assert!(is_fatal(SIGTERM));
        let signals = Signals::on([SIGTERM]).unwrap();
        assert!(!is_fatal(SIGTERM));
        drop(signals);
        assert!(is_fatal(SIGTERM));
    });
}

#[test]
fn what_was_ignored_stays_ignored() {
    in_child(|| {
        ignore(SIGHUP);
        ignore(SIGWINCH);
        let signals = Signals::on([SIGHUP, SIGTERM, SIGWINCH]).unwrap();
        [SIGHUP, SIGTERM, SIGWINCH].into_iter().for_each(raise);
        assert_eq!(all(&signals), [SIGTERM, SIGWINCH]);
        drop(signals);
        assert!(!is_fatal(SIGHUP));
        assert!(is_fatal(SIGTERM));
    });
}

#[test]
fn the_newest_receives() {
    in_child(|| {
        let oldest = Signals::on([SIGUSR1, SIGUSR2]).unwrap();
        let middle = Signals::on([SIGUSR1]).unwrap();
        let newest = Signals::on([SIGUSR1]).unwrap();
        let received = |signals: &[&Signals]| {
            raise(SIGUSR1);
            signals.iter().map(|signals| all(signals).len()).collect::<Vec<_>>()
        };
        assert_eq!(received(&[&oldest, &middle, &newest]), [0, 0, 1]);
        drop(middle);
        assert_eq!(received(&[&oldest, &newest]), [0, 1]);
        drop(newest);
        assert_eq!(received(&[&oldest]), [1]);
        drop(oldest);
        assert!(is_fatal(SIGUSR1) && is_fatal(SIGUSR2));
    });
}

#[test]
fn what_cannot_be_received_is_refused() {
    in_child(|| {
        for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGTTIN, libc::SIGTTOU] {
            let error = Signals::on([SIGTERM, signal]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        for signal in [-1, 0, 65, 1000] {
            let error = Signals::on([SIGTERM, signal]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
        assert!(is_fatal(SIGTERM), "a refusal leaves nothing behind");
    });
}

#[test]
fn the_handler_leaves_errno_as_it_was() {
    in_child(|| {
        let signals = Signals::on([SIGUSR1]).unwrap();
        // The counter of an eventfd at its greatest, so that the handler's write(2) fails.
        rustix::io::write(&signals, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        // SAFETY: errno is this thread's own, and raise(3) leaves it alone unless it fails.
        let errno = unsafe {
            *libc::__errno_location() = 1234;
            libc::raise(SIGUSR1);
            *libc::__errno_location()
        };
        assert_eq!(errno, 1234);
        assert_eq!(all(&signals), [SIGUSR1]);
    });
}

#[test]
fn poll_goes_on_after_a_signal() {
    in_child(|| {
        let _signals = Signals::on([SIGUSR1]).unwrap();
        let (reader, mut writer) = pipe().unwrap();
        let sending = std::thread::spawn(move || {
            for _ in 0..10_000 {
                kill_process(getpid(), Signal::USR1).unwrap();
            }
            writer.write_all(b"x").unwrap();
        });
        let ready = poll(&[Interest::Read(reader.as_fd())], Some(DEADLINE)).unwrap();
        assert!(ready[0].now);
        sending.join().unwrap();
    });
}

#[test]
fn reraising_ends_us_by_the_signal() {
    in_child(|| {
        let child = fork(|| {
            let _signals = Signals::on([SIGTERM]).unwrap();
            reraise(SIGTERM).unwrap();
        });
        assert_eq!(wait(child).terminating_signal(), Some(SIGTERM));
        assert!(reraise(0).is_err());
    });
}

#[test]
fn suspending_stops_us_and_comes_back() {
    in_child(|| {
        let child = fork(|| {
            // A group whose parent is in the same session: not orphaned.
            setpgid(None, None).unwrap();
            let signals = Signals::on([SIGTSTP]).unwrap();
            suspend_self(SIGTSTP).unwrap();
            raise(SIGTSTP);
            assert_eq!(all(&signals), [SIGTSTP]);
            suspend_self(libc::SIGSTOP).unwrap();
        });
        assert_eq!(wait(child).stopping_signal(), Some(SIGTSTP));
        kill_process(child, Signal::CONT).unwrap();
        assert_eq!(wait(child).stopping_signal(), Some(libc::SIGSTOP));
        kill_process(child, Signal::CONT).unwrap();
        assert_eq!(wait(child).exit_status(), Some(0));
    });
}

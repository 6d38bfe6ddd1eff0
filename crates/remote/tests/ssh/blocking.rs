//! Descriptors that are shared with others stay as they are: a control master would make them non-blocking.

use std::fs::File;
use std::io::pipe;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use thither_place::{Command, Exit, Place};

use crate::common::{fd, host, wait};

fn is_nonblocking(of: impl AsFd) -> bool {
    fcntl_getfl(of).unwrap().contains(OFlags::NONBLOCK)
}

fn pty() -> (OwnedFd, OwnedFd) {
    let leader = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&leader).unwrap();
    unlockpt(&leader).unwrap();
    let follower = ioctl_tiocgptpeer(&leader, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    (leader, follower)
}

/// What a command reads from, with who writes there; and what it writes to, with who reads.
fn kinds() -> Vec<(&'static str, [OwnedFd; 2], [OwnedFd; 2])> {
    let (read, write) = pipe().unwrap();
    let (output, input) = pipe().unwrap();
    let [(a, b), (c, d)] = [0; 2].map(|_| UnixStream::pair().unwrap());
    let [(e, f), (g, h)] = [0; 2].map(|_| pty());
    vec![
        ("pipe", [read.into(), write.into()], [input.into(), output.into()]),
        ("socket", [a.into(), b.into()], [c.into(), d.into()]),
        ("terminal", [f, e], [h, g]),
    ]
}

#[test]
fn pipes_sockets_and_terminals_keep_their_mode() {
    let host = host!("sh");
    let place = host.place();
    for before in [false, true] {
        for (kind, [input, writer], [output, reader]) in kinds() {
            for end in [&input, &output] {
                let flags = fcntl_getfl(end).unwrap();
                let flags = if before { flags | OFlags::NONBLOCK } else { flags };
                fcntl_setfl(end, flags).unwrap();
            }
            let copy = |end: &OwnedFd| fd(end.try_clone().unwrap());
            let command =
                Command::new("cat").stdin(copy(&input)).stdout(copy(&output)).stderr(copy(&output));
            let process = place.spawn(&command).unwrap();
            drop(command);
            let check = |when: &str| {
                for end in [&input, &output] {
                    assert_eq!(is_nonblocking(end), before, "{kind} {when}");
                }
            };
            rustix::io::write(&writer, b"during\n").unwrap();
            assert_eq!(crate::common::line(&reader).trim(), "during", "{kind}");
            check("during");
            match kind {
                "terminal" => drop(rustix::io::write(&writer, b"\x04").unwrap()),
                _ => drop(writer),
            }
            assert_eq!(wait(process).unwrap(), Exit::Code(0), "{kind}");
            check("after");
        }
    }
}

#[test]
fn a_file_keeps_its_mode() {
    let host = host!("sh");
    let input = File::open("/etc/passwd").unwrap();
    let output = tempfile::tempfile().unwrap();
    let copy = |end: &File| fd(end.try_clone().unwrap());
    let command =
        Command::new("cat").stdin(copy(&input)).stdout(copy(&output)).stderr(copy(&output));
    assert_eq!(wait(host.place().spawn(&command).unwrap()).unwrap(), Exit::Code(0));
    assert_eq!(output.metadata().unwrap().len(), input.metadata().unwrap().len());
    assert!(!is_nonblocking(&input) && !is_nonblocking(&output));
}

/// Its input is the user's terminal: what is typed after its end is for the user's shell.
#[test]
fn a_terminal_is_not_read_after_the_end() {
    let host = host!("sh");
    let (leader, follower) = pty();
    let input = fd(follower.try_clone().unwrap());
    let command = Command::new("true").stdin(input);
    assert_eq!(wait(host.place().spawn(&command).unwrap()).unwrap(), Exit::Code(0));
    rustix::io::write(&leader, b"next\n").unwrap();
    assert_eq!(crate::common::line(&follower), "next");
}

#[test]
fn nothing_is_left_open() {
    let host = host!("sh");
    let place = host.place();
    let run = || {
        let command = Command::new("cat").env("A", "1").stdin(thither_place::Stream::Null);
        drop(crate::common::output(&place, &command));
        let mut process = place.spawn(&crate::common::piped(Command::new("cat"))).unwrap();
        process.stdin = None;
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
        let size = thither_place::WindowSize { cols: 80, rows: 24 };
        let mut process = place.spawn(&Command::new("true").terminal(size)).unwrap();
        crate::common::Screen::of(&mut process).rest();
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
    };
    run();
    let before = testkit::descriptors(std::process::id()).len();
    for _ in 0..10 {
        run();
    }
    let what = "as many descriptors as before";
    testkit::wait_until(testkit::DEADLINE, what, || {
        testkit::descriptors(std::process::id()).len() <= before
    });
    let tasks = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // The test's own, and libtest's.
    testkit::wait_until(testkit::DEADLINE, "the end of the threads", || tasks() <= 2);
}

//! The user's terminal joined to a process of a place of one's own: everything is put back however it ends.
#![expect(unsafe_code, reason = "dup2 of a pty to the standard streams")]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;

use testkit::{DEADLINE, Modes, own_process, wait_until};
use thither_place::interact::attach;
use thither_place::{Command, Control, Ending, Error, Event, Exit, Interact, Process, WindowSize};
use thither_term::Pty;

/// What the control says once `cue` is readable.
#[derive(Clone, Copy)]
enum Script {
    Exits(Exit),
    IsLost,
    Panics,
}

struct Scripted {
    script: Script,
    cue: UnixStream,
    sizes: Vec<WindowSize>,
}

impl Control for Scripted {
    fn resize(&mut self, size: WindowSize) -> thither_place::Result<()> {
        self.sizes.push(size);
        Ok(())
    }
    fn signal(&mut self, _: i32) -> thither_place::Result<()> {
        Ok(())
    }
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.cue.as_fd()
    }
    fn event(&mut self) -> thither_place::Result<Option<Event>> {
        let mut byte = [0];
        match self.script {
            _ if !matches!(self.cue.read(&mut byte), Ok(1)) => Ok(None),
            Script::Exits(exit) => Ok(Some(Event::Exited(exit))),
            Script::IsLost => Err(Error::Disconnected { place: "far:away".into() }),
            Script::Panics => panic!("as planned"),
        }
    }
    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> thither_place::Result<()> {
        Ok(())
    }
}

/// Our end of a scripted process: its terminal stream, and the cue for its script.
struct Stage {
    program: UnixStream,
    cue: UnixStream,
}

fn process(script: Script, detachable: bool) -> (Process, Stage) {
    let (program, terminal) = UnixStream::pair().unwrap();
    let (cue, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut process = Process::new(Box::new(Scripted { script, cue: ours, sizes: Vec::new() }));
    process.terminal = Some(OwnedFd::from(terminal));
    process.detachable = detachable;
    (process, Stage { program, cue })
}

/// A terminal of our own at descriptors 0 and 1, as long as `work` runs. In a process of its own only.
fn with_terminal<T>(work: impl FnOnce(&Pty) -> T) -> T {
    rustix::process::setsid().unwrap();
    let pty = Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap();
    rustix::process::ioctl_tiocsctty(&pty.follower).unwrap();
    let saved = io::stdout().as_fd().try_clone_to_owned().unwrap();
    let put = |from: &OwnedFd, to: i32| {
        // SAFETY: the standard streams of a process of its own, which are open.
        assert!(unsafe { libc::dup2(from.as_raw_fd(), to) } >= 0);
    };
    put(&pty.follower, 0);
    put(&pty.follower, 1);
    let result = work(&pty);
    put(&saved, 1);
    // Closing it would hang up on us, its session's leader.
    std::mem::forget(pty);
    result
}

fn alone() -> impl FnOnce(&std::path::Path) -> process::Command {
    |program| process::Command::new(program)
}

/// Runs a process to its end under the user's terminal: what the terminal showed, the result, and whether the modes
/// are as before.
#[track_caller]
fn check(script: Script, expected: Result<Ending, &str>, shown: &str) {
    let (result, modes, text) = with_terminal(|pty| {
        let before = Modes::of(&pty.follower).unwrap();
        let (process, mut stage) = process(script, false);
        stage.program.write_all(b"\x1b[?1049hhello").unwrap();
        stage.cue.write_all(b"x").unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| attach(process, &Interact::default())));
        let same = Modes::of(&pty.follower).unwrap() == before;
        // A terminal hands over what was written in as many pieces as it likes: all has come when this has.
        let end = b"(all)";
        rustix::io::write(&pty.follower, end).unwrap();
        let mut text = Vec::new();
        while !text.ends_with(end) {
            let mut chunk = [0; 256];
            let read = rustix::io::read(&pty.leader, &mut chunk).unwrap();
            text.extend_from_slice(&chunk[..read]);
        }
        text.truncate(text.len() - end.len());
        (result, same, String::from_utf8_lossy(&text).into_owned())
    });
    let result = match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err((*panic.downcast_ref::<&str>().unwrap()).to_owned()),
    };
    assert_eq!(result, expected.map_err(str::to_owned));
    assert!(modes, "the modes are others");
    assert_eq!(text, shown);
}

#[test]
fn an_end_of_its_own() {
    own_process!(alone());
    let exit = Exit::Code(3);
    check(Script::Exits(exit), Ok(Ending::Exited(exit)), "\x1b[?1049hhello");
}

#[test]
fn a_death_by_signal() {
    own_process!(alone());
    let exit = Exit::Signal(9);
    check(Script::Exits(exit), Ok(Ending::Exited(exit)), "\x1b[?1049hhello\x1b[?1049l");
}

#[test]
fn a_lost_connection() {
    own_process!(alone());
    let shown = "\x1b[?1049hhello\x1b[?1049l";
    check(Script::IsLost, Err("connection to `far:away` lost"), shown);
}

#[test]
fn a_panic() {
    own_process!(alone());
    // What was read but not shown by then is not.
    check(Script::Panics, Err("as planned"), "\x1b[?1049l");
}

/// Types `keys`, and gives how it ended and what the program got.
fn type_keys(keys: &[u8], detachable: bool) -> (Ending, Vec<u8>) {
    with_terminal(|pty| {
        let (process, mut stage) = process(Script::Exits(Exit::Code(0)), detachable);
        let options = Interact { detach_keys: Some(b"\x10\x11".to_vec()), ..Interact::default() };
        std::thread::scope(|scope| {
            let joined = scope.spawn(|| attach(process, &options).unwrap());
            wait_until(DEADLINE, "raw mode", || Modes::of(&pty.follower).unwrap().is_raw());
            rustix::io::write(&pty.leader, keys).unwrap();
            let mut got = Vec::new();
            if detachable {
                // The program's end of the terminal closes as we let go.
                stage.program.read_to_end(&mut got).unwrap();
            } else {
                got.resize(keys.len(), 0);
                stage.program.read_exact(&mut got).unwrap();
                stage.cue.write_all(b"x").unwrap();
            }
            (joined.join().unwrap(), got)
        })
    })
}

#[test]
fn detach_keys_let_go_of_what_lives_on() {
    own_process!(alone());
    assert_eq!(type_keys(b"ab\x10\x11", true), (Ending::Detached, b"ab".to_vec()));
}

#[test]
fn detach_keys_are_ordinary_keys_for_what_does_not() {
    own_process!(alone());
    let ended = Ending::Exited(Exit::Code(0));
    assert_eq!(type_keys(b"ab\x10\x11", false), (ended, b"ab\x10\x11".to_vec()));
}

#[test]
fn a_prefix_key_is_not_held_back() {
    own_process!(alone());
    with_terminal(|pty| {
        let (process, mut stage) = process(Script::Exits(Exit::Code(0)), true);
        let options = Interact { detach_keys: Some(b"\x10\x11".to_vec()), ..Interact::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| attach(process, &options).unwrap());
            wait_until(DEADLINE, "raw mode", || Modes::of(&pty.follower).unwrap().is_raw());
            rustix::io::write(&pty.leader, b"\x10").unwrap();
            // No other key follows: if it waited for one, this would never end.
            stage.program.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut got = [0];
            stage.program.read_exact(&mut got).unwrap();
            assert_eq!(got, [0x10]);
            stage.cue.write_all(b"x").unwrap();
        });
    });
}

#[test]
fn without_a_terminal_there_is_none_to_ask_for() {
    // libtest's standard input is none, or one that is left alone: nothing is read from it.
    let command = Command::new("true");
    let ending = thither_place::interact(&thither_place::Local, &command, &Interact::default());
    assert_eq!(ending.unwrap(), Ending::Exited(Exit::Code(0)));
}

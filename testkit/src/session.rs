//! A program in a pty of its own.
#![expect(
    unsafe_code,
    reason = "Command::pre_exec: the child takes the pty as its controlling terminal"
)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};

use crate::watch::{all_processes, kill};
use crate::{DEADLINE, Modes};

/// The prompt of [`Session::shell`]. The echo of what is typed does not contain it.
pub const PROMPT: &str = "prompt> ";

/// A program in a pty of its own, as its session leader and with the pty as its controlling terminal.
///
/// The test is the user: it types with [`send`](Session::send) and reads with [`expect`](Session::expect). Dropping it
/// hangs up and kills every process of the session.
#[derive(Debug)]
pub struct Session {
    child: Child,
    pidfd: OwnedFd,
    leader: OwnedFd,
    transcript: Vec<u8>,
    /// How much of the transcript was expected already.
    seen: usize,
    closed: bool,
    ended: Option<ExitStatus>,
}

impl Session {
    /// Starts a command in a new pty of `cols` by `rows` cells. The streams that the command had are replaced;
    /// signals that the test was started with as ignored (by `nohup`, say) have their default action.
    ///
    /// # Panics
    /// When there is no pty or the program cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(mut command: Command, (cols, rows): (u16, u16)) -> Session {
        let (leader, follower) = open_pty().expect("a pty");
        tcsetwinsize(&leader, winsize(cols, rows)).expect("the pty's size");
        let streams = [0; 3].map(|_| follower.try_clone().expect("a descriptor"));
        let [stdin, stdout, stderr] = streams;
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        // SAFETY: system calls only; nothing allocates, locks or panics between fork and exec.
        unsafe { command.pre_exec(take_terminal) };
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a pidfd");
        Session {
            child,
            pidfd,
            leader,
            transcript: Vec::new(),
            seen: 0,
            closed: false,
            ended: None,
        }
    }

    /// Starts an interactive `sh` with job control, `TERM=xterm` and the prompt [`PROMPT`], and waits for the prompt.
    /// Variables and a directory can be given with `setup`.
    ///
    /// # Panics
    /// When no prompt comes.
    #[must_use]
    #[track_caller]
    pub fn shell(size: (u16, u16), setup: impl FnOnce(&mut Command)) -> Session {
        let mut command = Command::new("sh");
        command.arg("-i").env("PS1", PROMPT).env("TERM", "xterm").env_remove("ENV");
        setup(&mut command);
        let mut session = Session::spawn(command, size);
        session.expect_prompt();
        session
    }

    /// Types bytes: `b"\x03"` is ^C, `b"\r"` the Enter key.
    ///
    /// # Panics
    /// When the terminal does not take them before the [`DEADLINE`].
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        let end = Instant::now() + DEADLINE;
        while !rest.is_empty() {
            match rustix::io::write(&self.leader, rest) {
                Ok(n) => rest = &rest[n..],
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                    if self.closed || Instant::now() >= end {
                        self.fail(&format!("the terminal does not take {}", escaped(rest)));
                    }
                    // A program that waits for its output to be read may not read its input.
                    self.turn(PollFlags::OUT, DEADLINE);
                }
                Err(error) => self.fail(&format!("typing: {error}")),
            }
        }
    }

    /// Types a line and Enter.
    ///
    /// # Panics
    /// See [`send`](Session::send).
    #[track_caller]
    pub fn line(&mut self, line: &str) {
        self.send(format!("{line}\r"));
    }

    /// Waits until the terminal shows `needle` after all that was expected before, and returns what came up to
    /// and with it.
    ///
    /// # Panics
    /// When it does not come before the [`DEADLINE`], or no more can come; with the transcript.
    #[track_caller]
    pub fn expect(&mut self, needle: impl AsRef<[u8]>) -> String {
        let needle = needle.as_ref();
        let end = Instant::now() + DEADLINE;
        loop {
            let new = &self.transcript[self.seen..];
            if let Some(at) = new.windows(needle.len()).position(|window| window == needle) {
                let found = &new[..at + needle.len()];
                let text = String::from_utf8_lossy(found).into_owned();
                self.seen += found.len();
                return text;
            }
            if self.closed || Instant::now() >= end {
                let why = if self.closed { "the terminal was closed" } else { "nothing more came" };
                self.fail(&format!("expected {}, but {why}", escaped(needle)));
            }
            self.turn(PollFlags::IN, end - Instant::now());
        }
    }

    /// Waits for [`PROMPT`] and returns what came before it.
    ///
    /// # Panics
    /// See [`expect`](Session::expect).
    #[track_caller]
    pub fn expect_prompt(&mut self) -> String {
        let mut text = self.expect(PROMPT);
        text.truncate(text.len() - PROMPT.len());
        text
    }

    /// Waits until something holds that gives no output, such as a mode of the terminal; reads output meanwhile.
    ///
    /// # Panics
    /// At the [`DEADLINE`], with `what` was waited for.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Session) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            if Instant::now() >= end {
                self.fail(&format!("waited in vain: {what}"));
            }
            crate::watch::pause();
            self.turn(PollFlags::IN, Duration::ZERO);
        }
    }

    /// Changes the size of the terminal, as a user does with a window.
    ///
    /// # Panics
    /// Never while the pty exists.
    pub fn resize(&self, cols: u16, rows: u16) {
        tcsetwinsize(&self.leader, winsize(cols, rows)).expect("the pty's size");
    }

    /// Closes the terminal, as a user does with a window, without a word to those who run in it.
    pub fn close(mut self) {
        // What is left is a leader that nobody can use: a new one of another pty.
        if let Ok((other, _)) = open_pty() {
            drop(std::mem::replace(&mut self.leader, other));
        }
        std::mem::forget(self);
    }

    /// The terminal's modes now; also after the end.
    ///
    /// # Panics
    /// Never while the pty exists.
    #[must_use]
    pub fn modes(&self) -> Modes {
        Modes::of(&self.leader).expect("the pty's modes")
    }

    /// The terminal's foreground process group, if it has one.
    #[must_use]
    pub fn foreground(&self) -> Option<u32> {
        tcgetpgrp(&self.leader).ok().map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// The process id of the session's leader.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its Linux number, to the session's leader alone.
    ///
    /// # Panics
    /// When the number is no signal's.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        let signal = Signal::from_named_raw(signal).expect("the number of a signal");
        // It is no failure if it has ended meanwhile: it is ours to wait for, so the id is no one else's.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for the end of the session's leader, reads what is left to read, and returns the status.
    ///
    /// # Panics
    /// At the [`DEADLINE`], with the transcript.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        while self.ended.is_none() {
            if Instant::now() >= end {
                self.fail("the program does not end");
            }
            self.turn(PollFlags::IN, end - Instant::now());
        }
        while !self.closed && self.turn(PollFlags::IN, Duration::ZERO) {}
        self.ended.expect("the loop ended with a status")
    }

    /// Everything that the terminal showed so far, as far as it was read.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// Waits for output, the end or (with `OUT`) room for input, and reads what there is; whether there was output.
    fn turn(&mut self, wanted: PollFlags, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).expect("a short time");
        let leader = PollFd::new(&self.leader, wanted | PollFlags::IN);
        let end = PollFd::new(&self.pidfd, PollFlags::IN);
        let mut fds = [leader, end];
        // After the end only output counts, and after the hang-up only the end: both poll ready for ever.
        let fds = match (self.closed, self.ended) {
            (true, _) => &mut fds[1..],
            (false, Some(_)) => &mut fds[..1],
            (false, None) => &mut fds[..],
        };
        let _ = poll(fds, Some(&patience));
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the status of our child");
        }
        let mut chunk = [0; 4096];
        match rustix::io::read(&self.leader, &mut chunk) {
            Ok(0) => self.closed = true,
            Ok(n) => {
                self.transcript.extend_from_slice(&chunk[..n]);
                return true;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // EIO: no process has the follower open any more.
            Err(_) => self.closed = true,
        }
        false
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let (old, new) = self.transcript.split_at(self.seen);
        panic!("{what}\nthe terminal, seen:\n{}\nnot yet seen:\n{}", escaped(old), escaped(new));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let session = self.child.id();
        for pid in all_processes(|process| session_of(process) == Some(session)) {
            kill(pid);
        }
        let _ = self.child.wait();
    }
}

fn open_pty() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let leader = openpt(flags)?;
    unlockpt(&leader)?;
    let follower = ioctl_tiocgptpeer(&leader, flags)?;
    let status = rustix::fs::fcntl_getfl(&leader)?;
    rustix::fs::fcntl_setfl(&leader, status | rustix::fs::OFlags::NONBLOCK)?;
    Ok((leader, follower))
}

fn winsize(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

/// In the child: a new session with descriptor 0 as its controlling terminal.
fn take_terminal() -> io::Result<()> {
    for signal in
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU]
    {
        // SAFETY: it sets a default action; there is no handler that could be unsound.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    Ok(())
}

/// The session of a process, the sixth field of its `stat` (proc_pid_stat(5)).
fn session_of(process: &std::path::Path) -> Option<u32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // The second field is a name in parentheses that may itself hold both spaces and parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

/// Bytes as a terminal's user would want them in a report: lines kept, everything else that cannot be seen escaped.
fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn sh(script: &str) -> Session {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Session::spawn(command, (80, 24))
    }

    fn panic_text(run: impl FnOnce()) -> String {
        *catch_unwind(AssertUnwindSafe(run)).unwrap_err().downcast().unwrap()
    }

    #[test]
    fn a_program_has_a_terminal_of_the_size() {
        let mut session = sh("test -t 0 && test -t 1 && test -t 2 && stty size </dev/tty; exit 7");
        assert_eq!(session.expect("24 80\r\n"), "24 80\r\n");
        assert_eq!(session.wait().code(), Some(7));
    }

    #[test]
    fn the_end_keeps_what_was_not_read_yet() {
        let mut session = sh("yes 0123456 | head -n 4096; kill -9 $$");
        assert_eq!(session.wait().signal(), Some(9));
        assert_eq!(session.transcript(), "0123456\r\n".repeat(4096));
    }

    #[test]
    fn what_does_not_come_fails_with_the_transcript() {
        let mut session = sh("echo one; echo two; echo three");
        session.expect("one\r\n");
        let text = panic_text(|| _ = session.expect("four"));
        assert_eq!(
            text,
            "expected four, but the terminal was closed\nthe terminal, seen:\none\\r\\n\n\n\
             not yet seen:\ntwo\\r\\n\nthree\\r\\n\n"
        );
    }

    #[test]
    fn what_was_expected_is_not_expected_again() {
        let mut session = sh("echo one; echo two");
        session.expect("one");
        let text = panic_text(|| _ = session.expect("one"));
        assert!(text.starts_with("expected one, but"), "{text}");
    }

    #[test]
    fn jobs_stop_and_go_on() {
        let mut shell = Session::shell((80, 24), |_| {});
        let at_the_prompt = shell.modes();
        let group_of_shell = shell.foreground();
        shell.line("cat");
        shell.until("cat in the foreground", |shell| shell.foreground() != group_of_shell);
        shell.send("\x1a");
        shell.expect("Stopped");
        shell.expect_prompt();
        shell.line("fg");
        shell.until("cat in the foreground", |shell| shell.foreground() != group_of_shell);
        shell.line("hello");
        shell.expect("hello\r\nhello\r\n");
        shell.send("\x03");
        shell.expect_prompt();
        assert_eq!(shell.modes(), at_the_prompt);
        shell.line("exit 4");
        assert_eq!(shell.wait().code(), Some(4));
    }

    #[test]
    fn modes_are_read_through_the_leader_until_after_the_end() {
        let mut session = sh("stty raw -echo; read x; exit 0");
        session.until("raw mode", |session| session.modes().is_raw());
        let raw = session.modes();
        session.send("\n");
        assert!(session.wait().success());
        assert_eq!(session.modes(), raw);
        assert!(!sh("read x").modes().is_raw());
    }

    #[test]
    fn a_resize_is_told() {
        let mut session =
            sh("trap 'stty size; exit 0' WINCH; echo ready; while :; do read x; done");
        session.expect("ready\r\n");
        session.resize(100, 30);
        session.expect("30 100\r\n");
        assert!(session.wait().success());
    }

    #[test]
    fn signals_reach_the_leader_even_if_we_ignore_them() {
        let mut session = sh("echo ready; read x");
        session.expect("ready");
        session.signal(libc::SIGHUP);
        assert_eq!(session.wait().signal(), Some(libc::SIGHUP));
    }

    #[test]
    fn more_than_the_terminal_holds_can_be_typed() {
        let mut session =
            sh("stty raw -echo; echo ready; head -c 100000 | tee /dev/stderr | wc -c");
        session.expect("ready");
        session.send("x".repeat(100_000));
        session.expect("100000\n");
    }

    #[test]
    fn dropping_it_leaves_no_process() {
        let marker = crate::Marker::new();
        let mut shell = Session::shell((80, 24), |command| _ = marker.mark(command));
        shell.line("(trap '' HUP TERM INT; while :; do sleep 1000; done) & cat");
        crate::wait_until(DEADLINE, "shell, subshell, sleep and cat", || {
            marker.processes().len() == 4
        });
        drop(shell);
        marker.assert_gone();
    }
}

#![expect(unsafe_code, reason = "clone3 and pthread_sigmask")]
//! Launching: for places that start processes on this machine with more than `std::process` offers.
//!
//! A *supervisor* is forked, enters the place, starts the command and watches over it. In a pid namespace it is
//! pid 1 and reaps orphans; with a terminal it leads the session. Its channel to us tells when the command is
//! stopped and how it ended; when our end closes, because it was dropped or because we were killed, the
//! supervisor ends, and with it whatever it watches over.

mod resolve;
mod exec;
mod actions;
mod child;
mod protocol;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid,
};
use thither_term::WindowSize;

pub use exec::{DEFAULT_PATH, Exec, Fresh, c_string};
pub use protocol::{Failure, Step};
pub use resolve::{Files, Found, Resolved};

/// The most that is read of a place's passwd or group file, in bytes: a hostile one may never end.
pub const MAX_FILE: u64 = 4 << 20;

use crate::process::{Control, Event};
use crate::streams::Plumbing;
use crate::{Error, Exit, Result};
use child::{ChildStreams, Job};
use protocol::Message;

/// Why a launch came to nothing.
#[derive(Debug)]
pub enum LaunchError {
    /// The supervisor could not be made: the channel, or `clone3` with these namespaces.
    Fork(io::Error),
    /// What had to be done from outside failed.
    Arrange(io::Error),
    /// A step in the new process failed.
    Step(Failure),
    /// The supervisor was killed before the command ran.
    Killed(Exit),
}

/// A supervisor, and through it the command.
///
/// Dropping it ends the supervisor and waits for that.
#[derive(Debug)]
pub struct Supervisor {
    place: String,
    pid: i32,
    pidfd: OwnedFd,
    channel: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    exit: Option<Exit>,
}

/// What is launched, and how.
#[expect(missing_debug_implementations, reason = "there is nothing to show of a function")]
pub struct Launch<'a> {
    /// The place's address, for messages.
    pub place: &'a str,
    /// The program.
    pub exec: &'a Exec,
    /// Its streams.
    pub plumbing: &'a Plumbing,
    /// `CLONE_NEW*` of `clone(2)`.
    pub namespaces: u64,
    /// Enters the place; called in the new process.
    pub enter: &'a dyn Fn() -> std::result::Result<(), Failure>,
    /// Called in this process before `enter` is called in the new one, whose pid it is given: for what has to be
    /// done from outside.
    pub arrange: Option<&'a dyn Fn(i32) -> io::Result<()>>,
    /// Runs instead of the program, as the command's process, and returns its exit code. Of `exec` only the
    /// directory and the user count then.
    pub instead: Option<&'a dyn Fn() -> i32>,
}

/// Starts a program under a supervisor.
///
/// # Errors
/// See [`LaunchError`].
///
/// # Safety
/// `enter` runs in the new process, where only this thread exists: it may make system calls and touch memory
/// that was prepared before, but not allocate, lock, log, panic or close descriptors that it did not open.
///
/// `instead` may do so only if this thread is the only one of the caller's process as well.
pub unsafe fn launch(launch: &Launch<'_>) -> std::result::Result<Supervisor, LaunchError> {
    let (ours, theirs) = channel().map_err(LaunchError::Fork)?;
    let job = Job {
        exec: launch.exec,
        streams: streams_of(launch.plumbing),
        channel: theirs.as_fd(),
        waits: launch.arrange.is_some(),
        enter: launch.enter,
        instead: launch.instead,
    };
    let (pid, pidfd) = fork(launch.namespaces, &job).map_err(LaunchError::Fork)?;
    drop(theirs);
    let terminal = launch.plumbing.pty.as_ref().map(|pty| pty.leader.try_clone());
    let mut supervisor = Supervisor {
        place: launch.place.to_owned(),
        pid: 0,
        pidfd,
        channel: Some(ours),
        terminal: None,
        exit: None,
    };
    supervisor.terminal = terminal.transpose().map_err(LaunchError::Fork)?;
    if let Some(arrange) = launch.arrange {
        arrange(pid).map_err(LaunchError::Arrange)?;
        supervisor.go_on();
    }
    match supervisor.receive(RecvFlags::empty()) {
        Ok(Some(Message::Started(pid))) => {
            supervisor.pid = pid;
            Ok(supervisor)
        }
        Ok(Some(Message::Failed(failure))) => Err(LaunchError::Step(failure)),
        Ok(_) => Err(LaunchError::Killed(supervisor.bury())),
        Err(errno) => Err(LaunchError::Fork(errno.into())),
    }
}

/// Starts `exec` with these streams as a child of ours, with nobody in between, and gives its pid and a pidfd of it.
///
/// # Errors
/// See [`LaunchError`].
pub(crate) fn spawn(
    exec: &Exec,
    plumbing: &Plumbing,
) -> std::result::Result<(Pid, OwnedFd), LaunchError> {
    let _dumpable = exec.identity.as_ref().map(|_| KeepDumpable::new());
    let _blocked = block_signals();
    child::spawn(exec, streams_of(plumbing)).map_err(LaunchError::Step)
}

/// Whether this process may be looked at by its user (prctl(2), `PR_SET_DUMPABLE`) is a property of its memory. A
/// child that shares it until it executes its program takes that away as it becomes another user; here it is given
/// back, and one such child is started at a time, lest two take each other's state for ours.
struct KeepDumpable {
    before: Option<DumpableBehavior>,
    _one: MutexGuard<'static, ()>,
}

impl KeepDumpable {
    fn new() -> KeepDumpable {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        KeepDumpable { before: rustix::process::dumpable_behavior().ok(), _one: one }
    }
}

impl Drop for KeepDumpable {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = rustix::process::set_dumpable_behavior(before);
        }
    }
}

fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

fn streams_of(plumbing: &Plumbing) -> ChildStreams<'_> {
    match &plumbing.pty {
        Some(pty) => ChildStreams::Terminal(pty.follower.as_fd()),
        None => {
            ChildStreams::Separate(plumbing.child.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd)))
        }
    }
}

/// How a child of ours ended; `None`, with `NOHANG`, if it has not.
///
/// # Errors
/// `ECHILD` when this program ignores the end of its children, or something else in it waited for this one.
pub(crate) fn wait_for(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    let wait = || waitid(WaitId::PidFd(pidfd), options | WaitIdOptions::EXITED);
    let status = crate::process::retry(wait)?;
    Ok(status.map(|status| match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.exit_status().unwrap_or(255)),
    }))
}

/// Handlers of the caller's program are reset in the child; clone(2), Linux 5.5. (libc's constant overflows.)
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// The supervisor's process: its pid, and a pidfd. All signals stay blocked in it.
fn fork(namespaces: u64, job: &Job<'_>) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: i32 = -1;
    // SAFETY: plain data for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND | namespaces;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    let unblock = block_signals();
    // SAFETY: without CLONE_VM this is a fork: the child gets a copy of our memory and of this stack, and never
    // returns from `supervise`, which keeps the contract of a fork in a threaded program.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        child::supervise(job);
    }
    let error = io::Error::last_os_error();
    drop(unblock);
    match pid {
        -1 => Err(error),
        // SAFETY: CLONE_PIDFD stored a new descriptor there, and nobody else has it.
        pid => Ok((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Every signal blocked for this thread, until it is dropped. In a child no handler of the caller's program can run
/// then, where it would act in the parent's name.
struct Blocked(libc::sigset_t);

fn block_signals() -> Blocked {
    // SAFETY: valid pointers to plain data, for which zeroes are valid.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        Blocked(before)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: a mask that pthread_sigmask has stored.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}

impl Supervisor {
    /// The process id of the command, in the pid namespace that the supervisor is in.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The next message; `None` at the end of the channel.
    fn receive(&mut self, flags: RecvFlags) -> rustix::io::Result<Option<Message>> {
        match &self.channel {
            Some(channel) => Message::receive(channel.as_fd(), flags),
            None => Ok(None),
        }
    }

    /// Lets it enter, which it waits for if there was something to arrange: no signal is a 0.
    fn go_on(&self) {
        if let Some(channel) = &self.channel {
            // If it is gone, the end of the channel says so next.
            let _ = rustix::net::send(channel, &[0], SendFlags::NOSIGNAL);
        }
    }

    /// Ends the supervisor, unless it has ended, and waits for it; how it ended.
    fn bury(&mut self) -> Exit {
        self.channel = None;
        // The end of the channel ends it, but not if somebody has stopped it. It has nothing to put back.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let exit = wait_for(self.pidfd.as_fd(), WaitIdOptions::empty());
        *self.exit.get_or_insert(exit.ok().flatten().unwrap_or(Exit::Code(255)))
    }

    fn unsupported(&self, action: &str) -> Error {
        Error::Unsupported { action: action.into(), place: self.place.clone(), hint: None }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.bury();
        }
    }
}

impl Control for Supervisor {
    fn resize(&mut self, size: WindowSize) -> Result<()> {
        match &self.terminal {
            Some(leader) => size.set(leader).map_err(|source| Error::Terminal {
                action: "set the size of the terminal",
                source,
            }),
            None => Err(self.unsupported("resize a command without a terminal")),
        }
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        let byte = u8::try_from(signal).ok();
        let Some(byte) = byte.filter(|_| Signal::from_named_raw(signal).is_some()) else {
            return Err(self.unsupported(&format!("send signal {signal}")));
        };
        let Some(channel) = &self.channel else { return Ok(()) };
        match rustix::net::send(channel, &[byte], SendFlags::NOSIGNAL) {
            // It is just ending.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(Error::Place {
                action: format!("send signal {signal}"),
                place: self.place.clone(),
                source: Box::new(io::Error::from(errno)),
                hint: None,
            }),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.channel {
            Some(channel) => channel.as_fd(),
            // Readable for good, once the process has ended.
            None => self.pidfd.as_fd(),
        }
    }

    fn event(&mut self) -> Result<Option<Event>> {
        if let Some(exit) = self.exit {
            return Ok(Some(Event::Exited(exit)));
        }
        match self.receive(RecvFlags::DONTWAIT) {
            Ok(Some(Message::Stopped(signal))) => Ok(Some(Event::Stopped(signal))),
            Ok(Some(Message::Exited(status))) => {
                self.exit = Some(Exit::from_wait_status(status));
                // The supervisor ends by itself now. Once it has, nothing that it watched over is left.
                Ok(Some(Event::Exited(self.bury())))
            }
            // Killed from outside: with pid 1 everything inside was killed in the same way.
            Ok(Some(Message::Started(_) | Message::Failed(_)) | None) => {
                Ok(Some(Event::Exited(self.bury())))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(Error::Place {
                action: "hear from the supervisor".into(),
                place: self.place.clone(),
                source: Box::new(io::Error::from(errno)),
                hint: None,
            }),
        }
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        let typed = terminal.map(thither_term::pty::end_of_input).transpose();
        match typed
            .map_err(|source| Error::Terminal { action: "end the input of the terminal", source })?
        {
            Some(true) => Ok(()),
            _ => Err(self.unsupported("end the input of a program that reads keys one by one")),
        }
    }
}

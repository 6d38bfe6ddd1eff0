#![expect(unsafe_code, reason = "the code between fork and exec: raw system calls only")]
//! The code that runs in a new process before `execve`, and in the supervisor for as long as the command lives.
//!
//! The contract of this file: the caller may have had other threads, which the new process lacks. Whatever they
//! had locked (the allocator, stdio) stays locked for ever. So nothing here allocates, locks, logs, panics or
//! returns to the caller's frames; errors travel as numbers.

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Signal, WaitIdOptions, WaitOptions, getpid, getppid, kill_process,
    kill_process_group, set_parent_process_death_signal, setrlimit, setsid, wait,
};

use super::actions::{self, reset_handlers, unblock_signals};
use super::exec::Exec;
use super::protocol::{Failure, Message, Step};

/// The command's streams as descriptors, made before the fork.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChildStreams<'fd> {
    /// Sources of descriptors 0, 1 and 2; `None` keeps what is there.
    Separate([Option<BorrowedFd<'fd>>; 3]),
    /// The follower of a pty, for all three.
    Terminal(BorrowedFd<'fd>),
}

/// What the new process works with. Only borrowed: it lives in the caller's memory as of the fork.
pub(super) struct Job<'a> {
    pub(super) exec: &'a Exec,
    pub(super) streams: ChildStreams<'a>,
    pub(super) channel: BorrowedFd<'a>,
    /// Whether the parent says when to enter.
    pub(super) waits: bool,
    pub(super) enter: &'a dyn Fn() -> Result<(), Failure>,
    /// What runs instead of the program.
    pub(super) instead: Option<&'a dyn Fn() -> i32>,
}

/// Ends the process if anything below should unwind: the frames above belong to the caller's program.
struct NoUnwind;

impl Drop for NoUnwind {
    fn drop(&mut self) {
        exit(125);
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends this process at once; runs no handler and no destructor.
    unsafe { libc::_exit(code) }
}

fn last_errno() -> Errno {
    // SAFETY: reads this thread's errno; the C library keeps it apart for each thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// The life of a supervisor: enter, start the command, watch over it, end.
///
/// As pid 1 of a pid namespace it is the reaper, and its end is the end of every process inside. It ends when
/// the command does, and when the other end of the channel is closed, by whatever means.
pub(super) fn supervise(job: &Job<'_>) -> ! {
    let _no_unwind = NoUnwind;
    match start(job) {
        Ok(pid) => {
            Message::Started(pid.as_raw_pid()).send(job.channel);
            match watch(job, pid) {
                Ok(()) => exit(0),
                // The command ends with us, and how it would have ended is not known.
                Err(_) => exit(125),
            }
        }
        Err(failure) => {
            Message::Failed(failure).send(job.channel);
            exit(125)
        }
    }
}

fn start(job: &Job<'_>) -> Result<Pid, Failure> {
    // A caller may ignore the end of its children, and so would we: no signal, and no status (wait(2), NOTES).
    // SAFETY: a default action; there is no handler that could be unsound.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    if let ChildStreams::Terminal(follower) = job.streams {
        setsid().map_err(Failure::at(Step::SESSION))?;
        rustix::process::ioctl_tiocsctty(follower).map_err(Failure::at(Step::SESSION))?;
    }
    if job.waits {
        await_parent(job.channel)?;
    }
    (job.enter)()?;
    match job.instead {
        Some(instead) => fork_function(job.exec, job.streams, instead),
        None => fork_command(job.exec, job.streams, None),
    }
}

fn await_parent(channel: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut go = [0];
    loop {
        match rustix::net::recv(channel, &mut go, rustix::net::RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Ok((_, 1)) => return Ok(()),
            // The parent has given up, and nobody will read this.
            Ok(_) => return Err(Failure::at(Step::WATCH)(Errno::PIPE)),
            Err(errno) => return Err(Failure::at(Step::WATCH)(errno)),
        }
    }
}

/// Room for the frames of [`command`], which make few calls and keep no large locals.
const STACK_SIZE: usize = 32 * 1024;

/// 16 is the strictest alignment that an ABI of Linux asks of a stack pointer.
#[repr(align(16))]
struct Stack([MaybeUninit<u8>; STACK_SIZE]);

struct Shared<'a> {
    exec: &'a Exec,
    streams: ChildStreams<'a>,
    /// Who starts the command.
    parent: Pid,
    /// Whether the caller's program may have signal handlers, which must not run in the child.
    handlers: bool,
    failure: Option<Failure>,
}

/// Starts the command as a child of the caller, with nobody in between: its pid and a pidfd. Every signal has to be blocked.
///
/// # Errors
/// The step that failed; the child has been waited for.
pub(super) fn spawn(exec: &Exec, streams: ChildStreams<'_>) -> Result<(Pid, OwnedFd), Failure> {
    let mut pidfd = -1;
    let started = fork_command(exec, streams, Some(&mut pidfd));
    // SAFETY: CLONE_PIDFD stored a new descriptor there, and nobody else has it.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    match (started, pidfd) {
        (Ok(pid), Some(pidfd)) => Ok((pid, pidfd)),
        (Ok(_), None) => Err(Failure::at(Step::FORK)(Errno::NOSYS)),
        (Err(failure), pidfd) => {
            if let Some(pidfd) = pidfd {
                let _ = super::wait_for(pidfd.as_fd(), WaitIdOptions::empty());
            }
            Err(failure)
        }
    }
}

/// Starts the command's process in our memory, as `posix_spawn` does, and returns once it has executed its
/// program or failed. With room for a pidfd we are the caller's program, else a supervisor.
fn fork_command(
    exec: &Exec,
    streams: ChildStreams<'_>,
    pidfd: Option<&mut RawFd>,
) -> Result<Pid, Failure> {
    let mut stack = Stack([MaybeUninit::uninit(); STACK_SIZE]);
    let (parent, handlers) = (getpid(), pidfd.is_some());
    let mut shared = Shared { exec, streams, parent, handlers, failure: None };
    let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    if pidfd.is_some() {
        flags |= libc::CLONE_PIDFD;
    }
    let pidfd = pidfd.map_or(std::ptr::null_mut(), |pidfd| pidfd as *mut RawFd);
    // SAFETY: one past the end of the array is a valid pointer to compute; stacks grow downwards here.
    let top = unsafe { stack.0.as_mut_ptr().add(STACK_SIZE) };
    let arg = (&raw mut shared).cast();
    // SAFETY: the child runs on a stack of its own while CLONE_VFORK keeps us waiting, so that nothing of ours
    // is changed but `shared`, which we do not touch until the call returns. Other threads go on as they do
    // beside `posix_spawn`.
    let pid = unsafe { libc::clone(command_entry, top.cast(), flags, arg, pidfd) };
    // SAFETY: the child wrote through the pointer behind the compiler's back.
    let failure = unsafe { (&raw const shared.failure).read_volatile() };
    match (failure, Pid::from_raw(pid)) {
        (Some(failure), _) => Err(failure),
        (None, Some(pid)) if pid.as_raw_pid() > 0 => Ok(pid),
        _ => Err(Failure::at(Step::FORK)(last_errno())),
    }
}

/// Starts a process in a copy of our memory, which runs this function and ends with its result as its code.
fn fork_function(
    exec: &Exec,
    streams: ChildStreams<'_>,
    function: &dyn Fn() -> i32,
) -> Result<Pid, Failure> {
    let at = Failure::at(Step::FORK);
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(&at)?;
    // SAFETY: a fork; by the contract of `launch` nobody held a lock when our own process was forked.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => return Err(at(last_errno())),
        0 => {
            let _no_unwind = NoUnwind;
            drop(ours);
            if let Err(failure) = prepare(exec, streams, Others::KeptUntilExec) {
                let _ = rustix::io::write(&theirs, &failure.encode());
                exit(127);
            }
            drop(theirs);
            unblock_signals();
            exit(function());
        }
        _ => drop(theirs),
    }
    // Nothing is written if all is well.
    let mut failure = [0; Failure::SIZE];
    match rustix::io::retry_on_intr(|| rustix::io::read(&ours, &mut failure)).map_err(&at)? {
        0 => Pid::from_raw(pid).ok_or(at(Errno::SRCH)),
        _ => Err(Failure::decode(failure)),
    }
}

extern "C" fn command_entry(shared: *mut c_void) -> i32 {
    let _no_unwind = NoUnwind;
    let shared = shared.cast::<Shared<'_>>();
    // SAFETY: `fork_command` passed a pointer to its `Shared` and waits.
    let (exec, streams, parent, handlers) =
        unsafe { ((*shared).exec, (*shared).streams, (*shared).parent, (*shared).handlers) };
    if handlers {
        reset_handlers();
    }
    let failure = command(exec, streams, parent);
    // SAFETY: as above; the parent reads it only when we are gone.
    unsafe { (&raw mut (*shared).failure).write_volatile(Some(failure)) };
    exit(127)
}

/// Becomes the command. Returns only if that failed.
fn command(exec: &Exec, streams: ChildStreams<'_>, parent: Pid) -> Failure {
    let prepared = prepare(exec, streams, Others::Closed);
    match prepared.and_then(|()| if exec.session { end_with(parent) } else { Ok(()) }) {
        Ok(()) => execute(exec),
        Err(failure) => failure,
    }
}

/// Asks for SIGHUP at the end of whoever starts us. To become another user takes that away, so it comes last.
fn end_with(parent: Pid) -> Result<(), Failure> {
    let at = Failure::at(Step::SESSION);
    set_parent_process_death_signal(Some(Signal::HUP)).map_err(&at)?;
    // It may have been killed before; while it lives it waits for us.
    if getppid() == Some(parent) { Ok(()) } else { Err(at(Errno::SRCH)) }
}

/// What becomes of the descriptors that are not the command's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Closed,
    /// A function has captured some of them.
    KeptUntilExec,
}

fn prepare(exec: &Exec, streams: ChildStreams<'_>, others: Others) -> Result<(), Failure> {
    match streams {
        ChildStreams::Terminal(follower) => {
            // A process group of its own in the foreground, its parent the session's leader: so ^Z stops it
            // (the kernel lets no orphaned process group stop) and the supervisor hears of it. All signals
            // are blocked, so that SIGTTOU does not stop us here.
            rustix::process::setpgid(None, None).map_err(Failure::at(Step::SESSION))?;
            rustix::termios::tcsetpgrp(follower, getpid()).map_err(Failure::at(Step::SESSION))?;
            redirect([Some(follower.as_raw_fd()); 3])?;
        }
        ChildStreams::Separate(sources) => {
            if exec.session {
                setsid().map_err(Failure::at(Step::SESSION))?;
            }
            redirect(sources.map(|fd| fd.map(|fd| fd.as_raw_fd())))?;
        }
    }
    // Whatever the caller's program has open stays out of the place; and is gone before the directory and the program
    // are looked up, which a link of a hostile root to /proc/self/fd would lead there (CVE-2024-21626).
    let flags = if others == Others::Closed { 0 } else { libc::CLOSE_RANGE_CLOEXEC };
    close_others(&exec.kept, flags).map_err(Failure::at(Step::STREAMS))?;
    for &fd in &exec.kept {
        // SAFETY: a system call on a number; an invalid one gives EBADF.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } < 0 {
            return Err(Failure::at(Step::STREAMS)(last_errno()));
        }
    }
    if let Some(identity) = &exec.identity {
        identity.assume().map_err(Failure::at(Step::IDENTITY))?;
    }
    if let Some(dir) = &exec.dir {
        let changed = match others {
            Others::Closed => rustix::process::chdir(dir.as_c_str()),
            Others::KeptUntilExec => change_dir_without_descriptors(dir),
        };
        changed.map_err(Failure::at(Step::DIRECTORY))?;
    }
    Ok(())
}

/// To a directory that no link to a descriptor leads to: see above.
fn change_dir_without_descriptors(dir: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat2(CWD, dir, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    rustix::process::fchdir(dir)
}

/// Puts the sources at descriptors 0, 1 and 2.
fn redirect(mut sources: [Option<RawFd>; 3]) -> Result<(), Failure> {
    let check = |result: i32| match result {
        -1 => Err(Failure::at(Step::STREAMS)(last_errno())),
        fd => Ok(fd),
    };
    for (target, source) in (0..).zip(&mut sources) {
        if let Some(fd) = source
            && *fd < 3
            && *fd != target
        {
            // Out of the way, lest an earlier target overwrites it.
            // SAFETY: a system call on a number; an invalid one gives EBADF.
            *fd = check(unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 3) })?;
        }
    }
    for (target, source) in (0..).zip(sources) {
        match source {
            // SAFETY: as above; this clears close-on-exec.
            Some(fd) if fd == target => check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?,
            // SAFETY: as above.
            Some(fd) => check(unsafe { libc::dup2(fd, target) })?,
            None => 0,
        };
    }
    Ok(())
}

fn close_from(first: u32, flags: libc::c_uint) -> rustix::io::Result<()> {
    close_range(first, u32::MAX, flags)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> rustix::io::Result<()> {
    // SAFETY: a raw system call on numbers. Descriptors closed by it belong to this process only, which never
    // runs a destructor.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// All but the first three and these.
fn close_others(kept: &[RawFd], flags: libc::c_uint) -> rustix::io::Result<()> {
    let mut first = 3;
    while let Some(next) =
        kept.iter().filter_map(|&fd| u32::try_from(fd).ok()).filter(|fd| *fd >= first).min()
    {
        if next > first {
            close_range(first, next - 1, flags)?;
        }
        first = next + 1;
    }
    close_range(first, u32::MAX, flags)
}

fn execute(exec: &Exec) -> Failure {
    // Rust programs ignore SIGPIPE; the command starts as from a shell.
    // SAFETY: a default action; there is no handler that could be unsound.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if let Some(fresh) = &exec.fresh {
        actions::ignore_none();
        // It was ours before; at worst the command may have more open.
        let _ = fresh.files.map(|limit| setrlimit(Resource::Nofile, limit));
    }
    unblock_signals();
    let mut errno = Errno::NOENT;
    for path in &exec.candidates {
        // SAFETY: the pointers are null-terminated arrays of C strings that outlive the call.
        unsafe { libc::execve(path.as_ptr(), exec.argv.as_ptr(), exec.envp.as_ptr()) };
        match last_errno() {
            Errno::NOENT => {}
            Errno::NOTDIR if exec.searched => {}
            // As in a shell: another one may be executable further on, but this is what will be told.
            Errno::ACCESS => errno = Errno::ACCESS,
            other => {
                errno = other;
                break;
            }
        }
    }
    Failure::at(Step::EXEC)(errno)
}

/// Reaps whatever ends, passes signals on, until the command ends or the channel does.
fn watch(job: &Job<'_>, command: Pid) -> Result<(), Failure> {
    let at = Failure::at(Step::WATCH);
    let group = matches!(job.streams, ChildStreams::Terminal(_));
    let (channel, children) = keep_only(job.channel).map_err(&at)?;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(channel, PollFlags::IN),
            PollFd::from_borrowed_fd(children, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other.map_err(&at)?,
        };
        let [talk, deaths] = fds.map(|fd| !fd.revents().is_empty());
        if deaths {
            // One record stands for any number of deaths; they are all looked for below.
            let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
            let _ = rustix::io::read(children, &mut record);
            if reap(channel, command, group).map_err(&at)? {
                return Ok(());
            }
        }
        if talk && !obey(channel, command, group) {
            return Ok(());
        }
    }
}

/// Closes every descriptor but the channel, and opens the one that tells of children.
fn keep_only(
    channel: BorrowedFd<'_>,
) -> rustix::io::Result<(BorrowedFd<'static>, BorrowedFd<'static>)> {
    let from = channel.as_raw_fd();
    // SAFETY: a system call on numbers; this process uses no descriptor but the channel from here on.
    if from != 0 && unsafe { libc::dup3(from, 0, libc::O_CLOEXEC) } < 0 {
        return Err(last_errno());
    }
    close_from(1, 0)?;
    // SAFETY: plain data, and valid pointers to it.
    let children = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if children < 0 {
        return Err(last_errno());
    }
    // SAFETY: both were opened above and stay open until this process ends.
    Ok(unsafe { (BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(children)) })
}

/// Says whether the command has ended.
fn reap(channel: BorrowedFd<'_>, command: Pid, stops: bool) -> rustix::io::Result<bool> {
    let mut options = WaitOptions::NOHANG;
    options.set(WaitOptions::UNTRACED, stops);
    loop {
        match wait(options) {
            Ok(Some((pid, status))) if pid == command => match status.stopping_signal() {
                Some(signal) => Message::Stopped(signal).send(channel),
                None => {
                    Message::Exited(status.as_raw()).send(channel);
                    return Ok(true);
                }
            },
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
}

/// Passes on the signals that the parent sends, a byte each. Says whether the parent is still there.
fn obey(channel: BorrowedFd<'_>, command: Pid, group: bool) -> bool {
    let mut signals = [0u8; 16];
    match rustix::net::recv(channel, &mut signals, rustix::net::RecvFlags::DONTWAIT) {
        Ok((_, 0)) | Err(Errno::CONNRESET) => false,
        Ok((_, n)) => {
            for signal in
                signals.iter().take(n).filter_map(|&n| Signal::from_named_raw(i32::from(n)))
            {
                // It may have ended just now; the next turn of the loop says so.
                let _ = match group {
                    true => kill_process_group(command, signal),
                    false => kill_process(command, signal),
                };
            }
            true
        }
        Err(_) => true,
    }
}

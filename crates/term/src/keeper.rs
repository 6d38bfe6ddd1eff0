//! The terminal's modes after a SIGKILL.
#![expect(unsafe_code, reason = "a process is forked that lives on without exec")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use rustix::process::{Pid, WaitOptions, getppid, waitpid};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use crate::RawMode;
use crate::visible::{group_of, session};

/// The longest sequence that a keeper remembers, in bytes; [`ScreenModes`](crate::ScreenModes) needs less.
const LONGEST: usize = 512;
const GOODBYE: u8 = 0;
const REMEMBER: u8 = 1;

/// A small process that restores a terminal when this one cannot, because it was killed by SIGKILL or ran out of
/// memory. Not every shell does that for its children.
///
/// It acts only if the terminal is still in our raw mode, with our process group in the foreground or the one of our
/// parent or of the session's leader, the shells that may have come to the foreground meanwhile; else somebody else
/// has taken care of it. Dropping the keeper sends it home.
///
/// ```no_run
/// use thither_term::{Keeper, RawMode};
///
/// let raw = RawMode::enter(std::io::stdin())?;
/// let keeper = Keeper::start(&raw, std::io::stdout())?;
/// // ... the program is killed here, and the terminal is cooked all the same ...
/// drop(keeper);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Keeper {
    channel: OwnedFd,
    process: Pid,
    remembered: Vec<u8>,
}

impl Keeper {
    /// Starts one for the terminal of `raw`; `screen` is where the sequences of
    /// [`remember`](Keeper::remember) are written.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub fn start(raw: &RawMode, screen: impl AsFd) -> io::Result<Keeper> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let post = Post {
            channel: theirs.as_fd(),
            tty: raw.tty().as_fd(),
            screen: screen.as_fd(),
            cooked: raw.cooked(),
            raw: raw.cooked().clone(),
            groups: [
                group_of(None),
                getppid().and_then(|parent| group_of(Some(parent))),
                session(),
            ],
        };
        let process = fork(post)?;
        Ok(Keeper { channel: ours, process, remembered: Vec::new() })
    }

    /// What is to be written to the terminal besides, from now on: see
    /// [`ScreenModes::undo`](crate::ScreenModes::undo). More than 512 bytes are not remembered.
    pub fn remember(&mut self, sequence: &[u8]) {
        if sequence == self.remembered || sequence.len() > LONGEST {
            return;
        }
        self.remembered = sequence.to_vec();
        let message = [&[REMEMBER], sequence].concat();
        // If it is gone, or slow, there is one thing less to be put back.
        let _ = send(&self.channel, &message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = send(&self.channel, &[GOODBYE], SendFlags::NOSIGNAL);
        // Whoever else waited for it has done what is done here.
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.process), WaitOptions::empty()));
    }
}

/// What the keeper works with.
struct Post<'a> {
    channel: BorrowedFd<'a>,
    tty: BorrowedFd<'a>,
    screen: BorrowedFd<'a>,
    cooked: &'a Termios,
    raw: Termios,
    /// Who may be in the foreground while the terminal is ours, or when we have just been killed; ours first.
    groups: [Option<Pid>; 3],
}

fn fork(mut post: Post<'_>) -> io::Result<Pid> {
    post.raw.make_raw();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid pointers to plain data. With every signal blocked, in the child for good, no handler of this
    // program runs there, and nothing but SIGKILL ends it before its time.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: the child has this thread only, and makes nothing but system calls until it ends in `keep`.
    let process = unsafe { libc::fork() };
    if process == 0 {
        keep(&post);
    }
    let error = io::Error::last_os_error();
    // SAFETY: the mask was stored above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    match process {
        -1 => Err(error),
        process => Pid::from_raw(process).ok_or(error),
    }
}

/// Waits for the end of the channel, and puts things back unless it was announced.
fn keep(post: &Post<'_>) -> ! {
    // Out of the group that a key typed at the terminal, or a shell, may signal as a whole.
    let _ = rustix::process::setpgid(None, None);
    let mut undo = [0; LONGEST + 1];
    let mut length = 0;
    if let Ok([channel, tty, screen]) = keep_only([post.channel, post.tty, post.screen]) {
        loop {
            let mut message = [0; LONGEST + 1];
            match recv(channel, &mut message, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((_, n)) if n > 0 && message[0] == REMEMBER => (undo, length) = (message, n),
                Ok((_, n)) if n > 0 => break,
                _ => {
                    restore(post, tty, screen, undo.get(1..length).unwrap_or_default());
                    break;
                }
            }
        }
    }
    // SAFETY: ends this process at once; runs no handler and no destructor.
    unsafe { libc::_exit(0) }
}

fn restore(post: &Post<'_>, tty: BorrowedFd<'_>, screen: BorrowedFd<'_>, undo: &[u8]) {
    let ours = match tcgetpgrp(tty) {
        Ok(group) => post.groups.contains(&Some(group)),
        // rustix says so of a group outside of our pid namespace; ours may be that one.
        Err(Errno::OPNOTSUPP) => post.groups[0].is_none(),
        Err(_) => false,
    };
    let untouched = tcgetattr(tty).is_ok_and(|modes| same(&modes, &post.raw));
    if ours && untouched {
        if !undo.is_empty() {
            let _ = rustix::io::write(screen, undo);
        }
        let _ = tcsetattr(tty, OptionalActions::Now, post.cooked);
    }
}

fn same(a: &Termios, b: &Termios) -> bool {
    a.input_modes == b.input_modes
        && a.output_modes == b.output_modes
        && a.control_modes == b.control_modes
        && a.local_modes == b.local_modes
}

/// Closes all descriptors but these, which move to 0, 1 and 2: it must keep nobody's pipe open.
fn keep_only(kept: [BorrowedFd<'_>; 3]) -> rustix::io::Result<[BorrowedFd<'static>; 3]> {
    let mut moved = [-1; 3];
    for (moved, kept) in moved.iter_mut().zip(kept) {
        // SAFETY: a system call on a number.
        *moved = unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_DUPFD, 3) };
        if *moved < 0 {
            return Err(rustix::io::Errno::BADF);
        }
    }
    // SAFETY: system calls on numbers; this process uses no other descriptors from here on.
    unsafe {
        for (target, moved) in (0..).zip(moved) {
            libc::dup2(moved, target);
        }
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
        Ok([0, 1, 2].map(|fd| BorrowedFd::borrow_raw(fd)))
    }
}

//! Signals as readable bytes.
#![expect(unsafe_code, reason = "sigaction(2) and a signal handler have no safe form")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// One more than the highest signal number of Linux, signal(7).
const SIGNALS: usize = 65;

/// Signals that are received as an event instead of interrupting the program: a descriptor that polls readable
/// when one has arrived. Dropping it restores the former dispositions.
///
/// ```no_run
/// use std::os::fd::AsFd;
/// use thither_term::{Interest, Signals, poll};
///
/// let signals = Signals::on([libc::SIGWINCH, libc::SIGTERM])?;
/// loop {
///     poll(&[Interest::Read(signals.as_fd())], None)?;
///     while let Some(received) = signals.next() {
///         match received.signal {
///             libc::SIGWINCH => { /* ask for the new size */ }
///             _ => return Ok(()),
///         }
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// - A signal that arrives again before it was asked for is reported once, as the kernel does it for pending
///   signals; among different signals nothing is lost and the order isn't kept.
/// - A signal that was ignored before stays ignored, so that `nohup` and `trap ''` keep their meaning; those that
///   are ignored by default anyway (`SIGCHLD`, `SIGCONT`, `SIGURG`, `SIGWINCH`) are received.
/// - Where two of these ask for the same signal, the newer receives it, until it is dropped.
/// - System calls that a signal interrupts go on by themselves (`SA_RESTART`), except those that never do, like
///   poll(2): see signal(7).
///
/// # Fork
/// A program that is executed gets the default dispositions back from the kernel. A child that runs on without
/// exec has the handler, and the descriptor in common with its parent, whom it would wake for nothing: it has to
/// be forked with the signals blocked, to reset them before it unblocks them, and to leave its copy of this alone.
#[derive(Debug)]
pub struct Signals {
    channel: Arc<Channel>,
    signals: Vec<i32>,
}

/// A signal that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it.
    pub sender: Sender,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: for a key typed at the terminal, a new size, a child's end. The whole foreground process group
    /// gets those of a terminal.
    Kernel,
    /// The process with this id, by kill(2), tgkill(2) or sigqueue(3); 0 if it lives outside of our pid
    /// namespace. Where the kernel sent the same signal too, it is the process that is reported: it meant us.
    Process(u32),
}

/// What the handler writes to.
#[derive(Debug)]
struct Channel {
    /// An eventfd(2): readable while there may be something in `arrived`.
    wake: OwnedFd,
    /// Per signal: [`NOTHING`], [`KERNEL`], or [`PROCESS`] plus the sender's id.
    arrived: [AtomicU64; SIGNALS],
}

const NOTHING: u64 = 0;
const KERNEL: u64 = 1;
const PROCESS: u64 = 2;

/// Where the handler finds the channel of a signal; null where nobody asks for it.
static CHANNELS: [AtomicPtr<Channel>; SIGNALS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];
/// How many handlers are running, in all threads: while it is not 0 no channel may be freed.
static HANDLERS: AtomicUsize = AtomicUsize::new(0);
static CAUGHT: Mutex<Vec<Caught>> = Mutex::new(Vec::new());

/// A signal with our handler.
struct Caught {
    signal: i32,
    /// What to restore.
    former: libc::sigaction,
    /// Those that ask for it, the newest last.
    channels: Vec<Arc<Channel>>,
}

impl Signals {
    /// Receives these signals from now on.
    ///
    /// # Errors
    /// `InvalidInput` for those that cannot be received: `SIGKILL` and `SIGSTOP`; the faults (`SIGSEGV`, `SIGBUS`,
    /// `SIGFPE`, `SIGILL`, `SIGTRAP`), whose cause would be met again at once; and likewise `SIGTTIN` and
    /// `SIGTTOU`, after which the kernel repeats the call that raised them, for ever.
    pub fn on(signals: impl IntoIterator<Item = i32>) -> io::Result<Signals> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let arrived = [const { AtomicU64::new(NOTHING) }; SIGNALS];
        let channel = Arc::new(Channel { wake, arrived });
        // Made first, so that dropping it undoes what was done before an error.
        let mut on = Signals { channel, signals: Vec::new() };
        let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        for signal in signals {
            if let Err(error) = on.add(signal, &mut caught) {
                // Dropping `on` takes the lock again.
                drop(caught);
                return Err(error);
            }
        }
        drop(caught);
        Ok(on)
    }

    /// The next signal that has arrived, without waiting. The descriptor stays readable until there is none.
    #[must_use]
    pub fn next(&self) -> Option<Received> {
        if let Some(received) = self.take() {
            return Some(received);
        }
        // In this order, a signal that arrives in between is found or wakes us again.
        let _ = rustix::io::read(&self.channel.wake, &mut [0; 8]);
        let received = self.take()?;
        // Its wake-up was perhaps what we have just read, together with that of another one.
        let _ = rustix::io::write(&self.channel.wake, &1_u64.to_ne_bytes());
        Some(received)
    }

    fn take(&self) -> Option<Received> {
        self.signals.iter().find_map(|&signal| {
            let sender = match self.channel.arrived[signal as usize].swap(NOTHING, SeqCst) {
                NOTHING => return None,
                KERNEL => Sender::Kernel,
                process => Sender::Process((process - PROCESS) as u32),
            };
            Some(Received { signal, sender })
        })
    }

    fn add(&mut self, signal: i32, caught: &mut Vec<Caught>) -> io::Result<()> {
        use libc::{SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGTRAP, SIGTTIN, SIGTTOU};
        use libc::{SIGCHLD, SIGCONT, SIGURG, SIGWINCH};

        match signal {
            SIGKILL | SIGSTOP | SIGSEGV | SIGBUS | SIGFPE | SIGILL | SIGTRAP | SIGTTIN
            | SIGTTOU => {
                let text = format!("signal {signal} cannot be received");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            _ if self.signals.contains(&signal) => return Ok(()),
            _ => {}
        }
        let slot = usize::try_from(signal).ok().and_then(|signal| CHANNELS.get(signal));
        let slot = slot.ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
        let pointer = Arc::as_ptr(&self.channel).cast_mut();

        if let Some(caught) = caught.iter_mut().find(|caught| caught.signal == signal) {
            caught.channels.push(self.channel.clone());
            slot.store(pointer, SeqCst);
        } else {
            let former = disposition(signal)?;
            let ignored = former.sa_sigaction == libc::SIG_IGN;
            if ignored && !matches!(signal, SIGCHLD | SIGCONT | SIGURG | SIGWINCH) {
                return Ok(());
            }
            // First the channel, so that the handler finds it.
            slot.store(pointer, SeqCst);
            let handler = handle as extern "C" fn(_, _, _) as usize;
            if let Err(error) =
                set_disposition(signal, &action(handler, libc::SA_SIGINFO | libc::SA_RESTART))
            {
                slot.store(ptr::null_mut(), SeqCst);
                return Err(error);
            }
            caught.push(Caught { signal, former, channels: vec![self.channel.clone()] });
        }
        self.signals.push(signal);
        Ok(())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.wake.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let mut all = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain_mut(|caught| {
            caught.channels.retain(|channel| !Arc::ptr_eq(channel, &self.channel));
            let newest = caught.channels.last();
            if newest.is_none() {
                // It worked before, with the same number.
                let _ = set_disposition(caught.signal, &caught.former);
            }
            let pointer = newest.map_or(ptr::null_mut(), |channel| Arc::as_ptr(channel).cast_mut());
            CHANNELS[caught.signal as usize].store(pointer, SeqCst);
            newest.is_some()
        });
        drop(all);
        // A handler that runs now in another thread may have found our channel before.
        while HANDLERS.load(SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
}

/// The handler: async-signal-safe, signal-safety(7), and leaves errno as it found it.
extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    HANDLERS.fetch_add(1, SeqCst);
    let channel = CHANNELS[signal as usize].load(SeqCst);
    // SAFETY: a channel that is found here is freed only once HANDLERS is 0 after it was taken out: see `drop`.
    if let Some(channel) = unsafe { channel.as_ref() } {
        let arrived = &channel.arrived[signal as usize];
        // SAFETY: the kernel passes a valid siginfo_t to a handler with SA_SIGINFO, and these codes come with
        // a process id (sigaction(2)). Atomics, write(2) and errno's address are async-signal-safe.
        unsafe {
            match (*info).si_code {
                libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => {
                    arrived.store(PROCESS + (*info).si_pid() as u64, SeqCst);
                }
                _ => {
                    let _ = arrived.compare_exchange(NOTHING, KERNEL, SeqCst, SeqCst);
                }
            }
            let errno = *libc::__errno_location();
            let one = 1_u64;
            // It can only fail when the counter is full: then it is readable already.
            libc::write(channel.wake.as_raw_fd(), (&raw const one).cast(), size_of::<u64>());
            *libc::__errno_location() = errno;
        }
    }
    HANDLERS.fetch_sub(1, SeqCst);
}

/// Sends this signal to ourselves with its default action: the end, for most. So whoever waits for us learns
/// what ended us. Undo everything first; nothing is dropped on the way.
///
/// It returns if the default action lets us live.
///
/// # Errors
/// `EINVAL` when there is no such signal.
pub fn reraise(signal: i32) -> io::Result<()> {
    default_action(signal).map(drop)
}

/// Stops ourselves with this signal (`SIGTSTP`, for ^Z), whose default action it has to be to stop; returns when
/// we are continued, with the signal's disposition as it was before.
///
/// It is for this process, not for its group, and the shell sees it stopped. `SIGTSTP` doesn't stop a process in an
/// orphaned group, whom nobody would continue: it returns at once there.
///
/// # Errors
/// `EINVAL` when there is no such signal.
pub fn suspend_self(signal: i32) -> io::Result<()> {
    let former = default_action(signal)?;
    set_disposition(signal, &former)
}

/// Sets the default disposition and sends the signal to this thread, unblocked. Returns the former disposition.
fn default_action(signal: i32) -> io::Result<libc::sigaction> {
    let former = disposition(signal)?;
    set_disposition(signal, &action(libc::SIG_DFL, 0))?;
    let mut blocked = MaybeUninit::uninit();
    // SAFETY: both sets are initialized by the calls that are given their addresses, before they are read.
    unsafe {
        let mut only = MaybeUninit::uninit();
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), blocked.as_mut_ptr());
        // To this thread, so that it is taken before the call returns.
        libc::raise(signal);
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), ptr::null_mut());
    }
    Ok(former)
}

fn action(handler: usize, flags: i32) -> libc::sigaction {
    // SAFETY: all zeros is a valid sigaction: the default action, an empty mask, no flags.
    let zeroed: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    libc::sigaction { sa_sigaction: handler, sa_flags: flags, ..zeroed }
}

fn disposition(signal: i32) -> io::Result<libc::sigaction> {
    let mut former = MaybeUninit::uninit();
    // SAFETY: a null action changes nothing; `former` is initialized when the call succeeds.
    unsafe {
        match libc::sigaction(signal, ptr::null(), former.as_mut_ptr()) {
            0 => Ok(former.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn set_disposition(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // These two always have their default action, and even setting that is refused.
    if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
        return Ok(());
    }
    // SAFETY: `action` is either what sigaction(2) returned or has `handle`, which is async-signal-safe.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#![expect(unsafe_code, reason = "seccomp(2) has no safe form")]
//! No typing into the user's terminal.
//!
//! A command without a terminal of its own shares the user's, if there is one: that is how job control and ^C
//! work. `TIOCSTI` would let it type there, to be read by the user's shell when it has ended (ioctl_tty(2);
//! CVE-2017-5226). Linux 6.2 can forbid that for all, but need not; so it is forbidden inside.

use rustix::io::Errno;

/// `ioctl` on this machine; on its 32-bit relatives (i386 and arm); in the x32 ABI. What else has the second
/// number (setsockopt on x86-64) never has a request of below as its second argument.
const IOCTL: [u32; 3] = [libc::SYS_ioctl as u32, 54, 0x4000_0000 + 514];

/// Type a byte; and the console's requests, of which one pastes (ioctl_console(2)).
const REQUESTS: [u32; 2] = [0x5412, 0x541c];

/// Of `struct seccomp_data`: the number of the system call, and the lower half of its second argument, which is
/// all that the kernel reads of a request.
const NUMBER: u32 = 0;
const REQUEST: u32 = if cfg!(target_endian = "little") { 24 } else { 28 };

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

static FILTER: [libc::sock_filter; 9] = [
    op(LOAD, NUMBER, 0, 0),
    op(JUMP_EQUAL, IOCTL[0], 2, 0),
    op(JUMP_EQUAL, IOCTL[1], 1, 0),
    op(JUMP_EQUAL, IOCTL[2], 0, 3),
    op(LOAD, REQUEST, 0, 0),
    op(JUMP_EQUAL, REQUESTS[0], 2, 0),
    op(JUMP_EQUAL, REQUESTS[1], 1, 0),
    op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    op(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
];

/// Forbids it for this process and all that come of it. Makes one system call; needs `CAP_SYS_ADMIN` in the user
/// namespace.
///
/// # Errors
/// Those of seccomp(2).
pub(crate) fn forbid() -> rustix::io::Result<()> {
    let program = libc::sock_fprog { len: FILTER.len() as u16, filter: FILTER.as_ptr().cast_mut() };
    // SAFETY: the program and its filter are valid for the call, and the kernel only reads them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    match result {
        0 => Ok(()),
        // SAFETY: reads this thread's errno.
        _ => Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() })),
    }
}

/// Whether there is a terminal that a command without one of its own could reach: the controlling one.
pub(crate) fn is_possible() -> bool {
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(c"/dev/tty", flags, rustix::fs::Mode::empty()).is_ok()
        || rustix::termios::isatty(std::io::stdin())
        || rustix::termios::isatty(std::io::stdout())
        || rustix::termios::isatty(std::io::stderr())
}

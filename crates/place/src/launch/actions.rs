#![expect(unsafe_code, reason = "what signals do in a new process: raw system calls only")]
//! What signals do in a new process. The contract is that of `child.rs`.

/// Gives every signal that has a handler its default action, as `execve` will: in between, the signals are unblocked.
pub(super) fn reset_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: plain data for which zeroes are valid, and valid pointers to it. The table of actions is this
        // process's own: CLONE_SIGHAND is not set.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
                && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
            {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// Gives every signal its default action: what whoever started us ignores is for us, and not for what runs for others.
pub(super) fn ignore_none() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: a default action; there is no handler that could be unsound. Two signals have none, which is an error (EINVAL).
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// No handler can run: CLONE_CLEAR_SIGHAND or `reset_handlers` removed them.
pub(super) fn unblock_signals() {
    // SAFETY: `sigset_t` is plain data, and zero bytes are the empty set on Linux; valid pointers to it.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

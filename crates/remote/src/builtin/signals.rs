//! Signals by their names, RFC 4254 section 6.10.

use russh::Sig;
use thither_place::Exit;

use super::session::End;

/// What can be sent: what the RFC names, and so what sshd passes on.
const SENT: &[(i32, Sig)] = &[
    (libc::SIGABRT, Sig::ABRT),
    (libc::SIGALRM, Sig::ALRM),
    (libc::SIGFPE, Sig::FPE),
    (libc::SIGHUP, Sig::HUP),
    (libc::SIGILL, Sig::ILL),
    (libc::SIGINT, Sig::INT),
    (libc::SIGKILL, Sig::KILL),
    (libc::SIGPIPE, Sig::PIPE),
    (libc::SIGQUIT, Sig::QUIT),
    (libc::SIGSEGV, Sig::SEGV),
    (libc::SIGTERM, Sig::TERM),
    (libc::SIGUSR1, Sig::USR1),
];

/// What has no name in russh, or none in the RFC; servers report such with a name of their own, before an `@`.
const OTHERS: &[(i32, &str)] = &[
    (libc::SIGUSR2, "USR2"),
    (libc::SIGBUS, "BUS"),
    (libc::SIGIO, "IO"),
    (libc::SIGPROF, "PROF"),
    (libc::SIGPWR, "PWR"),
    (libc::SIGSTKFLT, "STKFLT"),
    (libc::SIGSYS, "SYS"),
    (libc::SIGTRAP, "TRAP"),
    (libc::SIGVTALRM, "VTALRM"),
    (libc::SIGXCPU, "XCPU"),
    (libc::SIGXFSZ, "XFSZ"),
];

/// The name of a signal that can be sent.
pub(super) fn name(signal: i32) -> Option<Sig> {
    if signal == libc::SIGUSR2 {
        return Some(Sig::Custom("USR2".into()));
    }
    SENT.iter().find(|(number, _)| *number == signal).map(|(_, name)| name.clone())
}

/// The end by a signal of this name.
pub(super) fn end(name: &Sig) -> End {
    let number = match name {
        Sig::Custom(text) => {
            let short = text.split('@').next().unwrap_or_default();
            OTHERS.iter().find(|(_, other)| *other == short).map(|(number, _)| *number)
        }
        name => SENT.iter().find(|(_, other)| other == name).map(|(number, _)| *number),
    };
    match (number, name) {
        (Some(number), _) => End::Exit(Exit::Signal(number)),
        (None, Sig::Custom(text)) => End::Signal(text.chars().take(40).collect()),
        (None, _) => End::Signal("?".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for signal in 1..32 {
            if let Some(name) = name(signal) {
                assert_eq!(end(&name), End::Exit(Exit::Signal(signal)));
            }
        }
    }

    #[test]
    fn names_of_servers() {
        let check = |name: &str, expected| assert_eq!(end(&Sig::Custom(name.into())), expected);
        check("SYS@openssh.com", End::Exit(Exit::Signal(libc::SIGSYS)));
        check("BUS", End::Exit(Exit::Signal(libc::SIGBUS)));
        check("MOON@example.com", End::Signal("MOON@example.com".into()));
        assert_eq!(name(libc::SIGSTOP), None);
    }
}

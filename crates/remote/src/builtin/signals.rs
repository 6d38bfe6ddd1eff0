//! Signals by their names, RFC 4254 section 6.10.

use std::mem::discriminant;

use russh::Sig;
use thither_place::Exit;

use super::session::End;

/// What the RFC names, and russh too.
const NAMED: &[(i32, Sig)] = &[
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
    (libc::SIGCONT, "CONT"),
    (libc::SIGSTOP, "STOP"),
    (libc::SIGTSTP, "TSTP"),
    (libc::SIGTTIN, "TTIN"),
    (libc::SIGTTOU, "TTOU"),
    (libc::SIGURG, "URG"),
    (libc::SIGCHLD, "CHLD"),
    (libc::SIGWINCH, "WINCH"),
];

/// What sshd passes on (OpenSSH's session.c); the rest it ignores.
const PASSED_ON: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGKILL,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// The name of a signal that a server passes on.
pub(super) fn passed_on(signal: i32) -> Option<Sig> {
    match signal {
        libc::SIGUSR2 => Some(Sig::Custom("USR2".into())),
        _ => NAMED
            .iter()
            .find(|(number, _)| *number == signal && PASSED_ON.contains(number))
            .map(|(_, name)| name.clone()),
    }
}

/// The name of a signal for kill(1).
pub(super) fn name(signal: i32) -> Option<String> {
    let named =
        NAMED.iter().find(|(number, _)| *number == signal).map(|(_, name)| format!("{name:?}"));
    let other =
        || OTHERS.iter().find(|(number, _)| *number == signal).map(|(_, name)| (*name).to_owned());
    named.or_else(other)
}

/// The end by a signal of this name.
pub(super) fn end(name: &Sig) -> End {
    let number = match name {
        Sig::Custom(text) => {
            let short = text.split('@').next().unwrap_or_default();
            (1..32).find(|&signal| self::name(signal).is_some_and(|name| name == short))
        }
        name => NAMED
            .iter()
            .find(|(_, other)| discriminant(other) == discriminant(name))
            .map(|(number, _)| *number),
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
            let name = name(signal).unwrap();
            assert_eq!(end(&Sig::Custom(name)), End::Exit(Exit::Signal(signal)));
            if let Some(name) = passed_on(signal) {
                assert_eq!(end(&name), End::Exit(Exit::Signal(signal)));
            }
        }
        assert_eq!((name(0), name(64)), (None, None));
        assert!(passed_on(libc::SIGPIPE).is_none());
    }

    #[test]
    fn names_of_servers() {
        let check = |name: &str, expected| assert_eq!(end(&Sig::Custom(name.into())), expected);
        check("SYS@openssh.com", End::Exit(Exit::Signal(libc::SIGSYS)));
        check("BUS", End::Exit(Exit::Signal(libc::SIGBUS)));
        check("MOON@example.com", End::Signal("MOON@example.com".into()));
    }
}

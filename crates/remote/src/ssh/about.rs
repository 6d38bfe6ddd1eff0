//! What is known of a host, noted for the next ones who use it.

use std::fmt;

use super::line::Shell;
use super::program::Effective;
use super::windows::Windows;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) shell: Shell,
    /// Whether the user's configuration lets the agent be used from over there.
    pub(super) forwards_agent: bool,
    asks_for_keys: bool,
    is_patient: bool,
}

/// How shells are noted.
const SHELLS: [(Shell, &str); 4] = [
    (Shell::Posix, "posix"),
    (Shell::Unknown, "unknown"),
    (Shell::Windows(Windows::Cmd), "cmd"),
    (Shell::Windows(Windows::PowerShell), "powershell"),
];

impl About {
    pub(super) fn of(shell: Shell, effective: &Effective) -> About {
        let Effective { asks_for_keys, is_patient, forwards_agent, .. } = *effective;
        About { shell, forwards_agent, asks_for_keys, is_patient }
    }

    /// What `ssh -G` said, without names.
    pub(super) fn effective(self) -> Effective {
        let About { asks_for_keys, is_patient, forwards_agent, .. } = self;
        Effective { asks_for_keys, is_patient, forwards_agent, ..Effective::default() }
    }

    /// What was noted; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<About> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let shell = words.next()?;
        let (shell, _) = SHELLS.into_iter().find(|(_, name)| *name == shell)?;
        let mut flag = || words.next()?.parse::<bool>().ok();
        Some(About { shell, forwards_agent: flag()?, asks_for_keys: flag()?, is_patient: flag()? })
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SHELLS
            .iter()
            .find(|(shell, _)| *shell == self.shell)
            .map_or("unknown", |(_, name)| name);
        writeln!(f, "{name} {} {} {}", self.forwards_agent, self.asks_for_keys, self.is_patient)
    }
}

/// What a login shell answered; others may have spoken before it.
pub(super) fn shell_in(text: &str) -> Shell {
    let lines = || text.lines().map(|line| line.trim_end_matches('\r'));
    // cmd.exe leaves what it does not know as it is, and PowerShell writes each word on a line of its own.
    if lines().any(|line| line == "thither $SHELL") {
        return Shell::Windows(Windows::Cmd);
    }
    if lines().any(|line| line == "thither") {
        return Shell::Windows(Windows::PowerShell);
    }
    let path = lines().find_map(|line| line.strip_prefix("thither "));
    match path.and_then(|path| path.rsplit('/').next()).map(str::trim) {
        // Not zsh, whose `exec` takes a builtin before a program, nor ksh93, which says 256+n of a signal.
        Some("sh" | "ash" | "bash" | "dash" | "mksh") => Shell::Posix,
        _ => Shell::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells() {
        let check = |text: &str, shell| assert_eq!(shell_in(text), shell, "{text}");
        check("thither /bin/bash\n", Shell::Posix);
        check("Welcome!\nthither /usr/bin/dash\r\n", Shell::Posix);
        check("thither /usr/bin/zsh\n", Shell::Unknown);
        check("thither /usr/bin/fish\n", Shell::Unknown);
        check("thither $SHELL\r\n", Shell::Windows(Windows::Cmd));
        check("thither\r\n\r\n", Shell::Windows(Windows::PowerShell));
        check("thither \n", Shell::Unknown);
        check("", Shell::Unknown);
    }

    #[test]
    fn notes() {
        for (nth, (shell, _)) in SHELLS.into_iter().enumerate() {
            let bit = |bit: usize| nth & bit != 0;
            let about =
                About { shell, forwards_agent: bit(1), asks_for_keys: bit(2), is_patient: !bit(1) };
            assert_eq!(About::parse(&about.to_string()), Some(about));
        }
        for text in
            ["", "posix", "posix true true true", "csh true true true\n", "posix true 1 true\n"]
        {
            assert_eq!(About::parse(text), None, "{text:?}");
        }
    }
}

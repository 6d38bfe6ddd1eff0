//! One check: a container, what is done to it at a terminal or by a script, and what comes of it.

use super::Tool;

/// A check and what is to come of it.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) container: Main,
    pub(super) how: How,
    /// It has an engine of its own, which it ends.
    pub(super) own_engine: bool,
    thither: &'static str,
    docker: Option<Difference>,
    dockerpty: Option<Difference>,
}

/// What a peer does instead, and why ours does not.
#[derive(Clone, Copy)]
pub(super) struct Difference {
    says: &'static str,
    pub(super) why: &'static str,
}

/// What a tool says that has nothing of the kind, and is not run.
pub(super) const NOT_RUN: &str = "not run\n";

/// What stands between two texts of which either may be what comes of it, since chance decides.
pub(super) const OR: &str = "\nor\n";

/// A container and its main process.
#[derive(Clone, Copy)]
pub(super) struct Main {
    /// What sh(1) runs in it; without a script it sleeps, for what is run besides.
    pub(super) script: Option<&'static str>,
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) started: bool,
    pub(super) logging: bool,
}

/// What is run in besides.
pub(super) const IDLE: Main =
    Main { script: None, tty: false, stdin: false, started: true, logging: true };

/// What is not run yet: no terminal, no input.
pub(super) const fn main(script: &'static str) -> Main {
    Main { script: Some(script), started: false, ..IDLE }
}

impl Main {
    pub(super) const fn stdin(self) -> Main {
        Main { stdin: true, ..self }
    }

    /// With a terminal and its input.
    pub(super) const fn tty(self) -> Main {
        Main { tty: true, stdin: true, ..self }
    }

    pub(super) const fn started(self) -> Main {
        Main { started: true, ..self }
    }

    pub(super) const fn without_logging(self) -> Main {
        Main { logging: false, ..self }
    }
}

/// What happens. The programs `start`, `start-n`, `attach`, `attach-logs`, `exec-t`, `exec-i`, `exec-n`, `run-t` and
/// `run-i` are the tool's, see [`Tool::words`]; `$C` is the container.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// A script of sh(1) without a terminal.
    Script(&'static str),
    /// Commands at a terminal of 80 by 24 cells, one after the other, each at one of its own.
    Typed(&'static [(&'static str, &'static [Step])]),
    /// A command at that many terminals, and what each of them is to show. How many do is what comes of it.
    Counted(usize, &'static str, &'static str),
}

/// What its user and its machine do to a command.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Type(&'static str),
    /// So many bytes in lines of 64.
    Paste(usize),
    /// Wait until the terminal shows this.
    Show(&'static str),
    /// Wait until the terminal is raw.
    Raw,
    Resize(u16, u16),
    Signal(i32),
    /// Wait until the container's main process has ended, without reading what the terminal shows.
    Ended,
    /// Close the window.
    Close,
    /// Run a script in the container, by the engine.
    Inside(&'static str),
    KillEngine,
}

impl Check {
    pub(super) const fn new(
        name: &'static str,
        container: Main,
        how: How,
        says: &'static str,
    ) -> Check {
        Check {
            name,
            container,
            how,
            own_engine: false,
            thither: says,
            docker: None,
            dockerpty: None,
        }
    }

    pub(super) const fn docker(self, says: &'static str, why: &'static str) -> Check {
        Check { docker: Some(Difference { says, why }), ..self }
    }

    pub(super) const fn dockerpty(self, says: &'static str, why: &'static str) -> Check {
        Check { dockerpty: Some(Difference { says, why }), ..self }
    }

    pub(super) const fn own_engine(self) -> Check {
        Check { own_engine: true, ..self }
    }

    pub(super) fn difference(&self, tool: Tool) -> Option<Difference> {
        match tool {
            Tool::Thither => None,
            Tool::Docker => self.docker,
            Tool::Dockerpty => self.dockerpty,
        }
    }

    /// What is to come of it; see [`matches()`].
    pub(super) fn expected(&self, tool: Tool) -> &'static str {
        self.difference(tool).map_or(self.thither, |difference| difference.says)
    }
}

/// Whether a text is as expected: `#` stands for a number, `…` for the rest of a line, a line of `…` alone for any lines,
/// and [`OR`] is between texts.
pub(super) fn matches(expected: &str, seen: &str) -> bool {
    fn lines(expected: &[&str], seen: &[&str]) -> bool {
        match (expected, seen) {
            ([], seen) => seen.is_empty(),
            (["…", rest @ ..], seen) => (0..=seen.len()).any(|n| lines(rest, &seen[n..])),
            ([first, rest @ ..], [line, seen @ ..]) => one(first, line) && lines(rest, seen),
            _ => false,
        }
    }
    let seen: Vec<&str> = seen.lines().collect();
    expected.split(OR).any(|text| lines(&text.lines().collect::<Vec<_>>(), &seen))
}

fn one(expected: &str, line: &str) -> bool {
    let Some(at) = expected.find(['#', '…']) else { return expected == line };
    let Some(rest) = line.strip_prefix(&expected[..at]) else { return false };
    match expected[at..].strip_prefix('#') {
        None => true,
        Some(after) => {
            let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            number.len() < rest.len() && one(after, number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (expected, seen, right) in [
            ("", "", true),
            ("| a\n", "| a\n", true),
            ("| a\n", "| a\n| b\n", false),
            ("| a\n| b\n", "| a\n", false),
            ("# of 20\n", "12 of 20\n", true),
            ("# of #\n", "12 of 20\n", true),
            ("# of 20\n", "x of 20\n", false),
            ("# of 20\n", "12 of 200\n", false),
            ("| a…\n", "| and so on\n", true),
            ("| a…\n", "| or so\n", false),
            ("…\n| z\n", "| x\n| y\n| z\n", true),
            ("…\n| z\n", "| z\n", true),
            ("…\n| z\n", "| z\n| x\n", false),
            ("| a\nor\n| b\n", "| b\n", true),
            ("| a\nor\n| b\n", "| a\n| b\n", false),
        ] {
            assert_eq!(matches(expected, seen), right, "{expected:?} {seen:?}");
        }
    }
}

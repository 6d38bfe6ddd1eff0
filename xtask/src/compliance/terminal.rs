//! What a user at a terminal has.

use super::check::Check;

/// What [`testkit::PROMPT`] is; constants cannot be put together.
const PROMPT: &str = "prompt> ";

const ENTER: (&str, &str) = ("\"$P\" \"$R\" sh\r", PROMPT);
/// A job that echoes lines. What is typed before it runs might be read by the shell, in another mode.
const ECHO: (&str, &str) = ("(echo re''ady; cat)\r", "ready\r\n");
const LEAVE: (&str, &str) = ("exit 5\r", PROMPT);

pub(super) const CHECKS: &[Check] = &[
    Check::typed(
        "a terminal has its size",
        &[ENTER, ("stty size\r", "24 80\r\n"), ("", PROMPT), LEAVE],
        "exit 5\n",
    ),
    Check::typed(
        "^C reaches the job",
        &[ENTER, ECHO, ("abc\r", "abc\r\nabc\r\n"), ("\x03", PROMPT), LEAVE],
        "exit 5\n",
    ),
    Check::typed(
        "^Z stops the job, and fg goes on with it",
        &[
            ENTER,
            ECHO,
            ("abc\r", "abc\r\nabc\r\n"),
            ("\x1a", PROMPT),
            ("fg\r", "cat)\r\n"),
            ("def\r", "def\r\ndef\r\n"),
            ("\x04", PROMPT),
            LEAVE,
        ],
        "exit 5\n",
    ),
    Check::typed(
        "without a command there is a prompt",
        &[("SHELL=/bin/sh \"$P\" \"$R\"\r", PROMPT), LEAVE],
        "exit 5\n",
    ),
];

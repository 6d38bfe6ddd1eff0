//! What a user at a terminal has.

use super::check::Check;

/// What [`testkit::PROMPT`] is; constants cannot be put together.
const PROMPT: &str = "prompt> ";

const ENTER: (&str, &str) = ("\"$P\" \"$R\" sh\r", PROMPT);

pub(super) const CHECKS: &[Check] = &[
    Check::typed("a terminal has its size", &[ENTER, ("stty size\r", "24 80"), ("exit 5\r", PROMPT)], "exit 5\n"),
    Check::typed(
        "^C reaches the job",
        &[ENTER, ("cat\r", "cat"), ("abc\r", "abc\r\nabc\r\n"), ("\x03", PROMPT), ("exit 5\r", PROMPT)],
        "exit 5\n",
    ),
    Check::typed(
        "^Z stops the job, and fg goes on with it",
        &[
            ENTER,
            ("cat\r", "cat"),
            ("abc\r", "abc\r\nabc\r\n"),
            ("\x1a", PROMPT),
            ("fg\r", "cat\r\n"),
            ("def\r", "def\r\ndef\r\n"),
            ("\x04", PROMPT),
            ("exit 5\r", PROMPT),
        ],
        "exit 5\n",
    ),
    Check::typed(
        "without a command there is a prompt",
        &[("SHELL=/bin/sh \"$P\" \"$R\"\r", PROMPT), ("echo $0 $-\r", "i"), ("exit 5\r", PROMPT)],
        "exit 5\n",
    ),
];

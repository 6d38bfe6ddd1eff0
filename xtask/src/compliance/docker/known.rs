//! What else goes wrong for users of today's tools; by the numbers of no list but the threads of their users.

use super::check::Step::{Paste, Raw, Show, Type};
use super::check::{Check, How, IDLE, NOT_RUN, main};

pub(super) const CHECKS: &[Check] = &[
    // moby#37870, moby#36516, compose#3829
    Check::new(
        "exec, input: half-close, and output after it",
        IDLE,
        How::Script("head -c 1048576 /dev/zero | exec-i sh -c 'wc -c; echo after'"),
        "| 1048576\n| after\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: half-close, and output after it",
        main("wc -c; echo after").stdin(),
        How::Script("head -c 1048576 /dev/zero | start"),
        "| 1048576\n| after\ncontainer: exit 0\n",
    ),
    // cli#1456
    Check::new(
        "exec, input: a large input that nobody reads",
        IDLE,
        How::Script("head -c 8388608 /dev/zero | exec-i true"),
        "",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: a large input that nobody reads",
        main("true").stdin(),
        How::Script("head -c 8388608 /dev/zero | start"),
        "container: exit 0\n",
    )
    .dockerpty("container: exit 0\nor\nit does not end\ncontainer: exit 0\n", "it may wait for ever"),
    // cli#2542, moby#12546
    Check::new(
        "exec, input: closed input",
        IDLE,
        How::Script("exec-i sh -c 'cat; echo end' <&-"),
        "| end\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: closed input",
        main("cat; echo end").stdin(),
        How::Script("start <&-"),
        "| end\ncontainer: exit 0\n",
    )
    .docker("| end\ncontainer: exit 0\nor\nit does not end\ncontainer: created\n", "it may wait for ever")
    .dockerpty("a traceback: TypeError: argument must be an int, or have a fileno() method.\nexit 1\ncontainer: exit 0\n", "it needs an input"),
    Check::new(
        "exec, input: empty input",
        IDLE,
        How::Script("exec-i sh -c 'cat; echo end' </dev/null"),
        "| end\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: empty input",
        main("cat; echo end").stdin(),
        How::Script("start </dev/null"),
        "| end\ncontainer: exit 0\n",
    ),
    // moby#35497, podman#18889
    Check::new(
        "exec, neither: exit codes",
        IDLE,
        How::Script(
            "for code in 0 1 125 126 127 255; do exec-n sh -c \"exit $code\"; echo $?; done",
        ),
        "| 0\n| 1\n| 125\n| 126\n| 127\n| 255\n",
    )
    .dockerpty("| 0\n| 0\n| 0\n| 0\n| 0\n| 0\n", "it knows no exit codes"),
    Check::new(
        "exec, neither: death by a signal",
        IDLE,
        How::Script("exec-n sh -c 'kill -TERM $$'; echo $?; exec-n sh -c 'kill -KILL $$'; echo $?"),
        "| 143\n| 137\n",
    )
    .dockerpty("| 0\n| 0\n", "it knows no exit codes"),
    Check::new(
        "start, neither: death by a signal",
        main("sh -c 'kill -KILL $$' 2>/dev/null; exit $?"),
        How::Script("start"),
        "exit 137\ncontainer: exit 137\n",
    )
    .dockerpty("container: exit 137\n", "it knows no exit codes"),
    // Fact 17.
    Check::new(
        "exec, terminal: input is no terminal",
        IDLE,
        How::Script("echo abc | exec-t cat 2>err; echo $?; tail -n 1 err"),
        "| 125\n| …\n",
    )
    .docker("| 1\n| the input device is not a TTY\n", "its own failures have codes of commands")
    .dockerpty("| 1\n| ValueError: I/O operation on closed file.\nleft inside: #\nor\n| 1\n| ValueError: I/O operation on closed file.\n", "a traceback"),
    // moby#9299
    Check::new(
        "exec, terminal: the variable TERM",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo $TERM'", &[])]),
        "| xterm-256color\n",
    )
    .docker("| xterm\n", "the engine's own TERM, not the user's")
    .dockerpty("| xterm\n", "the engine's own TERM, not the user's"),
    Check::new(
        "run, terminal: the variable TERM",
        IDLE,
        How::Typed(&[("run-t sh -c 'echo $TERM'", &[])]),
        "| xterm-256color\n",
    )
    .docker("| xterm\n", "the engine's own TERM, not the user's")
    .dockerpty("| xterm\n", "the engine's own TERM, not the user's"),
    // conmon#204
    Check::new(
        "exec, terminal: a large paste",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'stty raw -echo; echo ready; head -c 1048576 | wc -c; head -c 1'",
            &[Show("ready"), Raw, Paste(1_048_576), Show("1048576"), Type("x")],
        )]),
        "~ ready\\n1048576\\nx\n",
    ),
    Check::new(
        "start, terminal: a large paste",
        main("stty raw -echo; echo ready; head -c 1048576 | wc -c; head -c 1").tty(),
        How::Typed(&[(
            "start",
            &[Show("ready"), Raw, Paste(1_048_576), Show("1048576"), Type("x")],
        )]),
        "~ ready\\n1048576\\nx\ncontainer: exit 0\n",
    ),
    // bollard#805, bollard#291
    Check::new(
        "start, terminal: output that begins with NUL",
        main("printf '\\0hello, world\\n'").tty(),
        How::Typed(&[("start", &[])]),
        "| \\x00hello, world\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, terminal: output that looks like a frame",
        main("printf '\\1\\0\\0\\0\\0\\0\\0\\5hello, world\\n'").tty(),
        How::Typed(&[("start", &[])]),
        "| \\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05hello, world\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: output that looks like a frame",
        IDLE,
        How::Typed(&[("exec-t printf '\\1\\0\\0\\0\\0\\0\\0\\5hello, world\\n'", &[])]),
        "| \\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05hello, world\n",
    ),
    Check::new(
        "start, terminal there and none here",
        main("printf '\\1\\0\\0\\0\\0\\0\\0\\5hello\\n'").tty(),
        How::Script("echo $(start-n | od -A n -t x1)"),
        "| 01 00 00 00 00 00 00 05 68 65 6c 6c 6f 0d 0a\ncontainer: exit 0\n",
    ),
    // moby#32895
    Check::new(
        "exec, terminal: ^P alone reaches the program",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'stty raw -echo; echo ready; head -c 1 | od -c | head -n 1'",
            &[Show("ready"), Raw, Type("\x10")],
        )]),
        "~ ready\\n0000000 020\\n\n",
    )
    .docker("~ ready\\n\nit does not end\nleft inside: #\n", "the engine holds it back until the next key")
    .dockerpty("~ ready\\n\nit does not end\nleft inside: #\n", "the engine holds it back until the next key"),
    Check::new(
        "exec, neither: a program that leaves another one with its output",
        IDLE,
        How::Script("exec-n sh -c 'sleep 1000 & echo out'"),
        "| out\nleft inside: 1\n",
    ),
    Check::new(
        "exec, terminal: what a program changes at the terminal",
        IDLE,
        How::Typed(&[("exec-t sh -c 'stty -echo; echo out'", &[])]),
        "| out\n",
    ),
];

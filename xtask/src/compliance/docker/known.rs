//! What else goes wrong for users of today's tools; by the numbers of no list but the threads of their users.

use super::check::Step::{Inside, Paste, Raw, Show, Type};
use super::check::{Check, How, IDLE, main};

pub(super) const CHECKS: &[Check] = &[
    // moby#37870, moby#36516, compose#3829
    Check::new(
        "exec, input: half-close, and output after it",
        IDLE,
        How::Script("head -c 1048576 /dev/zero | exec-i sh -c 'wc -c; echo after'"),
        "| 1048576\n| after\n",
    ),
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
    ),
    Check::new(
        "start, input: a large input that nobody reads",
        main("true").stdin(),
        How::Script("head -c 8388608 /dev/zero | start"),
        "container: exit 0\n",
    ),
    // cli#2542, moby#12546
    Check::new(
        "exec, input: closed input",
        IDLE,
        How::Script("exec-i sh -c 'cat; echo end' <&-"),
        "| end\n",
    ),
    Check::new(
        "start, input: closed input",
        main("cat; echo end").stdin(),
        How::Script("start <&-"),
        "| end\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: empty input",
        IDLE,
        How::Script("exec-i sh -c 'cat; echo end' </dev/null"),
        "| end\n",
    ),
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
    ),
    Check::new(
        "exec, neither: death by a signal",
        IDLE,
        How::Script("exec-n sh -c 'kill -TERM $$'; echo $?; exec-n sh -c 'kill -KILL $$'; echo $?"),
        "| 143\n| 137\n",
    ),
    Check::new(
        "start, neither: death by a signal",
        main("kill -KILL $(sh -c 'echo $PPID') & sh -c 'kill -KILL $$'; exit $?"),
        How::Script("start"),
        "exit 137\ncontainer: exit 137\n",
    ),
    // Fact 17.
    Check::new(
        "exec, terminal: input is no terminal",
        IDLE,
        How::Script("echo abc | exec-t cat 2>err; echo $?; tail -n 1 err"),
        "| 125\n| …\n",
    ),
    // moby#9299
    Check::new(
        "exec, terminal: TERM",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo $TERM'", &[])]),
        "| xterm-256color\n",
    ),
    Check::new(
        "run, terminal: TERM",
        IDLE,
        How::Typed(&[("run-t sh -c 'echo $TERM'", &[])]),
        "| xterm-256color\n",
    ),
    // conmon#204
    Check::new(
        "exec, terminal: a large paste",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'stty raw -echo; echo ready; head -c 1048576 | wc -c; head -c 1'",
            &[Show("ready"), Raw, Paste(1_048_576), Show("1048576"), Type("x")],
        )]),
        "| …\n",
    ),
    Check::new(
        "start, terminal: a large paste",
        main("stty raw -echo; echo ready; head -c 1048576 | wc -c; head -c 1").tty(),
        How::Typed(&[(
            "start",
            &[Show("ready"), Raw, Paste(1_048_576), Show("1048576"), Type("x")],
        )]),
        "| …\n",
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
        main("printf '\\1\\0\\0\\0\\0\\0\\0\\5hello, world\\n'").tty(),
        How::Script("start-n | od -c | sed 's/^[0-9]* *//'"),
        "| 001  \\\\0  \\\\0  \\\\0  \\\\0  \\\\0  \\\\0 005   h   e   l   l   o   ,       w\n|  o   r   l   d  \\\\r  \\\\n\n",
    ),
    // moby#32895
    Check::new(
        "exec, terminal: ^P alone reaches the program",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'stty raw -echo; echo ready; head -c 1 | od -c | head -n 1'",
            &[Show("ready"), Raw, Type("\x10"), Show("020")],
        )]),
        "| …\n",
    ),
    // cli#6005
    Check::new(
        "exec, terminal: as a job in the background",
        IDLE,
        How::Typed(&[(
            "sh -c 'set -m; exec-t sh -c \"sleep 1; exit 5\" & wait; jobs; kill -KILL %1'",
            &[],
        )]),
        "| …\n",
    ),
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
    Check::new(
        "start, terminal: it is removed meanwhile",
        main("echo ready; while :; do sleep 1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Inside("kill -KILL -1; kill -TERM 1")])]),
        "| ready\n",
    ),
];

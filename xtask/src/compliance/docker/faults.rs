//! What comes from outside: signals, a closed window, an engine that dies, a reader that is slow or gone.

use super::check::Step::{Close, Ended, KillEngine, Raw, Show, Signal};
use super::check::{Check, How, IDLE, NOT_RUN, main};

const HUP: i32 = 1;
const INT: i32 = 2;
const QUIT: i32 = 3;
const TERM: i32 = 15;

/// Says what it was told, and ends.
const TOLD: &str = "for s in INT TERM HUP; do trap \"echo told $s; exit 4\" $s; done
echo ready; while :; do sleep 0.1; done";
const EXEC_TOLD: &str =
    "exec-i sh -c 'for s in INT TERM HUP; do trap \"echo told $s; exit 4\" $s; done
echo ready; while :; do sleep 0.1; done'";
const EXEC_AT_TERMINAL: &str = "exec-t sh -c 'echo ready; while :; do sleep 0.1; done'";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "start, neither: INT",
        main(TOLD),
        How::Typed(&[("start", &[Show("ready"), Signal(INT)])]),
        "| ready\n| told INT\nexit 4\ncontainer: exit 4\n",
    )
    .dockerpty("| ready\na traceback: KeyboardInterrupt\nsignal 2\ncontainer: running\n", "it is ended by the signal, and what runs lives on"),
    Check::new(
        "start, neither: TERM",
        main(TOLD),
        How::Typed(&[("start", &[Show("ready"), Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\ncontainer: exit 4\n",
    )
    .dockerpty("| ready\nsignal 15\ncontainer: running\n", "it is ended by the signal, and what runs lives on"),
    Check::new(
        "start, neither: HUP",
        main(TOLD),
        How::Typed(&[("start", &[Show("ready"), Signal(HUP)])]),
        "| ready\nexit 129\ncontainer: running\n",
    )
    .docker("| ready\n| told HUP\nexit 4\ncontainer: exit 4\n", "it passes HUP on; a container that was attached to is not ours to end")
    .dockerpty("| ready\nsignal 1\ncontainer: running\n", "it is killed"),
    Check::new(
        "exec, input: INT",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(INT)])]),
        "| ready\n| told INT\nexit 4\n",
    )
    .docker("| ready\nsignal 2\nleft inside: #\n", "it is ended by the signal, and what runs lives on")
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "exec, input: TERM",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\n",
    )
    .docker("| ready\nsignal 15\nleft inside: #\n", "it is ended by the signal, and what runs lives on")
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "exec, input: HUP",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(HUP)])]),
        "| ready\n| told HUP\nexit 4\n",
    )
    .docker("| ready\nsignal 1\nleft inside: #\n", "it is ended by the signal, and what runs lives on")
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "exec, terminal: INT",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(INT)])]),
        "| ready\nexit 130\n",
    )
    .docker("| ready\n~ \\n\nexit 1\nleft inside: #\n", "it is ended by the signal, and what runs lives on")
    .dockerpty("| ready\na traceback: KeyboardInterrupt\nsignal 2\nleft inside: #\n", "it is ended by the signal, and what runs lives on"),
    Check::new(
        "exec, terminal: TERM",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(TERM)])]),
        "| ready\nexit 143\n",
    )
    .docker("| ready\nsignal 15\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw")
    .dockerpty("| ready\nsignal 15\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw"),
    Check::new(
        "exec, terminal: HUP",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(HUP)])]),
        "| ready\nexit 129\n",
    )
    .docker("| ready\nsignal 1\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw")
    .dockerpty("| ready\nsignal 1\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw"),
    Check::new(
        "exec, terminal: QUIT",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'trap \"echo told; exit 4\" QUIT; echo ready; while :; do sleep 0.1; done'",
            &[Show("ready"), Raw, Signal(QUIT)],
        )]),
        "| ready\n| told\nexit 4\n",
    )
    .docker("| ready\n~ SIGQUIT: quit…\nexit 2\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw")
    .dockerpty("| ready\nsignal 3\nthe terminal is not as it was\nleft inside: #\n", "it is ended by the signal, and what runs lives on; the terminal stays raw"),
    Check::new(
        "start, terminal: TERM",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\ncontainer: exit 4\n",
    )
    .docker("| ready\nsignal 15\nthe terminal is not as it was\ncontainer: running\n", "it is ended by the signal, and what runs lives on; the terminal stays raw")
    .dockerpty("| ready\nsignal 15\nthe terminal is not as it was\ncontainer: running\n", "it is ended by the signal, and what runs lives on; the terminal stays raw"),
    Check::new(
        "start, terminal: HUP",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(HUP)])]),
        "| ready\nexit 129\ncontainer: running\n",
    )
    .docker("| ready\nsignal 1\nthe terminal is not as it was\ncontainer: running\n", "the terminal stays raw")
    .dockerpty("| ready\nsignal 1\nthe terminal is not as it was\ncontainer: running\n", "the terminal stays raw"),
    Check::new(
        "start, terminal: QUIT",
        main("trap 'echo told QUIT; exit 4' QUIT; echo ready; while :; do sleep 0.1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(QUIT)])]),
        "| ready\n| told QUIT\nexit 4\ncontainer: exit 4\n",
    )
    .docker("| ready\n~ SIGQUIT: quit…\nexit 2\nthe terminal is not as it was\ncontainer: running\n", "it is ended by the signal, and what runs lives on; the terminal stays raw")
    .dockerpty("| ready\nsignal 3\nthe terminal is not as it was\ncontainer: running\n", "it is ended by the signal, and what runs lives on; the terminal stays raw"),
    Check::new(
        "exec, terminal: the window is closed",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Close])]),
        "| ready\n",
    )
    .docker("| ready\nleft inside: #\n", "what runs lives on")
    .dockerpty("| ready\nleft inside: #\n", "what runs lives on"),
    Check::new(
        "start, terminal: the window is closed",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Close])]),
        "| ready\ncontainer: running\n",
    ),
    Check::new(
        "exec, terminal: the engine dies",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, KillEngine])]),
        "| ready\n| \\x1b[1;31merror:…\n…\nexit 125\n",
    ).own_engine()
    .docker("…\nexit 1\nor\n…\nexit 255\nor\n…\nexit 125\n", "the code is another each time")
    .dockerpty("| ready\n", "silence, and success"),
    Check::new(
        "start, terminal: the engine dies",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, KillEngine])]),
        "| ready\n| \\x1b[1;31merror:…\n…\nexit 125\n",
    ).own_engine()
    .docker("…\nexit 1\nor\n…\nexit 255\nor\n…\nexit 125\n", "the code is another each time")
    .dockerpty("| ready\n", "silence, and success"),
    Check::new(
        "no engine",
        IDLE,
        How::Script(
            "DOCKER_HOST=unix:///nonexistent/sock exec-n true 2>err; echo $?; tail -n 1 err",
        ),
        "| 125\n| …\n",
    )
    .docker("| 1\n| …\n", "its own failures have codes of commands")
    .dockerpty("| 1\n| …\n", "a traceback"),
    Check::new(
        "no such container",
        IDLE,
        How::Script(
            "C=nonexistent exec-n true 2>err; echo $?; tail -n 1 err
C=nonexistent start 2>err; echo $?; tail -n 1 err",
        ),
        "| 125\n| …\n| 125\n| …\n",
    )
    .docker("| 1\n| …\n| 1\n| …\n", "its own failures have codes of commands")
    .dockerpty("| 1\n| …\n| 1\n| …\n", "a traceback"),
    Check::new(
        "exec, neither: no such program",
        IDLE,
        How::Script(
            "exec-n nonexistent >out 2>err; echo $?; tail -n 1 out; tail -n 1 err
exec-n /etc >out 2>err; echo $?; tail -n 1 out; tail -n 1 err",
        ),
        "| 127\n| error: cannot run `nonexistent` in `docker:$C`: no such file or directory\n| 126\n| error: cannot run `/etc` in `docker:$C`: permission denied\n",
    )
    .docker("| 126\n| OCI …\n| 126\n| OCI …\n", "126 for both, and the words of the runtime on standard output")
    .dockerpty("| 0\n| OCI …\n| 0\n| OCI …\n", "it knows no exit codes"),
    Check::new(
        "start, neither: no such program",
        main("exec nonexistent"),
        How::Script("start 2>/dev/null"),
        "exit 127\ncontainer: exit 127\n",
    )
    .dockerpty("container: exit 127\n", "it knows no exit codes"),
    Check::new(
        "start, terminal: 1 MiB and a reader that waits for the end",
        main("yes 0123456789abcde | head -c 524288").tty(),
        How::Script(
            "exec script -q -e -c start /dev/null </dev/null | { until [ \"$(docker inspect -f '{{.State.Status}}' $C)\" = exited ]; do sleep 0.05; done; tr -cd '0-9a-e\\n' | wc -c; }",
        ),
        "| 524288\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, neither: 512 KiB and a reader that waits for the end",
        main("yes 0123456789abcde | head -c 524288"),
        How::Script(
            "start | { until [ \"$(docker inspect -f '{{.State.Status}}' $C)\" = exited ]; do sleep 0.05; done; wc -c; }",
        ),
        "| 524288\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: 512 KiB and a reader that waits for the end",
        IDLE,
        How::Script(
            "exec-n sh -c 'yes 0123456789abcde | head -c 524288; touch /done' | { until docker exec $C test -e /done; do sleep 0.05; done; wc -c; }",
        ),
        "| 524288\n",
    ),
    Check::new(
        "start, terminal: 1 MiB at once",
        main("yes 0123456789abcde | head -c 1048576").tty(),
        How::Script("script -q -e -c start /dev/null </dev/null | tr -cd '0-9a-e\\n' | wc -c"),
        "| 1048576\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: the reader leaves",
        IDLE,
        How::Script("{ exec-n yes 2>err; echo $? >code; } | head -n 1; cat err code"),
        "| y\n| 141\n",
    )
    .docker("| y\n| 141\nleft inside: #\n", "what runs lives on")
    .dockerpty("| y\na traceback: BrokenPipeError: [Errno 32] Broken pipe\n| 1\nleft inside: #\n", "a traceback; what runs lives on"),
    Check::new(
        "start, neither: the reader leaves",
        main("yes"),
        How::Script("{ start 2>err; echo $? >code; } | head -n 1; cat err code"),
        "| y\n| 0\ncontainer: running\n",
    )
    .docker("| y\n| write /dev/stdout: broken pipe\n| 1\ncontainer: running\n", "a pipe that is closed is no failure")
    .dockerpty("| y\na traceback: BrokenPipeError: [Errno 32] Broken pipe\n| 1\ncontainer: running\n", "a traceback"),
    Check::new(
        "exec, neither: a full disk",
        IDLE,
        How::Script("exec-n echo out >/dev/full 2>err; echo $?; tail -n 1 err"),
        "| 125\n| error: cannot write to standard output: no space left on device\n",
    )
    .docker("| 1\n| write /dev/stdout: no space left on device\n", "its own failures have codes of commands")
    .dockerpty("| 1\n| OSError: [Errno 28] No space left on device\n", "a traceback"),
    Check::new(
        "start, terminal: ends unread",
        main("echo out").tty(),
        How::Typed(&[("start", &[Ended])]),
        "| out\ncontainer: exit 0\n",
    ),
];

//! What comes from outside: signals, a closed window, an engine that dies, a reader that is slow or gone.

use super::check::Step::{Close, Ended, KillEngine, Raw, Show, Signal};
use super::check::{Check, How, IDLE, main};

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
    ),
    Check::new(
        "start, neither: TERM",
        main(TOLD),
        How::Typed(&[("start", &[Show("ready"), Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\ncontainer: exit 4\n",
    ),
    Check::new(
        "start, neither: HUP",
        main(TOLD),
        How::Typed(&[("start", &[Show("ready"), Signal(HUP)])]),
        "| ready\ncontainer: running\n",
    ),
    Check::new(
        "exec, input: INT",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(INT)])]),
        "| ready\n| told INT\nexit 4\n",
    ),
    Check::new(
        "exec, input: TERM",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\n",
    ),
    Check::new(
        "exec, input: HUP",
        IDLE,
        How::Typed(&[(EXEC_TOLD, &[Show("ready"), Signal(HUP)])]),
        "| ready\n| told HUP\nexit 4\n",
    ),
    Check::new(
        "exec, terminal: INT",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(INT)])]),
        "| ready\nsignal 2\n",
    ),
    Check::new(
        "exec, terminal: TERM",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(TERM)])]),
        "| ready\nexit 143\n",
    ),
    Check::new(
        "exec, terminal: HUP",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(HUP)])]),
        "| ready\nexit 129\n",
    ),
    Check::new(
        "exec, terminal: QUIT",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Signal(QUIT)])]),
        "| ready\nexit 131\n",
    ),
    Check::new(
        "start, terminal: TERM",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(TERM)])]),
        "| ready\n| told TERM\nexit 4\ncontainer: exit 4\n",
    ),
    Check::new(
        "start, terminal: HUP",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(HUP)])]),
        "| ready\ncontainer: running\n",
    ),
    Check::new(
        "start, terminal: QUIT",
        main("trap 'echo told QUIT; exit 4' QUIT; echo ready; while :; do sleep 0.1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Signal(QUIT)])]),
        "| ready\n| told QUIT\nexit 4\ncontainer: exit 4\n",
    ),
    Check::new(
        "exec, terminal: the window is closed",
        IDLE,
        How::Typed(&[(EXEC_AT_TERMINAL, &[Show("ready"), Raw, Close])]),
        "| ready\n",
    ),
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
        "| ready\nexit 125\n",
    )
    .own_engine(),
    Check::new(
        "start, terminal: the engine dies",
        main(TOLD).tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, KillEngine])]),
        "| ready\nexit 125\n",
    )
    .own_engine(),
    Check::new(
        "no engine",
        IDLE,
        How::Script(
            "DOCKER_HOST=unix:///nonexistent/sock exec-n true 2>err; echo $?; tail -n 1 err",
        ),
        "| 125\n| …\n",
    ),
    Check::new(
        "no such container",
        IDLE,
        How::Script(
            "C=nonexistent exec-n true 2>err; echo $?; tail -n 1 err
C=nonexistent start 2>err; echo $?; tail -n 1 err",
        ),
        "| 125\n| …\n",
    ),
    Check::new(
        "exec, neither: no such program",
        IDLE,
        How::Script(
            "exec-n nonexistent >out 2>err; echo $?; tail -n 1 out; tail -n 1 err
exec-n /etc >out 2>err; echo $?; tail -n 1 out; tail -n 1 err",
        ),
        "| 127\n| …\n",
    ),
    Check::new(
        "start, neither: no such program",
        main("exec nonexistent"),
        How::Script("start 2>/dev/null"),
        "exit 127\ncontainer: exit 127\n",
    ),
    Check::new(
        "start, terminal: 1 MiB and a reader that waits for the end",
        main("yes 0123456789abcde | head -c 524288").tty(),
        How::Script(
            "exec script -q -e -c start /dev/null </dev/null | { until [ \"$(docker inspect -f '{{.State.Status}}' $C)\" = exited ]; do sleep 0.05; done; tr -d '\\r' | wc -c; }",
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
        How::Script("script -q -e -c start /dev/null </dev/null | tr -d '\\r' | wc -c"),
        "| 1048576\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, terminal: a reader that comes after the end",
        main("yes 0123456789abcde | head -c 2048").tty(),
        How::Counted(1, "run-t sh -c 'yes 0123456789abcde | head -c 2048 | md5sum'", "x"),
        "0 of 1\n",
    ),
    Check::new(
        "exec, neither: the reader leaves",
        IDLE,
        How::Script("{ exec-n yes 2>err; echo $? >code; } | head -n 1; cat err code"),
        "| y\n| 0\n",
    ),
    Check::new(
        "start, neither: the reader leaves",
        main("yes"),
        How::Script("{ start 2>err; echo $? >code; } | head -n 1; cat err code"),
        "| y\n| 0\n",
    ),
    Check::new(
        "exec, neither: a full disk",
        IDLE,
        How::Script("exec-n echo out >/dev/full 2>err; echo $?; tail -n 1 err"),
        "| 125\n",
    ),
    Check::new(
        "start, terminal: ends unread",
        main("echo out").tty(),
        How::Typed(&[("start", &[Ended])]),
        "| out\ncontainer: exit 0\n",
    ),
];

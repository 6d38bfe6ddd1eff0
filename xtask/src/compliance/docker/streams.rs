//! A container without a terminal, and commands without one in it; with standard input and without.

use super::check::Step::{Show, Type};
use super::check::{Check, How, IDLE, NOT_RUN, main};

/// dockerpty asks for three streams in three connections, and for none of the exit code.
const CODES: &str = "it knows no exit codes";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "start, input: output",
        main("echo out").stdin(),
        How::Typed(&[("start", &[])]),
        "| out\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: output",
        IDLE,
        How::Typed(&[("exec-i echo out", &[])]),
        "| out\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, neither: output",
        main("echo out"),
        How::Typed(&[("start", &[])]),
        "| out\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: output",
        IDLE,
        How::Typed(&[("exec-n echo out", &[])]),
        "| out\n",
    ),
    Check::new(
        "start, input: errors",
        main("echo err >&2").stdin(),
        How::Script("start </dev/null 2>err; cat err; echo $?"),
        "| err\n| 0\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: errors",
        IDLE,
        How::Script("exec-i sh -c 'echo err >&2' </dev/null 2>err; cat err"),
        "| err\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, neither: errors",
        main("echo err >&2"),
        How::Script("start 2>err; cat err"),
        "| err\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: errors",
        IDLE,
        How::Script("exec-n sh -c 'echo err >&2' 2>err; cat err"),
        "| err\n",
    ),
    Check::new(
        "start, input: mixed",
        main("echo out; echo err >&2; echo out again; echo err again >&2").stdin(),
        How::Script("start </dev/null 2>err; cat err"),
        "| out\n| out again\n| err\n| err again\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: mixed",
        IDLE,
        How::Script("exec-i sh -c 'echo out; echo err >&2' </dev/null 2>err; cat err"),
        "| out\n| err\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, neither: mixed",
        main("echo out; echo err >&2; echo out again; echo err again >&2"),
        How::Script("start 2>err; cat err"),
        "| out\n| out again\n| err\n| err again\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: mixed, 1 MiB each",
        IDLE,
        How::Script(
            "exec-n sh -c 'yes out | head -c 1048576 & yes err | head -c 1048576 >&2; wait' 2>err | sort | uniq -c
sort err | uniq -c",
        ),
        "|  262144 out\n|  262144 err\n",
    )
    .dockerpty("|  262144 err\n|  262144 out\n", "all is on standard output"),
    Check::new(
        "start, input: input",
        main("echo ready; read -r x; echo got $x").stdin(),
        How::Typed(&[("start", &[Show("ready"), Type("abc\n")])]),
        "| ready\n| abc\n| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: input",
        IDLE,
        How::Typed(&[(
            "exec-i sh -c 'echo ready; read -r x; echo got $x'",
            &[Show("ready"), Type("abc\n")],
        )]),
        "| ready\n| abc\n| got abc\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, neither: input",
        main("read -r x || echo none"),
        How::Script("echo abc | start"),
        "| none\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, neither: input",
        IDLE,
        How::Script("echo abc | exec-n sh -c 'read -r x || echo none'"),
        "| none\n",
    ),
    Check::new(
        "start, input: end of input",
        main("cat; echo end").stdin(),
        How::Script("echo abc | start"),
        "| abc\n| end\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: end of input",
        IDLE,
        How::Script("echo abc | exec-i sh -c 'cat; echo end'"),
        "| abc\n| end\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: ^D at a terminal",
        main("echo ready; cat; echo end").stdin(),
        How::Typed(&[("start", &[Show("ready"), Type("abc\n"), Show("abc\r\nabc"), Type("\x04")])]),
        "| ready\n| abc\n| abc\n| end\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, input: ^D at a terminal",
        IDLE,
        How::Typed(&[(
            "exec-i sh -c 'echo ready; cat; echo end'",
            &[Show("ready"), Type("abc\n"), Show("abc\r\nabc"), Type("\x04")],
        )]),
        "| ready\n| abc\n| abc\n| end\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: no terminal there",
        main("tty").stdin(),
        How::Script("start </dev/null"),
        "| not a tty\nexit 1\ncontainer: exit 1\n",
    )
    .dockerpty("| not a tty\ncontainer: exit 1\n", "it knows no exit codes"),
    Check::new(
        "exec, input: no terminal there",
        IDLE,
        How::Script("exec-i tty </dev/null"),
        "| not a tty\nexit 1\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, input: exit",
        main("exit 7").stdin(),
        How::Script("start </dev/null"),
        "exit 7\ncontainer: exit 7\n",
    )
    .dockerpty("container: exit 7\n", CODES),
    Check::new(
        "exec, input: exit",
        IDLE,
        How::Script("exec-i sh -c 'exit 7' </dev/null"),
        "exit 7\n",
    )
    .dockerpty(NOT_RUN, "its exec with input is one with a terminal"),
    Check::new(
        "start, neither: exit",
        main("exit 7"),
        How::Script("start"),
        "exit 7\ncontainer: exit 7\n",
    )
    .dockerpty("container: exit 7\n", CODES),
    Check::new(
        "exec, neither: exit",
        IDLE,
        How::Script("exec-n sh -c 'exit 7'"),
        "exit 7\n",
    )
    .dockerpty("", CODES),
    Check::new(
        "start-n: its input is left alone",
        main("read -r x; echo got $x").stdin(),
        How::Script(
            "start-n </dev/null & until docker inspect -f '{{.State.Running}}' $C | grep -q true; do sleep 0.05; done
echo abc | docker attach $C >/dev/null; wait",
        ),
        "| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, input: started before",
        main("read -r x; echo got $x").stdin().started(),
        How::Script("echo abc | attach"),
        "| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, neither: what was printed before",
        main("echo before; until [ -e /go ]; do sleep 0.02; done; echo after").started(),
        How::Typed(&[("attach-logs", &[Show("before"), super::check::Step::Inside("touch /go")])]),
        "| before\n| after\ncontainer: exit 0\n",
    )
    .docker(NOT_RUN, "it has no such thing: logs and attach are two commands, with a gap between them")
    .dockerpty(NOT_RUN, "it loses what comes together with the head of the engine's answer"),
    Check::new(
        "start, input: logging disabled",
        main("cat; echo end").stdin().without_logging(),
        How::Script("echo abc | start"),
        "| abc\n| end\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, neither: logging disabled",
        main("echo out").without_logging(),
        How::Script("start"),
        "| out\ncontainer: exit 0\n",
    ),
    Check::new(
        "run, input: race of five",
        IDLE,
        How::Script(
            "for i in 1 2 3 4 5; do run-i sh -c 'echo out; exit 3' </dev/null; echo $?; done | sort | uniq -c",
        ),
        "|       5 3\n|       5 out\n",
    )
    .dockerpty("|       5 0\n|       5 out\nor\nit does not end\n", "it knows no exit codes, and may hang with an empty input"),
    Check::new(
        "exec, neither: race of five",
        IDLE,
        How::Script(
            "for i in 1 2 3 4 5; do exec-n sh -c 'echo out; exit 3'; echo $?; done | sort | uniq -c",
        ),
        "|       5 3\n|       5 out\n",
    )
    .dockerpty("|       5 0\n|       5 out\n", CODES),
];

//! A container with a terminal, and commands at a terminal in one.

use super::check::Step::{Inside, Raw, Resize, Show, Type};
use super::check::{Check, How, IDLE, NOT_RUN, main};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "start, terminal: output",
        main("echo out").tty(),
        How::Typed(&[("start", &[])]),
        "| out\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: output",
        IDLE,
        How::Typed(&[("exec-t echo out", &[])]),
        "| out\n",
    ),
    Check::new(
        "start, terminal: errors",
        main("echo err >&2").tty(),
        How::Typed(&[("start", &[])]),
        "| err\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: errors",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo err >&2'", &[])]),
        "| err\n",
    ),
    Check::new(
        "start, terminal: mixed",
        main("echo out; echo err >&2; echo out again").tty(),
        How::Typed(&[("start", &[])]),
        "| out\n| err\n| out again\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: mixed",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo out; echo err >&2; echo out again'", &[])]),
        "| out\n| err\n| out again\n",
    ),
    Check::new(
        "start, terminal: input",
        main("echo ready; read -r x; echo got $x").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("abc\r")])]),
        "| ready\n| abc\n| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: input",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'echo ready; read -r x; echo got $x'",
            &[Show("ready"), Raw, Type("abc\r")],
        )]),
        "| ready\n| abc\n| got abc\n",
    ),
    Check::new(
        "start, terminal: end of input",
        main("echo ready; cat; echo end").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("abc\r"), Show("abc\r\nabc"), Type("\x04")])]),
        "| ready\n| abc\n| abc\n| end\ncontainer: exit 0\n",
    ),
    Check::new(
        "exec, terminal: end of input",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'echo ready; cat; echo end'",
            &[Show("ready"), Raw, Type("abc\r"), Show("abc\r\nabc"), Type("\x04")],
        )]),
        "| ready\n| abc\n| abc\n| end\n",
    ),
    Check::new(
        "start, terminal: ^C",
        main("trap 'echo told; exit 4' INT; echo ready; while :; do sleep 0.1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("\x03")])]),
        "| ready\n| ^Ctold\nexit 4\ncontainer: exit 4\n",
    )
    .dockerpty("| ready\n| ^Ctold\ncontainer: exit 4\n", "it knows no exit codes"),
    Check::new(
        "exec, terminal: ^C",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'trap \"echo told; exit 4\" INT; echo ready; while :; do sleep 0.1; done'",
            &[Show("ready"), Raw, Type("\x03")],
        )]),
        "| ready\n| ^Ctold\nexit 4\n",
    )
    .dockerpty("| ready\n| ^Ctold\n", "it knows no exit codes"),
    Check::new(
        "start, terminal: size of 20",
        main("stty size").tty(),
        How::Counted(20, "run-t stty size", "24 80\r\n"),
        "20 of 20\ncontainer: created\n",
    )
    .docker("# of 20\ncontainer: created\n", "the program may look before the size has come")
    .dockerpty("# of 20\ncontainer: created\n", "the program may look before the size has come"),
    Check::new(
        "exec, terminal: size of 20",
        IDLE,
        How::Counted(20, "exec-t stty size", "24 80\r\n"),
        "20 of 20\n",
    )
    .docker("# of 20\n", "the program may look before the size has come")
    .dockerpty("# of 20\n", "the program may look before the size has come"),
    Check::new(
        "start, terminal: resize",
        main(
            "echo ready; until [ \"$(stty size 2>/dev/null)\" = '30 100' ]; do sleep 0.02; done; echo resized",
        )
        .tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Resize(100, 30)])]),
        "| ready\n| resized\ncontainer: exit 0\n",
    )
    .docker("| ready\n| resized\ncontainer: exit 0\nor\n| ready\nit does not end\ncontainer: running\n", "a new size may be lost while the first one is still on its way"),
    Check::new(
        "exec, terminal: resize",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'echo ready; until [ \"$(stty size 2>/dev/null)\" = \"30 100\" ]; do sleep 0.02; done; echo resized'",
            &[Show("ready"), Raw, Resize(100, 30)],
        )]),
        "| ready\n| resized\n",
    )
    .docker("| ready\n| resized\nor\n| ready\nit does not end\nleft inside: #\n", "a new size may be lost while the first one is still on its way"),
    Check::new(
        "start, terminal: frantic resize",
        main(
            "echo ready; until [ \"$(stty size 2>/dev/null)\" = '33 111' ]; do sleep 0.02; done; echo resized",
        )
        .tty(),
        How::Typed(&[("start", FRANTIC)]),
        "| ready\n| resized\ncontainer: exit 0\n",
    )
    .docker("| ready\n| resized\ncontainer: exit 0\nor\n| ready\nit does not end\ncontainer: running\n", "a new size may be lost while the first one is still on its way"),
    Check::new(
        "exec, terminal: frantic resize",
        IDLE,
        How::Typed(&[(
            "exec-t sh -c 'echo ready; until [ \"$(stty size 2>/dev/null)\" = \"33 111\" ]; do sleep 0.02; done; echo resized'",
            FRANTIC,
        )]),
        "| ready\n| resized\n",
    )
    .docker("| ready\n| resized\nor\n| ready\nit does not end\nleft inside: #\n", "a new size may be lost while the first one is still on its way"),
    Check::new(
        "start, terminal: exit",
        main("echo out; exit 7").tty(),
        How::Typed(&[("start", &[])]),
        "| out\nexit 7\ncontainer: exit 7\n",
    )
    .dockerpty("| out\ncontainer: exit 7\n", "it knows no exit codes"),
    Check::new(
        "exec, terminal: exit",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo out; exit 7'", &[])]),
        "| out\nexit 7\n",
    )
    .dockerpty("| out\n", "it knows no exit codes"),
    Check::new(
        "start, terminal: detach",
        main("echo ready; while :; do sleep 1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("\x10\x11")])]),
        "| ready\n| thither: detached\ncontainer: running\n",
    )
    .docker("| ready\ncontainer: running\n", "it says nothing")
    .dockerpty("| ready\nit does not end\ncontainer: running\n", "it waits for input, of which it can make nothing"),
    Check::new(
        "start, terminal: detach, slowly",
        main("echo ready; while :; do sleep 1; done").tty(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("\x10"), Inside("true"), Type("\x11")])]),
        "| ready\n| ^Pthither: detached\ncontainer: running\n",
    )
    .docker("| ready\ncontainer: running\n", "it holds ^P back for ever")
    .dockerpty("| ready\nit does not end\ncontainer: running\n", "it waits for input, of which it can make nothing"),
    Check::new(
        "exec, terminal: detach",
        IDLE,
        How::Typed(&[("exec-t sh -c 'echo ready; while :; do sleep 1; done'", &[Show("ready"), Raw, Type("\x10\x11")])]),
        "| ready\n| thither: detached\nleft inside: #\n",
    )
    .docker("| ready\n| read escape sequence\nexit 1\nleft inside: #\n", "a detach is an error only of its exec")
    .dockerpty("| ready\n| exec attach failed: error on attach stdin: read escape sequence\nleft inside: #\nor\n| ready\n| exec attach failed: error on attach stdin: read escape sequence\n", "the engine's words are taken for the program's"),
    Check::new(
        "start, terminal: detach, reattach",
        main("echo ready; read -r x; echo got $x").tty(),
        How::Typed(&[
            ("start", &[Show("ready"), Raw, Type("\x10\x11")]),
            ("attach", &[Raw, Type("abc\r")]),
        ]),
        "| ready\n| thither: detached\n| abc\n| got abc\ncontainer: exit 0\n",
    )
    .docker("| ready\n| abc\n| got abc\ncontainer: exit 0\n", "it says nothing of the detach")
    .dockerpty("| ready\nit does not end\n| abc\n| got abc\ncontainer: exit 0\n", "detaching does not end it"),
    Check::new(
        "start, terminal: started before",
        main("read -r x; echo got $x").tty().started(),
        How::Typed(&[("attach", &[Raw, Type("abc\r")])]),
        "| abc\n| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, terminal: what was printed before",
        main("echo before; read -r x; echo got $x").tty().started(),
        How::Typed(&[("attach-logs", &[Raw, Type("abc\r")])]),
        "| before\n| abc\n| got abc\ncontainer: exit 0\n",
    )
    .docker(NOT_RUN, "it has no such thing: logs and attach are two commands, with a gap between them")
    .dockerpty("| before\n| abc\n| got abc\ncontainer: exit 0\nor\n| abc\n| got abc\ncontainer: exit 0\n", "it may lose what comes together with the head of the engine's answer"),
    Check::new(
        "start, terminal: logging disabled",
        main("echo ready; read -r x; echo got $x").tty().without_logging(),
        How::Typed(&[("start", &[Show("ready"), Raw, Type("abc\r")])]),
        "| ready\n| abc\n| got abc\ncontainer: exit 0\n",
    ),
    Check::new(
        "start, terminal: race of five",
        IDLE,
        How::Counted(5, "run-t echo out", "out\r\n"),
        "5 of 5\n",
    )
    .docker("# of 5\n", "the last output may be lost")
    .dockerpty("# of 5\n", "the last output may be lost"),
    Check::new(
        "exec, terminal: race of five",
        IDLE,
        How::Counted(5, "exec-t echo out", "out\r\n"),
        "5 of 5\n",
    )
    .docker("# of 5\n", "the last output may be lost")
    .dockerpty("# of 5\n", "the last output may be lost"),
];

const FRANTIC: &[super::check::Step] = &[
    Show("ready"),
    Raw,
    Resize(40, 10),
    Resize(41, 11),
    Resize(42, 12),
    Resize(200, 90),
    Resize(43, 13),
    Resize(44, 14),
    Resize(1, 1),
    Resize(45, 15),
    Resize(300, 200),
    Resize(46, 16),
    Resize(47, 17),
    Resize(111, 33),
];

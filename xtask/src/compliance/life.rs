//! What happens to those inside when something ends.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::differ(
        "a daemon that is left behind",
        r#""$P" "$R" sh -c "sleep 1000 & echo up""#,
        "\
| up
it does not end
",
        "| up\n",
        "what is inside ends with the command",
    ),
    Check::differ(
        "a stopped job that is left behind",
        r#""$P" "$R" sh -c "sleep 1000 & kill -STOP \$!; echo up""#,
        "\
| up
it does not end
",
        "| up\n",
        "what is inside ends with the command",
    ),
    Check::differ(
        "INT to it",
        r#"mkfifo f
env --default-signal=INT "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s INT $pid; wait $pid 2>/dev/null; echo $?; rm f"#,
        "\
| 130
left running: $P, sleep 1000
",
        "| 130\n",
        "nothing survives it",
    ),
    Check::differ(
        "TERM to it",
        r#"mkfifo f
env --default-signal=TERM "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s TERM $pid; wait $pid 2>/dev/null; echo $?; rm f"#,
        "\
| 143
left running: $P, sleep 1000
",
        "| 143\n",
        "nothing survives it",
    ),
    Check::differ(
        "HUP to it",
        r#"mkfifo f
env --default-signal=HUP "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s HUP $pid; wait $pid 2>/dev/null; echo $?; rm f"#,
        "\
| 129
left running: $P, sleep 1000
left: $R/m
",
        "| 129\n",
        "nothing survives it",
    ),
    Check::differ(
        "KILL to it",
        r#"mkfifo f
"$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s KILL $pid; wait $pid 2>/dev/null; echo $?; rm f
"$P" "$R" true"#,
        "\
| 137
left running: $P, sleep 1000
left: $R/m
",
        "| 137\n",
        "nothing survives it, and the next use of the root removes what it had made",
    ),
];

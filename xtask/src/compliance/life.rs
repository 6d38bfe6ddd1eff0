//! What happens to those inside when something ends.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::differ(
        "a daemon that is left behind",
        r#""$P" "$R" sh -c "sleep 1000 & echo up""#,
        "?\n",
        "?\n",
        "what is inside ends with the command",
    ),
    Check::differ(
        "a stopped job that is left behind",
        r#""$P" "$R" sh -c "sleep 1000 & kill -STOP \$!; echo up""#,
        "?\n",
        "?\n",
        "what is inside ends with the command",
    ),
    Check::differ(
        "INT to it",
        r#"mkfifo f
env --default-signal="INT" "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s INT $pid; wait $pid; echo $?; rm f"#,
        "?\n",
        "?\n",
        "nothing survives it",
    ),
    Check::differ(
        "TERM to it",
        r#"mkfifo f
env --default-signal="TERM" "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s TERM $pid; wait $pid; echo $?; rm f"#,
        "?\n",
        "?\n",
        "nothing survives it",
    ),
    Check::differ(
        "HUP to it",
        r#"mkfifo f
env --default-signal="HUP" "$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s HUP $pid; wait $pid; echo $?; rm f"#,
        "?\n",
        "?\n",
        "nothing survives it",
    ),
    Check::differ(
        "KILL to it",
        r#"mkfifo f
"$P" -B "$D:/m" "$R" sh -c 'echo >/m/f; exec sleep 1000' & pid=$!
read x <f; kill -s KILL $pid; wait $pid; echo $?; rm f
"$P" "$R" true"#,
        "?\n",
        "?\n",
        "nothing survives it, and the next use of the root removes what it had made",
    ),
];

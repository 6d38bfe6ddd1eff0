//! The command line.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::same(
        "no arguments",
        r#""$P""#,
        "?\n",
    ),
    Check::same(
        "help",
        r#""$P" --help >/dev/null && "$P" -h >/dev/null && echo shown"#,
        "?\n",
    ),
    Check::differ(
        "version",
        r#""$P" --version | cut -d" " -f 1,3"#,
        "?\n",
        "?\n",
        "it says who it is",
    ),
    Check::same(
        "a command and its arguments",
        r#""$P" "$R" echo a "b  c" """#,
        "?\n",
    ),
    Check::same(
        "what follows PATH belongs to the command",
        r#""$P" --no-mounts "$R" echo -B x --help --no-mounts; "$P" "$R" -B x"#,
        "?\n",
    ),
    Check::same(
        "one -- is taken away, before PATH or after it",
        r#""$P" -- "$R" echo a; "$P" "$R" -- echo b; "$P" "$R" echo -- c; "$P" -- "$R" -- d"#,
        "?\n",
    ),
    Check::same(
        "a name with spaces is a name",
        r#""$P" "$R" "ls -R /""#,
        "?\n",
    ),
    Check::same(
        "abbreviated options",
        r#""$P" --host web --no "$R" hostname; "$P" --re "$D:/m" "$R" ls /m; "$P" --ver >/dev/null"#,
        "?\n",
    ),
    Check::same(
        "an abbreviation of several options",
        r#""$P" --h "$R"; echo $?; "$P" --r "$D" "$R""#,
        "?\n",
    ),
    Check::same(
        "values in the same argument",
        r#""$P" --bind="$D:/m" "$R" ls /m; "$P" -B"$D:/m" "$R" ls /m; "$P" -B="$D:/m" "$R" ls /m"#,
        "?\n",
    ),
    Check::same(
        "an option without its value",
        r#""$P" --bind; echo $?; "$P" -R; echo $?; "$P" --read; echo $?; "$P" --hostname; echo $?; "$P" -B -R "$R""#,
        "?\n",
    ),
    Check::same(
        "a value where none is taken",
        r#""$P" --no-mounts=x "$R" true"#,
        "?\n",
    ),
    Check::same(
        "unknown options",
        r#""$P" -q "$R" true; echo $?; "$P" --debug "$R" true; echo $?; "$P" -V "$R" true"#,
        "?\n",
    ),
    Check::differ(
        "an unknown option and no PATH",
        r#""$P" --debug"#,
        "?\n",
        "?\n",
        "it names what is wrong, and not what is missing besides",
    ),
    Check::same(
        "repeated options",
        r#""$P" --no-mounts --no-mounts --hostname a --hostname b "$R" hostname"#,
        "?\n",
    ),
    Check::same(
        "options of every kind",
        r#""$P" -R /etc:/e -B "$D:/m" --ro "$D:/n" "$R" ls /e/passwd /m /n"#,
        "?\n",
    ),
    Check::same(
        "the shell of the environment",
        r#"SHELL=/bin/echo "$P" "$R""#,
        "?\n",
    ),
    Check::same(
        "/bin/sh without one",
        r#"echo "exit 7" | "$P" "$R" 2>/dev/null"#,
        "?\n",
    ),
    Check::differ(
        "an empty SHELL",
        r#"echo "exit 7" | SHELL= "$P" "$R" 2>/dev/null"#,
        "?\n",
        "?\n",
        "an empty variable counts as none",
    ),
    Check::same(
        "a root that is no directory",
        r#""$P" nonexistent; echo $?; "$P" "$D/keep" true; echo $?; "$P" /nonexistent/x true"#,
        "?\n",
    ),
    Check::differ(
        "an empty PATH",
        r#"cd "$R"; "$P" "" echo hi"#,
        "?\n",
        "?\n",
        "a variable that is not set must not make the current directory the root",
    ),
    Check::same(
        "names in messages",
        r#""$P" "it's"; "$P" "$(printf 'a\n\033"')"; "$P" "$R" "$(printf '\302\255\377')""#,
        "?\n",
    ),
];

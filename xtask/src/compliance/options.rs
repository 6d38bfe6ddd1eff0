//! The command line.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::same(
        "no arguments",
        r#""$P""#,
        "\
pychroot: error: the following arguments are required: path, command
exit 2
",
    ),
    Check::same(
        "help",
        r#""$P" --help >/dev/null && "$P" -h >/dev/null && echo shown"#,
        "| shown\n",
    ),
    Check::differ(
        "version",
        r#""$P" --version | cut -d" " -f 1,3"#,
        "| pychroot\n",
        "| pychroot (thither)\n",
        "it says who it is",
    ),
    Check::same(
        "a command and its arguments",
        r#""$P" "$R" echo a "b  c" """#,
        "| a b  c \n",
    ),
    Check::same(
        "what follows PATH belongs to the command",
        r#""$P" --no-mounts "$R" echo -B x --help --no-mounts; "$P" "$R" -B x"#,
        "\
| -B x --help --no-mounts
pychroot: error: failed to run command '-B': [Errno 2] No such file or directory: '-B'
exit 1
",
    ),
    Check::same(
        "one -- is taken away, before PATH or after it",
        r#""$P" -- "$R" echo a; "$P" "$R" -- echo b; "$P" "$R" echo -- c; "$P" -- "$R" -- d"#,
        "\
| a
| b
| -- c
pychroot: error: failed to run command '--': [Errno 2] No such file or directory: '--'
exit 1
",
    ),
    Check::same(
        "a name with spaces is a name",
        r#""$P" "$R" "ls -R /""#,
        "\
pychroot: error: failed to run command 'ls -R /': [Errno 2] No such file or directory: 'ls -R /'
exit 1
",
    ),
    Check::same(
        "abbreviated options",
        r#""$P" --host web --no "$R" hostname; "$P" --re "$D:/m" "$R" ls /m; "$P" --ver >/dev/null"#,
        "\
| web
| keep
",
    ),
    Check::same(
        "an abbreviation of several options",
        r#""$P" --h "$R"; echo $?; "$P" --r "$D" "$R""#,
        "\
| 2
pychroot: error: ambiguous option: --h could match --help, --hostname
pychroot: error: ambiguous option: --r could match --rbind, --ro, --readonly
exit 2
",
    ),
    Check::same(
        "values in the same argument",
        r#""$P" --bind="$D:/m" "$R" ls /m; "$P" -B"$D:/m" "$R" ls /m; "$P" -B="$D:/m" "$R" ls /m"#,
        "\
| keep
| keep
| keep
",
    ),
    Check::same(
        "an option without its value",
        r#""$P" --bind; echo $?; "$P" -R; echo $?; "$P" --read; echo $?; "$P" --hostname; echo $?
"$P" -B -R "$R""#,
        "\
| 2
| 2
| 2
| 2
pychroot: error: argument -B/--bind: expected one argument
pychroot: error: argument -R/--rbind: expected one argument
pychroot: error: argument --ro/--readonly: expected one argument
pychroot: error: argument --hostname: expected one argument
pychroot: error: argument -B/--bind: expected one argument
exit 2
",
    ),
    Check::same(
        "a value where none is taken",
        r#""$P" --no-mounts=x "$R" true"#,
        "\
pychroot: error: argument --no-mounts: ignored explicit argument 'x'
exit 2
",
    ),
    Check::same(
        "unknown options",
        r#""$P" -q "$R" true; echo $?; "$P" --debug "$R" true; echo $?; "$P" -V "$R" true"#,
        "\
| 2
| 2
pychroot: error: unrecognized arguments: -q
pychroot: error: unrecognized arguments: --debug
pychroot: error: unrecognized arguments: -V
exit 2
",
    ),
    Check::differ(
        "an unknown option and no PATH",
        r#""$P" --debug"#,
        "\
pychroot: error: the following arguments are required: path, command
exit 2
",
        "\
pychroot: error: unrecognized arguments: --debug
exit 2
",
        "it names what is wrong, and not what is missing besides",
    ),
    Check::same(
        "repeated options",
        r#""$P" --no-mounts --no-mounts --hostname a --hostname b "$R" hostname"#,
        "| b\n",
    ),
    Check::same(
        "options of every kind",
        r#""$P" -R /etc:/e -B "$D:/m" --ro "$D:/n" "$R" ls /e/passwd /m /n"#,
        "\
| /e/passwd
| 
| /m:
| keep
| 
| /n:
| keep
",
    ),
    Check::same(
        "the shell of the environment",
        r#"SHELL=/bin/echo "$P" "$R""#,
        "| -i\n",
    ),
    Check::same(
        "/bin/sh without one",
        r#"echo "exit 7" | "$P" "$R" >/dev/null 2>&1"#,
        "exit 7\n",
    ),
    Check::differ(
        "an empty SHELL",
        r#"echo "exit 7" | SHELL= "$P" "$R" >/dev/null 2>&1"#,
        "exit 1\n",
        "exit 7\n",
        "an empty variable counts as none",
    ),
    Check::same(
        "a root that is no directory",
        r#""$P" nonexistent; echo $?; "$P" "$D/keep" true; echo $?; "$P" /nonexistent/x true"#,
        "\
| 1
| 1
pychroot: error: cannot change root directory to 'nonexistent': Not a directory
pychroot: error: cannot change root directory to '$D/keep': Not a directory
pychroot: error: cannot change root directory to '/nonexistent/x': Not a directory
exit 1
",
    ),
    Check::differ(
        "an empty PATH",
        r#"cd "$R"; "$P" "" echo hi"#,
        "| hi\n",
        "\
pychroot: error: cannot change root directory to '': Not a directory
exit 1
",
        "a variable that is not set must not make the current directory the root",
    ),
    Check::same(
        "names in messages",
        r#""$P" "it's"; "$P" "$(printf 'a\n\033"')"; "$P" "$R" "$(printf '\302\255\377')""#,
        "\
pychroot: error: cannot change root directory to \"it's\": Not a directory
pychroot: error: cannot change root directory to 'a\\n\\x1b\"': Not a directory
pychroot: error: failed to run command '\\xad\\udcff': [Errno 2] No such file or directory: '\\xad\\udcff'
exit 1
",
    ),
];

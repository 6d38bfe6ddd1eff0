//! What a command finds inside, and how it ends.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::same(
        "exit codes",
        r#"for code in 0 7 125 255; do "$P" "$R" sh -c "exit $code"; echo $?; done"#,
        "\
| 0
| 7
| 125
| 255
",
    ),
    Check::differ(
        "death by a signal",
        r#"for signal in TERM KILL; do "$P" "$R" sh -c "kill -$signal \$\$"; echo $?; done"#,
        "\
| 241
| 247
",
        "\
| 143
| 137
",
        "128 and the signal, as of a shell",
    ),
    Check::same(
        "a command that is not there",
        r#""$P" "$R" nonexistent; echo $?; "$P" "$R" /none/x"#,
        "\
| 1
pychroot: error: failed to run command 'nonexistent': [Errno 2] No such file or directory: 'nonexistent'
pychroot: error: failed to run command '/none/x': [Errno 2] No such file or directory: '/none/x'
exit 1
",
    ),
    Check::differ(
        "a command that cannot be executed",
        r#""$P" "$R" /etc/passwd 2>&1 | head -n 1; "$P" "$R" /etc 2>&1 | head -n 1
"$P" "$R" /etc/passwd 2>/dev/null"#,
        "\
| Traceback (most recent call last):
| Traceback (most recent call last):
exit 1
",
        "\
| pychroot: error: failed to run command '/etc/passwd': [Errno 13] Permission denied: '/etc/passwd'
| pychroot: error: failed to run command '/etc': [Errno 13] Permission denied: '/etc'
exit 1
",
        "a message and no traceback",
    ),
    Check::differ(
        "a command that is no program",
        r#"printf x >"$R/x"; chmod +x "$R/x"; "$P" "$R" /x 2>&1 | head -n 1
"$P" "$R" /x 2>/dev/null; echo $?; rm "$R/x""#,
        "\
| Traceback (most recent call last):
| 1
",
        "\
| pychroot: error: failed to run command '/x': [Errno 8] Exec format error: '/x'
| 1
",
        "a message and no traceback",
    ),
    Check::same(
        "a script without its interpreter",
        r##"printf "#!/none\n" >"$R/x"; chmod +x "$R/x"; "$P" "$R" /x; rm "$R/x"; exit 5"##,
        "\
pychroot: error: failed to run command '/x': [Errno 2] No such file or directory: '/x'
exit 5
",
    ),
    Check::same(
        "the environment is passed on",
        r#"FOO=bar "$P" "$R" env | grep -E "^(FOO|PATH|HOME)=""#,
        "\
| HOME=$D
| PATH=/usr/sbin:/usr/bin:/sbin:/bin
| FOO=bar
",
    ),
    Check::differ(
        "but for what says where one is",
        r#"env PWD=/x OLDPWD=/y "$P" "$R" env | grep PWD"#,
        "\
| PWD=/x
| OLDPWD=/y
",
        "| PWD=/\n",
        "PWD says where the command starts",
    ),
    Check::same(
        "it starts in /",
        r#""$P" "$R" pwd"#,
        "| /\n",
    ),
    Check::same(
        "no other descriptor is passed on",
        r#"exec 7<keep; "$P" "$R" ls /proc/self/fd"#,
        "\
| 0
| 1
| 2
| 3
",
    ),
    Check::same(
        "standard input",
        r#"echo hi | "$P" "$R" cat; head -c 1000000 /dev/zero | "$P" "$R" cat | wc -c"#,
        "\
| hi
| 1000000
",
    ),
    Check::same(
        "namespaces of root",
        r#"see='for ns in mnt uts ipc pid net user; do readlink /proc/self/ns/$ns; done'
outside=$(eval "$see"); "$P" "$R" sh -c "$see" | while read -r ns; do
    echo "$outside" | grep -qxF "$ns" || echo "its own: ${ns%:*}"
done"#,
        "\
| its own: mnt
| its own: uts
| its own: ipc
| its own: pid
",
    ).as_root(),
    Check::same(
        "namespaces of a user",
        r#"see='for ns in mnt uts ipc pid net user; do readlink /proc/self/ns/$ns; done'
outside=$(eval "$see"); "$P" "$R" sh -c "$see" | while read -r ns; do
    echo "$outside" | grep -qxF "$ns" || echo "its own: ${ns%:*}"
done"#,
        "\
| its own: mnt
| its own: uts
| its own: ipc
| its own: pid
| its own: net
| its own: user
",
    ).as_user(),
    Check::same(
        "a user is root inside",
        r#""$P" "$R" sh -c 'id -u; id -g; cat /proc/self/setgroups
tr -s " " </proc/self/uid_map | cut -d" " -f2,4'"#,
        "\
| 0
| 0
| deny
| 0 1
",
    ).as_user(),
    Check::same(
        "a user has a loopback interface",
        r#""$P" "$R" ifconfig lo | grep -o "UP LOOPBACK""#,
        "| UP LOOPBACK\n",
    ).as_user(),
    Check::same(
        "the host name",
        r#""$P" --hostname web "$R" hostname
"$P" "$R" hostname | grep -qx "$(uname -n)" && echo the same"#,
        "\
| web
| the same
",
    ),
    Check::differ(
        "a fully qualified name",
        r#""$P" --hostname web.example.org "$R" sh -c "uname -n; cat /proc/sys/kernel/domainname""#,
        "\
| web.example.org
| (none)
",
        "\
| web
| example.org
",
        "the host name is the first part, the domain the others",
    ),
    Check::differ(
        "an odd host name",
        r#""$P" --hostname "a b" "$R" hostname; "$P" --hostname "" "$R" true"#,
        "| a b\n",
        "\
pychroot: error: cannot set the host name `a b` in `chroot:$R`: ` ` cannot be in a host name
pychroot: error: cannot set the host name `` in `chroot:$R`: a part of it is empty
exit 1
",
        "what is no name is refused",
    ),
    Check::same(
        "mounts of this machine arrive, those inside do not leave",
        r#"mkdir s t; mkfifo f g
unshare -m --propagation shared sh -c '
    mount -t tmpfs t "$D/s"; mount --make-shared "$D/s"; mkdir "$D/s/in" "$D/s/out"
    "$P" -R "$D:/m" "$R" sh -c "
        echo >/m/f; read x </m/g; ls /m/s/in; mount -t tmpfs t /m/s/out; touch /m/s/out/y" &
    read x <f; mount -t tmpfs t "$D/s/in"; touch "$D/s/in/arrived"; echo >g; wait; ls "$D/s/out"'
rm -r s t f g"#,
        "| arrived\n",
    ).as_root(),
    Check::same(
        "--skip-chdir in the root",
        r#"cd "$R/tmp"; "$P" --skip-chdir "$R" pwd"#,
        "| /tmp\n",
    ),
    Check::same(
        "--skip-chdir elsewhere is a hole",
        r#""$P" --skip-chdir "$R" ls; "$P" --skip-chdir "$R" ls / | head -n 1"#,
        "\
| keep
| bin
",
    ),
    Check::same(
        "--skip-chdir with this machine as the root",
        r#""$P" --no-mounts --skip-chdir / pwd"#,
        "| $D\n",
    ),
    Check::differ(
        "no way out by way of pid 1",
        r#""$P" "$R" ls "/proc/1/root$D" 2>/dev/null || echo hidden"#,
        "| keep\n",
        "| hidden\n",
        "the old root is detached",
    ),
];

//! What is mounted, and what is left of it.

use super::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::same(
        "the default mounts and their order",
        r#"points=$("$P" "$R" cut -d" " -f5 /proc/self/mountinfo)
echo "$points" | grep -xE '/(dev|proc|sys|etc/resolv.conf)'
"$P" "$R" stat -f -c '%n %T' /proc /sys /dev/shm"#,
        "\
| /dev
| /proc
| /sys
| /etc/resolv.conf
| /proc proc
| /sys sysfs
| /dev/shm tmpfs
",
    ),
    Check::same(
        "/dev comes with what is mounted there",
        r#""$P" "$R" sh -c "ls /dev/pts/ptmx; test -c /dev/null; exit \$?""#,
        "| /dev/pts/ptmx\n",
    ),
    Check::same(
        "names are resolved as on this machine",
        r#""$P" "$R" cat /etc/resolv.conf | cmp - /etc/resolv.conf && echo the same"#,
        "| the same\n",
    ),
    Check::same(
        "/dev/shm is empty and for all",
        r#""$P" "$R" sh -c "ls /dev/shm; touch /dev/shm/x; ls /dev/shm; stat -c %a /dev/shm""#,
        "\
| x
| 1777
",
    ),
    Check::same(
        "/proc shows who is inside",
        r#""$P" "$R" sh -c "test \$(ls -d /proc/[0-9]* | wc -l) -lt 10 && echo few""#,
        "| few\n",
    ),
    Check::same(
        "missing mount points are made and removed",
        r#"rmdir "$R/proc" "$R/sys"; "$P" "$R" test -e /proc/1 && echo mounted"#,
        "\
| mounted
lost: $R/proc
lost: $R/sys
",
    ),
    Check::same(
        "nested ones too",
        r#""$P" -B "$D:/a/b/c" -B "$D/keep:/x/y" "$R" ls /a/b/c /x"#,
        "\
| /a/b/c:
| keep
| 
| /x:
| y
",
    ),
    Check::differ(
        "a parent that was empty before",
        r#"mkdir "$R/empty"; "$P" -B "$D:/empty/m" "$R" true; ls -d "$R/empty"; rmdir "$R/empty""#,
        "\
ls: cannot access '$R/empty': No such file or directory
rmdir: failed to remove '$R/empty': No such file or directory
exit 1
",
        "| $R/empty\n",
        "only what was made is removed",
    ),
    Check::differ(
        "a root that was empty before",
        r#"mkdir -p a/b/c; "$P" a/b/c true 2>/dev/null; ls; rm -r a"#,
        "\
| keep
rm: cannot remove 'a': No such file or directory
exit 1
",
        "\
| a
| keep
",
        "only what was made is removed, and nothing above the root",
    ),
    Check::differ(
        "a link to nowhere where resolv.conf belongs",
        r#"rm "$R/etc/resolv.conf"; ln -s ../run/resolv.conf "$R/etc/resolv.conf"; "$P" "$R" true
readlink "$R/etc/resolv.conf""#,
        "\
exit 1
lost: $R/etc/resolv.conf
left: $R$R
left: $R$R/run
left: $R$R/run/resolv.conf
",
        "| ../run/resolv.conf\n",
        "only what was made is removed, and links are followed inside the root",
    ),
    Check::differ(
        "the first of two instances ends",
        r#"mkfifo up1 up2 end1 end2
"$P" -B "$D:/m" "$R" sh -c 'exec 3<>/m/end1; echo >/m/up1; read x <&3' & first=$!
read x <up1
"$P" -B "$D:/m" "$R" sh -c 'exec 3<>/m/end2; echo >/m/up2; read x <&3; ls /m/keep' & second=$!
read x <up2
echo >end1; wait $first; echo >end2; wait $second
rm up1 up2 end1 end2"#,
        "ls: /m/keep: No such file or directory\n",
        "| /m/keep\n",
        "a mount point is removed by its last user",
    ),
    Check::same(
        "a bind can be written",
        r#""$P" -B "$D:/m" "$R" touch /m/new; ls; rm -f new"#,
        "\
| keep
| new
",
    ),
    Check::same(
        "a read-only bind cannot",
        r#""$P" --ro "$D:/m" "$R" touch /m/new; echo $?; "$P" --readonly "$D" "$R" touch "$D/new""#,
        "\
| 1
touch: /m/new: Read-only file system
touch: $D/new: Read-only file system
exit 1
",
    ),
    Check::same(
        "-R takes along what is mounted below, -B does not",
        r#"mkdir s; unshare -m sh -c '
    mount -t tmpfs t s; touch s/x; "$P" -B "$D:/m" "$R" ls /m/s; "$P" -R "$D:/m" "$R" ls /m/s'
rmdir s"#,
        "| x\n",
    )
    .as_root(),
    Check::same(
        "one source at several places",
        r#""$P" -B "$D:/a" -B "$D:/b" -B "$D" "$R" ls /a /b "$D""#,
        "\
| /a:
| keep
| 
| /b:
| keep
| 
| $D:
| keep
",
    ),
    Check::same(
        "tmpfs at several places",
        r#""$P" -B tmpfs:/tmp -B tmpfs:/m "$R" sh -c "touch /tmp/x /m/y; ls /tmp /m""#,
        "\
| /m:
| y
| 
| /tmp:
| x
",
    ),
    Check::same(
        "proc and sysfs",
        r#""$P" -B proc:/p -B sysfs:/s "$R" ls -d /p/self /s/kernel"#,
        "\
| /p/self
| /s/kernel
",
    ),
    Check::same("the source in a variable", r#"SRC=$D "$P" -B '$SRC' "$R" ls "$D""#, "| keep\n"),
    Check::differ(
        "and its destination",
        r#"SRC=$D "$P" -B '$SRC:/m' "$R" ls /m"#,
        "\
ls: /m: No such file or directory
exit 1
",
        "| keep\n",
        "the destination counts with a variable too",
    ),
    Check::same(
        "a variable that is not set",
        r#""$P" -B '$NONE' "$R" true; echo $?; "$P" -R '$NONE:/m' "$R" true"#,
        "\
| 1
pychroot: error: cannot mount undefined environment variable: $NONE
pychroot: error: cannot mount undefined environment variable: $NONE
exit 1
",
    ),
    Check::same(
        "a source that does not exist",
        r#""$P" -B /nonexistent "$R" true; echo $?; "$P" -R /nonexistent/./x/:/m "$R" true; echo $?
"$P" --ro none "$R" true"#,
        "\
| 1
| 1
pychroot: error: cannot bind mount from '/nonexistent': No such file or directory
pychroot: error: cannot bind mount from '/nonexistent/x': No such file or directory
pychroot: error: cannot bind mount from 'none': No such file or directory
exit 1
",
    ),
    Check::same("a source relative to here", r#""$P" -B keep "$R" ls /keep"#, "| /keep\n"),
    Check::differ(
        "no source",
        r#""$P" -B "" "$R" true"#,
        "\
pychroot: error: failed to run command 'true': [Errno 2] No such file or directory: 'true'
exit 1
",
        "\
pychroot: error: cannot bind mount from '': No such file or directory
exit 1
",
        "it mounts the current directory over the root",
    ),
    Check::same(
        "a default mount replaced",
        r#""$P" -B /dev "$R" sh -c "ls /dev/pts | wc -l""#,
        "| 0\n",
    )
    .as_root(),
    Check::same(
        "none of the default mounts",
        r#""$P" --no-mounts "$R" ls /dev /proc /sys"#,
        "\
| /dev:
| 
| /proc:
| 
| /sys:
",
    ),
    Check::differ(
        "none but what is asked for",
        r#""$P" --no-mounts -B "$D:/m" "$R" ls /m /proc"#,
        "\
| /proc:
ls: /m: No such file or directory
exit 1
",
        "\
| /m:
| keep
| 
| /proc:
",
        "an explicit mount is kept",
    ),
    Check::same(
        "an absolute link as the destination",
        r#"ln -s /tmp "$R/l"; "$P" -B "$D:/l" "$R" ls /tmp; rm "$R/l""#,
        "| keep\n",
    ),
    Check::differ(
        "an absolute link on the way to it",
        r#"mkdir out; ln -s "$D/out" "$R/l"; "$P" -B "$D:/l/m" -B "$D/out:/n" "$R" ls /l/m /n
rm "$R/l"; rm -rf out"#,
        "\
| /n:
| m
ls: /l/m: No such file or directory
",
        "\
| /l/m:
| keep
| out
| 
| /n:
",
        "links are followed inside the root; it makes a mount point outside",
    ),
    Check::differ(
        "a link to nowhere as the destination",
        r#"ln -s /none "$R/l"; "$P" -B "$D:/l" "$R" ls /none; readlink "$R/l"; rm -f "$R/l""#,
        "\
| keep
left: $R/none
",
        "\
| keep
| /none
",
        "links are followed inside the root, and only what was made is removed",
    ),
];

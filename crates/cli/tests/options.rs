//! What a root can be told to be, by flags and by options of its address: each of them does what it says, as root and
//! as an ordinary user.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::said;
use expect_test::{Expect, expect};
use testkit::{BusyboxRoot, PublicCopy, USER, as_user, find_program, is_root, skip};

/// What a script has: `$T` is the program, `$R` a root, `$F` a folder with `src/text`, where all may write and which is
/// the working directory.
struct Fixture {
    root: BusyboxRoot,
    program: PublicCopy,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// With a root that belongs to who uses it: in an overlay too an ordinary user can change only what is theirs.
    fn new(ordinary: bool) -> Result<Fixture, String> {
        let root = BusyboxRoot::new()?;
        if ordinary && is_root() {
            let mut chown = Command::new("chown");
            chown.args(["-R", &format!("{USER}:{USER}")]).arg(root.path());
            assert!(chown.status().expect("chown").success(), "the root is not theirs");
        }
        let program = PublicCopy::of(env!("CARGO_BIN_EXE_thither")).expect("a copy of the program");
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let for_all = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        };
        let source = folder.path().join("src");
        fs::create_dir(&source).expect("a folder");
        fs::write(source.join("text"), "text\n").expect("a file");
        for_all(folder.path());
        for_all(&source);
        Ok(Fixture { root, program, folder })
    }

    /// A command that runs a script of shell.
    fn sh(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("T", self.program.path());
        command.env("R", self.root.path()).env("F", self.folder.path());
        command
    }

    fn assert_said(&self, command: &mut Command, expected: &Expect) {
        let said = said(command);
        let folder = self.folder.path().to_str().expect("a plain path");
        let root = self.root.path().to_str().expect("a plain path");
        expected.assert_eq(&said.replace(folder, "[F]").replace(root, "[R]"));
    }
}

/// What a script says, as root and as an ordinary user alike.
#[track_caller]
fn check(script: &str, expected: Expect) {
    for ordinary in [false, true] {
        let fixture = match Fixture::new(ordinary) {
            Ok(fixture) => fixture,
            Err(reason) => skip!("{reason}"),
        };
        let mut command = fixture.sh(script);
        let command = if ordinary { as_user(&mut command) } else { &mut command };
        fixture.assert_said(command, &expected);
    }
}

/// What a script says as root.
#[track_caller]
fn check_as_root(script: &str, expected: Expect) {
    match Fixture::new(false) {
        Ok(fixture) if is_root() => fixture.assert_said(&mut fixture.sh(script), &expected),
        Ok(_) => skip!("it is about root"),
        Err(reason) => skip!("{reason}"),
    }
}

/// What a script says as an ordinary user.
#[track_caller]
fn check_as_user(script: &str, expected: Expect) {
    match Fixture::new(true) {
        Ok(fixture) => fixture.assert_said(as_user(&mut fixture.sh(script)), &expected),
        Err(reason) => skip!("{reason}"),
    }
}

#[test]
fn bind() {
    check(
        "$T run --bind $F/src:/home chroot:$R -- sh -c 'cat /home/text; echo 1 >/home/new'; cat src/new
         $T run chroot:$R?bind=$F/src:/home -- sh -c 'cat /home/text; echo 2 >/home/new'; cat src/new
         echo where it is here, and no more:
         $T run --bind $F/src --bind src/text:/etc/passwd chroot:$R cat $F/src/text /etc/passwd
         $T run chroot:$R?bind=src -- ls $F
         ls -A $R/tmp",
        expect![[r#"
            | text
            | 1
            | text
            | 2
            | where it is here, and no more:
            | text
            | text
            | src
        "#]],
    );
}

#[test]
fn bind_of_variables_and_file_systems() {
    check(
        "V=$F/src $T run --bind '$V:/home' chroot:$R cat /home/text
         V=$F/src $T run 'chroot:'$R'?no-mounts&bind=$V:/home&bind=proc:/sys' cat /home/text /sys/sys/kernel/ostype
         $T run --bind '$V:/home' chroot:$R true",
        expect![[r#"
            | text
            | text
            | Linux
            error: cannot mount `$V` on `/home` in `chroot:[R]`: the variable is not set here
            hint: set it, or leave the mount out
            exit 125
        "#]],
    );
}

#[test]
fn rbind_and_ro_bind() {
    let below = |line: &String| line.split(' ').nth(4) == Some("/dev/shm");
    if !testkit::mounts().iter().any(below) {
        skip!("nothing is mounted on /dev/shm");
    }
    check(
        "inside='grep -q \" /home/shm \" /proc/mounts && echo it is there; touch /home/shm/thither-$1-$$ && rm /home/shm/thither-$1-$$'
         for way in '--rbind /dev:/home chroot:'$R 'chroot:'$R'?rbind=/dev:/home' \
             '--ro-bind /dev:/home chroot:'$R 'chroot:'$R'?ro-bind=/dev:/home'; do
           $T run $way sh -c \"$inside\" sh $PPID 2>&1 | sed 's/thither-[-0-9]*/NAME/'
         done
         $T run --ro-bind $F/src:/home chroot:$R touch /home/new",
        expect![[r#"
            | it is there
            | it is there
            | it is there
            | touch: /home/shm/NAME: Read-only file system
            | it is there
            | touch: /home/shm/NAME: Read-only file system
            touch: /home/new: Read-only file system
            exit 1
        "#]],
    );
    // Without what is mounted below it.
    check_as_root(
        "$T run --bind /dev:/home chroot:$R grep -c ' /home' /proc/mounts",
        expect![[r#"
            | 1
        "#]],
    );
    // What is mounted over something hides it, and the kernel keeps it hidden.
    check_as_user(
        "$T run --bind /dev:/home chroot:$R true",
        expect![[r#"
            error: cannot find the source of the mount `/dev` on `/home` in `chroot:[R]`: invalid argument
            hint: something is mounted below it, and an ordinary user can only take that along: make it recursive
            exit 125
        "#]],
    );
}

#[test]
fn tmpfs() {
    check(
        "$T run --tmpfs /home chroot:$R -- sh -c 'ls /home; echo 1 >/home/new; cat /home/new; stat -c %a /home'
         $T run chroot:$R?tmpfs=/home -- sh -c 'ls /home; echo 2 >/home/new; cat /home/new'
         ls $R/home",
        expect![[r#"
            | 1
            | 1777
            | 2
            | guest
        "#]],
    );
}

#[test]
fn mounts_in_their_order() {
    check(
        "$T run --tmpfs /home --bind $F/src:/home/src chroot:$R ls /home
         $T run --bind $F/src:/home/guest --tmpfs /home chroot:$R ls /home
         $T run --tmpfs /home chroot:$R?bind=$F/src:/home/guest ls /home
         $T run --bind $F/src:/home chroot:$R?tmpfs=/home ls /home",
        expect![[r#"
            | src
            | text
        "#]],
    );
}

#[test]
fn no_mounts() {
    check(
        "$T run --no-mounts chroot:$R -- sh -c 'echo /proc/* /sys/* /dev/*'
         $T run --no-mounts --bind $F/src/text:/etc/resolv.conf chroot:$R -- sh -c 'echo /proc/*; cat /etc/resolv.conf'
         $T run 'chroot:'$R'?tmpfs=/home&no-mounts' -- sh -c 'echo /proc/* /home/*'",
        expect![[r#"
            | /proc/* /sys/* /dev/*
            | /proc/*
            | text
            | /proc/* /home/*
        "#]],
    );
}

#[test]
fn hostname() {
    check(
        "before=$(uname -n; cat /proc/sys/kernel/domainname)
         names='uname -n; cat /proc/sys/kernel/domainname'
         $T run --hostname box.example.org chroot:$R sh -c \"$names\"
         $T run chroot:$R?hostname=b.example sh -c \"$names\"
         $T run --hostname flag chroot:$R?hostname=option uname -n
         [ \"$before\" = \"$(uname -n; cat /proc/sys/kernel/domainname)\" ] && echo as before
         $T run --hostname a..b chroot:$R true",
        expect![[r#"
            | box
            | example.org
            | b
            | example
            | flag
            | as before
            error: cannot set the host name `a..b` in `chroot:[R]`: a part of it is empty
            exit 125
        "#]],
    );
}

#[test]
fn net() {
    check(
        "interfaces='sed 1,2d /proc/net/dev | cut -d: -f1 | sort'
         here=$(readlink /proc/self/ns/net; eval \"$interfaces\")
         there() { $T run \"$@\" sh -c \"readlink /proc/self/ns/net; $interfaces\"; }
         [ \"$(there --net host chroot:$R)\" = \"$here\" ] && echo the same
         [ \"$(there chroot:$R?net=host)\" = \"$here\" ] && echo the same
         [ \"$(there --net host chroot:$R?net=none)\" = \"$here\" ] && echo the same
         there --net none chroot:$R | sed 1d
         [ \"$(there chroot:$R?net=none | sed 1q)\" != \"$(readlink /proc/self/ns/net)\" ] && echo another
         $T run --net none chroot:$R ip link show lo | grep -o '[<,]UP[,>]'
         $T run --net host chroot:$R -- sh -c '[ -d /sys/kernel ] && echo sysfs'",
        expect![[r#"
            | the same
            | the same
            | the same
            |     lo
            | another
            | ,UP,
            | sysfs
        "#]],
    );
}

#[test]
fn overlay() {
    check(
        "inside='echo new >/tmp/new; mkdir /tmp/d && cat /tmp/new; [ -e /dev/null ] && ls /proc/1/comm'
         $T run --overlay chroot:$R sh -c \"$inside\"
         $T run chroot:$R?overlay sh -c \"$inside\"
         ls -A $R/tmp",
        expect![[r#"
            | new
            | /proc/1/comm
            | new
            | /proc/1/comm
        "#]],
    );
    check(
        "$T run --overlay chroot:$R -- sh -c 'rm /etc/passwd; ls /etc'; ls $R/etc/passwd",
        expect![[r#"
            | group
            | resolv.conf
            | [R]/etc/passwd
        "#]],
    );
}

#[test]
fn overlay_that_is_kept() {
    check(
        "inside='cat /tmp/new 2>/dev/null || echo nothing yet; echo $1 >/tmp/new'
         $T run --overlay=$F/kept chroot:$R sh -c \"$inside\" sh 1
         $T run chroot:$R?overlay=$F/kept sh -c \"$inside\" sh 2
         # Relative to where we are.
         $T run --overlay=kept chroot:$R?overlay sh -c \"$inside\" sh 3
         cat kept/upper/tmp/new
         ls -A $R/tmp",
        expect![[r#"
            | nothing yet
            | 1
            | 2
            | 3
        "#]],
    );
}

#[test]
fn overlay_with_mounts() {
    // A missing mount point is made in the overlay, and a relative source is ours.
    check(
        "$T run --overlay --bind src:/not/there --tmpfs /nor/this chroot:$R -- sh -c 'cat /not/there/text; ls /nor/this'
         echo $R/no*",
        expect![[r#"
            | text
            | [R]/no*
        "#]],
    );
}

#[test]
fn read_only() {
    check(
        "$T run --read-only chroot:$R touch /tmp/new
         $T run chroot:$R?read-only touch /tmp/new
         $T run --read-only --bind $F/src:/home chroot:$R -- touch /dev/shm/thither-test /home/new && ls src
         ls -A $R/tmp",
        expect![[r#"
            | new
            | text
            touch: /tmp/new: Read-only file system
            touch: /tmp/new: Read-only file system
        "#]],
    );
}

#[test]
fn user_and_directory() {
    check(
        "$T run --dir /home chroot:$R pwd
         $T run chroot:$R?dir=/tmp pwd
         $T run --dir /home chroot:$R?dir=/tmp pwd
         $T run chroot:$R?user=root whoami
         $T run local:?dir=/usr pwd
         $T run --dir /usr local:?dir=/no/such/folder pwd",
        expect![[r#"
            | /home
            | /tmp
            | /home
            | root
            | /usr
            | /usr
        "#]],
    );
    check_as_root(
        "$T run --user guest chroot:$R id -un
         $T run chroot:$R?user=guest id -un
         $T run --user guest chroot:$R?user=root id -un
         $T run local:?user=12:34 sh -c 'id -u; id -g'",
        expect![[r#"
            | guest
            | guest
            | guest
            | 12
            | 34
        "#]],
    );
}

#[test]
fn environment() {
    check(
        "export OURS=ours
         $T run --env A=1 --env OURS chroot:$R -- sh -c 'echo $A $OURS'
         $T run 'chroot:'$R'?env=A=1=2&env=OURS' -- sh -c 'echo $A $OURS'
         $T run --env A=flag --env C=flag 'chroot:'$R'?env=A=option&env=B=option' -- sh -c 'echo $A $B $C'
         echo alone:
         $T run --clear-env chroot:$R env
         $T run --clear-env --env A=1 'chroot:'$R'?env=B=2' env
         $T run --env A=1 'chroot:'$R'?clear-env' env
         $T run --clear-env local: env
         $T run --env A=1 'local:?clear-env&env=OURS' env",
        expect![[r#"
            | 1 ours
            | 1=2 ours
            | flag option flag
            | alone:
            | B=2
            | A=1
            | A=1
            | OURS=ours
            | A=1
        "#]],
    );
}

#[test]
fn skip_chdir() {
    check(
        "echo outside:
         $T run --skip-chdir chroot:$R ls
         $T run chroot:$R?skip-chdir ls
         echo inside:
         cd $R/home && $T run --skip-chdir chroot:$R pwd",
        expect![[r#"
            | outside:
            | src
            | src
            | inside:
            | /home
        "#]],
    );
}

/// A variable may hold a secret. Only the user's own command line shows it.
#[test]
fn no_option_is_shown() {
    check(
        "$T -v run 'chroot:'$R'?env=A=SECRET' true 2>&1 | grep -c SECRET
         $T -v run 'chroot:'$R'?env=A=SECRET' /no/such/program 2>&1 | grep -c SECRET
         $T run 'chroot:'$R'?env=A=SECRET&env==SECRET' true
         $T run 'chroot:'$R'?env=A=SECRET&frob=SECRET' true 2>&1 | head -n 1",
        expect![[r#"
            | 0
            | 0
            | error: `chroot:[R]` has no option `frob`
            error: bad option `env` of `chroot:[R]`: it has no name
            hint: write `env=NAME[=VALUE]`
        "#]],
    );
}

/// Runs a script as an ordinary user to whom ids from 100000 on are granted, by files that only this command sees.
#[track_caller]
fn check_with_subordinate_ids(script: &str, expected: Expect) {
    let fixture = match Fixture::new(true) {
        Ok(_) if !is_root() => skip!("no ids are granted to this user, and only root can do that"),
        Ok(fixture) => fixture,
        Err(reason) => skip!("{reason}"),
    };
    for program in ["newuidmap", "newgidmap", "unshare", "setpriv"] {
        if let Err(reason) = find_program(program) {
            skip!("{reason}");
        }
    }
    let grant = "set -e
        cp /etc/passwd passwd; echo ann:x:12345:12345::/:/bin/sh >>passwd
        echo ann:100000:65536 >subuid
        for name in passwd subuid; do
          [ -e /etc/$name ] && mount --bind $name /etc/$name
        done
        [ -e /etc/subgid ] && mount --bind subuid /etc/subgid
        exec setpriv --reuid 12345 --regid 12345 --clear-groups sh -c \"$1\"";
    let mut command = fixture.sh("exec unshare -m sh -c \"$1\" sh \"$2\"");
    command.args([grant, script]);
    fixture.assert_said(&mut command, &expected);
}

/// Whether the files grant ids to who runs the tests, by name.
fn is_granted_ids() -> bool {
    let test = "grep -qs \"^$(id -un):\" /etc/subuid && grep -qs \"^$(id -un):\" /etc/subgid";
    let status = Command::new("sh").args(["-c", test]).status().expect("sh");
    status.success() && find_program("newuidmap").is_ok()
}

#[test]
fn subids() {
    if !is_root() && is_granted_ids() {
        return check_as_user(
            "$T run --subids chroot:$R -- sh -c 'touch /tmp/new && chown 1000:7 /tmp/new && stat -c %u:%g /tmp/new'
             $T run --subids chroot:$R rm /tmp/new
             $T run --user guest chroot:$R id -un",
            expect![[r#"
                | 1000:7
                | guest
            "#]],
        );
    }
    check_with_subordinate_ids(
        "$T run --subids chroot:$R -- sh -c 'cat /proc/self/uid_map /proc/self/gid_map | tr -s \" \"'
         $T run chroot:$R?subids -- sh -c 'touch /tmp/new && chown 1000:7 /tmp/new && stat -c %u:%g /tmp/new'
         stat -c %u:%g $R/tmp/new
         $T run chroot:$R cat /proc/self/uid_map | tr -s ' '
         # A user needs it.
         $T run --user guest chroot:$R id -un",
        expect![[r#"
            |  0 12345 1
            |  1 100000 65536
            |  0 12345 1
            |  1 100000 65536
            | 1000:7
            | 100999:100006
            |  0 12345 1
            | guest
        "#]],
    );
}

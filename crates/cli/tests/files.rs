//! `thither cp`: what comes to be where, what is said, and what an interrupted copy leaves.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Test, finish, output};
use expect_test::{Expect, expect};
use testkit::{
    BusyboxRoot, DEADLINE, Marker, PublicCopy, Session, as_user, skip, wait_until, write_program,
};

/// A folder of its own with what a script of shell made in it, and what the binary says to each line there, with the
/// folder as `find` shows it afterwards.
#[track_caller]
fn check(script: &str, lines: &[&str], expected: Expect) {
    let test = made(script);
    let lines: Vec<String> = lines.iter().map(|line| format!("cp {line}")).collect();
    let mut text = String::new();
    for line in &lines {
        let said = common::said(&mut test.thither(line.split(' ')));
        text += &format!("$ thither {line}\n{said}");
    }
    text += &listing(test.dir());
    expected.assert_eq(&text.replace(test.dir().to_str().expect("a plain path"), "[DIR]"));
}

fn made(script: &str) -> Test {
    let test = Test::new();
    let mut sh = Command::new("sh");
    sh.args(["-euc", &format!("umask 022; {script}")]).current_dir(test.dir());
    assert!(sh.status().expect("sh").success(), "{script}");
    test
}

/// Everything in a folder: mode, path, text of a link, and content of a small file.
fn listing(folder: &Path) -> String {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a kind").is_dir() {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    let line = |path: &PathBuf| {
        let metadata = fs::symlink_metadata(path).expect("it is there");
        let name = path.strip_prefix(folder).expect("below the folder").display().to_string();
        match metadata.file_type() {
            kind if kind.is_symlink() => {
                format!("{name} -> {}\n", fs::read_link(path).expect("a link").display())
            }
            kind if kind.is_file() && metadata.len() < 100 => {
                let mode = metadata.permissions().mode() & 0o7777;
                let text = fs::read(path).expect("a file");
                format!("{mode:o} {name}: {}\n", text.escape_ascii())
            }
            kind => {
                let mode = metadata.permissions().mode() & 0o7777;
                format!("{mode:o} {name}{}\n", if kind.is_dir() { "/" } else { "" })
            }
        }
    };
    found.iter().map(line).collect()
}

#[test]
fn files_and_folders() {
    check(
        "mkdir d e; echo a > a; echo b > b; chmod 6750 b; ln -s a l; mkdir -p t/s; ln -s ../a t/l; echo x > t/s/x",
        &[
            "a c",
            "a b d",
            "a local:::d/c",
            "-r t d e",
            "-r t new",
            "l as-file",
            "-r l as-link",
            "local:::d/b e/",
        ],
        expect![[r#"
            $ thither cp a c
            $ thither cp a b d
            $ thither cp a local:::d/c
            $ thither cp -r t d e
            $ thither cp -r t new
            $ thither cp l as-file
            $ thither cp -r l as-link
            $ thither cp local:::d/b e/
            644 a: a\n
            644 as-file: a\n
            as-link -> a
            6750 b: b\n
            644 c: a\n
            755 d/
            644 d/a: a\n
            750 d/b: b\n
            644 d/c: a\n
            755 e/
            750 e/b: b\n
            755 e/d/
            644 e/d/a: a\n
            750 e/d/b: b\n
            644 e/d/c: a\n
            755 e/t/
            e/t/l -> ../a
            755 e/t/s/
            644 e/t/s/x: x\n
            l -> a
            755 new/
            new/l -> ../a
            755 new/s/
            644 new/s/x: x\n
            755 t/
            t/l -> ../a
            755 t/s/
            644 t/s/x: x\n
        "#]],
    );
}

#[test]
fn what_cannot_be_copied() {
    check(
        "mkdir -p d/s; echo a > a; ln a b; ln -s l l; mkfifo p",
        &[
            "",
            "a",
            "d new",
            "a nowhere/a",
            "a new/",
            "nothing new",
            "a a",
            "a b",
            "-r d d",
            "-r d d/s",
            "l new",
            "p new",
            "a p",
            "a d/s local:",
            "a b new",
            "- a b",
            "a b -",
            "- -",
            "d -",
            "nothing -",
            "- d",
            "a local:",
            "local:::a local:::a",
            "-r local:::d local:::d/s/t",
            "--nope a b",
        ],
        expect![[r#"
            $ thither cp 
            error: missing `SRC`
            hint: usage: thither cp <SRC>... <DST>
            exit 125
            $ thither cp a
            error: missing `SRC`
            hint: usage: thither cp <SRC>... <DST>
            exit 125
            $ thither cp d new
            error: `d` is a directory
            hint: copy it with `-r`
            exit 125
            $ thither cp a nowhere/a
            error: cannot copy to `nowhere/a`: no such file or directory
            exit 125
            $ thither cp a new/
            error: cannot copy to `new/`: no such file or directory
            exit 125
            $ thither cp nothing new
            error: cannot copy from `nothing`: cannot read `nothing`: no such file or directory
            exit 125
            $ thither cp a a
            error: cannot copy to `a`: it is the same file
            exit 125
            $ thither cp a b
            error: cannot copy to `b`: it is the same file
            exit 125
            $ thither cp -r d d
            error: cannot copy to `d`: a directory cannot be copied into itself
            exit 125
            $ thither cp -r d d/s
            error: cannot copy to `d/s`: a directory cannot be copied into itself
            exit 125
            $ thither cp l new
            error: cannot copy from `l`: too many links
            exit 125
            $ thither cp p new
            error: cannot copy from `p`: cannot read `p`: it is a fifo, which is not copied
            exit 125
            $ thither cp a p
            error: cannot copy to `p`: cannot replace `p`: it is a fifo
            exit 125
            $ thither cp a d/s local:
            error: `local:` is a place and names no file there
            hint: write `PLACE::PATH`, or `./NAME` for a file of this machine
            exit 125
            $ thither cp a b new
            error: cannot copy to `new/`: no such file or directory
            exit 125
            $ thither cp - a b
            error: standard input has no name in a folder
            hint: copy it by itself, to the name of a file
            exit 125
            $ thither cp a b -
            error: standard output takes one file
            hint: copy them one by one, or into a folder
            exit 125
            $ thither cp - -
            error: standard input and output need no copy
            hint: use cat
            exit 125
            $ thither cp d -
            error: `d` is a directory
            hint: copy it with `-r`
            exit 125
            $ thither cp nothing -
            error: cannot copy from `nothing`: cannot read `nothing`: no such file or directory
            exit 125
            $ thither cp - d
            error: `d` is a folder, in which standard input has no name
            hint: name a file
            exit 125
            $ thither cp a local:
            error: `local:` is a place and names no file there
            hint: write `PLACE::PATH`, or `./NAME` for a file of this machine
            exit 125
            $ thither cp local:::a local:::a
            error: cannot copy `local:::a` to `local:::a`: onto or into itself
            exit 125
            $ thither cp -r local:::d local:::d/s/t
            error: cannot copy `local:::d` to `local:::d/s/t`: onto or into itself
            exit 125
            $ thither cp --nope a b
            error: unexpected argument `--nope`
            hint: usage: thither cp [OPTIONS] <SRC>... <DST>
            exit 125
            644 a: a\n
            644 b: a\n
            755 d/
            755 d/s/
            l -> l
            644 p
        "#]],
    );
}

#[test]
fn what_is_left_out_is_said() {
    check(
        "mkdir d; mkfifo d/p d/q; echo a > d/a",
        &["-r d e"],
        expect![[r#"
            $ thither cp -r d e
            thither: left out `d/p`: a fifo
            thither: left out `d/q`: a fifo
            755 d/
            644 d/a: a\n
            644 d/p
            644 d/q
            755 e/
            644 e/a: a\n
        "#]],
    );
}

#[test]
fn standard_streams() {
    let test = made("printf text > a; ln -s a l; mkdir d; echo old > old; chmod 600 old");
    let run = |args: &[&str], input: &[u8]| {
        output(test.thither(args.iter().copied()).env("LC_ALL", "C"), input)
    };
    let said = |output: Output| {
        let streams =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), streams)
    };
    let good = |stdout: &str| (Some(0), [stdout.to_owned(), String::new()]);
    assert_eq!(said(run(&["cp", "a", "-"], b"")), good("text"));
    assert_eq!(said(run(&["cp", "l", "-"], b"")), good("text"));
    let much = vec![b'x'; 3_000_000];
    assert_eq!(said(run(&["cp", "-", "new"], &much)), good(""));
    assert_eq!(fs::read(test.dir().join("new")).unwrap(), much);
    assert_eq!(said(run(&["cp", "-", "old"], b"new")), good(""));
    assert_eq!(fs::read(test.dir().join("old")).unwrap(), b"new");
    let mut sh = Command::new("sh");
    let script =
        "umask 027; echo x | \"$0\" cp - local:::masked; umask 0; echo x | \"$0\" cp - free";
    sh.args(["-c", script, env!("CARGO_BIN_EXE_thither")]).current_dir(test.dir());
    assert!(sh.status().unwrap().success());
    let mode =
        |name: &str| fs::metadata(test.dir().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("masked"), mode("free")), (0o640, 0o666));
}

#[test]
fn an_output_that_takes_no_more() {
    let test = made("head -c 3000000 /dev/zero > big");
    let mut sh = Command::new("sh");
    let script = "{ \"$0\" cp big -; echo code $? >&2; } | head -c 1 >/dev/null; \"$0\" cp big - >/dev/full; echo code $? >&2";
    sh.args(["-c", script, env!("CARGO_BIN_EXE_thither")]).current_dir(test.dir());
    let output = output(&mut sh, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    let full = "error: cannot write to standard output: no space left on device";
    assert_eq!(said, format!("code 0\n{full}\ncode 125\n"));
}

/// The binary as whoever runs the tests, and as an ordinary user, with a root and a folder that are theirs.
fn with_root(script: &str, expected: &Expect) {
    for ordinary in [false, true] {
        let root = match BusyboxRoot::new() {
            Ok(root) => root,
            Err(reason) => skip!("{reason}"),
        };
        let program = PublicCopy::of(env!("CARGO_BIN_EXE_thither")).expect("a copy of the program");
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let theirs = [root.path(), folder.path()];
        if ordinary && testkit::is_root() {
            let mut chown = Command::new("chown");
            chown.args(["-R", &format!("{0}:{0}", testkit::USER)]).args(theirs);
            assert!(chown.status().expect("chown").success());
        }
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("umask 022; {script}"), "sh"]).current_dir(folder.path());
        sh.env("T", program.path()).env("R", format!("chroot:{}", root.path().display()));
        sh.env("ROOT", root.path());
        if ordinary {
            as_user(&mut sh);
        }
        let said = common::said(&mut sh);
        let said = said.replace(root.path().to_str().expect("a plain path"), "[R]");
        expected.assert_eq(&said);
    }
}

#[test]
fn another_root() {
    with_root(
        "mkdir -p t/s; echo x > t/s/x; ln -s /etc/passwd t/l; echo y > y
        $T cp -r t $R::/tmp && $T cp y $R::tmp/t/s && ls -R $ROOT/tmp/t
        $T cp $R::/tmp/t/l - | head -n 1
        $T cp -r $R::/tmp/t out && ls -R out
        $T cp -r $R::/tmp/t $R::/tmp/u && ls $ROOT/tmp/u
        $T cp -r $R::/tmp $R::/tmp/u
        $T cp y \"$R?read-only::/tmp\"; $T cp y \"$R?dir=/tmp::t\" && ls $ROOT/tmp/t
        $T cp $R::/nothing .; $T cp $R::/tmp .
        ln -s $PWD $ROOT/tmp/away; $T cp y $R::/tmp/away/z; ls",
        &expect![[r#"
            | [R]/tmp/t:
            | l
            | s
            | 
            | [R]/tmp/t/s:
            | x
            | y
            | root:x:0:0:root:/root:/bin/sh
            | out:
            | l
            | s
            | 
            | out/s:
            | x
            | y
            | l
            | s
            | l
            | s
            | y
            | out
            | t
            | y
            error: cannot copy `chroot:[R]::/tmp` to `chroot:[R]::/tmp/u`: onto or into itself
            error: cannot copy to `chroot:[R]::/tmp`: read-only file system
            hint: leave `read-only` out
            error: cannot copy from `chroot:[R]::/nothing`: cannot read `nothing`: no such file or directory
            error: `chroot:[R]::/tmp` is a directory
            hint: copy it with `-r`
            error: cannot copy to `chroot:[R]::/tmp/away/z`: no such file or directory
        "#]],
    );
}

/// A copy from a place whose tar stops in the midst of a stream.
struct Stalled {
    test: Test,
    from: String,
    marker: Marker,
}

impl Stalled {
    fn new() -> Stalled {
        let test = made(
            "mkdir bin d d/t; head -c 300000 /dev/zero > t; echo old > d/old; echo old > d/t/t",
        );
        let tar = "#!/bin/sh\ncase $1 in --version) exit;; esac\n/bin/tar \"$@\" | head -c 100000\nexec sleep 1000\n";
        write_program(&test.dir().join("bin/tar"), tar);
        let who = rustix_uid();
        let bin = test.dir().join("bin");
        let from = format!(
            "local:?user={who}&env=PATH={}:/usr/bin:/bin::{}/t",
            bin.display(),
            test.dir().display()
        );
        Stalled { test, from, marker: Marker::new() }
    }

    fn command(&self, to: &str) -> Command {
        let mut command = self.test.thither(["cp", &self.from, to]);
        self.marker.mark(&mut command);
        command
    }

    /// The names in the folder that is copied to.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.test.dir().join("d")).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn wait_for_temporary(&self) {
        wait_until(DEADLINE, "a temporary file", || {
            self.names().iter().any(|name| name.contains(".thither-"))
        });
    }
}

fn rustix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("proc").uid()
}

#[test]
fn a_signal_leaves_all_as_it_was() {
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)] {
        let stalled = Stalled::new();
        let child = stalled.command("d/old").stdout(Stdio::null()).spawn().expect("the binary");
        stalled.wait_for_temporary();
        let mut kill = Command::new("kill");
        assert!(
            kill.args(["-s", signal, &child.id().to_string()]).status().expect("kill").success()
        );
        let status = finish(child, |mut child| child.wait());
        assert_eq!(status.code(), Some(128 + number), "{signal}");
        assert_eq!(stalled.names(), ["old", "t"]);
        assert_eq!(fs::read_to_string(stalled.test.dir().join("d/old")).unwrap(), "old\n");
        stalled.marker.assert_gone();
    }
}

#[test]
fn a_kill_leaves_a_name_that_can_be_recognised() {
    let stalled = Stalled::new();
    let mut child = stalled.command("d/old").spawn().expect("the binary");
    stalled.wait_for_temporary();
    child.kill().expect("it is ours");
    finish(child, |mut child| child.wait());
    let names = stalled.names();
    let [temporary, old, _] = &names[..] else { panic!("{names:?}") };
    let random = temporary.strip_prefix(".old.thither-").expect("a recognisable name");
    assert!(random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{names:?}");
    assert_eq!(
        (&old[..], fs::read_to_string(stalled.test.dir().join("d/old")).unwrap()),
        ("old", "old\n".into())
    );
    for pid in stalled.marker.processes() {
        let _ = Command::new("kill").arg(pid.to_string()).status();
    }
}

#[test]
fn progress_is_one_line_that_goes_away() {
    let stalled = Stalled::new();
    let mut command = stalled.command("d/old");
    command.env("TERM", "xterm");
    let mut session = Session::spawn(command, (80, 24));
    session.expect("\r1 file, 9");
    session.expect("/s\x1b[K");
    session.send(b"\x03");
    session.wait();
    assert!(session.transcript().ends_with("\r\x1b[K"), "{:?}", session.transcript());
    assert!(!session.transcript().contains('\n'), "{:?}", session.transcript());
    assert_eq!(stalled.names(), ["old", "t"]);
    stalled.marker.assert_gone();
}

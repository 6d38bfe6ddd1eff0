//! The binary by the name `pychroot`. `cargo xtask compliance` compares it with pychroot itself.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Test, output, said};
use expect_test::{Expect, expect, expect_file};
use testkit::{BusyboxRoot, Marker, Session};

const THITHER: &str = env!("CARGO_BIN_EXE_thither");

/// The program by the name, and a root to enter.
struct Pychroot {
    test: Test,
    root: BusyboxRoot,
}

impl Pychroot {
    /// # Errors
    /// The reason for a skip.
    fn new() -> Result<Pychroot, String> {
        Ok(Pychroot { root: BusyboxRoot::new()?, test: Test::new() })
    }

    fn program(&self) -> PathBuf {
        program(&self.test)
    }

    /// The program with a line of arguments between single spaces. `''` is an empty one, `ROOT` the root, `DIR` the
    /// folder that it runs in.
    fn command(&self, line: &str) -> Command {
        let [root, dir] = self.places();
        let mut command = Command::new(self.program());
        command.current_dir(dir).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("HOME", dir);
        for arg in line.split(' ').filter(|_| !line.is_empty()) {
            let arg = if arg == "''" { "" } else { arg };
            command.arg(arg.replace("ROOT", root).replace("DIR", dir));
        }
        command
    }

    fn places(&self) -> [&str; 2] {
        [self.root.path(), self.test.dir()].map(|path| path.to_str().expect("a plain path"))
    }

    /// Compares what it says to each line of arguments.
    #[track_caller]
    fn says(&self, lines: &[&str], expected: Expect) {
        self.says_with(lines, |_| {}, expected);
    }

    #[track_caller]
    fn says_with(&self, lines: &[&str], arrange: impl Fn(&mut Command), expected: Expect) {
        let mut text = String::new();
        for line in lines {
            let mut command = self.command(line);
            arrange(&mut command);
            text += &format!("$ pychroot {line}\n{}", said(&mut command));
        }
        let [root, dir] = self.places();
        expected.assert_eq(&text.replace(root, "[ROOT]").replace(dir, "[DIR]"));
    }
}

/// A link of the name in the folder of a test.
fn program(test: &Test) -> PathBuf {
    let link = test.dir().join("pychroot");
    if !link.is_symlink() {
        symlink(THITHER, &link).expect("a link in a temporary folder");
    }
    link
}

macro_rules! pychroot {
    () => {
        match Pychroot::new() {
            Ok(pychroot) => pychroot,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

/// What is printed for whoever asks for it.
#[track_caller]
fn answer(args: &[&str]) -> String {
    let test = Test::new();
    let output = output(Command::new(program(&test)).args(args), b"");
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_and_version() {
    expect_file!["help/pychroot.txt"].assert_eq(&answer(&["--help"]));
    // argparse answers at once, whatever comes after it.
    assert_eq!(answer(&["--help", "x"]), answer(&["--help"]));
    assert!(answer(&["-h"]).contains("Usage: pychroot [OPTIONS] PATH [COMMAND ...]\n"));
    let version = concat!("pychroot ", env!("CARGO_PKG_VERSION"), " (thither)\n");
    assert_eq!(answer(&["--version"]), version);
    assert_eq!(answer(&["--vers"]), version);
}

#[test]
fn the_name_alone_counts() {
    let test = Test::new();
    let folder = test.dir().join("pychroot.d");
    fs::create_dir(&folder).unwrap();
    let other = folder.join("thither");
    symlink(THITHER, &other).unwrap();
    let version = |program: &PathBuf| said(Command::new(program).arg("--version"));
    assert!(version(&other).starts_with("| thither "));
    assert!(version(&program(&test)).starts_with("| pychroot "));
}

#[test]
fn misuse() {
    let lines = [
        "",
        "-B",
        "--readonly -R ROOT",
        "--h ROOT true",
        "--debug ROOT true",
        "--skip-chdir=yes ROOT true",
    ];
    pychroot!().says(
        &lines,
        expect![[r#"
        $ pychroot 
        pychroot: error: the following arguments are required: path, command
        exit 2
        $ pychroot -B
        pychroot: error: argument -B/--bind: expected one argument
        exit 2
        $ pychroot --readonly -R ROOT
        pychroot: error: argument --ro/--readonly: expected one argument
        exit 2
        $ pychroot --h ROOT true
        pychroot: error: ambiguous option: --h could match --help, --hostname
        exit 2
        $ pychroot --debug ROOT true
        pychroot: error: unrecognized arguments: --debug
        exit 2
        $ pychroot --skip-chdir=yes ROOT true
        pychroot: error: argument --skip-chdir: ignored explicit argument 'yes'
        exit 2
    "#]],
    );
}

#[test]
fn what_follows_the_root_is_the_commands() {
    let lines = [
        "ROOT echo -B x --help -- ''",
        "-- ROOT echo --no-mounts",
        "ROOT -- echo --",
        "-RDIR:/m --bind=DIR:/n -B DIR:/o ROOT ls /m /n /o",
        "--no-m --host web ROOT -R x",
    ];
    pychroot!().says(
        &lines,
        expect![[r#"
        $ pychroot ROOT echo -B x --help -- ''
        | -B x --help -- 
        $ pychroot -- ROOT echo --no-mounts
        | --no-mounts
        $ pychroot ROOT -- echo --
        | --
        $ pychroot -RDIR:/m --bind=DIR:/n -B DIR:/o ROOT ls /m /n /o
        | /m:
        | pychroot
        | 
        | /n:
        | pychroot
        | 
        | /o:
        | pychroot
        $ pychroot --no-m --host web ROOT -R x
        pychroot: error: failed to run command '-R': [Errno 2] No such file or directory: '-R'
        exit 1
    "#]],
    );
}

#[test]
fn failures() {
    let pychroot = pychroot!();
    let lines = [
        "nonexistent",
        "'' true",
        "-B /none//./x/ ROOT true",
        "-B /none -R $NONE:/m ROOT true",
        "-B '' ROOT true",
        "ROOT nonexistent",
        "ROOT /etc/passwd",
        // The cure is an option that pychroot does not have.
        "ROOT /etc",
        "--hostname a..b ROOT true",
    ];
    pychroot.says(&lines, expect![[r#"
        $ pychroot nonexistent
        pychroot: error: cannot change root directory to 'nonexistent': Not a directory
        exit 1
        $ pychroot '' true
        pychroot: error: cannot change root directory to '': Not a directory
        exit 1
        $ pychroot -B /none//./x/ ROOT true
        pychroot: error: cannot bind mount from '/none/x': No such file or directory
        exit 1
        $ pychroot -B /none -R $NONE:/m ROOT true
        pychroot: error: cannot mount undefined environment variable: $NONE
        exit 1
        $ pychroot -B '' ROOT true
        pychroot: error: cannot bind mount from '': No such file or directory
        exit 1
        $ pychroot ROOT nonexistent
        pychroot: error: failed to run command 'nonexistent': [Errno 2] No such file or directory: 'nonexistent'
        exit 1
        $ pychroot ROOT /etc/passwd
        pychroot: error: failed to run command '/etc/passwd': [Errno 13] Permission denied: '/etc/passwd'
        hint: it has no execute permission: `chmod +x` it, or start it by its interpreter
        exit 1
        $ pychroot ROOT /etc
        pychroot: error: failed to run command '/etc': [Errno 13] Permission denied: '/etc'
        exit 1
        $ pychroot --hostname a..b ROOT true
        pychroot: error: cannot set the host name `a..b` in `chroot:[ROOT]`: a part of it is empty
        exit 1
    "#]]);
    let name = OsStr::from_bytes(b"it's\x1b\xff");
    expect![[r#"
        pychroot: error: failed to run command "it's\x1b\udcff": [Errno 2] No such file or directory: "it's\x1b\udcff"
        exit 1
    "#]].assert_eq(&said(pychroot.command("ROOT").arg(name)));
}

#[test]
fn codes() {
    let pychroot = pychroot!();
    let script = pychroot.test.file("script", "exit $1");
    let code = |arg: &str| {
        let mut command = pychroot.command(&format!("-B DIR:/m ROOT sh /m/script {arg}"));
        output(&mut command, b"").status.code()
    };
    for expected in [0, 1, 2, 7, 125, 255] {
        assert_eq!(code(&expected.to_string()), Some(expected));
    }
    fs::write(&script, "kill -$1 $$").unwrap();
    assert_eq!([code("TERM"), code("KILL")], [Some(143), Some(137)]);
}

#[test]
fn mounts() {
    let pychroot = pychroot!();
    let keep = pychroot.test.file("keep", "text\n");
    let lines = [
        "-R tmpfs:/m -B DIR:/n --ro DIR:/o ROOT ls /m /n /o",
        "-R /dev:/m ROOT ls /m/pts/ptmx",
        // The later of two with one destination, whichever options they are.
        "-R tmpfs:/m --ro DIR:/m ROOT touch /m/new",
        "--ro DIR:/m -B DIR:/m ROOT rm /m/keep",
        // None of the defaults, but what was asked for.
        "--no-mounts -B DIR:/m ROOT ls /dev /proc /sys /m",
    ];
    pychroot.says(
        &lines,
        expect![[r#"
        $ pychroot -R tmpfs:/m -B DIR:/n --ro DIR:/o ROOT ls /m /n /o
        | /m:
        | 
        | /n:
        | keep
        | pychroot
        | 
        | /o:
        | keep
        | pychroot
        $ pychroot -R /dev:/m ROOT ls /m/pts/ptmx
        | /m/pts/ptmx
        $ pychroot -R tmpfs:/m --ro DIR:/m ROOT touch /m/new
        touch: /m/new: Read-only file system
        exit 1
        $ pychroot --ro DIR:/m -B DIR:/m ROOT rm /m/keep
        $ pychroot --no-mounts -B DIR:/m ROOT ls /dev /proc /sys /m
        | /dev:
        | 
        | /m:
        | pychroot
        | 
        | /proc:
        | 
        | /sys:
    "#]],
    );
    assert!(!keep.exists());
    let here = pychroot.test.dir().to_owned();
    pychroot.says_with(
        &["-B $HERE:/m -B $HERE ROOT ls /m DIR"],
        |command| _ = command.env("HERE", &here),
        expect![[r#"
            $ pychroot -B $HERE:/m -B $HERE ROOT ls /m DIR
            | /m:
            | pychroot
            | 
            | [DIR]:
            | pychroot
        "#]],
    );
    assert!(!pychroot.root.path().join("m").exists());
}

#[test]
fn names_and_directories() {
    let pychroot = pychroot!();
    let lines = [
        "--hostname web.example.org ROOT uname -n",
        "--hostname old --hostname web.example.org ROOT cat /proc/sys/kernel/domainname",
        "ROOT pwd",
        "--skip-chdir ROOT ls",
    ];
    pychroot.says(
        &lines,
        expect![[r#"
        $ pychroot --hostname web.example.org ROOT uname -n
        | web
        $ pychroot --hostname old --hostname web.example.org ROOT cat /proc/sys/kernel/domainname
        | example.org
        $ pychroot ROOT pwd
        | /
        $ pychroot --skip-chdir ROOT ls
        | pychroot
    "#]],
    );
    let inside = pychroot.root.path().join("tmp");
    pychroot.says_with(
        &["--skip-chdir ROOT pwd"],
        |command| _ = command.current_dir(&inside),
        expect![[r#"
            $ pychroot --skip-chdir ROOT pwd
            | /tmp
        "#]],
    );
}

#[test]
fn the_shell_of_the_environment() {
    let pychroot = pychroot!();
    for (shell, expected) in [
        (
            "/bin/echo",
            expect![[r#"
        $ pychroot ROOT
        | -i
    "#]],
        ),
        (
            "/bin/none",
            expect![[r#"
        $ pychroot ROOT
        pychroot: error: failed to run command '/bin/none': [Errno 2] No such file or directory: '/bin/none'
        exit 1
    "#]],
        ),
    ] {
        pychroot.says_with(&["ROOT"], |command| _ = command.env("SHELL", shell), expected);
    }
    for none in [None, Some("")] {
        let mut command = pychroot.command("ROOT");
        command.envs(none.map(|name| ("SHELL", name)));
        let output = output(&mut command, b"echo $0; exit 3\n");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("/bin/sh\n"), "{text}");
        assert_eq!(output.status.code(), Some(3));
    }
}

/// A user's shell, in which `$P` is the program.
fn shell(test: &Test, marker: &Marker) -> Session {
    let program = program(test);
    Session::shell((80, 24), |command| {
        marker.mark(command).env("P", program).env_remove("XDG_RUNTIME_DIR").current_dir("/");
    })
}

#[test]
fn a_terminal_of_its_own() {
    let (test, marker) = (Test::new(), Marker::new());
    let mut user = shell(&test, &marker);
    let before = user.modes();
    user.line("$P / sh -i");
    user.expect_prompt();
    user.line("(echo re''ady; cat)");
    user.expect("ready\r\n");
    user.send("abc\r");
    user.expect("abc\r\nabc\r\n");
    user.send(b"\x03");
    user.expect_prompt();
    user.line("(echo re''ady; cat)");
    user.expect("ready\r\n");
    user.send(b"\x1a");
    user.expect_prompt();
    user.line("fg");
    user.expect("fg\r\n");
    // The job's own text, however this shell writes it.
    user.expect("\r\n");
    user.send("def\r");
    user.expect("def\r\ndef\r\n");
    user.send(b"\x04");
    user.expect_prompt();
    user.resize(103, 39);
    user.line("until [ \"$(stty size)\" = '39 103' ]; do :; done; exit 7");
    user.expect_prompt();
    user.resize(80, 24);
    user.line("echo \"code<$?>\"");
    user.expect("code<7>");
    user.expect_prompt();
    assert_eq!(user.modes(), before);
    drop(user);
    marker.assert_gone();
}

#[test]
fn no_escapes() {
    let (test, marker) = (Test::new(), Marker::new());
    let mut user = shell(&test, &marker);
    user.line("$P / sh -c 'echo re\"\"ady; cat'");
    user.expect("ready\r\n");
    user.send("~.\r");
    user.expect("~.\r\n~.\r\n");
    user.send(b"\x04");
    user.expect_prompt();
}

#[test]
fn the_terminal_of_the_user_where_a_stream_is_none() {
    let (test, marker) = (Test::new(), Marker::new());
    let mut user = shell(&test, &marker);
    let mut tty = |how: &str| {
        user.line(&format!("echo '<''<'; {how}; echo '>''>'"));
        user.expect("<<\r\n");
        let text = user.expect(">>\r\n");
        user.expect_prompt();
        text.trim_end_matches(">>\r\n").trim().to_owned()
    };
    let here = tty("tty");
    assert!(here.starts_with("/dev/pts/"), "{here}");
    assert_ne!(tty("$P / tty"), here);
    assert_eq!(tty("$P / tty | cat"), here);
    assert_eq!(tty("$P / tty 2>/dev/null"), here);
    assert_eq!(tty("$P / tty </dev/null"), "not a tty");
}

#[test]
fn man_page() {
    let mut generate = Command::new(THITHER);
    let output = output(generate.args(["generate", "pychroot-man"]), b"");
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
    let page = String::from_utf8(output.stdout).expect("text");
    let sections: Vec<&str> = page.lines().filter(|line| line.starts_with(".SH")).collect();
    let expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\""];
    assert_eq!(sections, expected.map(|name| format!(".SH {name}")));
    let plain = page.replace('\\', "");
    for word in [
        "--bind",
        "-B",
        "-R",
        "--ro",
        "--readonly",
        "--no-mounts",
        "--hostname",
        "hole by definition",
    ] {
        assert!(plain.contains(word), "it does not name {word}");
    }
}

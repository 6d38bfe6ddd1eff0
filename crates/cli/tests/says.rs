//! What the tool does and says when it is used rightly: codes, streams, terminals, help.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use common::{Test, finish, first_byte, output, said};
use expect_test::{Expect, expect, expect_file};
use testkit::Session;

#[test]
fn codes() {
    let test = Test::new();
    let script = test.file("script", "exit $1");
    let exit = |verb: &str, n: u8| format!("{verb} local: sh {} {n}", script.display());
    let lines = ["run local: true".into(), exit("run", 7), exit("shell", 125), exit("run", 255)];
    test.says(
        &lines,
        expect![[r#"
        $ thither run local: true
        $ thither run local: sh [DIR]/script 7
        exit 7
        $ thither shell local: sh [DIR]/script 125
        exit 125
        $ thither run local: sh [DIR]/script 255
        exit 255
    "#]],
    );
    test.file("script", "kill -KILL $$");
    test.says(
        &[exit("run", 0)],
        expect![[r#"
        $ thither run local: sh [DIR]/script 0
        exit 137
    "#]],
    );
}

#[test]
fn arguments_of_the_command_are_untouched() {
    let test = Test::new();
    let lines = [
        "run local: echo -t -- --help -v",
        "run local: -- echo -- -n",
        "run local: echo -v --env",
        "shell local: echo --env x ''",
    ];
    test.says(
        &lines,
        expect![[r#"
        $ thither run local: echo -t -- --help -v
        | -t -- --help -v
        $ thither run local: -- echo -- -n
        | -- -n
        $ thither run local: echo -v --env
        | -v --env
        $ thither shell local: echo --env x ''
        | --env x 
    "#]],
    );
    test.says(
        &[OsStr::from_bytes(b"run local: printf %s\\n \xff\x80")],
        expect![[r#"
        $ thither run local: printf %s\\n \xff\x80
        | \xff\x80
    "#]],
    );
}

#[test]
fn where_and_as_what() {
    let test = Test::new();
    test.file("script", "echo $A $B; pwd");
    let line =
        format!("run --env A=1=2 --env B --dir /usr local: sh {}/script", test.dir().display());
    let shown = said(test.thither(line.split(' ')).env("B", "here"));
    expect![[r#"
        | 1=2 here
        | /usr
    "#]]
    .assert_eq(&shown);
}

#[test]
fn input() {
    let test = Test::new();
    let said = |args: &[&str], input: &[u8]| {
        let output = output(&mut test.thither(args), input);
        format!("{:?} {:?}", output.status.code(), String::from_utf8_lossy(&output.stdout))
    };
    assert_eq!(said(&["run", "local:", "cat"], b"text"), r#"Some(0) "text""#);
    assert_eq!(said(&["run", "-n", "local:", "cat"], b"text"), r#"Some(0) """#);
    assert_eq!(said(&["shell", "local:", "sh"], b"echo hi; exit 3\n"), r#"Some(3) "hi\n""#);
    // The login shell's own files may say more.
    assert!(said(&["shell", "local:"], b"echo h''i; exit 3\n").starts_with("Some(3)"));
    assert!(said(&["shell", "local:"], b"echo h''i; exit 3\n").ends_with("hi\\n\""));
}

/// Whether `tty` says another terminal over there than here.
#[track_caller]
fn check_terminal(verb: &str, own: bool) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("tty; \"$0\" {verb} local: tty; \"$0\" {verb} local: stty size"));
    shell.arg(env!("CARGO_BIN_EXE_thither"));
    let mut session = Session::spawn(shell, (81, 25));
    assert_eq!(session.wait().code(), Some(0));
    let transcript = session.transcript();
    let lines: Vec<&str> = transcript.lines().collect();
    let [here, there, size] = lines[..] else { panic!("{transcript:?}") };
    assert!(here.starts_with("/dev/pts/") && there.starts_with("/dev/pts/"), "{transcript:?}");
    assert_eq!((here != there, size), (own, "25 81"));
}

#[test]
fn terminals() {
    check_terminal("shell", true);
    check_terminal("run -t", true);
    check_terminal("run", false);
}

#[test]
fn colours() {
    let test = Test::new();
    let says = |no_color: Option<&str>| {
        let mut command = test.thither(["run", "local:", "no-such-command"]);
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let mut session = Session::spawn(command, (80, 24));
        assert_eq!(session.wait().code(), Some(127));
        session.transcript()
    };
    let coloured = "\x1b[1;31merror:\x1b[0m cannot run";
    assert!(says(None).starts_with(coloured), "{:?}", says(None));
    // An empty value counts as none: see no-color.org.
    assert!(says(Some("")).starts_with(coloured), "{:?}", says(Some("")));
    assert!(says(Some("1")).starts_with("error: cannot run"), "{:?}", says(Some("1")));
}

#[test]
fn steps() {
    let test = Test::new();
    let output = output(&mut test.thither(["-v", "run", "local:", "echo", "hi"]), b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.stdout, b"hi\n");
    assert!(stderr.starts_with("thither: start place=local: program=`echo`\n"), "{stderr}");
    assert!(stderr.ends_with("thither: end ending=Exited(Code(0))\n"), "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("thither: ")), "{stderr}");
}

#[test]
fn help() {
    let help = |args: &[&str]| {
        let output = output(&mut Test::new().thither(args), b"");
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    expect_file!["help/thither.txt"].assert_eq(&help(&["--help"]));
    expect_file!["help/shell.txt"].assert_eq(&help(&["shell", "--help"]));
    expect_file!["help/run.txt"].assert_eq(&help(&["run", "--help"]));
    expect_file!["help/python.txt"].assert_eq(&help(&["python", "--help"]));
    expect_file!["help/cp.txt"].assert_eq(&help(&["cp", "--help"]));
    expect_file!["help/smb.txt"].assert_eq(&help(&["smb", "install", "--help"]));
    expect_file!["help/generate.txt"].assert_eq(&help(&["generate", "--help"]));
    assert_eq!(help(&["help", "run"]), help(&["run", "--help"]));
    assert_eq!(help(&["--version"]), concat!("thither ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Runs it with its standard output in a shell's redirection.
#[track_caller]
fn check_redirected(verb: &str, redirection: &str, expected: Expect) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("\"$0\" {verb} {redirection}"));
    shell.arg(env!("CARGO_BIN_EXE_thither")).stdin(Stdio::null());
    expected.assert_eq(&said(&mut shell));
}

#[test]
fn full_and_closed_outputs() {
    check_redirected(
        "--help",
        ">/dev/full",
        expect![[r#"
        error: cannot write to standard output: no space left on device
        exit 125
    "#]],
    );
    check_redirected(
        "generate bash",
        ">/dev/full",
        expect![[r#"
        error: cannot write to standard output: no space left on device
        exit 125
    "#]],
    );
    // Rust's runtime opens /dev/null in the place of a closed descriptor.
    check_redirected("--help", ">&-", expect![]);
    check_redirected("generate man", ">&-", expect![]);
    check_redirected("run local: true", ">&- <&- 2>&-", expect![]);
    // What the command cannot write is the command's affair.
    check_redirected(
        "run local: echo hi",
        ">/dev/full 2>/dev/null",
        expect![[r#"
        exit 1
    "#]],
    );
    // There is nobody to tell.
    check_redirected(
        "frobnicate",
        "2>/dev/full",
        expect![[r#"
        exit 125
    "#]],
    );
}

#[test]
fn a_broken_pipe_is_success() {
    let test = Test::new();
    for args in [&["--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = test.thither(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = finish(child, Child::wait_with_output);
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let test = Test::new();
    let mut child = test.thither(["run", "local:", "yes"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(first_byte(child.stdout.take().unwrap()), b'y');
    // SIGPIPE, which Rust programs ignore, is as it was for the command.
    let status = finish(child, |mut child| child.wait());
    assert_eq!(status.code(), Some(128 + 13));
}

#[test]
fn generated() {
    let test = Test::new();
    let generate = |what: &str| {
        let output = output(&mut test.thither(["generate", what]), b"");
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{what}");
        String::from_utf8(output.stdout).unwrap()
    };
    for what in ["man", "bash", "zsh", "fish"] {
        let text = generate(what);
        let words = ["shell", "run", "generate", "verbose", "env", "dir", "user", "tty"];
        for word in words.into_iter().chain(["tmpfs", "hostname", "net", "subids", "overlay"]) {
            assert!(text.contains(word), "{what} does not name {word}");
        }
    }
    let parsed =
        output(Command::new("bash").arg("-n").stdin(Stdio::null()), generate("bash").as_bytes());
    assert_eq!((parsed.status.code(), parsed.stderr), (Some(0), vec![]));
    let page = generate("man");
    let sections: Vec<&str> =
        page.lines().filter(|line| line.starts_with(".SH") || line.starts_with(".SS")).collect();
    expect![[r#"
        .SH NAME
        .SH SYNOPSIS
        .SH DESCRIPTION
        .SH OPTIONS
        .SH "THITHER SHELL"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS "ANOTHER ROOT"
        .SS "A FRESH CONTAINER"
        .SS "A CONTAINER"
        .SS "A HOST OVER SSH"
        .SS "A HOST OVER SMB"
        .SS EXAMPLES
        .SH "THITHER RUN"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS "ANOTHER ROOT"
        .SS "A FRESH CONTAINER"
        .SS "A CONTAINER"
        .SS "A HOST OVER SSH"
        .SS "A HOST OVER SMB"
        .SS EXAMPLES
        .SH "THITHER PYTHON"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS "ANOTHER ROOT"
        .SS "A FRESH CONTAINER"
        .SS "A CONTAINER"
        .SS "A HOST OVER SSH"
        .SS "A HOST OVER SMB"
        .SS EXAMPLES
        .SH "THITHER ATTACH"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER LIST"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER CP"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER SERVE"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER PAIR"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER SMB"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "THITHER GENERATE"
        .SS DESCRIPTION
        .SS OPTIONS
        .SS EXAMPLES
        .SH "EXIT STATUS""#]]
    .assert_eq(&sections.join("\n"));
}

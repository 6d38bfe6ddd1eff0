//! Without a terminal: streams, environment, directory, exits.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use testkit::within_deadline;
use thither_place::{Command, Error, Event, Exit, Local, Place, Stream, WindowSize};

use crate::{output, printed, sh, wait};

#[track_caller]
fn check_exit(script: &str, exit: Exit, shell: u8) {
    let status = within_deadline("the command's end", {
        let command = sh(script);
        move || Local.status(&command)
    });
    assert_eq!(status.unwrap(), exit);
    assert_eq!(exit.shell_code(), shell);
}

#[test]
fn exits() {
    check_exit("exit 0", Exit::Code(0), 0);
    check_exit("exit 7", Exit::Code(7), 7);
    check_exit("exit 255", Exit::Code(255), 255);
    check_exit("kill -TERM $$", Exit::Signal(15), 143);
    check_exit("kill -KILL $$", Exit::Signal(9), 137);
    // As a shell tells of a signal: it stays a code.
    check_exit("exit 143", Exit::Code(143), 143);
}

#[test]
fn output_has_both_streams_and_an_empty_input() {
    let output = output(sh("cat; echo out; echo err >&2; exit 3"));
    assert_eq!(output.exit, Exit::Code(3));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
}

#[test]
fn a_piped_input_and_its_end() {
    let command = Command::new("cat").stdin(Stream::Piped).stdout(Stream::Piped);
    let mut process = Local.spawn(&command).unwrap();
    let mut stdin = File::from(process.stdin.take().unwrap());
    let mut stdout = File::from(process.stdout.take().unwrap());
    stdin.write_all(b"first").unwrap();
    let mut first = [0; 5];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    process.stdin = Some(stdin.into());
    process.end_input().unwrap();
    let rest = within_deadline("the end of the output", move || {
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).map(|_| rest)
    });
    assert_eq!(rest.unwrap(), b"");
    assert_eq!(wait(process), Exit::Code(0));
}

#[test]
fn waiting_closes_a_piped_input() {
    let process = Local.spawn(&Command::new("cat").stdin(Stream::Piped)).unwrap();
    assert_eq!(wait(process), Exit::Code(0));
}

#[test]
fn an_input_that_is_not_ours_cannot_be_ended() {
    let mut process = Local.spawn(&sh("exit 0").stdin(Stream::Null)).unwrap();
    let error = process.end_input().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    wait(process);
}

#[test]
fn descriptors_as_streams() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"from a file\n").unwrap();
    file.rewind().unwrap();
    let command = Command::new("cat").stdin(fd(file)).stdout(Stream::Piped);
    let process = Local.spawn(&command).unwrap();
    let output = within_deadline("the output", move || process.wait_with_output()).unwrap();
    assert_eq!(output.stdout, b"from a file\n");
}

#[test]
fn one_descriptor_for_both_outputs_keeps_their_order() {
    let mut file = tempfile::tempfile().unwrap();
    let both = fd(file.try_clone().unwrap());
    let script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    let command = sh(script).stdin(Stream::Null).stdout(both.clone()).stderr(both);
    assert_eq!(wait(Local.spawn(&command).unwrap()), Exit::Code(0));
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "1\n2\n3\n4\n");
}

#[test]
fn the_caller_keeps_no_writing_end() {
    // If one were left open in us, the reader would never see the end.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let command = sh("echo x").stdout(Stream::Fd(Arc::new(writer.into())));
    let process = Local.spawn(&command).unwrap();
    drop(command);
    let read = within_deadline("the end of the pipe", move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(read.unwrap(), "x\n");
    wait(process);
}

#[test]
fn much_output_on_both_streams_does_not_block() {
    // 1 MiB each, in turns that are larger than a pipe's buffer and than a page.
    let script = "for i in 1 2 3 4 5 6 7 8; do
        head -c 131072 /dev/zero | tr '\\0' o
        head -c 131072 /dev/zero | tr '\\0' e >&2
    done";
    let output = output(sh(script));
    assert_eq!(output.exit, Exit::Code(0));
    assert!(output.stdout == vec![b'o'; 1 << 20], "{} bytes", output.stdout.len());
    assert!(output.stderr == vec![b'e'; 1 << 20], "{} bytes", output.stderr.len());
}

#[test]
fn one_stream_may_end_long_before_the_other() {
    let output = output(sh("exec 2>&-; head -c 300000 /dev/zero"));
    assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 0));
}

#[test]
fn an_environment() {
    let env = || Command::new("env");
    assert_eq!(printed(env().env_clear().env("A", "1").env("B", "")), "A=1\nB=\n");
    assert_eq!(printed(env().env_clear()), "");
    let lines = printed(env().env("THITHER_NEW", "a b").env_remove("PATH"));
    assert!(lines.lines().any(|line| line == "THITHER_NEW=a b"), "{lines}");
    assert!(!lines.lines().any(|line| line.starts_with("PATH=")), "{lines}");
    let same = printed(env());
    let count = std::env::vars_os().count();
    assert!(same.lines().count() >= count, "{same}");
}

#[test]
fn the_program_is_looked_up_in_the_commands_path() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("only-there");
    testkit::write_program(&program, "#!/bin/sh\necho \"$0 $1\"\n");
    let mut path = OsString::from("/nowhere:");
    path.push(folder.path());
    let command = Command::new("only-there").arg("x").env("PATH", path);
    assert_eq!(printed(command), format!("{} x\n", program.display()));
}

#[test]
fn a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    assert_eq!(printed(Command::new("pwd").arg("-P").dir(&dir)), format!("{}\n", dir.display()));
}

#[test]
fn a_login_shell_knows_that_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let command = Command::login_shell().env("HOME", folder.path()).args(["-c", "echo $0 $SHELL"]);
    let text = printed(command);
    let (argv0, shell) = text.trim_end().split_once(' ').unwrap();
    assert_eq!(argv0, format!("-{}", shell.rsplit_once('/').unwrap().1));
}

#[test]
fn signals() {
    let mut process = Local.spawn(&Command::new("sleep").arg("1000")).unwrap();
    assert_eq!(process.control.event().unwrap(), None);
    process.signal(15).unwrap();
    let (exit, mut process) = within_deadline("the end", move || (process.wait(), process));
    assert_eq!(exit.unwrap(), Exit::Signal(15));
    // It has ended: both stay true.
    process.signal(15).unwrap();
    assert_eq!(process.control.event().unwrap(), Some(Event::Exited(Exit::Signal(15))));
}

#[test]
fn what_needs_a_terminal_is_refused() {
    let mut process = Local.spawn(&sh("exit 0")).unwrap();
    let error = process.resize(WindowSize { cols: 1, rows: 1 }).unwrap_err();
    assert_eq!(error.to_string(), "`local:` cannot resize a command without a terminal");
    let error = process.signal(64).unwrap_err();
    assert_eq!(error.to_string(), "`local:` cannot send signal 64");
    wait(process);
}

fn fd(file: File) -> Stream {
    Stream::Fd(Arc::new(OwnedFd::from(file)))
}

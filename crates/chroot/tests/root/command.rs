//! Commands as of `std::process::Command`.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use testkit::{BusyboxRoot, within_deadline};
use thither_chroot::{Chroot, Command};
use thither_place::{Exit, Output, Stream, WindowSize};

use crate::{as_both, busybox_root, line, only_root, wait};

as_both! {
    it_is_started_and_waited_for,
    its_status,
    its_output,
    streams_that_were_set_are_left_alone,
    variables_and_directory,
    variables_and_directory_of_the_root,
    a_terminal,
    one_that_cannot_be_started,
    one_is_run_again_and_again,
}

#[track_caller]
fn output(command: &Command<'_>) -> Output {
    // Its root is borrowed, so that it cannot go to a thread; what waits for ever is ended from outside.
    command.output().unwrap()
}

fn sh<'a>(root: &'a Chroot, script: &str) -> Command<'a> {
    root.command("sh").args(["-c", script]).env("PATH", "/bin")
}

fn it_is_started_and_waited_for(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let command = sh(&root, "echo ready; read line; echo $line >&2; exit 7");
    let streams = command.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
    let process = streams.spawn().unwrap();
    assert_eq!(line(&process), "ready");
    rustix::io::write(process.stdin.as_ref().unwrap(), b"through\n").unwrap();
    let output = within_deadline("its output", move || process.wait_with_output()).unwrap();
    assert_eq!((output.exit, &*output.stderr), (Exit::Code(7), &b"through\n"[..]));
}

fn its_status(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    assert_eq!(root.command("/bin/true").status().unwrap(), Exit::Code(0));
    assert_eq!(root.command("/bin/false").status().unwrap(), Exit::Code(1));
    assert_eq!(sh(&root, "kill -TERM $$").status().unwrap(), Exit::Signal(15));
    assert!(root.command("/bin/true").status().unwrap().success());
}

fn its_output(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    // Its input is empty.
    let output = output(&sh(&root, "cat; echo out; echo err >&2; exit 3"));
    let expected = Output { exit: Exit::Code(3), stdout: b"out\n".into(), stderr: b"err\n".into() };
    assert_eq!(output, expected);
    let output = root.command("echo").arg("a b").args(["$c", "*"]).env("PATH", "/bin").output();
    assert_eq!(output.unwrap().stdout, b"a b $c *\n");
}

fn streams_that_were_set_are_left_alone(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let (mut file, input) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    (&input).write_line("from a file");
    let fd = |file: &File| Stream::Fd(Arc::new(OwnedFd::from(file.try_clone().unwrap())));
    let command = sh(&root, "cat; echo err >&2").stdin(fd(&input)).stderr(fd(&file));
    let output = output(&command);
    assert_eq!((&*output.stdout, &*output.stderr), (&b"from a file\n"[..], &b""[..]));
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "err\n");
    let output = sh(&root, "echo out; echo err >&2").stdout(Stream::Null).output().unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"err\n"[..]));
}

trait WriteLine {
    fn write_line(self, line: &str);
}

impl WriteLine for &File {
    /// Writes a line, and goes back to where it begins.
    fn write_line(mut self, line: &str) {
        use std::io::Write;
        writeln!(self, "{line}").unwrap();
        self.rewind().unwrap();
    }
}

fn variables_and_directory(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let show = |command: Command<'_>| String::from_utf8(output(&command).stdout).unwrap();
    let env = || root.command("/bin/env").env_clear();
    assert_eq!(show(env()), "");
    assert_eq!(show(env().env("A", "1").envs([("B", "2"), ("C", "3")])), "A=1\nB=2\nC=3\n");
    assert_eq!(show(env().envs([("A", "1"), ("B", "2")]).env_remove("A")), "B=2\n");
    assert_eq!(show(env().env("A", "1").env("A", "2")), "A=2\n");
    // The caller's are passed on, and one says where it starts.
    let text = show(root.command("/bin/env").current_dir("/home/guest"));
    assert!(text.lines().any(|line| line == "PWD=/home/guest"), "{text}");
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    assert!(text.lines().any(|line| line == path), "{text}");
    assert_eq!(show(sh(&root, "pwd").current_dir("/home/guest")), "/home/guest\n");
    assert_eq!(show(sh(&root, "pwd")), "/\n");
    assert_eq!(show(sh(&root, "pwd").current_dir("home")), "/home\n");
}

fn variables_and_directory_of_the_root(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let root =
        root.env_clear().env("A", "1").env("B", "2").env("C", "3").env_remove("B").dir("/etc");
    let show = |command: Command<'_>| String::from_utf8(output(&command).stdout).unwrap();
    assert_eq!(show(root.command("/bin/env").env_remove("PWD")), "A=1\nC=3\n");
    // A command has the last word.
    let own = root.command("/bin/env").env("A", "9").env_remove("C").env_remove("PWD");
    assert_eq!(show(own), "A=9\n");
    assert_eq!(show(sh(&root, "pwd")), "/etc\n");
    assert_eq!(show(sh(&root, "pwd").current_dir("/home")), "/home\n");
}

fn a_terminal(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let size = WindowSize { cols: 61, rows: 17 };
    let process = sh(&root, "test -t 0 && stty size; exit 4").terminal(size).spawn().unwrap();
    let terminal = process.terminal.as_ref().unwrap().try_clone().unwrap();
    let text = within_deadline("the end of the terminal", move || {
        let (mut text, mut bytes) = (Vec::new(), [0; 256]);
        while let Ok(n) = rustix::io::read(&terminal, &mut bytes) {
            text.extend_from_slice(&bytes[..n]);
        }
        String::from_utf8(text).unwrap()
    });
    assert_eq!(text, "17 61\r\n");
    assert_eq!(wait(process), Exit::Code(4));
}

fn one_that_cannot_be_started(root: &BusyboxRoot) {
    let place = Chroot::new(root.path());
    for error in [
        place.command("/no/such").spawn().map(drop).unwrap_err(),
        place.command("/no/such").status().map(drop).unwrap_err(),
        place.command("/no/such").output().map(drop).unwrap_err(),
    ] {
        let expected = format!("cannot run `/no/such` in `chroot:{}`", root.path().display());
        assert_eq!((error.shell_code(), error.to_string()), (127, expected));
    }
}

fn one_is_run_again_and_again(root: &BusyboxRoot) {
    let root = Chroot::new(root.path());
    let command = sh(&root, "echo $$");
    for _ in 0..3 {
        assert_eq!(command.output().unwrap().stdout, b"2\n");
    }
    assert_eq!(command.clone().arg("x").output().unwrap().stdout, b"2\n");
}

#[test]
fn as_another_user() {
    only_root!();
    let root = busybox_root!();
    let root = Chroot::new(root.path()).user("guest");
    let show = |command: Command<'_>| output(&command).stdout;
    assert_eq!(show(sh(&root, "id -u; id -g; echo $HOME")), b"1000\n1000\n/home/guest\n");
    // A command has the last word.
    assert_eq!(show(sh(&root, "id -u").user("root")), b"0\n");
    assert_eq!(show(sh(&root, "id -u; id -g").user("7:8")), b"7\n8\n");
}

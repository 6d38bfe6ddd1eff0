//! Commands, their ends and signals.

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use testkit::within_deadline;
use thither_place::WindowSize;

#[track_caller]
fn check(text: &str, exit: Exit, stdout: &str, stderr: &str) {
    let world = match World::new("") {
        Ok(world) => world,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let (place, text) = (world.place(), text.to_owned());
    let output = within_deadline("a command", move || run(&place, &text));
    let expected = Output { exit, stdout: stdout.into(), stderr: stderr.into() };
    assert_eq!(output, expected, "{}", world.sshd.log());
}

#[test]
fn both_outputs_and_the_code() {
    check("echo out; echo err >&2; exit 7", Exit::Code(7), "out\n", "err\n");
}

#[test]
fn the_end_by_a_signal_has_its_number() {
    check("kill -TERM $$", Exit::Signal(libc::SIGTERM), "", "");
    check("kill -USR2 $$", Exit::Signal(libc::SIGUSR2), "", "");
}

#[test]
fn banners_harm_nothing() {
    let world = world!("Banner /etc/passwd");
    let place = world.place();
    let output = within_deadline("a command", move || run(&place, "echo on"));
    assert_eq!(output, succeeded("on\n"));
}

#[test]
fn one_connection_serves_one_after_the_other() {
    let world = world!();
    let place = world.place();
    within_deadline("commands", move || {
        place.connect(None).unwrap();
        place.connect(None).unwrap();
        for _ in 0..5 {
            assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        }
        assert_eq!(place.pool.len(), 1);
    });
    assert_eq!(world.sshd.log().matches("Accepted publickey").count(), 1);
}

#[test]
fn the_login_shell_reads_its_input_after_the_preface() {
    let world = world!();
    let place = world.place();
    let output = within_deadline("a shell", move || {
        let request = Request { preface: b"a=1\n".to_vec(), ..Request::default() };
        let command = piped().stdin(Stream::Piped);
        let mut process = place.spawn(request, None, &command).unwrap();
        let mut stdin = File::from(process.stdin.take().unwrap());
        stdin.write_all(b"echo $a $0; exit 3\n").unwrap();
        drop(stdin);
        process.wait_with_output().unwrap()
    });
    // A login shell's name has a minus.
    assert_eq!((output.exit, &output.stdout[..]), (Exit::Code(3), &b"1 -sh\n"[..]));
}

#[test]
fn the_end_of_the_input_is_passed_on() {
    let world = world!();
    let place = world.place();
    let output = within_deadline("cat", move || {
        let mut process =
            place.spawn(line("cat; echo end"), None, &piped().stdin(Stream::Piped)).unwrap();
        let stdin = process.stdin.take().unwrap();
        File::from(stdin).write_all(b"text\n").unwrap();
        process.wait_with_output().unwrap()
    });
    assert_eq!(output, succeeded("text\nend\n"));
}

#[test]
fn signals_reach_the_process_group() {
    let world = world!();
    let place = world.place();
    within_deadline("signals", move || {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
            let mut process =
                place.spawn(line("echo on; exec sleep 1000"), None, &piped()).unwrap();
            let mut said = String::new();
            let stdout = File::from(process.stdout.take().unwrap());
            let mut stdout = BufReader::new(stdout);
            stdout.read_line(&mut said).unwrap();
            process.signal(signal).unwrap();
            assert_eq!(process.wait().unwrap(), Exit::Signal(signal));
        }
        let mut process = place.spawn(line("true"), None, &piped()).unwrap();
        process.signal(libc::SIGCONT).unwrap();
        assert!(matches!(process.signal(libc::SIGSTOP), Err(Error::Unsupported { .. })));
    });
}

#[test]
fn a_terminal_has_its_size_from_the_start_and_later() {
    let world = world!();
    let place = world.place();
    within_deadline("a terminal", move || {
        let command = Command::new("x").terminal(WindowSize { cols: 91, rows: 17 });
        let text =
            "stty size; trap 'stty size; exit' WINCH; echo $TERM; while :; do sleep 0.01; done";
        let mut process = place.spawn(line(text), None, &command).unwrap();
        let terminal = process.terminal.take().unwrap();
        let mut lines = BufReader::new(File::from(terminal)).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "17 91");
        let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
        assert_eq!(lines.next().unwrap().unwrap(), term);
        process.resize(WindowSize { cols: 100, rows: 30 }).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "30 100");
        assert!(lines.next().is_none());
        assert_eq!(process.wait().unwrap(), Exit::Code(0));
    });
}

#[test]
fn the_input_of_a_terminal_ends_by_a_key() {
    let world = world!();
    let place = world.place();
    within_deadline("a terminal", move || {
        let command = Command::new("x").terminal(WindowSize { cols: 80, rows: 24 });
        let mut process =
            place.spawn(line("stty -echo; echo on; cat; echo end"), None, &command).unwrap();
        let mut terminal = File::from(process.terminal.as_ref().unwrap().try_clone().unwrap());
        let mut said = Vec::new();
        while !said.ends_with(b"on\r\n") {
            let mut byte = [0];
            terminal.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        process.end_input().unwrap();
        said.clear();
        terminal.read_to_end(&mut said).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), "end\r\n");
    });
}

/// How many processes of this kind the user has.
fn running(world: &World, name: &str) -> usize {
    let output = std::process::Command::new("pgrep").args(["-u", &world.user, "-f", name]).output();
    String::from_utf8_lossy(&output.expect("pgrep").stdout).lines().count()
}

#[test]
fn letting_go_ends_it() {
    let world = world!();
    let text = format!("exec sleep 1000.{}", world.sshd.port());
    let name = format!("^sleep 1000.{}", world.sshd.port());
    for terminal in [false, true] {
        let place = world.place();
        let command = match terminal {
            true => Command::new("x").terminal(WindowSize { cols: 80, rows: 24 }),
            false => piped(),
        };
        let process = place.spawn(line(&text), None, &command).unwrap();
        testkit::wait_until(testkit::DEADLINE, "it runs", || running(&world, &name) == 1);
        drop(process);
        testkit::wait_until(testkit::DEADLINE, "it has ended", || running(&world, &name) == 0);
        assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        assert_eq!(place.pool.len(), 1);
    }
}

#[test]
fn a_guard_passes_on_what_the_server_does_not() {
    let world = world!();
    let place = world.place();
    let text = "trap 'echo winch' WINCH; echo on; while :; do sleep 0.01; done";
    let (request, guard) = guarded(&world, text);
    within_deadline("signals", move || {
        let mut process = place.spawn(request, guard, &piped()).unwrap();
        let mut stdout = BufReader::new(File::from(process.stdout.take().unwrap())).lines();
        assert_eq!(stdout.next().unwrap().unwrap(), "on");
        process.signal(libc::SIGWINCH).unwrap();
        assert_eq!(stdout.next().unwrap().unwrap(), "winch");
        process.signal(libc::SIGTERM).unwrap();
        assert_eq!(process.wait().unwrap(), Exit::Signal(libc::SIGTERM));
        // The guard shared its connection, and is gone.
        assert_eq!(run(&place, "echo on"), succeeded("on\n"));
        assert_eq!(place.pool.len(), 1);
    });
}

#[test]
fn a_guard_ends_what_has_lost_its_connection() {
    let world = world!();
    let proxy = testkit::Proxy::tcp_to_tcp(world.sshd.address());
    world.know(proxy.address(), &world.sshd.host_key());
    let settings = Settings { port: Some(proxy.address().port()), ..world.settings() };
    let place = world.with(&settings);
    // sshd leaves alone what has no terminal.
    let name = format!("^sleep 1000.{}", world.sshd.port());
    let (request, guard) = guarded(&world, &format!("sleep 1000.{}", world.sshd.port()));
    let mut process = place.spawn(request, guard, &piped()).unwrap();
    testkit::wait_until(testkit::DEADLINE, "it runs", || running(&world, &name) == 1);
    testkit::wait_until(testkit::DEADLINE, "it is guarded", || {
        running(&world, "while read -r s") > 0
    });
    drop(proxy);
    let lost = within_deadline("the loss", move || process.wait().unwrap_err());
    assert_eq!(chain(&lost), "connection to `ssh:test` lost");
    testkit::wait_until(testkit::DEADLINE, "it has ended", || running(&world, &name) == 0);
}

#[test]
fn who_closes_the_terminal_hangs_up() {
    let world = world!();
    let place = world.place();
    within_deadline("the end", move || {
        let command = Command::new("x").terminal(WindowSize { cols: 80, rows: 24 });
        let spawn = |text: &str| place.spawn(line(text), None, &command).unwrap();
        let mut process = spawn("echo on; exec sleep 1000");
        let mut terminal = File::from(process.terminal.take().unwrap());
        terminal.read_exact(&mut [0; 4]).unwrap();
        drop(terminal);
        assert_eq!(process.wait().unwrap(), Exit::Signal(libc::SIGHUP));

        let mut process = spawn("trap '' HUP; echo on; while :; do sleep 0.01; done");
        let mut terminal = File::from(process.terminal.take().unwrap());
        terminal.read_exact(&mut [0; 4]).unwrap();
        drop(terminal);
        let error = process.wait().unwrap_err();
        assert_eq!(chain(&error), "cannot write to standard output: broken pipe");
    });
}

//! Bytes in and out of a command.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use expect_test::expect;
use testkit::within_deadline;
use thither_docker::Container;
use thither_place::{Command, Exit, Place, Process, Stream};

use crate::common::{fd, null, piped, read_all, sh, shared, there, told, wait};

const MIB: usize = 1024 * 1024;

/// Bytes that tell where they belong: as `u64`s, of a xorshift generator.
struct Pattern(u64);

impl Pattern {
    fn new() -> Pattern {
        Pattern(88_172_645_463_325_252)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

fn write_pattern(mut to: File, mib: usize) -> std::io::Result<()> {
    let mut pattern = Pattern::new();
    let mut bytes = vec![0; MIB];
    for _ in 0..mib {
        pattern.fill(&mut bytes);
        to.write_all(&bytes)?;
    }
    Ok(())
}

#[track_caller]
fn read_pattern(mut from: File, mib: usize) {
    let mut pattern = Pattern::new();
    let (mut expected, mut found) = (vec![0; MIB], vec![0; MIB]);
    for n in 0..mib {
        pattern.fill(&mut expected);
        from.read_exact(&mut found).unwrap_or_else(|error| panic!("MiB {n}: {error}"));
        assert!(found == expected, "MiB {n} differs");
    }
    assert_eq!(from.read(&mut found).unwrap(), 0, "there is more");
}

/// The caller's ends of a command's three streams.
struct Ends {
    stdin: File,
    stdout: File,
    stderr: File,
}

/// Starts a command with three pipes: our own, moved in the caller's loop, or those of the library.
fn start(place: &Container, command: Command, own: bool) -> (Process, Ends) {
    if !own {
        let mut process = place.spawn(&piped(command)).unwrap();
        let [stdin, stdout, stderr] =
            [process.stdin.take(), process.stdout.take(), process.stderr.take()]
                .map(|end| end.expect("a pipe").into());
        return (process, Ends { stdin, stdout, stderr });
    }
    let [(input, stdin), (stdout, output), (stderr, errors)] = [0; 3].map(|_| pipe().unwrap());
    let command = command.stdin(fd(input)).stdout(fd(output)).stderr(fd(errors));
    let file = |end: OwnedFd| File::from(end);
    let ends = Ends {
        stdin: file(stdin.into()),
        stdout: file(stdout.into()),
        stderr: file(stderr.into()),
    };
    (place.spawn(&command).unwrap(), ends)
}

#[test]
fn sixty_four_mib_both_ways_at_once() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let mut local = std::process::Command::new("md5sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input = OwnedFd::from(local.stdin.take().unwrap());
    write_pattern(input.into(), 64).unwrap();
    let sum = local.wait_with_output().unwrap().stdout;
    for own in [true, false] {
        let script = "mkfifo /sum$$; md5sum </sum$$ >&2 & tee /sum$$; wait";
        let (process, ends) = start(&place, sh(script), own);
        let Ends { stdin, stdout, stderr } = ends;
        let writer = thread::spawn(move || write_pattern(stdin, 64));
        let reader = thread::spawn(move || read_pattern(stdout, 64));
        let errors = thread::spawn(move || read_all(stderr));
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
        writer.join().unwrap().unwrap();
        reader.join().unwrap();
        assert_eq!(errors.join().unwrap(), sum);
    }
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for own in [true, false] {
        let (process, ends) = start(&place, sh("exit 4"), own);
        let writer = thread::spawn(move || write_pattern(ends.stdin, 32));
        assert_eq!(wait(process).unwrap(), Exit::Code(4));
        let written = within_deadline("the writer", || writer.join().unwrap());
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }
    // A program that closes its input and goes on.
    let script = "exec <&-; echo closed; read -r x </dev/null; exit 6";
    let (process, ends) = start(&place, sh(script), false);
    let writer = thread::spawn(move || write_pattern(ends.stdin, 32));
    assert_eq!(wait(process).unwrap(), Exit::Code(6));
    within_deadline("the writer", || writer.join().unwrap()).unwrap_err();
}

#[test]
fn a_file_is_read_to_its_end() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let mut file = tempfile::tempfile().unwrap();
    write_pattern(file.try_clone().unwrap(), 3).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let to = tempfile::NamedTempFile::new().unwrap();
    let command = Command::new("cat").stdin(fd(file)).stdout(fd(to.reopen().unwrap()));
    let process = there(engine, &sleeper).spawn(&command.stderr(Stream::Null)).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
    read_pattern(to.reopen().unwrap(), 3);
}

#[test]
fn the_end_of_input_is_told_and_output_goes_on() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for own in [true, false] {
        let (process, mut ends) = start(&place, sh("cat; echo end; exit 2"), own);
        ends.stdin.write_all(b"some\n").unwrap();
        drop(ends.stdin);
        assert_eq!(wait(process).unwrap(), Exit::Code(2));
        assert_eq!(read_all(ends.stdout), b"some\nend\n");
    }
    let (mut process, ends) = start(&place, sh("cat; exit 3"), true);
    process.end_input().unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(3));
    drop(ends);
}

#[test]
fn a_reader_that_goes_ends_the_writer() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for own in [true, false] {
        let (process, mut ends) = start(&place, Command::new("yes"), own);
        // Its input is left open: only what goes out may end it.
        let reader =
            thread::spawn(move || ends.stdout.read_exact(&mut [0; 2]).map(|()| ends.stdin));
        // 128 + SIGPIPE, as of a local command.
        assert_eq!(wait(process).unwrap(), Exit::Code(141));
        drop(reader.join().unwrap().unwrap());
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let command = null(Command::new("yes")).stdout(fd(full));
    let process = there(engine, &sleeper).spawn(&command).unwrap();
    let said = told(&wait(process).unwrap_err());
    expect![
        "cannot write to standard output: No space left on device (os error 28); exit code 125"
    ]
    .assert_eq(&said);
    let gone = || !sleeper.exec(&["ps"]).1.contains("yes");
    testkit::wait_until(testkit::DEADLINE, "the writer ends", gone);
}

#[test]
fn a_slow_reader_loses_nothing_at_the_end() {
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    for own in [true, false] {
        let script = "i=0; while [ $i -lt 2000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
        let (mut process, ends) = start(&place, sh(script), own);
        // It has ended long before its output is looked at, where the pipes hold that much.
        if !own {
            assert_eq!(process.wait().unwrap(), Exit::Code(0));
        }
        let lines = |word: &str| (0..2000).map(|n| format!("{word}{n}\n")).collect::<String>();
        let reader = thread::spawn(move || wait(process).map(drop));
        assert!(read_all(ends.stdout) == lines("out").as_bytes());
        assert!(read_all(ends.stderr) == lines("err").as_bytes());
        reader.join().unwrap().unwrap();
    }
}

#[test]
fn our_own_streams_are_inherited() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let engine = shared!();
    let sleeper = engine.container(&["sleep", "inf"]).start();
    let place = there(engine, &sleeper);
    let olds = [0, 1, 2].map(|n| match n {
        0 => std::io::stdin().as_fd().try_clone_to_owned().unwrap(),
        1 => std::io::stdout().as_fd().try_clone_to_owned().unwrap(),
        _ => std::io::stderr().as_fd().try_clone_to_owned().unwrap(),
    });
    let [(input, mut to), (mut from, output), (mut errors, theirs)] =
        [0; 3].map(|_| pipe().unwrap());
    to.write_all(b"in\n").unwrap();
    drop(to);
    rustix::stdio::dup2_stdin(&input).unwrap();
    rustix::stdio::dup2_stdout(&output).unwrap();
    rustix::stdio::dup2_stderr(&theirs).unwrap();
    drop((input, output, theirs));
    let exit = place.spawn(&sh("cat; echo err >&2; exit 8")).and_then(|mut process| process.wait());
    rustix::stdio::dup2_stdin(&olds[0]).unwrap();
    rustix::stdio::dup2_stdout(&olds[1]).unwrap();
    rustix::stdio::dup2_stderr(&olds[2]).unwrap();
    assert_eq!(exit.unwrap(), Exit::Code(8));
    let mut texts = [String::new(), String::new()];
    from.read_to_string(&mut texts[0]).unwrap();
    errors.read_to_string(&mut texts[1]).unwrap();
    assert_eq!(texts, ["in\n", "err\n"]);
}

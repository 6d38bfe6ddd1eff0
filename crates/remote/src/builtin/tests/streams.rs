//! Where streams come from and go to.

use super::*;
use rustix::fs::{OFlags, fcntl_getfl};
use std::fs::File;
use std::io::{Read, Seek, Write};
use testkit::within_deadline;

fn fd(file: impl Into<OwnedFd>) -> Stream {
    Stream::Fd(Arc::new(file.into()))
}

#[test]
fn descriptors_of_the_callers_are_moved_in_its_loop() {
    let world = world!();
    let place = world.place();
    within_deadline("files and pipes", move || {
        let mut input = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        input.write_all(&text).unwrap();
        input.rewind().unwrap();
        let output = tempfile::tempfile().unwrap();
        let (mut errors, theirs) = io::pipe().unwrap();
        let flags = fcntl_getfl(&theirs).unwrap();
        let clone = theirs.try_clone().unwrap();
        let command = Command::new("x").stdin(fd(input)).stdout(fd(output.try_clone().unwrap()));
        let command = command.stderr(fd(theirs));
        let mut process = place.spawn(line("cat; echo err >&2"), None, &command).unwrap();
        assert_eq!(process.wait().unwrap(), Exit::Code(0));
        assert_eq!(fcntl_getfl(&clone).unwrap(), flags);
        assert!(!flags.contains(OFlags::NONBLOCK));
        drop((process, command, clone));
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(said, "err\n");
        let mut arrived = Vec::new();
        let mut output = output;
        output.rewind().unwrap();
        output.read_to_end(&mut arrived).unwrap();
        assert!(arrived == text, "{} of {}", arrived.len(), text.len());
    });
}

/// Who reads a pipe does not poll the process: the rest has to move all the same.
#[test]
fn descriptors_of_the_callers_beside_pipes() {
    let world = world!();
    let place = world.place();
    within_deadline("files and pipes", move || {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(&vec![b'x'; 5_000_000]).unwrap();
        input.rewind().unwrap();
        let mut errors = tempfile::tempfile().unwrap();
        let command = piped().stdin(fd(input)).stderr(fd(errors.try_clone().unwrap()));
        let process = place.spawn(line("cat; echo err >&2; exit 5"), None, &command).unwrap();
        let output = process.wait_with_output().unwrap();
        assert_eq!((output.exit, output.stdout.len()), (Exit::Code(5), 5_000_000));
        errors.rewind().unwrap();
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(said, "err\n");
    });
}

#[test]
fn an_input_that_never_ends_keeps_no_process() {
    let world = world!();
    let place = world.place();
    within_deadline("the end", move || {
        let (reader, _writer) = io::pipe().unwrap();
        let (reader, piped_too) = (Arc::new(OwnedFd::from(reader)), [false, true]);
        for piped_too in piped_too {
            let out = if piped_too { Stream::Piped } else { Stream::Null };
            let command = Command::new("x").stdin(Stream::Fd(reader.clone())).stdout(out);
            let command = command.stderr(Stream::Null);
            let mut process = place.spawn(line("exit 4"), None, &command).unwrap();
            assert_eq!(process.wait().unwrap(), Exit::Code(4));
        }
    });
}

/// How a command without end ends whose output is read no more after some bytes of it.
fn unread(world: &World, guarded: bool, piped: bool) -> thither_place::Result<Exit> {
    let place = world.place();
    let (request, guard) = match guarded {
        true => tests::guarded(world, "yes"),
        false => (line("exec yes"), None),
    };
    within_deadline("the end", move || {
        let (mut reader, writer) = io::pipe().unwrap();
        let out = if piped { Stream::Piped } else { fd(writer) };
        let command = Command::new("x").stdin(Stream::Null).stdout(out).stderr(Stream::Null);
        let mut process = place.spawn(request, guard, &command).unwrap();
        drop(command);
        if let Some(stdout) = process.stdout.take() {
            reader = stdout.into();
        }
        let driving = std::thread::spawn(move || process.wait());
        reader.read_exact(&mut [0; 100]).unwrap();
        drop(reader);
        driving.join().unwrap()
    })
}

#[test]
fn who_reads_no_more_ends_the_writer() {
    let world = world!();
    for piped in [false, true] {
        assert_eq!(unread(&world, true, piped).unwrap(), Exit::Signal(libc::SIGPIPE));
        let error = unread(&world, false, piped).unwrap_err();
        assert_eq!(chain(&error), "cannot write to standard output: broken pipe");
    }
    testkit::wait_until(testkit::DEADLINE, "all have ended", || world.sshd.sessions().is_empty());
}

#[test]
fn much_both_ways_at_once() {
    let world = world!();
    let place = world.place();
    within_deadline("cat", move || {
        const MUCH: usize = 20_000_000;
        let mut process = place.spawn(line("cat"), None, &piped().stdin(Stream::Piped)).unwrap();
        let mut stdin = File::from(process.stdin.take().unwrap());
        let writing = std::thread::spawn(move || stdin.write_all(&vec![7; MUCH]));
        let output = process.wait_with_output().unwrap();
        assert_eq!((output.exit, output.stdout.len()), (Exit::Code(0), MUCH));
        writing.join().unwrap().unwrap();
    });
}

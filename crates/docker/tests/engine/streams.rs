//! Bytes in and out of a command.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::thread;

use testkit::within_deadline;
use thither_place::{Command, Exit, Place, Stream};

use crate::common::{fd, null, piped, read_all, sh, shared, there, wait};

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

/// 64 MiB there and back at the same time, and what their sum is over there.
fn check_both_ways(place: &thither_docker::Container, mine: bool) {
    const SCRIPT: &str = "tee /tmp/sum | md5sum >&2 & trap : EXIT; wait";
    let _ = SCRIPT;
    let command = sh("tee /tmp/copy; md5sum </tmp/copy >&2");
    let (input, to, from, output, errors, theirs);
    let mut process;
    if mine {
        (input, to) = pipe().unwrap();
        (from, output) = pipe().unwrap();
        (errors, theirs) = pipe().unwrap();
        let command = command.stdin(fd(input)).stdout(fd(output)).stderr(fd(theirs));
        process = place.spawn(&command).unwrap();
        drop(command);
        check_streams(&mut process, to.into(), from.into(), errors.into());
    } else {
        process = place.spawn(&piped(command)).unwrap();
        let [to, from, errors] =
            [process.stdin.take(), process.stdout.take(), process.stderr.take()].map(Option::unwrap);
        check_streams(&mut process, to, from, errors);
    }
}

fn check_streams(
    process: &mut thither_place::Process,
    to: std::os::fd::OwnedFd,
    from: std::os::fd::OwnedFd,
    errors: std::os::fd::OwnedFd,
) {
    let writer = thread::spawn(|| write_pattern(to.into(), 64));
    let reader = thread::spawn(|| read_pattern(from.into(), 64));
    let errors = thread::spawn(move || read_all(errors));
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
    // The ends that the process held are those of the command: they go with it.
    writer.join().unwrap().unwrap();
    reader.join().unwrap();
    let mut local = std::process::Command::new("md5sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = local.stdin.take().map(std::os::fd::OwnedFd::from).unwrap();
    write_pattern(stdin.into(), 64).unwrap();
    assert_eq!(errors.join().unwrap(), local.wait_with_output().unwrap().stdout);
}

//! Bytes in and out of a command.

use std::fs::File;
use std::io::{Read, Seek, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use testkit::{DEADLINE, wait_until, within_deadline};
use thither_place::{Command, Exit, Place, Process, Stream};
use thither_remote::Ssh;

use crate::common::{Host, fd, host, line, null, piped, prints, read_all, sh, wait};

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

/// What a caller may give a command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Pipes of the library.
    Piped,
    /// Pipes of the caller.
    Pipe,
    Socket,
}

fn start(place: &Ssh, command: Command, kind: Kind) -> (Process, Ends) {
    if kind == Kind::Piped {
        let mut process = place.spawn(&piped(command)).unwrap();
        let [stdin, stdout, stderr] =
            [process.stdin.take(), process.stdout.take(), process.stderr.take()]
                .map(|end| end.expect("a pipe").into());
        return (process, Ends { stdin, stdout, stderr });
    }
    let pair = || -> (OwnedFd, OwnedFd) {
        match kind {
            Kind::Socket => UnixStream::pair().map(|(a, b)| (a.into(), b.into())).unwrap(),
            _ => pipe().map(|(a, b)| (a.into(), b.into())).unwrap(),
        }
    };
    let [(input, stdin), (stdout, output), (stderr, errors)] = [0; 3].map(|_| pair());
    let command = command.stdin(fd(input)).stdout(fd(output)).stderr(fd(errors));
    let ends = Ends { stdin: stdin.into(), stdout: stdout.into(), stderr: stderr.into() };
    (place.spawn(&command).unwrap(), ends)
}

fn sixty_four_mib(host: &Host, kind: Kind) {
    let (process, ends) = start(&host.place(), sh("tee /dev/stderr"), kind);
    let Ends { stdin, stdout, stderr } = ends;
    let writer = thread::spawn(move || write_pattern(stdin, 64));
    let reader = thread::spawn(move || read_pattern(stdout, 64));
    let errors = thread::spawn(move || read_pattern(stderr, 64));
    // The command is data, and has the caller's ends open: they have to go.
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
    writer.join().unwrap().unwrap();
    reader.join().unwrap();
    errors.join().unwrap();
}

#[test]
fn sixty_four_mib_by_our_pipes() {
    let host = host!("sh");
    sixty_four_mib(&host, Kind::Piped);
}

#[test]
fn sixty_four_mib_by_the_callers_pipes() {
    let host = host!("sh");
    sixty_four_mib(&host, Kind::Pipe);
}

#[test]
fn sixty_four_mib_by_sockets() {
    let host = host!("sh");
    sixty_four_mib(&host, Kind::Socket);
}

#[test]
fn sixty_four_mib_by_files() {
    let host = host!("sh");
    let mut source = tempfile::tempfile().unwrap();
    write_pattern(source.try_clone().unwrap(), 64).unwrap();
    source.rewind().unwrap();
    let mut target = tempfile::tempfile().unwrap();
    target.write_all(b"before").unwrap();
    let command = Command::new("cat")
        .stdin(fd(source))
        .stdout(fd(target.try_clone().unwrap()))
        .stderr(Stream::Null);
    assert_eq!(wait(host.place().spawn(&command).unwrap()).unwrap(), Exit::Code(0));
    // Its place in the file is shared: what follows comes behind.
    target.write_all(b"after").unwrap();
    target.rewind().unwrap();
    let mut before = [0; 6];
    target.read_exact(&mut before).unwrap();
    assert_eq!(&before, b"before");
    let mut found = Vec::new();
    target.read_to_end(&mut found).unwrap();
    assert_eq!(found.len(), 64 * MIB + 5);
    assert!(found.ends_with(b"after"));
    let mut expected = vec![0; 64 * MIB];
    Pattern::new().fill(&mut expected);
    assert!(found[..64 * MIB] == expected);
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let host = host!("sh");
    for kind in [Kind::Piped, Kind::Pipe, Kind::Socket] {
        let script = "i=0; while :; do head -c 65536 /dev/zero; i=$((i+1)); echo $i >&2; done";
        let (process, ends) = start(&host.place(), sh(script), kind);
        let Ends { stdin: _stdin, stdout, stderr } = ends;
        // It stands still once all buffers in between are full, which are a few MiB.
        let mut last = 0;
        loop {
            let ready = thither_term::poll(
                &[thither_term::Interest::Read(stderr.as_fd())],
                Some(std::time::Duration::from_secs(1)),
            );
            if !ready.unwrap()[0].now {
                break;
            }
            last = line(&stderr).parse().unwrap();
            assert!(last < 256, "{kind:?}: 16 MiB are underway");
        }
        let mut stdout = stdout;
        let mut bytes = vec![0; last * 65536];
        within_deadline("what is underway", move || stdout.read_exact(&mut bytes)).unwrap();
        drop(process);
    }
}

#[test]
fn the_end_of_an_input() {
    let host = host!("sh");
    for kind in [Kind::Piped, Kind::Pipe, Kind::Socket] {
        let (process, ends) = start(&host.place(), sh("cat; echo end; echo more"), kind);
        let Ends { mut stdin, stdout, stderr } = ends;
        stdin.write_all(b"no line end").unwrap();
        drop(stdin);
        assert_eq!(read_all(stdout), b"no line endend\nmore\n", "{kind:?}");
        assert_eq!(wait(process).unwrap(), Exit::Code(0));
        assert_eq!(read_all(stderr), b"", "{kind:?}");
    }
}

#[test]
fn half_of_a_socket_is_closed() {
    let host = host!("sh");
    let (input, there) = UnixStream::pair().unwrap();
    let output = input.try_clone().unwrap();
    let command = sh("cat; echo end").stdin(fd(input)).stdout(fd(output)).stderr(Stream::Null);
    let process = host.place().spawn(&command).unwrap();
    drop(command);
    (&there).write_all(b"x").unwrap();
    there.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wait(process).unwrap(), Exit::Code(0));
    assert_eq!(read_all(there), b"xend\n");
}

#[test]
fn one_that_closes_its_streams_lives_on() {
    let host = host!("sh");
    let (process, ends) =
        start(&host.place(), sh("exec <&- >&- 2>&-; sleep 0.2; exit 3"), Kind::Piped);
    let Ends { stdin, stdout, stderr } = ends;
    assert_eq!(read_all(stdout), b"");
    assert_eq!(read_all(stderr), b"");
    assert_eq!(wait(process).unwrap(), Exit::Code(3));
    drop(stdin);
}

#[test]
fn one_that_does_not_read() {
    let host = host!("sh");
    for kind in [Kind::Piped, Kind::Pipe, Kind::Socket] {
        let (process, ends) = start(&host.place(), sh("exit 5"), kind);
        let Ends { mut stdin, stdout, .. } = ends;
        // Its reader goes at some time: SIGPIPE is ignored here.
        let writer = thread::spawn(move || while stdin.write_all(&[0; 65536]).is_ok() {});
        assert_eq!(wait(process).unwrap(), Exit::Code(5), "{kind:?}");
        assert_eq!(read_all(stdout), b"");
        within_deadline("the input's reader goes", move || writer.join()).unwrap();
    }
}

#[test]
fn a_closed_output_ends_the_writer() {
    let host = host!("bash");
    for kind in [Kind::Piped, Kind::Pipe, Kind::Socket] {
        let (process, ends) = start(&host.place(), Command::new("yes"), kind);
        let Ends { stdout, stdin: _stdin, stderr: _stderr } = ends;
        assert_eq!(line(&stdout), "y");
        drop(stdout);
        assert_eq!(wait(process).unwrap(), Exit::Code(141), "{kind:?}");
    }
}

#[test]
fn null_and_closed() {
    let host = host!("bash");
    let place = host.place();
    let command = sh("readlink /proc/self/fd/0; test -t 0 || echo no; cat");
    assert_eq!(
        prints(&place, &command.stdin(Stream::Null))
            .escape_ascii()
            .to_string()
            .matches("no")
            .count(),
        1
    );
    let flood = null(sh("head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; exit 4"));
    assert_eq!(wait(place.spawn(&flood).unwrap()).unwrap(), Exit::Code(4));
    let full = || fd(File::options().write(true).open("/dev/full").unwrap());
    let command = Command::new("yes").stdin(Stream::Null).stdout(full()).stderr(Stream::Null);
    let ended = wait(place.spawn(&command).unwrap());
    assert!(!matches!(ended, Ok(Exit::Code(0))), "{ended:?}");
}

#[test]
fn what_is_lost_on_a_full_disk_is_said() {
    let host = host!("bash");
    let full = fd(File::options().write(true).open("/dev/full").unwrap());
    let command = sh("echo all is well").stdin(Stream::Null).stdout(full).stderr(Stream::Null);
    let told = crate::common::told(&crate::common::error(&host.place(), &command));
    assert!(told.contains("No space left on device"), "{told}");
}

#[test]
fn a_background_job_keeps_an_output_open() {
    let host = host!("bash");
    let script = "sleep 1000 & echo $!; exit 6";
    let (mut process, ends) = start(&host.place(), sh(script), Kind::Piped);
    let Ends { stdin, stdout, stderr } = ends;
    let pid: u32 = line(&stdout).parse().unwrap();
    drop(stdin);
    // All that may still come belongs to the command: as `ssh` does, we wait for it.
    wait_until(DEADLINE, "the shell is gone", || {
        !crate::common::lives(parent(pid)) || parent(pid) == 1
    });
    assert_eq!(process.control.event().unwrap(), None);
    let status = std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(status.success());
    assert_eq!(wait(process).unwrap(), Exit::Code(6));
    assert_eq!((read_all(stdout), read_all(stderr)), (vec![], vec![]));
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_daemon_is_let_go() {
    let host = host!("bash");
    let marker = testkit::Marker::new();
    let (name, value) = marker.variable();
    let script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 6";
    let (process, _ends) = start(&host.place(), sh(script).env(name, value), Kind::Piped);
    assert_eq!(wait(process).unwrap(), Exit::Code(6));
    assert_eq!(marker.survivors(std::time::Duration::ZERO).len(), 1);
}

//! Input, and what must not wait for it.

use super::*;
use std::io::Seek;
use thither_place::wire::frame::WINDOW;

/// A process with piped input, whose other end never ends by itself.
fn fed() -> (Process, Server, File) {
    let (mut process, server) = Server::of(&quiet().stdin(Stream::Piped), &LINK);
    let stdin = process.stdin.take().unwrap().into();
    (process, server, stdin)
}

/// Reads input up to so many bytes.
fn take(server: &mut Server, most: usize) {
    let mut taken = 0;
    while taken < most {
        let (kind, body) = server.next().unwrap();
        assert_eq!(kind, Kind::Input);
        assert!(body.len() <= 64 * 1024, "{}", body.len());
        assert!(body.iter().all(|&byte| byte == b'x'));
        taken += body.len();
    }
    assert_eq!(taken, most, "more than was granted");
}

#[test]
fn no_more_than_was_granted_and_signals_ahead_of_it() {
    within_deadline("the input", || {
        let (mut process, mut server, mut stdin) = fed();
        let feeding = thread::spawn(move || stdin.write_all(&vec![b'x'; 2 * WINDOW]));
        take(&mut server, WINDOW);
        process.signal(10).unwrap();
        server.hears(Kind::Signal, &[10]);
        server.say(Kind::Credit, &5_u32.to_be_bytes());
        take(&mut server, 5);
        process.signal(12).unwrap();
        server.hears(Kind::Signal, &[12]);
        server.say(Kind::Credit, &(WINDOW as u32 - 5).to_be_bytes());
        take(&mut server, WINDOW - 5);
        feeding.join().unwrap().unwrap();
        // Whether there is more is not known before more is granted.
        server.say(Kind::Credit, &1_u32.to_be_bytes());
        server.hears(Kind::EndInput, b"");
    });
}

#[test]
fn credit_beyond_measure_is_the_window() {
    within_deadline("the input", || {
        let (mut process, mut server, mut stdin) = fed();
        for credit in [u32::MAX, u32::MAX, 1] {
            server.say(Kind::Credit, &credit.to_be_bytes());
        }
        // It has heard all of this once it says so.
        server.say(Kind::Stopped, &[19]);
        assert_eq!(next_event(&mut process).unwrap(), Event::Stopped(19));
        let feeding = thread::spawn(move || stdin.write_all(&vec![b'x'; 2 * WINDOW]));
        take(&mut server, WINDOW);
        process.signal(10).unwrap();
        server.hears(Kind::Signal, &[10]);
        server.say(Kind::Credit, &u32::MAX.to_be_bytes());
        take(&mut server, WINDOW);
        feeding.join().unwrap().unwrap();
    });
}

/// While the server reads nothing, a frame may be sent in part.
#[test]
fn a_frame_that_was_begun_is_finished() {
    within_deadline("the input", || {
        let (mut process, mut server, mut stdin) = fed();
        let feeding = thread::spawn(move || stdin.write_all(&vec![b'x'; WINDOW]));
        testkit::wait_until(DEADLINE, "the connection is full", || {
            let stream = [Interest::Read(server.stream.as_fd())];
            poll(&stream, Some(std::time::Duration::ZERO)).unwrap()[0].now
        });
        for signal in [1, 2, 1, 2, 3] {
            process.signal(signal).unwrap();
        }
        let mut signals = Vec::new();
        let mut taken = 0;
        while taken < WINDOW || signals.len() < 3 {
            match server.next().unwrap() {
                (Kind::Input, body) => taken += body.len(),
                (Kind::Signal, body) => signals.extend(body),
                (Kind::EndInput, _) => {}
                other => panic!("{other:?}"),
            }
        }
        signals.sort_unstable();
        signals.dedup();
        assert_eq!(signals, [1, 2, 3]);
        feeding.join().unwrap().unwrap();
    });
}

#[test]
fn a_blocked_output_holds_up_neither_input_nor_signals() {
    within_deadline("the input", || {
        let (out, stdout) = given();
        let (source, mut input) = pipe().unwrap();
        let stdin = Stream::Fd(Arc::new(source.into()));
        let (mut process, mut server) = Server::of(&quiet().stdin(stdin).stdout(stdout), &LINK);
        let (tell, told) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || {
            // More than the pipe and the connection hold, so it is known to wait.
            let mut saying = server.stream.try_clone().unwrap();
            let frame = Kind::Output.frame(&vec![b'y'; 1024 * 1024]).repeat(2);
            let saying = thread::spawn(move || saying.write_all(&frame));
            server.hears(Kind::Input, b"hello");
            server.hears(Kind::Signal, &[15]);
            assert!(!saying.is_finished());
            tell.send(()).unwrap();
            saying.join().unwrap().unwrap();
            server.exit(0);
            server
        });
        testkit::wait_until(DEADLINE, "the pipe is full", || {
            assert_eq!(process.control.event().unwrap(), None);
            rustix::io::ioctl_fionread(&out).unwrap() >= 65536
        });
        input.write_all(b"hello").unwrap();
        let mut signalled = false;
        while told.try_recv().is_err() {
            assert_eq!(process.control.event().unwrap(), None);
            if !signalled && rustix::io::ioctl_fionread(&input).unwrap() == 0 {
                process.signal(15).unwrap();
                signalled = true;
            }
            let interest = [Interest::Read(process.control.as_fd())];
            poll(&interest, Some(std::time::Duration::from_millis(1))).unwrap();
        }
        let reading = thread::spawn(move || text_of(out).len());
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        drop(process);
        assert_eq!(reading.join().unwrap(), 2 * 1024 * 1024);
        serving.join().unwrap();
    });
}

#[test]
fn nothing_spins_while_output_waits() {
    within_deadline("the output", || {
        let (out, writer) = pipe().unwrap();
        let fits = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
        (&writer).write_all(&vec![b'x'; fits]).unwrap();
        let command = quiet().stdout(Stream::Fd(Arc::new(writer.into())));
        let (mut process, mut server) = Server::of(&command, &LINK);
        server.say(Kind::Output, b"more");
        server.exit(0);
        assert_eq!(process.control.event().unwrap(), None);
        let now = Some(std::time::Duration::ZERO);
        assert!(!poll(&[Interest::Read(process.control.as_fd())], now).unwrap()[0].now);
        drop(out);
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
    });
}

#[test]
fn output_that_nobody_reads() {
    within_deadline("the end", || {
        for length in [10, 10_000] {
            let (out, stdout) = given();
            let (err, stderr) = given();
            let command = quiet().stdout(stdout).stderr(stderr);
            let (mut process, mut server) = Server::of(&command, &LINK);
            drop((command, out));
            let body = vec![b'x'; length];
            server.say(Kind::Output, &body);
            server.say(Kind::Errors, b"still read");
            // Its turn comes when the caller drives it.
            let serving = thread::spawn(move || {
                server.hears(Kind::Unread, &[1]);
                server.say(Kind::Output, &body);
                server.say(Kind::Errors, &body);
                server.exit(141);
                server
            });
            assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(141)));
            drop(process);
            assert_eq!(text_of(err), "still read".to_owned() + &"x".repeat(length));
            serving.join().unwrap().hears_end();
        }
    });
}

#[test]
fn a_disk_that_is_full() {
    within_deadline("the error", || {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let stdout = Stream::Fd(Arc::new(full.into()));
        let (mut process, mut server) = Server::of(&quiet().stdout(stdout), &LINK);
        server.say(Kind::Output, b"x");
        let error = next_event(&mut process).unwrap_err();
        assert_eq!(error.to_string(), "cannot write to standard output");
        server.hears_end();
    });
}

/// Files are always ready, and cannot be waited for.
#[test]
fn files() {
    within_deadline("the end", || {
        let mut source = tempfile::tempfile().unwrap();
        source.write_all(&vec![b'x'; WINDOW + 10]).unwrap();
        source.rewind().unwrap();
        let mut target = tempfile::tempfile().unwrap();
        let stdout = Stream::Fd(Arc::new(target.try_clone().unwrap().into()));
        let stdin = Stream::Fd(Arc::new(source.into()));
        let (mut process, mut server) = Server::of(&quiet().stdin(stdin).stdout(stdout), &LINK);
        let serving = thread::spawn(move || {
            take(&mut server, WINDOW);
            server.say(Kind::Credit, &11_u32.to_be_bytes());
            take(&mut server, 10);
            server.hears(Kind::EndInput, b"");
            for _ in 0..10 {
                server.say(Kind::Output, &vec![b'y'; WINDOW]);
            }
            server.exit(0);
        });
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        serving.join().unwrap();
        target.rewind().unwrap();
        assert_eq!(text_of(target).len(), 10 * WINDOW);
    });
}

#[test]
fn an_input_that_is_ended_from_here() {
    within_deadline("the end", || {
        let (source, mut input) = pipe().unwrap();
        let stdin = Stream::Fd(Arc::new(source.into()));
        let command = quiet().stdin(stdin);
        let (mut process, mut server) = Server::of(&command, &LINK);
        drop(command);
        process.end_input().unwrap();
        process.end_input().unwrap();
        server.hears(Kind::EndInput, b"");
        process.signal(1).unwrap();
        server.hears(Kind::Signal, &[1]);
        // It has let go of its source.
        let error = input.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

//! A server that says nothing.

use super::*;
use std::time::Duration;

const LINK: Link<'static> = Link { place: "daemon:", keep_alive: Some(Duration::from_millis(2)) };

#[test]
fn silence_is_the_end() {
    within_deadline("the end", || {
        for command in [quiet(), quiet().stdout(Stream::Piped)] {
            let (mut process, mut server) = Server::of(&command, &LINK);
            let error = next_event(&mut process).unwrap_err();
            assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
            for _ in 0..3 {
                server.hears(Kind::Ping, b"");
            }
            server.hears_end();
        }
    });
}

#[test]
fn an_answer_is_enough() {
    within_deadline("the end", || {
        let link = Link { keep_alive: Some(Duration::from_millis(300)), ..LINK };
        let (mut process, mut server) = Server::of(&quiet(), &link);
        let answering = thread::spawn(move || {
            // More often than it would have been asked in vain.
            for _ in 0..5 {
                server.hears(Kind::Ping, b"");
                server.say(Kind::Pong, b"");
            }
            server.exit(0);
        });
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        answering.join().unwrap();
    });
}

/// Nothing is read while nobody takes what was, so nothing can be heard.
#[test]
fn the_clock_stands_while_output_waits() {
    within_deadline("the end", || {
        let (out, writer) = pipe().unwrap();
        let fits = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
        (&writer).write_all(&vec![b'x'; fits]).unwrap();
        let command = quiet().stdout(Stream::Fd(Arc::new(writer.into())));
        // It is all said before the clock begins, and waits for the pipe.
        let (ours, mut server) = Server::started();
        server.say(Kind::Output, b"more");
        server.exit(0);
        let mut process = spawn(ours, &LINK, &command).unwrap();
        drop(command);
        for _ in 0..20 {
            assert_eq!(process.control.event().unwrap(), None);
            let interest = [Interest::Read(process.control.as_fd())];
            assert!(poll(&interest, Some(DEADLINE)).unwrap()[0].now);
        }
        let reading = thread::spawn(move || text_of(out));
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        assert_eq!(reading.join().unwrap().len(), fits + "more".len());
        server.request();
        server.hears_end();
    });
}

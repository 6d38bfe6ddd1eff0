//! A terminal over there.

use super::*;
use thither_place::WindowSize;
use thither_place::wire::message::{Spawn, Streams};

const SIZE: WindowSize = WindowSize { cols: 100, rows: 40 };

fn command() -> Command {
    Command::new("x").terminal(SIZE)
}

/// A process at a terminal, with the caller's end of that.
fn at_terminal() -> (Process, Server, File) {
    let (mut process, server) = Server::of(&command(), &LINK);
    let terminal = process.terminal.take().unwrap().into();
    (process, server, terminal)
}

#[test]
fn its_size() {
    within_deadline("a size", || {
        let (ours, mut server) = Server::started();
        let mut process = spawn(ours, &LINK, &command()).unwrap();
        let Request::Spawn(Spawn { streams: Streams::Terminal { size, .. }, .. }) =
            server.request()
        else {
            panic!("no terminal")
        };
        assert_eq!(size, (100, 40));
        process.resize(WindowSize { cols: 258, rows: 3 }).unwrap();
        server.hears(Kind::Resize, &[1, 2, 0, 3]);
        process.resize(SIZE).unwrap();
        server.hears(Kind::Resize, &[0, 100, 0, 40]);
    });
}

#[test]
fn both_directions() {
    within_deadline("an echo", || {
        let (mut process, mut server, mut terminal) = at_terminal();
        terminal.write_all(b"ls\r").unwrap();
        server.hears(Kind::Input, b"ls\r");
        server.say(Kind::Output, b"file");
        let mut text = [0; 4];
        terminal.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"file");
        server.say(Kind::Stopped, &[20]);
        assert_eq!(next_event(&mut process).unwrap(), Event::Stopped(20));
        // More than the socket holds waits for its reader.
        let long = vec![b'y'; 1024 * 1024];
        let saying = thread::spawn(move || {
            server.say(Kind::Output, &long);
            server.exit(1);
        });
        assert_eq!(text_of(&terminal).len(), 1024 * 1024);
        assert_eq!(process.wait().unwrap(), Exit::Code(1));
        saying.join().unwrap();
    });
}

#[test]
fn the_end_of_its_input_comes_after_what_was_typed() {
    within_deadline("the input", || {
        let (mut process, mut server, mut terminal) = at_terminal();
        for (typed, ends) in [("a", 1), ("", 1), ("b", 2)] {
            terminal.write_all(typed.as_bytes()).unwrap();
            (0..ends).for_each(|_| process.end_input().unwrap());
            if !typed.is_empty() {
                server.hears(Kind::Input, typed.as_bytes());
            }
            (0..ends).for_each(|_| server.hears(Kind::EndInput, b""));
        }
    });
}

/// What nobody took is no reason to be told of a reset connection.
#[test]
fn its_end_is_an_end() {
    within_deadline("the end", || {
        let (mut process, mut server, mut terminal) = at_terminal();
        let typed = vec![b'x'; frame::WINDOW + 1000];
        let mut typing = terminal.try_clone().unwrap();
        let typing = thread::spawn(move || typing.write_all(&typed));
        // What was not granted stays in the socket.
        let mut taken = 0;
        while taken < frame::WINDOW {
            taken += server.next().unwrap().1.len();
        }
        typing.join().unwrap().unwrap();
        server.say(Kind::Output, b"bye");
        server.exit(0);
        assert_eq!(process.wait().unwrap(), Exit::Code(0));
        assert_eq!(text_of(&terminal), "bye");
        let error = terminal.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn there_is_no_standard_error() {
    within_deadline("the error", || {
        let (mut process, mut server, terminal) = at_terminal();
        server.say(Kind::Errors, b"x");
        assert!(matches!(next_event(&mut process), Err(Error::Place { .. })));
        assert_eq!(text_of(&terminal), "");
        server.hears_end();
    });
}

#[test]
fn one_that_is_closed_here() {
    within_deadline("the end", || {
        let (mut process, mut server, terminal) = at_terminal();
        drop(terminal);
        server.hears(Kind::EndInput, b"");
        server.say(Kind::Output, b"x");
        server.hears(Kind::Unread, &[1]);
        server.exit(129);
        assert_eq!(process.wait().unwrap(), Exit::Code(129));
    });
}

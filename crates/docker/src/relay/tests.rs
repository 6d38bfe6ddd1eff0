use super::excuse::EXCUSES;
use super::*;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::net::UnixStream;

use thither_term::{Interest, poll};

const REFUSAL: &[u8] = EXCUSES[0];

/// A relay with pipes for its destinations and its source, and the other ends of all.
struct Test {
    relay: Relay,
    engine: UnixStream,
    out: [Option<PipeReader>; 2],
    input: Option<PipeWriter>,
}

impl Test {
    fn new(format: Format) -> Test {
        let (ours, engine) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (source, input) = pipe().unwrap();
        let ends = [pipe().unwrap(), pipe().unwrap()].map(|(read, write)| {
            (Some(read), Some(Destination::new(OwnedFd::from(write)).unwrap()))
        });
        let [(out, out_there), (err, err_there)] = ends;
        let source = Input::new(source.into()).unwrap();
        let relay = Relay::new(ours.into(), format, [out_there, err_there], Some(source)).unwrap();
        Test { relay, engine, out: [out, err], input: Some(input) }
    }

    fn says(mut self, bytes: &[u8]) -> Test {
        self.engine.write_all(bytes).unwrap();
        self
    }

    /// Until it has ended: what arrived.
    fn end(mut self) -> Result<[String; 2], Broken> {
        self.input = None;
        self.engine.shutdown(std::net::Shutdown::Write).unwrap();
        loop {
            match self.relay.step()? {
                Step::Ended => break,
                Step::Going | Step::Excuse | Step::Closed(_) => wait(&self.relay),
            }
        }
        self.relay.let_go();
        Ok(self.out.map(|out| {
            let mut text = String::new();
            out.map(|mut out| out.read_to_string(&mut text).unwrap());
            text
        }))
    }
}

fn wait(relay: &Relay) {
    let limit = Some(std::time::Duration::from_secs(30));
    assert!(poll(&[Interest::Read(relay.as_fd())], limit).unwrap()[0].now, "it waits for nothing");
}

fn frame(of: u8, text: &[u8]) -> Vec<u8> {
    let mut frame = vec![of, 0, 0, 0];
    frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend(text);
    frame
}

#[test]
fn frames_go_where_they_belong() {
    let long = "x".repeat(WORTH_SPLICING + 1);
    let bytes = [
        frame(1, b"out"),
        frame(2, b"err"),
        frame(1, b""),
        frame(0, b"!"),
        frame(3, b"?"),
        frame(1, long.as_bytes()),
    ];
    let [out, err] = Test::new(Format::Frames).says(&bytes.concat()).end().unwrap();
    assert_eq!((out, err), (format!("out!{long}"), "err?".to_owned()));
}

#[test]
fn raw_bytes_are_not_taken_for_frames() {
    let bytes = b"\x01\x00\x00\x00\x00\x00\x00\x02ab\x00\x09";
    let [out, err] = Test::new(Format::Raw).says(bytes).end().unwrap();
    assert_eq!((out.as_bytes(), err.as_str()), (bytes.as_slice(), ""));
}

#[test]
fn frames_that_are_none() {
    let broken = Test::new(Format::Frames).says(b"bash: no\n").end().unwrap_err();
    assert!(matches!(broken, Broken::Garbage(_)), "{broken:?}");
}

#[test]
fn the_end_in_the_middle_of_a_frame() {
    for cut in [&[1, 0, 0][..], &[1, 0, 0, 0, 0, 0, 0, 9, b'x']] {
        let broken = Test::new(Format::Frames).says(cut).end().unwrap_err();
        assert!(matches!(broken, Broken::Lost(_)), "{broken:?}");
    }
}

#[test]
fn while_one_destination_is_full_the_input_goes_on() {
    let mut test = Test::new(Format::Frames);
    let much = vec![b'x'; 1 << 20];
    let bytes = frame(1, &much);
    let mut engine = test.engine.try_clone().unwrap();
    let writer = std::thread::spawn(move || engine.write_all(&bytes).unwrap());
    // Until the pipe takes no more: nothing is left to wait for but its reader.
    while test.relay.step().unwrap() == Step::Going && !test.relay.full {
        wait(&test.relay);
    }
    test.input.as_mut().unwrap().write_all(b"typed").unwrap();
    wait(&test.relay);
    test.relay.step().unwrap();
    let mut typed = [0; 5];
    test.engine.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"typed");
    assert!(
        !poll(&[Interest::Read(test.relay.as_fd())], Some(std::time::Duration::ZERO)).unwrap()[0]
            .now
    );

    let mut out = test.out[0].take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        out.read_to_end(&mut all).unwrap();
        all
    });
    while !writer.is_finished() {
        test.relay.step().unwrap();
        // The writer's end shows nowhere but in what it has written.
        let _ =
            poll(&[Interest::Read(test.relay.as_fd())], Some(std::time::Duration::from_millis(10)));
    }
    writer.join().unwrap();
    test.end().unwrap();
    assert_eq!(reader.join().unwrap(), much);
}

#[test]
fn a_destination_that_is_gone_is_told_of_once() {
    let mut test = Test::new(Format::Frames).says(&frame(1, b"a"));
    // A pipe's reader could live on for a moment in a child that another test forks.
    let (gone, peer) = UnixStream::pair().unwrap();
    peer.shutdown(std::net::Shutdown::Both).unwrap();
    test.relay.out[0] = Some(Destination::new(gone).unwrap());
    assert_eq!(test.relay.step().unwrap(), Step::Closed(0));
    let [_, err] = test.says(&[frame(1, b"b"), frame(2, b"c")].concat()).end().unwrap();
    assert_eq!(err, "c");
}

#[test]
fn the_end_of_the_input_is_passed_on() {
    let mut test = Test::new(Format::Frames);
    test.input.take().unwrap().write_all(b"all").unwrap();
    let mut text = String::new();
    while test.relay.input.is_some() {
        wait(&test.relay);
        assert_eq!(test.relay.step().unwrap(), Step::Going);
    }
    test.engine.read_to_string(&mut text).unwrap();
    assert_eq!(text, "all");
}

#[test]
fn other_ends_of_the_input() {
    for (at_end, expected) in [(AtEnd::Type, "all\x04"), (AtEnd::Nothing, "all")] {
        let mut test = Test::new(Format::Frames);
        test.relay = test.relay.at_end(at_end);
        test.input.take().unwrap().write_all(b"all").unwrap();
        while test.relay.input.is_some() {
            wait(&test.relay);
            test.relay.step().unwrap();
        }
        let mut text = vec![0; expected.len()];
        test.engine.read_exact(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        // The connection is whole.
        test.engine.set_nonblocking(true).unwrap();
        let more = test.engine.read(&mut [0]).unwrap_err();
        assert_eq!(more.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn an_input_from_a_file() {
    let (ours, mut engine) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 300_000]).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let input = Input::new(file.into()).unwrap();
    let mut relay = Relay::new(ours.into(), Format::Frames, [None, None], Some(input)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        engine.read_to_end(&mut all).unwrap();
        (all.len(), engine)
    });
    while relay.input.is_some() {
        wait(&relay);
        relay.step().unwrap();
    }
    assert_eq!(reader.join().unwrap().0, 300_000);
}

#[test]
fn a_program_that_takes_no_input_goes_on() {
    let mut test = Test::new(Format::Frames);
    test.engine.shutdown(std::net::Shutdown::Read).unwrap();
    test.input.as_mut().unwrap().write_all(b"for nobody").unwrap();
    wait(&test.relay);
    assert_eq!(test.relay.step().unwrap(), Step::Going);
    let [out, _] = test.says(&frame(1, b"fine")).end().unwrap();
    assert_eq!(out, "fine");
}

#[test]
fn a_destination_that_fails() {
    let (ours, mut engine) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let full = Destination::new(File::options().write(true).open("/dev/full").unwrap()).unwrap();
    let mut relay = Relay::new(ours.into(), Format::Frames, [None, Some(full)], None).unwrap();
    engine.write_all(&frame(2, b"x")).unwrap();
    let broken = relay.step().unwrap_err();
    assert!(matches!(&broken, Broken::Output(1, e) if e.raw_os_error() == Some(28)), "{broken:?}");
}

#[test]
fn an_excuse_is_kept_apart() {
    let said = b"OCI runtime exec failed: exec: \"x\": not found\r\n";
    let (first, rest) = said.split_at(30);
    let mut test = Test::new(Format::Frames);
    test.relay = test.relay.expect_refusal();
    let test = test.says(&[frame(1, first), frame(1, rest)].concat());
    let Test { mut relay, engine, out, .. } = test;
    drop(engine);
    loop {
        match relay.step().unwrap() {
            Step::Ended => break,
            step => assert_eq!(step, Step::Excuse),
        }
        wait(&relay);
    }
    assert_eq!(relay.refusal().unwrap(), String::from_utf8_lossy(said).trim());
    // It was the program's own after all.
    relay.deliver_refusal().unwrap();
    relay.let_go();
    let mut text = Vec::new();
    out[0].as_ref().unwrap().read_to_end(&mut text).unwrap();
    assert_eq!(text, said);
}

#[test]
fn what_only_reads_like_an_excuse_goes_on() {
    let mut test = Test::new(Format::Frames).says(&frame(1, REFUSAL));
    test.relay = test.relay.expect_refusal();
    assert_eq!(test.relay.step().unwrap(), Step::Excuse);
    // There is a process.
    test.relay.no_excuse();
    wait(&test.relay);
    assert_eq!(test.relay.step().unwrap(), Step::Going);
    let mut text = vec![0; REFUSAL.len()];
    test.out[0].as_mut().unwrap().read_exact(&mut text).unwrap();
    assert_eq!(text, REFUSAL);
    let [out, _] = test.says(&frame(1, b"more")).end().unwrap();
    assert_eq!(out, "more");
}

#[test]
fn no_excuse_is_so_long_or_of_two_streams() {
    let long = [REFUSAL, &vec![b'x'; MAX_REFUSAL]].concat();
    let mut test = Test::new(Format::Frames);
    test.relay = test.relay.expect_refusal();
    let [out, _] = test.says(&[frame(1, &long), frame(1, b"!")].concat()).end().unwrap();
    assert_eq!(out.as_bytes(), [&long, &b"!"[..]].concat());

    let mut test = Test::new(Format::Frames);
    test.relay = test.relay.expect_refusal();
    let both = [frame(1, REFUSAL), frame(2, b"err"), frame(1, b"out")].concat();
    let [out, err] = test.says(&both).end().unwrap();
    assert_eq!((out.as_bytes(), err.as_str()), ([REFUSAL, b"out"].concat().as_slice(), "err"));
}

#[test]
fn only_the_first_thing_can_be_an_excuse() {
    let excuse = frame(1, REFUSAL);
    let mut test = Test::new(Format::Frames);
    test.relay = test.relay.expect_refusal();
    let [out, _] = test.says(&[frame(1, b"ok "), excuse].concat()).end().unwrap();
    assert_eq!(out.as_bytes(), [b"ok ", REFUSAL].concat());
}

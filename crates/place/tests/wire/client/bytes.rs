//! Much, both ways at once.

use super::*;
use std::sync::mpsc::{SyncSender, sync_channel};
use thither_place::wire::frame::{LONGEST_DATA, WINDOW};

const MUCH: usize = 64 * 1024 * 1024;

/// Bytes that show when any is lost, doubled or moved: those from `at` on, where each word is its own number.
fn fill(bytes: &mut [u8], at: usize) {
    for (i, byte) in bytes.iter_mut().enumerate() {
        let at = at + i;
        *byte = ((at / 4).wrapping_mul(0x9e37_79b1) >> (at % 4 * 8)) as u8;
    }
}

#[track_caller]
fn check(bytes: &[u8], at: usize) {
    let mut expected = vec![0; bytes.len()];
    fill(&mut expected, at);
    assert!(bytes == expected, "other bytes from {at} on");
}

/// Output in pieces of all sizes.
fn say_much(frames: &SyncSender<Vec<u8>>) {
    let sizes = [1, 4095, 4096, 65_536, 100_003, 7, LONGEST_DATA];
    let mut at = 0;
    for size in sizes.into_iter().cycle() {
        let mut body = vec![0; size.min(MUCH - at)];
        fill(&mut body, at);
        at += body.len();
        frames.send(Kind::Output.frame(&body)).unwrap();
        if at == MUCH {
            return;
        }
    }
}

/// Reads all input, and grants it anew.
fn hear_much(server: &mut Server, frames: &SyncSender<Vec<u8>>) {
    let (mut at, mut due) = (0, 0);
    loop {
        match server.next().unwrap() {
            (Kind::Input, body) => {
                check(&body, at);
                at += body.len();
                due += body.len();
                if due >= WINDOW / 4 {
                    frames.send(Kind::Credit.frame(&(due as u32).to_be_bytes())).unwrap();
                    due = 0;
                }
            }
            (Kind::EndInput, _) => break,
            other => panic!("{:?}", other.0),
        }
    }
    assert_eq!(at, MUCH);
}

fn feed(input: OwnedFd) {
    let mut input = File::from(input);
    let mut at = 0;
    while at < MUCH {
        let mut bytes = vec![0; 1_000_003.min(MUCH - at)];
        fill(&mut bytes, at);
        input.write_all(&bytes).unwrap();
        at += bytes.len();
    }
}

fn drain(output: OwnedFd) {
    let mut output = File::from(output);
    let (mut at, mut bytes) = (0, vec![0; 300_001]);
    loop {
        let n = output.read(&mut bytes).unwrap();
        if n == 0 {
            break;
        }
        check(&bytes[..n], at);
        at += n;
    }
    assert_eq!(at, MUCH);
}

/// A server of much. One thread writes all frames, as they may not be mixed.
fn serve(mut server: Server) {
    let (frames, to_write) = sync_channel::<Vec<u8>>(2);
    let mut stream = server.stream.try_clone().unwrap();
    let writing =
        thread::spawn(move || to_write.iter().for_each(|frame| stream.write_all(&frame).unwrap()));
    let output = frames.clone();
    let saying = thread::spawn(move || say_much(&output));
    hear_much(&mut server, &frames);
    drop(frames);
    saying.join().unwrap();
    writing.join().unwrap();
    server.exit(0);
}

#[test]
fn by_pipes() {
    within_deadline("64 MiB both ways", || {
        let command = quiet().stdin(Stream::Piped).stdout(Stream::Piped);
        let (mut process, server) = Server::of(&command, &LINK);
        let serving = thread::spawn(move || serve(server));
        let input = process.stdin.take().unwrap();
        let output = process.stdout.take().unwrap();
        let feeding = thread::spawn(move || feed(input));
        drain(output);
        assert_eq!(process.wait().unwrap(), Exit::Code(0));
        feeding.join().unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn by_descriptors_in_the_callers_loop() {
    within_deadline("64 MiB both ways", || {
        let (source, input) = pipe().unwrap();
        let (output, stdout) = UnixStream::pair().unwrap();
        let stdin = Stream::Fd(Arc::new(source.into()));
        let stdout = Stream::Fd(Arc::new(stdout.into()));
        let command = quiet().stdin(stdin).stdout(stdout);
        let (mut process, server) = Server::of(&command, &LINK);
        drop(command);
        let serving = thread::spawn(move || serve(server));
        let feeding = thread::spawn(move || feed(input.into()));
        let draining = thread::spawn(move || drain(output.into()));
        assert_eq!(next_event(&mut process).unwrap(), Event::Exited(Exit::Code(0)));
        for thread in [serving, feeding, draining] {
            thread.join().unwrap();
        }
    });
}

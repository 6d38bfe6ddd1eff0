//! Many bytes, and many connections.

use std::fs::File;
use std::io::{Read, Write};
use std::thread;

use thither_place::{Exit, Place, Stream};

use crate::common::{end, host, output, sh};
use testkit::within_deadline;

/// In each direction, in bytes.
const MUCH: usize = 64 << 20;

/// Bytes that differ wherever one is lost or swapped.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut all = Vec::with_capacity(MUCH);
    while all.len() < MUCH {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all
}

#[test]
fn much_goes_both_ways_at_once() {
    let host = host!().serves();
    let folder = tempfile::tempdir().unwrap();
    let (there, sent) = (folder.path().join("there"), folder.path().join("sent"));
    std::fs::write(&there, bytes(1)).unwrap();
    let script = format!("cat {} & cat >{}; wait", there.display(), sent.display());
    let command = sh(&script).stdin(Stream::Piped).stdout(Stream::Piped);
    let mut process = host.place().spawn(&command).unwrap();
    let mut stdin = File::from(process.stdin.take().unwrap());
    let mut stdout = File::from(process.stdout.take().unwrap());
    let writer = thread::spawn(move || stdin.write_all(&bytes(2)).unwrap());
    let received = within_deadline("64 MiB", move || {
        let mut received = Vec::with_capacity(MUCH);
        stdout.read_to_end(&mut received).map(|_| received)
    });
    writer.join().unwrap();
    assert_eq!(end(process), "Code(0)");
    assert!(received.unwrap() == bytes(1), "what came differs");
    assert!(std::fs::read(&sent).unwrap() == bytes(2), "what went differs");
}

#[test]
fn many_connections_at_once() {
    let host = host!().serves();
    let threads: Vec<_> = (0..20)
        .map(|i| {
            let place = host.place();
            thread::spawn(move || {
                let said = output(&place, &sh(&format!("echo {i}; exit {i}")));
                assert_eq!(said.stdout, format!("{i}\n").as_bytes());
                assert_eq!(said.exit, Exit::Code(i));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

//! What goes through, and how it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use testkit::{DEADLINE, wait_until, within_deadline};

use crate::server::{Peer, Server};

const MIB: usize = 1 << 20;
const MUCH: usize = 64 * MIB;

/// Bytes that show where they belong.
fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8
}

fn write_pattern(to: &mut impl Write, length: usize) {
    let mut piece = vec![0; 100_000];
    let mut at = 0;
    while at < length {
        let size = piece.len().min(length - at);
        for (n, byte) in piece[..size].iter_mut().enumerate() {
            *byte = pattern(at + n);
        }
        to.write_all(&piece[..size]).unwrap();
        at += size;
    }
    to.flush().unwrap();
}

/// Reads to the end, and says how much of the pattern there was.
#[track_caller]
fn read_pattern(from: &mut impl Read) -> usize {
    let mut piece = vec![0; 100_000];
    let mut at = 0;
    loop {
        let read = from.read(&mut piece).unwrap();
        if read == 0 {
            return at;
        }
        for &byte in &piece[..read] {
            assert_eq!(byte, pattern(at), "at byte {at}");
            at += 1;
        }
    }
}

/// The peer's end of the connection without losing what is in it.
fn close(peer: &mut Peer) {
    peer.conn.send_close_notify();
    peer.flush().unwrap();
}

/// The processor time of each bridge thread, in ticks of 10 ms.
fn bridges() -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ticks = |task: std::fs::DirEntry| {
        // proc_pid_stat(5): the name in parentheses is field 2, utime and stime are 14 and 15.
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
        name.ends_with("(tls").then(|| ticks(14) + ticks(15))
    };
    tasks.filter_map(|task| ticks(task.unwrap())).collect()
}

#[test]
fn much_both_ways_at_once() {
    let server = Server::new();
    let (mut stream, thread) = server.stream(|peer| {
        // Both halves of a TLS connection need its state, so the peer reads and writes by turns; what it
        // has read in between, it keeps.
        let (mut peer, mut got) = (peer, 0);
        let (mut wrote, mut piece) = (0, vec![0; 50_000]);
        while wrote < MUCH || got < MUCH {
            if wrote < MUCH {
                let size = 50_000.min(MUCH - wrote);
                let bytes: Vec<u8> = (wrote..wrote + size).map(pattern).collect();
                peer.write_all(&bytes).unwrap();
                wrote += size;
            }
            if got < MUCH {
                let read = peer.read(&mut piece).unwrap();
                assert!((0..read).all(|n| piece[n] == pattern(got + n)), "after byte {got}");
                got += read;
            }
        }
        close(&mut peer);
        (got, peer.read(&mut piece).unwrap())
    });
    within_deadline("64 MiB both ways", move || {
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            write_pattern(&mut writer, MUCH);
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(read_pattern(&mut stream), MUCH);
        writing.join().unwrap();
        assert_eq!(thread.join().unwrap(), (MUCH, 0));
    });
}

#[test]
fn the_end_of_ours_leaves_theirs_open() {
    let (mut stream, thread) = Server::new().stream(|mut peer| {
        let got = read_pattern(&mut peer);
        write_pattern(&mut peer, MIB);
        close(&mut peer);
        got
    });
    within_deadline("the answer", move || {
        write_pattern(&mut stream, MIB);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_pattern(&mut stream), MIB);
        assert_eq!(thread.join().unwrap(), MIB);
    });
}

#[test]
fn the_end_of_theirs_leaves_ours_open() {
    let (mut stream, thread) = Server::new().stream(|mut peer| {
        write_pattern(&mut peer, MIB);
        close(&mut peer);
        read_pattern(&mut peer)
    });
    within_deadline("the rest of ours", move || {
        assert_eq!(read_pattern(&mut stream), MIB);
        write_pattern(&mut stream, MIB);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(thread.join().unwrap(), MIB);
    });
}

#[test]
fn a_close_loses_nothing_that_was_written() {
    // The peer first reads when we are gone, and it answers what nobody reads.
    let (closed, may_read) = channel::<()>();
    let (mut stream, thread) = Server::new().stream(move |mut peer| {
        may_read.recv().unwrap_err();
        peer.write_all(&[0; 10_000]).unwrap();
        read_pattern(&mut peer)
    });
    within_deadline("what was written before the close", move || {
        write_pattern(&mut stream, 100_000);
        drop(stream);
        drop(closed);
        assert_eq!(thread.join().unwrap(), 100_000);
    });
}

#[test]
fn a_close_with_bytes_unread_reaches_the_peer() {
    let (stream, thread) = Server::new().stream(|mut peer| {
        peer.write_all(b"unread").unwrap();
        peer.flush().unwrap();
        peer.read(&mut [0]).unwrap()
    });
    within_deadline("the peer's end of input", move || {
        thither_term::poll(
            &[thither_term::Interest::Read(std::os::fd::AsFd::as_fd(&stream))],
            Some(DEADLINE),
        )
        .unwrap();
        drop(stream);
        assert_eq!(thread.join().unwrap(), 0);
    });
}

#[test]
fn a_half_closed_one_that_is_closed_reaches_the_peer() {
    let (stream, thread) = Server::new().stream(|mut peer| {
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        // Nothing is ever written, so only the end of the connection itself can be seen.
        let ended = peer.sock.read(&mut [0]);
        ended.map_err(|error| error.kind())
    });
    within_deadline("the end of the connection", move || {
        stream.shutdown(Shutdown::Write).unwrap();
        drop(stream);
        let ended = thread.join().unwrap();
        assert!(matches!(ended, Ok(0) | Err(ErrorKind::ConnectionReset)), "{ended:?}");
    });
}

/// Writes until an error, and returns it.
fn write_error(stream: &mut UnixStream) -> ErrorKind {
    loop {
        if let Err(error) = stream.write(&[0; 1000]) {
            return error.kind();
        }
    }
}

#[test]
fn a_cut_is_an_end_both_ways() {
    let (mut stream, thread) = Server::new().stream(|mut peer| {
        write_pattern(&mut peer, MIB);
        // Without close_notify, and without a reset that would take bytes along.
        peer.sock.shutdown(Shutdown::Write).unwrap();
        let _ = peer.sock.read(&mut [0; 1000]);
    });
    within_deadline("a cut", move || {
        assert_eq!(read_pattern(&mut stream), MIB);
        assert_eq!(write_error(&mut stream), ErrorKind::BrokenPipe);
        drop(stream);
        thread.join().unwrap();
    });
}

#[test]
fn garbage_after_good_bytes_is_a_cut() {
    let (mut stream, thread) = Server::new().stream(|mut peer| {
        write_pattern(&mut peer, 1000);
        peer.sock.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
        peer.sock.write_all(&[0; 40]).unwrap();
        peer.read(&mut [0]).map_err(|error| error.to_string())
    });
    within_deadline("a cut", move || {
        assert_eq!(read_pattern(&mut stream), 1000);
        assert_eq!(write_error(&mut stream), ErrorKind::BrokenPipe);
        let alert = thread.join().unwrap().unwrap_err();
        assert!(alert.contains("BadRecordMac"), "{alert}");
    });
}

#[test]
fn a_peer_that_does_not_read_holds_us_up() {
    let (stop, stopped) = channel::<()>();
    let (stream, thread) = Server::new().stream(move |mut peer| {
        write_pattern(&mut peer, MUCH);
        close(&mut peer);
        stopped.recv().unwrap_err();
        read_pattern(&mut peer)
    });
    within_deadline("a full pipe", move || {
        // What it sends comes through all the same.
        let mut reader = stream.try_clone().unwrap();
        let reading = thread::spawn(move || read_pattern(&mut reader));
        let piece: Vec<u8> = (0..MUCH).map(pattern).collect();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let (mut wrote, mut full) = (0, 0);
        // Full for good is when some looks in a row find no room.
        wait_until(DEADLINE, "no room", || match send(&stream, &piece[wrote..], flags) {
            Ok(size) => {
                (wrote, full) = (wrote + size, 0);
                while let Ok(size) = send(&stream, &piece[wrote..], flags)
                    && size > 0
                {
                    wrote += size;
                }
                wrote == MUCH
            }
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                full += 1;
                full >= 20 && reading.is_finished()
            }
        });
        assert!(wrote < MUCH / 4, "{wrote} bytes are held somewhere");
        assert_eq!(reading.join().unwrap(), MUCH);
        // The other connections are not held up.
        let (mut other, others) = Server::new().stream(|mut peer| {
            peer.write_all(b"x").unwrap();
            peer.flush().unwrap();
        });
        other.read_exact(&mut [0]).unwrap();
        others.join().unwrap();

        drop(stop);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(thread.join().unwrap(), wrote);
    });
}

#[test]
fn one_thread_for_all_that_rests_and_ends() {
    testkit::own_process!(|program| std::process::Command::new(program));
    assert_eq!(bridges(), [0; 0]);
    let server = Server::new();
    // One of each kind: open, half-closed by either side, with unread bytes.
    let mut open = Vec::new();
    for kind in 0..4 {
        let (stream, thread) = server.stream(move |mut peer| {
            match kind {
                1 => close(&mut peer),
                2 => peer.write_all(&vec![1; 4 * MIB]).unwrap_or_default(),
                _ => {}
            }
            let _ = peer.flush();
            let _ = peer.sock.read_to_end(&mut Vec::new());
        });
        if kind == 3 {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        open.push((stream, thread));
    }
    let mut byte = [1];
    assert_eq!(open[1].0.read(&mut byte).unwrap(), 0);
    open[2].0.read_exact(&mut byte).unwrap();

    let before = bridges();
    assert_eq!(before.len(), 1);
    let mut looks = 0;
    wait_until(DEADLINE, "some time passes", || {
        looks += 1;
        looks == 60
    });
    let spent = bridges()[0] - before[0];
    assert!(spent <= 3, "{spent} ticks for doing nothing");

    for (stream, thread) in open {
        drop(stream);
        thread.join().unwrap();
    }
    wait_until(DEADLINE, "the thread's end", || bridges().is_empty());
    assert!(
        testkit::descriptors(std::process::id())
            .iter()
            .all(|(_, to)| !to.to_string_lossy().contains("socket")
                && !to.to_string_lossy().contains("eventfd"))
    );
    // And again.
    let (mut stream, thread) = server.stream(|mut peer| {
        peer.write_all(b"x").unwrap();
        peer.flush().unwrap();
    });
    stream.read_exact(&mut byte).unwrap();
    thread.join().unwrap();
}

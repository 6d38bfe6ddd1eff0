//! A server that is far away: what counts is how often something has to go there and back.

use std::collections::HashSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use thither_term::{Interest, poll};

use super::*;

/// How many small files are copied.
const FILES: usize = 500;
/// After how long without a request the way there is over.
const QUIET: Duration = Duration::from_millis(3);

/// A way to a real server that takes whatever is asked without a pause there, and then all answers back; and how often it
/// was gone.
fn far(place: &Sftp) -> (Session, Arc<AtomicUsize>) {
    let (to, from, child) = place.server();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = rounds.clone();
    thread::spawn(move || -> io::Result<()> {
        let (mut client, mut to, mut from) = (theirs, fs::File::from(to), fs::File::from(from));
        loop {
            let mut packets = vec![packet(&mut client)?];
            while poll(&[Interest::Read(client.as_fd())], Some(QUIET))?[0].now {
                packets.push(packet(&mut client)?);
            }
            counted.fetch_add(1, Ordering::Relaxed);
            check_order(&packets);
            // The first packet has no id, and the answer to it neither.
            let mut ids: HashSet<Vec<u8>> =
                packets.iter().map(|packet| packet[5..9].to_vec()).collect();
            let answers = thread::scope(|scope| -> io::Result<Vec<Vec<u8>>> {
                scope.spawn(|| packets.iter().try_for_each(|packet| to.write_all(packet)));
                let mut answers = Vec::new();
                while !ids.is_empty() {
                    let answer = packet(&mut from)?;
                    assert!(ids.remove(&answer[5..9]), "each is answered once");
                    answers.push(answer);
                }
                Ok(answers)
            })?;
            client.write_all(&answers.concat())?;
        }
    });
    let to = ours.try_clone().unwrap();
    let session = Session::new(to.into(), ours.into()).unwrap().limit(testkit::DEADLINE);
    let session = session.on_loss(move || {
        drop(child);
        io::Error::other("the way is closed")
    });
    (session, rounds)
}

/// A server may do what it is asked in any order: nothing may be made in a directory that is not there yet for sure.
fn check_order(packets: &[Vec<u8>]) {
    const MKDIR: u8 = 14;
    let path = |packet: &Vec<u8>| {
        let length = packet.get(9..13).map(|it| u32::from_be_bytes(it.try_into().unwrap()));
        packet.get(13..13 + length.unwrap_or_default() as usize).map(<[u8]>::to_vec)
    };
    let made = packets.iter().filter(|packet| packet[4] == MKDIR);
    let made: HashSet<Vec<u8>> = made.filter_map(path).collect();
    for path in packets.iter().filter_map(path) {
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            assert!(!made.contains(&path[..at]), "{}", path.escape_ascii());
        }
    }
}

fn packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    let length = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

fn many() -> TempDir {
    let folder = TempDir::new().unwrap();
    for number in 0..FILES {
        let dir = folder.path().join("a").join((number % 50).to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(number.to_string()), number.to_string()).unwrap();
    }
    folder
}

#[test]
fn many_small_files_come_together() {
    need_server!();
    let from = many();
    for (way, place) in WAYS {
        let to = TempDir::new().unwrap();
        let (session, rounds) = far(place);
        Local.put(sftp::get(session, &from.path().join("a")).unwrap(), to.path()).unwrap();
        assert_eq!(shown(&to.path().join("a")), shown(&from.path().join("a")));
        let rounds = rounds.load(Ordering::Relaxed);
        assert!(rounds < FILES / 5, "{way}: {rounds}");
    }
}

#[test]
fn many_small_files_go_together() {
    need_server!();
    let from = many();
    for (way, place) in WAYS {
        let to = TempDir::new().unwrap();
        let (session, rounds) = far(place);
        sftp::put(session, Local.get(&from.path().join("a")).unwrap(), to.path()).unwrap();
        assert_eq!(shown(&to.path().join("a")), shown(&from.path().join("a")));
        let once = rounds.load(Ordering::Relaxed);
        assert!(once < FILES / 5, "{way}: {once}");
        // Into what is there by now.
        let (session, rounds) = far(place);
        sftp::put(session, Local.get(&from.path().join("a")).unwrap(), to.path()).unwrap();
        assert_eq!(names(&to.path().join("a")), names(&from.path().join("a")));
        let again = rounds.load(Ordering::Relaxed);
        assert!(again < FILES / 5, "{way}: {again}");
    }
}

#[test]
fn a_large_file_does_not_wait_for_each_piece() {
    need_server!();
    let folder = made("head -c 20000000 /dev/urandom > f; mkdir there back");
    let path = |name: &str| folder.path().join(name);
    // 611 pieces.
    let (session, rounds) = far(&FULL);
    sftp::put(session, Local.get(&path("f")).unwrap(), &path("there")).unwrap();
    let there = rounds.load(Ordering::Relaxed);
    let (session, rounds) = far(&FULL);
    Local.put(sftp::get(session, &path("f")).unwrap(), &path("back")).unwrap();
    let back = rounds.load(Ordering::Relaxed);
    assert!(there < 100 && back < 100, "{there} {back}");
    let content = fs::read(path("f")).unwrap();
    assert!(content == fs::read(path("there/f")).unwrap());
    assert!(content == fs::read(path("back/f")).unwrap());
}

//! An sftp server that answers bytes of any kind: no panic, no wait without end, no memory without bound, and nothing
//! outside of the destination.
//!
//! The first byte chooses what is asked for. The rest is cut into packets at 0xff; those that are long enough get the id of a
//! request that was made, or nothing but the first answer would be met.
#![no_main]

use std::io::{Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use thither_place::Archive;
use thither_remote::sftp::{self, Session};

/// What fits into a socket that nobody reads yet, in bytes.
const MOST: usize = 32 * 1024;
/// The answer to the greeting: version 3, and OpenSSH's extensions or none.
const VERSION: &[u8] = b"\x02\0\0\0\x03";
const EXTENSIONS: [&[u8]; 5] = [
    b"posix-rename@openssh.com",
    b"hardlink@openssh.com",
    b"lsetstat@openssh.com",
    b"limits@openssh.com",
    b"statvfs@openssh.com",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    let mut answers = Vec::new();
    if choice & 4 == 0 {
        let mut greeting = VERSION.to_vec();
        for name in EXTENSIONS.iter().filter(|_| choice & 8 != 0) {
            greeting.extend([&(name.len() as u32).to_be_bytes(), *name, b"\0\0\0\x011"].concat());
        }
        packet(&greeting, &mut answers);
    }
    let raw = choice & 16 != 0;
    for (number, answer) in bytes.split(|&byte| byte == 0xff).enumerate() {
        let mut answer = answer.to_vec();
        // Requests are counted from 1.
        if let Some(id) = answer.get_mut(1..5).filter(|_| !raw) {
            id.copy_from_slice(&(number as u32 + 1).to_be_bytes());
        }
        match raw {
            true => answers.extend(answer),
            false => packet(&answer, &mut answers),
        }
    }
    answers.truncate(MOST);
    theirs.write_all(&answers).expect("it fits");
    theirs.shutdown(std::net::Shutdown::Write).expect("it is open");
    let to = ours.try_clone().expect("a descriptor");
    let session = Session::new(to.into(), ours.into()).expect("two descriptors");
    let session = session.limit(Duration::from_millis(200));
    if choice & 1 == 0 {
        let Ok(archive) = sftp::get(session, "/x".as_ref()) else { return };
        // As it is unpacked elsewhere: no path leads through a link.
        let _ = std::io::copy(&mut archive.into_tar().take(1 << 20), &mut std::io::sink());
    } else {
        let archive = Archive::from_tar(Cursor::new(tar()), "r");
        let _ = sftp::put(session, archive, "/x".as_ref());
    }
    drop(theirs);
});

fn packet(content: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&(content.len() as u32).to_be_bytes());
    to.extend_from_slice(content);
}

/// A directory with one of each kind.
fn tar() -> Vec<u8> {
    let mut tar = header(b"r/", b'5', b"", 0);
    tar.extend(header(b"r/f", b'0', b"", 1));
    tar.extend([1; 512]);
    tar.extend(header(b"r/h", b'1', b"r/f", 0));
    tar.extend(header(b"r/l", b'2', b"f", 0));
    tar.extend(header(b"r/d/f", b'0', b"", 0));
    tar.extend([0; 1024]);
    tar
}

fn header(name: &[u8], flag: u8, link: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name);
    put(100, b"0000755\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[flag]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

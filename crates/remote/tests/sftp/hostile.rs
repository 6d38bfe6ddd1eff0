//! Servers that mean no good: an error, no panic, nothing without bound, and nothing outside of the destination.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::*;

// SSH_FXP_*
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const LSTAT: u8 = 7;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const READLINK: u8 = 19;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

const VERSION_3: &[u8] = b"\0\0\0\x05\x02\0\0\0\x03";

/// A session with a server that greets so, and answers each request by its kind and body with a kind and a body, or not.
fn session(
    greeting: &[u8],
    mut answer: impl FnMut(u8, &[u8]) -> Option<(u8, Vec<u8>)> + Send + 'static,
) -> Session {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let greeting = greeting.to_vec();
    thread::spawn(move || -> io::Result<()> {
        theirs.write_all(&greeting)?;
        // What the client says first needs no answer.
        read_packet(&mut theirs)?;
        loop {
            let packet = read_packet(&mut theirs)?;
            if let Some((kind, body)) = answer(packet[0], &packet[5..]) {
                theirs.write_all(&reply(kind, &packet[1..5], &body))?;
            }
        }
    });
    let to = ours.try_clone().unwrap();
    Session::new(to.into(), ours.into()).unwrap().limit(testkit::DEADLINE)
}

fn read_packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut packet)?;
    Ok(packet)
}

fn reply(kind: u8, id: &[u8], body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 5) as u32;
    [&length.to_be_bytes()[..], &[kind], id, body].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// The attributes of something with this mode and size.
fn attributes(mode: u32, size: u64) -> Vec<u8> {
    [&5_u32.to_be_bytes()[..], &size.to_be_bytes(), &mode.to_be_bytes()].concat()
}

fn listed(names: &[(&[u8], u32)]) -> Vec<u8> {
    let mut body = (names.len() as u32).to_be_bytes().to_vec();
    for (name, mode) in names {
        body.extend([string(name), string(b""), attributes(*mode, 4)].concat());
    }
    body
}

fn status(code: u32, message: &[u8]) -> (u8, Vec<u8>) {
    (STATUS, [code.to_be_bytes().to_vec(), string(message), string(b"")].concat())
}

const DIR: u32 = 0o40755;
const FILE: u32 = 0o100644;

/// What an archive has, or what is wrong with it at last.
fn read(session: Session) -> String {
    testkit::within_deadline("the end of an archive", || read_all(session))
}

fn read_all(session: Session) -> String {
    let mut archive = sftp::get(session, "/x".as_ref()).unwrap();
    let mut text = Vec::new();
    let read = |archive: &mut Archive, text: &mut Vec<String>| -> io::Result<()> {
        while let Some(entry) = archive.next_entry()? {
            let mut content = [0; 100_000];
            let mut length = 0;
            loop {
                match archive.read_content(&mut content)? {
                    0 => break,
                    read => length += read,
                }
            }
            text.push(format!("{} {:?} {length}", entry.path.display(), entry.kind));
        }
        Ok(())
    };
    if let Err(error) = read(&mut archive, &mut text) {
        text.push(super::said(&error));
    }
    text.join("; ")
}

#[track_caller]
fn check_greeting(greeting: &[u8], expected: &str) {
    let said = read(session(greeting, |_, _| None));
    assert_eq!(said, expected);
}

#[test]
fn what_is_no_sftp_server() {
    let shell = "the sftp server sent what is no packet: `Welcome to \\u{1b}[1mx`";
    check_greeting(b"Welcome to \x1b[1mx\nHave fun", shell);
    let new = "the sftp server speaks version 6, not 3";
    check_greeting(b"\0\0\0\x05\x02\0\0\0\x06", new);
    check_greeting(b"\0\0\0\x05\x65\0\0\0\x03", "the sftp server does not say its version");
    let none = "the sftp server sent what is no packet: `\\u{0}\\u{0}\\u{0}\\u{0}`";
    check_greeting(b"\0\0\0\0", none);
    let huge = "the sftp server sent what is no packet: `\\u{0}\\u{4}\\u{0}\\u{1}`";
    check_greeting(b"\0\x04\0\x01", huge);
}

#[test]
fn a_server_that_says_nothing() {
    let session = session(b"", |_, _| None).limit(Duration::from_millis(1));
    assert_eq!(read(session), "the sftp server does not answer");
}

/// What is said of a server that answers the first question so.
#[track_caller]
fn check_answer(kind: u8, body: &[u8], expected: &str) {
    let body = body.to_vec();
    assert_eq!(read(session(VERSION_3, move |_, _| Some((kind, body.clone())))), expected);
}

#[test]
fn answers_of_another_kind() {
    let root = |text: &str| format!("cannot read `x`: {text}");
    check_answer(HANDLE, &string(b"h"), &root("the sftp server answered something else"));
    check_answer(ATTRS, b"\0\0\0\x05", "the sftp server sent a malformed packet");
    check_answer(77, b"", "the sftp server sent a packet of an unknown kind");
    let (kind, body) = status(0, b"fine");
    check_answer(kind, &body, &root("the sftp server says that all is well, and no more"));
    let (kind, body) = status(4, b"no\x1b[2J\n");
    check_answer(kind, &body, &root("the sftp server says: no\\u{1b}[2J\\n"));
    let (kind, body) = status(4, &[b'n'; 100_000]);
    check_answer(kind, &body, &root(&format!("the sftp server says: {}", "n".repeat(256))));
    check_answer(ATTRS, &[0; 4], &root("it is of an unknown kind, which is not copied"));
    // An answer to a request that nobody made.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(VERSION_3).unwrap();
    theirs.write_all(&reply(ATTRS, b"\0\0\x01\0", &attributes(FILE, 0))).unwrap();
    let session = Session::new(ours.try_clone().unwrap().into(), ours.into()).unwrap();
    assert_eq!(read(session), "the sftp server answered what was not asked");
}

/// What is said of a directory in which something has this name.
#[track_caller]
fn check_name(name: &[u8], expected: &str) {
    let mut is_listed = false;
    let name = name.to_vec();
    let session = session(VERSION_3, move |kind, _| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(DIR, 0)),
            OPENDIR => (HANDLE, string(b"h")),
            READDIR if !std::mem::replace(&mut is_listed, true) => {
                (NAME, listed(&[(b".", DIR), (b"..", DIR), (&name, 0o120777)]))
            }
            READLINK => (NAME, listed(&[(b"/etc", 0)])),
            _ => status(1, b""),
        })
    });
    assert_eq!(read(session), expected);
}

#[test]
fn names() {
    check_name(b"a", " Directory 0; a Symlink(\"/etc\") 0");
    check_name(b"\xff\n", " Directory 0; \u{fffd}\n Symlink(\"/etc\") 0");
    for (name, shown) in [
        (&b"../a"[..], "../a"),
        (b"/etc/passwd", "/etc/passwd"),
        (b"a/b", "a/b"),
        (b"a\0b", "a\\u{0}b"),
        (b"", ""),
    ] {
        let said = format!("cannot read `x`: the sftp server says that `{shown}` is a name");
        check_name(name, &format!(" Directory 0; {said}"));
    }
    let said = "cannot read `x`: a path in it is too long";
    check_name(&[b'n'; 5000], &format!(" Directory 0; {said}"));
}

#[test]
fn a_link_that_is_a_directory_too() {
    let outside = TempDir::new().unwrap();
    let target = outside.path().as_os_str().as_bytes().to_vec();
    let mut listings = std::collections::HashSet::new();
    let mut opened = 0_u32;
    let session = session(VERSION_3, move |kind, body| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(DIR, 0)),
            OPENDIR | OPEN => {
                opened += 1;
                (HANDLE, string(&opened.to_be_bytes()))
            }
            READDIR if listings.insert(body.to_vec()) && opened == 1 => {
                (NAME, listed(&[(b"a", 0o120777), (b"a", DIR)]))
            }
            READDIR if listings.len() == 2 => (NAME, listed(&[(b"precious", FILE)])),
            READLINK => (NAME, listed(&[(&target, 0)])),
            _ => status(1, b""),
        })
    });
    let folder = TempDir::new().unwrap();
    let archive = sftp::get(session, "/x".as_ref()).unwrap();
    let error = Local.put(archive, folder.path()).unwrap_err();
    let twice = "bad archive: `a` is something else and then a directory";
    assert!(said(&error).ends_with(twice), "{}", said(&error));
    assert_eq!(super::names(folder.path()), [""; 0]);
    assert_eq!(super::names(outside.path()), [""; 0]);
}

#[test]
fn directories_without_end() {
    // One that has always more names.
    let names: Vec<Vec<u8>> = (0..500).map(|at| vec![b'a' + (at % 26) as u8; 250]).collect();
    let session = session(VERSION_3, move |kind, _| match kind {
        LSTAT => Some((ATTRS, attributes(DIR, 0))),
        OPENDIR => Some((HANDLE, string(b"h"))),
        READDIR => {
            let names: Vec<(&[u8], u32)> = names.iter().map(|name| (&name[..], FILE)).collect();
            Some((NAME, listed(&names)))
        }
        _ => None,
    });
    assert_eq!(read(session), " Directory 0; cannot read `x`: too many names are in it");
}

#[test]
fn directories_in_directories() {
    // Each handle is listed once.
    let mut listings = 0_u32;
    let mut listed_once = std::collections::HashSet::new();
    let answer = move |kind: u8, body: &[u8]| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(DIR, 0)),
            OPENDIR => {
                listings += 1;
                (HANDLE, string(&listings.to_be_bytes()))
            }
            READDIR if listed_once.insert(body.to_vec()) => (NAME, listed(&[(&[b'd'; 200], DIR)])),
            _ => status(1, b""),
        })
    };
    let folder = TempDir::new().unwrap();
    let archive = sftp::get(session(VERSION_3, answer), "/x".as_ref()).unwrap();
    let error = Local.put(archive, folder.path()).unwrap_err();
    assert!(said(&error).ends_with("a path in it is too long"), "{}", said(&error));
    assert_eq!(super::names(folder.path()), [""; 0]);
}

#[test]
fn a_directory_that_lists_nothing_for_ever() {
    let session = session(VERSION_3, |kind, _| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(DIR, 0)),
            OPENDIR => (HANDLE, string(b"h")),
            READDIR => (NAME, listed(&[])),
            _ => status(0, b""),
        })
    });
    let said = "cannot read `x`: the sftp server lists nothing, again and again";
    assert_eq!(read(session), format!(" Directory 0; {said}"));
}

/// What is said of a file that is announced with this size, and of which a read gives what `content` says.
#[track_caller]
fn check_size(size: u64, content: impl Fn(u64, u32) -> usize + Send + 'static, expected: &str) {
    let session = session(VERSION_3, move |kind, body| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(FILE, size)),
            OPEN => (HANDLE, string(b"h")),
            READ => {
                let offset = u64::from_be_bytes(body[5..13].try_into().unwrap());
                let length = u32::from_be_bytes(body[13..17].try_into().unwrap());
                match content(offset, length) {
                    usize::MAX => status(1, b""),
                    length => (DATA, string(&vec![7; length])),
                }
            }
            CLOSE => status(0, b""),
            _ => status(4, b"what?"),
        })
    });
    assert_eq!(read(session), expected);
}

#[test]
fn sizes_that_are_not_true() {
    let until = |end: u64| {
        move |offset: u64, length: u32| match end.checked_sub(offset) {
            None | Some(0) => usize::MAX,
            Some(left) => left.min(u64::from(length)) as usize,
        }
    };
    check_size(10, until(10), " File 10");
    check_size(10, until(3), " File 3");
    check_size(10, until(1 << 40), " File 10");
    check_size(200_000, until(200_000), " File 200000");
    check_size(0, until(100_000), " File 100000");
    let shrank = "cannot read `x`: it became shorter while it was read";
    check_size(200_000, until(100_000), shrank);
    check_size(1 << 62, until(100_000), shrank);
    check_size(0, until(1 << 40), "cannot read `x`: it says that it is empty and goes on and on");
    let great = "bad archive: `` has a size that is too great";
    check_size(u64::MAX, until(5), great);
    let other = "cannot read `x`: the sftp server gave more or less of a file than was asked for";
    check_size(10, |_, _| 11, other);
    check_size(10, |_, _| 0, other);
    check_size(10, |_, _| 100_000, other);
    // A byte at a time, and the last first.
    check_size(70_000, |offset, _| if offset < 70_000 { 1 } else { usize::MAX }, " File 70000");
}

#[test]
fn a_file_that_cannot_be_read() {
    let session = session(VERSION_3, |kind, _| {
        Some(match kind {
            LSTAT => (ATTRS, attributes(FILE, 1 << 20)),
            OPEN => (HANDLE, string(b"h")),
            _ => status(4, b"I/O error"),
        })
    });
    assert_eq!(read(session), "cannot read `x`: the sftp server says: I/O error");
}

#[test]
fn a_copy_to_a_server_that_refuses_everything() {
    let refused = || {
        session(VERSION_3, |kind, _| {
            Some(match kind {
                17 => (ATTRS, attributes(DIR, 0)),
                LSTAT => status(2, b""),
                _ => status(3, b"no"),
            })
        })
    };
    let put = |parts: &[Vec<u8>]| sftp::put(refused(), archive(parts), "/x".as_ref()).unwrap_err();
    let denied = "cannot copy to `/x`: cannot write `r`: Permission denied (os error 13)";
    assert_eq!(said(&put(&[directory(b"r/"), file(b"r/a", b"x")])), denied);
    let denied = "cannot copy to `/x`: cannot write `r`: Permission denied (os error 13)";
    assert_eq!(said(&put(&[file(b"r", &[7; 1 << 20])])), denied);
}

#[test]
fn a_copy_to_a_server_that_ends() {
    let session = session(VERSION_3, |kind, _| match kind {
        17 => Some((ATTRS, attributes(DIR, 0))),
        LSTAT => Some(status(2, b"")),
        _ => panic!("on purpose"),
    });
    let error = sftp::put(session, archive(&[file(b"r", &[7; 5 << 20])]), "/x".as_ref());
    let text = "cannot copy to `/x`: the sftp server ended the connection";
    assert_eq!(said(&error.unwrap_err()), text);
}

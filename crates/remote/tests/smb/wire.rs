//! An enemy at the other end of the pipe, who speaks our protocol and lies. What it sends has gone through a real smbd.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use testkit::within_deadline;
use thither_place::wire::frame::{LONGEST_DATA, LONGEST_SMALL, hello};
use thither_place::wire::{Kind, Side};
use thither_place::{Place, Stream};

use crate::common::{Host, host, sh, told};

/// What is sent to a client that has asked for something: whole, and then over and over until the client has gone.
#[derive(Clone, Default)]
struct Lie {
    once: Vec<u8>,
    endless: Vec<u8>,
    /// Whether the pipe is closed then, however much of it has arrived.
    ends: bool,
}

/// A server of a pipe, which tells each client the next lie.
struct Enemy {
    host: Host,
    lies: Sender<Lie>,
    /// How much of the endless part went, in bytes.
    sent: Receiver<usize>,
}

impl Enemy {
    fn new(host: Host) -> Enemy {
        let (lies, next) = channel::<Lie>();
        let (report, sent) = channel();
        let pipe = host.smbd.pipe("thither");
        thread::spawn(move || {
            while let Ok(stream) = pipe.accept() {
                let Ok(lie) = next.recv() else { return };
                let _ = report.send(tell(stream, &lie));
            }
        });
        Enemy { host, lies, sent }
    }

    /// What comes of a command whose output is read, but not its errors.
    #[track_caller]
    fn hear(&self, lie: Lie) -> String {
        self.lies.send(lie).unwrap();
        let place = self.host.place();
        let address = place.address();
        let command = sh("true").stdin(Stream::Null).stdout(Stream::Piped).stderr(Stream::Null);
        let result = within_deadline("an end", move || {
            let mut process = place.spawn(&command)?;
            let mut stdout = std::fs::File::from(process.stdout.take().unwrap());
            let copied = io::copy(&mut stdout, &mut io::sink());
            let exit = process.wait()?;
            Ok((exit, copied.unwrap_or(0)))
        });
        let text = match result {
            Ok((exit, bytes)) => format!("{exit:?} after {bytes} bytes"),
            Err(error) => told(&error),
        };
        text.replace(&address, "smb:HOST")
    }

    /// A client that is told half of something, and then no more.
    #[track_caller]
    fn check_half(&self, frames: &[&[u8]]) {
        let lie = Lie { once: frames.concat(), ends: true, ..Lie::default() };
        assert_eq!(self.hear(lie), "connection to `smb:HOST` lost");
        self.sent.recv().unwrap();
    }

    #[track_caller]
    fn check(&self, frames: &[&[u8]], expected: &str) {
        assert_eq!(self.hear(Lie { once: frames.concat(), ..Lie::default() }), expected);
        self.sent.recv().unwrap();
    }
}

fn tell(mut stream: UnixStream, lie: &Lie) -> usize {
    // It has asked: then it hears it all, whatever else it says.
    let _ = stream.read(&mut [0; 4096]);
    let mut sent = 0;
    let mut told = stream.write_all(&lie.once);
    while told.is_ok() && !lie.endless.is_empty() {
        told = stream.write_all(&lie.endless);
        sent += lie.endless.len();
    }
    // smbd would drop what it has not handed on yet.
    if !lie.ends {
        let _ = io::copy(&mut stream, &mut io::sink());
    }
    sent
}

fn welcome() -> Vec<u8> {
    hello(Side::Server)
}

/// The first two frames of a server that runs something.
fn started() -> Vec<u8> {
    [welcome(), Kind::Started.frame(&[0; 4])].concat()
}

/// A head that announces so many bytes.
fn head(kind: u8, length: u32) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes()].concat()
}

fn exited(code: u32) -> Vec<u8> {
    Kind::Exited.frame(&[&[0][..], &code.to_be_bytes()].concat())
}

#[test]
fn before_anything_is_agreed() {
    let enemy = Enemy::new(host!());
    let check = |frames: &[&[u8]], why: &str| {
        let hint = "is it a daemon of thither?";
        let expected = format!("cannot enter `smb:HOST`: malformed frame: {why}; hint: {hint}");
        enemy.check(frames, &expected);
    };
    check(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "nobody knows its kind");
    check(&[&head(0xff, 0)], "nobody knows its kind");
    check(&[&head(0x81, u32::MAX)], "it is too long");
    check(&[&head(0x81, LONGEST_SMALL as u32 + 1)], "it is too long");
    check(&[&head(0x81, 9), b"THITHER\0\x01"], "it does not begin as it should");
    check(&[&head(0x81, 9), b"thither\0\0"], "there is no version 0");
    check(&[&head(0x81, 8), b"thither\0"], "it has no version");
    // A client's frame; what comes too early; half of a frame.
    check(&[&hello(Side::Client)], "the other side sends its kind");
    check(&[&Kind::Started.frame(&[0; 4])], "it comes at the wrong time");
    check(&[&exited(0)], "it comes at the wrong time");
    check(&[&Kind::Output.frame(b"x")], "it comes at the wrong time");
    enemy.check_half(&[&head(0x81, 9), b"thi"]);
    enemy.check_half(&[]);
}

#[test]
fn before_anything_runs() {
    let enemy = Enemy::new(host!());
    let check = |frames: &[&[u8]], why: &str| {
        let frames = [&welcome(), &frames.concat()[..]].concat();
        enemy.check(&[&frames], &format!("cannot enter `smb:HOST`: malformed frame: {why}"));
    };
    check(&[&welcome()], "it comes at the wrong time");
    check(&[&Kind::Started.frame(&[0; 3])], "no such id");
    check(&[&Kind::Started.frame(&[0; 5])], "no such id");
    check(&[&Kind::Refused.frame(b"")], "it ends too early");
    check(&[&Kind::Refused.frame(&[0xff; 64])], "nobody knows this reason");
    check(&[&head(0x83, 1 << 20)], "it is too long");
    check(&[&Kind::Output.frame(b"x")], "it comes at the wrong time");
    check(&[&exited(0)], "it comes at the wrong time");
    check(&[&Kind::Pong.frame(b"")], "it comes at the wrong time");
    check(&[&Kind::Ping.frame(b"")], "the other side sends its kind");
    check(&[&head(0x84, LONGEST_DATA as u32 + 1)], "it is too long");
    enemy.check_half(&[&welcome()]);
}

#[test]
fn while_it_runs() {
    let enemy = Enemy::new(host!());
    let check = |frames: &[&[u8]], why: &str| {
        let frames = [&started(), &frames.concat()[..]].concat();
        let action = "cannot read what comes from the command in `smb:HOST`";
        enemy.check(&[&frames], &format!("{action}: malformed frame: {why}"));
    };
    check(&[&started()], "it comes at the wrong time");
    check(&[&Kind::Refused.frame(&[0; 8])], "it comes at the wrong time");
    check(&[&Kind::Input.frame(b"x")], "the other side sends its kind");
    check(&[&Kind::Errors.frame(b"nobody has asked")], "nobody has asked for this output");
    check(&[&head(0x84, LONGEST_DATA as u32 + 1)], "it is too long");
    check(&[&head(0x84, u32::MAX)], "it is too long");
    check(&[&Kind::Credit.frame(&[0; 3])], "no such credit");
    check(&[&Kind::Stopped.frame(&[0])], "no such end");
    check(&[&Kind::Stopped.frame(&[255])], "no such end");
    let half = [Kind::Output.frame(b"half"), head(0x84, 9), b"x".to_vec()].concat();
    enemy.check_half(&[&started(), &half]);
    enemy.check_half(&[&started()]);
}

#[test]
fn how_it_ended() {
    let enemy = Enemy::new(host!());
    let check = |body: &[u8], why: &str| {
        let frames = [started(), Kind::Exited.frame(body)].concat();
        let action = "cannot read what comes from the command in `smb:HOST`";
        enemy.check(&[&frames], &format!("{action}: malformed frame: {why}"));
    };
    let after = |frames: &[&[u8]]| [&started(), &frames.concat()[..]].concat();
    let exited_by = |body: &[u8]| after(&[&Kind::Exited.frame(body)]);
    check(&[1, 0, 0, 0, 0], "no such end");
    check(&[1, 0, 0, 0, 65], "no such end");
    check(&[1, 0, 0, 0, 255], "no such end");
    check(&[1, 1, 0, 0, 9], "no such end");
    check(&[2, 0, 0, 0, 0], "no such end");
    check(&[0, 0, 0, 0], "no such end");
    check(&[0; 6], "no such end");
    check(&[], "no such end");
    // What is no lie, and what follows the end, which nobody hears.
    enemy.check(&[&exited_by(&[1, 0, 0, 0, 9])], "Signal(9) after 0 bytes");
    enemy.check(&[&exited_by(&[0, 0xff, 0xff, 0xff, 0xff])], "Code(-1) after 0 bytes");
    let more = Kind::Output.frame(&[b'x'; 1000]);
    enemy
        .check(&[&after(&[&more, &exited(7), &more, b"\xff\xff\xff"])], "Code(7) after 1000 bytes");
}

/// The most that this process has held, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// What a client that hears this without end comes to, and that it does not keep it.
#[track_caller]
fn check_endless(once: Vec<u8>, endless: &[u8], why: &str) {
    let enemy = Enemy::new(match Host::new("") {
        Ok(host) => host,
        Err(reason) => testkit::skip!("{reason}"),
    });
    // Everything that is needed once.
    enemy.hear(Lie { once: [started(), exited(0)].concat(), ..Lie::default() });
    enemy.sent.recv().unwrap();
    let before = peak();
    let endless = endless.repeat((1 << 16) / endless.len());
    let said = enemy.hear(Lie { once, endless, ends: false });
    let expected = format!("cannot enter `smb:HOST`: malformed frame: {why}");
    assert_eq!(said.split(';').next(), Some(&*expected));
    let grown = peak() - before;
    assert!(grown < 8 << 10, "{grown} KiB");
}

#[test]
fn endless_output_of_nothing() {
    testkit::own_process!(|program| std::process::Command::new(program));
    check_endless(welcome(), &Kind::Output.frame(&[b'x'; 1000]), "it comes at the wrong time");
    check_endless(Vec::new(), &[0; 1000], "nobody knows its kind");
}

#[test]
fn much_that_says_nothing() {
    testkit::own_process!(|program| std::process::Command::new(program));
    let enemy = Enemy::new(host!());
    enemy.hear(Lie { once: [started(), exited(0)].concat(), ..Lie::default() });
    enemy.sent.recv().unwrap();
    let empty = Kind::Output.frame(b"");
    let credit = Kind::Credit.frame(&u32::MAX.to_be_bytes());
    let flood = [empty, credit, Kind::Pong.frame(&[0; 100]), Kind::Output.frame(b"y")].concat();
    let count = (8 << 20) / flood.len();
    let once = [started(), flood.repeat(count), exited(3)].concat();
    let before = peak();
    let said = enemy.hear(Lie { once, ..Lie::default() });
    assert_eq!(said, format!("Code(3) after {count} bytes"));
    let grown = peak() - before;
    assert!(grown < 8 << 10, "{grown} KiB");
}

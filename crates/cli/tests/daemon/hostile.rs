//! What strangers try, from the outside. What needs TLS on the stranger's side is with the daemon's crate.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use testkit::{DEADLINE, Network};

use crate::harness::{Daemon, Folders, THITHER, ends, failure, prints, rest, says, says_to};

/// A connection by hand, which gives up at the deadline.
trait Raw: Read + Write {}

impl Raw for TcpStream {}
impl Raw for UnixStream {}

fn raw(daemon: &Daemon) -> Box<dyn Raw> {
    let to = daemon.place.trim_start_matches("daemon:");
    if to.starts_with('/') {
        let stream = UnixStream::connect(to).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        return Box::new(stream);
    }
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Box::new(stream)
}

/// Waits until the daemon hangs up, and gives what it said.
#[track_caller]
fn hung_up(mut stream: impl Read) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => said,
    }
}

fn both(args: &[&str], check: impl Fn(Daemon)) {
    check(Daemon::unix(args));
    check(Daemon::tcp(args));
}

#[test]
fn who_says_nothing_or_too_slowly() {
    both(&["--greeting", "1"], |mut daemon| {
        let before = daemon.size();
        hung_up(raw(&daemon));
        daemon.event("unheard");
        // A byte now and then is no more than nothing.
        let mut slow = raw(&daemon);
        let bytes: &[u8] = match daemon.place.contains('/') {
            true => b"\x01\0\0\0\x09thither\0\x01\x02\0\x01\0\0",
            false => b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        };
        for byte in bytes {
            slow.write_all(&[*byte]).unwrap();
        }
        hung_up(slow);
        daemon.event("unheard");
        daemon.works();
        daemon.shrinks_to(before);
    });
}

#[test]
fn garbage() {
    both(&[], |mut daemon| {
        let before = daemon.size();
        let long = vec![0xff; 1 << 20];
        let hello = b"\x01\0\0\0\x09thither\0\x01".to_vec();
        let after = |rest: &[u8]| [&hello, rest].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            b"SSH-2.0-x\r\n".to_vec(),
            vec![0; 64],
            long.clone(),
            b"\x01\0\0\0\x09THITHER\0\x01".to_vec(),
            after(b"\x02\xff\xff\xff\xff"),
            after(b"\x03\0\0\0\x01x"),
            after(b"\x02\0\0\0\x00"),
            after(b"\x02\0\0\0\x04\xff\xff\xff\xff"),
            after(b"\x01\0\0\0\x09thither\0\x01"),
            after(b"\x81\0\0\0\x00"),
            b"\x16\x03\x01\xff\xff".to_vec(),
            b"\x16\x03\x01\0\x04\x01\xff\xff\xff".to_vec(),
        ] {
            let mut stream = raw(&daemon);
            // It may be cut off before it has said all.
            let _ = stream.write_all(&bytes);
            if daemon.place.contains('/') || bytes.len() != 5 {
                hung_up(stream);
            } else {
                drop(stream);
            }
            let unheard = daemon.event("unheard");
            assert!(unheard["why"].is_string(), "{unheard}");
        }
        daemon.works();
        daemon.shrinks_to(before);
    });
}

#[test]
fn random_bytes_after_a_good_greeting() {
    let daemon = Daemon::unix(&[]);
    let before = daemon.size();
    let mut state = 7_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for round in 0..500 {
        let mut bytes = b"\x01\0\0\0\x09thither\0\x01".to_vec();
        // A request of some length, and whatever is in it, and frames of all kinds after it.
        let length = next();
        bytes.extend([2, 0, 0, 0, length]);
        bytes.extend((0..length).map(|i| if i == 0 { next() % 8 } else { next() & next() }));
        for _ in 0..next() % 8 {
            let length = next() % 16;
            bytes.extend([next() % 10, 0, 0, 0, length]);
            bytes.extend((0..length).map(|_| next()));
        }
        let mut stream = raw(&daemon);
        let _ = stream.write_all(&bytes);
        if round % 2 == 0 {
            let _ = stream.read(&mut [0; 64]);
        }
    }
    daemon.works();
    daemon.shrinks_to(before);
}

/// One more cuts off the one that has said nothing for longest, and nobody who means it.
#[test]
fn two_hundred_that_say_nothing() {
    both(&["--greeting", "1000", "--strangers", "64"], |mut daemon| {
        let is_far = !daemon.place.contains('/');
        let before = daemon.size();
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.extend((0..20).map(|_| raw(&daemon)));
            daemon.works();
        }
        if !is_far {
            // The kernel says whose they are: they are as known as the one that works.
            drop(silent);
            return daemon.shrinks_to(before);
        }
        daemon.event("cut");
        let [descriptors, threads] = daemon.size();
        assert!(
            threads <= before[1] + 64 && descriptors <= before[0] + 64 * 6,
            "{descriptors} {threads}"
        );
        drop(silent);
        daemon.shrinks_to(before);
    });
}

#[test]
fn a_flood() {
    both(&[], |daemon| {
        daemon.works();
        let before = daemon.size();
        for _ in 0..2000 {
            drop(raw(&daemon));
        }
        daemon.works();
        let memory = daemon.memory("VmRSS");
        for _ in 0..2000 {
            drop(raw(&daemon));
        }
        daemon.works();
        daemon.shrinks_to(before);
        let after = daemon.memory("VmRSS");
        assert!(after < memory + 4096, "{memory} KiB have become {after}");
    });
}

#[test]
fn too_many_who_are_known() {
    both(&["--connections", "2"], |mut daemon| {
        let mut running: Vec<_> =
            (0..2).map(|_| daemon.running(&["sh", "-c", "echo $$; cat"]).0).collect();
        let said = failure(says(&mut daemon.run(&["true"])));
        assert!(said.contains("too many are connected already"), "{said}");
        assert_eq!(daemon.event("denied")["why"], "too many are connected already");
        let mut one = running.pop().unwrap();
        drop(one.stdin.take());
        assert_eq!(rest(one).2, 0);
        daemon.event("end");
        testkit::wait_until(DEADLINE, "room for one", || says(&mut daemon.run(&["true"])).2 == 0);
        let mut other = running.pop().unwrap();
        drop(other.stdin.take());
        assert_eq!(rest(other).2, 0);
    });
}

#[test]
fn a_thousand_connections_leave_nothing() {
    let daemon = Daemon::unix(&[]);
    daemon.works();
    let before = daemon.size();
    let greeting = b"\x01\0\0\0\x09thither\0\x01";
    for _ in 0..1000 {
        let mut stream = raw(&daemon);
        // It is no request of that protocol, and one is never half done.
        stream.write_all(&[&greeting[..], b"\x02\0\0\0\x01\x04"].concat()).unwrap();
        hung_up(stream);
    }
    daemon.shrinks_to(before);
}

/// A daemon in a network of its own, and its client here.
fn far_away() -> Result<(Network, Daemon), String> {
    let network = Network::new()?;
    let folders = Folders::new();
    let token = folders.token();
    let mut command = Command::new(network.words()[0]);
    folders.at("there", command.env_clear()).args(&network.words()[1..]).arg(THITHER);
    command.args(["serve", "--allow-root", "--log", "json", "--listen"]);
    command.arg(format!("{}:0", network.address())).stdin(Stdio::null());
    let daemon = Daemon::of(folders, command);
    let mut pair = daemon.here(["pair", &daemon.place]);
    assert_eq!(says_to(&mut pair, token.as_bytes()).2, 0);
    Ok((network, daemon))
}

/// Nothing tells that the link is cut, but that the other side does not answer any more.
#[test]
fn a_link_that_is_cut() {
    let (network, mut daemon) = match far_away() {
        Ok(far) => far,
        Err(reason) => testkit::skip!("{reason}"),
    };
    let place = daemon.place.clone();
    daemon.place = format!("{place}?keep-alive=1");
    let (child, pid) = daemon.running(&["sh", "-c", "echo $$; exec sleep 1000"]);
    // What is on its way is sent again for a quarter of an hour (tcp(7)); only a link that is idle is probed.
    testkit::wait_until(DEADLINE, "that all was acknowledged", || {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", daemon.pid)).unwrap();
        let queue =
            |line: &str| line.split_whitespace().nth(4).map(|word| word.starts_with("00000000:"));
        table.lines().skip(1).all(|line| queue(line) == Some(true))
    });
    network.cut();
    let said = failure(rest(child));
    assert_eq!(said, format!("error: connection to `{place}` lost\n"));
    let said = failure(says(&mut daemon.here(["run", &format!("{place}?timeout=1"), "true"])));
    assert!(said.contains("timed out"), "{said}");
    // The daemon finds it as well: 15 seconds of silence, and three probes without an answer, 15 seconds apart.
    let end = daemon.event_within(Duration::from_secs(120), "end");
    assert_eq!(end["why"], "the client is gone");
    ends(pid.parse().unwrap(), "what nobody waits for any more");
    network.mend();
    daemon.works();
}

/// The folder of keys of a daemon on a full disk, for as long as this lives.
struct Full(std::path::PathBuf);

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    if !testkit::is_root() {
        testkit::skip!("only root can mount a small disk");
    }
    let folders = Folders::new();
    let config = folders.path("there").join("config");
    let mount = ["-t", "tmpfs", "-o", "size=64k,mode=0700", "none"];
    assert!(Command::new("mount").args(mount).arg(&config).status().unwrap().success());
    let _full = Full(config.clone());
    let token = folders.token();
    let mut daemon = Daemon::start(folders, &["--listen", "127.0.0.1:0"]);
    // Not even a byte is left, nor does the token's end give any back.
    let tokens = fs::read_dir(daemon.folders.keys("there").join("tokens")).unwrap();
    for (n, entry) in tokens.flatten().enumerate() {
        fs::hard_link(entry.path(), config.join(format!("kept{n}"))).unwrap();
    }
    fs::write(config.join("fill"), vec![0; 60 << 10]).ok();
    let mut file = fs::File::options().append(true).create(true).open(config.join("fill")).unwrap();
    while file.write_all(&[0]).is_ok() {}
    let said = failure(says_to(&mut daemon.here(["pair", &daemon.place]), token.as_bytes()));
    assert!(said.contains("its keys cannot be written"), "{said}");
    let keys = daemon.event("keys");
    assert!(keys["error"].as_str().unwrap().to_lowercase().contains("no space left"), "{keys}");
    let names: Vec<_> = fs::read_dir(daemon.folders.keys("there"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(!names.iter().any(|name| name == "authorized" || name == ".unfinished"), "{names:?}");
    let said = failure(says(&mut daemon.folders.there(["serve", "pair"])));
    assert!(said.to_lowercase().contains("no space left"), "{said}");
    assert_eq!(fs::read_dir(daemon.folders.keys("there").join("tokens")).unwrap().count(), 0);
    drop(file);
    fs::remove_file(config.join("fill")).unwrap();
    let token = daemon.folders.token();
    let said = says_to(&mut daemon.here(["pair", &daemon.place]), token.as_bytes());
    assert_eq!(said.2, 0, "{}", said.1);
    assert_eq!(prints(&mut daemon.run(&["echo", "here"])), "here\n");
}

/// As fast as one thread can, all the time while somebody means it.
#[test]
fn a_flood_meanwhile() {
    let daemon = Daemon::tcp(&[]);
    daemon.works();
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let to = daemon.place.trim_start_matches("daemon:").to_owned();
        scope.spawn(move || {
            let mut last = std::collections::VecDeque::new();
            while !over.load(Relaxed) {
                last.extend(TcpStream::connect(&to));
                last.drain(..last.len().saturating_sub(200));
            }
        });
        let all: Vec<_> = (0..30).map(|_| says(&mut daemon.run(&["echo", "here"]))).collect();
        over.store(true, Relaxed);
        let bad: Vec<_> = all.iter().filter(|said| said.2 != 0).collect();
        assert!(bad.is_empty(), "{} of 30: {:?}", bad.len(), bad[0]);
    });
}

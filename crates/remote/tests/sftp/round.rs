//! What was brought there and back is as it was.

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::symlink as make_link;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;

/// A folder `tree` with one of each kind, and odd names, modes and times.
fn sample() -> TempDir {
    let folder = TempDir::new().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("sub/empty")).unwrap();
    fs::write(tree.join(std::ffi::OsStr::from_bytes(b"odd \n\xff*'")), "odd").unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    for (name, size) in [("small", 5), ("chunk", 32768), ("chunks", 65536), ("large", 3_000_001)] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at / 3 + at / 32768) as u8).collect();
        fs::write(tree.join("sub").join(name), content).unwrap();
    }
    fs::write(tree.join("n".repeat(255)), "long").unwrap();
    let deep = tree.join("d".repeat(200)).join("e".repeat(200)).join("f".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deep"), "deep").unwrap();
    make_link("../no where", tree.join("sub/link")).unwrap();
    make_link("x".repeat(300), tree.join("sub/long link")).unwrap();
    for number in 0..300 {
        fs::write(tree.join("sub/empty").join(number.to_string()), number.to_string()).unwrap();
    }
    let epoch = SystemTime::UNIX_EPOCH;
    for (name, mode, seconds) in [
        ("empty", 0o400, 1_000_000_000),
        ("sub/small", 0o754, 1_600_000_000),
        ("sub/large", 0o1644, u64::from(u32::MAX)),
        ("sub/empty", 0o1777, 3),
        ("sub", 0o555, 1_500_000_000),
    ] {
        let file = File::open(tree.join(name)).unwrap();
        let time = epoch + Duration::from_secs(seconds);
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        fs::set_permissions(tree.join(name), Permissions::from_mode(mode)).unwrap();
    }
    folder
}

#[track_caller]
fn assert_same(a: &Path, b: &Path, links_too: bool) {
    let of = |folder: &Path| -> Vec<String> {
        let lines = shown(folder).into_iter();
        // A server without `lsetstat` gives links no time.
        let line = |line: String| match line.split_once(" @") {
            Some((link, _)) if !links_too && link.contains(" -> ") => link.to_owned(),
            _ => line,
        };
        lines.map(line).collect()
    };
    let (a_lines, b_lines) = (of(a), of(b));
    for (a, b) in a_lines.iter().zip(&b_lines) {
        assert_eq!(a, b);
    }
    assert_eq!(a_lines.len(), b_lines.len());
    let content = |folder: &Path| fs::read(folder.join("sub/large")).unwrap();
    assert!(content(a) == content(b));
}

#[test]
fn there_and_back() {
    need_server!();
    let from = sample();
    let tree = from.path().join("tree");
    for (way, place) in WAYS {
        let to = TempDir::new().unwrap();
        let path = |name: &str| to.path().join(name);
        place.put(Local.get(&tree).unwrap(), &path("there")).unwrap();
        assert_same(&tree, &path("there"), way == "sftp");
        Local.put(place.get(&tree).unwrap(), &path("back")).unwrap();
        assert_same(&tree, &path("back"), true);
        place.put(place.get(&tree).unwrap(), to.path()).unwrap();
        assert_same(&tree, &path("tree"), way == "sftp");
        let stream = place.get(&tree).unwrap().into_tar();
        Local.put(Archive::from_tar(stream, "tree"), &path("stream")).unwrap();
        assert_same(&tree, &path("stream"), true);
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 4);
    }
}

#[test]
fn one_file_or_link() {
    need_server!();
    let from = sample();
    for (_, place) in WAYS {
        let to = TempDir::new().unwrap();
        for name in ["sub/small", "sub/large", "sub/link", "empty"] {
            let from = from.path().join("tree").join(name);
            place.put(place.get(&from).unwrap(), to.path()).unwrap();
            let copy = to.path().join(from.file_name().unwrap());
            let line = |path: &Path| shown(path)[0].split(" @").next().unwrap().to_owned();
            assert_eq!(line(&copy), line(&from));
        }
    }
}

#[test]
fn hard_links_there() {
    need_server!();
    let from = made("mkdir a; echo x > a/f; ln a/f a/g; chmod 400 a/f; touch -d @1000000000 a/f");
    for (way, place) in WAYS {
        let to = TempDir::new().unwrap();
        place.put(Local.get(&from.path().join("a")).unwrap(), to.path()).unwrap();
        let count = if way == "sftp" { 2 } else { 1 };
        let line = |name: &str| format!(r"{name} 400 x\n x{count}");
        assert_eq!(names(&to.path().join("a")), [line("f"), line("g")], "{way}");
        for name in ["a/f", "a/g"] {
            let modified = fs::metadata(to.path().join(name)).unwrap().mtime();
            assert_eq!(modified, 1_000_000_000, "{way} {name}");
        }
    }
}

#[test]
fn times_that_the_protocol_does_not_have() {
    need_server!();
    let from = made("touch -d @99999999999 late; touch -d @-5.5 early; touch -d @7.9 fine");
    let to = TempDir::new().unwrap();
    for (name, seconds) in [("late", i64::from(u32::MAX)), ("early", 0), ("fine", 7)] {
        FULL.put(Local.get(&from.path().join(name)).unwrap(), to.path()).unwrap();
        assert_eq!(fs::metadata(to.path().join(name)).unwrap().mtime(), seconds);
    }
}

#[test]
fn what_is_left_out_is_said() {
    need_server!();
    let from = made("mkdir f; mkfifo f/fifo; echo x > f/file");
    let _socket = UnixListener::bind(from.path().join("f/socket")).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let archive = FULL.get(&from.path().join("f")).unwrap().watched(move |event| {
        if let Event::LeftOut { path, what } = event {
            heard.lock().unwrap().push(format!("{} {what}", path.display()));
        }
        Ok(())
    });
    let to = TempDir::new().unwrap();
    Local.put(archive, to.path()).unwrap();
    assert_eq!(names(to.path()), ["f/ 755", r"f/file 644 x\n x1"]);
    let mut events = events.lock().unwrap().clone();
    events.sort();
    assert_eq!(events, ["fifo a fifo", "socket a socket"]);
}

#[test]
fn what_has_no_name_is_its_content() {
    need_server!();
    let from = made("mkdir a; printf x > f");
    for path in [from.path().join("."), from.path().join("a/.."), from.path().join("a/../.")] {
        let to = TempDir::new().unwrap();
        FULL.put(FULL.get(&path).unwrap(), to.path()).unwrap();
        assert_eq!(names(to.path()), ["a/ 755", "f 644 x x1"]);
        FULL.put(FULL.get(&path).unwrap(), &to.path().join("new")).unwrap();
        assert_eq!(names(&to.path().join("new")), ["a/ 755", "f 644 x x1"]);
    }
}

#[test]
fn a_file_that_is_made_as_it_is_read() {
    need_server!();
    let to = TempDir::new().unwrap();
    Local.put(FULL.get("/proc/self/status".as_ref()).unwrap(), to.path()).unwrap();
    let copied = fs::read_to_string(to.path().join("status")).unwrap();
    assert!(copied.starts_with("Name:\tsftp-server"), "{copied}");
}

#[test]
fn content_that_nobody_reads_is_passed_over() {
    need_server!();
    // More than may be open at once, and none of them read ahead to its end.
    let from = made("for i in $(seq 150); do truncate -s 70000 $i; done");
    let mut archive = FULL.get(from.path()).unwrap();
    let mut files = 0;
    let mut byte = [0];
    while let Some(entry) = archive.next_entry().unwrap() {
        files += usize::from(entry.size == 70_000);
        let _ = archive.read_content(&mut byte).unwrap();
    }
    assert_eq!(files, 150);
}

#[test]
fn relative_paths() {
    need_server!();
    testkit::own_process!(|program| Command::new(program));
    let folder = made("mkdir d; echo x > d/f");
    std::env::set_current_dir(folder.path()).unwrap();
    FULL.put(FULL.get("d/f".as_ref()).unwrap(), "g".as_ref()).unwrap();
    FULL.put(FULL.get("d".as_ref()).unwrap(), "e".as_ref()).unwrap();
    FULL.put(FULL.get("d/f".as_ref()).unwrap(), "".as_ref()).unwrap();
    let line = |name: &str| format!(r"{name} 644 x\n x1");
    let expected = ["d/ 755", &line("d/f"), "e/ 755", &line("e/f"), &line("f"), &line("g")];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_server_that_is_killed() {
    need_server!();
    let (to, from, child) = FULL.server();
    let id = rustix::process::Pid::from_child(&child.0);
    let session = Session::new(to, from).unwrap().limit(testkit::DEADLINE);
    let session = session.on_loss(move || {
        drop(child);
        io::Error::other("the server is gone")
    });
    let from = made("head -c 100000000 /dev/zero > f");
    let mut stream = sftp::get(session, &from.path().join("f")).unwrap().into_tar();
    let mut start = [0; 4096];
    stream.read_exact(&mut start).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
    assert!(said(&error).ends_with("the server is gone"), "{}", said(&error));
}

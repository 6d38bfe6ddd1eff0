//! What was packed is unpacked as it was.

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, symlink as make_link};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;

/// A folder `tree` with one of each kind, and odd names, modes and times.
fn sample() -> TempDir {
    let folder = TempDir::new().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("sub/empty")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd \n\xff*'");
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join(odd), "odd").unwrap();
    fs::write(tree.join("sub/small"), "small").unwrap();
    fs::write(tree.join("sub/large"), vec![7; 300_001]).unwrap();
    fs::write(tree.join("n".repeat(255)), "long").unwrap();
    let deep = tree.join("d".repeat(100)).join("e".repeat(100)).join("f".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deep"), "deep").unwrap();
    fs::hard_link(deep.join("deep"), tree.join("sub/twin")).unwrap();
    make_link("../no where", tree.join("sub/link")).unwrap();
    make_link("x".repeat(300), tree.join("sub/long link")).unwrap();
    let sparse = File::create(tree.join("sub/sparse")).unwrap();
    sparse.write_all_at(b"x", 9_000_000).unwrap();
    for (name, mode, seconds, nanoseconds) in [
        ("empty", 0o000, 1_000_000_000, 1),
        ("sub/small", 0o754, 1_600_000_000, 123_456_789),
        ("sub/large", 0o1644, 1 << 34, 500_000_000),
        ("sub/empty", 0o1777, 3, 0),
        ("sub", 0o555, 1_500_000_000, 999_999_999),
    ] {
        let path = tree.join(name);
        let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        let file = File::open(&path).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    folder
}

fn tar_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    Local.get(path).unwrap().into_tar().read_to_end(&mut bytes).unwrap();
    bytes
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (shown(a), shown(b));
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(a.lines().count(), b.lines().count());
}

#[test]
fn through_the_file_system_and_through_a_stream() {
    let from = sample();
    let to = TempDir::new().unwrap();
    Local.put(Local.get(&from.path().join("tree")).unwrap(), &to.path().join("copy")).unwrap();
    assert_same(&from.path().join("tree"), &to.path().join("copy"));
    let stream = Cursor::new(tar_of(&from.path().join("tree")));
    Local.put(Archive::from_tar(stream, "again"), to.path()).unwrap();
    assert_same(&from.path().join("tree"), &to.path().join("again"));
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2);
    let blocks = |path: &str| fs::metadata(to.path().join(path)).unwrap().blocks();
    // A hole stays one where the kernel copies.
    assert!(blocks("copy/sub/sparse") < 1000, "{}", blocks("copy/sub/sparse"));
}

#[test]
fn one_file_or_link() {
    let from = sample();
    let to = TempDir::new().unwrap();
    for name in ["sub/small", "sub/large", "sub/link", "empty"] {
        let from = from.path().join("tree").join(name);
        Local.put(Local.get(&from).unwrap(), to.path()).unwrap();
        assert_same(&from, &to.path().join(from.file_name().unwrap()));
        let stream = Archive::from_tar(Cursor::new(tar_of(&from)), "x");
        Local.put(stream, &to.path().join("other")).unwrap();
        assert_same(&from, &to.path().join("other"));
    }
}

/// What a program makes of our stream, or gives us as one.
fn filter(program: &str, args: &[&str], folder: &Path, input: Vec<u8>) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

/// A listing without fractions of seconds, which not every tar keeps, and without the times of directories and links,
/// which busybox does not.
fn whole_seconds(folder: &Path) -> Vec<String> {
    let text = shown(folder);
    let line = |line: &str| {
        let (line, time) = line.split_once(" @").unwrap();
        match line.split_once("/ ") {
            Some((name, _mode)) => name.to_owned(),
            None if line.contains(" -> ") => line.to_owned(),
            None => format!("{line} {}", time.split('.').next().unwrap()),
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn other_tars_read_it_and_we_read_theirs() {
    let busybox = testkit::find_program("busybox");
    let gnu = testkit::find_program("tar");
    let (Ok(busybox), Ok(gnu)) = (busybox, gnu) else {
        testkit::skip!("busybox or tar is missing")
    };
    let (busybox, gnu) = (busybox.to_str().unwrap(), gnu.to_str().unwrap());
    let from = sample();
    let tree = from.path().join("tree");
    for (program, applet) in [(gnu, None), (busybox, Some("tar"))] {
        let to = TempDir::new().unwrap();
        let args: Vec<&str> = applet.into_iter().chain(["-x", "-p", "-f", "-"]).collect();
        filter(program, &args, to.path(), tar_of(&tree));
        assert_eq!(whole_seconds(&tree), whole_seconds(&to.path().join("tree")), "{program}");
        let formats: &[Option<&str>] = match applet {
            Some(_) => &[None],
            None => &[Some("--format=posix"), Some("--format=gnu"), Some("--format=oldgnu")],
        };
        for format in formats {
            let args: Vec<&str> =
                applet.into_iter().chain(["-c", "-f", "-"]).chain(*format).collect();
            let args = [&args[..], &["tree"]].concat();
            let stream = filter(program, &args, from.path(), Vec::new());
            let name = format.unwrap_or("busybox");
            Local.put(Archive::from_tar(Cursor::new(stream), name), to.path()).unwrap();
            assert_eq!(whole_seconds(&tree), whole_seconds(&to.path().join(name)), "{name}");
        }
    }
}

#[test]
fn long_v7_and_attributes_of_gnu() {
    let Ok(gnu) = testkit::find_program("tar") else { testkit::skip!("tar is missing") };
    let from = TempDir::new().unwrap();
    fs::write(from.path().join("f"), "content").unwrap();
    for format in ["--format=v7", "--format=ustar", "--xattrs", "--sparse"] {
        let args = ["-c", "-f", "-", format, "f"];
        let stream = filter(gnu.to_str().unwrap(), &args, from.path(), Vec::new());
        let to = TempDir::new().unwrap();
        Local.put(Archive::from_tar(Cursor::new(stream), "f"), to.path()).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("f")).unwrap(), "content", "{format}");
    }
}

#[test]
fn what_is_no_file_is_left_out_and_said() {
    let from = TempDir::new().unwrap();
    let folder = from.path().join("f");
    fs::create_dir(&folder).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap().success());
    let to = TempDir::new().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let archive = Local.get(&folder).unwrap().watched({
        let told = told.clone();
        move |event| {
            match event {
                Event::LeftOut { path, what } => {
                    told.lock().unwrap().push(format!("{}: {what}", path.display()));
                }
                Event::Entry(entry) => assert_eq!(entry.kind, Kind::Directory),
                _ => {}
            }
            Ok(())
        }
    });
    Local.put(archive, to.path()).unwrap();
    assert_eq!(*told.lock().unwrap(), ["fifo: a fifo", "socket: a socket"]);
    assert_eq!(names(to.path()), ["f/ 755"]);
    for (name, what) in [("f/fifo", "a fifo"), ("f/socket", "a socket")] {
        let mut archive = Local.get(&from.path().join(name)).unwrap();
        let error = archive.root().unwrap_err();
        let name = &name[2..];
        assert_eq!(
            said(&error),
            format!("cannot read `{name}`: it is {what}, which is not copied")
        );
    }
}

#[test]
fn whole_seconds_take_no_extended_headers() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    let path = from.path().join("f");
    let file = File::create(&path).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    let half = Duration::from_millis(500);
    for (time, whole, blocks) in [
        (epoch + half, epoch, 3),
        (epoch + Duration::new(7, 999_999_999), epoch + Duration::from_secs(7), 3),
        // ustar has no time before 1970.
        (epoch - half, epoch - Duration::from_secs(1), 5),
    ] {
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        let mut bytes = Vec::new();
        Local.get(&path).unwrap().into_tar().whole_seconds().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), blocks * 512);
        Local.put(Archive::from_tar(Cursor::new(bytes), "f"), to.path()).unwrap();
        assert_eq!(fs::metadata(to.path().join("f")).unwrap().modified().unwrap(), whole);
    }
}

#[test]
fn a_file_that_is_made_as_it_is_read() {
    let to = TempDir::new().unwrap();
    Local.put(Local.get("/proc/self/status".as_ref()).unwrap(), to.path()).unwrap();
    let copied = fs::read_to_string(to.path().join("status")).unwrap();
    assert!(copied.starts_with("Name:"), "{copied}");
}

#[test]
fn what_has_no_name_is_its_content() {
    let from = TempDir::new().unwrap();
    fs::create_dir(from.path().join("a")).unwrap();
    fs::write(from.path().join("f"), "x").unwrap();
    let to = TempDir::new().unwrap();
    for path in [from.path().join("."), from.path().join("a/.."), from.path().join("a/../.")] {
        let to = TempDir::new_in(to.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let before = mode(to.path());
        Local.put(Local.get(&path).unwrap(), to.path()).unwrap();
        assert_eq!(names(to.path()), ["a/ 755", "f 644 \"x\" x1"]);
        assert_eq!(mode(to.path()), before);
        let stream = Cursor::new(tar_of(&path));
        Local.put(Archive::from_tar(stream, "."), &to.path().join("new")).unwrap();
        assert_eq!(names(&to.path().join("new")), ["a/ 755", "f 644 \"x\" x1"]);
    }
}

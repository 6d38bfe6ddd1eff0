//! What masters that are gone have left in the folder of our records.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use thither_place::state::lock::{self, Kind};

use super::mux::dial;

/// What was noted of a host that nobody has connected to for so long goes as well.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is used for a moment is not used any more after so long.
const MOMENT: Duration = Duration::from_secs(60);

/// Opens the file that is locked by who starts a master, and makes it if it is missing.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Whether the file that we have locked is still the one of this name: who sweeps removes it.
pub(super) fn is_still(file: &File, path: &Path) -> bool {
    let numbers =
        [fs::metadata(path), file.metadata()].map(|found| found.map(|file| file.ino()).ok());
    numbers[0].is_some() && numbers[0] == numbers[1]
}

/// Removes what belongs to no master that runs, and to nobody who starts one. What cannot be looked at stays.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let (name, lock) = (name.as_bytes(), path.extension().is_some_and(|end| end == "lock"));
        if name.starts_with(b"about-") {
            if age(&entry).is_some_and(|age| age > FORGOTTEN) {
                let _ = fs::remove_file(&path);
            }
        } else if name.starts_with(b"ssh-") && lock {
            let _ = sweep_master(&path);
        } else if name.starts_with(b"ssh-") && is_note(&path) {
            // Half of a note, whose writer was killed.
            if age(&entry).is_some_and(|age| age > MOMENT) {
                let _ = fs::remove_file(&path);
            }
        } else if (name.starts_with(b"fwd-") || name.starts_with(b"ask-"))
            && age(&entry).is_some_and(|age| age > MOMENT)
            && is_dead(&path)
        {
            // Whoever made it was killed in between: it is used for a moment.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether it is what a note is written to before it gets its name.
fn is_note(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.as_bytes().starts_with(b"new"))
}

fn age(entry: &fs::DirEntry) -> Option<Duration> {
    entry.metadata().and_then(|file| file.modified()).ok()?.elapsed().ok()
}

fn sweep_master(lock_path: &Path) -> io::Result<()> {
    let file = lock_file(lock_path)?;
    let socket = lock_path.with_extension("");
    if !lock::try_lock(&file, Kind::Exclusive)? || !is_still(&file, lock_path) || !is_dead(&socket)
    {
        return Ok(());
    }
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::remove_file(lock_path),
    }
}

/// Whether nobody listens on this socket.
fn is_dead(path: &Path) -> bool {
    dial(path).is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // One that runs, one that was killed, one whose socket is gone, one that is being started.
        let _runs = UnixListener::bind(at("ssh-a-0")).unwrap();
        drop(UnixListener::bind(at("ssh-b-0")).unwrap());
        drop(UnixListener::bind(at("fwd-1")).unwrap());
        drop(UnixListener::bind(at("fwd-2")).unwrap());
        // One of long ago: a socket has no way to be told so but utimensat(2).
        let long_ago = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: long_ago, last_modification: long_ago };
        rustix::fs::utimensat(rustix::fs::CWD, at("fwd-1"), &times, rustix::fs::AtFlags::empty())
            .unwrap();
        let _asks = UnixListener::bind(at("ask-1")).unwrap();
        for name in ["ssh-a-0", "ssh-b-0", "ssh-c-0"] {
            lock_file(&at(&format!("{name}.lock"))).unwrap();
        }
        let starting = lock_file(&at("ssh-d-0.lock")).unwrap();
        assert!(lock::try_lock(&starting, Kind::Exclusive).unwrap());
        fs::write(at("container-1"), "").unwrap();
        fs::write(at("about-a"), "").unwrap();
        let old = File::create(at("about-b")).unwrap();
        old.set_modified(std::time::SystemTime::now() - 2 * FORGOTTEN).unwrap();
        let half = File::create(at("ssh-a-0.new7")).unwrap();
        half.set_modified(std::time::SystemTime::now() - 2 * MOMENT).unwrap();
        fs::write(at("ssh-a-0.new8"), "").unwrap();
        sweep(folder.path());
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            "about-a",
            "ask-1",
            "container-1",
            "fwd-2",
            "ssh-a-0",
            "ssh-a-0.lock",
            "ssh-a-0.new8",
            "ssh-d-0.lock",
        ];
        assert_eq!(left, expected);
        assert!(is_still(&starting, &at("ssh-d-0.lock")));
        fs::remove_file(at("ssh-d-0.lock")).unwrap();
        assert!(!is_still(&starting, &at("ssh-d-0.lock")));
    }
}

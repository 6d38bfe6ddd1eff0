#![expect(unsafe_code, reason = "fcntl with a struct flock")]
//! Locks of an open file description on a whole file (fcntl_locking(2)): forks do not release them, a closed
//! descriptor does, and so does the end of the last process that has it, however it ends.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Who else may hold a lock at the same time.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// All who share it.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Locks, or says that others hold it. What was locked before is converted in one step, and stays as it was if that
/// cannot be.
///
/// # Errors
/// Those of fcntl(2), such as `ENOLCK`.
pub fn try_lock(file: &File, kind: Kind) -> io::Result<bool> {
    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
    };
    match control(file, kind) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Shares the lock, once nobody holds it for himself, or gives up.
///
/// # Errors
/// As [`lock`].
pub fn share(file: &File, patience: Duration) -> io::Result<()> {
    lock(file, Kind::Shared, patience)
}

/// Locks, once nobody else holds it, or gives up. `F_OFD_SETLKW` would wait without end for a
/// holder that is stopped, and the signals of a caller that handles them would not end that wait.
///
/// # Errors
/// `TimedOut` when it is still held after `patience`.
pub fn lock(file: &File, kind: Kind, patience: Duration) -> io::Result<()> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(50);
    while !try_lock(file, kind)? {
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

/// Unlocks.
///
/// # Errors
/// As [`try_lock`].
pub fn unlock(file: &File) -> io::Result<()> {
    control(file, libc::F_UNLCK)
}

fn control(file: &File, kind: i32) -> io::Result<()> {
    // SAFETY: plain data for which zeroes are valid; `l_pid` has to be zero, and a length of zero is the whole file.
    let mut flock: libc::flock = unsafe { std::mem::zeroed() };
    flock.l_type = kind as i16;
    flock.l_whence = libc::SEEK_SET as i16;
    // SAFETY: an open descriptor, and a valid pointer that the kernel only reads.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const flock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_share_keep_others_out_until_they_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open =
            || File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let (a, b) = (open().unwrap(), open().unwrap());
        assert!(try_lock(&a, Kind::Shared).unwrap());
        share(&b, Duration::ZERO).unwrap();
        assert!(!try_lock(&b, Kind::Exclusive).unwrap());
        // What could not be converted is still shared.
        assert!(!try_lock(&a, Kind::Exclusive).unwrap());
        drop(a);
        assert!(try_lock(&b, Kind::Exclusive).unwrap());
    }

    #[test]
    fn patience_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open =
            || File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let (holder, other) = (open().unwrap(), open().unwrap());
        assert!(try_lock(&holder, Kind::Exclusive).unwrap());
        let error = share(&other, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let thread = std::thread::spawn(move || share(&other, Duration::from_secs(3600)));
        unlock(&holder).unwrap();
        thread.join().unwrap().unwrap();
    }
}

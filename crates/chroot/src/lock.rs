#![expect(unsafe_code, reason = "fcntl with a struct flock")]
//! Locks on bytes of an open file description (fcntl_locking(2)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    start: i64,
    len: i64,
}

impl Range {
    pub(crate) const fn byte(start: i64) -> Range {
        Range { start, len: 1 }
    }
}

/// Locks for writing; waits for others.
pub(crate) fn lock(file: &File, range: Range) -> io::Result<()> {
    loop {
        match control(file, range, libc::F_OFD_SETLKW, libc::F_WRLCK) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Locks, for writing if `exclusive`, else for reading; says whether it could. What was locked before is
/// converted in one step, and stays as it was if that cannot be.
pub(crate) fn try_lock(file: &File, range: Range, exclusive: bool) -> io::Result<bool> {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    match control(file, range, libc::F_OFD_SETLK, kind) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unlocks.
pub(crate) fn unlock(file: &File, range: Range) -> io::Result<()> {
    control(file, range, libc::F_OFD_SETLK, libc::F_UNLCK)
}

fn control(file: &File, range: Range, command: i32, kind: i32) -> io::Result<()> {
    // SAFETY: plain data for which zeroes are valid; `l_pid` has to be zero.
    let mut flock: libc::flock = unsafe { std::mem::zeroed() };
    flock.l_type = kind as i16;
    flock.l_whence = libc::SEEK_SET as i16;
    (flock.l_start, flock.l_len) = (range.start, range.len);
    // SAFETY: an open descriptor, and a valid pointer that the kernel only reads.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const flock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_keep_a_writer_out_and_killed_ones_do_not() {
        let path = std::env::temp_dir().join(format!("thither-lock-{}", std::process::id()));
        let open =
            || File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let (a, b) = (open().unwrap(), open().unwrap());
        let users = Range::byte(1);
        assert!(try_lock(&a, users, false).unwrap());
        assert!(try_lock(&b, users, false).unwrap());
        assert!(!try_lock(&b, users, true).unwrap());
        drop(a);
        assert!(try_lock(&b, users, true).unwrap());
        lock(&b, Range::byte(0)).unwrap();
        unlock(&b, Range::byte(0)).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

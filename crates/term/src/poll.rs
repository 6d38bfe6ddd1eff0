//! Waiting for descriptors.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// What to wait for on a descriptor. One that is wanted for both directions is named twice.
#[derive(Clone, Copy, Debug, Default)]
pub enum Interest<'fd> {
    /// Nothing. The descriptor isn't given to the kernel at all, which would report a hang-up even to those who
    /// ask for no event, again and again.
    #[default]
    Nothing,
    /// That a read would not block.
    Read(BorrowedFd<'fd>),
    /// That a write of one byte would not block.
    Write(BorrowedFd<'fd>),
    /// Only that the other end is gone, or that there is an error: poll(2) reports both unasked.
    HangUp(BorrowedFd<'fd>),
}

/// What was found on a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The read or write asked for would not block: it moves bytes, meets the end or fails.
    pub now: bool,
    /// The other end is gone (`POLLHUP`). Bytes from it may be left to read.
    pub hang_up: bool,
    /// The descriptor has an error to report (`POLLERR`; for the write end of a pipe: nobody reads), or isn't
    /// open (`POLLNVAL`).
    pub error: bool,
}

/// Waits until one of these is ready, for at most `timeout` (`None`: for as long as it takes). Returns one
/// `Ready` per interest, in order; after the timeout none of them is ready.
///
/// It goes on after a signal, with the time that remains: what a signal has to say is readable from
/// [`Signals`](crate::Signals).
///
/// ```
/// use std::io::{pipe, Write};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
/// use thither_term::{Interest, poll};
///
/// let (reader, mut writer) = pipe()?;
/// writer.write_all(b"x")?;
/// let ready = poll(&[Interest::Read(reader.as_fd())], Some(Duration::from_secs(1)))?;
/// assert!(ready[0].now);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of poll(2); `InvalidInput` when there is nothing to wait for and no timeout.
pub fn poll(interests: &[Interest<'_>], timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
    let mut polled: Vec<PollFd<'_>> = interests.iter().filter_map(poll_fd).collect();
    if polled.is_empty() && timeout.is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "nothing to wait for"));
    }
    // A timeout beyond what the clock can count is as good as none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let mut polled = polled.iter();
    let mut ready = vec![Ready::default(); interests.len()];
    for (ready, interest) in ready.iter_mut().zip(interests) {
        if matches!(interest, Interest::Nothing) {
            continue;
        }
        let found = polled.next().map_or(PollFlags::empty(), PollFd::revents);
        *ready = Ready {
            now: !found.is_empty(),
            hang_up: found.contains(PollFlags::HUP),
            error: found.intersects(PollFlags::ERR | PollFlags::NVAL),
        };
    }
    Ok(ready)
}

fn poll_fd<'fd>(interest: &Interest<'fd>) -> Option<PollFd<'fd>> {
    match *interest {
        Interest::Nothing => None,
        Interest::Read(fd) => Some(PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        Interest::Write(fd) => Some(PollFd::from_borrowed_fd(fd, PollFlags::OUT)),
        Interest::HangUp(fd) => Some(PollFd::from_borrowed_fd(fd, PollFlags::empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_time;
    use std::io::Write;
    use std::os::fd::AsFd;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn answers_are_in_the_order_of_the_questions() {
        in_time(|| {
            let (empty, _keep) = io::pipe().unwrap();
            let (full, mut writer) = io::pipe().unwrap();
            writer.write_all(b"x").unwrap();
            let ready = poll(
                &[
                    Interest::Read(empty.as_fd()),
                    Interest::Nothing,
                    Interest::Read(full.as_fd()),
                    Interest::Write(writer.as_fd()),
                ],
                None,
            );
            let now: Vec<bool> = ready.unwrap().iter().map(|ready| ready.now).collect();
            assert_eq!(now, [false, false, true, true]);
        });
    }

    #[test]
    fn hang_up_and_error() {
        in_time(|| {
            let (reader, writer) = io::pipe().unwrap();
            drop(writer);
            let ready = poll(&[Interest::Read(reader.as_fd())], None).unwrap();
            assert_eq!(ready[0], Ready { now: true, hang_up: true, error: false });

            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            let ready = poll(&[Interest::Write(writer.as_fd())], None).unwrap();
            assert_eq!(ready[0], Ready { now: true, hang_up: false, error: true });
        });
    }

    #[test]
    fn a_hang_up_alone() {
        in_time(|| {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let interest = [Interest::HangUp(ours.as_fd())];
            assert_eq!(poll(&interest, NOW).unwrap(), [Ready::default()]);
            drop(theirs);
            let ready = poll(&interest, None).unwrap();
            assert_eq!(ready[0], Ready { now: true, hang_up: true, error: false });
        });
    }

    #[test]
    fn nothing_is_ready_after_the_timeout() {
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(poll(&[Interest::Read(reader.as_fd())], NOW).unwrap(), [Ready::default()]);
        assert_eq!(poll(&[Interest::Nothing], NOW).unwrap(), [Ready::default()]);
    }

    #[test]
    fn waiting_for_nothing_for_ever_is_refused() {
        in_time(|| {
            let error = poll(&[Interest::Nothing], None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        });
    }

    #[test]
    fn the_longest_timeout_is_none() {
        in_time(|| {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"x").unwrap();
            assert!(poll(&[Interest::Read(reader.as_fd())], Some(Duration::MAX)).unwrap()[0].now);
        });
    }
}

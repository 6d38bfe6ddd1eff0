//! Several pumps and one loop.

use std::io;
use std::os::fd::AsFd;

use crate::{Drained, Pump, poll};

/// Pumps that run together, over one [`poll`](crate::poll()).
///
/// ```
/// use std::io::{Read, Write, pipe};
/// use thither_term::Pumps;
///
/// let (from, mut writer) = pipe()?;
/// let (mut reader, to) = pipe()?;
/// writer.write_all(b"hello")?;
/// drop(writer);
///
/// let mut pumps = Pumps::new();
/// pumps.pump(from, to)?;
/// pumps.run()?;
///
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Pumps<'fd> {
    pumps: Vec<Pump<'fd>>,
}

impl<'fd> Pumps<'fd> {
    /// No pumps.
    #[must_use]
    pub fn new() -> Pumps<'fd> {
        Pumps::default()
    }

    /// Adds a pump between these descriptors.
    ///
    /// # Errors
    /// As [`Pump::new`].
    pub fn pump(
        &mut self,
        from: impl AsFd + Send + 'fd,
        to: impl AsFd + Send + 'fd,
    ) -> io::Result<()> {
        self.add(Pump::new(from, to)?);
        Ok(())
    }

    /// Adds a pump.
    pub fn add(&mut self, pump: Pump<'fd>) {
        self.pumps.push(pump);
    }

    /// Copies until each pump is done, or is [unawaited](Pump::unawaited) and holds nothing. A destination that
    /// nobody reads any more ends its own pump only.
    ///
    /// # Errors
    /// The first error of a pump, other than a destination that is gone; the others are dropped with it.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            // Dropped as soon as they are done, so that owned descriptors are closed.
            self.pumps.retain(|pump| !pump.is_done());
            let waits = |pump: &Pump<'_>| pump.awaited || !pump.buffered().is_empty();
            if !self.pumps.iter().any(waits) {
                return Ok(());
            }
            let interests: Vec<_> = self.pumps.iter().flat_map(Pump::interests).collect();
            let ready = poll(&interests, None)?;
            for (pump, ready) in self.pumps.iter_mut().zip(ready.chunks(2)) {
                let [read, write] = [ready[0], ready[1]];
                // First to write: that makes room to read.
                if write.now && pump.drain()? == Drained::Nothing && write.hang_up {
                    // A pty whose follower is closed hangs up, but takes no more once it is full.
                    pump.close();
                }
                if read.now {
                    pump.fill()?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_time;
    use std::io::{Read, Write, pipe};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};
    use std::thread;

    /// Bytes without a short period, so that a missing or repeated part shows.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn child(command: &mut Command) -> std::process::Child {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_large_transfer_is_exact() {
        let (sent, received) = in_time(|| {
            let mut cat = child(&mut Command::new("cat"));
            let sent = noise(10_000_019);
            let bytes = sent.clone();
            let (from, mut source) = pipe().unwrap();
            let (mut sink, to) = pipe().unwrap();
            let writer = thread::spawn(move || source.write_all(&bytes));
            let reader = thread::spawn(move || {
                let mut received = Vec::new();
                sink.read_to_end(&mut received).map(|_| received)
            });
            let mut pumps = Pumps::new();
            pumps.pump(from, OwnedFd::from(cat.stdin.take().unwrap())).unwrap();
            pumps.pump(OwnedFd::from(cat.stdout.take().unwrap()), to).unwrap();
            pumps.run().unwrap();
            writer.join().unwrap().unwrap();
            assert!(cat.wait().unwrap().success());
            (sent, reader.join().unwrap().unwrap())
        });
        assert!(sent == received, "{} bytes sent, {} received", sent.len(), received.len());
    }

    #[test]
    fn a_socket_is_half_closed() {
        let answer = in_time(|| {
            // The peer answers only after the end of what it is sent.
            let (ours, mut peer) = UnixStream::pair().unwrap();
            let peer = thread::spawn(move || {
                let mut text = String::new();
                peer.read_to_string(&mut text).unwrap();
                peer.write_all(text.to_uppercase().as_bytes()).unwrap();
            });
            let (from, mut writer) = pipe().unwrap();
            writer.write_all(b"hello").unwrap();
            drop(writer);
            let (mut reader, to) = pipe().unwrap();
            let mut pumps = Pumps::new();
            pumps.pump(from, &ours).unwrap();
            pumps.pump(&ours, to).unwrap();
            pumps.run().unwrap();
            peer.join().unwrap();
            let mut answer = String::new();
            reader.read_to_string(&mut answer).unwrap();
            answer
        });
        assert_eq!(answer, "HELLO");
    }

    #[test]
    fn a_closed_destination_ends_only_its_own_pump() {
        let text = in_time(|| {
            let zero = std::fs::File::open("/dev/zero").unwrap();
            let (closed, to_closed) = pipe().unwrap();
            drop(closed);
            let (from, mut writer) = pipe().unwrap();
            let (mut reader, to) = pipe().unwrap();
            writer.write_all(b"lives").unwrap();
            drop(writer);
            let mut pumps = Pumps::new();
            pumps.pump(zero, to_closed).unwrap();
            pumps.pump(from, to).unwrap();
            pumps.run().unwrap();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(text, "lives");
    }

    #[test]
    fn an_unawaited_pump_is_emptied_and_left() {
        let text = in_time(|| {
            let (from, mut writer) = pipe().unwrap();
            let (mut reader, to) = pipe().unwrap();
            writer.write_all(b"read ahead").unwrap();
            let mut keyboard = Pump::new(from, to).unwrap().unawaited();
            keyboard.fill().unwrap();
            let mut pumps = Pumps::new();
            pumps.add(keyboard);
            pumps.run().unwrap();
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(text, "read ahead");
    }

    #[test]
    fn a_follower_that_closed_with_its_leader_full_is_left() {
        use crate::{Nonblocking, Pty, WindowSize};
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        in_time(|| {
            let Pty { leader, follower } = Pty::open(WindowSize { cols: 80, rows: 24 }).unwrap();
            // In canonical mode a full line discipline would throw away what comes, without end.
            let mut modes = tcgetattr(&follower).unwrap();
            modes.make_raw();
            tcsetattr(&follower, OptionalActions::Now, &modes).unwrap();
            let zero = std::fs::File::open("/dev/zero").unwrap();
            let mut pumps = Pumps::new();
            pumps.pump(zero, Nonblocking::set(leader).unwrap()).unwrap();
            drop(follower);
            pumps.run().unwrap();
        });
    }
}

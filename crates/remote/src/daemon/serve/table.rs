//! Who is connected, and how many may be.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use thither_place::tls::Fingerprint;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Most {
    /// Of those that we know.
    pub(super) known: usize,
    /// Of those that we do not know yet.
    pub(super) strangers: usize,
}

/// All connections of a daemon.
#[derive(Debug)]
pub(super) struct Table {
    most: Most,
    inner: Mutex<Inner>,
    /// Readable when one has ended.
    changed: OwnedFd,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    live: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Readable once it is to end.
    end: Arc<OwnedFd>,
    /// Its socket, to cut it off in the middle of whatever it does.
    socket: OwnedFd,
    /// Whose it is, once that is known.
    key: Option<Option<Fingerprint>>,
}

/// A place in the table, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    table: Arc<Table>,
    /// Counted from 1.
    pub(super) number: u64,
    end: Arc<OwnedFd>,
}

impl Table {
    pub(super) fn new(most: Most) -> io::Result<Arc<Table>> {
        let changed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Table { most, inner: Mutex::default(), changed }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a stranger in. If there are too many, the one that has been a stranger for longest is cut off, and its number given:
    /// who means it needs a few milliseconds, and who waits keeps nobody out.
    pub(super) fn enter(
        self: &Arc<Table>,
        socket: BorrowedFd<'_>,
    ) -> io::Result<(Ticket, Option<u64>)> {
        let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let socket = socket.try_clone_to_owned()?;
        let mut inner = self.inner();
        let mut strangers = inner.live.iter().filter(|(_, entry)| entry.key.is_none());
        let oldest = strangers.next().map(|(&number, _)| number);
        let cut = oldest.filter(|_| strangers.count() + 1 >= self.most.strangers);
        if let Some(number) = cut {
            // It holds its place in the table no longer.
            inner.live.remove(&number).iter().for_each(Entry::cut);
        }
        inner.last += 1;
        let number = inner.last;
        inner.live.insert(number, Entry { end: end.clone(), socket, key: None });
        Ok((Ticket { table: self.clone(), number, end }, cut))
    }

    /// Ends those of keys that are not `known` any more, and gives their numbers.
    pub(super) fn revoke(&self, known: impl Fn(&Fingerprint) -> bool) -> Vec<u64> {
        let inner = self.inner();
        let gone = inner
            .live
            .iter()
            .filter(|(_, entry)| matches!(&entry.key, Some(Some(key)) if !known(key)));
        gone.map(|(&number, entry)| {
            entry.ask_to_end();
            number
        })
        .collect()
    }

    /// Asks all to end.
    pub(super) fn end_all(&self) {
        self.inner().live.values().for_each(Entry::ask_to_end);
    }

    pub(super) fn len(&self) -> usize {
        self.inner().live.len()
    }

    /// Takes the news that some have ended.
    pub(super) fn acknowledge(&self) {
        // It does not block, and there is nothing to do if there is no news.
        let _ = rustix::io::read(&self.changed, &mut [0; 8]);
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}

impl Entry {
    fn ask_to_end(&self) {
        // It can only fail when it is readable already.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }

    fn cut(&self) {
        self.ask_to_end();
        // It may have ended.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}

impl Ticket {
    /// It is known whose it is: a key, or one of this machine's users. False if there are too many already.
    pub(super) fn is_known(&self, key: Option<Fingerprint>) -> bool {
        let mut inner = self.table.inner();
        let known = inner.live.values().filter(|entry| entry.key.is_some()).count();
        match inner.live.get_mut(&self.number) {
            Some(entry) if known < self.table.most.known => {
                entry.key = Some(key);
                true
            }
            _ => false,
        }
    }

    /// Readable once it is to end.
    pub(super) fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.table.inner().live.remove(&self.number);
        let _ = rustix::io::write(&self.table.changed, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use thither_term::{Interest, poll};

    fn is_ended(ticket: &Ticket) -> bool {
        poll(&[Interest::Read(ticket.end())], Some(Duration::ZERO)).unwrap()[0].now
    }

    #[test]
    fn the_oldest_stranger_makes_room() {
        let table = Table::new(Most { known: 2, strangers: 2 }).unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let (first, cut) = table.enter(socket.as_fd()).unwrap();
        assert_eq!(cut, None);
        assert!(first.is_known(None), "it is no stranger any more");
        let (second, cut) = table.enter(socket.as_fd()).unwrap();
        assert_eq!(cut, None);
        let (third, cut) = table.enter(UnixStream::pair().unwrap().0.as_fd()).unwrap();
        assert_eq!(cut, None);
        let (fourth, cut) = table.enter(UnixStream::pair().unwrap().0.as_fd()).unwrap();
        assert_eq!(cut, Some(second.number));
        assert!(is_ended(&second) && !is_ended(&first) && !is_ended(&third));
        assert_eq!(std::io::Read::read(&mut peer, &mut [0]).unwrap(), 0, "its socket is cut");
        assert!(!second.is_known(None), "too late");
        assert!(third.is_known(None));
        assert!(!fourth.is_known(None), "two are known already");
        drop(first);
        assert!(fourth.is_known(None));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_key_that_is_revoked() {
        let table = Table::new(Most { known: 9, strangers: 9 }).unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let enter = || table.enter(socket.as_fd()).unwrap().0;
        let tickets = [enter(), enter(), enter(), enter()];
        let keys = [Fingerprint::from([1; 32]), Fingerprint::from([2; 32])];
        assert!(tickets[0].is_known(Some(keys[0])));
        assert!(tickets[1].is_known(Some(keys[1])));
        assert!(tickets[2].is_known(None));
        assert_eq!(table.revoke(|key| *key == keys[0]), [tickets[1].number]);
        assert_eq!(tickets.each_ref().map(is_ended), [false, true, false, false]);
        table.end_all();
        assert_eq!(tickets.each_ref().map(is_ended), [true; 4]);
    }
}

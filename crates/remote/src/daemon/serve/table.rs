//! Who is connected, and how many may be.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
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

/// Where a stranger comes from, as far as it cannot choose: its address, of IPv6 the network of 64 bits that one host may have all
/// of (RFC 4291, 2.5.1); `None` is this machine, by a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(Option<IpAddr>);

impl Origin {
    pub(super) const NEAR: Origin = Origin(None);

    pub(super) fn far(address: IpAddr) -> Origin {
        Origin(Some(match address.to_canonical() {
            IpAddr::V6(all) => Ipv6Addr::from_bits(all.to_bits() >> 64 << 64).into(),
            address => address,
        }))
    }
}

/// Whose a connection turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// One that we know, by this name.
    Known(String),
    /// Nobody's that we know.
    Stranger,
    /// There are too many already.
    TooMany,
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
    origin: Origin,
    /// Whose it is, once that is known.
    key: Option<Option<Fingerprint>>,
    /// Whether it was asked to end.
    is_asked: bool,
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

    /// Lets a stranger in. If there are too many, one is cut off, and its number given: of those that come from where most come
    /// from the one that has been a stranger for longest. Who means it needs a few milliseconds; who waits, or comes again and again,
    /// keeps nobody out but those who come from the same place.
    pub(super) fn enter(
        self: &Arc<Table>,
        socket: BorrowedFd<'_>,
        origin: Origin,
    ) -> io::Result<(Ticket, Option<u64>)> {
        let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let socket = socket.try_clone_to_owned()?;
        let mut inner = self.inner();
        let cut = inner.one_too_many(self.most.strangers);
        if let Some(number) = cut {
            // It holds its place in the table no longer.
            inner.live.remove(&number).iter_mut().for_each(Entry::cut);
        }
        inner.last += 1;
        let number = inner.last;
        inner
            .live
            .insert(number, Entry { end: end.clone(), socket, origin, key: None, is_asked: false });
        Ok((Ticket { table: self.clone(), number, end }, cut))
    }

    /// Ends those of keys that are not `known` any more, and gives their numbers, once each.
    pub(super) fn revoke(&self, known: impl Fn(&Fingerprint) -> bool) -> Vec<u64> {
        let mut inner = self.inner();
        let gone = inner.live.iter_mut().filter(|(_, entry)| {
            !entry.is_asked && matches!(&entry.key, Some(Some(key)) if !known(key))
        });
        gone.map(|(&number, entry)| {
            entry.ask_to_end();
            number
        })
        .collect()
    }

    /// Cuts those off that are not known yet.
    pub(super) fn cut_strangers(&self) {
        self.inner().live.values_mut().filter(|entry| entry.key.is_none()).for_each(Entry::cut);
    }

    /// Asks all to end.
    pub(super) fn end_all(&self) {
        self.inner().live.values_mut().for_each(Entry::ask_to_end);
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

impl Inner {
    /// The stranger that has to go if there may not be more than so many.
    fn one_too_many(&self, most: usize) -> Option<u64> {
        let strangers = self.live.iter().filter(|(_, entry)| entry.key.is_none());
        let mut count = 0;
        // How many there are from each, and the oldest of them.
        let mut crowds: BTreeMap<Origin, (usize, u64)> = BTreeMap::new();
        for (&number, entry) in strangers {
            count += 1;
            crowds.entry(entry.origin).or_insert((0, number)).0 += 1;
        }
        let crowd = crowds.into_values().max_by_key(|&(size, oldest)| (size, Reverse(oldest)));
        crowd.filter(|_| count >= most).map(|(_, oldest)| oldest)
    }
}

impl Entry {
    fn ask_to_end(&mut self) {
        self.is_asked = true;
        // It can only fail when it is readable already.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }

    fn cut(&mut self) {
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

    /// It has proved to have this key. Whose it is, `name` says: once before and once after the table has the key, so that one
    /// which is revoked in between is found here, and one which is revoked later there.
    pub(super) fn admit<E>(
        &self,
        key: Fingerprint,
        mut name: impl FnMut() -> Result<Option<String>, E>,
    ) -> Result<Admission, E> {
        if name()?.is_none() {
            return Ok(Admission::Stranger);
        }
        if !self.is_known(Some(key)) {
            return Ok(Admission::TooMany);
        }
        let name = name();
        if !matches!(name, Ok(Some(_)))
            && let Some(entry) = self.table.inner().live.get_mut(&self.number)
        {
            entry.key = None;
        }
        Ok(name?.map_or(Admission::Stranger, Admission::Known))
    }

    /// Readable once it is to end.
    pub(super) fn end(&self) -> &Arc<OwnedFd> {
        &self.end
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut entry = self.table.inner().live.remove(&self.number);
        // Nobody counts it from here on, so a stranger's connection is not to stay for the sake of what it was told.
        entry.iter_mut().filter(|entry| entry.key.is_none()).for_each(Entry::cut);
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
        poll(&[Interest::Read(ticket.end().as_fd())], Some(Duration::ZERO)).unwrap()[0].now
    }

    #[test]
    fn the_oldest_stranger_makes_room() {
        let table = Table::new(Most { known: 2, strangers: 2 }).unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let near = |socket: &UnixStream| table.enter(socket.as_fd(), Origin::NEAR).unwrap();
        let (first, cut) = near(&socket);
        assert_eq!(cut, None);
        assert!(first.is_known(None), "it is no stranger any more");
        let (second, cut) = near(&socket);
        assert_eq!(cut, None);
        let (third, cut) = near(&UnixStream::pair().unwrap().0);
        assert_eq!(cut, None);
        let (fourth, cut) = near(&UnixStream::pair().unwrap().0);
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
        let enter = || table.enter(socket.as_fd(), Origin::NEAR).unwrap().0;
        let tickets = [enter(), enter(), enter(), enter()];
        let keys = [Fingerprint::from([1; 32]), Fingerprint::from([2; 32])];
        assert!(tickets[0].is_known(Some(keys[0])));
        assert!(tickets[1].is_known(Some(keys[1])));
        assert!(tickets[2].is_known(None));
        assert_eq!(table.revoke(|key| *key == keys[0]), [tickets[1].number]);
        assert!(table.revoke(|key| *key == keys[0]).is_empty(), "it was told already");
        assert_eq!(tickets.each_ref().map(is_ended), [false, true, false, false]);
        table.end_all();
        assert_eq!(tickets.each_ref().map(is_ended), [true; 4]);
    }

    #[test]
    fn a_crowd_keeps_others_in() {
        let table = Table::new(Most { known: 9, strangers: 3 }).unwrap();
        let enter = |origin| {
            let (ours, _) = UnixStream::pair().unwrap();
            table.enter(ours.as_fd(), origin).unwrap()
        };
        let [one, crowd] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|ip| Origin::far(ip.into()));
        let (kept, _) = enter(one);
        let (first, _) = enter(crowd);
        let (second, cut) = enter(crowd);
        assert_eq!(cut, None);
        let (third, cut) = enter(crowd);
        assert_eq!(cut, Some(first.number));
        let (_fourth, cut) = enter(Origin::NEAR);
        assert_eq!(cut, Some(second.number));
        let (_fifth, cut) = enter(crowd);
        assert_eq!(cut, Some(kept.number), "all come alone: the oldest");
        drop(third);
    }

    #[test]
    fn origins() {
        let check = |one: &str, other: &str, same| {
            let [one, other] = [one, other].map(|text| Origin::far(text.parse().unwrap()));
            assert_eq!(one == other, same, "{one:?} {other:?}");
        };
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8::1", "2001:db8::ffff:1:2:3", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }

    #[test]
    fn a_stranger_that_was_served_is_gone() {
        let table = Table::new(Most { known: 9, strangers: 9 }).unwrap();
        let mut peers = Vec::new();
        for is_known in [true, false] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (ticket, _) = table.enter(ours.as_fd(), Origin::NEAR).unwrap();
            assert!(!is_known || ticket.is_known(None));
            drop(ticket);
            theirs.set_nonblocking(true).unwrap();
            let read = std::io::Read::read(&mut theirs, &mut [0]);
            assert_eq!(read.ok(), (!is_known).then_some(0), "known: {is_known}");
            // Somebody else still has its socket.
            peers.push(ours);
        }
    }

    #[test]
    fn a_key_that_is_revoked_meanwhile() {
        let table = Table::new(Most { known: 1, strangers: 9 }).unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let enter = || table.enter(socket.as_fd(), Origin::NEAR).unwrap().0;
        let key = Fingerprint::from([1; 32]);
        let admit = |ticket: &Ticket, answers: &[Option<&str>]| {
            let mut answers = answers.iter().map(|name| Ok::<_, ()>(name.map(str::to_owned)));
            ticket.admit(key, || answers.next().expect("asked twice at most")).unwrap()
        };
        let (first, second) = (enter(), enter());
        assert_eq!(admit(&first, &[None]), Admission::Stranger);
        assert_eq!(admit(&first, &[Some("a"), None]), Admission::Stranger);
        // It takes nobody's place.
        assert_eq!(admit(&second, &[Some("a"), Some("b")]), Admission::Known("b".into()));
        assert_eq!(admit(&first, &[Some("a")]), Admission::TooMany);
        assert_eq!(table.revoke(|_| false), [second.number]);
    }
}

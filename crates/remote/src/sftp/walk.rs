//! A tree over there, entry by entry, with as much on its way at once as is good.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use thither_place::archive::{Entries, Entry, Found, Kind, Timestamp, named};

use super::calls::{Calls, Step};
use super::download::Download;
use super::failed::{broken, failed, is_missing, unexpected};
use super::listing::Listings;
use super::packet::{Attributes, Reply, Request, code};
use super::{DIRECTORY, KEPT_MODE, KIND, LINK, REGULAR, Session, below, described, os, shown};

/// How many entries are prepared before it is their turn.
const NODES: usize = 256;
/// How many pieces of files are there or on their way before it is their turn, all in all: 8 MiB.
const PIECES: usize = 256;
/// So many of every file, even so.
const FIRST_PIECES: usize = 2;

/// Reads a tree.
pub(super) struct Walk {
    /// Until the first entry is asked for.
    session: Option<Session>,
    server: Option<Server>,
    /// What the path over there is, and how it is called in errors.
    root: PathBuf,
    name: PathBuf,
    nodes: VecDeque<Node>,
    /// The number of the last node or listing.
    number: u64,
    listings: Listings,
    failure: Option<io::Error>,
    /// The file whose content is read.
    current: Option<Node>,
}

/// The server, and how much is asked of it.
struct Server {
    calls: Calls,
    open: usize,
    pieces: usize,
}

/// Something below the root.
struct Node {
    number: u64,
    path: PathBuf,
    attributes: Attributes,
    state: State,
}

enum State {
    /// Its attributes, or the text of a link, are on their way.
    Asked,
    File(Download),
    Ready(Found),
    Failed(io::Error),
}

impl Walk {
    pub(super) fn new(session: Session, path: &Path) -> Walk {
        let named = named(path);
        let has_name = named.name != ".";
        let root = if has_name { named.dir.join(named.name) } else { named.dir.to_owned() };
        Walk {
            session: Some(session),
            server: None,
            root,
            name: named.name.into(),
            nodes: VecDeque::new(),
            number: 0,
            listings: Listings::default(),
            failure: None,
            current: None,
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.greet()?;
        let Some(session) = self.session.take() else { return Ok(()) };
        let mut calls = session.into_calls();
        self.number += 1;
        let (number, path) = (self.number, PathBuf::new());
        calls.call(number, Step::Stat, &Request::LStat(below(&self.root, &path)));
        let attributes = Attributes::default();
        self.nodes.push_back(Node { number, path, attributes, state: State::Asked });
        self.server = Some(Server { calls, open: 0, pieces: 0 });
        Ok(())
    }

    /// Asks for more, as far as there is room.
    fn fill(&mut self) {
        let Some(server) = &mut self.server else { return };
        self.listings.begin(&mut self.number, &self.root, &mut server.calls);
        while self.nodes.len() < NODES {
            let may_open = server.open < server.calls.features.handles;
            let next = self.listings.next(|attributes| {
                may_open || attributes.permissions.is_some_and(|mode| mode & KIND != REGULAR)
            });
            let Some((path, attributes)) = next else { return };
            self.number += 1;
            let mut node = Node { number: self.number, path, attributes, state: State::Asked };
            match attributes.permissions.is_some_and(|mode| mode & KIND != 0) {
                true => node.begin(&self.root, server, &mut self.listings),
                false => {
                    let request = Request::LStat(below(&self.root, &node.path));
                    server.calls.call(node.number, Step::Stat, &request);
                }
            }
            self.nodes.push_back(node);
        }
    }

    /// Waits for one answer.
    fn step(&mut self) -> io::Result<()> {
        let Some(server) = &mut self.server else { return Err(broken("is gone")) };
        let (number, step, reply) = server.calls.reply()?;
        match step {
            Step::List => {
                let taken = self.listings.take(number, reply, &mut server.calls);
                if let Err((path, error)) = taken {
                    self.not_listed(path, error);
                }
            }
            Step::Forget => {}
            _ => {
                let at = self.nodes.binary_search_by_key(&number, |node| node.number);
                let current = self.current.as_mut().filter(|node| node.number == number);
                let node = match at {
                    Ok(at) => self.nodes.get_mut(at),
                    Err(_) => current,
                };
                match node {
                    Some(node) => node.take(step, reply, &self.root, server, &mut self.listings),
                    None => server.late(step),
                }
            }
        }
        Ok(())
    }

    fn not_listed(&mut self, path: PathBuf, error: io::Error) {
        if is_missing(&error) && !path.as_os_str().is_empty() {
            let (number, attributes) = (self.number + 1, Attributes::default());
            self.number = number;
            let state = State::Ready(gone(&path));
            self.nodes.push_back(Node { number, path, attributes, state });
        } else if self.failure.is_none() {
            self.failure = Some(failed("read", shown(&self.name, &path), error));
        }
    }

    fn first_is_ready(&self) -> bool {
        self.nodes.front().is_some_and(|node| match &node.state {
            State::Asked => false,
            State::File(download) if download.is_small() => download.complete().is_some(),
            State::File(download) => download.handle.is_some(),
            State::Ready(_) | State::Failed(_) => true,
        })
    }

    fn pop(&mut self) -> io::Result<Option<Found>> {
        let Some(node) = self.nodes.pop_front() else { return Ok(None) };
        if let State::File(download) = &node.state {
            let size = download.complete().filter(|_| download.is_small());
            let size = size.or(node.attributes.size).unwrap_or_default();
            let entry = node.entry(Kind::File, size);
            self.current = Some(node);
            return Ok(Some(Found::Entry(entry)));
        }
        match node.state {
            State::Ready(found) => Ok(Some(found)),
            State::Failed(error) if is_missing(&error) && !node.path.as_os_str().is_empty() => {
                Ok(Some(gone(&node.path)))
            }
            State::Failed(error) => Err(failed("read", shown(&self.name, &node.path), error)),
            State::Asked | State::File(_) => Err(broken("is not there yet")),
        }
    }
}

impl Entries for Walk {
    fn next_entry(&mut self) -> io::Result<Option<Found>> {
        self.start()?;
        if let (Some(node), Some(server)) = (self.current.take(), &mut self.server) {
            server.let_go(node.state);
        }
        loop {
            self.fill();
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.first_is_ready() {
                return self.pop();
            }
            if self.nodes.is_empty() && self.listings.is_empty() {
                return Ok(None);
            }
            self.step()?;
        }
    }

    fn read_content(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let (Some(node), Some(server)) = (&mut self.current, &mut self.server) else {
                return Ok(0);
            };
            let failed = |path: &Path, error| failed("read", shown(&self.name, path), error);
            match &mut node.state {
                State::File(download) => {
                    let read = server.counted(download, |download| download.read(buf));
                    server.ask(node.number, download, usize::MAX);
                    if read > 0 || buf.is_empty() {
                        return Ok(read);
                    }
                    if download.shrank() {
                        let text = "it became shorter while it was read";
                        let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                        return Err(failed(&node.path, error));
                    }
                    if download.held() == 0 {
                        return Ok(0);
                    }
                }
                State::Failed(error) => {
                    let error = std::mem::replace(error, broken("has failed before"));
                    return Err(failed(&node.path, error));
                }
                State::Asked | State::Ready(_) => return Ok(0),
            }
            self.step()?;
        }
    }
}

impl Server {
    /// Does something with a download, and counts the pieces.
    fn counted<T>(&mut self, download: &mut Download, work: impl FnOnce(&mut Download) -> T) -> T {
        let before = download.held();
        let result = work(download);
        self.pieces = (self.pieces + download.held()).saturating_sub(before);
        result
    }

    /// Asks for more of a file, as long as it holds less than `most` pieces.
    fn ask(&mut self, number: u64, download: &mut Download, most: usize) {
        while let Some((offset, length)) = self.counted(download, |download| download.want(most)) {
            let handle = download.handle.clone().unwrap_or_default();
            let request = Request::Read { handle, offset, length };
            self.calls.call(number, Step::Read { offset, length }, &request);
        }
    }

    /// The same for a file whose turn is still to come.
    fn ask_ahead(&mut self, number: u64, download: &mut Download) {
        let most = if self.pieces < PIECES { usize::MAX } else { FIRST_PIECES };
        self.ask(number, download, most);
        if download.is_small() && download.complete().is_some() {
            self.close(download);
        }
    }

    fn close(&mut self, download: &mut Download) {
        if let Some(handle) = download.close() {
            self.open = self.open.saturating_sub(1);
            self.calls.call(0, Step::Forget, &Request::Close(handle));
        }
    }

    /// A file that is not read any further.
    fn let_go(&mut self, state: State) {
        if let State::File(mut download) = state {
            self.pieces = self.pieces.saturating_sub(download.stored());
            self.close(&mut download);
        }
    }

    /// An answer that comes when nobody wants it any more.
    fn late(&mut self, step: Step) {
        if let Step::Read { .. } = step {
            self.pieces = self.pieces.saturating_sub(1);
        }
    }
}

impl Node {
    /// Asks for what is needed of it, now that its attributes are known.
    fn begin(&mut self, root: &Path, server: &mut Server, listings: &mut Listings) {
        let mode = self.attributes.permissions.unwrap_or_default();
        let path = below(root, &self.path);
        self.state = match mode & KIND {
            DIRECTORY => {
                listings.add(self.path.clone());
                State::Ready(Found::Entry(self.entry(Kind::Directory, 0)))
            }
            LINK => {
                server.calls.call(self.number, Step::Link, &Request::ReadLink(path));
                State::Asked
            }
            REGULAR => {
                server.open += 1;
                server.calls.call(self.number, Step::Open, &Request::Open(path));
                State::File(Download::new(self.attributes.size.unwrap_or_default()))
            }
            _ if self.path.as_os_str().is_empty() => {
                let text = format!("it is {}, which is not copied", described(mode));
                State::Failed(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            _ => {
                let what = described(mode);
                State::Ready(Found::LeftOut { path: self.path.clone(), what })
            }
        };
    }

    /// An answer about it.
    fn take(
        &mut self,
        step: Step,
        reply: Reply,
        root: &Path,
        server: &mut Server,
        listings: &mut Listings,
    ) {
        let number = self.number;
        let taken = match (&mut self.state, step, reply) {
            (State::Asked, Step::Stat, Reply::Attributes(attributes)) => {
                self.attributes = attributes;
                self.begin(root, server, listings);
                Ok(())
            }
            (State::Asked, Step::Link, Reply::Names(names)) => match names.into_iter().next() {
                Some((text, _)) => {
                    let kind = Kind::Symlink(os(&text).into());
                    self.state = State::Ready(Found::Entry(self.entry(kind, 0)));
                    Ok(())
                }
                None => Err(broken("gave no text of a link")),
            },
            (State::File(download), Step::Open, Reply::Handle(handle)) => {
                download.handle = Some(handle);
                server.ask_ahead(number, download);
                Ok(())
            }
            (State::File(_), Step::Open, other) => {
                server.open = server.open.saturating_sub(1);
                Err(unexpected(other))
            }
            (State::File(download), Step::Read { offset, length }, reply) => {
                let taken = server.counted(download, |download| match reply {
                    Reply::Data(data) => download.take(offset, length, data),
                    Reply::Status { code: code::EOF, .. } => {
                        download.ended(offset);
                        Ok(())
                    }
                    other => {
                        download.ended(offset);
                        Err(unexpected(other))
                    }
                });
                server.ask_ahead(number, download);
                taken
            }
            (State::Failed(_), step, _) => {
                server.late(step);
                Ok(())
            }
            (_, _, other) => Err(unexpected(other)),
        };
        if let Err(error) = taken {
            server.let_go(std::mem::replace(&mut self.state, State::Failed(error)));
        }
    }

    fn entry(&self, kind: Kind, size: u64) -> Entry {
        let Attributes { permissions, modified, .. } = self.attributes;
        let seconds = i64::from(modified.unwrap_or_default());
        let modified = Timestamp { seconds, nanoseconds: 0 };
        let mode = permissions.unwrap_or_default() & KEPT_MODE;
        let (path, extra) = (self.path.clone(), thither_place::archive::Extra::default());
        Entry { path, kind, mode, modified, size, extra }
    }
}

/// What was listed and is no more.
fn gone(path: &Path) -> Found {
    Found::LeftOut { path: path.to_owned(), what: "gone meanwhile" }
}

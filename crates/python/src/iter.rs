//! Iteration, in batches.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::request::{head, want};
use crate::{Object, Pending, Result};

/// The first batch, in items; each is twice the one before.
const FIRST: usize = 64;
/// The largest batch, in items.
const LARGEST: usize = 4096;

impl Object {
    /// Its items, as copies or as objects. Items of Python's own containers come in batches, in one round trip for many;
    /// those of generators, files and the like one by one, as they may wait or do something: see [`Iter::batch`].
    ///
    /// # Errors
    /// When it is not iterable; as every call.
    pub fn iter<T: DeserializeOwned>(&self) -> Result<Iter<T>> {
        Ok(Iter {
            source: Some(self.clone()),
            asked: None,
            size: FIRST,
            ready: VecDeque::new(),
            item: PhantomData,
        })
    }
}

/// Items of an object over there.
pub struct Iter<T> {
    /// The object, then its iterator; `None` at the end.
    source: Option<Object>,
    asked: Option<usize>,
    size: usize,
    ready: VecDeque<T>,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iter<T> {
    /// Asks for so many items at once, whatever the iterator is: it runs ahead of who reads.
    #[must_use]
    pub fn batch(mut self, items: usize) -> Iter<T> {
        self.asked = Some(items.max(1));
        self
    }

    fn fetch(&mut self, source: &Object) -> Result<()> {
        let count = self.asked.unwrap_or(self.size);
        self.size = (self.size * 2).min(LARGEST);
        let owner = source.handle.session.connection.id;
        let mut call = head(source.handle.number, &source.path, "take");
        call.value(&(count, self.asked.is_some()), owner)?;
        call.none();
        let pending: Pending<Items<T>> = source.send_wanting(call, want::<T>())?;
        let (items, iterator): (Vec<T>, Option<Object>) =
            pending.wait_by(|decoder| Ok(decoder.value()?))?;
        self.ready = items.into();
        self.source = iterator;
        Ok(())
    }
}

type Items<T> = (Vec<T>, Option<Object>);

impl<T: DeserializeOwned> Iterator for Iter<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let source = self.source.take()?;
            if let Err(error) = self.fetch(&source) {
                return Some(Err(error));
            }
        }
    }
}

impl<T> fmt::Debug for Iter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("source", &self.source).finish_non_exhaustive()
    }
}

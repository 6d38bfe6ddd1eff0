//! Answers that are read later than they are asked for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::engine::{Engine, MAX_ANSWER};
use crate::error::Result;
use crate::http::{Body, Connection, Patience};

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) engine: Engine,
    pub(crate) connection: Connection,
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// How long the rest of an answer may take that has begun to come, where whoever waits has other things to do.
pub(crate) const REST: Duration = Duration::from_secs(5);

impl Pending {
    /// All of an answer that has begun to come.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.within(REST, None)?.json()
    }

    /// The head of its answer, and the body as it comes.
    pub(crate) fn answer(self, cancel: Option<BorrowedFd<'_>>) -> Result<Answer> {
        let limit = self.engine.patience(None).limit;
        self.within(limit, cancel)
    }

    /// The same within another time.
    pub(crate) fn within(self, limit: Duration, cancel: Option<BorrowedFd<'_>>) -> Result<Answer> {
        let Pending { engine, mut connection } = self;
        let patience = Patience::for_answer(limit, cancel);
        let head = connection.head(patience).map_err(|t| engine.error(t, patience))?;
        let mut body =
            Body::new(connection, &head, false).map_err(|t| engine.error(t, patience))?;
        engine.check(&head, &mut body, patience)?;
        Ok(Answer { engine, body })
    }
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Answer {
    engine: Engine,
    body: Body,
}

impl AsFd for Answer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.body.as_fd()
    }
}

impl Answer {
    /// Takes what has come of a body without end, where it matters only that something did.
    ///
    /// # Errors
    /// When it has ended all the same.
    pub(crate) fn take_note(&mut self) -> Result<()> {
        let patience = Patience::for_answer(REST, None);
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.body.read(&mut bytes, patience) {
                Ok(0) => return Err(self.engine.lost()),
                Ok(_) if self.body.has_more_at_hand() => {}
                Ok(_) => return Ok(()),
                Err(trouble) => return Err(self.engine.error(trouble, patience)),
            }
        }
    }

    /// All of its body, which has begun to come.
    pub(crate) fn json<T: DeserializeOwned>(mut self) -> Result<T> {
        let patience = Patience::for_answer(REST, None);
        let bytes = self
            .body
            .read_all(MAX_ANSWER, patience)
            .map_err(|trouble| self.engine.error(trouble, patience))?;
        serde_json::from_slice(&bytes).map_err(|error| match bytes.is_empty() {
            true => self.engine.lost(),
            false => self.engine.garbage(format!("an answer that is not as documented: {error}")),
        })
    }
}

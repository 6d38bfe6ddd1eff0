//! A call that was sent.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use crate::call_options::CallOptions;
use crate::object::{Object, take_kept};
use crate::request;
use crate::session::Session;
use crate::{Error, Result};

/// A call that was sent and whose reply can be waited for, by a thread or as a future. Calls of one thread are answered in
/// their order. Dropping it forgets the reply; what was called goes on.
#[must_use = "a reply that nobody waits for is lost, and its error with it"]
pub struct Pending<T> {
    session: Arc<Session>,
    options: CallOptions,
    /// 0 once it is answered.
    id: u32,
    _kept: Vec<Object>,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pending<T> {
    pub(crate) fn new(session: &Arc<Session>, options: &CallOptions, id: u32) -> Pending<T> {
        let (session, options) = (Arc::clone(session), options.clone());
        Pending { session, options, id, _kept: take_kept(), result: PhantomData }
    }

    /// Waits for the reply. The time that it may take counts from here.
    ///
    /// # Errors
    /// What is raised over there; when the connection fails; [`Error::TimedOut`], [`Error::Cancelled`].
    pub fn wait(mut self) -> Result<T> {
        let id = std::mem::take(&mut self.id);
        let frame = self.session.connection.wait(id, &self.options)?;
        request::read(&self.session, &self.options, frame)
    }

    /// Waits for the reply and reads it by hand.
    pub(crate) fn wait_by<R>(
        mut self,
        read: impl FnOnce(&mut crate::marshal::Decoder<'_>) -> Result<R>,
    ) -> Result<R> {
        let id = std::mem::take(&mut self.id);
        let frame = self.session.connection.wait(id, &self.options)?;
        request::read_by(&self.session, &self.options, frame, read)
    }

    /// Gives it up: what was called is interrupted over there, or never begins.
    pub fn cancel(mut self) {
        let id = std::mem::take(&mut self.id);
        self.session.connection.abandon(id, true);
    }
}

/// Without timeout: the executor has its own.
impl<T: DeserializeOwned> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if self.id == 0 {
            return Poll::Ready(Err(Error::Cancelled));
        }
        match self.session.connection.poll(self.id, context.waker()) {
            None => Poll::Pending,
            Some(frame) => {
                self.id = 0;
                Poll::Ready(
                    frame.and_then(|frame| request::read(&self.session, &self.options, frame)),
                )
            }
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if self.id != 0 {
            self.session.connection.abandon(self.id, false);
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}

//! An interpreter.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call_options::{CallOptions, Cancel};
use crate::callback::{self, Callback, Raise};
use crate::names::{Names, Source};
use crate::object::Object;
use crate::request;
use crate::session::{Info, Session};
use crate::{Error, Result};

/// A Python interpreter somewhere else. A clone is the same interpreter; when the last handle of it and of its objects is
/// dropped, it ends.
///
/// Many threads may use it; their calls overlap. What one thread asks for runs on the main thread over there, as long as
/// that is free; calls of other threads meanwhile run on threads of their own.
#[derive(Clone, Debug)]
pub struct Python {
    pub(crate) session: Arc<Session>,
    pub(crate) options: CallOptions,
}

/// An interpreter, as long as others hold it or its objects. See [`Python::downgrade`].
#[derive(Clone, Debug)]
pub struct WeakPython {
    session: Weak<Session>,
    options: CallOptions,
}

impl WeakPython {
    /// A handle as that which this was made of; `None` once no other is left.
    #[must_use]
    pub fn upgrade(&self) -> Option<Python> {
        Some(Python { session: self.session.upgrade()?, options: self.options.clone() })
    }
}

/// The agent's session object.
const SESSION: u32 = 1;

impl Python {
    /// Who it is.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.session.info
    }

    /// A module, imported over there; a submodule by its dotted name.
    ///
    /// # Errors
    /// `ImportError` over there; as every call.
    pub fn import(&self, name: &str) -> Result<Object> {
        self.agent().call_method1("imported", (name,))
    }

    /// What a dotted name leads to, lazily: a variable of the session, a built-in, or a module with what is in it.
    /// Modules are imported as they are needed: `py.get("os.path.join")?.call1(("a", "b"))` is one round trip.
    ///
    /// # Errors
    /// When no name is between two dots. Whether it exists shows when it is used.
    pub fn get(&self, path: &str) -> Result<Object> {
        Object::new(&self.session, 0, &self.options).getattr(path)
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// As every call: what is raised over there, and when the connection fails.
    pub fn eval<T: DeserializeOwned>(&self, source: impl Source, names: impl Names) -> Result<T> {
        let call = self.evaluation("evaluate", &source, &names)?;
        self.agent().send(call)?.wait()
    }

    /// Starts [`eval`](Python::eval), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start_eval<T: DeserializeOwned>(
        &self,
        source: impl Source,
        names: impl Names,
    ) -> Result<crate::Pending<T>> {
        let call = self.evaluation("evaluate", &source, &names)?;
        self.agent().send(call)
    }

    /// Runs statements. With `()` they share the session's variables, which last; those given as `&mut` [`Locals`](crate::Locals)
    /// are what the statements have made of them afterwards.
    ///
    /// # Errors
    /// As every call.
    pub fn exec(&self, source: impl Source, mut names: impl Names) -> Result<()> {
        let call = self.evaluation("execute", &source, &names)?;
        names.run(&self.agent(), call)
    }

    fn evaluation(
        &self,
        method: &str,
        source: &impl Serialize,
        names: &impl Names,
    ) -> Result<crate::marshal::Encoded> {
        let owner = self.session.connection.id;
        let mut call = request::head(SESSION, &[method.into()], "call");
        call.tuple(3);
        call.value(source, owner)?;
        names.encode(&mut call, owner)?;
        call.none();
        Ok(call)
    }

    /// Compiles source text; `name` is shown in tracebacks, `mode` is `"exec"`, `"eval"` or `"single"`.
    ///
    /// # Errors
    /// `SyntaxError` over there; as every call.
    pub fn compile(&self, source: &str, name: &str, mode: &str) -> Result<Object> {
        self.agent().call_method1("compiled", (source, name, mode))
    }

    /// The session's variables, those of `__main__` over there: a dict.
    ///
    /// # Errors
    /// As every call.
    pub fn globals(&self) -> Result<Object> {
        self.agent().getattr("namespace")?.resolve()
    }

    /// A function of this program for the interpreter to call, with copies of its arguments as a tuple: `|args: (i64, String)|`.
    /// It may call the interpreter that calls it. Its error is raised over there.
    ///
    /// What it holds lives as long as anything over there refers to it: with a [`Python`] or an [`Object`] of this very
    /// interpreter it would keep that from its end. Give it a [`downgrade`](Python::downgrade)d handle:
    ///
    /// ```
    /// # use thither_python::{Error, Python};
    /// # fn with(py: &Python) -> Result<(), Error> {
    /// let weak = py.downgrade();
    /// let callback = py.callback(move |(name,): (String,)| {
    ///     let py = weak.upgrade().ok_or(Error::Cancelled)?;
    ///     Ok(py.get(&name)?.extract::<i64>()?)
    /// });
    /// # drop(callback);
    /// # Ok(())
    /// # }
    /// ```
    pub fn callback<A, R, F>(&self, function: F) -> Callback
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> Result<R, Raise> + Send + Sync + 'static,
    {
        callback::register(&self.session, function, false)
    }

    /// A function of this program that is called with the objects themselves: `|args: (Object,)|`, `|args: Vec<Object>|`.
    pub fn callback_with_objects<A, R, F>(&self, function: F) -> Callback
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> Result<R, Raise> + Send + Sync + 'static,
    {
        callback::register(&self.session, function, true)
    }

    /// A handle that does not keep the interpreter from its end.
    #[must_use]
    pub fn downgrade(&self) -> WeakPython {
        WeakPython { session: Arc::downgrade(&self.session), options: self.options.clone() }
    }

    /// The same interpreter; what is got through this handle may take that long.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Python {
        self.options.timeout = Some(limit);
        self
    }

    /// The same interpreter; what is got through this handle can be given up.
    #[must_use]
    pub fn with_cancel(mut self, cancel: &Cancel) -> Python {
        self.options.cancel = Some(cancel.clone());
        self
    }

    /// Ends the interpreter, whoever else holds it or its objects, and waits for its end: what runs is interrupted and has
    /// half a second to clean up.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not end: a stopped process, say.
    pub fn close(self) -> Result<()> {
        self.session.connection.close();
        let limit = Duration::from_secs(10);
        match self.session.connection.wait_for_end(limit) {
            true => Ok(()),
            false => Err(Error::TimedOut { limit }),
        }
    }

    pub(crate) fn agent(&self) -> Object {
        Object::new(&self.session, SESSION, &self.options)
    }
}

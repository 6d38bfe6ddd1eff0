//! A proxy: an object over there.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call_options::{CallOptions, Cancel};
use crate::marshal::{Encoded, Reference, names};
use crate::names::Locals;
use crate::pending::Pending;
use crate::request::{self, NO_ARGS};
use crate::session::Session;
use crate::{Python, Result};

/// An object over there. A clone is the same object; the last one to be dropped lets go of it, without waiting.
///
/// What [`getattr`](Object::getattr) and [`Python::get`] give is *lazy*: the attributes are looked up over there together
/// with what is done with it, in one round trip, and each time anew. [`resolve`](Object::resolve) looks them up for good.
#[derive(Clone)]
pub struct Object {
    pub(crate) handle: Arc<Handle>,
    /// Attributes that are looked up first.
    pub(crate) path: Vec<String>,
    pub(crate) options: CallOptions,
}

/// A number in the agent's table.
pub(crate) struct Handle {
    pub(crate) session: Arc<Session>,
    /// 0 is no object: the path begins with a name. 1 is the session, which stays.
    pub(crate) number: u32,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.number > 1 {
            self.session.connection.forget(self.number);
        }
    }
}

impl Object {
    pub(crate) fn new(session: &Arc<Session>, number: u32, options: &CallOptions) -> Object {
        let handle = Arc::new(Handle { session: Arc::clone(session), number });
        Object { handle, path: Vec::new(), options: options.clone() }
    }

    /// The interpreter that it lives in.
    #[must_use]
    pub fn py(&self) -> Python {
        Python { session: Arc::clone(&self.handle.session), options: self.options.clone() }
    }

    /// An attribute, or attributes of attributes: `"path.join"`. Lazy: an error shows when it is used.
    ///
    /// # Errors
    /// When no name is between two dots.
    pub fn getattr(&self, path: &str) -> Result<Object> {
        let mut found = self.clone();
        found.path.extend(request::names_of(path)?);
        Ok(found)
    }

    /// The same, looked up now and for good.
    ///
    /// # Errors
    /// As every call: what is raised over there, and when the connection fails.
    pub fn resolve(&self) -> Result<Object> {
        match self.path.is_empty() {
            true => Ok(self.clone()),
            false => self.extract(),
        }
    }

    /// A copy of it.
    ///
    /// # Errors
    /// When it cannot be copied, or not as that type; and as every call.
    pub fn extract<T: DeserializeOwned>(&self) -> Result<T> {
        self.op("get", NO_ARGS)
    }

    /// Calls it without arguments.
    ///
    /// # Errors
    /// As every call.
    pub fn call0<T: DeserializeOwned>(&self) -> Result<T> {
        self.op("call", NO_ARGS)
    }

    /// Calls it with a tuple of positional arguments.
    ///
    /// # Errors
    /// As every call.
    pub fn call1<T: DeserializeOwned>(&self, args: impl Serialize) -> Result<T> {
        self.op("call", args)
    }

    /// Calls it with a tuple of positional arguments, and with keyword arguments: `&locals! { sep: "-" }`.
    ///
    /// # Errors
    /// As every call.
    pub fn call<T: DeserializeOwned>(
        &self,
        args: impl Serialize,
        kwargs: &Locals<'_>,
    ) -> Result<T> {
        self.request("call", args, Some(kwargs))?.wait()
    }

    /// Calls a method without arguments.
    ///
    /// # Errors
    /// As every call.
    pub fn call_method0<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.getattr(name)?.call0()
    }

    /// Calls a method with a tuple of positional arguments.
    ///
    /// # Errors
    /// As every call.
    pub fn call_method1<T: DeserializeOwned>(&self, name: &str, args: impl Serialize) -> Result<T> {
        self.getattr(name)?.call1(args)
    }

    /// Calls a method with positional and keyword arguments.
    ///
    /// # Errors
    /// As every call.
    pub fn call_method<T: DeserializeOwned>(
        &self,
        name: &str,
        args: impl Serialize,
        kwargs: &Locals<'_>,
    ) -> Result<T> {
        self.getattr(name)?.call(args, kwargs)
    }

    /// Starts [`call0`](Object::call0), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start0<T: DeserializeOwned>(&self) -> Result<Pending<T>> {
        self.request("call", NO_ARGS, None)
    }

    /// Starts [`call1`](Object::call1), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start1<T: DeserializeOwned>(&self, args: impl Serialize) -> Result<Pending<T>> {
        self.request("call", args, None)
    }

    /// Starts [`call`](Object::call), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start<T: DeserializeOwned>(
        &self,
        args: impl Serialize,
        kwargs: &Locals<'_>,
    ) -> Result<Pending<T>> {
        self.request("call", args, Some(kwargs))
    }

    /// Starts [`call_method0`](Object::call_method0), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start_method0<T: DeserializeOwned>(&self, name: &str) -> Result<Pending<T>> {
        self.getattr(name)?.start0()
    }

    /// Starts [`call_method1`](Object::call_method1), to be waited for later.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn start_method1<T: DeserializeOwned>(
        &self,
        name: &str,
        args: impl Serialize,
    ) -> Result<Pending<T>> {
        self.getattr(name)?.start1(args)
    }

    /// An operator by its name in Python's module `operator` (`add`, `getitem`, `iadd`; `radd` with the object on the right),
    /// or one of the built-in functions that take an object (`len`, `divmod`, `sorted`).
    ///
    /// # Errors
    /// As every call; `KeyError` over there when no operator has that name.
    pub fn op<T: DeserializeOwned>(&self, name: &str, args: impl Serialize) -> Result<T> {
        self.request(name, args, None)?.wait()
    }

    /// The same object, whose calls may take that long; then they are [`Error::TimedOut`](crate::Error::TimedOut) here, and
    /// interrupted over there.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Object {
        self.options.timeout = Some(limit);
        self
    }

    /// The same object, whose calls can be given up.
    #[must_use]
    pub fn with_cancel(mut self, cancel: &Cancel) -> Object {
        self.options.cancel = Some(cancel.clone());
        self
    }

    pub(crate) fn request<T: DeserializeOwned>(
        &self,
        op: &str,
        args: impl Serialize,
        kwargs: Option<&Locals<'_>>,
    ) -> Result<Pending<T>> {
        let owner = self.handle.session.connection.id;
        let mut call = request::head(self.handle.number, &self.path, op);
        request::args(&mut call, &args, owner)?;
        match kwargs {
            Some(kwargs) => kwargs.encode(&mut call, owner)?,
            None => call.none(),
        }
        self.send(call)
    }

    /// Sends a call whose references are still to be written.
    pub(crate) fn send<T: DeserializeOwned>(&self, call: Encoded) -> Result<Pending<T>> {
        self.send_wanting(call, request::want::<T>())
    }

    pub(crate) fn send_wanting<T: DeserializeOwned>(
        &self,
        mut call: Encoded,
        want: u8,
    ) -> Result<Pending<T>> {
        call.refs();
        let id = self.handle.session.connection.start(want, &call, &self.options)?;
        Ok(Pending::new(&self.handle.session, &self.options, id))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({}", self.handle.number)?;
        for name in &self.path {
            write!(f, ".{name}")?;
        }
        f.write_str(")")
    }
}

/// By reference. A lazy one is looked up first.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let given = GIVEN.with_borrow_mut(|given| {
            let given = given.as_mut()?;
            given.push(self.clone());
            u32::try_from(given.len() - 1).ok()
        });
        if let Some(number) = given {
            return serializer.serialize_newtype_struct(names::OBJECT, &(0_u64, number));
        }
        let resolved;
        let object = match self.path.is_empty() && self.handle.number > 0 {
            true => self,
            false => {
                // What is kept for the call that is put together is not for this one.
                let kept = take_kept();
                let found = self.resolve();
                KEPT.set(kept);
                resolved = found.map_err(S::Error::custom)?;
                // Until the call is answered, since nobody else holds it.
                keep(&resolved);
                &resolved
            }
        };
        let owner = object.handle.session.connection.id;
        serializer.serialize_newtype_struct(names::OBJECT, &(owner, object.handle.number))
    }
}

/// Only of what an interpreter sends; from anywhere else it is an error.
impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        let (kind, number) = deserializer.deserialize_newtype_struct(names::OBJECT, Pair)?;
        if kind != 0 {
            return Err(D::Error::custom("it is a function of this program: ask for a `Callback`"));
        }
        let given = GIVEN.with_borrow(|given| given.as_ref()?.get(number as usize).cloned());
        if let Some(object) = given {
            return Ok(object);
        }
        CURRENT.with_borrow_mut(|current| {
            let current =
                current.as_mut().ok_or_else(|| D::Error::custom("an object of nowhere"))?;
            let at = current.left.iter().position(|left| *left == number);
            let at = at.ok_or_else(|| D::Error::custom("an object that was not sent"))?;
            current.left.swap_remove(at);
            Ok(Object::new(&current.session, number, &current.options))
        })
    }
}

/// Reads a callback of this program: its connection and number.
pub(crate) fn coming_home<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<(Arc<Session>, u32), D::Error> {
    let (kind, number) = deserializer.deserialize_newtype_struct(names::CALLBACK, Pair)?;
    if kind != 1 {
        return Err(D::Error::custom("it is an object over there: ask for an `Object`"));
    }
    CURRENT.with_borrow(|current| {
        let current = current.as_ref().ok_or_else(|| D::Error::custom("a function of nowhere"))?;
        Ok((Arc::clone(&current.session), number))
    })
}

/// Kind and number of a reference.
struct Pair;

impl<'de> Visitor<'de> for Pair {
    type Value = (u8, u32);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, pair: D) -> Result<(u8, u32), D::Error> {
        Deserialize::deserialize(pair)
    }
}

/// Whose values are being read on this thread.
struct Current {
    session: Arc<Session>,
    options: CallOptions,
    /// Objects that were sent and are nobody's yet.
    left: Vec<u32>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Objects of a value that stays here: see [`staying_here`].
    static GIVEN: RefCell<Option<Vec<Object>>> = const { RefCell::new(None) };
    /// Objects that nobody else holds while they are sent.
    static KEPT: RefCell<Vec<Object>> = const { RefCell::new(Vec::new()) };
}

/// Objects are written and read by their place in a list that lasts as long as this: for values that go nowhere.
pub(crate) fn staying_here<T>(function: impl FnOnce() -> T) -> T {
    let before = GIVEN.replace(Some(Vec::new()));
    let result = function();
    GIVEN.set(before);
    result
}

/// The one object of a value that is nothing else.
pub(crate) fn only_one() -> Option<Object> {
    GIVEN.with_borrow(|given| given.as_ref()?.first().cloned())
}

fn keep(object: &Object) {
    KEPT.with_borrow_mut(|kept| kept.push(object.clone()));
}

/// Takes those that were kept for a call that is sent now.
pub(crate) fn take_kept() -> Vec<Object> {
    KEPT.take()
}

/// Reads values with the objects in them; those that are not wanted are let go.
pub(crate) fn with_session<T>(
    session: &Arc<Session>,
    options: &CallOptions,
    refs: &[Reference],
    read: impl FnOnce() -> T,
) -> T {
    let objects = refs.iter().filter_map(|reference| match reference {
        Reference::Object(number) => Some(*number),
        _ => None,
    });
    let current =
        Current { session: Arc::clone(session), options: options.clone(), left: objects.collect() };
    let before = CURRENT.replace(Some(current));
    let result = read();
    let current = CURRENT.replace(before);
    for number in current.into_iter().flat_map(|current| current.left) {
        session.connection.forget(number);
    }
    result
}

//! Functions of this program that are called from over there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call_options::CallOptions;
use crate::channel::Frame;
use crate::connection::{Connection, Patience};
use crate::frame::{Header, kind};
use crate::marshal::{Decoder, Encoded, Reference, Value, Want, names};
use crate::object::{coming_home, take_kept, with_session};
use crate::session::Session;
use crate::{Error, PyErr, Result};

/// Why a callback fails: the exception that is raised over there.
#[derive(Clone, Debug, PartialEq)]
pub struct Raise {
    /// A built-in exception's name; any other is raised as `thither_agent.Error`.
    pub kind: String,
    /// Its arguments: most exceptions have one, a text.
    pub args: Vec<Value>,
}

impl Raise {
    /// An exception of a built-in type, with a text as its argument.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Raise {
        Raise { kind: kind.into(), args: vec![Value::Str(message.into())] }
    }
}

/// Exceptions from over there go back as what they are, if they are built in; other errors as `thither_agent.Error`.
impl<E: std::error::Error + 'static> From<E> for Raise {
    fn from(error: E) -> Raise {
        let any: &dyn std::error::Error = &error;
        let python = any.downcast_ref::<PyErr>();
        match python.or_else(|| any.downcast_ref::<Error>().and_then(Error::python)) {
            // Not its text: of a `KeyError` that is the `repr` of the key.
            Some(error) => Raise { kind: error.kind.clone(), args: error.args.clone() },
            None => Raise::new("Error", error.to_string()),
        }
    }
}

type Function = dyn Fn(Call<'_>) -> Result<(), Raise> + Send + Sync;

/// What a callback is called with.
struct Call<'a> {
    session: &'a Arc<Session>,
    refs: &'a [Reference],
    raws: &'a mut [Option<Vec<u8>>],
    args: &'a [u8],
    /// Sends the result, whose objects are held until then.
    send: &'a dyn Fn(&Encoded),
}

/// The functions of a connection, by number. An odd one takes its arguments as objects.
#[derive(Default)]
pub(crate) struct Callbacks {
    known: HashMap<u32, Entry>,
    last: u32,
}

struct Entry {
    function: Arc<Function>,
    /// How often it was sent and not yet let go, and how many handles of this program's hold it.
    sent: u64,
    held: u64,
    session: Weak<Session>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

fn lock(callbacks: &Mutex<Callbacks>) -> std::sync::MutexGuard<'_, Callbacks> {
    callbacks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A function of this program as a value for Python. It lives as long as this or anything over there refers to it.
pub struct Callback {
    session: Arc<Session>,
    number: u32,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({})", self.number)
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        let mut callbacks = lock(&self.session.connection.callbacks);
        let gone = match callbacks.known.get_mut(&self.number) {
            Some(entry) if entry.sent > 0 || entry.held > 1 => {
                entry.held = entry.held.saturating_sub(1);
                None
            }
            _ => callbacks.known.remove(&self.number),
        };
        // What the function holds may be callbacks, too.
        drop(callbacks);
        drop(gone);
    }
}

/// One that comes home.
impl<'de> Deserialize<'de> for Callback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Callback, D::Error> {
        let (session, number) = coming_home(deserializer)?;
        if let Some(entry) = lock(&session.connection.callbacks).known.get_mut(&number) {
            entry.held += 1;
        }
        Ok(Callback { session, number })
    }
}

impl Serialize for Callback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .serialize_newtype_struct(names::CALLBACK, &(self.session.connection.id, self.number))
    }
}

/// Registers a function.
pub(crate) fn register<A, R, F>(session: &Arc<Session>, function: F, by_reference: bool) -> Callback
where
    A: DeserializeOwned,
    R: Serialize,
    F: Fn(A) -> Result<R, Raise> + Send + Sync + 'static,
{
    let function = move |call: Call<'_>| {
        let limits = call.session.connection.limits;
        // Without arguments a function takes `()`, which is no tuple to serde.
        let is_empty = call.args == b"(\0\0\0\0" && crate::marshal::want::<A>() == Want::Nothing;
        let args = if is_empty { b"N" } else { call.args };
        let mut decoder = Decoder::with(args, &limits, call.refs, call.raws);
        let options = CallOptions::default();
        let args: A = with_session(call.session, &options, call.refs, || decoder.value())
            .map_err(|error| Raise::new("TypeError", error.to_string()))?;
        let result = function(args)?;
        let mut encoded = Encoded::default();
        encoded.tuple(2);
        encoded
            .value(&result, call.session.connection.id)
            .map_err(|error| Raise::new("TypeError", error.to_string()))?;
        encoded.refs();
        (call.send)(&encoded);
        // What is looked up for it, too.
        drop((result, take_kept()));
        Ok(())
    };
    let mut callbacks = lock(&session.connection.callbacks);
    let number = loop {
        callbacks.last = callbacks.last.wrapping_add(2).max(2);
        let number = callbacks.last & !1 | u32::from(by_reference);
        if !callbacks.known.contains_key(&number) {
            break number;
        }
    };
    let session_of_it = Arc::downgrade(session);
    let entry = Entry { function: Arc::new(function), sent: 0, held: 1, session: session_of_it };
    callbacks.known.insert(number, entry);
    drop(callbacks);
    Callback { session: Arc::clone(session), number }
}

thread_local! {
    /// The callbacks that this thread is in, by connection.
    static WITHIN: RefCell<Vec<(u64, u32)>> = const { RefCell::new(Vec::new()) };
}

/// The callback of that connection that this thread is in; 0 for none.
pub(crate) fn within(connection: u64) -> u32 {
    WITHIN.with_borrow(|within| {
        within.iter().rev().find(|(id, _)| *id == connection).map_or(0, |(_, number)| *number)
    })
}

/// How deep callbacks of one thread may be within each other.
const DEEPEST: usize = 100;
/// The most callbacks that run on threads of their own.
const MOST_APART: usize = 64;

/// A callback that runs on a thread of its own.
struct Running {
    connection: Arc<Connection>,
}

impl Running {
    /// `None` when as many as may run do.
    fn new(connection: &Arc<Connection>) -> Option<Running> {
        let before = connection.apart.fetch_add(1, Ordering::SeqCst);
        let running = Running { connection: Arc::clone(connection) };
        (before < MOST_APART).then_some(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.connection.apart.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The numbers of the functions in it.
fn functions(encoded: &Encoded) -> impl Iterator<Item = u32> {
    encoded.refs.iter().filter_map(|reference| match reference {
        Reference::Callback(number) => Some(*number),
        _ => None,
    })
}

/// An exception as it is sent.
fn raised(raise: &Raise) -> Encoded {
    let Raise { kind, args } = raise;
    let mut encoded = Encoded::default();
    encoded.tuple(3);
    encoded.str(kind);
    encoded.tuple(u32::try_from(args.len()).unwrap_or(u32::MAX));
    for arg in args {
        // Of a value that nests too deeply nothing is left.
        if encoded.value(arg, 0).is_err() {
            encoded.none();
        }
    }
    encoded.tuple(0);
    encoded
}

impl Connection {
    /// Runs a callback on this thread, and sends what it returns.
    pub(crate) fn run_callback(self: &Arc<Self>, mut frame: Frame) {
        let id = frame.header.id;
        let depth = WITHIN.with_borrow_mut(|within| {
            within.push((self.id, id));
            within.len()
        });
        let result = match depth > DEEPEST {
            false => self.call(&mut frame),
            // This program's stack ends sooner than Python's may.
            true => Err(Raise::new("RecursionError", "callbacks within callbacks too deep")),
        };
        WITHIN.with_borrow_mut(Vec::pop);
        if let Err(raise) = result {
            self.answer(kind::RAISE, id, &raised(&raise));
        }
    }

    fn answer(self: &Arc<Self>, kind: u8, id: u32, encoded: &Encoded) {
        let header = Header { kind, id, ..Header::default() };
        // Nobody is there who could give it up: it ends with the connection.
        let options = CallOptions::default();
        let patience = match kind {
            kind::RETURN => Patience::For(&options),
            _ => Patience::None,
        };
        self.callbacks_sent(encoded);
        if let Err(error) = self.send(header, &encoded.bytes, &encoded.raws, patience) {
            tracing::debug!(%error, "answer to a callback");
            self.callbacks_unsent(encoded);
        }
    }

    /// On a thread of its own: nobody waits for the call that it is made in.
    pub(crate) fn run_apart(self: &Arc<Self>, frame: Frame) {
        let id = frame.header.id;
        let running = Running::new(self);
        let spawned = running.map(|running| {
            let thread = thread::Builder::new().name("thither-callback".into());
            thread.spawn(move || running.connection.run_callback(frame))
        });
        if !matches!(spawned, Some(Ok(_))) {
            let raise = Raise::new("RuntimeError", "too many callbacks at once");
            self.answer(kind::RAISE, id, &raised(&raise));
        }
    }

    fn call(self: &Arc<Self>, frame: &mut Frame) -> Result<(), Raise> {
        let wrong = |error| Raise::new("SystemError", format!("bad callback: {error}"));
        let mut decoder = Decoder::new(&frame.payload, &self.limits);
        decoder.tuple().map_err(wrong)?;
        let number = decoder.int().map_err(wrong)?;
        let args = decoder.rest();
        decoder.skip().map_err(wrong)?;
        let args = &args[..args.len() - decoder.rest().len()];
        let kwargs = decoder.rest();
        decoder.skip().map_err(wrong)?;
        // An empty dict.
        let has_kwargs = !kwargs.starts_with(b"{0");
        let refs = decoder.refs().map_err(wrong)?;
        let mut raws: Vec<Option<Vec<u8>>> =
            std::mem::take(&mut frame.raws).into_iter().map(Some).collect();
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let found = lock(&self.callbacks)
            .known
            .get(&number)
            .map(|entry| (Arc::clone(&entry.function), entry.session.upgrade()));
        let Some((function, Some(session))) = found else {
            return Err(Raise::new("ReferenceError", "the function is gone"));
        };
        if has_kwargs {
            return Err(Raise::new("TypeError", "the function takes no keyword arguments"));
        }
        let id = frame.header.id;
        let send = |encoded: &Encoded| self.answer(kind::RETURN, id, encoded);
        let call = Call { session: &session, refs: &refs, raws: &mut raws, args, send: &send };
        match catch_unwind(AssertUnwindSafe(|| function(call))) {
            Ok(result) => result,
            Err(_) => Err(Raise::new("RuntimeError", "the function has panicked")),
        }
    }

    /// The functions in what is about to be sent are referred to over there, too.
    pub(crate) fn callbacks_sent(&self, encoded: &Encoded) {
        for number in functions(encoded) {
            if let Some(entry) = lock(&self.callbacks).known.get_mut(&number) {
                entry.sent += 1;
            }
        }
    }

    /// It could not be sent.
    pub(crate) fn callbacks_unsent(&self, encoded: &Encoded) {
        self.callbacks_let_go(functions(encoded).map(|number| (number, 1)));
    }

    /// Functions that nothing over there refers to any more, with how often each was received.
    pub(crate) fn callbacks_gone(&self, frame: &Frame) {
        let mut decoder = Decoder::new(&frame.payload, &self.limits);
        let gone = decoder.tuple().and_then(|_| decoder.value::<Vec<(u32, u64)>>());
        self.callbacks_let_go(gone.unwrap_or_default());
    }

    fn callbacks_let_go(&self, gone: impl IntoIterator<Item = (u32, u64)>) {
        let mut callbacks = lock(&self.callbacks);
        let mut unused = Vec::new();
        for (number, count) in gone {
            if let Some(entry) = callbacks.known.get_mut(&number) {
                entry.sent = entry.sent.saturating_sub(count);
                if entry.sent == 0 && entry.held == 0 {
                    unused.extend(callbacks.known.remove(&number));
                }
            }
        }
        drop(callbacks);
        if !unused.is_empty() {
            // What the functions hold may call the interpreter, and this thread reads for all.
            let thread = thread::Builder::new().name("thither-drop".into());
            if let Err(error) = thread.spawn(move || drop(unused)) {
                tracing::debug!(%error, "no thread for what was dropped");
            }
        }
    }

    /// Nothing will be called any more. What the functions hold may hold this connection.
    pub(crate) fn forget_callbacks(&self) {
        let known = std::mem::take(&mut lock(&self.callbacks).known);
        drop(known);
    }
}

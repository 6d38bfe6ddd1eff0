//! A connection: many threads call, one of them at a time reads.
//!
//! There is no thread between a caller and the channel. Whoever waits for a reply *leads* if nobody else does: it reads
//! frames, hands out what is for others, and steps down once its own reply has come; the next in line then leads. While
//! nobody waits for a while, the idle thread leads, so that output, callbacks and the end are seen; a caller that finds it
//! leading kicks it out. So a lonely call costs a write, a poll and a read, and no hand-over between threads.

mod lead;
mod send;

pub(crate) use send::Patience;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::call_options::CallOptions;
use crate::callback::Callbacks;
use crate::channel::{Frame, Incoming, Outgoing};
use crate::frame::{APART, Header, kind};
use crate::host::Host;
use crate::marshal::{DecodeError, Decoder, Encoded, Limits, Reference};
use crate::output::Output;
use crate::{Error, Result};

/// How long nobody must wait before the idle thread leads.
const LULL: Duration = Duration::from_millis(10);
/// How long calls may be gathered.
const SOON: Duration = Duration::from_millis(1);
/// How long the interpreter has for its end, once it was asked for.
const GRACE: Duration = Duration::from_secs(3);

/// The shared state of everything that is had from one interpreter.
pub(crate) struct Connection {
    /// Tells it from all others of this program.
    pub(crate) id: u64,
    pub(crate) limits: Limits,
    /// How many calls may be without a reply.
    pub(crate) window: usize,
    /// Where frames come from.
    source: OwnedFd,
    /// Readable to end a wait of whoever leads.
    kick: OwnedFd,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// Callbacks that run on threads of their own.
    pub(crate) apart: AtomicUsize,
    /// Told when the sender of a large frame is done.
    turn: Condvar,
    /// Whether frames are gathered that somebody has to send.
    unsent: AtomicBool,
    state: Mutex<State>,
    pub(crate) callbacks: Mutex<Callbacks>,
    output: Mutex<Output>,
    host: Mutex<Option<Box<dyn Host>>>,
    /// Whether objects over there are let go when their proxies are dropped, and after how long at most.
    pub(crate) gc: Option<Duration>,
    /// Nothing of it is left but what callers hold.
    finished: (Mutex<bool>, Condvar),
}

/// What the threads share.
struct State {
    calls: HashMap<u32, Slot>,
    last: u32,
    leader: Leader,
    /// How often somebody has led.
    terms: u64,
    /// Calls without a reply.
    in_flight: usize,
    /// Who sleeps until something has come; with the call that it waits for, if it is one.
    sleepers: Vec<(Option<u32>, Thread)>,
    /// Somebody cannot send, and would read.
    writer_waits: bool,
    idle: Option<Thread>,
    idle_sleeps: bool,
    /// A future waits: the idle thread leads at once.
    futures: usize,
    /// Objects that are to be let go over there.
    dropped: Vec<u32>,
    ended: Option<Error>,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    None,
    Caller,
    Idle,
}

/// A call that waits for its reply.
#[derive(Default)]
pub(crate) struct Slot {
    reply: Option<Frame>,
    /// Callbacks to be run by who waits.
    inbox: VecDeque<Frame>,
    /// Whether a thread waits for it.
    attended: bool,
    waker: Option<Waker>,
    /// Nobody will ask for the reply.
    abandoned: bool,
    /// See [`APART`].
    apart: bool,
}

/// What is read from, and how.
pub(crate) struct Parts {
    pub(crate) source: OwnedFd,
    pub(crate) sink: OwnedFd,
    pub(crate) incoming: Incoming,
    pub(crate) limits: Limits,
    pub(crate) window: usize,
    pub(crate) output: Output,
    pub(crate) host: Box<dyn Host>,
    pub(crate) gc: Option<Duration>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic of ours left is whole: nothing is half changed when foreign code runs.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(crate) fn new(parts: Parts) -> Result<Arc<Connection>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut parts = parts;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let kick = match eventfd(0, flags) {
            Ok(kick) => kick,
            Err(error) => {
                // The end of its input ends it.
                drop(parts.sink);
                parts.host.finish();
                return Err(Error::io("make an event", error));
            }
        };
        let connection = Arc::new(Connection {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            limits: parts.limits,
            window: parts.window.max(1),
            source: parts.source,
            kick,
            incoming: Mutex::new(parts.incoming),
            outgoing: Mutex::new(Outgoing::new(parts.sink)),
            apart: AtomicUsize::new(0),
            turn: Condvar::new(),
            unsent: AtomicBool::new(false),
            state: Mutex::new(State {
                calls: HashMap::new(),
                last: 0,
                leader: Leader::None,
                terms: 0,
                in_flight: 0,
                sleepers: Vec::new(),
                writer_waits: false,
                idle: None,
                idle_sleeps: false,
                futures: 0,
                dropped: Vec::new(),
                ended: None,
                closing: false,
            }),
            callbacks: Mutex::new(Callbacks::default()),
            output: Mutex::new(parts.output),
            host: Mutex::new(Some(parts.host)),
            gc: parts.gc,
            finished: (Mutex::new(false), Condvar::new()),
        });
        let idle = Arc::clone(&connection);
        let thread = thread::Builder::new()
            .name("thither-python".into())
            .spawn(move || idle.idle())
            .map_err(|error| {
                connection.finish();
                Error::io("start a thread", error)
            })?;
        lock(&connection.state).idle = Some(thread.thread().clone());
        Ok(connection)
    }

    /// Sends a call. Blocks while as many as the window allows have no reply yet, those made in callbacks apart.
    pub(crate) fn start(
        self: &Arc<Self>,
        want: u8,
        call: &Encoded,
        options: &CallOptions,
    ) -> Result<u32> {
        if options.cancel.as_ref().is_some_and(|cancel| cancel.is_cancelled()) {
            // Else its reply could be there before anybody looks.
            return Err(Error::Cancelled);
        }
        let apart = want & APART != 0;
        let within = if apart { 0 } else { crate::callback::within(self.id) };
        let mut state = lock(&self.state);
        if within == 0 && !apart && state.in_flight >= self.window {
            drop(state);
            self.attend(None, options, |state| (state.in_flight < self.window).then_some(()))?;
            state = lock(&self.state);
        }
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        let mut id = state.last;
        loop {
            id = id.wrapping_add(1).max(1);
            if !state.calls.contains_key(&id) {
                break;
            }
        }
        state.last = id;
        // While others are on their way, a call may wait for those that follow it, or for who waits.
        let later = state.in_flight > 0 && within == 0 && !apart;
        state.in_flight += usize::from(!apart);
        state.calls.insert(id, Slot { apart, ..Slot::default() });
        drop(state);
        let header =
            Header { kind: kind::CALL, flags: want, thread: thread_tag(), id, within, length: 0 };
        let patience = Patience::For(options);
        // Before, since it may be let go there before this returns.
        self.callbacks_sent(call);
        if let Err(error) = self.send_soon(header, &call.bytes, &call.raws, patience, later) {
            if matches!(error, Error::TimedOut { .. } | Error::Cancelled) {
                // Half of it may be on its way: the rest follows, and a reply will come.
                self.abandon(id, true);
                return Err(error);
            }
            self.callbacks_unsent(call);
            let mut state = lock(&self.state);
            state.calls.remove(&id);
            state.in_flight = state.in_flight.saturating_sub(usize::from(!apart));
            return Err(state.ended.clone().unwrap_or(error));
        }
        Ok(id)
    }

    /// Waits for the reply of a call; runs the callbacks that it makes meanwhile.
    pub(crate) fn wait(self: &Arc<Self>, id: u32, options: &CallOptions) -> Result<Frame> {
        let found = self.attend(Some(id), options, |state| {
            state.calls.get_mut(&id).and_then(|slot| slot.reply.take())
        });
        if let Ok(frame) = found {
            lock(&self.state).calls.remove(&id);
            return Ok(frame);
        }
        let error = found.err().unwrap_or(Error::Cancelled);
        if matches!(error, Error::TimedOut { .. } | Error::Cancelled) {
            self.abandon(id, true);
        }
        Err(error)
    }

    /// Whether the reply has come; else this is woken once it has.
    pub(crate) fn poll(self: &Arc<Self>, id: u32, waker: &Waker) -> Option<Result<Frame>> {
        let mut state = lock(&self.state);
        let ended = state.ended.clone();
        let slot = state.calls.get_mut(&id)?;
        if let Some(reply) = slot.reply.take() {
            let waker = slot.waker.take();
            state.futures -= usize::from(waker.is_some());
            state.calls.remove(&id);
            // Before the waker, which is foreign code.
            drop(state);
            return Some(Ok(reply));
        }
        if let Some(ended) = ended {
            // Its waker may be all that keeps the caller, and this.
            let slot = state.calls.remove(&id);
            drop(state);
            drop(slot);
            return Some(Err(ended));
        }
        let before = slot.waker.replace(waker.clone());
        state.futures += usize::from(before.is_none());
        // Whoever leads now may step down before it comes.
        state.idle_sleeps = true;
        self.pass_on(&mut state);
        drop(state);
        // Foreign code, as its wake is.
        drop(before);
        // A failure is seen by who reads.
        let _ = self.flush();
        None
    }

    /// Nobody waits for the reply any more; `interrupt` it over there.
    pub(crate) fn abandon(self: &Arc<Self>, id: u32, interrupt: bool) {
        let mut state = lock(&self.state);
        let Some(slot) = state.calls.get_mut(&id) else { return };
        let inbox = std::mem::take(&mut slot.inbox);
        slot.abandoned = true;
        let waker = slot.waker.take();
        let reply = slot.reply.take();
        state.futures -= usize::from(waker.is_some());
        if reply.is_some() || state.ended.is_some() {
            state.calls.remove(&id);
        }
        drop(state);
        drop(waker);
        if let Some(frame) = &reply {
            self.release(frame);
        }
        for callback in inbox {
            self.run_apart(callback);
        }
        if interrupt && reply.is_none() {
            let header = Header { kind: kind::CANCEL, id, ..Header::default() };
            // It is given up in any case.
            let _ = self.send(header, &[], &[], Patience::None);
        }
    }

    /// Waits until `check` finds what it looks for.
    fn attend<R>(
        self: &Arc<Self>,
        id: Option<u32>,
        options: &CallOptions,
        mut check: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R> {
        let deadline = options.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let _heard = options.cancel.as_ref().map(|cancel| cancel.listen(self));
        let mut flushed = false;
        loop {
            let mut state = lock(&self.state);
            if let Some(found) = check(&mut state) {
                return Ok(found);
            }
            if !flushed && self.unsent.load(Ordering::SeqCst) {
                drop(state);
                flushed = true;
                if let Err(error) = self.flush() {
                    // What is read says it, too.
                    tracing::debug!(%error, "send what was gathered");
                }
                continue;
            }
            if let Some(slot) = id.and_then(|id| state.calls.get_mut(&id)) {
                slot.attended = true;
                if let Some(callback) = slot.inbox.pop_front() {
                    drop(state);
                    self.run_callback(callback);
                    continue;
                }
            }
            if let Some(ended) = &state.ended {
                let ended = ended.clone();
                id.and_then(|id| state.calls.remove(&id));
                return Err(ended);
            }
            if options.cancel.as_ref().is_some_and(|cancel| cancel.is_cancelled()) {
                return Err(Error::Cancelled);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let (Some(Duration::ZERO), Some(limit)) = (left, options.timeout) {
                return Err(Error::TimedOut { limit });
            }
            match state.leader {
                Leader::None => {
                    state.leader = Leader::Caller;
                    state.terms += 1;
                    drop(state);
                    flushed = false;
                    self.lead(left, |state| match id.and_then(|id| state.calls.get(&id)) {
                        Some(slot) => slot.reply.is_some() || !slot.inbox.is_empty(),
                        None => true,
                    });
                    self.step_down();
                }
                other => {
                    state.sleepers.push((id, thread::current()));
                    drop(state);
                    if other == Leader::Idle {
                        self.kick();
                    }
                    match left {
                        Some(left) => thread::park_timeout(left),
                        None => thread::park(),
                    }
                    let me = thread::current().id();
                    let mut state = lock(&self.state);
                    state.sleepers.retain(|(_, thread)| thread.id() != me);
                    self.pass_on(&mut state);
                }
            }
        }
    }

    /// Ends the interpreter by the end of its input.
    pub(crate) fn close(&self) {
        let idle = {
            let mut state = lock(&self.state);
            state.closing = true;
            state.idle_sleeps = false;
            state.idle.clone()
        };
        self.kick();
        if let Some(idle) = idle {
            idle.unpark();
        }
    }

    /// Why nothing more will come, if that is so.
    pub(crate) fn ended(&self) -> Option<Error> {
        lock(&self.state).ended.clone()
    }

    /// Waits until the interpreter has ended and is put away.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        let (finished, changed) = &self.finished;
        let waited = changed.wait_timeout_while(lock(finished), limit, |finished| !*finished);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The references of a payload, its last part.
pub(crate) fn references(payload: &[u8], limits: &Limits) -> Result<Vec<Reference>, DecodeError> {
    // An empty tuple: most have none, and then nothing is read twice.
    if payload.ends_with(b"(\0\0\0\0") {
        return Ok(Vec::new());
    }
    let mut decoder = Decoder::new(payload, limits);
    for _ in 1..decoder.tuple()? {
        decoder.skip()?;
    }
    decoder.refs()
}

/// A number for this thread. Calls of one thread keep their order over there.
fn thread_tag() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        // Threads of different numbers may share a tag: their calls then wait for each other.
        static TAG: u16 = (NEXT.fetch_add(1, Ordering::Relaxed) % 0xFFFF) as u16 + 1;
    }
    TAG.with(|tag| *tag)
}

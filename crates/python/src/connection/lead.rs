//! Who reads, and what becomes of a frame.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::{Connection, GRACE, LULL, Leader, SOON, State, lock};
use rustix::event::{PollFd, PollFlags};

use crate::Error;
use crate::channel::{Frame, readable, wait};
use crate::frame::{Header, kind};
use crate::marshal::Decoder;
use crate::output::Output;

/// The most callbacks that wait for one caller.
const MOST: usize = 256;

impl Connection {
    /// Reads and hands out frames until `done`, a kick, or the time is over. Only for the leader.
    pub(super) fn lead(
        self: &Arc<Self>,
        timeout: Option<Duration>,
        mut done: impl FnMut(&mut State) -> bool,
    ) {
        let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
        let mut incoming = lock(&self.incoming);
        let sink = self.sink_to_watch();
        let mut fds = [
            readable(self.source.as_fd()),
            readable(self.kick.as_fd()),
            PollFd::new(sink.as_deref().unwrap_or(&self.kick), PollFlags::OUT),
        ];
        let watched = if sink.is_some() { 3 } else { 2 };
        if let Err(error) = wait(&mut fds[..watched], timeout) {
            return self.end(Error::io("wait for Python", error));
        }
        if !fds[1].revents().is_empty() {
            self.unkick();
        }
        if watched == 3 && !fds[2].revents().is_empty() {
            // A failure is seen where it is read.
            let _ = self.flush();
        }
        if fds[0].revents().is_empty() {
            return;
        }
        loop {
            let more = match incoming.fill(&self.source) {
                Ok(more) => more,
                Err(error) => return self.end(Error::io("read from Python", error)),
            };
            loop {
                match incoming.next() {
                    Ok(Some(frame)) => self.dispatch(frame),
                    Ok(None) => break,
                    Err(error) => return self.end(error),
                }
            }
            if !more {
                let how = self.how_it_ended();
                return self.end(Error::Closed { how });
            }
            if done(&mut lock(&self.state)) {
                return;
            }
            let mut fds = [readable(self.source.as_fd()), readable(self.kick.as_fd())];
            if wait(&mut fds, Some(Duration::ZERO)).is_err() || fds[0].revents().is_empty() {
                return;
            }
            // However much flows, who waits is heard.
            if !fds[1].revents().is_empty() {
                return self.unkick();
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
        }
    }

    /// The next in line may lead.
    pub(super) fn step_down(&self) {
        let mut state = lock(&self.state);
        state.leader = Leader::None;
        self.pass_on(&mut state);
    }

    /// Wakes who may lead now. Whoever leaves without having led says it on.
    pub(super) fn pass_on(&self, state: &mut State) {
        if state.leader != Leader::None {
            return;
        }
        if state.writer_waits {
            self.kick();
        }
        if let Some((_, thread)) = state.sleepers.last() {
            thread.unpark();
        }
        if state.idle_sleeps
            && let Some(idle) = &state.idle
        {
            idle.unpark();
            state.idle_sleeps = false;
        }
    }

    /// Gives a frame to whom it is for.
    pub(super) fn dispatch(self: &Arc<Self>, frame: Frame) {
        let Header { kind, id, within, flags, .. } = frame.header;
        match kind {
            kind::REPLY | kind::ERROR | kind::TOO_LARGE => {
                let mut guard = lock(&self.state);
                let state = &mut *guard;
                let mut waker = None;
                let known = state.calls.get_mut(&id);
                if known.as_ref().is_none_or(|slot| !slot.apart) {
                    state.in_flight = state.in_flight.saturating_sub(1);
                }
                let known = known.filter(|slot| slot.reply.is_none());
                let lost = match known {
                    Some(slot) if !slot.abandoned => {
                        slot.reply = Some(frame);
                        waker = slot.waker.take();
                        state.futures -= usize::from(waker.is_some());
                        None
                    }
                    Some(_) => {
                        state.calls.remove(&id);
                        Some(frame)
                    }
                    None => {
                        drop(guard);
                        return self.end(Error::protocol("a reply to what was not asked"));
                    }
                };
                for (wanted, thread) in &state.sleepers {
                    if wanted.is_none_or(|wanted| wanted == id) {
                        thread.unpark();
                    }
                }
                drop(guard);
                // It is foreign code.
                if let Some(waker) = waker {
                    // A panic was reported where it happened.
                    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                }
                if let Some(frame) = lost {
                    self.release(&frame);
                }
            }
            kind::CALLBACK => {
                let mut state = lock(&self.state);
                match state.calls.get_mut(&within) {
                    Some(slot) if slot.attended && !slot.abandoned && slot.inbox.len() < MOST => {
                        slot.inbox.push_back(frame);
                        if let Some((_, thread)) =
                            state.sleepers.iter().find(|(wanted, _)| *wanted == Some(within))
                        {
                            thread.unpark();
                        }
                    }
                    _ => {
                        drop(state);
                        self.run_apart(frame);
                    }
                }
            }
            kind::DROP => self.callbacks_gone(&frame),
            kind::OUTPUT => {
                let mut output = lock(&self.output);
                let written =
                    catch_unwind(AssertUnwindSafe(|| output.write(flags, &frame.payload)));
                if written.is_err() {
                    // Its panic was reported where it happened; whoever leads goes on.
                    *output = Output::Null;
                }
            }
            kind::LOG => {
                let mut decoder = Decoder::new(&frame.payload, &self.limits);
                let text = decoder.tuple().and_then(|_| decoder.str());
                tracing::debug!(target: "thither_python::remote", text = text.unwrap_or_default());
            }
            other => self.end(Error::protocol(format!("a frame of the kind {other}"))),
        }
    }

    /// Leads while nobody else does.
    pub(super) fn idle(self: Arc<Self>) {
        let mut seen = u64::MAX;
        let mut last_chance = None;
        let mut drop_at = None;
        let mut send_at = None;
        loop {
            let mut state = lock(&self.state);
            if state.ended.is_some() {
                break;
            }
            let now = Instant::now();
            match last_chance {
                None if state.closing => {
                    drop(state);
                    last_chance = Some(now + GRACE);
                    lock(&self.outgoing).close();
                    continue;
                }
                Some(last_chance) if last_chance <= now => {
                    drop(state);
                    self.end(Error::Closed { how: "it was closed".into() });
                    continue;
                }
                _ => {}
            }
            match state.dropped.is_empty() {
                true => drop_at = None,
                false => drop_at = drop_at.or_else(|| now.checked_add(self.gc?)),
            }
            match self.unsent.load(Ordering::SeqCst) {
                false => send_at = None,
                true => send_at = send_at.or(Some(now + SOON)),
            }
            if send_at.is_some_and(|send_at| send_at <= now) {
                drop(state);
                // A failure is seen by who reads.
                let _ = self.flush();
                // What does not go at once goes when there is room, which whoever leads waits for.
                send_at = self.unsent.load(Ordering::SeqCst).then(|| now + GRACE);
                continue;
            }
            if drop_at.is_some_and(|drop_at| drop_at <= now) {
                drop(state);
                drop_at = None;
                self.send_dropped();
                continue;
            }
            let lull = state.terms == seen || state.futures > 0 || state.closing;
            seen = state.terms;
            let alarm = [last_chance, drop_at, send_at].into_iter().flatten().min();
            let alarm = alarm.map(|alarm| alarm.saturating_duration_since(now));
            match state.leader {
                Leader::None if lull && state.sleepers.is_empty() => {
                    state.leader = Leader::Idle;
                    drop(state);
                    self.lead(alarm, |_| false);
                    self.step_down();
                }
                Leader::Caller if lull => {
                    state.idle_sleeps = true;
                    drop(state);
                    match alarm {
                        Some(alarm) => thread::park_timeout(alarm),
                        None => thread::park(),
                    }
                }
                _ => {
                    drop(state);
                    thread::park_timeout(alarm.map_or(LULL, |alarm| alarm.min(LULL)));
                }
            }
        }
        self.finish();
    }

    pub(super) fn send_dropped(self: &Arc<Self>) {
        let frame = self.take_dropped();
        if !frame.is_empty()
            && let Err(error) = self.queue(&frame)
        {
            tracing::debug!(%error, "let go of objects");
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self, error: Error) {
        let mut state = lock(&self.state);
        if state.ended.is_none() {
            tracing::debug!(%error, "end");
            state.ended = Some(error);
        }
        let wakers: Vec<_> =
            state.calls.values_mut().filter_map(|slot| slot.waker.take()).collect();
        state.futures = 0;
        self.kick();
        for (_, thread) in &state.sleepers {
            thread.unpark();
        }
        if let Some(idle) = &state.idle {
            idle.unpark();
        }
        drop(state);
        for waker in wakers {
            // Foreign code, as above: the others are woken in any case.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// How the interpreter ended, if that can be known soon.
    pub(super) fn how_it_ended(&self) -> String {
        if lock(&self.state).closing {
            return "it was closed".into();
        }
        let mut host = lock(&self.host);
        let ended = host.as_mut().and_then(|host| host.ended(Duration::from_secs(1)));
        ended.unwrap_or_else(|| "the other side has closed it".into())
    }

    /// What is left is put away: the idle thread's last act.
    pub(super) fn finish(&self) {
        lock(&self.outgoing).close();
        let host = lock(&self.host).take();
        if let Some(mut host) = host {
            host.finish();
        }
        self.forget_callbacks();
        let (finished, changed) = &self.finished;
        *lock(finished) = true;
        changed.notify_all();
    }

    /// The idle thread looks again.
    pub(super) fn wake_idle(&self) {
        let mut state = lock(&self.state);
        state.idle_sleeps = false;
        if state.leader == Leader::Idle {
            self.kick();
        } else if let Some(idle) = &state.idle {
            idle.unpark();
        }
    }

    pub(super) fn kick(&self) {
        // It fails when it is full, and then it is readable.
        let _ = rustix::io::write(&self.kick, &1_u64.to_ne_bytes());
    }

    pub(super) fn unkick(&self) {
        let _ = rustix::io::read(&self.kick, &mut [0; 8]);
    }

    /// Every waiting thread looks again.
    pub(crate) fn rouse(&self) {
        for (_, thread) in &lock(&self.state).sleepers {
            thread.unpark();
        }
        self.kick();
    }
}

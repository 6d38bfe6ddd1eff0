//! The one thread on which all connections of this process live.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use thither_term::{Interest, poll};
use tokio::runtime::{Builder, Handle};

/// The thread, as long as it runs.
static BRIDGE: Mutex<Option<Bridge>> = Mutex::new(None);

struct Bridge {
    runtime: Handle,
    /// The process it runs in: a fork(2) has none of its threads.
    pid: u32,
}

/// A bell, which polls readable from its first ring on.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Arc<Bell>> {
        Ok(Arc::new(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    pub(crate) fn ring(&self) {
        // It fails only after 2^64 rings.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Rings when it is dropped, so also when a task panics or is ended. A bell, and not the end of a pipe, of which
/// processes that were forked meanwhile may hold the other end.
struct RingOnDrop(Arc<Bell>);

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Clears [`BRIDGE`] when the thread ends, which it does by a panic only.
struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        *lock() = None;
    }
}

fn lock() -> MutexGuard<'static, Option<Bridge>> {
    // It holds no invariant that a panic could break.
    BRIDGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The runtime of the thread, which starts with the first use.
///
/// # Errors
/// When there can be no thread.
pub(crate) fn runtime() -> io::Result<Handle> {
    let mut bridge = lock();
    let pid = std::process::id();
    match bridge.take() {
        Some(there) if there.pid == pid => Ok(bridge.insert(there).runtime.clone()),
        stale => {
            // What a fork inherited is not to be touched: its thread may have held any lock.
            std::mem::forget(stale);
            let runtime = start()?;
            Ok(bridge.insert(Bridge { runtime, pid }).runtime.clone())
        }
    }
}

fn start() -> io::Result<Handle> {
    let (started, start) = mpsc::channel();
    thread::Builder::new().name("bridge".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        let _gone = Gone;
        let _ = started.send(Ok(runtime.handle().clone()));
        // The tasks do all; a panic in one of them ends that one.
        runtime.block_on(std::future::pending::<()>());
    })?;
    start.recv().map_err(|_| io::Error::other("the bridge ended"))?
}

/// Does this on the thread, and waits for it, or until `cancel` is readable: then it is ended, and the result is `None`.
///
/// # Errors
/// When there can be no thread, or the work panics.
pub(crate) fn run<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    cancel: Option<BorrowedFd<'_>>,
) -> io::Result<Option<T>> {
    let done = Bell::new()?;
    let ring = RingOnDrop(Arc::clone(&done));
    let (sender, receiver) = mpsc::channel();
    let task = runtime()?.spawn(async move {
        let _ring = ring;
        let _ = sender.send(work.await);
    });
    let cancelled = cancel.map_or(Interest::Nothing, Interest::Read);
    let ready = poll(&[Interest::Read(done.as_fd()), cancelled], None)?;
    if !ready[0].now {
        task.abort();
        return Ok(None);
    }
    match receiver.recv() {
        Ok(result) => Ok(Some(result)),
        Err(_) => Err(io::Error::other("the work on the bridge ended early")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use testkit::within_deadline;

    #[test]
    fn work_is_done_on_one_thread() {
        within_deadline("the bridge", || {
            let name = || run(async { thread::current().id() }, None).unwrap().unwrap();
            assert_eq!(name(), name());
            assert_ne!(name(), thread::current().id());
        });
    }

    #[test]
    fn work_can_be_given_up() {
        within_deadline("the bridge", || {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"x").unwrap();
            let given_up = run(std::future::pending::<()>(), Some(reader.as_fd())).unwrap();
            assert_eq!(given_up, None);
        });
    }

    #[test]
    fn a_panic_ends_its_own_work_only() {
        within_deadline("the bridge", || {
            let error = run(async { panic!("on purpose") }, None).map(|_: Option<()>| ());
            assert_eq!(error.unwrap_err().to_string(), "the work on the bridge ended early");
            assert_eq!(run(async { 1 }, None).unwrap(), Some(1));
        });
    }
}

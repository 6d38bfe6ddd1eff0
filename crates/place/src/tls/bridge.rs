//! The thread that serves all TLS connections of this process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use thither_term::{Interest, Ready, poll};

use super::link::{INTERESTS, Link, Scratch};

/// What the callers of [`serve`] and the thread share.
struct Shared {
    /// Connections that the thread has not yet taken.
    fresh: Vec<Link>,
    running: Option<Running>,
}

struct Running {
    /// Its process: in a child of fork(2) there is no such thread.
    process: u32,
    /// An eventfd(2) that is readable when there is something for it to take.
    wake: Arc<OwnedFd>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { fresh: Vec::new(), running: None });

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a connection to the thread, which is started if there is none.
pub(super) fn serve(link: Link) -> io::Result<()> {
    let mut shared = shared();
    let process = std::process::id();
    if let Some(running) = shared.running.as_ref().filter(|running| running.process == process) {
        // It can only fail when it is readable already.
        let _ = rustix::io::write(&running.wake, &1u64.to_ne_bytes());
        shared.fresh.push(link);
        return Ok(());
    }
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let its_wake = wake.clone();
    shared.fresh = vec![link];
    // It begins by waiting for the lock that we hold.
    let started = thread::Builder::new().name("tls".into()).spawn(move || {
        let _end = End;
        run(&its_wake);
    });
    match started {
        Ok(_) => shared.running = Some(Running { process, wake }),
        Err(error) => {
            shared.fresh.clear();
            return Err(error);
        }
    }
    Ok(())
}

/// Whatever ends the thread, the next connection starts another, and none waits for one that is gone.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut shared = shared();
            shared.running = None;
            shared.fresh.clear();
        }
    }
}

/// Moves bytes until there is no connection left.
fn run(wake: &OwnedFd) {
    let mut links: Vec<Link> = Vec::new();
    let mut scratch = Scratch::new();
    loop {
        if !take(&mut links) {
            return;
        }
        let ready = match wait(wake, &links) {
            Ok(ready) => ready,
            // Out of memory or descriptors: then all of them are cut.
            Err(error) => {
                tracing::debug!(%error, "TLS connections are cut");
                links.clear();
                continue;
            }
        };
        if ready[0].now {
            let _ = rustix::io::read(wake, &mut [0; 8]);
        }
        let now = Instant::now();
        let mut ready = ready[1..].chunks_exact(INTERESTS);
        links.retain_mut(|link| link.turn(ready.next().unwrap_or(&[]), now, &mut scratch));
    }
}

/// Takes what is fresh. Says whether there is anything to serve; if not, the thread is no longer there for others.
fn take(links: &mut Vec<Link>) -> bool {
    let mut shared = shared();
    links.append(&mut shared.fresh);
    if links.is_empty() {
        shared.running = None;
    }
    !links.is_empty()
}

fn wait(wake: &OwnedFd, links: &[Link]) -> io::Result<Vec<Ready>> {
    let mut interests = vec![Interest::Read(wake.as_fd())];
    interests.extend(links.iter().flat_map(Link::interests));
    let deadline = links.iter().filter_map(Link::deadline).min();
    poll(&interests, deadline.map(|at| at.saturating_duration_since(Instant::now())))
}

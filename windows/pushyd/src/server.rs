//! The pipe, and who comes to it.

use std::io;
use std::os::windows::io::AsHandle as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::session;
use crate::sys::event::{Event, wait};
use crate::sys::log::{Level, Log};
use crate::sys::pipe::{self, Pipe};
use crate::sys::security::Descriptor;

/// How many clients there may be at once. Who comes next finds the pipe busy, and waits.
pub const MOST: usize = 64;

/// A pipe to be served.
#[derive(Debug)]
pub struct Server {
    name: String,
    security: Descriptor,
    stop: Arc<Event>,
    log: Arc<Log>,
    first: Pipe,
}

/// What has ended and is to be put away.
#[derive(Default)]
struct Done(Mutex<Vec<Arc<Pipe>>>);

impl Server {
    /// Makes the pipe. It is served until `stop` has happened.
    ///
    /// # Errors
    /// Those of CreateNamedPipeW: access is denied where somebody else has that name.
    pub fn new(
        name: &str,
        security: Descriptor,
        stop: Arc<Event>,
        log: Arc<Log>,
    ) -> io::Result<Server> {
        let first = pipe::listen(name, &security, true, vec![Arc::clone(&stop)])?;
        Ok(Server { name: name.into(), security, stop, log, first })
    }

    /// Serves it. All that runs for clients ends with it.
    ///
    /// # Errors
    /// Those of making the next instance of the pipe, and of waiting for clients.
    pub fn run(self) -> io::Result<()> {
        let Server { name, security, stop, log, first } = self;
        let done = Arc::new(Done::default());
        let some_done = Arc::new(Event::new()?);
        let mut serving: Vec<JoinHandle<()>> = Vec::new();
        let mut next = Some(first);
        let result = loop {
            let listening = match next.take() {
                Some(pipe) => pipe,
                None => {
                    serving.retain(|thread| !thread.is_finished());
                    if serving.len() >= MOST {
                        match wait(&[some_done.as_handle(), stop.as_handle()], None) {
                            Ok(Some(0)) => {}
                            Ok(_) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    }
                    if let Err(error) = some_done.reset() {
                        break Err(error);
                    }
                    let away = done.take();
                    // Never is there none: somebody else could take the name.
                    let kept = away.last().cloned();
                    drop(away);
                    let made = pipe::listen(&name, &security, false, vec![Arc::clone(&stop)]);
                    drop(kept);
                    match made {
                        Ok(pipe) => pipe,
                        Err(error) => break Err(error),
                    }
                }
            };
            match listening.accept() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => break Ok(()),
                // It was gone before it was there.
                Err(error) if pipe::is_end(&error) => {
                    listening.disconnect();
                    next = Some(listening);
                    continue;
                }
                Err(error) => break Err(error),
            }
            let (done, some_done) = (Arc::clone(&done), Arc::clone(&some_done));
            let (end, hear) = (Arc::clone(&stop), Arc::clone(&log));
            let spawned = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                let pipe = one(listening, &end, &hear);
                done.put(pipe);
                some_done.set();
            });
            match spawned {
                Ok(thread) => serving.push(thread),
                Err(error) => log.say(Level::Error, &format!("cannot serve a client: {error}")),
            }
        };
        stop.set();
        for thread in serving {
            let _ = thread.join();
        }
        result
    }
}

fn one(mut pipe: Pipe, stop: &Arc<Event>, log: &Log) -> Arc<Pipe> {
    let gone = match Event::new() {
        Ok(gone) => Arc::new(gone),
        Err(error) => {
            log.say(Level::Error, &format!("cannot serve a client: {error}"));
            pipe.disconnect();
            return Arc::new(pipe);
        }
    };
    pipe.end_with(Arc::clone(&gone));
    let pipe = Arc::new(pipe);
    let outcome = session::serve(&pipe, &gone, stop, &|who| log.say(Level::Info, who));
    let level = match outcome {
        session::Outcome::Exited(_) | session::Outcome::Left | session::Outcome::Stopped => {
            Level::Info
        }
        session::Outcome::Lost(_) => Level::Error,
        _ => Level::Warning,
    };
    log.say(level, &outcome.to_string());
    pipe
}

impl Done {
    fn put(&self, pipe: Arc<Pipe>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pipe);
    }

    fn take(&self) -> Vec<Arc<Pipe>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! How a process in a container is held: its size, signals and end, without waiting for the engine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::EventFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use thither_place::{Control, Event, Exit, WindowSize};
use thither_term::{Interest, Watch};

use crate::answer::{Answer, Pending, REST};
use crate::driver::Driver;
use crate::error::Error;
use crate::model::ExecState;
use crate::relay::{Broken, END_OF_INPUT, Step};
use crate::target::{self, Target, WaitFor, Waiting};

const STREAM: usize = 0;
const END: usize = 1;
const RESIZE: usize = 2;
const STATE: usize = 3;
const LATE: usize = 4;

/// See the [module](self).
pub(crate) struct Held {
    /// The place's address, for errors.
    pub(crate) place: String,
    pub(crate) target: Target,
    streams: Streams,
    streams_ended: bool,
    /// A container's end.
    waiting: Option<Waiting>,
    /// An exec's state was asked for, since its streams have ended.
    asking: Option<Pending>,
    /// It lives on without its streams.
    ends: Ends,
    /// Readable when an answer is late.
    late: OwnedFd,
    exit: Option<Exit>,
    /// Whether a container that vanishes has.
    gone: bool,
    /// The new size on its way, and the one after.
    resizing: Option<Pending>,
    next_size: Option<WindowSize>,
    watch: Watch,
    what: What,
}

/// What holds of the process besides.
#[derive(Clone, Debug)]
pub(crate) struct What {
    /// The program, for errors.
    pub(crate) program: String,
    pub(crate) has_terminal: bool,
    /// Whether the container goes with its main process.
    pub(crate) vanishes: bool,
}

/// How we learn of the end of an exec that has closed its streams.
enum Ends {
    NotAsked,
    Asked(Pending),
    Told(Answer),
}

/// Who moves the streams.
pub(crate) enum Streams {
    /// Whoever has the terminal's descriptor. This one is of the same socket.
    Terminal(OwnedFd),
    /// We do.
    Relay(Driver),
}

impl Held {
    pub(crate) fn new(
        place: String,
        target: Target,
        streams: Streams,
        waiting: Option<Waiting>,
        what: What,
    ) -> io::Result<Held> {
        let mut watch = Watch::new()?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let late = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        watch.want(LATE, &late, EventFlags::IN)?;
        match &streams {
            Streams::Terminal(fd) => drop(watch.want(STREAM, fd, EventFlags::RDHUP)?),
            Streams::Relay(driver) => drop(watch.want(STREAM, driver, EventFlags::IN)?),
        }
        if let Some(waiting) = &waiting {
            watch.want(END, waiting, EventFlags::IN)?;
        }
        Ok(Held {
            streams_ended: false,
            place,
            target,
            streams,
            waiting,
            asking: None,
            ends: Ends::NotAsked,
            late,
            exit: None,
            gone: !what.vanishes,
            resizing: None,
            next_size: None,
            watch,
            what,
        })
    }

    fn failed(&self, error: Error, action: &str) -> thither_place::Error {
        match error {
            // It was there before.
            Error::Connect { .. } => {
                thither_place::Error::Disconnected { place: self.place.clone() }
            }
            error => error.at(&self.place, Some(action)),
        }
    }

    fn here(source: io::Error) -> Error {
        Error::Here { action: "wait for the engine", source }
    }

    /// The streams as far as they go now.
    fn go_on(&mut self, ready: bool) -> thither_place::Result<()> {
        if self.streams_ended || !ready {
            return Ok(());
        }
        let step = match &mut self.streams {
            Streams::Terminal(fd) => {
                // Its other holder reads what is left.
                self.streams_ended = true;
                let unwatched = self.watch.want(STREAM, fd, EventFlags::empty());
                unwatched
                    .map_err(|error| self.failed(Held::here(error), "wait for the command"))?;
                return Ok(());
            }
            Streams::Relay(driver) => driver.step(),
        };
        match step {
            Ok(Step::Going) => Ok(()),
            Ok(Step::Ended) => {
                self.streams_ended = true;
                if let Streams::Relay(driver) = &self.streams {
                    let unwatched = self.watch.want(STREAM, driver, EventFlags::empty());
                    unwatched.map_err(|e| self.failed(Held::here(e), "wait for the command"))?;
                }
                Ok(())
            }
            Ok(Step::Closed(of)) => self.closed(of),
            Ok(Step::Excuse) => {
                // The engine's own words come instead of a process.
                if self.target.was_started().map_err(|e| self.failed(e, "wait for the command"))?
                    && let Streams::Relay(driver) = &mut self.streams
                {
                    driver.no_excuse();
                }
                Ok(())
            }
            Err(broken) => Err(self.broken(broken)),
        }
    }

    /// Nobody reads destination `of` any more. An exec gets the signal that a local command would get that writes there.
    /// The main process of a container ignores it unless it asks for it (pid_namespaces(7)): it is let go of.
    fn closed(&self, of: usize) -> thither_place::Result<()> {
        let told = match &self.target {
            Target::Exec { .. } => self.target.signal(sigpipe()),
            Target::Container { .. } => Err(Error::Cancelled),
        };
        match told {
            Ok(()) => Ok(()),
            Err(Error::Unsupported { .. } | Error::Cancelled) => {
                Err(thither_place::Error::Terminal {
                    action: writing(of),
                    source: io::ErrorKind::BrokenPipe.into(),
                })
            }
            Err(error) => Err(self.failed(error, "end the command")),
        }
    }

    fn broken(&mut self, broken: Broken) -> thither_place::Error {
        use thither_place::Error as There;
        let engine = self.target.engine();
        match broken {
            Broken::Lost(source) => {
                tracing::debug!(?source, "the streams are lost");
                There::Disconnected { place: self.place.clone() }
            }
            Broken::Garbage(what) => {
                let garbage = engine.garbage(what);
                self.failed(garbage, "read the command's output")
            }
            Broken::Output(of, source) => {
                // It would write for ever to nobody.
                let _ = self.target.signal(sigpipe());
                There::Terminal { action: writing(of), source }
            }
            Broken::Input(source) => There::Terminal { action: "read standard input", source },
        }
    }

    /// What a wait has come to. A container that vanishes is waited for once more, until it is gone: not all engines know
    /// its code then (Podman).
    fn container_end(&mut self) -> thither_place::Result<()> {
        let action = "wait for the container";
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        let unwatched = self.watch.want(END, &waiting, EventFlags::empty());
        unwatched.map_err(|error| self.failed(Held::here(error), action))?;
        let exit = waiting.exit();
        match (self.exit, self.what.vanishes) {
            // It is gone, whatever the answer says of its code.
            (Some(_), _) => {
                self.gone = true;
                return exit.map(drop).or_else(|error| match error.is_not_found() {
                    true => Ok(()),
                    false => Err(self.failed(error, action)),
                });
            }
            (None, vanishes) => {
                self.exit = Some(exit.map_err(|error| self.failed(error, action))?);
                self.gone = !vanishes;
            }
        }
        if self.gone {
            return Ok(());
        }
        let Target::Container { engine, id } = &self.target else { return Ok(()) };
        // dockerd may have found the container and then removed it before it began to wait: that wait never ends. What it
        // has removed it does not find any more.
        let waiting = Waiting::new(engine, id, WaitFor::Removed, None)
            .and_then(|waiting| self.target.exists().map(|exists| exists.then_some(waiting)));
        match waiting {
            Ok(Some(waiting)) => {
                let watched = self.watch.want(END, &waiting, EventFlags::IN);
                watched.map_err(|error| self.failed(Held::here(error), action))?;
                self.waiting = Some(waiting);
            }
            Ok(None) => self.gone = true,
            Err(error) if error.is_not_found() => self.gone = true,
            Err(error) => return Err(self.failed(error, action)),
        }
        Ok(())
    }

    /// Asks whether an exec has ended; the answer comes later.
    fn ask_state(&mut self) -> Result<(), Error> {
        let Target::Exec { engine, id, .. } = &self.target else { return Ok(()) };
        let asking = target::ask_exec_state(engine, id)?;
        self.watch.want(STATE, &asking, EventFlags::IN).map_err(Held::here)?;
        self.asking = Some(asking);
        let limit = engine.patience(None).limit;
        self.set_late(Some(limit)).map_err(Held::here)
    }

    fn set_late(&self, after: Option<Duration>) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = after.and_then(|after| Timespec::try_from(after).ok()).unwrap_or(never);
        let once = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.late, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// The end of an exec whose streams have ended.
    fn exec_end(&mut self, ready: [EventFlags; 8]) -> thither_place::Result<()> {
        let action = "wait for the command";
        if self.asking.is_none() && matches!(self.ends, Ends::NotAsked) {
            return self.ask_state().map_err(|error| self.failed(error, action));
        }
        if !ready[STATE].is_empty()
            && let Some(asking) = self.asking.take()
        {
            let unwatched = self.watch.want(STATE, &asking, EventFlags::empty());
            unwatched.map_err(|error| self.failed(Held::here(error), action))?;
            let state: ExecState = asking.json().map_err(|e| self.failed(e, action))?;
            if !state.running {
                self.exit = Some(self.exit_of(&state)?);
                return Ok(());
            }
            self.lives_on().map_err(|error| self.failed(error, action))?;
        }
        if !ready[END].is_empty() {
            self.told().map_err(|error| self.failed(error, action))?;
        }
        Ok(())
    }

    /// Asks to be told of its end, unless that was done.
    fn lives_on(&mut self) -> Result<(), Error> {
        let Target::Exec { engine, container, .. } = &self.target else { return Ok(()) };
        if let Ends::NotAsked = self.ends {
            let asked = target::ask_exec_ends(engine, container)?;
            self.watch.want(END, &asked, EventFlags::IN).map_err(Held::here)?;
            self.ends = Ends::Asked(asked);
            return Ok(());
        }
        // It may take as long as it likes.
        self.set_late(None).map_err(Held::here)
    }

    /// The engine tells us from now on, or has told us of some exec's end. One in between is seen by asking again.
    fn told(&mut self) -> Result<(), Error> {
        self.ends = match std::mem::replace(&mut self.ends, Ends::NotAsked) {
            Ends::NotAsked => return Ok(()),
            Ends::Asked(pending) => Ends::Told(pending.within(REST, None)?),
            Ends::Told(mut answer) => {
                answer.take_note()?;
                Ends::Told(answer)
            }
        };
        match self.asking {
            Some(_) => Ok(()),
            None => self.ask_state(),
        }
    }

    fn exit_of(&mut self, state: &ExecState) -> thither_place::Result<Exit> {
        let code = state.exit_code.unwrap_or_default();
        let Streams::Relay(driver) = &mut self.streams else { return Ok(Exit::Code(code)) };
        match driver.refusal() {
            // It was never started.
            Some(said) if state.pid == 0 && code != 0 => {
                Err(crate::exec::refused(&self.place, &self.what.program, &said))
            }
            Some(_) => {
                let delivered = driver.deliver_refusal();
                delivered.map_err(|broken| self.broken(broken))?;
                Ok(Exit::Code(code))
            }
            None => Ok(Exit::Code(code)),
        }
    }

    /// The answer to the last new size, and the next one if there was another meanwhile.
    fn resized(&mut self) -> thither_place::Result<()> {
        if let Some(pending) = self.resizing.take() {
            let unwatched = self.watch.want(RESIZE, &pending, EventFlags::empty());
            unwatched.map_err(|error| self.failed(Held::here(error), "resize the terminal"))?;
            // It says no before the program runs and after its end, which the streams tell better; a lost engine too.
            if let Err(error) = pending.within(REST, None) {
                tracing::debug!(%error, "resize");
            }
        }
        match self.next_size.take() {
            Some(size) => self.resize(size),
            None => Ok(()),
        }
    }
}

fn writing(of: usize) -> &'static str {
    if of == 0 { "write to standard output" } else { "write to standard error" }
}

fn sigpipe() -> i32 {
    rustix::process::Signal::PIPE.as_raw()
}

impl Control for Held {
    fn resize(&mut self, size: WindowSize) -> thither_place::Result<()> {
        if !self.what.has_terminal {
            return Err(thither_place::Error::Unsupported {
                action: "resize a command without a terminal".into(),
                place: self.place.clone(),
                hint: None,
            });
        }
        if self.exit.is_some() {
            return Ok(());
        }
        if self.resizing.is_some() {
            self.next_size = Some(size);
            return Ok(());
        }
        match self.target.resize(size, None) {
            Ok(pending) => {
                let watched = self.watch.want(RESIZE, &pending, EventFlags::IN);
                watched.map_err(|error| self.failed(Held::here(error), "resize the terminal"))?;
                self.resizing = Some(pending);
            }
            // The streams tell better what became of the engine.
            Err(error) => tracing::debug!(%error, "resize"),
        }
        Ok(())
    }

    fn signal(&mut self, signal: i32) -> thither_place::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        self.target.signal(signal).map_err(|error| self.failed(error, "send a signal"))
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    fn event(&mut self) -> thither_place::Result<Option<Event>> {
        if let Some(exit) = self.exit.filter(|_| self.streams_ended && self.gone) {
            return Ok(Some(Event::Exited(exit)));
        }
        let ready = self.watch.ready();
        let ready = ready.map_err(|e| self.failed(Held::here(e), "wait for the command"))?;
        if !ready[RESIZE].is_empty() {
            self.resized()?;
        }
        self.go_on(!ready[STREAM].is_empty())?;
        if !ready[LATE].is_empty() {
            let engine = self.target.engine();
            let limit = engine.patience(None).limit;
            let silent = Error::Silent { engine: engine.name().to_owned(), limit };
            return Err(self.failed(silent, "wait for the command"));
        }
        let end = !ready[END].is_empty();
        match &self.target {
            Target::Container { .. } if end => {
                self.container_end()?;
            }
            Target::Container { .. } => {}
            Target::Exec { .. } if self.streams_ended && self.exit.is_none() => {
                self.exec_end(ready)?;
            }
            Target::Exec { .. } => {}
        }
        Ok(self.exit.filter(|_| self.streams_ended && self.gone).map(Event::Exited))
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> thither_place::Result<()> {
        match &mut self.streams {
            Streams::Terminal(fd) => {
                // Its modes cannot be asked for: they are the default ones, in which this ends a line's input.
                let full = Interest::Write(fd.as_fd());
                thither_term::poll(&[full], None)
                    .and_then(|_| Ok(rustix::io::write(&*fd, &[END_OF_INPUT])?))
                    .map(drop)
                    .map_err(|source| self.failed(Held::here(source), "end the input"))
            }
            Streams::Relay(driver) => {
                driver.end_input();
                Ok(())
            }
        }
    }
}

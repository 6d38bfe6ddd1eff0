//! A command over a control master, and how it is held.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{
    Action, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcflow, tcgetattr, tcsetattr,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use thither_place::{Command, Control, Error, Event, Exit, Process, Result, WindowSize};
use thither_term::pty::Pty;
use thither_term::{Interest, poll};

use super::about::About;
use super::guard::{Guard, signal_name};
use super::master::{Master, here};
use super::mux::{Mux, News, Session};
use super::request::Request;
use super::streams::{Copying, Streams};

/// What ^D is: VEOF of the default modes, termios(3).
const END_OF_INPUT: u8 = 4;
/// A command that has ended by then needs no guard, and most have.
const GUARD_AFTER: Duration = Duration::from_millis(20);

/// How long a host may take to open a session for the guard of what is let go of.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of our environment a master is told, in bytes: a message may have 256 KiB, and the line is in it.
const VARIABLES: usize = 64 * 1024;

/// What the sessions of a host have in common.
pub(super) struct Host<'a> {
    pub(super) place: &'a str,
    pub(super) master: &'a Master,
    pub(super) about: About,
}

/// Starts a command. `Ok(Err(..))` says why the host refuses one more session.
pub(super) fn start(
    host: &Host<'_>,
    mut mux: Mux,
    request: &Request,
    command: &Command,
) -> Result<std::result::Result<Process, String>> {
    let here = |source| here(host.place, source);
    let terminal = match &command.streams {
        thither_place::Streams::Terminal(terminal) => Some(terminal),
        thither_place::Streams::Separate { .. } => None,
    };
    let term = terminal.map(|terminal| {
        terminal.term.as_ref().map_or(&b"dumb"[..], |term| term.as_encoded_bytes())
    });
    let session = Session {
        term,
        line: request.line.as_deref().unwrap_or_default(),
        subsystem: false,
        agent: host.about.forwards_agent,
        variables: &variables(std::env::vars_os()),
    };
    let mut ours = [const { None }; 3];
    let mut copying = Copying::default();
    let (mut pty, mut master) = (None, None);
    let news = match &command.streams {
        thither_place::Streams::Terminal(terminal) => {
            master = mux.pid().map_err(here)?;
            let opened = pty.insert(open_pty(terminal.size, request).map_err(here)?);
            mux.open(&session, [opened.follower.as_fd(); 3]).map_err(here)?;
            opening(&mut mux, command, host.place)?
        }
        thither_place::Streams::Separate { stdin, stdout, stderr } => {
            let streams = Streams::open([stdin, stdout, stderr], &request.preface).map_err(here)?;
            let fds = [0, 1, 2].map(|i| streams.theirs[i].as_fd());
            mux.open(&session, fds).map_err(here)?;
            let news = opening(&mut mux, command, host.place)?;
            (ours, copying) = streams.into_ours();
            news
        }
    };
    match news {
        News::Opened => {}
        News::Refused(why) => return Ok(Err(why)),
        News::End => return Err(Error::Disconnected { place: host.place.into() }),
        other => return Err(here(io::Error::other(format!("the control master says {other:?}")))),
    }
    copying.begin().map_err(here)?;
    let leader = pty.map(|pty| joined(pty, request)).transpose().map_err(here)?;
    let clone = leader.as_ref().map(OwnedFd::try_clone).transpose().map_err(here)?;
    let mut held =
        Held::new(host, command, request, mux, clone.zip(master), copying).map_err(here)?;
    // Whoever reads pipes need not look at anything else, so nothing would start it later.
    if ours.iter().any(Option::is_some) {
        held.guard();
    }
    let mut process = Process::new(Box::new(held));
    [process.stdin, process.stdout, process.stderr] = ours;
    process.terminal = leader;
    process.apart = true;
    Ok(Ok(process))
}

/// Our variables, as `NAME=VALUE`. A message to a master holds only so much, and what is usually sent is short.
fn variables(ours: impl Iterator<Item = (OsString, OsString)>) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        ours.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect();
    all.sort_by_key(Vec::len);
    let mut room = VARIABLES;
    let fit = all.iter().take_while(|variable| {
        let fits = variable.len() <= room;
        room = room.saturating_sub(variable.len());
        fits
    });
    let fit = fit.count();
    all.truncate(fit);
    all
}

/// What comes of asking for a session.
fn opening(mux: &mut Mux, command: &Command, place: &str) -> Result<News> {
    let cancel = command.cancel.as_ref().map_or(Interest::Nothing, |fd| Interest::Read(fd.as_fd()));
    let ready =
        poll(&[Interest::Read(mux.as_fd()), cancel], None).map_err(|source| here(place, source))?;
    if !ready[0].now && !ready[0].hang_up {
        return Err(Error::Cancelled { place: place.into() });
    }
    mux.wait(None).map_err(|source| here(place, source))
}

/// A pty whose modes the terminal over there gets: the user's, but with a preface neither canonical nor with an echo. Its output stands
/// still until it is [`joined`].
fn open_pty(size: WindowSize, request: &Request) -> io::Result<Pty> {
    let pty = Pty::open(size)?;
    let mut modes = user_modes().map_or_else(|| tcgetattr(&pty.follower), Ok)?;
    if !request.preface.is_empty() {
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    }
    tcsetattr(&pty.follower, OptionalActions::Now, &modes)?;
    // What comes before our end is raw would be translated twice.
    tcflow(&pty.follower, Action::OOff)?;
    Ok(pty)
}

/// Our end of a pty whose session is open. What comes from there is ready for a terminal, and what is typed goes as it is.
fn joined(pty: Pty, request: &Request) -> io::Result<OwnedFd> {
    make_raw(&pty)?;
    tcflow(&pty.follower, Action::OOn)?;
    let mut preface = &request.preface[..];
    while !preface.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&pty.leader, preface))?;
        preface = &preface[written..];
    }
    Ok(pty.leader)
}

fn make_raw(pty: &Pty) -> io::Result<()> {
    let mut modes = tcgetattr(&pty.follower)?;
    modes.make_raw();
    Ok(tcsetattr(&pty.follower, OptionalActions::Now, &modes)?)
}

/// The modes of the user's terminal, unless a program has just changed them for itself.
fn user_modes() -> Option<Termios> {
    let modes = tcgetattr(io::stdin()).ok()?;
    modes.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO).then_some(modes)
}

/// See the [module](self).
struct Held {
    place: String,
    master: Master,
    about: About,
    token: String,
    user: Option<String>,
    mux: Mux,
    /// Its pty and the master's process, if it has a terminal.
    terminal: Option<(OwnedFd, Pid)>,
    copying: Copying,
    guard: Option<Guard>,
    watch: OwnedFd,
    /// Readable when a guard is due.
    due: OwnedFd,
    code: Option<u32>,
    ended: bool,
    /// The code that a signal of ours means which ends the shell around the command as well: a KILL, or a HUP at a terminal.
    killed: Option<u32>,
    exit: Option<Exit>,
}

impl Held {
    fn new(
        host: &Host<'_>,
        command: &Command,
        request: &Request,
        mux: Mux,
        terminal: Option<(OwnedFd, Pid)>,
        copying: Copying,
    ) -> io::Result<Held> {
        mux.set_nonblocking()?;
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let due = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&watch, &mux, EventData::new_u64(0), EventFlags::IN)?;
        // A terminal that goes takes its programs along.
        if terminal.is_none() && !request.token.is_empty() {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Timespec { tv_sec: 0, tv_nsec: i64::from(GUARD_AFTER.subsec_nanos()) };
            let timer = Itimerspec { it_interval: zero, it_value: value };
            timerfd_settime(&due, TimerfdTimerFlags::empty(), &timer)?;
            epoll::add(&watch, &due, EventData::new_u64(1), EventFlags::IN)?;
        }
        for done in &copying.outputs {
            epoll::add(&watch, done, EventData::new_u64(2), EventFlags::empty())?;
        }
        Ok(Held {
            place: host.place.into(),
            master: host.master.clone(),
            about: host.about,
            token: request.token.clone(),
            user: command.user.clone(),
            mux,
            terminal,
            copying,
            guard: None,
            watch,
            due,
            code: None,
            ended: false,
            killed: None,
            exit: None,
        })
    }

    /// Starts the guard if there is none. Without one, which a host may refuse, there is none.
    fn guard(&mut self) {
        let _ = epoll::delete(&self.watch, &self.due);
        if self.guard.is_none() && !self.token.is_empty() {
            let user = self.user.as_deref();
            let started = self.master.running().and_then(|mux| {
                let mux = mux.ok_or(io::ErrorKind::NotConnected)?;
                Guard::start(mux, self.about.shell, &self.token, user)
            });
            match started {
                Ok(guard) => {
                    let news = EventData::new_u64(3);
                    if let Err(error) = epoll::add(&self.watch, guard.as_fd(), news, EventFlags::IN)
                    {
                        tracing::debug!(%error, "nobody hears whether there is a guard");
                    }
                    self.guard = Some(guard);
                }
                Err(error) => tracing::debug!(%error, "no guard over there"),
            }
        }
    }

    fn failed(&self, action: &str, source: io::Error) -> Error {
        Error::Place {
            action: action.into(),
            place: self.place.clone(),
            source: Box::new(source),
            hint: None,
        }
    }

    /// Takes the news of the guard, if there is some within the limit.
    fn hear_guard(&mut self, limit: Duration) {
        let Some(guard) = &mut self.guard else { return };
        let ready = poll(&[Interest::Read(guard.as_fd())], Some(limit));
        if ready.is_ok_and(|ready| ready[0].now || ready[0].hang_up) {
            let _ = epoll::delete(&self.watch, guard.as_fd());
            if let Err(error) = guard.opened(&self.master, &self.place, limit.max(PATIENCE)) {
                tracing::debug!(%error, "no guard over there");
            }
        }
    }

    /// What the end of a session without a code means: its leader was killed, or the way there is lost.
    fn ended_without_code(&self) -> Error {
        match self.master.running() {
            Ok(Some(_)) => {
                let text = "the shell around the command was killed, so nobody knows how it ended";
                self.failed("wait for the command", io::Error::other(text))
            }
            _ => Error::Disconnected { place: self.place.clone() },
        }
    }
}

impl Control for Held {
    fn resize(&mut self, size: WindowSize) -> Result<()> {
        let Some((leader, master)) = &self.terminal else {
            let action = "resize a command without a terminal".to_owned();
            return Err(Error::Unsupported { action, place: self.place.clone(), hint: None });
        };
        // The master looks at the sizes of all of its terminals when it gets this signal.
        let told = size.set(leader).and_then(|()| match self.ended {
            true => Ok(()),
            false => Ok(kill_process(*master, Signal::WINCH)?),
        });
        told.map_err(|source| self.failed("resize the terminal", source))
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let ends_shell = match self.terminal {
            Some(_) => [Signal::HUP, Signal::KILL].map(Signal::as_raw).contains(&signal),
            None => signal == Signal::KILL.as_raw(),
        };
        if ends_shell {
            self.killed = Some(128 + signal.unsigned_abs());
        }
        self.guard();
        let unsupported = |hint: Option<&str>| Error::Unsupported {
            action: format!("pass on signal {signal}"),
            place: self.place.clone(),
            hint: hint.map(str::to_owned),
        };
        let name = signal_name(signal).ok_or_else(|| unsupported(None))?;
        match &mut self.guard {
            Some(guard) => match guard.signal(name) {
                // It ended together with what it guards.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => other.map_err(|source| self.failed("pass on a signal", source)),
            },
            None if self.token.is_empty() => {
                Err(unsupported(Some("type what the shell takes for it")))
            }
            None => Err(unsupported(Some(
                "the host may allow more sessions: MaxSessions in sshd_config",
            ))),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        if let Some(exit) = self.exit {
            return Ok(Some(Event::Exited(exit)));
        }
        while !self.ended {
            match self.mux.next() {
                Ok(News::Exit(code)) => self.code = Some(code),
                // The end of a session comes when all of its output is written.
                Ok(News::End) => {
                    self.ended = true;
                    let _ = epoll::delete(&self.watch, &self.mux);
                }
                Ok(News::NoTerminal) => {
                    // It runs all the same, and does not end with a terminal.
                    self.terminal = None;
                    let text = "the host gives no terminal";
                    return Err(self.failed("open a terminal", io::Error::other(text)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.hear_guard(Duration::ZERO);
                    if self.guard.is_none() && is_due(&self.due) {
                        self.guard();
                    }
                    return Ok(None);
                }
                Err(source) => return Err(self.failed("wait for the command", source)),
            }
        }
        if let Some(guard) = self.guard.take() {
            guard.done();
        }
        let Some(code) = self.code.or(self.killed) else { return Err(self.ended_without_code()) };
        if !self
            .copying
            .is_done()
            .map_err(|source| self.failed("write the output of the command", source))?
        {
            return Ok(None);
        }
        let exit = Exit::Code(i32::try_from(code).unwrap_or(i32::MAX));
        self.exit = Some(exit);
        Ok(Some(Event::Exited(exit)))
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        let Some(terminal) = terminal.or(self.terminal.as_ref().map(|(leader, _)| leader.as_fd()))
        else {
            let action = "end an input that is not ours".to_owned();
            return Err(Error::Unsupported { action, place: self.place.clone(), hint: None });
        };
        let typed = poll(&[Interest::Write(terminal)], None)
            .and_then(|_| Ok(rustix::io::write(terminal, &[END_OF_INPUT])?));
        typed.map(drop).map_err(|source| self.failed("end the input", source))
    }
}

impl Drop for Held {
    /// What is let go of is ended by its guard, which ends with us: it has to be there.
    fn drop(&mut self) {
        if self.ended || self.terminal.is_some() || self.token.is_empty() {
            return;
        }
        self.guard();
        self.hear_guard(PATIENCE);
    }
}

fn is_due(timer: &OwnedFd) -> bool {
    rustix::io::read(timer, &mut [0; 8]).is_ok()
}

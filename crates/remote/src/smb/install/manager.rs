//! The service manager of a host, over its pipe: each call waits for its answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thither_term::{Interest, poll};

use super::super::{Compat, Settings, Smb};
use super::SERVICE;
use super::svcctl::pdu::{self, HEAD, LONGEST_ANSWER};
use super::svcctl::{self, Answer, Call, Handle, Malformed, Said, State};
use super::trouble::Trouble;

type Result<T> = std::result::Result<T, Trouble>;

/// How long an answer may take: Windows itself waits 30 seconds for a service that starts.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a service may take to run or to stop.
pub(super) const CHANGE: Duration = Duration::from_secs(30);
/// How often it is asked.
const AGAIN: Duration = Duration::from_millis(100);

/// ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_NOT_ACTIVE,
/// ERROR_SERVICE_MARKED_FOR_DELETE of MS-ERREF 2.2.
const NONE: u32 = 1060;
const RUNS: u32 = 1056;
const NOT_NOW: u32 = 1061;
const RESTS: u32 = 1062;
const MARKED: u32 = 1072;

/// An open connection. Whatever is open in it is closed by its end: MS-SCMR 3.1.4.
pub(super) struct Manager<'a> {
    stream: OwnedFd,
    cancel: Option<BorrowedFd<'a>>,
    /// The number of the last call.
    call: u32,
    /// The longest fragment that it takes, in bytes.
    longest: u16,
    handle: Handle,
}

impl Manager<'_> {
    /// Connects with these rights.
    pub(super) fn connect<'a>(
        smb: &Smb,
        rights: u32,
        cancel: Option<BorrowedFd<'a>>,
    ) -> Result<Manager<'a>> {
        let pipe = Some(svcctl::PIPE.into());
        let settings = Settings { pipe, compat: Compat::Thither, ..smb.settings.clone() };
        let pipe = Smb { settings, through: smb.through.clone() };
        let (stream, _) = pipe.open(&smb.address(), cancel)?;
        rustix::io::ioctl_fionbio(&stream, true).map_err(io::Error::from)?;
        let mut manager =
            Manager { stream, cancel, call: 1, longest: pdu::LONGEST, handle: [0; 20] };
        manager.bind()?;
        let host = &smb.settings.host;
        manager.handle = manager.opens(Call::OpenManager { host, rights })?;
        Ok(manager)
    }

    fn bind(&mut self) -> Result<()> {
        let end = Instant::now() + ANSWER;
        self.send(&pdu::bind(self.call), end)?;
        let bytes = self.receive(end)?;
        let fragment = svcctl::decode(&bytes)?;
        match fragment.said {
            _ if fragment.call != self.call => Err(Malformed::OTHER_CALL.into()),
            Said::Bound(longest) => {
                self.longest = longest;
                Ok(())
            }
            Said::Unbound(reason) => Err(Trouble::Unbound(reason)),
            Said::Fault(status) => Err(Trouble::Fault(status)),
            Said::Results(_) => Err(Malformed::OUT_OF_TURN.into()),
        }
    }

    /// Our service, if there is one.
    pub(super) fn open(&mut self, rights: u32) -> Result<Option<Handle>> {
        let manager = self.handle;
        match self.opens(Call::Open { manager: &manager, name: SERVICE, rights }) {
            Ok(handle) => Ok(Some(handle)),
            Err(Trouble::Windows(NONE)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) fn create(&mut self, display: &str, command: &str, rights: u32) -> Result<Handle> {
        let manager = self.handle;
        self.opens(Call::Create { manager: &manager, name: SERVICE, display, command, rights })
    }

    pub(super) fn settings(&mut self, service: &Handle) -> Result<svcctl::Settings> {
        match self.call(Call::Settings(service))? {
            Answer::Settings(settings) => Ok(settings),
            _ => Err(Malformed::OUT_OF_TURN.into()),
        }
    }

    pub(super) fn state(&mut self, service: &Handle) -> Result<State> {
        match self.call(Call::State(service))? {
            Answer::State(state) => Ok(state),
            _ => Err(Malformed::OUT_OF_TURN.into()),
        }
    }

    /// Starts a service, and waits until it runs.
    pub(super) fn start(&mut self, service: &Handle) -> Result<()> {
        match self.call(Call::Start(service)) {
            Ok(_) | Err(Trouble::Windows(RUNS)) => self.until(service, State::Running),
            Err(trouble) => Err(trouble),
        }
    }

    /// Stops a service, and waits until it rests. Says whether it ran.
    pub(super) fn stop(&mut self, service: &Handle) -> Result<bool> {
        let end = Instant::now() + CHANGE;
        loop {
            match self.call(Call::Stop(service)) {
                Ok(_) => break,
                Err(Trouble::Windows(RESTS)) => return Ok(false),
                // It may just be starting, or stopping.
                Err(Trouble::Windows(NOT_NOW)) if Instant::now() < end => {
                    if self.state(service)? == State::Stopped {
                        return Ok(true);
                    }
                    self.pause()?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.until(service, State::Stopped).map(|()| true)
    }

    /// Deletes a service, which may be marked for that already.
    pub(super) fn delete(&mut self, service: &Handle) -> Result<()> {
        match self.call(Call::Delete(service)) {
            Ok(_) | Err(Trouble::Windows(MARKED)) => {}
            Err(trouble) => return Err(trouble),
        }
        // It goes when nobody has it open.
        self.call(Call::Close(service)).map(drop)
    }

    fn until(&mut self, service: &Handle, wanted: State) -> Result<()> {
        let end = Instant::now() + CHANGE;
        loop {
            match self.state(service)? {
                state if state == wanted => return Ok(()),
                State::Stopped => return Err(Trouble::Stopped),
                _ if Instant::now() >= end => return Err(Trouble::Late(CHANGE)),
                _ => self.pause()?,
            }
        }
    }

    fn pause(&self) -> Result<()> {
        let cancelled = self.cancel.map_or(Interest::Nothing, Interest::Read);
        match poll(&[cancelled], Some(AGAIN))?[0].now {
            true => Err(Trouble::Cancelled),
            false => Ok(()),
        }
    }

    fn opens(&mut self, call: Call<'_>) -> Result<Handle> {
        match self.call(call)? {
            Answer::Handle(handle) => Ok(handle),
            _ => Err(Malformed::OUT_OF_TURN.into()),
        }
    }

    fn call(&mut self, call: Call<'_>) -> Result<Answer> {
        let end = Instant::now() + ANSWER;
        self.call = self.call.wrapping_add(1);
        for fragment in pdu::request(self.call, call.opnum(), &call.encode(), self.longest) {
            self.send(&fragment, end)?;
        }
        let results = self.results(end)?;
        let reply = svcctl::reply(call.opnum(), &results)?;
        tracing::debug!(?call, code = reply.code, "the service manager answers");
        match reply.code {
            0 => Ok(reply.answer),
            code => Err(Trouble::Windows(code)),
        }
    }

    /// The results of the call that is on its way, of all of their fragments.
    fn results(&mut self, end: Instant) -> Result<Vec<u8>> {
        let mut results = Vec::new();
        let mut first = true;
        loop {
            let bytes = self.receive(end)?;
            let fragment = svcctl::decode(&bytes)?;
            if fragment.call != self.call {
                return Err(Malformed::OTHER_CALL.into());
            }
            let part = match fragment.said {
                Said::Results(part) => part,
                Said::Fault(status) => return Err(Trouble::Fault(status)),
                Said::Bound(_) | Said::Unbound(_) => return Err(Malformed::OUT_OF_TURN.into()),
            };
            // One that says nothing could go on forever.
            if fragment.first != first || (part.is_empty() && !fragment.last) {
                return Err(Malformed::OUT_OF_TURN.into());
            }
            first = false;
            results.extend_from_slice(part);
            match results.len() {
                length if length > LONGEST_ANSWER => return Err(Malformed::ENDLESS.into()),
                _ if fragment.last => return Ok(results),
                _ => {}
            }
        }
    }

    /// One fragment, whole.
    fn receive(&mut self, end: Instant) -> Result<Vec<u8>> {
        let mut fragment = vec![0; HEAD];
        self.fill(&mut fragment, end)?;
        let length = pdu::length(&fragment)?;
        fragment.resize(length, 0);
        self.fill(&mut fragment[HEAD..], end)?;
        Ok(fragment)
    }

    fn fill(&mut self, mut into: &mut [u8], end: Instant) -> Result<()> {
        while !into.is_empty() {
            match rustix::io::read(&self.stream, &mut *into) {
                Ok(0) => return Err(Trouble::Lost),
                Ok(n) => into = &mut into[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(Interest::Read(self.stream.as_fd()), end)?,
                Err(_) => return Err(Trouble::Lost),
            }
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8], end: Instant) -> Result<()> {
        while !bytes.is_empty() {
            let flags = rustix::net::SendFlags::NOSIGNAL;
            match rustix::net::send(&self.stream, bytes, flags) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(Interest::Write(self.stream.as_fd()), end)?,
                Err(_) => return Err(Trouble::Lost),
            }
        }
        Ok(())
    }

    fn wait(&self, interest: Interest<'_>, end: Instant) -> Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        let cancelled = self.cancel.map_or(Interest::Nothing, Interest::Read);
        let ready = poll(&[interest, cancelled], Some(left))?;
        match () {
            () if ready[1].now => Err(Trouble::Cancelled),
            () if ready[0].now => Ok(()),
            () if left.is_zero() => Err(Trouble::Silent(ANSWER)),
            () => Ok(()),
        }
    }
}

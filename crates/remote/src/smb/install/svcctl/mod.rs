//! The calls of a Windows host's service manager, MS-SCMR, as bytes: those that set a service up and take it away again.
//!
//! Nothing here talks to anybody. What is decoded may be anybody's bytes.

mod ndr;
pub(super) mod pdu;

use self::ndr::{Reader, Writer};

pub use self::ndr::Malformed;
pub use self::pdu::{Fragment, Said, decode};

/// The pipe that the service manager answers on: MS-SCMR 2.1.
pub(super) const PIPE: &str = "svcctl";

/// Rights to the service manager: MS-SCMR 3.1.4, to connect and to create services.
pub(super) const CONNECT: u32 = 1;
pub(super) const CREATE: u32 = 2;
/// Rights to a service: to see its settings and its state, to start and to stop it, to delete it.
pub(super) const SEE: u32 = 1 | 4;
pub(super) const START: u32 = 0x10;
pub(super) const STOP: u32 = 0x20;
pub(super) const DELETE: u32 = 0x1_0000;

/// SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL and SERVICE_CONTROL_STOP.
const OWN_PROCESS: u32 = 0x10;
const AUTO_START: u32 = 2;
const ERROR_NORMAL: u32 = 1;
const CONTROL_STOP: u32 = 1;
/// The most room that a service's settings may take, in bytes: MS-SCMR 3.1.4.17.
const MOST_SETTINGS: u32 = 8192;

/// What the service manager knows something by.
pub type Handle = [u8; 20];

/// A call with its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'a> {
    Close(&'a Handle),
    Stop(&'a Handle),
    Delete(&'a Handle),
    State(&'a Handle),
    Create { manager: &'a Handle, name: &'a str, display: &'a str, command: &'a str, rights: u32 },
    OpenManager { host: &'a str, rights: u32 },
    Open { manager: &'a Handle, name: &'a str, rights: u32 },
    Settings(&'a Handle),
    Start(&'a Handle),
}

/// The numbers of the calls: MS-SCMR 3.1.4.
pub mod opnum {
    /// RCloseServiceHandle.
    pub const CLOSE: u16 = 0;
    /// RControlService.
    pub const CONTROL: u16 = 1;
    /// RDeleteService.
    pub const DELETE: u16 = 2;
    /// RQueryServiceStatus.
    pub const STATE: u16 = 6;
    /// RCreateServiceW.
    pub const CREATE: u16 = 12;
    /// ROpenSCManagerW.
    pub const OPEN_MANAGER: u16 = 15;
    /// ROpenServiceW.
    pub const OPEN: u16 = 16;
    /// RQueryServiceConfigW.
    pub const SETTINGS: u16 = 17;
    /// RStartServiceW.
    pub const START: u16 = 19;
}

impl Call<'_> {
    pub(super) fn opnum(&self) -> u16 {
        match self {
            Call::Close(_) => opnum::CLOSE,
            Call::Stop(_) => opnum::CONTROL,
            Call::Delete(_) => opnum::DELETE,
            Call::State(_) => opnum::STATE,
            Call::Create { .. } => opnum::CREATE,
            Call::OpenManager { .. } => opnum::OPEN_MANAGER,
            Call::Open { .. } => opnum::OPEN,
            Call::Settings(_) => opnum::SETTINGS,
            Call::Start(_) => opnum::START,
        }
    }

    /// The arguments, in NDR.
    pub(super) fn encode(&self) -> Vec<u8> {
        let to = |handle: &Handle| Writer::default().bytes(handle);
        let arguments = match self {
            Call::Close(handle) | Call::Delete(handle) | Call::State(handle) => to(handle),
            Call::Stop(handle) => to(handle).u32(CONTROL_STOP),
            Call::Settings(handle) => to(handle).u32(MOST_SETTINGS),
            // No arguments of its own.
            Call::Start(handle) => to(handle).u32(0).null(),
            Call::Open { manager, name, rights } => to(manager).string(name).u32(*rights),
            Call::OpenManager { host, rights } => {
                // The one database that there is.
                Writer::default().pointer(&format!(r"\\{host}")).null().u32(*rights)
            }
            Call::Create { manager, name, display, command, rights } => {
                let named = to(manager).string(name).pointer(display).u32(*rights);
                let typed = named.u32(OWN_PROCESS).u32(AUTO_START).u32(ERROR_NORMAL);
                // No group, tag and dependencies; LocalSystem, which has no password.
                typed.string(command).null().null().null().u32(0).null().null().u32(0)
            }
        };
        arguments.done()
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or why it was refused, as MS-ERREF 2.2 numbers it.
    pub code: u32,
    /// What was asked for. After a refusal it says nothing.
    pub answer: Answer,
}

/// See [`Reply::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Done,
    /// Something was opened.
    Handle(Handle),
    /// A service's state.
    State(State),
    /// A service's settings.
    Settings(Settings),
}

/// What a service does: MS-SCMR 2.2.47.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Stopped,
    /// It starts.
    StartPending,
    /// It stops.
    StopPending,
    /// It runs.
    Running,
    /// It continues.
    ContinuePending,
    /// It pauses.
    PausePending,
    /// It pauses until it is told to go on.
    Paused,
}

/// How a service is set up: MS-SCMR 2.2.15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it starts with the host.
    pub is_automatic: bool,
    /// Its program and arguments.
    pub command: String,
    /// Who runs it.
    pub account: String,
}

/// What the call of this number came to, of all of its results.
///
/// # Errors
/// When they are not those of such a call.
pub fn reply(opnum: u16, results: &[u8]) -> Result<Reply, Malformed> {
    let mut reader = Reader::new(results);
    let answer = match opnum {
        // A handle that is closed is nothing any more.
        opnum::CLOSE => reader.array::<20>().map(|_| Answer::Done)?,
        opnum::DELETE | opnum::START => Answer::Done,
        opnum::CONTROL | opnum::STATE => return state(&mut reader),
        opnum::CREATE => {
            if reader.u32()? != 0 {
                reader.u32()?;
            }
            Answer::Handle(reader.array()?)
        }
        opnum::OPEN_MANAGER | opnum::OPEN => Answer::Handle(reader.array()?),
        opnum::SETTINGS => {
            let settings = settings(&mut reader)?;
            // How much room it takes.
            reader.u32()?;
            Answer::Settings(settings)
        }
        _ => return Err(Malformed("nobody called that")),
    };
    Ok(Reply { code: reader.u32()?, answer })
}

/// `u32 kind | u32 state | u32[5]`, and the code.
fn state(reader: &mut Reader<'_>) -> Result<Reply, Malformed> {
    let [_, state, ..] = {
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = reader.u32()?;
        }
        numbers
    };
    let code = reader.u32()?;
    let state = match state {
        1 => State::Stopped,
        2 => State::StartPending,
        3 => State::StopPending,
        4 => State::Running,
        5 => State::ContinuePending,
        6 => State::PausePending,
        7 => State::Paused,
        // It was refused.
        _ if code != 0 => return Ok(Reply { code, answer: Answer::Done }),
        _ => return Err(Malformed("there is no such state of a service")),
    };
    Ok(Reply { code, answer: Answer::State(state) })
}

/// `u32 kind | u32 start | u32 error control | command | group | u32 tag | dependencies | account | display name`, where texts are
/// pointers, whose texts come behind all of that.
fn settings(reader: &mut Reader<'_>) -> Result<Settings, Malformed> {
    reader.u32()?;
    let is_automatic = reader.u32()? == AUTO_START;
    reader.u32()?;
    let [command, group] = [reader.u32()?, reader.u32()?];
    reader.u32()?;
    let [dependencies, account, display] = [reader.u32()?, reader.u32()?, reader.u32()?];
    let mut text = |pointer: u32| match pointer {
        0 => Ok(String::new()),
        _ => reader.string(),
    };
    let (command, _, _, account) =
        (text(command)?, text(group)?, text(dependencies)?, text(account)?);
    text(display)?;
    Ok(Settings { is_automatic, command, account })
}

#[cfg(test)]
mod tests;

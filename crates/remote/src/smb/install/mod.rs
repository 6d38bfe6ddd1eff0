//! The service of a Windows host, set up from here: its program is copied to `ADMIN$`, and made a service by the service
//! manager's pipe, `svcctl`.
//!
//! Only an administrator can. Nothing of this is ever a part of connecting: who wants it says so.
//!
//! ```no_run
//! use thither_remote::smb::install::{Service, install};
//! use thither_remote::smb::Smb;
//!
//! let service = Service::new(std::fs::read("pushyd.exe")?, "thither")?;
//! install(&Smb::new("files"), &service, None, &mut |step| println!("{step}"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod command;
mod files;
mod manager;
mod status;
pub mod svcctl;
mod trouble;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use thither_place::{Error, Result};

use self::files::{Found, SHARE};
use self::manager::Manager;
use self::svcctl::State;
use self::trouble::{Trouble, told};
use super::Smb;

pub use self::command::BadService;
pub use self::status::{File, Pipe, Running, Status, status};

/// The name of the service.
pub const SERVICE: &str = "thither";
/// The name of its program, in `ADMIN$`.
pub const PROGRAM: &str = "thither-pushyd.exe";
/// The same until it is whole.
const NEW: &str = "thither-pushyd.new";
/// How people see the service.
const DISPLAY: &str = "thither";

/// What is installed.
#[derive(Clone, Debug)]
pub struct Service {
    program: Arc<[u8]>,
    pipe: String,
}

impl Service {
    /// A program, and the name of the pipe that it shall listen on.
    ///
    /// # Errors
    /// When it is no program of Windows, or there can be no such pipe.
    pub fn new(
        program: impl Into<Arc<[u8]>>,
        pipe: impl Into<String>,
    ) -> std::result::Result<Service, BadService> {
        let service = Service { program: program.into(), pipe: pipe.into() };
        command::check(&service.program, &service.pipe)?;
        Ok(service)
    }

    /// The pipe.
    #[must_use]
    pub fn pipe(&self) -> &str {
        &self.pipe
    }

    /// How the service is started over there.
    #[must_use]
    pub fn command(&self) -> String {
        command::of(&self.pipe)
    }
}

/// Something that was done, or had been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The program was copied there.
    Copied,
    /// The same program was there.
    SameProgram,
    /// The service was made.
    Made,
    /// The same service was there.
    SameService,
    /// The service was started, and runs.
    Started,
    /// The service ran.
    RanAlready,
    /// The service was stopped.
    Stopped,
    /// The service was deleted.
    Deleted,
    /// There was no service.
    NoService,
    /// The program was removed.
    Removed,
    /// There was no program.
    NoProgram,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Copied => write!(f, r"copied the program to {SHARE}\{PROGRAM}"),
            Step::SameProgram => write!(f, r"{SHARE}\{PROGRAM} is there, the same"),
            Step::Made => write!(f, "made the service {SERVICE}"),
            Step::SameService => write!(f, "the service {SERVICE} is there, the same"),
            Step::Started => write!(f, "started the service {SERVICE}"),
            Step::RanAlready => write!(f, "the service {SERVICE} runs"),
            Step::Stopped => write!(f, "stopped the service {SERVICE}"),
            Step::Deleted => write!(f, "deleted the service {SERVICE}"),
            Step::NoService => write!(f, "there is no service {SERVICE}"),
            Step::Removed => write!(f, r"removed {SHARE}\{PROGRAM}"),
            Step::NoProgram => write!(f, r"there is no {SHARE}\{PROGRAM}"),
        }
    }
}

/// A step that failed: what it was, to complete "cannot ...", and why.
struct Failed(&'static str, Trouble);

trait During<T> {
    fn during(self, action: &'static str) -> std::result::Result<T, Failed>;
}

impl<T> During<T> for std::result::Result<T, Trouble> {
    fn during(self, action: &'static str) -> std::result::Result<T, Failed> {
        self.map_err(|trouble| Failed(action, trouble))
    }
}

/// The steps, to complete "cannot ...".
const LOOK: &str = r"look at the program `ADMIN$\\thither-pushyd.exe`";
const COPY: &str = r"copy the program to `ADMIN$\\thither-pushyd.exe`";
const REMOVE: &str = r"remove the program `ADMIN$\\thither-pushyd.exe`";
const REACH: &str = "call the service manager";
const SEE: &str = "look at the service `thither`";
const MAKE: &str = "make the service `thither`";
const START: &str = "start the service `thither`";
const STOP: &str = "stop the service `thither`";
const DELETE: &str = "delete the service `thither`";

/// Installs a service, and waits until it runs. What is there already and the same stays as it is. `told` hears of each step.
///
/// A step that fails undoes those before it, and so does `cancel` when it becomes readable.
///
/// # Errors
/// [`Error::Enter`] when the host keeps us out, [`Error::Cancelled`], or [`Error::Place`] for a step that failed or when something else
/// is there. What of it could not be undone is in the text.
pub fn install(
    smb: &Smb,
    service: &Service,
    cancel: Option<BorrowedFd<'_>>,
    told: &mut dyn FnMut(Step),
) -> Result<()> {
    let mut done = Done { smb, steps: Vec::new() };
    let installed = done.install(service, cancel, told);
    installed.map_err(|failed| done.undo(failed))
}

/// What has to be undone if anything fails.
struct Done<'a> {
    smb: &'a Smb,
    steps: Vec<Undo>,
}

/// See [`Done`].
#[derive(Clone, Copy, Debug)]
enum Undo {
    /// A file is to be removed.
    File(&'static str),
    /// The service is to be deleted.
    Service,
    /// The service is to be stopped.
    Start,
}

impl Done<'_> {
    fn install(
        &mut self,
        service: &Service,
        cancel: Option<BorrowedFd<'_>>,
        told: &mut dyn FnMut(Step),
    ) -> std::result::Result<(), Failed> {
        // All is looked at before anything is changed.
        let found = files::look(self.smb, cancel, PROGRAM, &service.program).during(LOOK)?;
        if let Found::Other(size) = found {
            return Err(Trouble::OtherFile(size)).during(COPY);
        }
        let rights = svcctl::CONNECT | svcctl::CREATE;
        let mut manager = Manager::connect(self.smb, rights, cancel).during(REACH)?;
        let rights = svcctl::SEE | svcctl::START | svcctl::STOP | svcctl::DELETE;
        let there = manager.open(rights).during(SEE)?;
        if let Some(handle) = &there {
            let settings = manager.settings(handle).during(SEE)?;
            if !command::is_ours(&settings, Some(&service.pipe)) {
                return Err(Trouble::OtherService(settings.command)).during(MAKE);
            }
        }
        match found {
            Found::Same => told(Step::SameProgram),
            _ => {
                self.copy(service, cancel).during(COPY)?;
                told(Step::Copied);
            }
        }
        let handle = match there {
            Some(handle) => {
                told(Step::SameService);
                handle
            }
            None => {
                let handle = self.make(&mut manager, service, rights).during(MAKE)?;
                told(Step::Made);
                handle
            }
        };
        if manager.state(&handle).during(SEE)? == State::Running {
            told(Step::RanAlready);
            return Ok(());
        }
        self.steps.push(Undo::Start);
        manager.start(&handle).during(START)?;
        told(Step::Started);
        Ok(())
    }

    fn copy(
        &mut self,
        service: &Service,
        cancel: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<(), Trouble> {
        self.steps.push(Undo::File(NEW));
        let copied = files::put(self.smb, cancel, (NEW, PROGRAM), &service.program);
        // Whoever was refused has not given it its name.
        if !matches!(copied, Err(Trouble::File(ref fault)) if fault.is_refusal()) {
            self.steps.push(Undo::File(PROGRAM));
        }
        copied?;
        match files::look(self.smb, cancel, PROGRAM, &service.program)? {
            Found::Same => Ok(()),
            Found::Nothing | Found::Other(_) => Err(Trouble::Changed),
        }
    }

    fn make(
        &mut self,
        manager: &mut Manager<'_>,
        service: &Service,
        rights: u32,
    ) -> std::result::Result<svcctl::Handle, Trouble> {
        let made = manager.create(DISPLAY, &service.command(), rights);
        // Without an answer it may be there.
        if !matches!(made, Err(Trouble::Windows(_) | Trouble::Fault(_))) {
            self.steps.push(Undo::Service);
        }
        made
    }

    /// Undoes the steps, the last one first; the error of the one that failed.
    fn undo(&mut self, Failed(action, trouble): Failed) -> Error {
        let mut left = Vec::new();
        for step in std::mem::take(&mut self.steps).into_iter().rev() {
            tracing::debug!(?step, "undo");
            if let Err(trouble) = self.undo_step(step) {
                let what = match step {
                    Undo::File(name) => format!(r"`{SHARE}\\{name}`"),
                    Undo::Service => format!("the service `{SERVICE}`"),
                    Undo::Start => format!("`{SERVICE}`, which runs"),
                };
                left.push(format!("{what} ({})", told(&trouble)));
            }
        }
        trouble.at(action, &self.smb.address(), left)
    }

    /// With a connection of its own: what failed may have been the one before.
    fn undo_step(&self, step: Undo) -> std::result::Result<(), Trouble> {
        let manager = || Manager::connect(self.smb, svcctl::CONNECT, None);
        match step {
            Undo::File(name) => files::remove(self.smb, None, name).map(drop),
            Undo::Service => {
                let mut manager = manager()?;
                match manager.open(svcctl::DELETE)? {
                    Some(handle) => manager.delete(&handle),
                    None => Ok(()),
                }
            }
            Undo::Start => {
                let mut manager = manager()?;
                match manager.open(svcctl::SEE | svcctl::STOP)? {
                    Some(handle) => manager.stop(&handle).map(drop),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Stops the service, deletes it, and removes its program. What is not there is no error. `told` hears of each step.
///
/// # Errors
/// As [`install`]; a service of that name that runs something else is left alone. What was done before stays done.
pub fn uninstall(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    told: &mut dyn FnMut(Step),
) -> Result<()> {
    remove(smb, cancel, told)
        .map_err(|Failed(action, trouble)| trouble.at(action, &smb.address(), Vec::new()))
}

fn remove(
    smb: &Smb,
    cancel: Option<BorrowedFd<'_>>,
    told: &mut dyn FnMut(Step),
) -> std::result::Result<(), Failed> {
    let mut manager = Manager::connect(smb, svcctl::CONNECT, cancel).during(REACH)?;
    match manager.open(svcctl::SEE | svcctl::STOP | svcctl::DELETE).during(SEE)? {
        None => told(Step::NoService),
        Some(handle) => {
            let settings = manager.settings(&handle).during(SEE)?;
            if !command::is_ours(&settings, None) {
                return Err(Trouble::OtherService(settings.command)).during(DELETE);
            }
            if manager.stop(&handle).during(STOP)? {
                told(Step::Stopped);
            }
            manager.delete(&handle).during(DELETE)?;
            told(Step::Deleted);
        }
    }
    drop(manager);
    let was_there = files::remove(smb, cancel, PROGRAM).during(REMOVE)?;
    // What somebody has left who was killed.
    files::remove(smb, cancel, NEW).during(REMOVE)?;
    told(if was_there { Step::Removed } else { Step::NoProgram });
    Ok(())
}

//! What of the service is there.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use thither_place::{Error, Result};

use super::files::{self, Found};
use super::manager::Manager;
use super::svcctl::{self, State};
use super::{During, Failed, LOOK, PROGRAM, REACH, SEE, command};
use crate::smb::failure::Fault;
use crate::smb::{Compat, Settings, Smb};

/// What is there, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The program, if it is there.
    pub program: Option<File>,
    /// The service, if there is one.
    pub service: Option<Running>,
    /// The pipe.
    pub pipe: Pipe,
}

/// A program over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its length, in bytes.
    pub size: u64,
    /// Whether it is the one that it was compared with, if there was one.
    pub is_same: Option<bool>,
}

/// A service over there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// What it does.
    pub state: State,
    /// How it is started: anything, from over there.
    pub command: String,
    /// Who runs it: anything, from over there.
    pub account: String,
    /// Whether it starts with the host.
    pub is_automatic: bool,
    /// Whether it is one that [`install`](super::install) makes.
    pub is_ours: bool,
}

/// The pipe of the host's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// It can be opened.
    Answers,
    /// There is none.
    Absent,
    /// It cannot be opened: why.
    Refuses(String),
}

/// What is there of the service and, if one is given, compared with this program.
///
/// # Errors
/// As [`install`](super::install).
pub fn status(
    smb: &Smb,
    program: Option<Arc<[u8]>>,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<Status> {
    look(smb, program, cancel)
        .map_err(|Failed(action, trouble)| trouble.at(action, &smb.address(), Vec::new()))
}

fn look(
    smb: &Smb,
    program: Option<Arc<[u8]>>,
    cancel: Option<BorrowedFd<'_>>,
) -> std::result::Result<Status, Failed> {
    let bytes = program.clone().unwrap_or_else(|| Arc::from([]));
    let found = files::look(smb, cancel, PROGRAM, &bytes).during(LOOK)?;
    let mut manager = Manager::connect(smb, svcctl::CONNECT, cancel).during(REACH)?;
    let service = match manager.open(svcctl::SEE).during(SEE)? {
        None => None,
        Some(handle) => {
            let settings = manager.settings(&handle).during(SEE)?;
            Some(Running {
                state: manager.state(&handle).during(SEE)?,
                is_ours: command::is_ours(&settings, None),
                command: settings.command,
                account: settings.account,
                is_automatic: settings.is_automatic,
            })
        }
    };
    let is_same = |is_same| program.as_ref().map(|_| is_same);
    Ok(Status {
        program: match found {
            Found::Nothing => None,
            Found::Same => Some(File { size: bytes.len() as u64, is_same: is_same(true) }),
            Found::Other(size) => Some(File { size, is_same: is_same(false) }),
        },
        service,
        pipe: pipe(smb, cancel).map_err(|error| Failed("open the pipe", error.into()))?,
    })
}

fn pipe(smb: &Smb, cancel: Option<BorrowedFd<'_>>) -> Result<Pipe> {
    let settings = Settings { compat: Compat::Thither, ..smb.settings.clone() };
    let pipe = Smb { settings, through: smb.through.clone() };
    match pipe.open(&smb.address(), cancel) {
        Ok(_) => Ok(Pipe::Answers),
        Err(Error::Enter { source, .. }) => Ok(match source.downcast_ref() {
            Some(Fault::NoPipe { .. }) => Pipe::Absent,
            _ => Pipe::Refuses(super::told(source.as_ref())),
        }),
        Err(error) => Err(error),
    }
}

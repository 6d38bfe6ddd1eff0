//! What can go wrong with a service and its program over there, and what may cure it.

use std::fmt;
use std::time::Duration;

use thither_place::Error;
use thither_place::error::quoted;

use super::super::failure::Fault;
use super::svcctl::Malformed;

/// What most refusals come from.
const ADMINISTRATOR: &str = "log on as an administrator: an account of the domain, or the built-in Administrator; UAC filters other local accounts";

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("interrupted")]
    Cancelled,
    /// The host, or one of its pipes, keeps us out.
    #[error(transparent)]
    Outside(Error),
    /// Something about a file.
    #[error(transparent)]
    File(#[from] Fault),
    /// The service manager said no.
    #[error("{}", windows(*.0))]
    Windows(u32),
    #[error("the service manager answers {}", fault(*.0))]
    Fault(u32),
    #[error("the service manager does not let us call it (reason {0})")]
    Unbound(u16),
    #[error("the service manager's answers make no sense")]
    Malformed(#[from] Malformed),
    #[error("the service manager ended the connection")]
    Lost,
    #[error("the service manager did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it did not within {} s", .0.as_secs())]
    Late(Duration),
    #[error("it stopped again")]
    Stopped,
    #[error("there is another file of that name, of {0} bytes")]
    OtherFile(u64),
    #[error("there is a service of that name that runs {}", quoted(.0))]
    OtherService(String),
    #[error("what is there now is not what was sent")]
    Changed,
    #[error("it cannot be done from here")]
    Here(#[from] std::io::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        match error {
            Error::Cancelled { .. } => Trouble::Cancelled,
            other => Trouble::Outside(other),
        }
    }
}

impl Trouble {
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Trouble::Windows(5) | Trouble::Fault(5) => ADMINISTRATOR,
            Trouble::Windows(1053) | Trouble::Stopped | Trouble::Late(_) => {
                "look at the event log over there"
            }
            Trouble::Windows(1058) => "enable the service over there, or remove it",
            Trouble::Windows(1072) => "close what shows services over there, or restart the host",
            Trouble::OtherFile(_) | Trouble::OtherService(_) | Trouble::Windows(1073) => {
                "look at it by `thither smb status`, and remove what is ours by `thither smb uninstall`"
            }
            Trouble::Changed => "see whether an antivirus over there has taken it",
            Trouble::Outside(Error::Enter { source, .. }) => hint(source.downcast_ref()?)?,
            Trouble::File(fault) => hint(fault)?,
            _ => return None,
        })
    }

    /// The error of a step, to complete "cannot ...", with what of the steps before could not be undone.
    pub(super) fn at(self, action: &str, place: &str, left: Vec<String>) -> Error {
        let better = self.hint().map(str::to_owned);
        match self {
            Trouble::Cancelled if left.is_empty() => Error::Cancelled { place: place.into() },
            Trouble::Outside(Error::Enter { place, source, hint }) if left.is_empty() => {
                Error::Enter { place, source, hint: better.or(hint) }
            }
            Trouble::Outside(error) if left.is_empty() => error,
            trouble => {
                let source: Box<dyn std::error::Error + Send + Sync> = match left.is_empty() {
                    true => Box::new(trouble),
                    false => Box::new(Left { why: told(&trouble), left }),
                };
                Error::Place { action: action.into(), place: place.into(), source, hint: better }
            }
        }
    }
}

/// A better hint than a place has.
fn hint(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Denied { .. } => Some(ADMINISTRATOR),
        Fault::NoPipe { .. } => {
            Some("only Windows has a service manager: on Linux, `thither serve --samba-pipe` is it")
        }
        Fault::NoShare { .. } => {
            Some("only Windows has the share, where administrators' shares are not switched off")
        }
        _ => None,
    }
}

/// An error, and what it has left behind.
#[derive(Debug)]
struct Left {
    why: String,
    left: Vec<String>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; left over there: {}", self.why, self.left.join(", "))
    }
}

impl std::error::Error for Left {}

/// An error with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A refusal as MS-ERREF 2.2 numbers it.
fn windows(code: u32) -> String {
    let (what, name) = match code {
        2 => ("a file is not there", "ERROR_FILE_NOT_FOUND"),
        3 => ("a folder is not there", "ERROR_PATH_NOT_FOUND"),
        5 => ("access is denied", "ERROR_ACCESS_DENIED"),
        87 => ("something about it is wrong", "ERROR_INVALID_PARAMETER"),
        123 => ("its name is wrong", "ERROR_INVALID_NAME"),
        1051 => ("other services that run need it", "ERROR_DEPENDENT_SERVICES_RUNNING"),
        1053 => ("it did not respond", "ERROR_SERVICE_REQUEST_TIMEOUT"),
        1055 => ("the database is locked", "ERROR_SERVICE_DATABASE_LOCKED"),
        1056 => ("it runs already", "ERROR_SERVICE_ALREADY_RUNNING"),
        1058 => ("it is disabled", "ERROR_SERVICE_DISABLED"),
        1060 => ("there is none", "ERROR_SERVICE_DOES_NOT_EXIST"),
        1061 => ("it takes no orders now", "ERROR_SERVICE_CANNOT_ACCEPT_CTRL"),
        1062 => ("it does not run", "ERROR_SERVICE_NOT_ACTIVE"),
        1069 => ("its account cannot log on", "ERROR_SERVICE_LOGON_FAILED"),
        1072 => ("it is marked for deletion", "ERROR_SERVICE_MARKED_FOR_DELETE"),
        1073 => ("there is one", "ERROR_SERVICE_EXISTS"),
        1078 => ("another one is shown by its name", "ERROR_DUPLICATE_SERVICE_NAME"),
        1115 => ("the host shuts down", "ERROR_SHUTDOWN_IN_PROGRESS"),
        code => return format!("error {code} of Windows"),
    };
    format!("{what} ({name})")
}

/// The status of a call that was not made: C706, appendix E, and MS-RPCE 3.
fn fault(status: u32) -> String {
    let name = match status {
        5 => "access denied",
        0x6f7 => "RPC_X_BAD_STUB_DATA",
        0x1c01_0002 => "nca_op_rng_error",
        0x1c01_0003 => "nca_unk_if",
        0x1c01_000b => "nca_proto_error",
        0x1c00_0012 => "nca_s_fault_remote_no_memory",
        0x1c00_001a => "nca_s_fault_context_mismatch",
        _ => return format!("a fault {status:#010x}"),
    };
    format!("a fault, {name} ({status:#010x})")
}

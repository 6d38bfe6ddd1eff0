//! Why a pipe could not be opened, in words of our own, and what may cure it.

use std::io;
use std::time::Duration;

use smb2::types::Command;
use smb2::types::status::NtStatus;
use thither_place::Error;
use thither_place::error::quoted;

/// STATUS_PIPE_NOT_AVAILABLE, STATUS_INSTANCE_NOT_AVAILABLE and STATUS_PIPE_BUSY of MS-ERREF: all of a pipe's instances are in use.
const BUSY: [u32; 3] = [0xc000_00ac, 0xc000_00ab, 0xc000_00ae];
/// What Samba says of a pipe that nobody serves: STATUS_CONNECTION_DISCONNECTED.
const NOBODY_THERE: u32 = 0xc000_020c;
/// What Samba says when who serves the pipe ends the connection at once: STATUS_CONNECTION_RESET and STATUS_CONNECTION_REFUSED.
const TURNED_AWAY: [u32; 2] = [0xc000_020d, 0xc000_0236];
/// STATUS_NO_SUCH_USER, which some servers tell from a wrong password.
const NO_SUCH_USER: u32 = 0xc000_0064;
/// STATUS_WRONG_PASSWORD.
const WRONG_PASSWORD: u32 = 0xc000_006a;
/// STATUS_NO_LOGON_SERVERS, STATUS_TRUSTED_DOMAIN_FAILURE, STATUS_TRUSTED_RELATIONSHIP_FAILURE.
const NO_DOMAIN: [u32; 3] = [0xc000_005e, 0xc000_018c, 0xc000_018d];
/// STATUS_LOGON_TYPE_NOT_GRANTED.
const NOT_GRANTED: u32 = 0xc000_015b;

/// See the [module](self). What comes from over there is escaped in the texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("there is no host {}", quoted(.host))]
    NoHost { host: String, source: io::Error },
    #[error("nothing listens on port {port}")]
    PortClosed { port: u16 },
    #[error("cannot connect to port {port}")]
    Unreachable { port: u16, source: io::Error },
    #[error("no answer within {}", seconds(*.limit))]
    Silent { limit: Duration },
    #[error("what listens on the port does not speak SMB")]
    NotSmb,
    #[error("it does not speak SMB 3.1.1")]
    NotSmb3,
    #[error("it announces {0} bytes at once")]
    TooLong(usize),
    #[error("it cannot encrypt")]
    NoEncryption,
    #[error("it sends what is not encrypted")]
    Plain,
    #[error("no password is given, and Kerberos is not supported")]
    NoPassword,
    #[error("the name of a user is missing")]
    NoUser,
    #[error("the user {} is a guest's", quoted(.user))]
    GuestName { user: String },
    #[error("the password is not UTF-8")]
    NotText,
    #[error("it lets {} in as a guest only", quoted(.user))]
    Guest { user: String },
    #[error("{} cannot log on: {why}", quoted(.user))]
    NoLogon { user: String, why: &'static str },
    #[error("there is no pipe {}", quoted(.pipe))]
    NoPipe { pipe: String },
    #[error("who serves the pipe {} turns us away", quoted(.pipe))]
    TurnedAway { pipe: String },
    #[error("all of the pipe {} is in use", quoted(.pipe))]
    Busy { pipe: String },
    #[error("there is no share {}", quoted(.share))]
    NoShare { share: String },
    #[error("{} may not {what}", quoted(.user))]
    Denied { user: String, what: &'static str },
    #[error("the signature of an answer is wrong or missing")]
    Forged,
    #[error("it ended the connection")]
    Lost,
    #[error("it answers {status} to {command:?}")]
    Refused { status: NtStatus, command: Command },
    #[error("its answers make no sense")]
    Malformed(#[source] smb2::Error),
    #[error("it cannot be used from here")]
    Here(#[from] io::Error),
}

fn seconds(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("{} ms", limit.as_millis()),
        n => format!("{n} s"),
    }
}

impl From<smb2::Error> for Fault {
    fn from(error: smb2::Error) -> Fault {
        use smb2::Error as Smb;
        match error {
            Smb::Protocol { status, command } => Fault::Refused { status, command },
            Smb::SignatureInvalid { .. } => Fault::Forged,
            Smb::GuestSessionRefused { username, .. } => Fault::Guest { user: username },
            Smb::Disconnected
            | Smb::Io(_)
            | Smb::SendFailed { .. }
            | Smb::SendTimeout { .. }
            | Smb::ServerUnresponsive { .. }
            | Smb::CreditStarvation { .. } => Fault::Lost,
            other => Fault::Malformed(other),
        }
    }
}

impl Fault {
    /// What a refusal of the first message means.
    pub(super) fn of_negotiation(self) -> Fault {
        match self {
            Fault::Refused { .. } => Fault::NotSmb3,
            other => other,
        }
    }

    /// What a refusal means while this user logs on.
    pub(super) fn of_logon(self, user: &str) -> Fault {
        let Fault::Refused { status, command } = self else { return self };
        let why = match status {
            NtStatus::LOGON_FAILURE => "the user or the password is wrong",
            NtStatus::ACCOUNT_RESTRICTION => "the account is restricted",
            NtStatus::INVALID_LOGON_HOURS => "not at this time",
            NtStatus::INVALID_WORKSTATION => "not from this machine",
            NtStatus::PASSWORD_EXPIRED => "the password has expired",
            NtStatus::PASSWORD_MUST_CHANGE => "the password has to be changed first",
            NtStatus::ACCOUNT_DISABLED => "the account is disabled",
            NtStatus::ACCOUNT_EXPIRED => "the account has expired",
            NtStatus::ACCOUNT_LOCKED_OUT => "the account is locked after too many tries",
            NtStatus(NO_SUCH_USER) => "there is no such user",
            NtStatus(WRONG_PASSWORD) => "the password is wrong",
            NtStatus(NOT_GRANTED) => "the account may not be used over the network",
            NtStatus(code) if NO_DOMAIN.contains(&code) => "nobody there knows the domain",
            NtStatus::ACCESS_DENIED => {
                return Fault::Denied { user: user.into(), what: "log on" };
            }
            _ => return Fault::Refused { status, command },
        };
        Fault::NoLogon { user: user.into(), why }
    }

    /// What a refusal means while this pipe is opened by that user.
    pub(super) fn of_opening(self, pipe: &str, user: &str) -> Fault {
        match self {
            Fault::Refused { status: NtStatus::ACCESS_DENIED, .. } => {
                Fault::Denied { user: user.into(), what: "open the pipe" }
            }
            Fault::Refused {
                status:
                    NtStatus::OBJECT_NAME_NOT_FOUND
                    | NtStatus::OBJECT_NAME_INVALID
                    | NtStatus::OBJECT_PATH_NOT_FOUND
                    | NtStatus(NOBODY_THERE),
                ..
            } => Fault::NoPipe { pipe: pipe.into() },
            Fault::Refused { status: NtStatus(code), .. } if BUSY.contains(&code) => {
                Fault::Busy { pipe: pipe.into() }
            }
            Fault::Refused { status: NtStatus(code), .. } if TURNED_AWAY.contains(&code) => {
                Fault::TurnedAway { pipe: pipe.into() }
            }
            other => other,
        }
    }

    /// What a refusal means while that user connects to this share, or to a file in it.
    pub(super) fn of_share(self, share: &str, user: &str) -> Fault {
        match self {
            Fault::Refused {
                status: NtStatus::ACCESS_DENIED,
                command: Command::TreeConnect,
                ..
            } => Fault::Denied { user: user.into(), what: "use the share" },
            Fault::Refused { status: NtStatus::ACCESS_DENIED, .. } => {
                Fault::Denied { user: user.into(), what: "do that" }
            }
            Fault::Refused { status: NtStatus::BAD_NETWORK_NAME, .. } => {
                Fault::NoShare { share: share.into() }
            }
            other => other,
        }
    }

    /// Whether the server has answered that it will not.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Fault::Refused { .. } | Fault::Denied { .. } | Fault::NoShare { .. })
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Fault::NoHost { .. } => "check the name",
            Fault::PortClosed { .. } => "check the port, and that an SMB server listens there",
            Fault::Unreachable { .. } | Fault::Silent { .. } => {
                "check that the host is up and reachable"
            }
            Fault::NotSmb => "check the port",
            Fault::NotSmb3 => "enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3",
            Fault::NoEncryption => {
                "enable encryption there, or do without by the option encrypt=prefer"
            }
            Fault::NoPassword => "give one by the option ask-password or password-file=FILE",
            Fault::NoUser => "name one by the option username=USER",
            Fault::GuestName { .. } | Fault::Guest { .. } => {
                "name a user of its own with the right password"
            }
            Fault::NoLogon { .. } => {
                "check the user, the password and the domain, as in username=DOMAIN\\USER"
            }
            Fault::NoPipe { .. } => {
                "start the service there, or name its pipe by the option pipe=NAME"
            }
            Fault::NoShare { .. } => "let the host share it",
            Fault::TurnedAway { .. } => "look at the log of the service there",
            Fault::Busy { .. } => "try again when another client has gone",
            Fault::Denied { .. } => "ask who runs the service to admit the user",
            Fault::Forged => "somebody may be listening in: check the way to the host",
            _ => return None,
        })
    }

    /// The error of a place that could not be entered.
    pub(super) fn at(self, place: &str) -> Error {
        let hint = self.hint().map(str::to_owned);
        Error::Enter { place: place.into(), hint, source: Box::new(self) }
    }
}

//! The arguments of daemons.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use thither::remote::daemon::samba::FOLDER;

/// `thither serve`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Serve {
    #[command(subcommand)]
    pub(crate) what: Option<Keys>,
    #[command(flatten)]
    pub(crate) daemon: Daemon,
}

/// What is done about keys.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Print a token by which one client may become known, within ten minutes
    ///
    /// Give it to `thither pair HOST` over there, by a way that others cannot read. It says which daemon is the right one, too.
    Pair,
    /// Show whose keys are authorised
    List {
        /// As JSON, for programs: a list of objects with the texts fingerprint, added and name
        #[arg(long)]
        json: bool,
    },
    /// Take the authorisation of a key back; what it runs is ended
    Revoke {
        /// Its fingerprint, the beginning of it, or its name
        #[arg(allow_hyphen_values = true)]
        who: String,
    },
}

/// The daemon itself.
#[derive(Args)]
pub(crate) struct Daemon {
    /// Listen on a Unix socket of this path [default: one of your own, which `daemon:` means]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) socket: Vec<PathBuf>,
    /// Listen on TCP, with TLS, for paired clients: an address of this machine, with port 10101 if none is named
    ///
    /// Then there is no Unix socket unless `--socket` names one.
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(crate) listen: Vec<String>,
    /// Be the pipe of this name for clients of this host's Samba, as `smb:` is: run what they ask for as the users that they are here
    ///
    /// Only root can. Then there is no Unix socket unless `--socket` names one.
    #[arg(long, value_name = "NAME", requires = "samba_user")]
    pub(crate) samba_pipe: Option<String>,
    /// Let this user in by the pipe, and nobody who is not named; guests never
    #[arg(long, value_name = "USER", requires = "samba_pipe", value_hint = ValueHint::Username)]
    pub(crate) samba_user: Vec<String>,
    /// The folder of the sockets of Samba's pipes: `np` in what `testparm -sv` calls `ncalrpc dir`
    #[arg(long, value_name = "DIR", requires = "samba_pipe", default_value = FOLDER, value_hint = ValueHint::DirPath)]
    pub(crate) samba_folder: PathBuf,
    /// Keep one interpreter of Python that all clients share, with its state
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    pub(crate) python: Option<Option<PathBuf>>,
    /// How the log is written, on standard error
    #[arg(long, value_enum, default_value_t = Log::Text)]
    pub(crate) log: Log,
    /// The most connections of known clients at a time
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// The most connections of clients that are not known yet; one more cuts the oldest off
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) strangers: u32,
    /// How long a client may take to say who it is and what it wants
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) greeting: u32,
    /// How long what runs may go on after a TERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) grace: u32,
    /// Serve as root, and so make root of whoever gets in, but for clients of Samba
    #[arg(long)]
    pub(crate) allow_root: bool,
}

/// See [`Daemon::log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Lines for people
    Text,
    /// An object of JSON in each line
    Json,
}

/// `thither pair`.
#[derive(Args)]
pub(crate) struct Pair {
    /// How its owner shall know this machine [default: USER@HOST]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The daemon: `HOST`, `HOST:PORT` or `daemon:HOST:PORT`
    pub(crate) host: OsString,
}

//! The arguments of services on hosts over SMB.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `thither smb`.
#[derive(Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Smb {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is done about the service.
#[derive(Subcommand)]
pub(crate) enum What {
    /// Copy the program of the service to a host, and have it run from now on
    ///
    /// The program becomes ADMIN$\thither-pushyd.exe and the service `thither`, of the account LocalSystem, which starts with the
    /// host. Only an administrator can. All of it is undone when a step fails, or at ^C.
    Install {
        /// The program, a file of this machine [default: `pushyd.exe` beside thither or in ../lib/thither]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        program: Option<PathBuf>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        host: Host,
    },
    /// Show what of the service is there
    Status {
        /// The program to compare the one over there with [default: as `install` has it, if it is there]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        program: Option<PathBuf>,
        /// As JSON, for programs: an object with program, service and pipe
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: Host,
    },
    /// Stop the service, delete it and remove its program
    Uninstall {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        host: Host,
    },
}

/// A host, and who logs on.
#[derive(Args)]
pub(crate) struct Host {
    /// Log on as this user, an administrator [default: your name here]
    #[arg(long, value_name = "[DOMAIN\\]USER")]
    username: Option<OsString>,
    /// The domain of the user [default: the host itself]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<OsString>,
    /// The port of its SMB server [default: 445]
    #[arg(long, value_name = "PORT")]
    port: Option<OsString>,
    /// The password is the first line of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<OsString>,
    /// The password is the first line that this descriptor gives
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<OsString>,
    /// Ask for the password at the terminal
    #[arg(long)]
    ask_password: bool,
    /// Whether all is encrypted; it is signed in any case [default: require]
    #[arg(long, value_name = "HOW", value_parser = ["require", "prefer", "off"])]
    encrypt: Option<String>,
    /// How long connecting may take
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<OsString>,
    /// The pipe that the service listens on [default: thither]
    #[arg(long, value_name = "NAME")]
    pipe: Option<OsString>,
    // Read by ourselves: clap would repeat a bad value, and a password in it.
    /// The host: a name, `\\HOST`, or an address as in `smb:HOST` or `ssh:bastion|smb:HOST`
    pub(crate) host: OsString,
}

impl Host {
    /// The flags as options of its address.
    pub(crate) fn options(&self) -> Vec<(&'static str, Option<OsString>)> {
        let encrypt = self.encrypt.as_ref().map(OsString::from);
        let given = [
            ("username", &self.username),
            ("domain", &self.domain),
            ("port", &self.port),
            ("password-file", &self.password_file),
            ("password-fd", &self.password_fd),
            ("encrypt", &encrypt),
            ("timeout", &self.timeout),
            ("pipe", &self.pipe),
        ];
        let given = given.into_iter().filter(|(_, value)| value.is_some());
        let asks = self.ask_password.then_some(("ask-password", None));
        given.map(|(key, value)| (key, value.clone())).chain(asks).collect()
    }
}

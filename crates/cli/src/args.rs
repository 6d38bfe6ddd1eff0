//! The command line: help, man page and completions all come from here.

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::report::Failure;

/// Be in another place: a terminal or a command there, nothing to install there
///
/// A PLACE is an address. `local:` is this machine, `chroot:/srv/root` is another root, with namespaces and mounts of
/// its own; root rights are not needed.
#[derive(Parser)]
#[command(
    name = "thither",
    version,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    arg_required_else_help = false,
    after_long_help = EXIT_STATUS,
    after_help = "`thither VERB --help` has examples."
)]
pub(crate) struct Cli {
    /// Show the steps taken, on standard error
    #[arg(short, long, global = true, display_order = 100)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  The command's own; 128+N if signal N killed it; 125 if thither failed,
  126 if the command cannot be executed, 127 if it is not found.";

#[derive(Subcommand)]
pub(crate) enum Verb {
    Shell(Shell),
    Run(Run),
    /// Print the man page or the completions of a shell
    #[command(after_help = "\
Examples:
  thither generate bash > ~/.local/share/bash-completion/completions/thither
  thither generate man | man -l -")]
    Generate {
        /// What to print
        what: What,
    },
}

/// Be there in a terminal: your login shell over there, or a command
///
/// Without a command, the login shell of the user over there is started, else bash, else sh. There is a terminal
/// over there if standard input is one here.
#[derive(Args)]
#[command(after_help = "\
Examples:
  thither shell chroot:/
  thither shell --dir /src chroot:/srv/debian make menuconfig
  echo 'uname -r' | thither shell local:")]
pub(crate) struct Shell {
    #[command(flatten)]
    pub(crate) there: There,
    /// The command to run instead of a shell, and its arguments
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// Run a command there and exit with its code
///
/// The command has the standard streams of thither, and no terminal unless one is asked for. Whatever stands after
/// its name goes to it untouched.
///
/// INT, TERM, HUP and QUIT sent to thither are passed on. What has not ended 5 seconds later is killed, since nothing
/// may outlive thither; with a terminal it is hung up after 1 second and killed after another. ^C typed at the
/// terminal just reaches the command.
#[derive(Args)]
#[command(after_help = "\
Examples:
  thither run chroot:/srv/debian -- apt-get -y upgrade
  thither run --env CC=clang --dir /src chroot:/srv/debian make -j4
  thither run -t chroot:/srv/debian vi /etc/fstab
  tar c . | thither run chroot:/srv/debian -- tar x -C /tmp")]
pub(crate) struct Run {
    /// Give it a terminal, as for an editor; standard input must be one
    #[arg(short, long, conflicts_with = "no_stdin")]
    pub(crate) tty: bool,
    /// Leave standard input alone: the command reads /dev/null
    #[arg(short, long)]
    pub(crate) no_stdin: bool,
    #[command(flatten)]
    pub(crate) there: There,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// Where a command runs, and as what.
#[derive(Args)]
pub(crate) struct There {
    /// Set a variable over there; without a value it is taken from here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// Start in this directory over there
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<OsString>,
    /// Be this user over there: a name or an id, or user:group
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<OsString>,
    // Read by ourselves: clap would repeat a bad value, and a password in it.
    /// The address of the place, such as `local:` or `chroot:/srv/root`
    ///
    /// White space and any of `| , ? # %` in a name are percent-encoded: `chroot:/srv/my%20root`. A script that puts
    /// "$DIR" into an address has to encode it.
    pub(crate) place: OsString,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
    /// The man page, in troff
    Man,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
}

pub(crate) fn command() -> clap::Command {
    Cli::command()
}

pub(crate) fn parse() -> Result<Cli, Failure> {
    Cli::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(Failure::Usage)
}

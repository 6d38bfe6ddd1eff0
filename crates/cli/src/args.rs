//! The command line: help, man page and completions all come from here.

mod options;
pub(crate) mod serve;
pub(crate) mod smb;

use std::ffi::OsString;

use clap::{
    ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    ValueHint,
};

pub(crate) use self::options::{GivenOption, Options};
use crate::report::Failure;

/// Be in another place: a terminal or a command there, nothing to install there
///
/// A PLACE is an address. `local:` is this machine; `chroot:/srv/root` is another root, with namespaces and mounts of
/// its own, and root rights are not needed; `docker:web` is a container that runs, `image:debian:12` a fresh one of an image,
/// gone afterwards.
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
    /// Be there in a terminal: your login shell over there, or a command
    ///
    /// Without a command, the login shell of the user over there is started, else bash, else sh. There is a terminal
    /// over there if standard input is one here.
    ///
    /// A container's command can be left running by ctrl-p ctrl-q. Whatever is dead over there is left by `~.` at the start of
    /// a line.
    #[command(after_help = "\
Examples:
  thither shell docker:web
  thither shell image:debian:12
  thither shell chroot:/
  thither shell --dir /src chroot:/srv/debian make menuconfig
  thither shell --overlay=changes --hostname test.example.org chroot:/srv/debian
  echo 'uname -r' | thither shell local:")]
    Shell(Deferred<Shell>),
    /// Run a command there and exit with its code
    ///
    /// The command has the standard streams of thither, and no terminal unless one is asked for. Whatever stands after
    /// its name goes to it untouched.
    ///
    /// INT, TERM, HUP and QUIT sent to thither are passed on. What has not ended 5 seconds later is killed, since nothing
    /// may outlive thither; with a terminal it is hung up after 1 second and killed after another. ^C typed at the
    /// terminal just reaches the command.
    ///
    /// An image runs its own command if none is given.
    #[command(after_help = "\
Examples:
  thither run docker:web nginx -t
  thither run --publish 8080:80 --volume ./site:/srv image:caddy
  thither run chroot:/srv/debian -- apt-get -y upgrade
  thither run --env CC=clang --dir /src chroot:/srv/debian make -j4
  thither run -t chroot:/srv/debian vi /etc/fstab
  thither run --overlay --net none chroot:/srv/debian make check
  thither run --ro-bind .:/src --tmpfs /tmp chroot:/srv/debian make -C /src O=/tmp/out
  tar c . | thither run chroot:/srv/debian -- tar x -C /tmp")]
    Run(Deferred<Run>),
    /// Run Python there: its prompt, code, a module, or a script of this machine
    ///
    /// With nothing to run it is Python's prompt, or what standard input says if that is no terminal. Traceback, exit code,
    /// standard input and ^C are Python's own; there is a terminal over there if standard input, output and error are one here.
    ///
    /// A script is sent along in the arguments of the interpreter, and nothing is written over there. So others over there can
    /// see it in the list of processes, modules beside it are not found, and it is 768 KiB long at most.
    #[command(
        override_usage = "thither python [OPTIONS] <PLACE> [-c <CODE> | -m <MODULE> | <SCRIPT> | -] [ARG]...",
        after_help = "\
Examples:
  thither python docker:web
  thither python docker:web -c 'import os; print(os.uname())'
  thither python chroot:/srv/debian -m venv /srv/app
  thither python --python /opt/python/bin/python3.13 docker:web check.py --all
  echo 'print(1 + 1)' | thither python image:python"
    )]
    Python(Deferred<Python>),
    /// Have the terminal of a container's main process, which is started if it does not run
    ///
    /// Without a terminal on either side, its input and output are joined to ours. Its exit code is ours.
    ///
    /// Ctrl-p ctrl-q lets go of it, and so does the end of this terminal. INT, TERM and QUIT sent to thither are passed on,
    /// and thither ends 5 seconds later even if the container does not.
    #[command(after_help = "\
Examples:
  thither attach docker:web
  thither attach --logs -n docker:web | grep error")]
    Attach(Deferred<Attach>),
    /// Show what there is: named places and hosts, or `docker:`, the containers of an engine
    ///
    /// Places get names in thither/thither.toml of $XDG_CONFIG_HOME or ~/.config; hosts are those
    /// that ~/.ssh/config knows.
    #[command(after_help = "\
Examples:
  thither list
  thither list docker:
  thither list --json docker: | jq -r '.[].name'")]
    List(Deferred<List>),
    /// Copy files from place to place
    ///
    /// As cp(1) does: into DST if that is a folder, else to that name. What is there under the name is replaced, and a
    /// folder is merged into one of its name. Mode and time of change are kept, set-id bits are not; with `-r` links are
    /// copied as links, and fifos, sockets and devices are left out.
    ///
    /// All of it arrives under a temporary name, `.NAME.thither-XXXXXXXX`, before anything is replaced: a copy that fails
    /// or is interrupted leaves DST as it was.
    #[command(after_help = "\
Examples:
  thither cp chroot:/srv/debian::/etc/fstab .
  thither cp -r src chroot:/srv/debian::/usr/src/
  thither cp -r --exclude '*.o' --exclude /target --dry-run . docker:web::/src
  thither cp -r --preserve=owner,xattr,sparse --verify /srv/data ssh:backup::/srv/
  thither cp -r chroot:/srv/debian::/etc chroot:/srv/fedora::/root
  thither cp chroot:/srv/debian::/etc/os-release - | grep VERSION
  date | thither cp - chroot:/srv/debian::/etc/stamp")]
    Cp(Deferred<Cp>),
    /// Let others be here: run what `daemon:` asks for, until a TERM
    ///
    /// Without options it listens on a Unix socket that only you and root can use, which `daemon:` means. With `--listen` it is
    /// reached over TCP, by clients that were paired with it and by nobody else. What they run is run as you.
    #[command(after_help = "\
Examples:
  thither serve
  thither serve pair
  thither serve --listen 192.0.2.1
  thither serve --python --socket /tmp/me.sock
  thither serve --samba-pipe thither --samba-user alice
  thither serve list
  thither serve revoke laptop")]
    Serve(Deferred<serve::Serve>),
    /// Become known to a daemon on another host, and know it
    ///
    /// The token that `thither serve pair` has printed there is asked for, or read from standard input.
    #[command(after_help = "\
Examples:
  thither pair build.example.org
  ssh build.example.org thither serve pair | thither pair build.example.org")]
    Pair(Deferred<serve::Pair>),
    /// Set up the service of a Windows host from here, which `smb:` is about
    #[command(after_help = "\
Examples:
  thither smb install --username 'OFFICE\\ann' --ask-password files
  thither smb status --json files
  thither smb uninstall files")]
    Smb(Deferred<smb::Smb>),
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

/// The arguments of a verb, which are described to clap only if it is that verb: that takes longer than to read them.
pub(crate) struct Deferred<T>(pub(crate) T);

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        // The description is the verb's, and not that of a type.
        command.defer(|command| {
            let (short, long) = (command.get_about().cloned(), command.get_long_about().cloned());
            let command = T::augment_args(command).about(short.unwrap_or_default());
            match long {
                Some(long) => command.long_about(long),
                None => command.long_about(None::<&str>),
            }
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args_for_update)
    }
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Deferred)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// `thither shell`.
#[derive(Args)]
pub(crate) struct Shell {
    #[command(flatten)]
    pub(crate) there: There,
    /// The command to run instead of a shell, and its arguments
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// `thither run`.
#[derive(Args)]
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
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// `thither python`.
#[derive(Args)]
pub(crate) struct Python {
    /// The interpreter over there, a path or a name [default: python3, else python]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<OsString>,
    /// Leave standard input alone: it reads /dev/null
    #[arg(short, long)]
    pub(crate) no_stdin: bool,
    /// Run this code; whatever stands after it goes to it untouched
    #[arg(short, value_names = ["CODE", "ARG"], num_args = 1.., allow_hyphen_values = true)]
    pub(crate) code: Vec<OsString>,
    /// Run this module of the interpreter over there; whatever stands after it goes to it untouched
    #[arg(short, value_names = ["MODULE", "ARG"], num_args = 1.., allow_hyphen_values = true)]
    pub(crate) module: Vec<OsString>,
    #[command(flatten)]
    pub(crate) there: There,
    /// The script, a file of this machine, or `-` for standard input; and its arguments
    #[arg(trailing_var_arg = true, value_hint = ValueHint::FilePath)]
    pub(crate) script: Vec<OsString>,
}

/// `thither attach`.
#[derive(Args)]
pub(crate) struct Attach {
    /// Show what it has printed before, too
    #[arg(long)]
    pub(crate) logs: bool,
    /// Leave standard input alone
    #[arg(short, long)]
    pub(crate) no_stdin: bool,
    /// The keys that let go of it, as in `ctrl-p,ctrl-q`
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<OsString>,
    /// Pass signals on to it
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    pub(crate) sig_proxy: bool,
    /// The address of the container, as in `docker:web`
    pub(crate) place: OsString,
}

/// `thither list`.
#[derive(Args)]
pub(crate) struct List {
    /// As JSON, for programs: a list of objects with the texts place, address and file, or for containers with id, name, image,
    /// state and status
    #[arg(long)]
    pub(crate) json: bool,
    /// The names alone, a line each, for the completions of shells
    #[arg(long, hide = true, conflicts_with = "json")]
    pub(crate) names: bool,
    /// What to list instead: `ssh:`, the hosts alone, or `docker:`, with options of the engine as in `docker:?context=test`
    pub(crate) place: Option<OsString>,
}

/// `thither cp`.
#[derive(Args)]
pub(crate) struct Cp {
    /// Copy folders, with all that is below them
    #[arg(short, long, short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Leave out what a pattern matches, and all that is below it
    ///
    /// As in a .gitignore file: `*.o` is a name at any depth, `/doc/*.ps` or `doc/*.ps` a path below SRC, `tmp/` a folder; `*`
    /// and `?` stand for no slash, `**` between slashes for any folders, `[a-z]` for one of these bytes.
    #[arg(short = 'x', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<OsString>,
    /// Say what would be copied, with sizes in bytes, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Compare the SHA-256 sums of what was read and of what has arrived
    #[arg(long)]
    pub(crate) verify: bool,
    /// Keep more: owner (root alone may), xattr (attributes in `user.`), sparse (holes); a list with commas
    ///
    /// Attributes and holes need GNU tar at places whose file system is not at hand, such as containers and other hosts.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub(crate) preserve: Vec<Kept>,
    /// What to copy: a path here, a path at a place as in `chroot:/srv/root::/etc/hosts`, or `-` for standard input
    ///
    /// The place ends at the first `::` after its colon. A file of this machine that has one in its name is written with
    /// a slash, as in `./a::b`. A path without a slash at its front is relative to where commands start over there.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) src: Vec<OsString>,
    /// Where to: the same, or `-` for standard output
    ///
    /// With a slash at its end, or with more than one SRC, it has to be a folder that is there.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) dst: OsString,
}

/// Where a command runs, and as what.
#[derive(Args)]
pub(crate) struct There {
    /// Set a variable over there; without a value it is taken from here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// Start without the variables that are set here
    #[arg(long)]
    pub(crate) clear_env: bool,
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
    ///
    /// Options follow a `?`: `chroot:/srv/root?net=none&read-only`. They have the names of the flags below; a flag
    /// counts more than an option, and one that can be repeated adds to it.
    pub(crate) place: OsString,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What `cp --preserve` keeps.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kept {
    /// The numbers of user and group
    Owner,
    /// Extended attributes in `user.`
    Xattr,
    /// Holes in files
    Sparse,
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
    /// The man page of pychroot, which this program is when called so
    PychrootMan,
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

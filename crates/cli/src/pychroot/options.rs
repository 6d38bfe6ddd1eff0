//! pychroot's command line. Python's argparse read it, so its ways are kept: whatever stands after PATH belongs to the
//! command, a long option may be abbreviated, and what is wrong is said in argparse's words.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, ValueHint};
use thither::chroot::Mount;

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) path: OsString,
    pub(super) command: Vec<OsString>,
    pub(super) no_mounts: bool,
    pub(super) hostname: Option<OsString>,
    pub(super) skip_chdir: bool,
    /// In the order of the command line.
    pub(super) mounts: Vec<Mount>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Help or the version was asked for; this is it.
    Answered(String),
    /// It is wrong, and why.
    Wrong(String),
}

/// An extended chroot(1): another root with the mounts that programs expect
///
/// The command runs with PATH as its root directory, in mount, UTS, IPC and pid namespaces of its own; for an ordinary
/// user, who is root inside, also in a user and a network namespace. These are mounted, in this order: `/dev` with what
/// is mounted below it, `proc` on /proc, `sysfs` on /sys, an empty `tmpfs` on /dev/shm, and `/etc/resolv.conf`, if there
/// is one; then what the options ask for. Mount points that are missing are made, and removed afterwards.
///
/// When the command ends, everything inside ends. This is thither under another name, with the options, the messages and
/// the exit codes of the Python program.
#[derive(Parser)]
#[command(
    name = "pychroot",
    version = concat!(env!("CARGO_PKG_VERSION"), " (thither)"),
    override_usage = "pychroot [OPTIONS] PATH [COMMAND ...]",
    disable_version_flag = true,
    disable_help_flag = true,
    infer_long_args = true,
    args_override_self = true,
    after_help = EXAMPLES,
    after_long_help = longer_text(),
)]
struct Cli {
    /// Path to the new root
    #[arg(value_hint = ValueHint::DirPath)]
    path: OsString,
    /// Command to run, with its arguments; by default `$SHELL -i`, else `/bin/sh -i`
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    /// Print help; with `--help` all of it
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Leave out the default mounts
    ///
    /// What -B, -R and --ro ask for is mounted all the same.
    #[arg(long)]
    no_mounts: bool,
    /// Host name inside
    ///
    /// Of a fully qualified name, the part after the first dot is the domain.
    #[arg(long, value_name = "HOSTNAME")]
    hostname: Option<OsString>,
    /// Do not change the working directory to `/`
    ///
    /// WARNING: if PATH is not `/`, this is a hole by definition: the command starts in a directory of this machine, and
    /// reaches all that its user can reach from there. Relative paths are then of this machine, absolute ones of the new
    /// root.
    #[arg(long)]
    skip_chdir: bool,
    /// Mount SRC of this machine inside, at DEST or at the same path
    ///
    /// SRC is a path, `$VARIABLE` of the environment, `proc`, `sysfs` or `tmpfs`. The options -B, -R and --ro can be
    /// repeated, and the same SRC mounted at several destinations. A later one with the same destination replaces an
    /// earlier one, also of the default mounts.
    #[arg(short = 'B', long, value_name = "SRC[:DEST]")]
    bind: Vec<OsString>,
    /// The same, with what is mounted below it
    #[arg(short = 'R', long, value_name = "SRC[:DEST]")]
    rbind: Vec<OsString>,
    /// The same as --bind, but read-only
    ///
    /// `--readonly` is another name of it.
    #[arg(long, alias = "readonly", value_name = "SRC[:DEST]")]
    ro: Vec<OsString>,
}

pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  The command's own; 128+N if signal N killed it; 1 if the root cannot be
  entered or the command not be run; 2 if the command line is wrong.";

const EXAMPLES: &str = "\
Examples:
  pychroot /srv/debian
  pychroot -R /home/user /srv/debian make -C /home/user/src
  pychroot -B tmpfs:/tmp -B /srv/data:/mnt --hostname build.example.org /srv/debian";

fn longer_text() -> String {
    format!("{EXAMPLES}\n\n{EXIT_STATUS}")
}

/// The definition, for help and man page.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

impl Options {
    /// Reads the arguments, without the program's name.
    pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, Unusable> {
        let mut definition = command();
        definition.build();
        let args = with_path_marked(args.into_iter().collect(), &definition);
        let argv = [OsString::from("pychroot")].into_iter().chain(args);
        let read = |matches: ArgMatches| Ok((Cli::from_arg_matches(&matches)?, matches));
        let (cli, matches) =
            definition.clone().try_get_matches_from(argv).and_then(read).map_err(|error| {
                match error.use_stderr() {
                    false => Unusable::Answered(error.render().to_string()),
                    true => Unusable::Wrong(words(&error, &definition)),
                }
            })?;
        let given = |id: &str, values: Vec<OsString>, make: fn(Mount) -> Mount| -> Vec<_> {
            let indices = matches.indices_of(id).into_iter().flatten();
            indices.zip(values).map(|(index, text)| (index, make(Mount::parse(text)))).collect()
        };
        let mut mounts = given("bind", cli.bind, |mount| mount);
        mounts.extend(given("rbind", cli.rbind, Mount::recursive));
        mounts.extend(given("ro", cli.ro, Mount::read_only));
        mounts.sort_by_key(|(index, _)| *index);
        Ok(Options {
            path: cli.path,
            command: cli.command,
            no_mounts: cli.no_mounts,
            hostname: cli.hostname,
            skip_chdir: cli.skip_chdir,
            mounts: mounts.into_iter().map(|(_, mount)| mount).collect(),
        })
    }
}

/// The arguments with a `--` before PATH, so that whatever follows is the command's. One `--` may be there already,
/// before PATH or after it.
fn with_path_marked(mut args: Vec<OsString>, definition: &clap::Command) -> Vec<OsString> {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        match arg.as_bytes() {
            b"--" => return args,
            [b'-', _, ..] => at += if takes_next(arg, definition) { 2 } else { 1 },
            _ => {
                if args.get(at + 1).is_some_and(|next| next == "--") {
                    args.remove(at + 1);
                }
                args.insert(at, "--".into());
                return args;
            }
        }
    }
    args
}

/// Whether an option's value is the argument after it.
fn takes_next(arg: &OsStr, definition: &clap::Command) -> bool {
    let takes = |option: &Arg| matches!(option.get_action(), ArgAction::Set | ArgAction::Append);
    let text = arg.to_string_lossy();
    match text.strip_prefix("--") {
        Some(long) => match longs(long, definition)[..] {
            [(_, option)] => takes(option),
            _ => false,
        },
        // `-Bx` has it in itself.
        None => {
            let mut shorts = text.chars().skip(1);
            let short = shorts.next();
            let option = definition
                .get_arguments()
                .find(|option| short.is_some() && option.get_short() == short);
            option.is_some_and(takes) && shorts.next().is_none()
        }
    }
}

/// The long options that this can be an abbreviation of; the one itself, if it is whole.
fn longs<'a>(text: &str, definition: &'a clap::Command) -> Vec<(&'a str, &'a Arg)> {
    let named = |option: &'a Arg| names(option).into_iter().map(move |name| (name, option));
    let all = definition.get_arguments().flat_map(named);
    let found: Vec<_> = all.filter(|(name, _)| name.starts_with(text)).collect();
    match found.iter().find(|(name, _)| *name == text) {
        Some(whole) => vec![*whole],
        None => found,
    }
}

/// All long names of an option.
fn names(option: &Arg) -> Vec<&str> {
    option.get_long().into_iter().chain(option.get_all_aliases().unwrap_or_default()).collect()
}

/// What is wrong, as argparse says it.
fn words(error: &clap::Error, definition: &clap::Command) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let given = context(ContextKind::InvalidArg);
    // `--bind <SRC[:DEST]>`
    let long = given.split(' ').next().unwrap_or_default().trim_start_matches('-');
    let argument = || {
        let option = longs(long, definition);
        let Some((_, option)) = option.first() else { return given.to_owned() };
        let short = option.get_short().map(|short| format!("-{short}"));
        let longs = names(option).into_iter().map(|long| format!("--{long}"));
        short.into_iter().chain(longs).collect::<Vec<_>>().join("/")
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            "the following arguments are required: path, command".into()
        }
        ErrorKind::UnknownArgument => match &longs(long, definition)[..] {
            candidates @ [_, _, ..] if given.starts_with("--") => {
                let names: Vec<_> =
                    candidates.iter().map(|(name, _)| format!("--{name}")).collect();
                format!("ambiguous option: {given} could match {}", names.join(", "))
            }
            _ => format!("unrecognized arguments: {given}"),
        },
        ErrorKind::InvalidValue => format!("argument {}: expected one argument", argument()),
        ErrorKind::TooManyValues => {
            let value = super::repr(OsStr::new(context(ContextKind::InvalidValue)));
            format!("argument {}: ignored explicit argument {value}", argument())
        }
        // None of the others can come of our definitions.
        kind => kind.to_string(),
    }
}

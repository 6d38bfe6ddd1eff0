//! The flags that are options of an address.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, ValueHint};

/// The flags that are options of the address, in the order of the command line.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) given: Vec<GivenOption>,
}

/// One of them.
pub(crate) struct GivenOption {
    /// The option's key and the flag's name.
    pub(crate) key: String,
    pub(crate) value: Option<OsString>,
    /// Whether it adds to others of its key.
    pub(crate) many: bool,
}

/// What they are; see [`Options`].
#[derive(Args)]
#[command(next_help_heading = "Another root")]
struct RootFlags {
    /// Show SRC of this machine inside, at DEST or where it is here
    ///
    /// SRC is a file, a directory, $VARIABLE for what that names here, or `proc`, `sysfs` or `tmpfs` for a new one. It
    /// ends at the first colon. A missing mount point is made, and removed afterwards.
    #[arg(long, value_name = "SRC[:DEST]", value_hint = ValueHint::AnyPath)]
    bind: Vec<OsString>,
    /// The same with what is mounted below SRC
    #[arg(long, value_name = "SRC[:DEST]", value_hint = ValueHint::AnyPath)]
    rbind: Vec<OsString>,
    /// The same with what is mounted below SRC, and all of it read-only
    #[arg(long, value_name = "SRC[:DEST]", value_hint = ValueHint::AnyPath)]
    ro_bind: Vec<OsString>,
    /// An empty directory in memory, writable for all
    #[arg(long, value_name = "DEST")]
    tmpfs: Vec<OsString>,
    /// Leave out the mounts that every root gets
    ///
    /// They are /dev, with what is mounted below it, /proc, /sys, /dev/shm and /etc/resolv.conf. Mounts of your own stay.
    #[arg(long)]
    no_mounts: bool,
    /// The host name inside up to the first dot, and after it the domain
    #[arg(long, value_name = "FQDN")]
    hostname: Option<OsString>,
    /// This machine's network, or a loopback interface alone
    ///
    /// Without it, root has this machine's, and an ordinary user has none. With `host` an ordinary user sees this
    /// machine's /sys instead of a new one.
    #[arg(long, value_parser = ["host", "none"])]
    net: Option<String>,
    /// Have all ids that /etc/subuid and /etc/subgid grant, besides 0
    ///
    /// For an ordinary user; root has all ids. They are 1 and so on inside, and mapped by newuidmap(1). `--user` does it
    /// by itself where it needs to.
    #[arg(long)]
    subids: bool,
    /// Leave the root as it is: writes vanish, or go to DIR
    ///
    /// What is written is in memory and gone with the command; or in DIR/upper, to be there again the next time. What
    /// is mounted below the root is read-only then. An ordinary user can change only what is theirs.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        value_hint = ValueHint::DirPath
    )]
    overlay: Option<Option<OsString>>,
    /// Have the root read-only, with what is mounted below it
    ///
    /// Mounts of your own are as they say themselves, and /dev/shm is writable.
    #[arg(long)]
    read_only: bool,
    /// Start in the working directory, also if that is not in the root
    ///
    /// Then it is a hole: what runs inside has a directory of this machine open, and from there reaches all that its
    /// user can.
    #[arg(long)]
    skip_chdir: bool,
    /// Beyond another hop: chroot(1) alone, without namespaces and mounts
    #[arg(long)]
    plain: bool,
}

/// What a fresh container is; see [`Options`].
#[derive(Args)]
#[command(next_help_heading = "A fresh container")]
struct ImageFlags {
    /// Show SRC of the engine's machine, or the volume of that name, inside at DEST
    ///
    /// A SRC that begins with a dot is relative to the working directory. Without SRC there is a new volume.
    #[arg(long, value_name = "[SRC:]DEST[:OPTIONS]", value_hint = ValueHint::AnyPath)]
    volume: Vec<OsString>,
    /// Serve a port of it on the engine's machine
    #[arg(long, value_name = "[[ADDRESS:]PORT:]PORT[/PROTOCOL]")]
    publish: Vec<OsString>,
    /// The network that it is in, such as `none` or `host`
    #[arg(long, value_name = "NETWORK")]
    network: Option<OsString>,
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: Option<OsString>,
    /// Run this ahead of the command instead of what the image has, or nothing
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true)]
    entrypoint: Option<Option<OsString>>,
    /// Take the image for this platform, as in `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<OsString>,
    /// Set the variables in this file, a line NAME=VALUE each
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    env_file: Vec<OsString>,
    /// Leave the container when the command has ended
    #[arg(long)]
    keep: bool,
}

/// What holds of both kinds of containers; see [`Options`].
#[derive(Args)]
#[command(next_help_heading = "A container")]
struct ContainerFlags {
    /// Have all rights that the engine can give
    #[arg(long)]
    privileged: bool,
    /// The keys that let go of it [default: as Docker's settings have it, ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<OsString>,
    /// The engine, as in DOCKER_HOST
    #[arg(long, value_name = "HOST")]
    engine: Option<OsString>,
    /// The engine of this Docker context
    #[arg(long, value_name = "NAME")]
    context: Option<OsString>,
    /// Let `tcp://` without TLS leave this machine: whoever is on the way becomes root over there
    #[arg(long)]
    plain_tcp: bool,
}

/// What a host over ssh has; see [`Options`].
#[derive(Args)]
#[command(next_help_heading = "A host over ssh")]
struct SshFlags {
    /// Be this user of the host [default: as ssh has it]
    ///
    /// It is who logs in; `--user` then becomes another one there, by sudo.
    #[arg(long, value_name = "USER")]
    username: Option<OsString>,
    /// The port of its ssh server [default: as ssh has it, 22]
    #[arg(long, value_name = "PORT")]
    port: Option<OsString>,
    /// Try this private key before all others
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    identity: Option<OsString>,
    /// Use your own `ssh`, or the one that is built in [default: automatic]
    ///
    /// With `automatic` it is your own, if there is one and no password is given.
    #[arg(long, value_name = "HOW", value_parser = ["true", "false", "automatic"])]
    use_native: Option<String>,
    /// What to do about a host whose key is not known [default: as ssh has it, reject]
    ///
    /// `autoadd` takes the key and remembers it, `warning` takes any.
    #[arg(long, value_name = "POLICY", value_parser = ["reject", "autoadd", "warning"])]
    missing_host_key_policy: Option<String>,
    /// How long connecting may take
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<OsString>,
    /// Ask a silent host after so long whether it is there; it is lost when it does not answer three times [default: 15]
    #[arg(long, value_name = "SECONDS")]
    keep_alive: Option<OsString>,
    /// The password is the first line of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<OsString>,
    /// The password is the first line that this descriptor gives
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<OsString>,
    /// Ask for the password at the terminal
    #[arg(long)]
    ask_password: bool,
}

/// What only a host over SMB has; the rest is as with ssh. See [`Options`].
#[derive(Args)]
#[command(next_help_heading = "A host over SMB")]
struct SmbFlags {
    /// The domain of the user [default: the host itself]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<OsString>,
    /// The pipe that the service listens on [default: thither]
    #[arg(long, value_name = "NAME")]
    pipe: Option<OsString>,
    /// Speak to the service of another program: `pushy`, which runs Python and little else
    #[arg(long, value_name = "PROGRAM", value_parser = ["pushy"])]
    compat: Option<String>,
    /// Whether all is encrypted; it is signed in any case [default: require]
    ///
    /// With `prefer` it is if the server can, with `off` if the server demands it.
    #[arg(long, value_name = "HOW", value_parser = ["require", "prefer", "off"])]
    encrypt: Option<String>,
}

fn all_flags(command: clap::Command) -> clap::Command {
    let command = ImageFlags::augment_args(RootFlags::augment_args(command));
    SmbFlags::augment_args(SshFlags::augment_args(ContainerFlags::augment_args(command)))
}

impl Args for Options {
    fn augment_args(command: clap::Command) -> clap::Command {
        // The arguments that follow are under no such heading.
        all_flags(command).next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Options::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Options, clap::Error> {
        let mut found = Vec::new();
        let flags = all_flags(clap::Command::new(""));
        for flag in flags.get_arguments() {
            let id = flag.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let key = flag.get_long().unwrap_or(id);
            let many = matches!(flag.get_action(), ArgAction::Append);
            let given = |value| GivenOption { key: key.to_owned(), value, many };
            let values = matches.get_raw(id).filter(|_| flag.get_action().takes_values());
            let mut values: Vec<_> =
                values.into_iter().flatten().map(|value| Some(value.to_owned())).collect();
            if values.is_empty() {
                values.push(None);
            }
            // One without a value stands nowhere in particular.
            let indices = matches.indices_of(id).into_iter().flatten().chain([0]);
            found.extend(indices.zip(values).map(|(index, value)| (index, given(value))));
        }
        found.sort_by_key(|(index, _)| *index);
        Ok(Options { given: found.into_iter().map(|(_, given)| given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Options::from_arg_matches(matches)?;
        Ok(())
    }
}

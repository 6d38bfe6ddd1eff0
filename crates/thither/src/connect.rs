//! From address to place.

use std::ffi::OsStr;

use thither_place::error::quoted;
use thither_place::{Local, Place};
use thither_remote::Ssh;

use crate::address::{Address, Hop, ParseError, Target};
use crate::config::ConfigError;
#[cfg(feature = "daemon")]
use crate::daemon_options::OF_DAEMON;
use crate::docker_options::{OF_DOCKER, OF_IMAGE};
use crate::hops;
use crate::nearest::nearest;
use crate::options::{OF_CHROOT, Options};
use crate::schemes;
#[cfg(feature = "smb")]
use crate::smb_options::OF_SMB;
use crate::ssh_options::OF_SSH;

/// What is said only where daemons are built in.
#[cfg(feature = "daemon")]
macro_rules! if_daemon {
    ($text:literal) => {
        $text
    };
}
#[cfg(not(feature = "daemon"))]
macro_rules! if_daemon {
    ($text:literal) => {
        ""
    };
}
/// The same of SMB.
#[cfg(feature = "smb")]
macro_rules! if_smb {
    ($text:literal) => {
        $text
    };
}
#[cfg(not(feature = "smb"))]
macro_rules! if_smb {
    ($text:literal) => {
        ""
    };
}

/// The hint for whoever asked for a place that is none.
pub(crate) const REACHABLE: &str = concat!(
    "places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`",
    if_daemon!(", `daemon:[HOST]`"),
    if_smb!(", `smb:HOST`"),
);

/// Why an address leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no address.
    #[error(transparent)]
    Address(#[from] ParseError),
    /// Nobody knows the scheme of a hop.
    #[error("unknown scheme {}", quoted(scheme))]
    UnknownScheme {
        /// The scheme, without its colon.
        scheme: String,
    },
    /// No place of this name is configured.
    #[error("no place is named {}", quoted(name))]
    UnknownName {
        /// The name.
        name: String,
        /// The configured name that it is most like.
        near: Option<String>,
    },
    /// A name that is configured leads somewhere from here, so nothing comes before it.
    #[error("the named place {} is not the first hop", quoted(name))]
    NamedBeyond {
        /// The name.
        name: String,
    },
    /// The user's configuration is bad.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This build cannot make a hop.
    #[error("this build has no way to {} yet", quoted(hop))]
    NoWay {
        /// The hop's text.
        hop: String,
    },
    /// This build cannot make a hop from where the one before leads.
    #[error("this build has no way from {} to {} yet", quoted(from), quoted(hop))]
    NoWayFrom {
        /// The text of the hop before.
        from: String,
        /// The hop's text.
        hop: String,
    },
    /// Who registered a scheme could not make a place of this address.
    #[error("cannot make the place {}: {wrong}", quoted(place))]
    NotMade {
        /// As in [`UnknownOption`](ConnectError::UnknownOption).
        place: String,
        /// Their error and its causes.
        wrong: String,
    },
    /// What the user has set about Docker is bad.
    #[error("{what}")]
    Settings {
        /// What is wrong.
        what: String,
        /// One action that may cure it.
        hint: Option<String>,
    },
    /// A hop has an option that its place does not know.
    #[error("{} has no option {}", quoted(place), quoted(option))]
    UnknownOption {
        /// The hop's text without its options, whose values may be secret.
        place: String,
        /// The option's key.
        option: String,
        /// The options that the place knows.
        known: Vec<&'static str>,
    },
    /// A hop has an option twice that can be given once.
    #[error("{} has the option {} twice", quoted(place), quoted(option))]
    RepeatedOption {
        /// As in [`UnknownOption`](ConnectError::UnknownOption).
        place: String,
        /// The option's key.
        option: String,
    },
    /// An option has a value that it cannot have, or none where it needs one.
    #[error("bad option {} of {}: {wrong}", quoted(option), quoted(place))]
    BadOption {
        /// As in [`UnknownOption`](ConnectError::UnknownOption).
        place: String,
        /// The option's key.
        option: String,
        /// What is wrong with it. It repeats no variable's value.
        wrong: String,
        /// How the option is written, as in `bind=SRC[:DEST]`.
        form: String,
    },
}

impl ConnectError {
    /// One action that may cure it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ConnectError::Address(error) => error.hint().map(str::to_owned),
            ConnectError::Config(error) => error.hint().map(str::to_owned),
            ConnectError::NamedBeyond { .. } => Some("write its address there".into()),
            ConnectError::UnknownName { near: Some(near), .. } => {
                Some(format!("did you mean `{near}`?"))
            }
            ConnectError::UnknownScheme { scheme: word }
            | ConnectError::UnknownName { name: word, .. } => {
                Some(match schemes::nearest_scheme(word) {
                    Some(known) => format!("did you mean `{known}:`?"),
                    None => reachable(),
                })
            }
            ConnectError::NoWay { .. } => Some(reachable()),
            ConnectError::NotMade { .. } => None,
            ConnectError::Settings { hint, .. } => hint.clone(),
            ConnectError::NoWayFrom { .. } => Some("go there in one hop".into()),
            ConnectError::UnknownOption { option, known, .. } => {
                Some(match nearest(option, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known options: {}", listed(known)),
                })
            }
            ConnectError::RepeatedOption { .. } => Some("leave one of them out".into()),
            ConnectError::BadOption { form, .. } => Some(format!("write `{form}`")),
        }
    }
}

/// The place of an address given as text.
///
/// | options of every place | |
/// |---|---|
/// | `user=USER`, `dir=DIR`, `env=NAME[=VALUE]`, `clear-env` | what a [`Command`](crate::Command) is that says nothing else |
///
/// | options of `docker:` and `image:` | |
/// |---|---|
/// | `engine=HOST`, `context=NAME` | as `DOCKER_HOST` and `DOCKER_CONTEXT`, and before them |
/// | `plain-tcp` | let `tcp://` without TLS leave this machine |
/// | `detach-keys=KEYS` | instead of those of the user's settings; see [`Address::detach_keys`] |
/// | `privileged` | all rights that the engine can give |
///
/// | options of `image:` | as of [`Options`](crate::docker::image::Options) |
/// |---|---|
/// | `volume=[SRC:]DEST[:OPTIONS]` | `volumes`; a source that begins with `.` is relative to the working directory of the moment |
/// | `publish=[[ADDRESS:]PORT:]PORT[/PROTOCOL]` | `publish` |
/// | `network`, `name`, `platform`, `keep` | the fields of these names |
/// | `entrypoint`, `entrypoint=PROGRAM` | none, or this one |
/// | `env-file=FILE` | a line `NAME=VALUE` or `NAME` for each variable |
///
/// | options of `ssh:` | as of [`Settings`](crate::remote::ssh::Settings) |
/// |---|---|
/// | `username=USER`, `port=PORT` | as in the address |
/// | `identity=FILE`, `timeout=SECONDS`, `keep-alive=SECONDS` | the fields of these names |
/// | `use-native=true`, `=false`, `=automatic` | `native` |
/// | `missing-host-key-policy=reject`, `=autoadd`, `=warning` | `host_keys` |
/// | `password-file=FILE`, `password-fd=NUMBER` | the password is the first line there |
/// | `ask-password` | the password is asked for at the terminal |
///
/// | options of `daemon:` | as of [`Daemon`](crate::remote::Daemon) |
/// |---|---|
/// | `timeout=SECONDS`, `keep-alive=SECONDS`, `keys=DIR` | the methods of these names |
///
/// | options of `smb:` | as of [`Settings`](crate::remote::smb::Settings) |
/// |---|---|
/// | `username=[DOMAIN\]USER`, `port=PORT` | as in the address |
/// | `domain=DOMAIN`, `pipe=NAME`, `timeout=SECONDS` | the fields of these names |
/// | `password-file`, `password-fd`, `ask-password` | as of `ssh:` |
/// | `encrypt=require`, `=prefer`, `=off` | `encrypt` |
/// | `compat=pushy` | the service is pushy's |
///
/// | options of `chroot:` | as of [`Chroot`](crate::chroot::Chroot) |
/// |---|---|
/// | `bind=`, `rbind=`, `ro-bind=SRC[:DEST]` | a mount by [`Mount::parse`](crate::chroot::Mount::parse); recursive; that and read-only |
/// | `tmpfs=DEST` | an empty directory in memory |
/// | `no-mounts` | none of the default mounts |
/// | `hostname=FQDN`, `net=host`, `net=none`, `subids` | `hostname`, `network`, `ids` |
/// | `overlay`, `overlay=DIR`, `read-only`, `skip-chdir` | the methods of these names |
///
/// A scheme of one's own, by [`register`](crate::register), has the options that its maker asks for.
///
/// Mounts, `env`, `volume`, `publish` and `env-file` may be repeated. A relative `SRC` or `overlay=DIR` is relative to the working directory of the moment.
///
/// # Errors
/// [`ConnectError::Address`] for a bad text, else as [`Address::connect`].
pub fn connect(address: impl AsRef<OsStr>) -> Result<Box<dyn Place>, ConnectError> {
    Address::parse(address)?.connect()
}

impl Address {
    /// The place that it leads to. Nothing is entered or run before the place's first command.
    ///
    /// # Errors
    /// When a hop's scheme, name or option is unknown, or when this build has no way to make it.
    pub fn connect(&self) -> Result<Box<dyn Place>, ConnectError> {
        let address = self.resolved()?;
        hops::connect(address.hops())
    }
}

/// The place of a hop made from this machine.
pub(crate) fn connect_hop(hop: &Hop) -> Result<Box<dyn Place>, ConnectError> {
    match hop.target() {
        Target::Local => Ok(Options::of(hop, &[])?.preset()?.on(Local)),
        Target::Chroot(root) => {
            let options = Options::of(hop, OF_CHROOT)?;
            Ok(options.preset()?.on(options.chroot(root)?))
        }
        Target::Docker(name) => {
            let options = Options::of(hop, OF_DOCKER)?;
            Ok(options.preset()?.on(options.container(name)?))
        }
        Target::Image(name) => {
            let options = Options::of(hop, OF_IMAGE)?;
            Ok(options.preset()?.on(options.image(name)?))
        }
        Target::Ssh(login) => {
            let options = Options::of(hop, OF_SSH)?;
            Ok(options.preset()?.on(Ssh::from(options.ssh(login)?)))
        }
        #[cfg(feature = "daemon")]
        Target::Daemon(at) => {
            let options = Options::of(hop, OF_DAEMON)?;
            Ok(options.preset()?.on(options.daemon(at)?))
        }
        #[cfg(feature = "smb")]
        Target::Smb(login) => {
            let options = Options::of(hop, OF_SMB)?;
            Ok(options.preset()?.on(options.smb(login)?))
        }
        Target::Other(scheme, target) => schemes::connect(hop, scheme, target),
        // What is named here is resolved by now.
        Target::Named(name) => Err(ConnectError::NamedBeyond { name: name.clone() }),
        #[cfg(not(all(feature = "daemon", feature = "smb")))]
        _ => Err(ConnectError::NoWay { hop: shown(hop) }),
    }
}

/// [`REACHABLE`], and the schemes that were registered.
fn reachable() -> String {
    let registered = schemes::registered();
    let registered = registered.iter().map(|scheme| format!(", `{scheme}:`"));
    REACHABLE.chars().chain(registered.collect::<String>().chars()).collect()
}

pub(crate) fn shown(hop: &Hop) -> String {
    hop.target().to_string()
}

fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(address: &str, expected: Expect) {
        let text = match connect(address) {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn places() {
        check("local:", expect!["ok"]);
        check("chroot:/", expect!["ok"]);
        check("chroot:relative", expect!["ok"]);
        check("docker:web?engine=unix:///x", expect!["ok"]);
        check("image:debian:12?engine=unix:///x", expect!["ok"]);
        #[cfg(feature = "smb")]
        check(r"\\web\pipe\x", expect!["ok"]);
    }

    #[test]
    fn no_such_places() {
        check("chrot:/", expect!["unknown scheme `chrot`; did you mean `chroot:`?"]);
        check(
            "kube:pod",
            expect![
                "unknown scheme `kube`; places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`"
            ],
        );
        check(
            "web",
            expect![
                "no place is named `web`; places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`"
            ],
        );
        check("dokcer:web", expect!["unknown scheme `dokcer`; did you mean `docker:`?"]);
        check("locl", expect!["no place is named `locl`; did you mean `local:`?"]);
        check(
            "",
            expect![
                "bad address: the text is empty (at byte 0); name a place, as in `local:` or `chroot:/srv/root`"
            ],
        );
    }

    #[test]
    fn hops() {
        check("local:|chroot:/", expect!["ok"]);
        check(
            "local:|ssh:web?secret=x",
            expect![[
                r#"`ssh:web` has no option `secret`; known options: `identity`, `use-native`, `missing-host-key-policy`, `timeout`, `keep-alive`, `username`, `port`, `password-file`, `password-fd`, `ask-password`, `user`, `dir`, `env`, `clear-env`"#
            ]],
        );
        check(
            "local:|nope:",
            expect![
                "unknown scheme `nope`; places this build can reach: `local:`, `chroot:PATH`, `docker:NAME`, `image:NAME`, `ssh:HOST`, `daemon:[HOST]`, `smb:HOST`"
            ],
        );
    }
}

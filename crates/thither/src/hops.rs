//! Hops that are made from where the one before leads.
//!
//! | hop | how |
//! |---|---|
//! | `docker:`, `image:` | the engine's socket over there, by [`Place::connect`], else `docker system dial-stdio` there |
//! | `chroot:` | `thither` there, else a script over unshare(1), mount(8) and chroot(1) |
//! | `ssh:` | `ssh` here, over a TCP stream from there: keys stay here |
//! | `daemon:` | its socket over there, by [`Place::connect`]; keys stay here |
//! | `local:` | the place itself |

mod chroot;
mod engine;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, io};

use thither_docker::{Engine, Settings};
use thither_place::archive::Archive;
use thither_place::{Command, Endpoint, Error, Local, Place, Process, Result, Stream};
use thither_remote::Ssh;
use thither_remote::ssh;

use crate::address::{Address, Hop, Target};
use crate::connect::{ConnectError, connect_hop, shown};
#[cfg(feature = "daemon")]
use crate::daemon_options::OF_DAEMON;
use crate::docker_options::{OF_DOCKER, OF_IMAGE};
use crate::options::{OF_CHROOT, Options};
#[cfg(feature = "smb")]
use crate::smb_options::OF_SMB;
use crate::ssh_options::OF_SSH;

/// Where the hops so far lead.
#[derive(Clone)]
pub(crate) struct Outer {
    place: Arc<dyn Place>,
    /// Their address.
    address: String,
    /// Whether a password of theirs was given to this process alone: another one cannot go there by the address.
    is_ours_alone: bool,
}

impl Outer {
    /// The place's own address, for messages.
    fn beyond(&self, hop: &Hop) -> String {
        format!("{}|{}", self.address, shown(hop))
    }
}

/// The place of several hops.
pub(crate) fn connect(hops: &[Hop]) -> std::result::Result<Box<dyn Place>, ConnectError> {
    let Some((last, before)) = hops.split_last() else {
        // An address has a hop.
        return Ok(Box::new(Local));
    };
    match outer(before)? {
        None => connect_hop(last),
        Some(outer) => hop_from(&outer, last),
    }
}

/// Where the hops before another one lead; `None` if that is here.
fn outer(hops: &[Hop]) -> std::result::Result<Option<Outer>, ConnectError> {
    let mut outer: Option<Outer> = None;
    for (index, hop) in hops.iter().enumerate() {
        let place = match &outer {
            // This machine, from which the next one is made anyway.
            None if *hop.target() == Target::Local && hop.options().is_empty() => continue,
            None => connect_hop(hop)?,
            Some(outer) => hop_from(outer, hop)?,
        };
        let address = Address::of_hops(hops[..=index].to_vec()).to_string();
        let given = |hop: &Hop| {
            let keys = ["ask-password", "password-fd"];
            hop.options().iter().any(|option| keys.contains(&option.key.as_str()))
        };
        let is_ours_alone = hops[..=index].iter().any(given);
        outer = Some(Outer { place: place.into(), address, is_ours_alone });
    }
    Ok(outer)
}

/// The engine of the last hop, which is a container or an image with these options.
pub(crate) fn engine_of(
    hops: &[Hop],
    options: Options<'_>,
) -> std::result::Result<(Engine, Settings), ConnectError> {
    let before = hops.split_last().map(|(_, before)| before).unwrap_or_default();
    match outer(before)? {
        None => {
            let settings = options.settings()?;
            Ok((crate::docker_options::engine(&settings)?, settings))
        }
        Some(outer) => {
            let settings = engine::settings(options)?;
            Ok((engine::engine(&outer, &settings), settings))
        }
    }
}

/// The place of a hop from where others lead.
fn hop_from(outer: &Outer, hop: &Hop) -> std::result::Result<Box<dyn Place>, ConnectError> {
    let no_way = || ConnectError::NoWayFrom { from: outer.address.clone(), hop: shown(hop) };
    match hop.target() {
        Target::Local => Ok(Options::of(hop, &[])?.preset()?.on(Same(outer.place.clone()))),
        Target::Chroot(root) => {
            let options = Options::of(hop, OF_CHROOT)?;
            // Its user and directory are those inside of the root.
            Ok(options.preset()?.on(chroot::Beyond::new(outer, hop, root, options)?))
        }
        Target::Docker(name) => {
            let options = Options::of(hop, OF_DOCKER)?;
            let settings = engine::settings(options)?;
            Ok(options.preset()?.on(options.container_of(engine::engine(outer, &settings), name)))
        }
        Target::Image(name) => {
            let options = Options::of(hop, OF_IMAGE)?;
            let settings = engine::settings(options)?;
            let image =
                options.image_of(engine::engine(outer, &settings), settings.config, name)?;
            Ok(options.preset()?.on(image))
        }
        Target::Ssh(login) => {
            let options = Options::of(hop, OF_SSH)?;
            let (mut settings, place) = (options.ssh(login)?, outer.place.clone());
            let not_made = |wrong| ConnectError::NotMade { place: shown(hop), wrong };
            // The user's own `ssh` is given a stream by another process.
            let has_builtin = cfg!(feature = "ssh-builtin");
            if has_builtin && outer.is_ours_alone && settings.native == ssh::Native::Automatic {
                settings.native = ssh::Native::No;
            }
            if Ssh::from(settings.clone())
                .is_native()
                .map_err(|error| not_made(error.to_string()))?
            {
                let proxy = ssh::proxy_command(&outer.address);
                settings.proxy = Some(proxy.map_err(|error| not_made(error.to_string()))?);
            }
            let ssh = Ssh::from(settings).through(move |to| place.connect(to));
            Ok(options.preset()?.on(Tunnelled { outer: outer.clone(), ssh }))
        }
        #[cfg(feature = "daemon")]
        Target::Daemon(at) => {
            let options = Options::of(hop, OF_DAEMON)?;
            let place = outer.place.clone();
            let daemon = options.daemon(at)?.through(move |to| place.connect(to));
            Ok(options.preset()?.on(daemon))
        }
        #[cfg(not(feature = "daemon"))]
        Target::Daemon(_) => {
            connect_hop(hop)?;
            Err(no_way())
        }
        #[cfg(feature = "smb")]
        Target::Smb(login) => {
            let options = Options::of(hop, OF_SMB)?;
            let place = outer.place.clone();
            let smb = options.smb(login)?.through(move |to| place.connect(to));
            Ok(options.preset()?.on(smb))
        }
        #[cfg(not(feature = "smb"))]
        Target::Smb(_) => {
            connect_hop(hop)?;
            Err(no_way())
        }
        Target::Other(..) => {
            connect_hop(hop)?;
            Err(no_way())
        }
        Target::Named(name) => Err(ConnectError::NamedBeyond { name: name.clone() }),
    }
}

/// A place that others have, too.
struct Same(Arc<dyn Place>);

impl Place for Same {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.0.spawn(command)
    }

    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        self.0.connect(to)
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.0.get(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        self.0.put(archive, path)
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        self.0.own_files()
    }

    fn interpreter(&self) -> Result<Option<OwnedFd>> {
        self.0.interpreter()
    }
}

/// A host over ssh beyond another hop. `ssh` makes the stream there out of our sight, so if it fails the hop is asked why.
struct Tunnelled {
    outer: Outer,
    ssh: Ssh,
}

impl Tunnelled {
    fn because<T>(&self, result: Result<T>) -> Result<T> {
        let Err(error @ Error::Enter { .. }) = result else { return result };
        let nothing = Command::new("true").stdin(Stream::Null).stdout(Stream::Null);
        match self.outer.place.status(&nothing.stderr(Stream::Null)) {
            Ok(_) => Err(error),
            Err(before) => Err(before),
        }
    }
}

impl Place for Tunnelled {
    fn spawn(&self, command: &Command) -> Result<Process> {
        self.because(self.ssh.spawn(command))
    }

    fn connect(&self, to: &Endpoint) -> Result<OwnedFd> {
        self.because(self.ssh.connect(to))
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.because(self.ssh.get(path))
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        self.because(self.ssh.put(archive, path))
    }
}

/// Lets this program help the user's own `ssh`: it hands over passwords, and streams to hosts beyond other hops. To be called
/// first in `main`; if it gives an exit code, the program was started by `ssh` for that, and has to end with it.
///
/// The `thither` tool does so. A program that uses the library needs it for addresses such as `docker:web|ssh:host`, and
/// for passwords that the user's own `ssh` is to be given.
#[must_use]
pub fn answer_for_ssh() -> Option<ExitCode> {
    if let Some(code) = ssh::answer_for_ssh() {
        return Some(code);
    }
    let outer = env::var_os(ssh::PROXY)?;
    let mut words = env::args_os().skip(1);
    let code = match (words.next(), words.next()) {
        (Some(host), Some(port)) => match relay(&outer, &host, &port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The place is named by who asked `ssh`; it shows our last line.
                let _ = io::Write::write_all(&mut io::stderr(), format!("{error}\n").as_bytes());
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::FAILURE,
    };
    Some(code)
}

/// Joins our standard streams to a TCP stream from there.
fn relay(outer: &OsStr, host: &OsStr, port: &OsStr) -> std::result::Result<(), String> {
    let chain = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let host = host.to_str().ok_or("the host is not UTF-8")?.to_owned();
    let port = port.to_str().and_then(|port| port.parse().ok()).ok_or("the port is no number")?;
    let place = crate::connect(outer).map_err(|error| chain(&error))?;
    let stream = place.connect(&Endpoint::Tcp { host, port }).map_err(|error| chain(&error))?;
    ssh::relay(stream).map_err(|error| chain(&error))
}

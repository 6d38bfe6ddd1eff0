//! What there is to say of a root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Command, Ids, Mount, Overlay, default_mounts};

/// Another root as a place.
///
/// ```no_run
/// use thither_chroot::{Chroot, Mount, Overlay};
///
/// let root = Chroot::new("/srv/debian")
///     .mount(Mount::bind("/src").read_only())
///     .hostname("build.example.org")
///     .overlay(Overlay::Vanish);
/// let exit = root.command("make").args(["-C", "/src", "O=/tmp/out"]).status()?;
/// assert!(exit.success());
/// # Ok::<(), thither_place::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a root does nothing until it runs something"]
pub struct Chroot {
    pub(crate) root: PathBuf,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) hostname: Option<OsString>,
    pub(crate) skip_chdir: bool,
    pub(crate) network: Option<Network>,
    pub(crate) ids: Ids,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) read_only: bool,
    pub(crate) user: Option<String>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) env_clear: bool,
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
}

/// The network inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// This machine's. What root has by default.
    Host,
    /// A network namespace with a loopback interface alone. What an ordinary user has by default, as a new `sysfs` is
    /// to be had only so.
    None,
}

impl Chroot {
    /// The root at this path, with the [`default_mounts`].
    pub fn new(root: impl Into<PathBuf>) -> Chroot {
        Chroot {
            root: root.into(),
            mounts: default_mounts(),
            hostname: None,
            skip_chdir: false,
            network: None,
            ids: Ids::default(),
            overlay: None,
            read_only: false,
            user: None,
            dir: None,
            env_clear: false,
            env: Vec::new(),
        }
    }

    /// Adds a mount after the others; or instead of the one that has the same destination, in its place.
    pub fn mount(mut self, mount: Mount) -> Chroot {
        match self.mounts.iter_mut().find(|other| other.is_at_place_of(&mount)) {
            Some(other) => *other = mount,
            None => self.mounts.push(mount),
        }
        self
    }

    /// These mounts and no others; none, and it is as bare as chroot(2) makes it.
    pub fn mounts(mut self, mounts: impl IntoIterator<Item = Mount>) -> Chroot {
        self.mounts = mounts.into_iter().collect();
        self
    }

    /// The host name inside, up to the first dot; after it the domain, at most 64 bytes each. Without it, they are
    /// this machine's.
    pub fn hostname(mut self, name: impl Into<OsString>) -> Chroot {
        self.hostname = Some(name.into());
        self
    }

    /// Whether a command starts where the caller is, instead of in `/`.
    ///
    /// If that is not in the root, it is by definition a hole: what runs inside has a directory of this machine open,
    /// and from there reaches all that its user can.
    pub fn skip_chdir(mut self, skip: bool) -> Chroot {
        self.skip_chdir = skip;
        self
    }

    /// The network inside.
    pub fn network(mut self, network: Network) -> Chroot {
        self.network = Some(network);
        self
    }

    /// The ids that an ordinary user has inside; root has them all.
    pub fn ids(mut self, ids: Ids) -> Chroot {
        self.ids = ids;
        self
    }

    /// Leaves the root as it is: what is written goes elsewhere. What is mounted below the root is read-only.
    pub fn overlay(mut self, overlay: Overlay) -> Chroot {
        self.overlay = Some(overlay);
        self
    }

    /// Whether the root is read-only, with what is mounted below it. Mounts of the list are as they say themselves.
    pub fn read_only(mut self, read_only: bool) -> Chroot {
        self.read_only = read_only;
        self
    }

    /// The user that commands run as unless they say another: `name`, `uid`, `name:group` or `uid:gid` of the root.
    pub fn user(mut self, user: impl Into<String>) -> Chroot {
        self.user = Some(user.into());
        self
    }

    /// The directory inside that commands start in unless they say another.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Chroot {
        self.dir = Some(dir.into());
        self
    }

    /// Sets a variable for all commands.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Chroot {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable for all commands.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Chroot {
        self.env.push((name.into(), None));
        self
    }

    /// Gives commands none of this program's variables.
    pub fn env_clear(mut self) -> Chroot {
        self.env_clear = true;
        self
    }

    /// A command inside, as of [`std::process::Command`].
    pub fn command(&self, program: impl Into<OsString>) -> Command<'_> {
        Command::new(self, program.into())
    }

    /// Where the root is on this machine, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }
}

#![expect(unsafe_code, reason = "the contract of launch")]
//! The root as a place.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, capabilities};
use thither_place::archive::Archive;
use thither_place::error::quoted;
use thither_place::launch::{
    self, Exec, Failure, Launch, LaunchError, Resolved, Supervisor, c_string,
};
use thither_place::state::inner_user_namespace;
use thither_place::streams::Plumbing;
use thither_place::{Command, Control, Error, Event, Place, Process, Result, Streams, WindowSize};

use crate::attach::PlannedMount;
use crate::chroot::Network;
use crate::enter::{Plan, Start, Way, enter};
use crate::ids::{OwnMaps, SubordinateMaps};
use crate::mount_points::MountPoints;
use crate::names::Names;
use crate::overlay::{Kept, Overlay, PlannedOverlay};
use crate::root::{Root, relative};
use crate::{Chroot, Ids, ids, typing, userns};

/// A command in a root, with everything looked up, and what is held for as long as it runs.
pub(crate) struct Prepared<'a> {
    chroot: &'a Chroot,
    root: Root,
    pub(crate) resolved: Resolved,
    privileged: bool,
    subordinate: Option<SubordinateMaps>,
    names: Option<Names>,
    start: Start,
    overlay: Option<PlannedOverlay>,
    mounts: Vec<PlannedMount>,
    held: Held,
}

/// What is put back once a command has ended.
struct Held {
    _points: Option<MountPoints>,
    _kept: Option<Kept>,
}

/// What runs in the command's process.
pub(crate) enum Task<'a> {
    /// The command itself.
    Program,
    /// This program again, by its `exec`; the descriptor is a place for the root.
    Again { exec: &'a Exec, root: BorrowedFd<'a> },
    /// This function, in a copy of this process.
    Function(&'a dyn Fn() -> i32),
}

impl Chroot {
    pub(crate) fn address(&self) -> String {
        format!("chroot:{}", self.root.display())
    }

    pub(crate) fn failed(&self, action: impl Into<String>, source: io::Error) -> Error {
        Error::Place {
            action: action.into(),
            place: self.address(),
            source: Box::new(source),
            hint: None,
        }
    }

    pub(crate) fn open_root(&self, uid: u32) -> Result<Root> {
        Root::open(&self.root, self.address(), uid).map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::NotFound => Some("name a directory that holds a root file system"),
                io::ErrorKind::NotADirectory => {
                    Some("a root is a directory; unpack an archive or mount an image first")
                }
                _ => None,
            };
            Error::Enter {
                place: self.address(),
                source: Box::new(source),
                hint: hint.map(str::to_owned),
            }
        })
    }

    /// The environment that commands start from.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        // A command without changes of its own is made of ours.
        let changes = Command { env: self.env.clone(), ..Command::new("") };
        let changes = Command { env_clear: self.env_clear, ..changes };
        changes.environment(std::env::vars_os())
    }

    /// Looks up all that a command needs, and makes the mount points ready.
    pub(crate) fn prepare(&self, command: &Command) -> Result<Prepared<'_>> {
        // Rights, not the name root: root in a container may lack them, and a user may have them.
        let privileged =
            capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        let uid = if privileged { rustix::process::geteuid().as_raw() } else { 0 };
        tracing::debug!(root = ?self.root, user_namespace = !privileged, "enter the root");
        let mut root = self.open_root(uid)?;
        let start = self.start(&mut root)?;
        let names = self.hostname.as_deref().map(Names::parse).transpose().map_err(|source| {
            let name = self.hostname.as_deref().unwrap_or_default();
            self.failed(format!("set the host name {}", quoted(name)), source)
        })?;
        let mut command = command.clone();
        command.user = command.user.or_else(|| self.user.clone());
        command.dir = command.dir.or_else(|| self.dir.clone());
        let mut resolved = Resolved::new(&command, self.environment(), &root)?;
        // Who one is inside already needs no right to become.
        resolved.identity.take_if(|who| (who.uid, who.gid) == (0, 0) && uid == 0);
        let subordinate = self.ids == Ids::Subordinate || resolved.identity.is_some();
        let subordinate = (subordinate && !privileged)
            .then(SubordinateMaps::of_caller)
            .transpose()
            .map_err(|source| self.ids_error(source, &resolved))?;
        let kept = match &self.overlay {
            Some(Overlay::Keep(dir)) => Some(Kept::open(dir).map_err(|source| {
                self.failed(format!("keep what is written in {}", quoted(dir)), source)
            })?),
            Some(Overlay::Vanish) | None => None,
        };
        let user_attributes = !privileged || inner_user_namespace().is_some();
        let mut overlay = match &self.overlay {
            Some(_) => Some(
                PlannedOverlay::new(&root.path, kept.as_ref(), user_attributes, self.read_only)
                    .map_err(|source| self.failed("plan the overlay", source))?,
            ),
            None => None,
        };
        let (mounts, points) = self.plan_mounts(&root, overlay.as_mut())?;
        let held = Held { _points: points, _kept: kept };
        Ok(Prepared {
            chroot: self,
            root,
            resolved,
            privileged,
            subordinate,
            names,
            start,
            overlay,
            mounts,
            held,
        })
    }

    fn ids_error(&self, source: io::Error, resolved: &Resolved) -> Error {
        let action = match &resolved.identity {
            Some(who) => format!("run as user {}", who.uid),
            None => "have more ids than yours".into(),
        };
        let hint = Some(ids::hint(&source));
        Error::Place { action, place: self.address(), source: Box::new(source), hint }
    }

    /// Where commands start that name no directory.
    fn start(&self, root: &mut Root) -> Result<Start> {
        if !self.skip_chdir {
            return Ok(Start::Root);
        }
        let failed = |source| self.failed("stay in the working directory", source);
        if let Ok(dir) = std::env::current_dir()
            && let Ok(inside) = dir.strip_prefix(&root.path)
        {
            root.start.push(inside);
            let inside = if inside == Path::new("") { Path::new(".") } else { inside };
            return Ok(Start::Inside(
                c_string("directory", relative(inside.as_os_str())).map_err(failed)?,
            ));
        }
        root.start = ".".into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir: rustix::io::Result<OwnedFd> = rustix::fs::open(c".", flags, Mode::empty());
        Ok(Start::Outside(dir.map_err(|errno| failed(errno.into()))?))
    }
}

impl Place for Chroot {
    fn spawn(&self, command: &Command) -> Result<Process> {
        let (process, _) = self.prepare(command)?.start(&command.streams, Task::Program)?;
        Ok(process)
    }

    fn get(&self, path: &Path) -> Result<Archive> {
        self.get_files(path)
    }

    fn put(&self, archive: Archive, path: &Path) -> Result<()> {
        self.put_files(archive, path)
    }

    fn own_files(&self) -> Option<Arc<dyn Place>> {
        // Of another user, or in an overlay, they are copied by commands.
        let by_files = self.user.is_none() && self.overlay.is_none();
        by_files.then(|| Arc::new(self.clone()) as Arc<dyn Place>)
    }
}

/// A root that was entered: who knows what a failure inside means.
pub(crate) struct Entered<'a> {
    chroot: &'a Chroot,
    root: Root,
    resolved: Resolved,
    submounts: Vec<CString>,
}

impl Entered<'_> {
    /// The error for a step that failed.
    pub(crate) fn error(&self, failure: Failure) -> Error {
        let error = self.resolved.step_error(failure, &self.root);
        error.unwrap_or_else(|| crate::failure::error(self.chroot, failure, &self.submounts))
    }

    fn launch_error(&self, error: LaunchError) -> Error {
        let chroot = self.chroot;
        match error {
            LaunchError::Fork(source) => Error::Place {
                action: "make new namespaces".into(),
                place: chroot.address(),
                hint: userns::fork_hint(&source),
                source: Box::new(source),
            },
            LaunchError::Arrange(source) => chroot.ids_error(source, &self.resolved),
            LaunchError::Killed(exit) => {
                let source = io::Error::other(format!("pid 1 ended: {exit}"));
                chroot.failed("start the command", source)
            }
            LaunchError::Step(failure) => self.error(failure),
        }
    }
}

impl<'a> Prepared<'a> {
    /// Where commands start that name no directory.
    pub(crate) fn start_directory(&self) -> &Start {
        &self.start
    }

    /// Whether root inside, who is an ordinary user, is to be kept from writing to what is read-only. With more ids than
    /// the user's own the maps of a second namespace would need another helper.
    pub(crate) fn locks_mounts(&self) -> bool {
        let read_only =
            self.chroot.read_only || self.chroot.mounts.iter().any(|mount| mount.read_only);
        read_only && !self.privileged && self.subordinate.is_none()
    }

    /// Starts it, or what runs in its stead.
    pub(crate) fn start(self, streams: &Streams, task: Task<'_>) -> Result<(Process, Entered<'a>)> {
        let chroot = self.chroot;
        let locks_mounts = self.locks_mounts();
        let submounts = self.overlay.as_ref().map(|overlay| overlay.submounts.clone());
        let submounts = submounts.unwrap_or_default();
        let (root, resolved) = (self.root, self.resolved);
        let entered = Entered { chroot, root, resolved, submounts };
        let own_exec;
        let exec = match task {
            Task::Again { exec, .. } => exec,
            Task::Program | Task::Function(_) => {
                let made = entered.resolved.exec();
                let failed = |error| entered.resolved.spawn_error(error, &entered.root);
                own_exec = made.map_err(failed)?;
                &own_exec
            }
        };
        let plumbing = Plumbing::open(streams)
            .map_err(|source| chroot.failed("open the command's streams", source))?;
        let own_network = match chroot.network {
            Some(network) => network == Network::None,
            None => !self.privileged,
        };
        let user_namespace = !self.privileged;
        let own_maps = user_namespace && self.subordinate.is_none();
        let plan = Plan {
            root_path: c_string("path", entered.root.path.as_os_str())
                .map_err(|source| chroot.failed("enter the root", source))?,
            root: entered.root.fd.as_fd(),
            maps: own_maps.then(OwnMaps::of_caller),
            own_network,
            names: self.names,
            read_only: chroot.read_only,
            overlay: self.overlay,
            mounts: self.mounts,
            start: self.start,
            locks_mounts,
            shares_terminal: plumbing.pty.is_none() && typing::is_possible(),
            way: match task {
                Task::Again { root, .. } => Way::Left(root),
                Task::Program | Task::Function(_) => Way::Enter,
            },
        };
        let mut namespaces =
            libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWPID;
        if user_namespace {
            namespaces |= libc::CLONE_NEWUSER;
        }
        if own_network {
            namespaces |= libc::CLONE_NEWNET;
        }
        let address = chroot.address();
        let subordinate = self.subordinate.as_ref();
        let arrange = |pid| subordinate.map_or(Ok(()), |maps| maps.write(pid));
        let launch = Launch {
            place: &address,
            exec,
            plumbing: &plumbing,
            namespaces: namespaces as u64,
            enter: &|| enter(&plan),
            arrange: subordinate.is_some().then_some(&arrange as _),
            instead: match task {
                Task::Function(function) => Some(function),
                Task::Program | Task::Again { .. } => None,
            },
        };
        // SAFETY: `enter` keeps the contract: system calls on what the plan holds. A function is given only by who has
        // made sure that there is one thread: see `fork.rs`.
        let launched = unsafe { launch::launch(&launch) };
        let supervisor = launched.map_err(|error| entered.launch_error(error))?;
        let control = Inside { supervisor, held: Some(self.held) };
        Ok((plumbing.attach(Process::new(Box::new(control))), entered))
    }
}

/// A command inside, and what is put back once it has ended.
struct Inside {
    supervisor: Supervisor,
    held: Option<Held>,
}

impl Control for Inside {
    fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.supervisor.resize(size)
    }

    fn signal(&mut self, signal: i32) -> Result<()> {
        self.supervisor.signal(signal)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.supervisor.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        let event = self.supervisor.event();
        if let Ok(Some(Event::Exited(_))) = event {
            self.held = None;
        }
        event
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        self.supervisor.end_input(terminal)
    }
}

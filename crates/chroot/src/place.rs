#![expect(unsafe_code, reason = "the contract of launch")]
//! The root as a place.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::mount::MountFlags;
use rustix::thread::{CapabilitySet, capabilities};
use thither_place::error::quoted;
use thither_place::launch::{self, Failure, LaunchError, Resolved, Supervisor, c_string};
use thither_place::streams::Plumbing;
use thither_place::{Command, Control, Error, Event, Place, Process, Result, WindowSize};

use crate::enter::{IdMaps, Plan, PlannedMount, What, enter, step};
use crate::mount_points::{MountPoints, exists};
use crate::plan::{DEFAULT_MOUNTS, Mount, Source};
use crate::root::{Root, relative};
use crate::{typing, userns};

/// Another root as a place.
#[derive(Clone, Debug)]
pub struct Chroot {
    root: PathBuf,
    mounts: Vec<Mount>,
}

impl Chroot {
    /// The root at this path, with the [`DEFAULT_MOUNTS`].
    pub fn new(root: impl Into<PathBuf>) -> Chroot {
        Chroot { root: root.into(), mounts: DEFAULT_MOUNTS.to_vec() }
    }

    fn address(&self) -> String {
        format!("chroot:{}", self.root.display())
    }

    fn failed(&self, action: impl Into<String>, source: io::Error) -> Error {
        Error::Place {
            action: action.into(),
            place: self.address(),
            source: Box::new(source),
            hint: None,
        }
    }

    fn open_root(&self, uid: u32) -> Result<Root> {
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

    /// What there is to mount, its mount points made ready. Without a record none can be made, and none has to be
    /// removed.
    fn plan_mounts(&self, root: &Root) -> Result<(Vec<PlannedMount>, Option<MountPoints>)> {
        let mut record = MountPoints::open(root);
        let mut planned = Vec::new();
        for (index, mount) in (0..).zip(&self.mounts) {
            let is_dir = mount
                .source
                .is_dir()
                .map_err(|source| self.failed(format!("mount {}", describe(mount)), source))?;
            let Some(is_dir) = is_dir else {
                tracing::debug!(mount = describe(mount), "left out: this machine has no such file");
                continue;
            };
            let ready = match self.shown_by_earlier(index, mount) {
                // What will be there is what the earlier mount shows, and not the root's to change.
                Some(inside) => inside.exists() && inside.is_dir() == is_dir,
                None => match self.make_ready(root, mount, is_dir, &mut record) {
                    Ok(()) => true,
                    Err(error) if mount.is_optional() => {
                        tracing::debug!(mount = describe(mount), %error, "left out");
                        false
                    }
                    Err(error) => return Err(error),
                },
            };
            if ready {
                tracing::debug!(mount = describe(mount), "plan");
                planned
                    .push(plan_mount(index, mount).map_err(|error| self.failed("mount", error))?);
            }
        }
        if let Ok(points) = &record {
            points
                .ready()
                .map_err(|source| self.failed("keep a record of mount points", source))?;
        }
        Ok((planned, record.ok()))
    }

    fn make_ready(
        &self,
        root: &Root,
        mount: &Mount,
        is_dir: bool,
        record: &mut io::Result<MountPoints>,
    ) -> Result<()> {
        let path = quoted(root.display(mount.destination));
        let there = exists(root, mount.destination, is_dir)
            .map_err(|source| self.failed(format!("use the mount point {path}"), source))?;
        if there {
            return Ok(());
        }
        let made = match record {
            Ok(points) => points.make(root, mount.destination, is_dir),
            Err(error) => Err(io::Error::new(error.kind(), format!("no record of it: {error}"))),
        };
        made.map_err(|source| {
            let (place, source) = (self.address(), Box::new(source));
            let once = if is_dir { "mkdir -p" } else { "touch" };
            let hint = Some(format!("make it once, with {once}, or run this as root"));
            Error::Place {
                action: format!("make the missing mount point {path}"),
                place,
                source,
                hint,
            }
        })
    }

    /// The file on this machine that an earlier bind mount will show at a mount's destination, if one does.
    fn shown_by_earlier(&self, index: u16, mount: &Mount) -> Option<PathBuf> {
        let earlier = self.mounts.iter().take(index.into()).rev();
        earlier.filter_map(|earlier| earlier.shows(mount.destination)).next()
    }

    fn launch_error(&self, error: LaunchError, resolved: &Resolved, root: &Root) -> Error {
        match error {
            LaunchError::Fork(source) => Error::Place {
                action: "make new namespaces".into(),
                place: self.address(),
                hint: userns::fork_hint(&source),
                source: Box::new(source),
            },
            LaunchError::Killed(exit) => {
                self.failed("start the command", io::Error::other(format!("pid 1 ended: {exit}")))
            }
            LaunchError::Step(failure) => {
                resolved.step_error(failure, root).unwrap_or_else(|| self.enter_error(failure))
            }
        }
    }

    fn enter_error(&self, failure: Failure) -> Error {
        let mount = self.mounts.get(usize::from(failure.index)).map(describe).unwrap_or_default();
        let action = match failure.step {
            step::ID_MAPS => "map the user's ids in a user namespace".into(),
            step::PROPAGATION => "make the mount namespace private".into(),
            step::LOOPBACK => "bring the loopback interface up".into(),
            step::ROOT => format!("mount the root {}", quoted(&self.root)),
            step::ROOT_CHANGED => {
                format!("enter the root {}: it was replaced meanwhile", quoted(&self.root))
            }
            step::SOURCE => format!("find the source of the mount {mount}"),
            step::DESTINATION => format!("find the mount point of {mount}"),
            step::MOUNT => format!("mount {mount}"),
            step::PIVOT => "make it the root of the mount namespace".into(),
            step::PROTECT => "protect this program and the terminal".into(),
            other => format!("do step {}", other.0),
        };
        Error::Place {
            action,
            place: self.address(),
            hint: userns::step_hint(failure.step, failure.errno),
            source: Box::new(io::Error::from(failure.errno)),
        }
    }
}

impl Place for Chroot {
    fn spawn(&self, command: &Command) -> Result<Process> {
        // Rights, not the name root: root in a container may lack them, and a user may have them.
        let privileged =
            capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        let uid = if privileged { rustix::process::geteuid().as_raw() } else { 0 };
        tracing::debug!(root = ?self.root, user_and_net_namespace = !privileged, "enter the root");
        let root = self.open_root(uid)?;
        let mut resolved = Resolved::new(command, std::env::vars_os(), &root)?;
        // Who one is inside already needs no right to become.
        resolved.identity.take_if(|who| (who.uid, who.gid) == (0, 0) && uid == 0);
        if !privileged && let Some(who) = &resolved.identity {
            return Err(Error::Unsupported {
                action: format!("run as user {}", who.uid),
                place: self.address(),
                hint: Some("an ordinary user has only user 0 in a root; run this as root".into()),
            });
        }
        let exec = resolved.exec().map_err(|source| resolved.spawn_error(source, &root))?;
        let plumbing = Plumbing::open(&command.streams)
            .map_err(|source| self.failed("open the command's streams", source))?;
        let (mounts, points) = self.plan_mounts(&root)?;
        let plan = Plan {
            root_path: c_string("path", root.path.as_os_str())
                .map_err(|source| self.failed("enter the root", source))?,
            root: root.fd.as_fd(),
            maps: (!privileged).then(IdMaps::of_caller),
            mounts,
            shares_terminal: plumbing.pty.is_none() && typing::is_possible(),
        };
        let mut namespaces =
            libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWPID;
        if !privileged {
            namespaces |= libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
        }
        // SAFETY: `enter` keeps the contract: system calls on what the plan holds.
        let launched = unsafe {
            launch::launch(&self.address(), &exec, &plumbing, namespaces as u64, &|| enter(&plan))
        };
        let supervisor = launched.map_err(|error| self.launch_error(error, &resolved, &root))?;
        let control = Inside { supervisor, points };
        Ok(plumbing.attach(Process::new(Box::new(control))))
    }
}

fn plan_mount(index: u16, mount: &Mount) -> io::Result<PlannedMount> {
    let text = |text: &str| c_string("mount", text.as_ref());
    let what = match mount.source {
        Source::Bind { path, recursive, .. } => What::Bind { path: text(path)?, recursive },
        Source::New { kind, data } => What::New {
            kind: text(kind)?,
            flags: match kind {
                "tmpfs" => MountFlags::NOSUID | MountFlags::NODEV,
                _ => MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            },
            data: data.map(text).transpose()?,
        },
    };
    let destination = relative(mount.destination.as_ref());
    Ok(PlannedMount { index, what, destination: c_string("mount point", destination)? })
}

fn describe(mount: &Mount) -> String {
    let source = match mount.source {
        Source::Bind { path, .. } => path,
        Source::New { kind, .. } => kind,
    };
    format!("{} on {}", quoted(source), quoted(mount.destination))
}

/// A command inside, and the mount points that are removed once it has ended.
struct Inside {
    supervisor: Supervisor,
    points: Option<MountPoints>,
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
            self.points = None;
        }
        event
    }

    fn end_input(&mut self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        self.supervisor.end_input(terminal)
    }
}

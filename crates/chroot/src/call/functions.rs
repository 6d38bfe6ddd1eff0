#![expect(unsafe_code, reason = "descriptors that a parent has left open")]
//! The functions that can be called, and the process that runs one.

use std::any::TypeId;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use rustix::fs::Gid;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thither_place::launch::{Failure, Step, c_string};
use thither_place::users::Identity;

use super::reply::{self, Reply};
use crate::enter::{lock_mounts, open_own_directory, pivot, step};

/// The argument that a process is started with to run a function: `--thither-call=CHANNEL,ROOT[,START]`, numbers of
/// descriptors.
pub(super) const ARGUMENT: &str = "--thither-call=";

/// Those of this process, once they serve.
static SERVED: OnceLock<Functions> = OnceLock::new();

/// Functions that [`Chroot::call`](crate::Chroot::call) can run inside.
#[derive(Default)]
#[must_use = "functions can be called once they serve"]
pub struct Functions {
    entries: Vec<Entry>,
}

/// Decodes the arguments, runs the function, encodes its value.
type Run = dyn Fn(&[u8]) -> Reply + Send + Sync;

struct Entry {
    name: &'static str,
    /// Closures in one function share their name.
    kind: TypeId,
    run: Box<Run>,
}

/// What a process needs to know to run its function.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Its place among those that are registered, in the same order in all processes of one program.
    pub(super) function: usize,
    pub(super) args: Vec<u8>,
    /// The user to become: uid, gid, supplementary groups.
    pub(super) user: Option<(u32, u32, Vec<u32>)>,
    /// The directory to start in.
    pub(super) dir: Option<Vec<u8>>,
    /// Whether the mounts are to be locked.
    pub(super) locks: bool,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.entries.iter().map(|entry| entry.name)).finish()
    }
}

impl Functions {
    /// None yet.
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Adds one: a `fn` of one argument, which may be a tuple, or a closure that captures nothing. A closure that
    /// captures something, or a pointer to a function, does not compile.
    pub fn register<F, A, T>(mut self, function: F) -> Functions
    where
        F: Fn(A) -> T + Send + Sync + 'static,
        A: DeserializeOwned,
        T: Serialize,
    {
        const { assert!(size_of::<F>() == 0, "a function that captures something") };
        let name = name_of(&function);
        let run = move |args: &[u8]| match rmp_serde::from_slice(args) {
            Ok(args) => reply::run(|| function(args)),
            Err(error) => Reply::Arguments(error.to_string()),
        };
        self.entries.push(Entry { name, kind: TypeId::of::<F>(), run: Box::new(run) });
        self
    }

    /// Makes them ready to be called, and returns; unless this process was started to run one of them: then it does,
    /// and does not return. So it belongs at the beginning of `main`, before threads are started and anything else
    /// is done. Only the first ones of a process count.
    pub fn serve(self) {
        if let Some(descriptors) = started_for_call() {
            let code = answer(&self, descriptors);
            let _ = io::stdout().flush();
            #[expect(
                clippy::disallowed_methods,
                reason = "this process is for the function alone"
            )]
            std::process::exit(code);
        }
        let _ = SERVED.set(self);
    }
}

/// The name of a function's type.
pub(super) fn name_of<F>(_: &F) -> &'static str {
    std::any::type_name::<F>()
}

/// The place of a function among those that this process serves.
pub(super) fn place_of<F: 'static>(_: &F) -> Option<usize> {
    let kind = TypeId::of::<F>();
    SERVED.get()?.entries.iter().position(|entry| entry.kind == kind)
}

struct Descriptors {
    channel: File,
    root: OwnedFd,
    start: Option<OwnedFd>,
}

/// The descriptors, if we were started for a call.
fn started_for_call() -> Option<Descriptors> {
    let mut args = std::env::args_os().skip(1);
    let text = args.next()?;
    let numbers = text.as_bytes().strip_prefix(ARGUMENT.as_bytes())?;
    // A program with more rights than its caller runs nothing by such an argument.
    let ids = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
    let effective = [rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()];
    if args.next().is_some() || ids != effective {
        return None;
    }
    let numbers: Option<Vec<RawFd>> =
        std::str::from_utf8(numbers).ok()?.split(',').map(|text| text.parse().ok()).collect();
    let take = |fd: RawFd| {
        // SAFETY: as below: open, and looked at only.
        let open = fd > 2 && rustix::io::fcntl_getfd(unsafe { borrow(fd) }).is_ok();
        // SAFETY: it is open, was left so for us alone, and nobody else in this new process knows of it.
        open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let numbers = numbers?;
    let distinct = numbers.iter().collect::<std::collections::BTreeSet<_>>().len();
    match numbers[..] {
        [channel, root, ref rest @ ..] if rest.len() < 2 && distinct == numbers.len() => {
            Some(Descriptors {
                channel: take(channel)?.into(),
                root: take(root)?,
                start: match rest.first() {
                    Some(&start) => Some(take(start)?),
                    None => None,
                },
            })
        }
        _ => None,
    }
}

/// # Safety
/// The number is that of an open descriptor, or the caller minds `EBADF`.
unsafe fn borrow(fd: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: by the contract.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

/// Receives the request, enters, runs the function, and sends what comes of it. The exit code.
fn answer(functions: &Functions, descriptors: Descriptors) -> i32 {
    let Descriptors { mut channel, root, start } = descriptors;
    let reply = match receive(&mut channel) {
        Ok(request) => match enter(&request, &channel, root, start) {
            Ok(()) => {
                let entry = functions.entries.get(request.function);
                entry.map_or(Reply::Nothing, |entry| (entry.run)(&request.args))
            }
            Err(failure) => Reply::Failed(failure),
        },
        Err(_) => Reply::Nothing,
    };
    match reply.send(&mut channel) {
        Ok(()) if !matches!(reply, Reply::Nothing) => 0,
        _ => 125,
    }
}

/// Its length as 8 bytes in native order, and the request.
fn receive(channel: &mut File) -> io::Result<Request> {
    let mut length = [0; 8];
    channel.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    (&*channel).take(u64::from_ne_bytes(length)).read_to_end(&mut bytes)?;
    rmp_serde::from_slice(&bytes).map_err(io::Error::other)
}

fn enter(
    request: &Request,
    channel: &File,
    root: OwnedFd,
    start: Option<OwnedFd>,
) -> Result<(), Failure> {
    // What it starts is not to have them, nor to speak in its name.
    let fds = [Some(channel.as_fd()), Some(root.as_fd()), start.as_ref().map(AsFd::as_fd)];
    for fd in fds.into_iter().flatten() {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)
            .map_err(Failure::at(step::PIVOT))?;
    }
    let own =
        request.locks.then(open_own_directory).transpose().map_err(Failure::at(step::LOCK))?;
    pivot(root.as_fd()).map_err(Failure::at(step::PIVOT))?;
    drop(root);
    if let Some(own) = own {
        lock_mounts(own.as_fd()).map_err(Failure::at(step::LOCK))?;
    }
    if let Some(start) = start {
        rustix::process::fchdir(start).map_err(Failure::at(step::START))?;
    }
    if let Some((uid, gid, groups)) = &request.user {
        let groups = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        let identity = Identity { uid: *uid, gid: *gid, groups };
        identity.assume().map_err(Failure::at(Step::IDENTITY))?;
    }
    if let Some(dir) = &request.dir {
        let dir = c_string("directory", OsStr::from_bytes(dir))
            .map_err(|_| Failure::at(Step::DIRECTORY)(Errno::INVAL))?;
        rustix::process::chdir(dir.as_c_str()).map_err(Failure::at(Step::DIRECTORY))?;
    }
    Ok(())
}

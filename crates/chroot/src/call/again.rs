//! Calling a registered function: this program is executed again.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thither_place::launch::Exec;
use thither_place::{Command, Streams};

use super::CallError;
use super::functions::{ARGUMENT, Request, name_of, place_of};
use super::reply;
use crate::Chroot;
use crate::enter::Start;
use crate::place::Task;

/// This program's file, for whoever it is read by; also after an update has put another one in its place. It cannot be
/// written to from inside (CVE-2019-5736): the caller, without whom nothing is left inside, executes it too (`ETXTBSY`).
const THIS_PROGRAM: &str = "/proc/self/exe";

impl Chroot {
    /// Runs a function inside, in a process of its own, and gives its value back.
    ///
    /// The function is one of [`Functions`](crate::Functions) that serve. Its process has this program's standard
    /// streams, the environment, user and directory of this root, and no other descriptors. What it has left running
    /// ends with it.
    ///
    /// # Errors
    /// [`CallError`]. An error that is the function's own is its value.
    pub fn call<F, A, T>(&self, function: F, args: A) -> Result<T, CallError>
    where
        F: Fn(A) -> T + 'static,
        A: Serialize,
        T: DeserializeOwned,
    {
        let (place, function) = (place_of(&function), name_of(&function));
        let Some(place) = place else { return Err(CallError::Unregistered { function }) };
        let args = rmp_serde::to_vec_named(&args).map_err(|error| CallError::Value {
            action: "encode",
            what: "the arguments",
            function,
            source: Box::new(error),
        })?;
        let failed = |source| self.failed(format!("call {function}"), source);
        let prepared = self.prepare(&Command::new(""))?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|errno| failed(errno.into()))?;
        // A number for what is opened in the new process only.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(c"/", flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let mut kept = vec![theirs.as_raw_fd(), root.as_raw_fd()];
        let resolved = &prepared.resolved;
        let mut dir = resolved.dir.as_ref().map(|dir| dir.as_os_str().as_bytes().to_vec());
        match prepared.start_directory() {
            Start::Root => {}
            Start::Inside(path) => {
                dir = dir.or_else(|| Some([b"/", path.as_bytes()].concat()));
            }
            Start::Outside(fd) => kept.push(fd.as_raw_fd()),
        }
        let request = Request {
            function: place,
            args,
            user: resolved
                .identity
                .as_ref()
                .map(|who| (who.uid, who.gid, who.groups.iter().map(|gid| gid.as_raw()).collect())),
            dir,
            locks: prepared.locks_mounts(),
        };
        let request =
            rmp_serde::to_vec_named(&request).map_err(|error| failed(io::Error::other(error)))?;
        let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let argument = OsString::from(format!("{ARGUMENT}{}", numbers.join(",")));
        let path = OsStr::new(THIS_PROGRAM);
        let name = std::env::args_os().next().unwrap_or_else(|| path.to_owned());
        let exec = Exec::new(path, &name, &[argument], &resolved.env).map_err(failed)?.keep(kept);
        let task = Task::Again { exec: &exec, root: root.as_fd() };
        let (process, entered) = prepared.start(&Streams::default(), task)?;
        drop(theirs);
        let channel = File::from(ours);
        let sent = send(&channel, &request);
        reply::take(sent.map(|()| channel), process, &entered, function)
    }
}

/// Its length, and the request. A process that has ended does not take it, and says why by its end.
fn send(channel: &File, request: &[u8]) -> io::Result<()> {
    let length = (request.len() as u64).to_ne_bytes();
    for bytes in [&length[..], request] {
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::net::send(channel, rest, SendFlags::NOSIGNAL) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}

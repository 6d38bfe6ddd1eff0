//! The descriptors of a command's streams: for places that start processes on this machine, and for those that move the bytes
//! themselves.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use thither_term::pty::Pty;

use crate::{Process, Stream, Streams};

/// Both ends of a command's streams.
#[derive(Debug, Default)]
pub struct Plumbing {
    /// Its terminal.
    pub pty: Option<Pty>,
    /// Without a terminal, what becomes its descriptors 0, 1 and 2; `None` is inherited.
    pub child: [Option<OwnedFd>; 3],
    /// Our ends of those that are pipes.
    parent: [Option<OwnedFd>; 3],
}

impl Plumbing {
    /// Opens what these streams need.
    ///
    /// # Errors
    /// As `pipe2(2)`, `open(2)` of `/dev/null`, and opening a pty.
    pub fn open(streams: &Streams) -> io::Result<Plumbing> {
        let mut plumbing = Plumbing::default();
        match streams {
            Streams::Terminal(terminal) => plumbing.pty = Some(Pty::open(terminal.size)?),
            Streams::Separate { stdin, stdout, stderr } => {
                for (i, stream) in [stdin, stdout, stderr].into_iter().enumerate() {
                    let (child, parent) = ends(stream, i == 0)?;
                    plumbing.child[i] = child;
                    plumbing.parent[i] = parent;
                }
            }
        }
        Ok(plumbing)
    }

    /// Closes the child's ends and hands ours to the process.
    #[must_use]
    pub fn attach(self, mut process: Process) -> Process {
        [process.stdin, process.stdout, process.stderr] = self.parent;
        process.terminal = self.pty.map(|pty| pty.leader);
        process
    }
}

/// Both ends of a command's streams for a place that moves the bytes itself, since the command is elsewhere.
#[derive(Debug, Default)]
pub struct Moved {
    /// What the place reads, and the two that it writes; `None` for what nobody wants, as all are with a terminal.
    pub ours: [Option<OwnedFd>; 3],
    /// The caller's ends of those that are pipes.
    pub piped: [Option<OwnedFd>; 3],
}

impl Moved {
    /// Opens what these streams need. Our own standard streams are duplicated; one that was closed is as `/dev/null`.
    ///
    /// # Errors
    /// As `pipe2(2)`, `dup(2)`, and `open(2)` of `/dev/null`.
    pub fn open(streams: &Streams) -> io::Result<Moved> {
        let mut moved = Moved::default();
        let Streams::Separate { stdin, stdout, stderr } = streams else { return Ok(moved) };
        for (i, stream) in [stdin, stdout, stderr].into_iter().enumerate() {
            moved.ours[i] = match stream {
                Stream::Null => None,
                Stream::Fd(fd) => Some(fd.as_fd().try_clone_to_owned()?),
                Stream::Inherit => Some(own(i)?),
                Stream::Piped => {
                    let (read, write) = io::pipe()?;
                    let (ours, theirs): (OwnedFd, OwnedFd) = match i {
                        0 => (read.into(), write.into()),
                        _ => (write.into(), read.into()),
                    };
                    moved.piped[i] = Some(theirs);
                    Some(ours)
                }
            };
        }
        Ok(moved)
    }

    /// Which of them anybody wants.
    #[must_use]
    pub fn wanted(&self) -> [bool; 3] {
        [0, 1, 2].map(|i| self.ours[i].is_some())
    }
}

/// Our own descriptor of this number; one that was closed is as /dev/null.
fn own(number: usize) -> io::Result<OwnedFd> {
    let cloned = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    match cloned {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            Ok(File::options().read(true).write(true).open("/dev/null")?.into())
        }
        other => other,
    }
}

fn ends(stream: &Stream, input: bool) -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
    Ok(match stream {
        Stream::Inherit => (None, None),
        Stream::Null => {
            let null = OpenOptions::new().read(input).write(!input).open("/dev/null")?;
            (Some(null.into()), None)
        }
        Stream::Fd(fd) => (Some(fd.as_fd().try_clone_to_owned()?), None),
        Stream::Piped => {
            let (read, write) = io::pipe()?;
            match input {
                true => (Some(read.into()), Some(write.into())),
                false => (Some(write.into()), Some(read.into())),
            }
        }
    })
}

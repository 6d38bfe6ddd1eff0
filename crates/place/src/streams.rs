//! The descriptors of a command's streams, for places that start processes on this machine.

use std::fs::OpenOptions;
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

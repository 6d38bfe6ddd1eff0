//! The descriptors of a process's streams, on both sides of the bridge.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use thither_place::{Process, Stream, Streams};
use tokio::net::unix::pipe;

use super::relay::{Driver, Relay};
use super::session::{Ends, Reader, Writer, socket_ends};

/// What the caller has of them.
pub(super) struct Ours {
    pipes: [Option<OwnedFd>; 3],
    terminal: Option<OwnedFd>,
    relay: Relay,
}

/// What the bridge has of them.
pub(super) enum Theirs {
    /// `None`: nobody wants it.
    Separate([Option<End>; 3]),
    Terminal(UnixStream),
}

/// An end on the bridge, of our own making, so that it may be made non-blocking.
pub(super) enum End {
    Pipe(OwnedFd),
    Socket(UnixStream),
}

/// Opens what these streams need.
pub(super) fn open(streams: &Streams) -> io::Result<(Ours, Theirs)> {
    let mut ours = Ours { pipes: [const { None }; 3], terminal: None, relay: Relay::new()? };
    let (stdin, stdout, stderr) = match streams {
        Streams::Terminal(_) => {
            let (here, there) = UnixStream::pair()?;
            ours.terminal = Some(here.into());
            return Ok((ours, Theirs::Terminal(there)));
        }
        Streams::Separate { stdin, stdout, stderr } => (stdin, stdout, stderr),
    };
    let mut ends = [const { None }; 3];
    for (i, stream) in [stdin, stdout, stderr].into_iter().enumerate() {
        ends[i] = match stream {
            Stream::Null => None,
            Stream::Piped => {
                let (read, write) = io::pipe()?;
                let (here, there): (OwnedFd, OwnedFd) = match i {
                    0 => (write.into(), read.into()),
                    _ => (read.into(), write.into()),
                };
                ours.pipes[i] = Some(here);
                Some(End::Pipe(there))
            }
            Stream::Fd(fd) => Some(ours.join(i, fd.as_fd().try_clone_to_owned()?)?),
            Stream::Inherit => match own(i)? {
                Some(fd) => Some(ours.join(i, fd)?),
                None => None,
            },
        };
    }
    Ok((ours, Theirs::Separate(ends)))
}

impl Ours {
    fn join(&mut self, number: usize, stream: OwnedFd) -> io::Result<End> {
        let (here, there) = UnixStream::pair()?;
        self.relay.join(number, stream, here.into())?;
        Ok(End::Socket(there))
    }

    /// Hands the pipes and the terminal to a process, which drives the rest.
    pub(super) fn attach(
        self,
        process: impl FnOnce(Driver) -> io::Result<Process>,
    ) -> io::Result<Process> {
        let piped = self.pipes.iter().any(Option::is_some);
        let mut process = process(Driver::new(self.relay, piped)?)?;
        [process.stdin, process.stdout, process.stderr] = self.pipes;
        process.terminal = self.terminal;
        Ok(process)
    }
}

impl Theirs {
    /// For the bridge, on its thread.
    pub(super) fn into_ends(self) -> io::Result<Ends> {
        let [input, output, errors] = match self {
            Theirs::Terminal(socket) => return socket_ends(socket),
            Theirs::Separate(ends) => ends,
        };
        Ok(Ends {
            input: input.map(End::reader).transpose()?,
            output: output.map(End::writer).transpose()?,
            errors: errors.map(End::writer).transpose()?,
            ..Ends::default()
        })
    }
}

impl End {
    fn reader(self) -> io::Result<Reader> {
        Ok(match self {
            End::Pipe(fd) => Box::new(pipe::Receiver::from_owned_fd(fd)?),
            End::Socket(socket) => Box::new(nonblocking(socket)?),
        })
    }

    fn writer(self) -> io::Result<Writer> {
        Ok(match self {
            End::Pipe(fd) => Box::new(pipe::Sender::from_owned_fd(fd)?),
            End::Socket(socket) => Box::new(nonblocking(socket)?),
        })
    }
}

fn nonblocking(socket: UnixStream) -> io::Result<tokio::net::UnixStream> {
    socket.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(socket)
}

/// Our own descriptor of this number; one that was closed is as /dev/null.
fn own(number: usize) -> io::Result<Option<OwnedFd>> {
    let cloned = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    match cloned {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            Ok(Some(File::options().read(true).write(true).open("/dev/null")?.into()))
        }
        other => other.map(Some),
    }
}

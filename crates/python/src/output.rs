//! Where what is printed over there goes.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::channel::wait;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is told of output.
type Listener = dyn FnMut(Stream, &[u8]) + Send;

/// Where the standard output and error of the interpreter, its C code and its children go. Each stream arrives in order,
/// what Python code prints to both in the order of printing, and all of it before the reply of the call that printed it.
#[derive(Default)]
#[non_exhaustive]
pub enum Output {
    /// This program's own streams, by their descriptors: what this program has printed there and not flushed comes later.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To a function. It must not call the interpreter that it hears from: nobody would read the answer.
    Function(Box<Listener>),
}

impl Output {
    /// By the stream's descriptor number over there.
    pub(crate) fn write(&mut self, number: u8, bytes: &[u8]) {
        let stream = match number {
            2 => Stream::Stderr,
            _ => Stream::Stdout,
        };
        // A stream of ours that is closed takes nothing; the calls go on.
        let _ = match self {
            Output::Null => Ok(()),
            Output::Function(function) => {
                function(stream, bytes);
                Ok(())
            }
            // Not by the handles of the standard library: whoever holds one of those may wait for us.
            Output::Inherit => match stream {
                Stream::Stdout => write_all(rustix::stdio::stdout(), bytes),
                Stream::Stderr => write_all(rustix::stdio::stderr(), bytes),
            },
        };
    }
}

fn write_all(stream: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                wait(&mut [PollFd::from_borrowed_fd(stream, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Output::Inherit => "Inherit",
            Output::Null => "Null",
            Output::Function(_) => "Function",
        })
    }
}

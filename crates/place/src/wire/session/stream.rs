//! A connection to something that runs already, as a process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use thither_term::WindowSize;

use crate::process::{Control, Event};
use crate::{Error, Exit, Process, Result};

/// A stream socket as a process: its input and its output go there and come from there, and it ends with code 0 once the
/// other side sends no more. To end its input is to shut down one direction.
///
/// # Errors
/// Those of dup(2) and epoll(7).
pub fn of_stream(stream: OwnedFd) -> io::Result<Process> {
    // Readable once the other side has ended, however much of what it said is still to be read.
    let ended = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&ended, &stream, epoll::EventData::new_u64(0), epoll::EventFlags::RDHUP)?;
    let (stdin, stdout) = (stream.try_clone()?, stream);
    let mut process = Process::new(Box::new(Stream { ended }));
    (process.stdin, process.stdout, process.apart) = (Some(stdin), Some(stdout), true);
    Ok(process)
}

struct Stream {
    ended: OwnedFd,
}

fn unsupported(action: &str) -> Error {
    Error::Unsupported { action: action.into(), place: "a stream".into(), hint: None }
}

impl Control for Stream {
    fn resize(&mut self, _: WindowSize) -> Result<()> {
        Err(unsupported("resize anything"))
    }

    fn signal(&mut self, _: i32) -> Result<()> {
        Err(unsupported("send a signal"))
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    fn event(&mut self) -> Result<Option<Event>> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        let found = crate::process::retry(|| {
            epoll::wait(&self.ended, &mut events[..], Some(&Timespec::default()))
        });
        match found {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(Event::Exited(Exit::Code(0)))),
            Err(source) => Err(Error::Place {
                action: "wait for the end".into(),
                place: "a stream".into(),
                source: Box::new(source),
                hint: None,
            }),
        }
    }

    fn end_input(&mut self, _: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(unsupported("end an input that is closed"))
    }
}

//! The ends of a command's streams on this side.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, fstat, major, minor};
use thither_place::{Process, Stream, Streams};
use thither_term::Destination;

use crate::driver::Driver;
use crate::input::Input;
use crate::relay::{Format, Relay};
use crate::target::Target;

/// Where three streams come from and go to.
pub(crate) struct Plumbing {
    /// What we read, and write; `None` for what nobody wants.
    ours: [Option<OwnedFd>; 3],
    ends: Ends,
}

/// The caller's ends of pipes.
#[derive(Default)]
pub(crate) struct Ends([Option<OwnedFd>; 3]);

impl Ends {
    pub(crate) fn attach(self, mut process: Process) -> Process {
        [process.stdin, process.stdout, process.stderr] = self.0;
        process
    }
}

impl Plumbing {
    pub(crate) fn open(streams: &Streams) -> io::Result<Plumbing> {
        let mut plumbing = Plumbing { ours: [const { None }; 3], ends: Ends::default() };
        let Streams::Separate { stdin, stdout, stderr } = streams else { return Ok(plumbing) };
        for (i, stream) in [stdin, stdout, stderr].into_iter().enumerate() {
            plumbing.ours[i] = match stream {
                Stream::Null => None,
                Stream::Fd(fd) => Some(fd.as_fd().try_clone_to_owned()?),
                Stream::Inherit => own(i)?,
                Stream::Piped => {
                    let (read, write) = io::pipe()?;
                    let (ours, theirs): (OwnedFd, OwnedFd) = match i {
                        0 => (read.into(), write.into()),
                        _ => (write.into(), read.into()),
                    };
                    plumbing.ends.0[i] = Some(theirs);
                    Some(ours)
                }
            };
        }
        Ok(plumbing)
    }

    /// Which of them anybody wants.
    pub(crate) fn wanted(&self) -> [bool; 3] {
        [0, 1, 2].map(|i| self.ours[i].is_some())
    }

    /// Leaves an input alone that has nothing to say: an exec that has none attached reads /dev/null as well. (The main
    /// process of a container that has one open waits for its end, which only an attached one has.)
    pub(crate) fn without_null(&mut self) {
        if self.ours[0].as_ref().is_some_and(is_null) {
            self.ours[0] = None;
        }
    }

    /// Leaves the input alone.
    pub(crate) fn without_input(&mut self) {
        self.ours[0] = None;
        self.ends.0[0] = None;
    }

    /// Joins them to a stream; `prepare` has the last word on how.
    pub(crate) fn join(
        self,
        socket: OwnedFd,
        format: Format,
        target: Target,
        prepare: impl FnOnce(Relay) -> Relay,
    ) -> io::Result<(Driver, Ends)> {
        let piped = self.ends.0.iter().any(Option::is_some);
        let [stdin, stdout, stderr] = self.ours;
        let out = |fd: Option<OwnedFd>| fd.map(Destination::new).transpose();
        let input = stdin.map(Input::new).transpose()?;
        let relay = prepare(Relay::new(socket, format, [out(stdout)?, out(stderr)?], input)?);
        let driver = match piped {
            true => Driver::in_thread(relay, target)?,
            false => Driver::Caller(Box::new(relay)),
        };
        Ok((driver, self.ends))
    }
}

/// Whether it is /dev/null: the memory device 3, null(4).
fn is_null(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    })
}

/// Our own descriptor of this number; one that was closed is as /dev/null.
fn own(number: usize) -> io::Result<Option<OwnedFd>> {
    let cloned = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    match cloned {
        Err(error) if error.raw_os_error() == Some(9) => {
            Ok(Some(File::options().read(true).write(true).open("/dev/null")?.into()))
        }
        other => other.map(Some),
    }
}

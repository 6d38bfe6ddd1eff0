//! The ends of a command's streams on this side.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, fstat, major, minor};
use thither_place::streams::Moved;
use thither_place::{Process, Streams};
use thither_term::Destination;

use crate::driver::Driver;
use crate::input::Input;
use crate::relay::{Format, Relay};
use crate::target::Target;

/// Where three streams come from and go to.
pub(crate) struct Plumbing(Moved);

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
        Moved::open(streams).map(Plumbing)
    }

    /// Which of them anybody wants.
    pub(crate) fn wanted(&self) -> [bool; 3] {
        self.0.wanted()
    }

    /// Leaves an input alone that has nothing to say: an exec that has none attached reads /dev/null as well. (The main
    /// process of a container that has one open waits for its end, which only an attached one has.)
    pub(crate) fn without_null(&mut self) {
        if self.0.ours[0].as_ref().is_some_and(is_null) {
            self.0.ours[0] = None;
        }
    }

    /// Leaves the input alone.
    pub(crate) fn without_input(&mut self) {
        self.0.ours[0] = None;
        self.0.piped[0] = None;
    }

    /// Joins them to a stream; `prepare` has the last word on how.
    pub(crate) fn join(
        self,
        socket: OwnedFd,
        format: Format,
        target: Target,
        prepare: impl FnOnce(Relay) -> Relay,
    ) -> io::Result<(Driver, Ends)> {
        let Moved { ours, piped } = self.0;
        let [stdin, stdout, stderr] = ours;
        let out = |fd: Option<OwnedFd>| fd.map(Destination::new).transpose();
        let input = stdin.map(Input::new).transpose()?;
        let relay = prepare(Relay::new(socket, format, [out(stdout)?, out(stderr)?], input)?);
        let driver = match piped.iter().any(Option::is_some) {
            true => Driver::in_thread(relay, target)?,
            false => Driver::Caller(Box::new(relay)),
        };
        Ok((driver, Ends(piped)))
    }
}

/// Whether it is /dev/null: the memory device 3, null(4).
fn is_null(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    })
}

//! The descriptors that a control master is given.
//!
//! It makes them non-blocking, and reads and writes them itself, in the background. What we inherited is shared with others,
//! so it gets a description of its own of the same thing. Where there is none to be had (a socket), where reading in the
//! background would be wrong (a terminal, whose keys are the foreground's), or where a failure would be lost (a full disk), a thread
//! of ours copies.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat};
use rustix::termios::isatty;
use thither_place::Stream;
use thither_term::{Interest, poll};

/// What a thread copies at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// What a pipe is made to hold, in bytes: as much as everybody may have it hold by default, pipe(7).
const PIPE: usize = 1024 * 1024;

/// Both ends of three streams.
pub(super) struct Streams {
    pub(super) theirs: [OwnedFd; 3],
    ours: [Option<OwnedFd>; 3],
    copying: Copying,
}

/// What threads do for them.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// Readable once the thread that copies the input is to end.
    stop: Option<OwnedFd>,
    /// The input that a thread is to copy, until [`begin`](Copying::begin).
    input: Option<Input>,
    /// Each ends when all of an output has been copied, after the number of the error if it could not be.
    pub(super) outputs: Vec<OwnedFd>,
}

/// An input, its way to the master, and what ends it.
#[derive(Debug)]
struct Input {
    source: Option<OwnedFd>,
    to: io::PipeWriter,
    stop: OwnedFd,
    preface: Vec<u8>,
}

impl Copying {
    /// Reads the input from now on. Not before the session is open: what a refused one had read would be lost.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let Some(Input { source, to, stop, preface }) = self.input.take() else { return Ok(()) };
        thread::Builder::new().name("ssh input".into()).spawn(move || {
            // The program over there may have ended: there is nobody to tell.
            let _ = copy_input(source, to, &stop, &preface);
        })?;
        Ok(())
    }

    /// Whether all outputs have been copied, without waiting.
    pub(super) fn is_done(&mut self) -> io::Result<bool> {
        while let Some(done) = self.outputs.last() {
            let ready = poll(&[Interest::Read(done.as_fd())], Some(Duration::ZERO))?;
            if !ready[0].now && !ready[0].hang_up {
                return Ok(false);
            }
            let mut number = [0; 4];
            let length = rustix::io::retry_on_intr(|| rustix::io::read(done, &mut number))?;
            self.outputs.pop();
            if length == number.len() {
                return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)));
            }
        }
        Ok(true)
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            // It cannot be full.
            let _ = rustix::io::write(stop, &1_u64.to_ne_bytes());
        }
    }
}

impl Streams {
    /// Opens what these need. `preface` goes before the input.
    pub(super) fn open(wanted: [&Stream; 3], preface: &[u8]) -> io::Result<Streams> {
        let mut ours = [const { None }; 3];
        let mut copying = Copying::default();
        let [stdin, stdout, stderr] = wanted;
        let input = input(stdin, preface, &mut ours[0], &mut copying)?;
        let out = output(stdout, 1, &mut ours[1], &mut copying)?;
        let err = output(stderr, 2, &mut ours[2], &mut copying)?;
        Ok(Streams { theirs: [input, out, err], ours, copying })
    }

    /// Closes the master's ends and gives ours.
    pub(super) fn into_ours(self) -> ([Option<OwnedFd>; 3], Copying) {
        (self.ours, self.copying)
    }
}

fn input(
    stream: &Stream,
    preface: &[u8],
    ours: &mut Option<OwnedFd>,
    copying: &mut Copying,
) -> io::Result<OwnedFd> {
    let source = match stream {
        Stream::Null if preface.is_empty() => return null(),
        Stream::Null => None,
        Stream::Piped if preface.is_empty() => {
            let (read, write) = pipe()?;
            *ours = Some(write.into());
            return Ok(read.into());
        }
        Stream::Piped => {
            let (read, write) = pipe()?;
            *ours = Some(write.into());
            Some(read.into())
        }
        Stream::Inherit => Some(own(0)?),
        Stream::Fd(fd) => Some(fd.as_fd().try_clone_to_owned()?),
    };
    if let (true, Some(source)) = (preface.is_empty(), &source)
        && !isatty(source)
        && let Some(again) = again(source)?
    {
        return Ok(again);
    }
    let (read, write) = pipe()?;
    let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
    let input = Input { source, to: write, stop: stop.try_clone()?, preface: preface.to_vec() };
    (copying.stop, copying.input) = (Some(stop), Some(input));
    Ok(read.into())
}

fn copy_input(
    source: Option<OwnedFd>,
    mut to: impl Write,
    stop: &OwnedFd,
    preface: &[u8],
) -> io::Result<()> {
    to.write_all(preface)?;
    let Some(mut source) = source.map(File::from) else { return Ok(()) };
    let mut chunk = vec![0; CHUNK];
    loop {
        let ready = poll(&[Interest::Read(source.as_fd()), Interest::Read(stop.as_fd())], None)?;
        if ready[1].now {
            return Ok(());
        }
        match source.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&chunk[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn output(
    stream: &Stream,
    number: usize,
    ours: &mut Option<OwnedFd>,
    copying: &mut Copying,
) -> io::Result<OwnedFd> {
    let to = match stream {
        Stream::Null => return null(),
        Stream::Piped => {
            let (read, write) = pipe()?;
            *ours = Some(read.into());
            return Ok(write.into());
        }
        Stream::Inherit => own(number)?,
        Stream::Fd(fd) => fd.as_fd().try_clone_to_owned()?,
    };
    if !may_be_full(&to)?
        && let Some(again) = again(&to)?
    {
        return Ok(again);
    }
    let (read, write) = pipe()?;
    let (done, mut done_there) = io::pipe()?;
    copying.outputs.push(done.into());
    thread::Builder::new().name("ssh output".into()).spawn(move || {
        match copy_output(&read, to) {
            // Whose reader is gone gets no more: the program over there meets a closed pipe as well.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                let number = error.raw_os_error().unwrap_or_default();
                // Who does not wait for it wants no news.
                let _ = done_there.write_all(&number.to_ne_bytes());
            }
            Ok(()) => {}
        }
    })?;
    Ok(write.into())
}

/// Whether writing may fail for want of room: a control master keeps that to itself.
fn may_be_full(to: &OwnedFd) -> io::Result<bool> {
    let stat = fstat(to)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => true,
        // /dev/null is its number 3, null(4).
        FileType::CharacterDevice => !isatty(to) && stat.st_rdev != rustix::fs::makedev(1, 3),
        _ => false,
    })
}

/// Copies until the end. Not by splice(2): that takes the place in a file when it begins to wait, and puts it back at its end, over
/// what others have written there meanwhile, such as the other output.
fn copy_output(from: &impl AsFd, to: OwnedFd) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut to = Blocking(to);
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(from, &mut chunk))? {
            0 => return Ok(()),
            n => to.write_all(&chunk[..n])?,
        }
    }
}

/// Writes all to a descriptor that others may have made non-blocking.
struct Blocking(OwnedFd);

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(rustix::io::Errno::AGAIN) => {
                    drop(poll(&[Interest::Write(self.0.as_fd())], None)?)
                }
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A new description of the same thing; a file's as it is, since its place in the file is shared on purpose, and blocking
/// means nothing for reading it. `None` where there is none to be had.
fn again(fd: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::RegularFile | FileType::Directory => Ok(Some(fd.try_clone()?)),
        FileType::Fifo | FileType::CharacterDevice => {
            let access = fcntl_getfl(fd)? & (OFlags::RWMODE | OFlags::APPEND);
            let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            // It may be another user's, or there may be no /proc.
            Ok(rustix::fs::open(path, flags, Mode::empty()).ok())
        }
        _ => Ok(None),
    }
}

/// A pipe that holds much, where the system lets it: each time one is full or empty costs a switch to the master and back.
fn pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    let (read, write) = io::pipe()?;
    // A user has only so many pages for pipes, pipe(7).
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
    Ok((read, write))
}

fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// Our own descriptor of this number; one that was closed is as /dev/null.
fn own(number: usize) -> io::Result<OwnedFd> {
    let cloned = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    match cloned {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            null()
        }
        other => other,
    }
}
